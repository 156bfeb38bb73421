"""What every REST door shares: who is calling, a transaction for the request, bodies, and errors as problem details."""

import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, Self, TypeVar
from urllib.parse import parse_qs
from uuid import UUID

from litestar import Request, Response
from litestar.di import Provide
from litestar.dto import AbstractDTO
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.openapi.spec import Reference, Schema
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from litestar.typing import FieldDefinition

from bellbird.core import ids
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import BellbirdError, BodyTooLarge, Fault, InvalidInput, NotSignedIn, Unavailable
from bellbird.entrypoints import bodies
from bellbird.entrypoints.tokens import Tokens

log = logging.getLogger("bellbird")

PROBLEM: Final = "application/problem+json"

Shape = TypeVar("Shape")


class Access:
    """The engine and the key, as the doors' dependencies need them."""

    def __init__(self, engine: Engine, tokens: Tokens) -> None:
        self.engine = engine
        self.tokens = tokens

    def __deepcopy__(self, memo: Any) -> Self:
        return self  # Litestar copies a router with all that hangs on it, and there is one engine

    async def read(self, request: Request[Any, Any, Any]) -> ReadTx:
        """Reads on behalf of whoever is calling."""
        caller = self.tokens.caller(request.headers.get("authorization"))
        return ReadTx(self.engine, caller.tenant_id, caller.actor, request.scope["state"]["request_id"])

    async def tx(self, request: Request[Any, Any, Any]) -> AsyncGenerator[Tx, None]:
        """A transaction on behalf of whoever is calling, committed before the answer is sent."""
        caller = self.tokens.caller(request.headers.get("authorization"))
        request_id = request.scope["state"]["request_id"]
        async with self.engine.tenant(caller.tenant_id, caller.actor, request_id=request_id) as tx:
            yield tx

    def dependencies(self) -> dict[str, Provide]:
        """`read` and `tx`, as handlers name them."""
        return {"read": Provide(self.read), "tx": Provide(self.tx)}


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


def query(request: Request[Any, Any, Any], known: frozenset[str]) -> dict[str, list[str]]:
    """The query string's parameters. Raises InvalidInput for an unknown one (`filter[...]` goes with `filter`)."""
    try:
        text = request.scope["query_string"].decode("ascii")
        given = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=100) if text else {}
    except (UnicodeDecodeError, ValueError):
        raise InvalidInput("The query string is not valid: it must be percent-encoded UTF-8.") from None
    faults = [
        Fault("unknown_parameter", f"there is no such parameter; known are {', '.join(sorted(known))}", parameter=name)
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


def version_of(request: Request[Any, Any, Any]) -> int | None:
    """The version that `If-Match` asks for (RFC 9110, section 13.1.1); None when any will do."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    tag = header.strip().removeprefix("W/").strip('"')
    if not (tag.isascii() and tag.isdigit() and len(tag) < 10):
        raise InvalidInput.at("If-Match", f'must be an ETag as it was answered, such as "3", not {header[:50]!r}')
    return int(tag)


def id_of(text: str) -> UUID:
    """An id from the path. Raises InvalidInput."""
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput.at("id", f"must be a UUID, not {text[:60]!r}", code="invalid_id") from None


def problem(request: Request[Any, Any, Any], error: BellbirdError) -> Response[Any]:
    """An error as problem details (RFC 9457)."""
    headers = {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="bellbird", error="invalid_token"'
    more: dict[str, Any] = {"errors": [bodies.as_problem(fault) for fault in error.faults]} if error.faults else {}
    return _details(request, error.status, error.code, error.title(), error.detail, headers, **more, **error.extra)


def http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework refuses (no such route, wrong method, body too large), as a problem like any other."""
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return problem(request, BodyTooLarge())
    status = HTTPStatus(error.status_code)
    return _details(request, status, status.name.lower(), status.phrase, error.detail, error.headers or {})


def internal_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A fault of ours: logged in full, told in one sentence."""
    request_id = request.scope["state"].get("request_id")
    log.error("request %s failed: %s %s", request_id, request.method, request.url.path, exc_info=error)
    detail = "Something went wrong on our side; it was logged under this request id."
    return _details(request, 500, "internal_error", BellbirdError.title(), detail, {})


def _details(
    request: Request[Any, Any, Any],
    status: int,
    code: str,
    title: str,
    detail: str,
    headers: Mapping[str, str],
    **more: Any,
) -> Response[Any]:
    body = {
        "type": f"urn:bellbird:error:{code}",
        "title": title,
        "status": int(status),
        "code": code,
        "detail": detail,
        "request_id": request.scope["state"].get("request_id"),
        **more,
    }
    return Response(body, status_code=status, media_type=PROBLEM, headers=dict(headers))


EXCEPTION_HANDLERS: Final[Any] = {
    BellbirdError: problem,
    HTTPException: http_problem,
    Exception: internal_problem,
}


class RequestIds:
    """ASGI middleware: every request has an id, the caller's own or a new one, and the answer tells it."""

    def __init__(self, app: ASGIApp, engine: Engine) -> None:
        self.app = app
        self.engine = engine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            return await self.app(scope, receive, send)
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _is_request_id(given) else ids.uuid7(self.engine.clock.now()).hex
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        await self.app(scope, receive, send_with_id)


def _is_request_id(given: bytes) -> bool:
    return 0 < len(given) <= 64 and given.isascii() and given.replace(b"-", b"").replace(b"_", b"").isalnum()
