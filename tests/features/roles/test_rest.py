"""Roles over HTTP: status codes, headers, and bad input told where it is."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.core.tenants import Tenant
from tests.conftest import SignIn

TEMP = {
    "name": "temp",
    "permissions": ["contacts:read"],
    "visibility": "own",
    "fields": {"contact": {"hidden": ["birthday"], "read_only": ["phones"]}},
}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_role_is_made_read_changed_and_deleted(api: httpx.AsyncClient) -> None:
    answer = await api.post("/roles", json=TEMP)
    made = answer.json()
    assert (answer.status_code, answer.headers["location"], answer.headers["etag"]) == (
        201, "/api/v1/roles/temp", '"1"',
    )  # fmt: skip
    assert {name: made[name] for name in TEMP} == TEMP
    assert (made["built_in"], made["version"]) == (False, 1)
    answer = await api.get("/roles/temp")
    assert (answer.status_code, answer.headers["etag"], answer.json()) == (200, '"1"', made)
    change = {"visibility": "team", "fields": {"contact": {"hidden": None}}}
    answer = await api.patch("/roles/temp", json=change, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["etag"], answer.json()["visibility"]) == (200, '"2"', "team")
    assert answer.json()["fields"] == {"contact": {"hidden": [], "read_only": ["phones"]}}
    stale = await api.delete("/roles/temp", headers={"If-Match": '"1"'})
    assert code(stale) == (412, "version_mismatch")
    assert stale.json()["current"] == answer.json()
    answer = await api.delete("/roles/temp", headers={"If-Match": '"2"'})
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await api.get("/roles/temp")) == (404, "role_not_found")


async def test_the_list_has_the_built_in_roles_first(api: httpx.AsyncClient) -> None:
    await api.post("/roles", json=TEMP)
    page = (await api.get("/roles?limit=4")).json()
    names = [(role["name"], role["built_in"]) for role in page["data"]]
    assert names == [("owner", True), ("admin", True), ("manager", True), ("agent", True)]
    page = (await api.get("/roles", params={"cursor": page["next_cursor"]})).json()
    assert [(role["name"], role["built_in"]) for role in page["data"]] == [("viewer", True), ("temp", False)]
    assert page["next_cursor"] is None


async def test_what_is_built_in_can_be_read_only(api: httpx.AsyncClient) -> None:
    answer = await api.get("/roles/viewer")
    assert answer.status_code == 200
    assert answer.headers["etag"] != (await api.get("/roles/agent")).headers["etag"]
    headers = {"If-Match": answer.headers["etag"]}
    assert code(await api.patch("/roles/viewer", json={}, headers=headers)) == (409, "role_built_in")
    assert code(await api.delete("/roles/viewer")) == (409, "role_built_in")
    assert code(await api.post("/roles", json={**TEMP, "name": "viewer"})) == (409, "role_name_taken")


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        ({}, {("#/name", "missing_field"), ("#/permissions", "missing_field")}),
        ({**TEMP, "name": "Night Shift"}, {("#/name", "role_name_invalid")}),
        ({**TEMP, "permissions": ["contacts:reed"]}, {("#/permissions/0", "unknown_permission")}),
        ({**TEMP, "permissions": "contacts:read"}, {("#/permissions", "invalid_type")}),
        ({**TEMP, "visibility": None}, {("#/visibility", "invalid_type")}),
        ({**TEMP, "visiblity": "own"}, {("#/visiblity", "unknown_field")}),
        ({**TEMP, "fields": {"contact": {"hiden": ["a"]}}}, {("#/fields/contact/hiden", "unknown_field")}),
        ({**TEMP, "fields": {"contact": {"hidden": ["birtday", "id"]}}},
         {("#/fields/contact/hidden/0", "not_securable"), ("#/fields/contact/hidden/1", "not_securable")}),
        ({**TEMP, "fields": {"contract": {}}}, {("#/fields/contract", "unknown_kind")}),
        ({**TEMP, "fields": []}, {("#/fields", "invalid_type")}),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_told_where_it_is(
    api: httpx.AsyncClient, body: dict[str, Any], faults: set[tuple[str, str]]
) -> None:
    answer = await api.post("/roles", json=body)
    assert code(answer) == (422, "invalid_input")
    assert {(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]} == faults


async def test_a_change_that_cannot_be_is_told_where_it_is(api: httpx.AsyncClient) -> None:
    await api.post("/roles", json=TEMP)
    for body, pointer in (
        ({"name": "other"}, "#/name"),
        ({"permissions": None}, "#/permissions"),
        ({"permissions": ["tenants:write"]}, "#/permissions/0"),
        ({"fields": {"contact": {"hiden": []}}}, "#/fields/contact/hiden"),
        ({"fields": {"contact": {"read_only": ["version"]}}}, "#/fields/contact/read_only/0"),
    ):
        answer = await api.patch("/roles/temp", json=body)
        assert code(answer) == (422, "invalid_input"), body
        assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("name", ["Temp", "a%20b", "%00", "a" * 300, "%F0%9F%8C%8F", "%FF", "temp%2Fx"])
async def test_what_can_be_no_name_is_no_role(api: httpx.AsyncClient, name: str) -> None:
    for method, body in (("GET", None), ("PATCH", {}), ("DELETE", None)):
        answer = await api.request(method, f"/roles/{name}", json=body)
        assert answer.status_code == 404, answer.text


async def test_a_name_that_is_taken_is_a_conflict(api: httpx.AsyncClient) -> None:
    await api.post("/roles", json=TEMP)
    assert code(await api.post("/roles", json=TEMP)) == (409, "role_name_taken")


async def test_a_role_that_somebody_has_stays(
    api: httpx.AsyncClient, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    await api.post("/roles", json=TEMP)
    owner.execute(
        "insert into memberships (tenant_id, id, email, name, role, created_at, updated_at)"
        " values (%s, %s, 'ann@acme.example', 'Ann', 'temp', now(), now())",
        [tenant.id, uuid4()],
    )
    answer = await api.delete("/roles/temp")
    assert code(answer) == (409, "role_in_use")
    assert answer.json()["members"] == 1


async def test_nobody_gives_more_than_they_have(sign_in: SignIn, tenant: Tenant, api: httpx.AsyncClient) -> None:
    await api.post("/roles", json={"name": "clerk", "permissions": ["roles:read", "roles:write", "contacts:read"]})
    clerk = sign_in(tenant, roles=("clerk",))
    assert (await clerk.post("/roles", json=TEMP)).status_code == 201
    for answer in (
        await clerk.post("/roles", json={**TEMP, "name": "x", "permissions": ["contacts:purge", "contacts:read"]}),
        await clerk.patch("/roles/clerk", json={"permissions": ["contacts:purge"]}),
    ):
        assert code(answer) == (403, "cannot_grant")
        assert "does not have: contacts:purge." in answer.json()["detail"]
    assert code(await sign_in(tenant, roles=("manager",)).post("/roles", json=TEMP)) == (403, "permission_denied")


async def test_a_change_to_ones_role_holds_at_once(sign_in: SignIn, tenant: Tenant, api: httpx.AsyncClient) -> None:
    await api.post("/roles", json={**TEMP, "visibility": "all", "fields": {}})
    temp = sign_in(tenant, roles=("temp",))
    assert (await temp.get("/contacts")).status_code == 200
    await api.patch("/roles/temp", json={"permissions": []})
    assert code(await temp.get("/contacts")) == (403, "permission_denied")
    await api.delete("/roles/temp")
    assert code(await temp.get("/contacts")) == (403, "permission_denied")


async def test_another_tenant_sees_none_of_it(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    await api.post("/roles", json=TEMP)
    for method, body in (("GET", None), ("PATCH", {"visibility": "all"}), ("DELETE", None)):
        assert code(await other_api.request(method, "/roles/temp", json=body)) == (404, "role_not_found")
    assert len((await other_api.get("/roles")).json()["data"]) == 5
    assert (await api.get("/roles/temp")).json()["visibility"] == "own"


async def test_without_a_token_nothing_is_told(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    for answer in (await api.get("/roles"), await api.get("/roles/owner"), await api.post("/roles", json=TEMP)):
        assert code(answer) == (401, "not_signed_in")
