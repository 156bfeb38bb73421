"""Who may call what: every route of the application against every kind of credential, role and visibility.

The routes are read from the application. Each needs a row in ROUTES, or this fails.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

from bellbird.app import Bellbird, create_app
from bellbird.core import credentials
from bellbird.core.actors import OPERATORS, PERMISSIONS, ROLES, VISIBILITIES
from bellbird.core.issuers import Issuer
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import operations
from tests import make
from tests.conftest import SECRET, Begin, routes

API: Final = "/api/v1"
ISSUER: Final = "https://id.example.com"
RSA_KEY: Final = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM: Final = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


@dataclass(frozen=True)
class Row:
    """How a route is called so that it works: a thing for its path, a body; and what it needs."""

    needs: str | None
    """The permission; "" is for whoever is signed in, None for everybody."""
    path: Callable[["World"], Awaitable[str]]
    body: Callable[["World"], Any] | None = None
    of_contact: bool = False
    """Whether it is about one contact, which the caller must see."""
    otherwise: str | None = None
    """What a token that nobody signed in for is refused with, where that is all it can be used for."""


@dataclass
class World:
    """What the rows work with: a tenant, and ways to make things in it."""

    begin: Begin
    tenant: Tenant
    api: httpx.AsyncClient
    owner: UUID | None = None
    """Whose contact it is to be."""
    made: dict[str, str] = field(default_factory=dict)

    async def contact(self) -> str:
        async with self.begin(self.tenant) as tx:
            return str((await make.contact(tx, first_name="Ann", owner_id=self.owner)).id)

    async def deleted_contact(self) -> str:
        id = await self.contact()
        assert (await self.api.delete(f"/contacts/{id}")).status_code == 204
        return id

    async def posted(self, path: str, body: Any, key: str = "id") -> str:
        """The id of a thing made through the API by an owner."""
        answer = await self.api.post(path, json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()[key])


def fixed(path: str) -> Callable[[World], Awaitable[str]]:
    async def there(world: World) -> str:
        return path

    return there


async def a_contact(suffix: str, world: World) -> str:
    return f"/contacts/{await world.contact()}{suffix}"


async def a_deleted_contact(suffix: str, world: World) -> str:
    return f"/contacts/{await world.deleted_contact()}{suffix}"


async def a_posted(path: str, body: Callable[[], Any], key: str, world: World) -> str:
    return f"{path}/{await world.posted(path, body(), key)}"


def a_role() -> Any:
    return {"name": f"r-{uuid4().hex}", "permissions": ["contacts:read"]}


def a_team() -> Any:
    return {"name": uuid4().hex}


def a_key() -> Any:
    return {"name": "robot", "scopes": ["contacts:read"]}


def an_account() -> Any:
    return {"provider": "twilio", "identifier": f"AC{uuid4().hex}", "secret": "0123456789abcdef" * 2}


def a_call() -> Any:
    # The agent may have another.
    return {"to": f"+61412{secrets.randbelow(10**6):06}", "purpose": "service", "wait": True}


async def calling(world: World) -> None:
    """An account to call with."""
    if "account" not in world.made:
        body = {**an_account(), "numbers": [{"number": "+61370101234"}]}
        world.made["account"] = await world.posted("/call-accounts", body)


async def to_call(world: World) -> str:
    await calling(world)
    return "/calls"


async def called(suffix: str, world: World) -> str:
    await calling(world)
    answer = await world.api.post("/calls", json=a_call())
    return f"/calls/{answer.json()['id']}{suffix}"


async def a_callable_contact(world: World) -> str:
    await calling(world)
    async with world.begin(world.tenant) as tx:
        contact = await make.contact(tx, phone=a_call()["to"], owner_id=world.owner)
        return f"/contacts/{contact.id}/calls"


def a_user() -> Any:
    return {"email": f"{uuid4().hex}@acme.example", "name": "Bob", "role": "viewer"}


def a_question() -> Any:
    return {"number": "0412 345 678"}


def washed() -> Any:
    return {"numbers": [{"number": "0412 345 678", "listed": True}]}


async def to_consent(world: World) -> str:
    world.made["consenting"] = await world.contact()
    return "/consents"


def a_consent(world: World) -> Any:
    return {"contact_id": world.made["consenting"], "purpose": "research", "source": "web form"}


async def consents_of(world: World) -> str:
    return f"/consents?contact_id={await world.contact()}"


async def given_consent(world: World) -> str:
    return f"{await to_consent(world)}/{await world.posted('/consents', a_consent(world))}"


async def withdrawn(world: World) -> str:
    return f"{await given_consent(world)}/withdraw"


async def opted_out(world: World) -> str:
    return f"/opt-outs/{await world.posted('/opt-outs', a_question())}/remove"


async def a_past_call(suffix: str, world: World) -> str:
    async with world.begin(world.tenant) as tx:
        return f"/calls/{(await make.call(tx)).id}{suffix}"


def a_follow_up() -> Any:
    return {"number": "0412 345 678", "due_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}


async def of_follow_up(suffix: str, world: World) -> str:
    return f"{await a_posted('/follow-ups', a_follow_up, 'id', world)}{suffix}"


async def an_invitation(world: World) -> str:
    return f"{await a_posted('/users', a_user, 'id', world)}/invitation"


async def an_event(world: World) -> str:
    return f"/audit/events/{(await world.api.get('/audit/events')).json()['data'][0]['id']}"


async def an_operation(suffix: str, world: World) -> str:
    answer = await world.api.post("/operations", json=NOTHING)
    return f"/operations/{answer.json()['id']}{suffix}"


class Nothing(Struct, frozen=True):
    """No parameters."""


@operations.kind("test.nothing", permission="operations:write", params=Nothing)
class DoingNothing(operations.Work[Nothing]):
    """A kind that takes no other permission besides."""


NOTHING: Final = {"kind": "test.nothing"}


def mine(world: World) -> Any:
    return {"first_name": "Ann", "external_id": uuid4().hex}


# fmt: off
ROUTES: Final[dict[tuple[str, str], Row]] = {
    ("GET", "/contacts"): Row("contacts:read", fixed("/contacts")),
    ("GET", "/contacts/lookup"): Row("contacts:read", fixed("/contacts/lookup?number=0412345678")),
    ("POST", "/contacts"): Row("contacts:write", fixed("/contacts"), mine),
    ("PUT", "/contacts"): Row("contacts:write", fixed("/contacts?match=external_id"), mine),
    ("GET", "/contacts/{id}"): Row("contacts:read", partial(a_contact, ""), of_contact=True),
    ("PATCH", "/contacts/{id}"): Row("contacts:write", partial(a_contact, ""), lambda w: {"company": "A"},
                                     of_contact=True),
    ("DELETE", "/contacts/{id}"): Row("contacts:write", partial(a_contact, ""), of_contact=True),
    ("POST", "/contacts/{id}/restore"): Row("contacts:write", partial(a_deleted_contact, "/restore"), of_contact=True),
    ("GET", "/contacts/{id}/timeline"): Row("contacts:read", partial(a_contact, "/timeline"), of_contact=True),
    ("POST", "/contacts/{id}/purge"): Row("contacts:purge", partial(a_contact, "/purge"), of_contact=True),
    ("GET", "/audit/events"): Row("audit:read", fixed("/audit/events")),
    ("GET", "/audit/events/{id}"): Row("audit:read", an_event),
    ("GET", "/audit/seals"): Row("audit:read", fixed("/audit/seals")),
    ("GET", "/roles"): Row("roles:read", fixed("/roles")),
    ("POST", "/roles"): Row("roles:write", fixed("/roles"), lambda w: a_role()),
    ("GET", "/roles/{name}"): Row("roles:read", partial(a_posted, "/roles", a_role, "name")),
    ("PATCH", "/roles/{name}"): Row("roles:write", partial(a_posted, "/roles", a_role, "name"),
                                    lambda w: {"visibility": "own"}),
    ("DELETE", "/roles/{name}"): Row("roles:write", partial(a_posted, "/roles", a_role, "name")),
    ("GET", "/teams"): Row("teams:read", fixed("/teams")),
    ("POST", "/teams"): Row("teams:write", fixed("/teams"), lambda w: a_team()),
    ("GET", "/teams/{id}"): Row("teams:read", partial(a_posted, "/teams", a_team, "id")),
    ("PATCH", "/teams/{id}"): Row("teams:write", partial(a_posted, "/teams", a_team, "id"), lambda w: a_team()),
    ("DELETE", "/teams/{id}"): Row("teams:write", partial(a_posted, "/teams", a_team, "id")),
    ("GET", "/keys"): Row("keys:read", fixed("/keys")),
    ("POST", "/keys"): Row("keys:write", fixed("/keys"), lambda w: a_key()),
    ("GET", "/keys/{id}"): Row("keys:read", partial(a_posted, "/keys", a_key, "id")),
    ("PATCH", "/keys/{id}"): Row("keys:write", partial(a_posted, "/keys", a_key, "id"), lambda w: {"name": "x"}),
    ("DELETE", "/keys/{id}"): Row("keys:write", partial(a_posted, "/keys", a_key, "id")),
    ("GET", "/call-accounts"): Row("call_accounts:read", fixed("/call-accounts")),
    ("POST", "/call-accounts"): Row("call_accounts:write", fixed("/call-accounts"), lambda w: an_account()),
    ("GET", "/call-accounts/{id}"): Row("call_accounts:read", partial(a_posted, "/call-accounts", an_account, "id")),
    ("PATCH", "/call-accounts/{id}"): Row("call_accounts:write", partial(a_posted, "/call-accounts", an_account, "id"),
                                          lambda w: {"status": "paused"}),
    ("DELETE", "/call-accounts/{id}"): Row("call_accounts:write",
                                           partial(a_posted, "/call-accounts", an_account, "id")),
    ("POST", "/calls"): Row("calls:write", to_call, lambda w: a_call()),
    ("POST", "/contacts/{id}/calls"): Row("calls:write", a_callable_contact,
                                          lambda w: {"purpose": "service", "wait": True}, of_contact=True),
    ("POST", "/calls/{id}/cancel"): Row("calls:write", partial(called, "/cancel")),
    ("POST", "/calls/{id}/hang-up"): Row("calls:write", partial(called, "/hang-up")),
    ("GET", "/calls"): Row("calls:read", fixed("/calls")),
    ("GET", "/calls/statistics"): Row("calls:read", fixed("/calls/statistics")),
    ("GET", "/calls/{id}"): Row("calls:read", partial(a_past_call, "")),
    ("PATCH", "/calls/{id}"): Row("calls:write", partial(a_past_call, ""), lambda w: {"notes": "x"}),
    ("GET", "/calls/{id}/callbacks"): Row("audit:read", partial(a_past_call, "/callbacks")),
    # It takes contacts:write as well.
    ("POST", "/calls/{id}/contact"): Row("calls:write", partial(a_past_call, "/contact"),
                                         lambda w: {"first_name": "Ann"}, otherwise="permission_denied"),
    ("GET", "/contacts/{id}/calls"): Row("calls:read", partial(a_contact, "/calls"), of_contact=True),
    ("GET", "/follow-ups"): Row("calls:read", fixed("/follow-ups")),
    ("POST", "/follow-ups"): Row("calls:write", fixed("/follow-ups"), lambda w: a_follow_up()),
    ("GET", "/follow-ups/{id}"): Row("calls:read", partial(of_follow_up, "")),
    ("PATCH", "/follow-ups/{id}"): Row("calls:write", partial(of_follow_up, ""), lambda w: {"note": "x"}),
    ("POST", "/follow-ups/{id}/done"): Row("calls:write", partial(of_follow_up, "/done")),
    ("POST", "/follow-ups/{id}/cancel"): Row("calls:write", partial(of_follow_up, "/cancel")),
    ("GET", "/users"): Row("users:read", fixed("/users")),
    ("POST", "/users"): Row("users:write", fixed("/users"), lambda w: a_user()),
    ("GET", "/users/{id}"): Row("users:read", partial(a_posted, "/users", a_user, "id")),
    ("PATCH", "/users/{id}"): Row("users:write", partial(a_posted, "/users", a_user, "id"),
                                  lambda w: {"visibility": "own"}),
    ("DELETE", "/users/{id}"): Row("users:write", partial(a_posted, "/users", a_user, "id")),
    ("POST", "/users/{id}/invitation"): Row("users:write", an_invitation),
    ("GET", "/operations"): Row("operations:read", fixed("/operations")),
    ("POST", "/operations"): Row("operations:write", fixed("/operations"), lambda w: NOTHING),
    ("GET", "/operations/{id}"): Row("operations:read", partial(an_operation, "")),
    ("POST", "/operations/{id}/cancel"): Row("operations:write", partial(an_operation, "/cancel")),
    ("POST", "/operations/{id}/pause"): Row("operations:write", partial(an_operation, "/pause")),
    ("POST", "/operations/{id}/resume"): Row("operations:write", partial(an_operation, "/resume")),
    ("POST", "/operations/{id}/undo"): Row("operations:write", partial(an_operation, "/undo"),
                                           otherwise="not_undoable"),
    ("POST", "/auth/sign-in"): Row(None, fixed("/auth/sign-in")),
    ("POST", "/auth/refresh"): Row(None, fixed("/auth/refresh")),
    ("POST", "/auth/invitations/accept"): Row(None, fixed("/auth/invitations/accept")),
    ("POST", "/dial-decisions"): Row("calls:write", fixed("/dial-decisions"), lambda w: a_question()),
    ("GET", "/dial-decisions"): Row("consents:read", fixed("/dial-decisions")),
    ("GET", "/dial-decisions/{id}"): Row("consents:read", partial(a_posted, "/dial-decisions", a_question, "id")),
    # Whose consents is asked in the query string.
    ("POST", "/consents"): Row("consents:write", to_consent, a_consent),
    ("GET", "/consents"): Row("consents:read", consents_of),
    ("GET", "/consents/{id}"): Row("consents:read", given_consent),
    ("POST", "/consents/{id}/withdraw"): Row("consents:write", withdrawn),
    ("POST", "/opt-outs"): Row("consents:write", fixed("/opt-outs"), lambda w: a_question()),
    ("GET", "/opt-outs"): Row("consents:read", fixed("/opt-outs")),
    ("GET", "/opt-outs/{id}"): Row("consents:read", partial(a_posted, "/opt-outs", a_question, "id")),
    ("POST", "/opt-outs/{id}/remove"): Row("consents:write", opted_out, lambda w: {"reason": "she rang"}),
    ("POST", "/washes"): Row("washes:write", fixed("/washes"), lambda w: washed()),
    ("GET", "/washes"): Row("washes:read", fixed("/washes?number=0412345678")),
    # Signed instead: tests/features/calls/test_callbacks.py.
    ("POST", "/callbacks/{tenant}/{account}"): Row(None, fixed("")),
    ("POST", "/callbacks/{tenant}/{account}/voice"): Row(None, fixed("")),
    ("POST", "/auth/sign-out"): Row("", fixed("/auth/sign-out"), otherwise="no_session"),
    ("POST", "/auth/password"): Row("", fixed("/auth/password"), lambda w: {"current_password": "x" * 12,
                                    "new_password": "five plain words"}, otherwise="no_password"),
    ("GET", "/events/stream"): Row("", fixed("/events/stream?seconds=0")),
    ("GET", "/me"): Row("", fixed("/me")),
    ("GET", "/me/sessions"): Row("", fixed("/me/sessions")),
    ("DELETE", "/me/sessions"): Row("", fixed("/me/sessions")),
    ("DELETE", "/me/sessions/{id}"): Row("", fixed(f"/me/sessions/{uuid4()}"), otherwise="session_not_found"),
}
# fmt: on


def table(app: Any) -> list[tuple[str, str, Row]]:
    """Every route with its row."""
    return [(method, path, ROUTES[method, path.removeprefix(API)]) for method, path, _ in routes(app)]


@pytest.fixture(scope="module")
async def bellbird(owner_conninfo: str) -> AsyncIterator[Bellbird]:
    """Bellbird that also trusts an outside issuer, whose public key everybody knows."""
    issuer = Issuer(issuer=ISSUER, audience=None, public_key=PUBLIC_PEM.decode(), algorithms=("RS256",))
    settings = Settings(_env_file=None, database_url=owner_conninfo, secret=SECRET, issuers=(issuer,),  # type: ignore[call-arg, arg-type]
                        token_role=None, rate_address_auth="")  # fmt: skip
    async with Bellbird(settings) as opened:
        yield opened


@pytest.fixture(scope="module")
def app(bellbird: Bellbird) -> Any:
    return create_app(bellbird)


@pytest.fixture
def world(begin: Begin, tenant: Tenant, api: httpx.AsyncClient) -> World:
    return World(begin, tenant, api)


@pytest.fixture
async def nobody(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client that has not signed in."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://bellbird.test{API}") as client:
        yield client


def test_every_route_has_a_row_and_no_row_is_left_over(app: Any) -> None:
    assert {(method, path.removeprefix(API)) for method, path, _ in routes(app)} == set(ROUTES)


def test_the_description_says_the_same(app: Any) -> None:
    for method, path, handler in routes(app):
        about, row = handler.opt["about"], ROUTES[method, path.removeprefix(API)]
        assert (about.public, about.needs) == (row.needs is None, row.needs or None), f"{method} {path}"


def claims(tenant: Tenant, **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    user = str(uuid4())
    return {
        "tenant_id": str(tenant.id), "user_id": user, "sub": user, "roles": ["owner"],
        "exp": int((now + timedelta(hours=1)).timestamp()), **more,
    }  # fmt: skip


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: dict[str, Any], payload: dict[str, Any], secret: bytes | None) -> str:
    """A token as an attacker makes it, past what libraries refuse to sign."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}"
    signature = b"" if secret is None else hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{b64(signature)}"


