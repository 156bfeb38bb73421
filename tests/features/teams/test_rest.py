"""Teams over HTTP: status codes, headers, and bad input told where it is."""

from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.core.tenants import Tenant
from tests.conftest import SignIn


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_team_is_made_read_renamed_and_deleted(api: httpx.AsyncClient) -> None:
    answer = await api.post("/teams", json={"name": " Sales "})
    made = answer.json()
    path = f"/teams/{made['id']}"
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1{path}")
    assert (made["name"], made["members"], made["version"]) == ("Sales", 0, 1)
    tag = answer.headers["etag"]
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["etag"], answer.json()) == (200, tag, made)
    answer = await api.patch(path, json={"name": "Sales NZ"}, headers={"If-Match": tag})
    assert (answer.status_code, answer.json()["name"], answer.json()["version"]) == (200, "Sales NZ", 2)
    assert code(await api.delete(path, headers={"If-Match": tag})) == (412, "version_mismatch")
    answer = await api.delete(path, headers={"If-Match": answer.headers["etag"]})
    assert (answer.status_code, answer.content) == (204, b"")
    assert code(await api.get(path)) == (404, "team_not_found")


async def test_a_team_that_somebody_joined_has_another_etag(
    api: httpx.AsyncClient, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    team = await api.post("/teams", json={"name": "Sales"})
    owner.execute(
        "insert into memberships (tenant_id, id, email, name, role, team_ids, created_at, updated_at)"
        " values (%s, %s, 'ann@acme.example', 'Ann', 'agent', array[%s::uuid], now(), now())",
        [tenant.id, uuid4(), team.json()["id"]],
    )
    now = await api.get(f"/teams/{team.json()['id']}")
    assert now.json()["members"] == 1
    assert now.headers["etag"] != team.headers["etag"]
    renamed = await api.patch(
        f"/teams/{team.json()['id']}", json={"name": "X"}, headers={"If-Match": team.headers["etag"]}
    )
    assert renamed.status_code == 200, "who is in it does not stand in the way of its name"
    assert renamed.json()["members"] == 1


async def test_the_list_goes_by_name(api: httpx.AsyncClient) -> None:
    for name in ("b", "A", "c"):
        await api.post("/teams", json={"name": name})
    page = (await api.get("/teams?limit=2")).json()
    assert [team["name"] for team in page["data"]] == ["A", "b"]
    page = (await api.get("/teams", params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [team["name"] for team in page["data"]] == ["c"]


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({}, ("#/name", "missing_field")),
        ({"name": ""}, ("#/name", "invalid_value")),
        ({"name": "a" * 101}, ("#/name", "text_too_long")),
        ({"name": None}, ("#/name", "invalid_type")),
        ({"name": "x", "members": 3}, ("#/members", "unknown_field")),
    ],
)
async def test_what_cannot_be_is_told_where_it_is(
    api: httpx.AsyncClient, body: dict[str, Any], fault: tuple[str, str]
) -> None:
    answer = await api.post("/teams", json=body)
    assert code(answer) == (422, "invalid_input")
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [fault]


async def test_a_name_that_is_taken_is_a_conflict(api: httpx.AsyncClient) -> None:
    await api.post("/teams", json={"name": "Sales"})
    other = (await api.post("/teams", json={"name": "Other"})).json()["id"]
    assert code(await api.post("/teams", json={"name": "SALES"})) == (409, "team_name_taken")
    assert code(await api.patch(f"/teams/{other}", json={"name": "sales"})) == (409, "team_name_taken")


async def test_another_tenant_sees_none_of_it(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    path = f"/teams/{(await api.post('/teams', json={'name': 'Sales'})).json()['id']}"
    for method, body in (("GET", None), ("PATCH", {"name": "X"}), ("DELETE", None)):
        assert code(await other_api.request(method, path, json=body)) == (404, "team_not_found")
    assert (await other_api.get("/teams")).json()["data"] == []
    assert (await api.get(path)).json()["name"] == "Sales"


async def test_whoever_may_not_is_told_so(sign_in: SignIn, tenant: Tenant, api: httpx.AsyncClient) -> None:
    agent = sign_in(tenant, roles=("agent",))
    assert (await agent.get("/teams")).status_code == 200
    assert code(await agent.post("/teams", json={"name": "x"})) == (403, "permission_denied")
    assert code(await api.get("/teams/x")) == (422, "invalid_input")
    del api.headers["Authorization"]
    assert code(await api.get("/teams")) == (401, "not_signed_in")
