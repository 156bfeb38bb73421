"""What every REST door shares: who is calling, a transaction for the request, bodies, and errors as problem details."""

import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from inspect import isawaitable
from typing import Any, Final, Self, TypeVar
from urllib.parse import parse_qs
from uuid import UUID

from litestar import Request
from litestar.di import Provide
from litestar.dto import AbstractDTO
from litestar.openapi.spec import Reference, Schema
from litestar.types import Scope
from litestar.typing import FieldDefinition

from bellbird.core import credentials, filters, paging
from bellbird.core.actors import Actor
from bellbird.core.credentials import NoCredential
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Fault, InvalidInput, NotSignedIn
from bellbird.core.principals import Claims, Principals
from bellbird.core.settings import Settings
from bellbird.entrypoints import bodies, idempotency
from bellbird.entrypoints.idempotency import Vault
from bellbird.entrypoints.rates import Kind, RateLimits
from bellbird.entrypoints.tokens import Tokens

log = logging.getLogger("bellbird")

# How many API keys a process knows by their text.
MAX_KEYS: Final = 10_000

Shape = TypeVar("Shape")


Identify = Callable[[Scope], "Claims | None | Awaitable[Claims | None]"]
"""A host application's own answer to who is calling: from the ASGI scope, with all that its middleware put there."""


class Access:
    """Who is calling, what they may do, and a transaction for it: what the doors' dependencies need."""

    def __init__(
        self,
        engine: Engine,
        tokens: Tokens,
        principals: Principals,
        rates: RateLimits,
        vault: Vault,
        *,
        settings: Settings,
        identify: Identify | None = None,
    ) -> None:
        self.engine = engine
        self.tokens = tokens
        self.principals = principals
        self.rates = rates
        self.settings = settings
        self._vault = vault
        self._identify = identify
        self._keys: OrderedDict[str, Claims] = OrderedDict()

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # Litestar copies a router with all that hangs on it, and there is one engine

    async def claims(self, scope: Scope) -> Claims:
        """Who a request says it comes from, verified. Raises NotSignedIn."""
        if self._identify is not None:
            found = self._identify(scope)
            claims = await found if isawaitable(found) else found
            if claims is None:
                raise NotSignedIn("The application that Bellbird is part of does not know who is calling.")
            return claims
        credential = _bearer(scope)
        if not credential.startswith("bb_"):
            return self.tokens.claims(credential) or await self.tokens.fetch_claims(credential)
        return self._keys.get(credential) or self._key(credential)

    def _key(self, text: str) -> Claims:
        try:
            key = credentials.read("live", text)
        except NoCredential as error:
            raise NotSignedIn(f"The API key {error}.") from None
        claims = Claims(key.tenant_id, "key", str(key.id), secret_hash=key.hash)
        self._keys[text] = claims
        if len(self._keys) > MAX_KEYS:
            self._keys.popitem(last=False)
        return claims

    async def enter(self, scope: Any) -> tuple[UUID, Actor]:
        """The tenant and the actor of a request, counted once against their limits. Raises NotSignedIn, RateLimited."""
        state = scope["state"]
        if state["actor"] is None:
            claims = await self.claims(scope)
            actor = self.principals.known(claims) or await self.principals.actor(claims)
            state["tenant_id"], state["actor"], state["claims"] = claims.tenant_id, actor, claims
            kind: Kind = "read" if scope["method"] == "GET" else "write"
            await self.rates.check(claims.tenant_id, actor, kind, state["headers"])
        return state["tenant_id"], state["actor"]

    async def again(self, scope: Any) -> Actor:
        """The actor of a request that goes on and on, as it is by now. Raises NotSignedIn, Forbidden."""
        claims: Claims = scope["state"]["claims"]
        if self._identify is None:  # a host application was asked once: what it knows is of the beginning
            claims = await self.claims(scope)
        return self.principals.known(claims) or await self.principals.actor(claims)

    async def read(self, request: Request[Any, Any, Any]) -> ReadTx:
        """Reads on behalf of whoever is calling."""
        scope = request.scope
        tenant_id, actor = await self.enter(scope)
        return ReadTx(self.engine, tenant_id, actor, scope["state"]["request_id"])

    async def tx(self, request: Request[Any, Any, Any]) -> AsyncGenerator[Tx, None]:
        """A transaction on behalf of whoever is calling, committed before the answer is sent."""
        scope = request.scope
        tenant_id, actor = await self.enter(scope)
        tx = self.engine.tenant(tenant_id, actor, request_id=scope["state"]["request_id"])
        key = header(scope, b"idempotency-key")
        if key is None:
            async with tx:
                yield tx
            return
        try:
            target = f"{request.method} {scope['path']}?".encode() + scope["query_string"]
            held = await idempotency.begin(tx, self._vault, actor, key, target + b"\n" + await request.body())
            scope["state"]["held"] = held
            yield tx
        except BaseException:
            scope["state"].pop("held", None)
            await tx.close()
            raise

    @property
    def is_hosted(self) -> bool:
        """Whether the application that Bellbird is part of says who is calling."""
        return self._identify is not None

    async def itself(self) -> "Access":
        """For the few handlers that nobody has signed in to yet."""
        return self

    def dependencies(self) -> dict[str, Provide]:
        """`read`, `tx` and `access`, as handlers name them."""
        return {"read": Provide(self.read), "tx": Provide(self.tx), "access": Provide(self.itself)}