def bad_credentials(tenant: Tenant) -> dict[str, str | None]:
    """What lets nobody in, as the value of the Authorization header."""
    good = jwt.encode(claims(tenant), SECRET, algorithm="HS256")
    past = int((datetime.now(UTC) - timedelta(seconds=61)).timestamp())
    other_rsa = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    from_outside = claims(tenant, iss=ISSUER)
    key = credentials.make("live", tenant.id, uuid4()).text
    tokens = {
        "expired": jwt.encode(claims(tenant, exp=past), SECRET, algorithm="HS256"),
        "not yet valid": jwt.encode(claims(tenant, nbf=past + 7200), SECRET, algorithm="HS256"),
        "wrong signature": jwt.encode(claims(tenant), SECRET[::-1], algorithm="HS256"),
        "altered": good[: good.index(".") + 5]
        + ("A" if good[good.index(".") + 5] != "A" else "B")
        + good[good.index(".") + 6 :],
        "alg none": by_hand({"alg": "none", "typ": "JWT"}, claims(tenant), None),
        "alg None": by_hand({"alg": "None", "typ": "JWT"}, claims(tenant), None),
        "alg none from outside": by_hand({"alg": "none"}, from_outside, None),
        "HS256 signed with the public RSA key": by_hand({"alg": "HS256", "typ": "JWT"}, from_outside, PUBLIC_PEM),
        "HS256 signed with the public RSA key, as ours": by_hand({"alg": "HS256"}, claims(tenant), PUBLIC_PEM),
        "RS256 with another key": jwt.encode(from_outside, other_rsa, algorithm="RS256"),
        "RS256 as ours": jwt.encode(claims(tenant), RSA_KEY, algorithm="RS256"),
        "an algorithm the issuer does not use": jwt.encode(from_outside, RSA_KEY, algorithm="RS512"),
        "an unknown issuer": jwt.encode(claims(tenant, iss="https://evil.example"), SECRET, algorithm="HS256"),
        "our secret in the outside issuer's name": jwt.encode(from_outside, SECRET, algorithm="HS256"),
        "no tenant": jwt.encode(claims(tenant, tenant_id=None), SECRET, algorithm="HS256"),
        "a tenant that there is not": jwt.encode(claims(tenant, tenant_id=str(uuid4())), SECRET, algorithm="HS256"),
        "nobody's": jwt.encode({**claims(tenant), "roles": None}, SECRET, algorithm="HS256"),
        "truncated": good[:-10],
        "too long": good + "A" * 1_000_000,
        "no token at all": "nonsense",
        "a key that there is not": key,
        "a key cut off": key[:-3],
        "a key mistyped": key[:20] + ("A" if key[20] != "A" else "B") + key[21:],
        "a refresh token": credentials.make("refresh", tenant.id, uuid4()).text,
    }
    return {
        "no header": None,
        "an empty header": "",
        "another scheme": "Basic b3duZXI6b3duZXI=",
        "a bare scheme": "Bearer",
        "a bare token": good,
        **{name: f"Bearer {token}" for name, token in tokens.items()},
    }


