"""API keys over HTTP: made, used, revoked; and whatever is wrong with one is a 401 that says what."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bellbird.core import credentials
from bellbird.core.tenants import Tenant
from tests.conftest import SignIn

ROBOT = {"name": "robot", "scopes": ["contacts:read", "contacts:write"]}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_key_is_made_used_renamed_and_revoked(api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant) -> None:
    answer = await api.post("/keys", json=ROBOT)
    made = answer.json()
    path = f"/keys/{made['id']}"
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1{path}")
    assert answer.headers["cache-control"] == "no-store"
    text = made.pop("key")
    assert text.startswith(made["prefix"])
    assert set(made) == {
        "id", "name", "prefix", "scopes", "visibility", "created_by", "created_at", "expires_at", "last_used_at",
        "revoked_at",
    }  # fmt: skip
    assert (await api.get(path)).json() == made
    assert (await api.get("/keys")).json()["data"] == [made]

    robot = sign_in(tenant, key=text)
    ann = await robot.post("/contacts", json={"first_name": "Ann"})
    assert ann.status_code == 201
    assert (await robot.get("/contacts")).json()["data"] == [ann.json()]
    assert code(await robot.post(f"/contacts/{ann.json()['id']}/purge")) == (403, "permission_denied")
    assert code(await robot.post("/keys", json=ROBOT)) == (403, "permission_denied")

    answer = await api.patch(path, json={"name": "Robot 2"})
    assert (answer.status_code, answer.json()["name"]) == (200, "Robot 2")
    answer = await api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    answer = await robot.get("/contacts")
    assert code(answer) == (401, "not_signed_in")
    assert answer.json()["detail"] == "The API key was revoked."
    assert (await api.get("/keys")).json()["data"] == []
    (listed,) = (await api.get("/keys?revoked=true")).json()["data"]
    assert listed["revoked_at"] is not None
    assert listed == (await api.get(path)).json()
    assert (await api.delete(path)).status_code == 204, "again: nothing changes"
    assert (await api.get(path)).json()["revoked_at"] == listed["revoked_at"]


async def test_when_a_key_was_used_last_can_be_read(api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant) -> None:
    made = (await api.post("/keys", json=ROBOT)).json()
    assert made["last_used_at"] is None
    await sign_in(tenant, key=made["key"]).get("/contacts")
    async with asyncio.timeout(5):
        while (used := (await api.get(f"/keys/{made['id']}")).json()["last_used_at"]) is None:
            await asyncio.sleep(0.02)
    assert abs(datetime.fromisoformat(used) - datetime.now(UTC)) < timedelta(seconds=10)


async def test_an_altered_key_is_no_key(api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant) -> None:
    made = (await api.post("/keys", json=ROBOT)).json()
    text = made["key"]
    forged = credentials.make("live", tenant.id, credentials.read("live", text).id).text
    for key, said in (
        (text[:-1], "not copied whole"),
        (text + "x", "not copied whole"),
        (text[:20] + ("A" if text[20] != "A" else "B") + text[21:], "wrong checksum"),
        (text.replace("bb_live_", "bb_test_"), "does not begin with bb_live_"),
        (forged, "no such API key"),
        (credentials.make("live", uuid4(), uuid4()).text, "does not exist"),
    ):
        answer = await sign_in(tenant, key=key).get("/contacts")
        assert code(answer) == (401, "not_signed_in")
        assert said in answer.json()["detail"]
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (await sign_in(tenant, key=text).get("/contacts")).status_code == 200


async def test_a_key_of_somebody_who_sees_their_own_records_sees_the_same(
    api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant
) -> None:
    me = uuid4()
    person = sign_in(tenant, user=me, roles=("admin",), visibility="own")
    made = (await person.post("/keys", json=ROBOT)).json()
    assert made["visibility"] == "own"
    mine = (await api.post("/contacts", json={"first_name": "Mine", "owner_id": str(me)})).json()
    other = (await api.post("/contacts", json={"first_name": "Other"})).json()
    robot = sign_in(tenant, key=made["key"])
    assert [contact["id"] for contact in (await robot.get("/contacts")).json()["data"]] == [mine["id"]]
    assert code(await robot.get(f"/contacts/{other['id']}")) == (404, "contact_not_found")
    assert code(await person.post("/keys", json={**ROBOT, "visibility": "all"})) == (403, "cannot_grant")


async def test_nobody_makes_a_key_that_may_do_more_than_they(
    api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant
) -> None:
    narrowed = sign_in(tenant, roles=("admin",), scopes=("keys:write", "contacts:read"))
    answer = await narrowed.post("/keys", json=ROBOT)
    assert code(answer) == (403, "cannot_grant")
    assert answer.json()["detail"].endswith("does not have: contacts:write.")
    assert (await narrowed.post("/keys", json={**ROBOT, "scopes": ["contacts:read"]})).status_code == 201
    maker = (await api.post("/keys", json={"name": "maker", "scopes": ["keys:write", "contacts:read"]})).json()
    robot = sign_in(tenant, key=maker["key"])
    assert code(await robot.post("/keys", json=ROBOT)) == (403, "cannot_grant")
    answer = await robot.post("/keys", json={**ROBOT, "scopes": ["contacts:read"]})
    assert (answer.status_code, answer.json()["created_by"]) == (201, f"key:{maker['id']}")


async def test_sent_again_under_its_idempotency_key_it_is_the_same_key(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    first = await api.post("/keys", json=ROBOT, headers=headers)
    again = await api.post("/keys", json=ROBOT, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["cache-control"] == "no-store"
    assert len((await api.get("/keys")).json()["data"]) == 1


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {("#/name", "missing_field"), ("#/scopes", "missing_field")}),
        ({"name": "x", "scopes": []}, {("#/scopes", "invalid_value")}),
        (
            {"name": "", "scopes": ["contacts:rite"]},
            {("#/name", "invalid_value"), ("#/scopes/0", "unknown_permission")},
        ),
        ({**ROBOT, "expires_at": "2020-01-01T00:00:00Z"}, {("#/expires_at", "invalid_value")}),
        ({**ROBOT, "expires_at": "2999-01-01T00:00:00Z"}, {("#/expires_at", "invalid_value")}),
        ({**ROBOT, "expires_at": "2030-01-01T00:00:00"}, {("#/expires_at", "invalid_value")}),
        ({**ROBOT, "expires_at": "tomorrow"}, {("#/expires_at", "invalid_type")}),
        ({**ROBOT, "expires_at": 4000000000}, {("#/expires_at", "invalid_type")}),
        ({**ROBOT, "visibility": "mine"}, {("#/visibility", "invalid_type")}),
        ({**ROBOT, "user_id": str(uuid4())}, {("#/user_id", "unknown_field")}),
    ],
)
async def test_what_cannot_be_is_told_where_it_is(
    api: httpx.AsyncClient, body: dict[str, Any], faults: set[tuple[str, str]]
) -> None:
    answer = await api.post("/keys", json=body)
    assert code(answer) == (422, "invalid_input")
    assert {(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]} == faults


async def test_only_its_name_can_be_changed(api: httpx.AsyncClient) -> None:
    path = f"/keys/{(await api.post('/keys', json=ROBOT)).json()['id']}"
    for body in ({"scopes": ["contacts:purge"]}, {"expires_at": None}, {"visibility": "all"}, {"revoked_at": None}):
        assert code(await api.patch(path, json=body)) == (422, "invalid_input")


async def test_bad_parameters_are_told(api: httpx.AsyncClient) -> None:
    for query in ("revoked=maybe", "revoked=true&revoked=false", "limit=0", "cursor=x", "sort=name"):
        assert code(await api.get(f"/keys?{query}")) == (422, "invalid_input")
    assert code(await api.get("/keys/x")) == (422, "invalid_input")


async def test_another_tenant_sees_none_of_it(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    path = f"/keys/{(await api.post('/keys', json=ROBOT)).json()['id']}"
    for method, body in (("GET", None), ("PATCH", {"name": "X"}), ("DELETE", None)):
        assert code(await other_api.request(method, path, json=body)) == (404, "key_not_found")
    assert (await other_api.get("/keys?revoked=true")).json()["data"] == []
    assert (await api.get(path)).json()["revoked_at"] is None


async def test_without_a_token_nothing_is_told(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    for answer in (await api.get("/keys"), await api.post("/keys", json=ROBOT), await api.delete(f"/keys/{uuid4()}")):
        assert code(answer) == (401, "not_signed_in")