def header(scope: Scope, name: bytes) -> str | None:
    """A header of a request; what is no ASCII is replaced."""
    for key, value in scope["headers"]:
        if key == name:
            return value.decode("ascii", "replace")
    return None


def _bearer(scope: Scope) -> str:
    """The credential of the `Authorization` header (RFC 6750). Raises NotSignedIn."""
    authorization = header(scope, b"authorization")
    if not authorization:
        raise NotSignedIn("Send an access token or an API key: Authorization: Bearer <token>.")
    scheme, _, credential = authorization.partition(" ")
    if scheme.lower() != "bearer" or not credential.strip():
        raise NotSignedIn("The Authorization header must be: Bearer <token>.")
    return credential.strip()


class Body(AbstractDTO[Shape]):
    """A JSON body read strictly: unknown fields are errors, and every fault is reported at once."""

    _readers: Final[dict[type, Callable[[bytes], Any]]] = {}

    def decode_bytes(self, value: bytes) -> Any:
        if self.model_type not in self._readers:
            self._readers[self.model_type] = bodies.reader(self.model_type)
        return self._readers[self.model_type](value)

    def decode_builtins(self, value: Any) -> Any:
        raise InvalidInput("The body must be sent as application/json.")

    @classmethod
    def create_for_field_definition(cls, *args: Any, **kwargs: Any) -> None:
        """Nothing to prepare: the reader is made with the first body."""

    @classmethod
    def create_openapi_schema(
        cls, field_definition: FieldDefinition, handler_id: str, schema_creator: Any
    ) -> Reference | Schema:
        schema: Reference | Schema = schema_creator.for_field_definition(field_definition)
        return schema

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        return iter(())

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        return False


def query(request: Request[Any, Any, Any]) -> dict[str, list[str]]:
    """The query string's parameters, which `docs.before` has read and found described."""
    given: dict[str, list[str]] | None = request.scope["state"]["query"]
    return given or {}


def read_query(text: bytes, known: frozenset[str]) -> dict[str, list[str]]:
    """A query string's parameters. Raises InvalidInput for an unknown one (`filter[...]` goes with `filter`)."""
    try:
        given = parse_qs(text.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=100)
    except (UnicodeDecodeError, ValueError):
        raise InvalidInput("The query string is not valid: it must be percent-encoded UTF-8.") from None
    others = f"known are {', '.join(sorted(known))}" if known else "there are none here"
    faults = [
        Fault("unknown_parameter", f"there is no such parameter; {others}", parameter=name)
        for name in given
        if name.partition("[")[0] not in known or ("[" in name and not name.startswith("filter["))
    ]
    if faults:
        raise InvalidInput(faults=faults)
    return given


def single(given: Mapping[str, list[str]], name: str) -> str | None:
    """A parameter that may be given once. Raises InvalidInput when it is repeated."""
    values = given.get(name, [])
    if len(values) > 1:
        raise InvalidInput.at(name, "is given more than once")
    return values[0] if values else None


def flag(given: Mapping[str, list[str]], name: str) -> bool:
    """A parameter that is true or false, and false when it is not given. Raises InvalidInput."""
    try:
        return filters.read_boolean(single(given, name) or "false")
    except ValueError as error:
        raise InvalidInput.at(name, str(error)) from None


def moment(given: Mapping[str, list[str]], name: str) -> datetime | None:
    """A parameter that is a moment in ISO 8601, with its offset from UTC. Raises InvalidInput."""
    text = single(given, name)
    if text is None:
        return None
    try:
        # A plus sign that was not percent-encoded has become a space.
        read = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
        if read.tzinfo is not None:
            return read.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput.at(name, f"must be a moment such as 2026-11-01T10:00:00Z, not {text[:40]!r}")


def size(given: Mapping[str, list[str]]) -> int:
    """How many a page is to have. Raises InvalidInput."""
    return paging.limit(single(given, "limit") or paging.DEFAULT_LIMIT)


def version_of(request: Request[Any, Any, Any]) -> int | None:
    """The version that `If-Match` asks for (RFC 9110, section 13.1.1); None when any will do."""
    given = header(request.scope, b"if-match")
    if given is None or given.strip() == "*":
        return None
    # What follows the version tells which fields were shown.
    tag = given.strip().removeprefix("W/").strip('"').partition("-")[0]
    if not (tag.isascii() and tag.isdigit() and len(tag) < 10):
        raise InvalidInput.at("If-Match", f'must be an ETag as it was answered, such as "3", not {given[:50]!r}')
    return int(tag)


def id_of(text: str) -> UUID:
    """An id from the path. Raises InvalidInput."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput.at("id", f"must be a UUID, not {text[:60]!r}", code="invalid_id") from None