async def call(
    client: httpx.AsyncClient, method: str, url: str, body: Any, authorization: str | None
) -> httpx.Response:
    headers = {} if authorization is None else {"Authorization": authorization}
    return await client.request(method, url, json=body, headers=headers)


async def test_no_bad_credential_opens_any_door(app: Any, nobody: httpx.AsyncClient, world: World) -> None:
    bad = bad_credentials(world.tenant)
    for method, path, row in table(app):
        if row.needs is None:
            continue
        url, body = await row.path(world), row.body(world) if row.body else None
        for name, authorization in bad.items():
            answer = await call(nobody, method, url, body, authorization)
            said = f"{method} {path} with {name}: {answer.status_code} {answer.text[:200]}"
            assert answer.status_code == 401, said
            assert answer.json()["code"] == "not_signed_in", said
            assert answer.headers["www-authenticate"].startswith("Bearer"), said
            assert len(answer.content) < 1000, said
        works = await world.api.request(method, url, json=body)
        said = f"{method} {path} works for its owner, so a 401 says something: {works.text}"
        assert works.status_code < 300 or works.json()["code"] == row.otherwise, said


async def test_who_is_calling_and_whether_they_may_comes_before_what_was_sent(
    app: Any, nobody: httpx.AsyncClient, world: World, bellbird: Bellbird, owner: psycopg.Connection[Any]
) -> None:
    """Whoever may not call is told so, and learns nothing of what would be right."""
    custom_role(owner, world.tenant, "nothing", [])
    token = bellbird.tokens.make(world.tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=("nothing",))
    for method, path, row in table(app):
        if row.needs is None:
            continue
        url = path.removeprefix(API).replace("{id}", "no-id").replace("{name}", "no name!")
        for query, body in (("", None), ("", b"{"), ("", b'{"no": "such field"}'), ("?no=parameter&limit=x", b"[]"),
                            ("", b" " * 2_000_000)):  # fmt: skip
            for authorization, status in ((None, 401), (f"Bearer {token}", 403)):
                if status == 403 and not row.needs:
                    continue
                headers = {} if authorization is None else {"Authorization": authorization}
                answer = await nobody.request(method, url + query, content=body, headers=headers)
                assert answer.status_code == status, (
                    f"{method} {url}{query} {(body or b'')[:20]!r}: {answer.text[:300]}"
                )


