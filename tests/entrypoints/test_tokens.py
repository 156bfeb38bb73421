"""Access tokens: whatever is wrong with one is a 401 that says what."""

import base64
import json
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import psycopg
import pytest

from bellbird.core.clock import FakeClock
from bellbird.core.errors import NotSignedIn
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.tokens import Tokens
from tests.conftest import SECRET

TENANT, USER = UUID(int=1), UUID(int=2)
CLOCK = FakeClock()
NOW = int(CLOCK.now().timestamp())
CLAIMS: dict[str, Any] = {"tenant_id": str(TENANT), "user_id": str(USER), "iat": NOW, "exp": NOW + 60}
TOKENS = Tokens(SECRET, CLOCK)


def signed(key: Any = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    given = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm)


def with_header(**header: Any) -> str:
    """A token whose header says something else than it was signed with."""
    _, payload, signature = signed().split(".")
    encoded = base64.urlsafe_b64encode(json.dumps({"typ": "JWT", **header}).encode()).decode().rstrip("=")
    return f"{encoded}.{payload}.{signature}"


def test_a_token_speaks_for_its_user_and_tenant() -> None:
    caller = TOKENS.caller("Bearer " + TOKENS.make(TENANT, USER, valid_for=timedelta(hours=1)))
    assert (caller.tenant_id, caller.actor.id, caller.actor.origin) == (TENANT, str(USER), "api")
    assert caller.actor.permissions == {"contacts:read", "contacts:write", "contacts:purge"}
    assert TOKENS.caller("bearer " + signed()).tenant_id == TENANT


GOOD = signed()
FAULTS: dict[str, tuple[str | None, str]] = {
    "none": (None, "Send an access token"),
    "empty": ("", "Send an access token"),
    "no token": ("Bearer", "must be: Bearer"),
    "blank": ("Bearer  ", "cannot be read"),
    "another scheme": ("Basic YTpi", "must be: Bearer"),
    "no token at all": ("Bearer x", "cannot be read"),
    "expired": (f"Bearer {signed(exp=NOW)}", "has expired"),
    "expired long ago": (f"Bearer {signed(exp=1)}", "has expired"),
    "not valid yet": (f"Bearer {signed(nbf=NOW + 5)}", "not valid yet"),
    "another secret": (f"Bearer {signed('another-secret-of-32-characters-or-more')}", "not signed by this server"),
    "altered signature": (f"Bearer {GOOD[:-5]}{'AAAAA' if GOOD[-5:] != 'AAAAA' else 'BBBBB'}", "not signed by this"),
    "altered claims": (
        "Bearer "
        + ".".join([GOOD.split(".")[0], signed(tenant_id=str(UUID(int=3))).split(".")[1], GOOD.split(".")[2]]),
        "not signed by this server",
    ),
    "alg none": (f"Bearer {signed(None, 'none')}", "must be signed with HS256"),
    "alg none, its signature kept": (f"Bearer {with_header(alg='none')}", "must be signed with HS256"),
    "RS256 in the header": (f"Bearer {with_header(alg='RS256')}", "must be signed with HS256"),
    "HS512": (f"Bearer {signed(SECRET * 2, 'HS512')}", "must be signed with HS256"),
    "alg not a text": (f"Bearer {with_header(alg=5)}", ""),
    "truncated": (f"Bearer {GOOD[: len(GOOD) // 2]}", "cannot be read"),
    "without its signature": (f"Bearer {GOOD.rpartition('.')[0]}.", ""),
    "one megabyte": ("Bearer " + "x" * 1_000_000, "longer than"),
    "no exp": (f"Bearer {signed(exp=None)}", "no expiry"),
    "exp a text": (f"Bearer {signed(exp='tomorrow')}", ""),
    "exp infinite": (f"Bearer {signed(exp=float('inf'))}", ""),
    "no tenant": (f"Bearer {signed(tenant_id=None)}", "no tenant_id"),
    "tenant no id": (f"Bearer {signed(tenant_id='acme')}", "tenant_id is not a UUID"),
    "tenant a number": (f"Bearer {signed(tenant_id=5)}", "tenant_id is not a UUID"),
    "no user": (f"Bearer {signed(user_id=None)}", "no user_id"),
    "user a list": (f"Bearer {signed(user_id=[])}", "user_id is not a UUID"),
    "odd characters": ("Bearer é\u202e☃", "cannot be read"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_with_a_token_is_said(fault: str) -> None:
    header, why = FAULTS[fault]
    for _ in range(2):  # nothing wrong is remembered as right
        with pytest.raises(NotSignedIn) as refused:
            TOKENS.caller(header)
        assert why in refused.value.detail
        assert len(refused.value.detail) < 300
        assert SECRET not in refused.value.detail


def test_a_token_that_was_good_once_expires_all_the_same() -> None:
    clock = FakeClock()
    tokens = Tokens(SECRET, clock)
    header = "Bearer " + tokens.make(TENANT, USER, valid_for=timedelta(minutes=1))
    for _ in range(3):
        assert tokens.caller(header).tenant_id == TENANT
    clock.move(timedelta(seconds=59))
    assert tokens.caller(header)
    clock.move(timedelta(seconds=1))
    with pytest.raises(NotSignedIn, match="expired"):
        tokens.caller(header)


def test_no_more_than_so_many_tokens_are_remembered() -> None:
    tokens = Tokens(SECRET, FakeClock())
    tokens._verified.update((str(number), (0.0, None)) for number in range(10_000))  # type: ignore[misc]
    tokens.caller("Bearer " + signed())
    assert len(tokens._verified) == 10_000


async def test_over_http_each_is_a_401(api: httpx.AsyncClient) -> None:
    for fault, (header, _) in FAULTS.items():
        headers = {} if header is None else {"Authorization": header.encode()}
        del api.headers["Authorization"]
        for method, path in (("GET", "/contacts"), ("POST", "/contacts")):
            answer = await api.request(
                method, path, headers=headers, json={"first_name": "Ann"} if method == "POST" else None
            )
            assert answer.status_code == 401, fault
            assert answer.json()["code"] == "not_signed_in"
            assert answer.headers["www-authenticate"].startswith("Bearer")
        api.headers["Authorization"] = ""


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/contacts"), ("GET", "/contacts/{id}"), ("POST", "/contacts"), ("PATCH", "/contacts/{id}"),
     ("DELETE", "/contacts/{id}"), ("PUT", "/contacts?match=external_id")],
)  # fmt: skip
async def test_a_token_of_a_tenant_that_does_not_exist_any_more_is_a_401(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any], tenant: Tenant, method: str, path: str
) -> None:
    owner.execute("delete from tenants where id = %s", [tenant.id])
    body = {"first_name": "Ann", "external_id": "1"} if method in ("POST", "PUT") else {} if method == "PATCH" else None
    answer = await api.request(method, path.format(id=uuid4()), json=body)
    assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
