"""Signing in over HTTP: the shape of the answers, what they give away, and bad input of every kind."""

import json
import logging
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.app import Bellbird
from bellbird.core.actors import Actor
from bellbird.core.tenants import Tenant
from bellbird.features import keys, tenants, users
from bellbird.features.keys import NewKey
from bellbird.features.users import User, UserPatch
from tests import people
from tests.conftest import Begin, SignIn
from tests.people import OTHER, PASSWORD

BASE = "http://bellbird.test/api/v1"


@pytest.fixture
async def door(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody whom nobody knows yet, calling from where nobody else does."""
    number = uuid4().int
    address = f"10.{number % 256}.{(number >> 8) % 256}.{(number >> 16) % 256}"
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 40_000))
    async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
        yield client


@pytest.fixture
async def ann(begin: Begin) -> User:
    async with begin() as tx:
        return await people.user(tx)


async def enter(door: httpx.AsyncClient, who: User | str, password: str = PASSWORD, **more: Any) -> httpx.Response:
    email = who if isinstance(who, str) else who.email
    return await door.post("/auth/sign-in", json={"email": email, "password": password, **more})


async def signed_in(door: httpx.AsyncClient, who: User) -> dict[str, Any]:
    """Signs the client in; returns the answer."""
    answer = await enter(door, who)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    door.headers["Authorization"] = f"Bearer {body['access_token']}"
    return body


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert body["request_id"] == answer.headers["x-request-id"]
    return body


async def test_from_signing_in_to_signing_out(door: httpx.AsyncClient, ann: User, tenant: Tenant) -> None:
    answer = await enter(door, ann)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    body = answer.json()
    assert list(body) == ["access_token", "token_type", "expires_in", "refresh_token", "user", "tenant"]
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 900)
    assert body["user"] == {"id": str(ann.id), "email": ann.email, "name": "Ann Lee"}
    assert body["tenant"] == {"id": str(tenant.id), "slug": tenant.slug, "name": tenant.name, "status": "active"}

    problem(await door.get("/me"), 401, "not_signed_in")
    door.headers["Authorization"] = f"Bearer {body['access_token']}"
    assert (await door.post("/contacts", json={"first_name": "Bob"})).status_code == 201
    me = (await door.get("/me")).json()
    assert (me["kind"], me["id"], me["user"], me["tenant"]) == ("user", str(ann.id), body["user"], body["tenant"])
    assert (me["role"], me["visibility"], me["fields"]) == ("agent", "all", {})
    assert me["permissions"] == [
        "call_accounts:read", "calls:read", "calls:write", "consents:read", "consents:write", "contacts:read",
        "contacts:write", "operations:read", "teams:read", "users:read", "washes:read",
    ]  # fmt: skip
    assert me["session"]["current"] is True

    answer = await door.post("/auth/refresh", json={"refresh_token": body["refresh_token"]})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    following = answer.json()
    assert list(following) == list(body)
    assert following["refresh_token"] != body["refresh_token"]

    for token in (body, following):
        door.headers["Authorization"] = f"Bearer {token['access_token']}"
        assert (await door.get("/contacts")).status_code == 200
    assert [each["current"] for each in (await door.get("/me/sessions")).json()["data"]] == [True]
    answer = await door.post("/auth/sign-out")
    assert (answer.status_code, answer.content) == (204, b"")
    for token in (body, following):
        door.headers["Authorization"] = f"Bearer {token['access_token']}"
        problem(await door.get("/contacts"), 401, "not_signed_in")
    problem(
        await door.post("/auth/refresh", json={"refresh_token": following["refresh_token"]}), 401,
        "refresh_token_invalid",
    )  # fmt: skip


async def test_a_stolen_token_ends_the_session_over_http_too(door: httpx.AsyncClient, ann: User) -> None:
    body = await signed_in(door, ann)
    used = {"refresh_token": body["refresh_token"]}
    following = (await door.post("/auth/refresh", json=used)).json()
    problem(await door.post("/auth/refresh", json=used), 401, "refresh_token_reused")
    for token in (body, following):
        door.headers["Authorization"] = f"Bearer {token['access_token']}"
        problem(await door.get("/contacts"), 401, "not_signed_in")


async def test_who_is_refused_is_refused_in_the_same_bytes(door: httpx.AsyncClient, begin: Begin, ann: User) -> None:
    async with begin() as tx:
        invited, gone = await people.invited(tx), await people.user(tx)
        await users.remove(tx, gone.id)
    seen = set()
    for who, password in ((ann, OTHER), (people.an_email(), OTHER), (invited, OTHER), (gone, PASSWORD)):
        answer = await door.post(
            "/auth/sign-in", json={"email": who if isinstance(who, str) else who.email, "password": password},
            headers={"X-Request-Id": "the-same"},
        )  # fmt: skip
        problem(answer, 401, "invalid_credentials")
        counted = {"ratelimit", "date", "server-timing"}
        headers = tuple(sorted((name, value) for name, value in answer.headers.items() if name not in counted))
        seen.add((answer.content, headers))
    assert len(seen) == 1
    assert b"Lee" not in answer.content


async def test_too_many_wrong_passwords_say_when_to_come_back(door: httpx.AsyncClient, ann: User) -> None:
    for _ in range(10):
        problem(await enter(door, ann, OTHER), 401, "invalid_credentials")
    answer = await enter(door, ann)
    problem(answer, 429, "too_many_sign_ins")
    assert 0 < int(answer.headers["retry-after"]) <= 900


async def test_an_address_that_knocks_too_often_waits(app: Any, door: httpx.AsyncClient) -> None:
    answers = [await door.post("/auth/refresh", json={"refresh_token": "x"}) for _ in range(61)]
    assert [answer.status_code for answer in answers] == [401] * 60 + [429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert "ratelimit" in answers[0].headers


async def test_whoever_belongs_to_several_tenants_is_told_which_there_are(
    door: httpx.AsyncClient, begin: Begin, ann: User, tenant: Tenant, other_tenant: Tenant,
    owner: psycopg.Connection[Any],
) -> None:  # fmt: skip
    async with begin(other_tenant) as tx:
        await people.invited(tx, email=ann.email)
    owner.execute("update memberships set joined_at = now() where id = %s", [ann.id])
    body = problem(await enter(door, ann), 422, "tenant_needed")
    assert body["errors"][0]["pointer"] == "#/tenant"
    assert {each["slug"] for each in body["tenants"]} == {tenant.slug, other_tenant.slug}
    problem(await enter(door, ann, OTHER), 401, "invalid_credentials")
    assert (await enter(door, ann, tenant=other_tenant.slug)).json()["tenant"]["id"] == str(other_tenant.id)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 422),
        (b"{}", 422),
        (b'{"email": "ann@acme.example", "password": 123456789012}', 422),
        (b'{"email": "ann@acme.example", "password": ["swordfish-1"]}', 422),
        (b'{"email": null, "password": "swordfish-1"}', 422),
        (b'{"email": "nope", "password": "swordfish-1"}', 422),
        (b'{"email": "ann@acme.example", "password": "swordfish-1", "otp": "1"}', 422),
        (b'{"email": "ann@acme.example", "password": "swordfish-1", "tenant": 5}', 422),
        (b'{"email": "ann@acme.example", "password": "\\ud800"}', 400),
        (b'{"email": "a\\u0000b@acme.example", "password": "swordfish-1"}', 422),
        (b'{"email": "' + b"a" * 5000 + b'@acme.example", "password": "swordfish-1"}', 422),
        (b'{"email": "nobody@acme.example", "password": "\\u0000\\u0000swordfish-1"}', 401),
        (b'{"email": "nobody@acme.example", "password": "' + b"x" * 900_000 + b'"}', 401),
        (b'{"email": "nobody@acme.example", "password": "' + b"x" * 1_100_000 + b'"}', 413),
    ],
)
async def test_a_body_that_will_not_do_is_refused_and_no_password_echoed(
    door: httpx.AsyncClient, owner: psycopg.Connection[Any], body: bytes, status: int
) -> None:
    answer = await door.post("/auth/sign-in", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    assert "swordfish" not in answer.text and "123456789012" not in answer.text
    owner.execute("delete from sign_in_failures")


async def test_invitations_lead_from_the_administrator_to_the_person(
    door: httpx.AsyncClient, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    added = (await api.post("/users", json={"email": people.an_email(), "name": "Bob", "role": "viewer"})).json()
    accept = {"token": added["invitation"]["token"], "password": PASSWORD, "name": "Bobby"}
    answer = await door.post("/auth/invitations/accept", json=accept)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    body = answer.json()
    assert (body["user"]["id"], body["user"]["name"], body["tenant"]["id"]) == (added["id"], "Bobby", str(tenant.id))
    door.headers["Authorization"] = f"Bearer {body['access_token']}"
    assert (await door.get("/me")).json()["role"] == "viewer"
    problem(await door.post("/contacts", json={"first_name": "X"}), 403, "permission_denied")
    body = problem(await door.post("/auth/invitations/accept", json=accept), 422, "invitation_invalid")
    assert body["errors"][0]["pointer"] == "#/token"
    assert PASSWORD not in json.dumps(body) and accept["token"] not in json.dumps(body)


async def test_a_new_password_is_used_from_then_on(door: httpx.AsyncClient, app: Any, ann: User) -> None:
    first = await signed_in(door, ann)
    await signed_in(door, ann)
    answer = await door.post("/auth/password", json={"current_password": OTHER, "new_password": OTHER})
    assert answer.json()["errors"][0]["code"] == "wrong_password"
    answer = await door.post("/auth/password", json={"current_password": PASSWORD, "new_password": "x"})
    assert answer.json()["errors"][0]["pointer"] == "#/new_password"
    answer = await door.post("/auth/password", json={"current_password": PASSWORD, "new_password": OTHER})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await door.get("/me")).status_code == 200, "this session goes on"
    door.headers["Authorization"] = f"Bearer {first['access_token']}"
    problem(await door.get("/me"), 401, "not_signed_in")
    problem(await enter(door, ann), 401, "invalid_credentials")
    assert (await enter(door, ann, OTHER)).status_code == 200


async def test_sessions_are_ended_one_by_one_or_all(door: httpx.AsyncClient, ann: User) -> None:
    first = await signed_in(door, ann)
    await signed_in(door, ann)
    listed = (await door.get("/me/sessions")).json()
    assert (listed["next_cursor"], [each["current"] for each in listed["data"]]) == (None, [True, False])
    other = listed["data"][1]["id"]
    assert (await door.delete(f"/me/sessions/{other}")).status_code == 204
    problem(await door.delete(f"/me/sessions/{other}"), 404, "session_not_found")
    problem(await door.delete("/me/sessions/nope"), 422, "invalid_input")
    latest = door.headers["Authorization"]
    door.headers["Authorization"] = f"Bearer {first['access_token']}"
    problem(await door.get("/me"), 401, "not_signed_in")
    door.headers["Authorization"] = latest
    assert (await door.delete("/me/sessions")).status_code == 204
    problem(await door.get("/me"), 401, "not_signed_in")


async def test_tokens_without_a_session_and_keys_are_told_so(
    door: httpx.AsyncClient, begin: Begin, sign_in: SignIn, tenant: Tenant, ann: User
) -> None:
    made = sign_in(tenant, user=ann.id, roles=None)
    problem(await made.post("/auth/sign-out"), 409, "no_session")
    me = (await made.get("/me")).json()
    assert (me["user"]["email"], me["session"], me["role"]) == (ann.email, None, "agent")
    stranger = sign_in(tenant)
    problem(
        await stranger.post("/auth/password", json={"current_password": PASSWORD, "new_password": OTHER}), 409,
        "no_password",
    )  # fmt: skip
    assert (await stranger.get("/me")).json()["user"] is None
    async with begin() as tx:
        key = await keys.create(tx, NewKey(name="Website form", scopes=("contacts:read",)))
    robot = sign_in(tenant, key=str(key.key))
    me = (await robot.get("/me")).json()
    assert (me["kind"], me["id"], me["role"], me["permissions"]) == (
        "key", str(key.id), "Website form", ["contacts:read"],
    )  # fmt: skip
    for answer in (
        await robot.post("/auth/sign-out"), await robot.get("/me/sessions"), await robot.delete("/me/sessions"),
        await robot.delete(f"/me/sessions/{uuid4()}"),
        await robot.post("/auth/password", json={"current_password": PASSWORD, "new_password": OTHER}),
    ):  # fmt: skip
        problem(answer, 403, "permission_denied")


async def test_a_change_of_role_and_an_end_of_membership_hold_at_once(
    door: httpx.AsyncClient, bellbird: Bellbird, tenant: Tenant, ann: User
) -> None:
    body = await signed_in(door, ann)
    boss = Actor.user(uuid4())
    async with bellbird.tenant(tenant.id, boss) as tx:
        await users.update(tx, ann.id, UserPatch(role="viewer"))
    problem(await door.post("/contacts", json={"first_name": "X"}), 403, "permission_denied")
    async with bellbird.tenant(tenant.id, boss) as tx:
        await users.remove(tx, ann.id)
    problem(await door.get("/contacts"), 401, "not_signed_in")
    del door.headers["Authorization"]
    problem(
        await door.post("/auth/refresh", json={"refresh_token": body["refresh_token"]}), 401, "refresh_token_invalid"
    )


async def test_people_of_a_suspended_tenant_sign_in_read_and_sign_out(
    door: httpx.AsyncClient, bellbird: Bellbird, tenant: Tenant, ann: User
) -> None:
    async with bellbird.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    assert (await signed_in(door, ann))["tenant"]["status"] == "suspended"
    assert (await door.get("/contacts")).status_code == 200
    problem(await door.post("/contacts", json={"first_name": "X"}), 403, "tenant_suspended")
    assert (await door.post("/auth/sign-out")).status_code == 204


async def test_no_secret_is_logged(
    door: httpx.AsyncClient, ann: User, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        await enter(door, ann, OTHER)
        body = await signed_in(door, ann)
        used = {"refresh_token": body["refresh_token"]}
        following = (await door.post("/auth/refresh", json=used)).json()
        await door.post("/auth/refresh", json=used)
        await door.post("/auth/invitations/accept", json={"token": "bb_invite_nope", "password": PASSWORD})
    written = "".join(capfd.readouterr()) + "".join(f"{each.getMessage()} {each.__dict__}" for each in caplog.records)
    for secret in (PASSWORD, OTHER, *used.values(), following["refresh_token"], body["access_token"]):
        assert secret not in written