async def test_a_token_from_outside_and_one_of_ours_open_it(
    app: Any, nobody: httpx.AsyncClient, tenant: Tenant
) -> None:
    for good in (
        jwt.encode(claims(tenant), SECRET, algorithm="HS256"),
        jwt.encode(claims(tenant, iss=ISSUER), RSA_KEY, algorithm="RS256"),
    ):
        assert (await call(nobody, "GET", "/contacts", None, f"Bearer {good}")).status_code == 200


async def test_each_role_may_call_what_it_has_the_permission_for(
    app: Any, world: World, nobody: httpx.AsyncClient, bellbird: Bellbird, owner: psycopg.Connection[Any]
) -> None:
    for name, role in ROLES.items():
        await roles_may(app, world, nobody, bellbird, name, role.permissions)


@pytest.mark.parametrize("permission", sorted(PERMISSIONS - OPERATORS))
async def test_a_role_of_one_permission_opens_its_doors_alone(
    app: Any, world: World, nobody: httpx.AsyncClient, bellbird: Bellbird, owner: psycopg.Connection[Any],
    permission: str,
) -> None:  # fmt: skip
    custom_role(owner, world.tenant, "one", [permission])
    await roles_may(app, world, nobody, bellbird, "one", frozenset({permission}))
    all_but = PERMISSIONS - OPERATORS - {permission}
    custom_role(owner, world.tenant, "all-but", sorted(all_but))
    await roles_may(app, world, nobody, bellbird, "all-but", all_but, only=permission)


