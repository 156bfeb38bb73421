"""The audit log over HTTP."""

from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.features import audit
from tests.conftest import SECRET, Server, SignIn


async def test_what_happened_can_be_looked_for(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    made = await api.post("/contacts", json={"first_name": "Ann"})
    id, request = made.json()["id"], made.headers["x-request-id"]
    await api.patch(f"/contacts/{id}", json={"company": "Acme"})
    page = (await api.get("/audit/events", params={"contact_id": id})).json()
    assert [event["type"] for event in page["data"]] == ["contact.updated", "contact.created"]
    updated, created = page["data"]
    assert updated["changes"] == {"company": [None, "Acme"]}
    assert updated["data"] == {"version": 2}
    assert (created["origin"], created["request_id"], created["entity_id"]) == ("api", request, id)
    assert (await api.get(f"/audit/events/{created['id']}")).json() == created
    for asked, count in (
        ({"request_id": request}, 1), ({"field": "company"}, 1), ({"type": "contact.*"}, 2), ({"origin": "cli"}, 0),
        ({"actor": created["actor"], "entity_type": "contact", "from": created["at"]}, 2), ({"entity_id": id}, 2),
        ({"to": created["at"], "contact_id": id}, 0),
    ):  # fmt: skip
        answer = await api.get("/audit/events", params=asked)
        assert len(answer.json()["data"]) == count, (asked, answer.text)
    first = (await api.get("/audit/events", params={"contact_id": id, "limit": 1})).json()
    second = await api.get("/audit/events", params={"contact_id": id, "limit": 1, "cursor": first["next_cursor"]})
    assert [first["data"][0], second.json()["data"][0]] == page["data"]
    assert (await other_api.get("/audit/events", params={"contact_id": id})).json()["data"] == []
    assert (await other_api.get(f"/audit/events/{created['id']}")).json()["code"] == "event_not_found"


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ("actor=ann", "actor"),
        ("type=contact.creatd", "type"),
        ("type=", "type"),
        ("entity_type=thing", "entity_type"),
        ("entity_id=1", "entity_id"),
        ("contact_id=ann", "contact_id"),
        ("field=a.b", "field"),
        ("origin=mars", "origin"),
        ("from=yesterday", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "to"),
        ("limit=1000", "limit"),
        ("cursor=x", "cursor"),
        ("since=2026-11-02T00:00:00Z", "since"),
        ("actor=user:a&actor=user:b", "actor"),
    ],
)
async def test_what_cannot_be_asked_is_named(api: httpx.AsyncClient, asked: str, parameter: str) -> None:
    answer = await api.get(f"/audit/events?{asked}")
    assert answer.status_code == 422, answer.text
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


async def test_moments_at_the_ends_of_time(api: httpx.AsyncClient) -> None:
    everything = (await api.get("/audit/events")).json()["data"]
    for moments, found in (
        ({"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}, everything),
        ({"to": "1969-01-01T00:00:00Z"}, []), ({"from": "9999-12-31T23:59:59Z"}, []),
    ):  # fmt: skip
        answer = await api.get("/audit/events", params=moments)
        assert (answer.status_code, answer.json()["data"]) == (200, found)


async def test_only_who_may_reads_it(sign_in: SignIn, tenant: Tenant) -> None:
    for role, status in (("owner", 200), ("admin", 200), ("manager", 403), ("agent", 403), ("viewer", 403)):
        client = sign_in(tenant, roles=(role,))
        for path in ("/audit/events", "/audit/seals", f"/audit/events/{uuid4()}"):
            answer = await client.get(path)
            assert answer.status_code == (404 if status == 200 and len(path) > 20 else status), (role, path)


async def test_seals_are_listed(
    api: httpx.AsyncClient, server: Server, database: str, owner: psycopg.Connection[object], tenant: Tenant
) -> None:
    assert (await api.get("/audit/seals")).json()["data"] == []
    await api.post("/contacts", json={"first_name": "Ann"})
    async with Engine(server.conninfo(database), secret=SECRET) as engine:
        while not (listed := (await api.get("/audit/seals")).json()["data"]):
            await audit.seal(engine, Actor.system())
    seal = listed[-1]
    kept = owner.execute(
        "select number, events, encode(hash, 'hex') from seals where tenant_id = %s order by number", [tenant.id]
    )
    assert kept.fetchone() == (seal["number"], seal["events"], seal["hash"])
    assert set(seal) == {"number", "sealed_at", "after", "upto", "events", "root", "previous", "hash"}
    altered = await api.get("/audit/seals", params={"cursor": "x"})
    assert altered.json()["errors"][0]["parameter"] == "cursor"
