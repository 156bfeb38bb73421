"""Users over HTTP: status codes, headers, what is shown once, and what a door refuses."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.core.tenants import Tenant
from tests import people
from tests.conftest import SignIn


def new(**more: Any) -> dict[str, Any]:
    return {"email": people.an_email(), "name": "Bob", "role": "agent", **more}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    return body


@pytest.fixture
async def bob(api: httpx.AsyncClient) -> dict[str, Any]:
    made: dict[str, Any] = (await api.post("/users", json=new())).json()
    return made


async def test_a_user_is_added_read_changed_and_removed(api: httpx.AsyncClient) -> None:
    answer = await api.post("/users", json=new(visibility="own"))
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/users/{made['id']}"
    assert (answer.headers["etag"], answer.headers["cache-control"]) == ('"1"', "no-store")
    assert made["invitation"]["token"].startswith("bb_invite_")
    assert made["invitation"]["expires_at"] == made["invited_until"]
    del made["invitation"]
    path = f"/users/{made['id']}"
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["etag"], answer.json()) == (200, '"1"', made)
    answer = await api.patch(path, json={"role": "viewer", "visibility": None}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (answer.json()["role"], answer.json()["visibility"]) == ("viewer", None)
    body = problem(await api.patch(path, json={"role": "agent"}, headers={"If-Match": '"1"'}), 412, "version_mismatch")
    assert body["current"] == answer.json()
    answer = await api.delete(path, headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await api.get("/users")).json()["data"] == []
    ended = (await api.get("/users?disabled=true")).json()["data"]
    assert [each["id"] for each in ended] == [made["id"]]
    assert (await api.patch(path, json={"disabled": False})).json()["disabled_at"] is None


async def test_an_invitation_is_shown_again_to_the_same_request_alone(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any]
) -> None:
    key, body = {"Idempotency-Key": uuid4().hex}, new()
    answers = [await api.post("/users", json=body, headers=key) for _ in range(2)]
    assert answers[0].content == answers[1].content
    token = answers[0].json()["invitation"]["token"]
    assert people.rows_with(owner, token) == [], "kept encrypted"
    id = answers[0].json()["id"]
    again = await api.post(f"/users/{id}/invitation")
    assert (again.status_code, again.headers["cache-control"]) == (200, "no-store")
    assert again.json()["token"] not in (token, "")


async def test_a_list_is_narrowed_and_paged(api: httpx.AsyncClient) -> None:
    made = [(await api.post("/users", json=new(role=role))).json()["id"] for role in ("agent", "viewer", "agent")]
    team = (await api.post("/teams", json={"name": "Sales"})).json()["id"]
    await api.patch(f"/users/{made[1]}", json={"team_ids": [team]})

    async def ids(query: str) -> list[str]:
        return [each["id"] for each in (await api.get(f"/users{query}")).json()["data"]]

    assert await ids("") == made
    assert await ids("?role=agent") == [made[0], made[2]]
    assert await ids(f"?team={team}") == [made[1]]
    assert await ids(f"?team={uuid4()}") == []
    first = (await api.get("/users?limit=2")).json()
    assert await ids(f"?limit=2&cursor={first['next_cursor']}") == made[2:]
    for query in ("?team=sales", "?disabled=maybe", "?limit=0", "?cursor=x", "?color=red", "?role=a&role=b"):
        answer = await api.get(f"/users{query}")
        assert answer.status_code == 422, query
    assert (await api.get("/users?role=%00")).status_code == 422


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"email": "nope"}, "#/email", "email_invalid"),
        ({"name": ""}, "#/name", "invalid_value"),
        ({"role": "king"}, "#/role", "unknown_role"),
        ({"role": "\0"}, "#/role", "unknown_role"),
        ({"visibility": "some"}, "#/visibility", "invalid_type"),
        ({"team_ids": [str(uuid4())]}, "#/team_ids/0", "unknown_team"),
        ({"password": "short"}, "#/password", "password_too_short"),
        ({"password": 5}, "#/password", "invalid_type"),
        ({"is_admin": True}, "#/is_admin", "unknown_field"),
    ],
)
async def test_what_will_not_do_says_where(
    api: httpx.AsyncClient, body: dict[str, Any], pointer: str, code: str
) -> None:
    (fault,) = problem(await api.post("/users", json=new(**body)), 422, "invalid_input")["errors"]
    assert (fault["pointer"], fault["code"]) == (pointer, code)


async def test_conflicts_say_what_is_in_the_way(api: httpx.AsyncClient, bob: dict[str, Any]) -> None:
    body = problem(await api.post("/users", json=new(email=bob["email"])), 409, "already_member")
    assert body["user_id"] == bob["id"]
    joined = (await api.post("/users", json=new(password=people.PASSWORD))).json()
    assert "invitation" not in joined and joined["joined_at"]
    problem(await api.post(f"/users/{joined['id']}/invitation"), 409, "already_joined")
    await api.delete(f"/users/{bob['id']}")
    problem(await api.post(f"/users/{bob['id']}/invitation"), 409, "user_disabled")
    boss = (await api.post("/users", json=new(role="owner", password=people.PASSWORD))).json()
    problem(await api.delete(f"/users/{boss['id']}"), 409, "last_owner")
    problem(await api.patch(f"/users/{boss['id']}", json={"role": "admin"}), 409, "last_owner")


async def test_who_may_do_what(sign_in: SignIn, tenant: Tenant, bob: dict[str, Any], api: httpx.AsyncClient) -> None:
    boss = (await api.post("/users", json=new(role="owner"))).json()["id"]
    path = f"/users/{bob['id']}"
    for role in ("manager", "agent", "viewer"):
        mine = sign_in(tenant, roles=(role,))
        assert (await mine.get(path)).status_code == 200
        for answer in (
            await mine.post("/users", json=new()), await mine.patch(path, json={"role": "viewer"}),
            await mine.delete(path), await mine.post(f"{path}/invitation"),
        ):  # fmt: skip
            problem(answer, 403, "permission_denied")
    admin = sign_in(tenant, roles=("admin",))
    assert (await admin.patch(path, json={"role": "admin"})).status_code == 200
    for answer in (
        await admin.patch(path, json={"role": "owner"}), await admin.post("/users", json=new(role="owner")),
        await admin.patch(f"/users/{boss}", json={"visibility": "own"}), await admin.post(f"/users/{boss}/invitation"),
        await admin.delete(f"/users/{boss}"),
    ):  # fmt: skip
        problem(answer, 403, "cannot_grant")
    narrowed = sign_in(tenant, roles=("owner",), scopes=["users:write"])
    problem(await narrowed.patch(path, json={"role": "viewer"}), 403, "cannot_grant")


async def test_another_tenant_sees_none_of_it(other_api: httpx.AsyncClient, bob: dict[str, Any]) -> None:
    path = f"/users/{bob['id']}"
    for answer in (
        await other_api.get(path), await other_api.patch(path, json={"role": "viewer"}), await other_api.delete(path),
        await other_api.post(f"{path}/invitation"),
    ):  # fmt: skip
        problem(answer, 404, "user_not_found")
    assert (await other_api.get("/users")).json()["data"] == []