def custom_role(owner: psycopg.Connection[Any], tenant: Tenant, name: str, permissions: list[str]) -> None:
    owner.execute(
        "insert into roles (tenant_id, id, name, permissions, visibility, created_at, updated_at)"
        " values (%s, %s, %s, %s, 'all', now(), now())",
        [tenant.id, uuid4(), name, permissions],
    )


async def roles_may(
    app: Any, world: World, nobody: httpx.AsyncClient, bellbird: Bellbird, role: str, permissions: frozenset[str],
    only: str | None = None,
) -> None:  # fmt: skip
    token = bellbird.tokens.make(world.tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=(role,))
    for method, path, row in table(app):
        if row.needs is None or (only is not None and row.needs != only):
            continue
        url, body = await row.path(world), row.body(world) if row.body else None
        answer = await call(nobody, method, url, body, f"Bearer {token}")
        said = f"{method} {path} as {role}: {answer.status_code} {answer.text[:300]}"
        if row.needs == "" or row.needs in permissions:
            # What it may do it may still not grant to others, nor do without a session.
            assert answer.status_code < 300 or answer.json()["code"] in ("cannot_grant", row.otherwise), said
        else:
            assert answer.status_code == 403, said
            assert row.needs in answer.json()["detail"], said


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("whose", ["own", "mate", "stranger", "nobody"])
async def test_a_contact_is_reached_by_those_who_see_it(
    app: Any, world: World, nobody: httpx.AsyncClient, bellbird: Bellbird, owner: psycopg.Connection[Any],
    visibility: str, whose: str,
) -> None:  # fmt: skip
    team, me, mate = uuid4(), uuid4(), uuid4()
    for id in (me, mate):
        owner.execute(
            "insert into memberships (tenant_id, id, email, name, role, visibility, team_ids, created_at, updated_at)"
            " values (%s, %s, %s, 'x', 'manager', %s, %s, now(), now())",
            [world.tenant.id, id, f"{id}@acme.example", visibility, [team]],
        )
    world.owner = {"own": me, "mate": mate, "stranger": uuid4(), "nobody": None}[whose]
    sees = visibility == "all" or whose == "own" or (visibility == "team" and whose == "mate")
    token = bellbird.tokens.make(world.tenant.id, me, valid_for=timedelta(hours=1))
    rows = [each for each in table(app) if each[2].of_contact]
    assert len(rows) >= 5
    for method, path, row in rows:
        url, body = await row.path(world), row.body(world) if row.body else None
        answer = await call(nobody, method, url, body, f"Bearer {token}")
        said = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        if sees:
            assert answer.status_code < 300, said
        else:
            assert (answer.status_code, answer.json()["code"]) == (404, "contact_not_found"), said
            gone = await call(nobody, method, url.replace(url.split("/")[2], str(uuid4())), body, f"Bearer {token}")
            assert {**answer.json(), "request_id": 0, "detail": 0} == {**gone.json(), "request_id": 0, "detail": 0}
