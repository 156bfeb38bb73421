"""The live stream over server-sent events, against a real server process."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, keys, tenants
from bellbird.features.contacts import ContactPatch
from bellbird.features.keys import NewKey
from tests import make
from tests.features.live.conftest import Open, Token
from tests.servers import Serving, ask

OWNER = Actor.user(UUID("0192f0c0-0000-7000-8000-00000000a117"))


async def created(live: Engine, of: Tenant, **fields: Any) -> Any:
    async with live.tenant(of.id, OWNER, request_id="r-1") as tx:
        return await make.contact(tx, **fields)


async def test_what_happens_is_told_with_all_that_the_log_has(
    live: Engine, acme: Tenant, token: Token, follow: Open
) -> None:
    async with follow(token()) as reader:
        ann = await created(live, acme, first_name="Ann")
        (event,) = await reader.many(1)
    assert event.id == event.data["id"] == reader.last_id
    assert event.type == event.data["type"] == "contact.created"
    assert event.data["entity_id"] == event.data["contact_id"] == str(ann.id)
    assert (event.data["actor"], event.data["origin"], event.data["request_id"]) == (str(OWNER), "library", "r-1")
    assert event.data["changes"]["first_name"] == [None, "Ann"]
    assert event.data["data"] == {"version": 1}
    assert event.data["at"].endswith("Z")


async def test_the_answer_is_a_stream_that_no_proxy_keeps_back(token: Token, follow: Open) -> None:
    async with follow(token()) as reader:
        headers = reader.response.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-store, no-transform"
        assert headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in headers and "content-length" not in headers
        assert headers["x-request-id"] and headers["ratelimit"]
        await reader.until(lambda each: each.heartbeats >= 2)


async def test_another_tenants_events_are_not_told(live: Engine, acme: Tenant, token: Token, follow: Open) -> None:
    async with live.system(Actor.system()) as system:
        other = await tenants.create(system, f"t-{uuid4().hex}")
    async with follow(token()) as reader, follow(token(other)) as theirs:
        await created(live, other, first_name="Bob")
        await theirs.many(1)
        await created(live, acme, first_name="Ann")
        (event,) = await reader.many(1)
        assert event.data["changes"]["first_name"] == [None, "Ann"]
        assert len(theirs.events) == 1


async def test_filters_by_type_contact_and_thing(live: Engine, acme: Tenant, token: Token, follow: Open) -> None:
    ann, bob = await created(live, acme, first_name="Ann"), await created(live, acme, first_name="Bob")
    bearer = token()
    async with (
        follow(bearer, types="contact.updated,contact.deleted") as by_type,
        follow(bearer, contact_id=str(ann.id)) as by_contact,
        follow(bearer, entity_id=str(bob.id), types="contact.*") as by_thing,
    ):
        async with live.tenant(acme.id, OWNER) as tx:
            for each in (ann, bob):
                await contacts.update(tx, each.id, ContactPatch(company="Acme"))
            await contacts.delete(tx, ann.id)
        await created(live, acme, first_name="Cy")
        assert [each.type for each in await by_type.many(3)] == ["contact.updated"] * 2 + ["contact.deleted"]
        assert [each.type for each in await by_contact.many(2)] == ["contact.updated", "contact.deleted"]
        assert [each.data["entity_id"] for each in await by_thing.many(1)] == [str(bob.id)]


async def test_one_that_was_cut_off_goes_on_where_it_was(
    live: Engine, acme: Tenant, token: Token, follow: Open
) -> None:
    bearer = token()
    async with follow(bearer) as reader:
        await created(live, acme, first_name="one")
        await reader.many(1)
        cut = reader.last_id
    for name in ("two", "three"):
        await created(live, acme, first_name=name)
    async with follow(bearer, after=cut) as reader:
        await created(live, acme, first_name="four")
        names = [each.data["changes"]["first_name"][1] for each in await reader.many(3)]
    assert names == ["two", "three", "four"]
    async with follow(bearer, last_event_id=cut, seconds=0) as reader:
        await reader.many(3)


async def test_one_that_was_told_nothing_yet_can_go_on_too(
    live: Engine, acme: Tenant, token: Token, follow: Open
) -> None:
    async with follow(token()) as reader:
        await reader.until(lambda each: each.last_id is not None)
        cut = reader.last_id
    await created(live, acme, first_name="Ann")
    async with follow(token(), after=cut) as reader:
        assert [each.type for each in await reader.many(1)] == ["contact.created"]


async def test_going_on_while_much_happens_leaves_nothing_out_and_tells_nothing_twice(
    live: Engine, acme: Tenant, token: Token, follow: Open
) -> None:
    async def write(count: int) -> None:
        for at in range(count):
            await created(live, acme, first_name=f"n{at}")

    async with follow(token(), seconds=0) as reader:
        await reader.until(lambda each: each.last_id is not None)
        start = reader.last_id
    writing = [asyncio.create_task(write(60)) for _ in range(4)]
    got: list[str] = []
    after = start
    while len(got) < 240:
        async with follow(token(), after=after) as reader:
            await asyncio.sleep(0.15)
            await reader.until(lambda each: len(each.events) > 0 or all(task.done() for task in writing))
            got += [each.id for each in reader.events if each.id]
            after = reader.last_id
        if all(task.done() for task in writing) and not reader.events:
            break
    await asyncio.gather(*writing)
    async with follow(token(), after=start, seconds=0) as reader:
        await reader.until(lambda each: each.is_over and len(each.events) >= 240)
        logged = [each.id for each in reader.events]
    assert got == logged
    assert len(set(got)) == 240


async def test_a_long_transaction_holds_back_what_came_later_and_nothing_is_lost(
    live: Engine, acme: Tenant, token: Token, follow: Open
) -> None:
    async with follow(token()) as reader:
        async with live.tenant(acme.id, OWNER) as slow:
            await make.contact(slow, first_name="slow")
            await slow.flush()
            await created(live, acme, first_name="quick")
            await asyncio.sleep(0.3)
            assert reader.events == []
        names = [each.data["changes"]["first_name"][1] for each in await reader.many(2)]
    assert sorted(names) == ["quick", "slow"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("nonsense", "must be a UUID"),
        ("6c84fb90-12c4-11e1-840d-7b25c5ee775a", "no event's id"),
        ("ffffffff-ffff-7fff-bfff-ffffffffffff", "future"),
        ("0190f0c0-0000-7000-8000-00000000a117", "no event"),
    ],
)
async def test_an_id_to_go_on_from_that_is_none(process: Serving, token: Token, given: str, reason: str) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    url = f"{process.url}/api/v1/events/stream"
    async with httpx.AsyncClient(headers=headers) as client:
        for answer in (
            await client.get(url, headers={"Last-Event-ID": given}),
            await client.get(url, params={"last_event_id": given}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_event_id"), answer.text
            assert reason in answer.json()["detail"]


async def test_another_tenants_event_id_looks_like_none_at_all(
    live: Engine, process: Serving, token: Token, follow: Open
) -> None:
    async with live.system(Actor.system()) as system:
        other = await tenants.create(system, f"t-{uuid4().hex}")
    async with follow(token(other), seconds=0) as theirs:
        await theirs.until(lambda each: each.last_id is not None)
    assert theirs.last_id
    answers = []
    for id in (theirs.last_id, theirs.last_id[:-4] + "0000"):
        answer = httpx.get(
            f"{process.url}/api/v1/events/stream",
            headers={"Authorization": f"Bearer {token()}", "Last-Event-ID": id},
        )
        answers.append((answer.status_code, answer.json()["detail"].replace(id, "ID")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 400


async def test_an_event_from_before_what_the_log_keeps_is_gone(process: Serving, token: Token) -> None:
    answer = httpx.get(
        f"{process.url}/api/v1/events/stream",
        headers={"Authorization": f"Bearer {token()}", "Last-Event-ID": "0000f0c0-0000-7000-8000-00000000a117"},
    )
    assert (answer.status_code, answer.json()["code"]) == (410, "events_gone")


@pytest.mark.parametrize(
    ("query", "parameter", "hint"),
    [
        ({"types": "contact.creatd"}, "types", "contact.created"),
        ({"types": "contacts.*"}, "types", "contact.*"),
        ({"types": ""}, "types", "empty"),
        ({"contact_id": "ann"}, "contact_id", "UUID"),
        ({"seconds": "-1"}, "seconds", "0"),
        ({"seconds": "99999999"}, "seconds", "86400"),
        ({"type": "contact.created"}, "type", "types"),
    ],
)
async def test_a_filter_that_there_is_not_is_refused_and_the_right_one_named(
    process: Serving, token: Token, query: dict[str, str], parameter: str, hint: str
) -> None:
    answer = httpx.get(
        f"{process.url}/api/v1/events/stream", params=query, headers={"Authorization": f"Bearer {token()}"}
    )
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["parameter"] == parameter and hint in error["detail"]


async def test_each_is_told_what_they_may_see(live: Engine, acme: Tenant, token: Token, follow: Open) -> None:
    ann, ben = uuid4(), uuid4()
    async with (
        follow(token(user=ann, roles=("agent",), visibility="own")) as anns,
        follow(token(roles=("agent",))) as every_contact,
        follow(token()) as everything,
        follow(token(scopes=["users:read"])) as nothing,
    ):
        mine = await created(live, acme, first_name="mine", owner_id=ann)
        await created(live, acme, first_name="his", owner_id=ben)
        await created(live, acme, first_name="nobody's")
        async with live.tenant(acme.id, OWNER) as tx:
            await keys.create(tx, NewKey(name="robot", scopes=("contacts:read",)))
            await contacts.update(tx, mine.id, ContactPatch(company="Acme"))
        assert [each.type for each in await everything.many(5)].count("key.created") == 1
        await every_contact.many(4)
        assert {each.data["entity_id"] for each in await anns.many(2)} == {str(mine.id)}
        await asyncio.sleep(0.2)
        assert len(every_contact.events) == 4 and len(anns.events) == 2 and nothing.events == []


async def test_hidden_fields_are_left_out(
    live: Engine, acme: Tenant, process: Serving, token: Token, follow: Open
) -> None:
    admin = {"Authorization": f"Bearer {token()}"}
    role = {"name": "blind", "permissions": ["contacts:read"], "fields": {"contact": {"hidden": ["company"]}}}
    assert httpx.post(f"{process.url}/api/v1/roles", json=role, headers=admin).status_code == 201
    async with follow(token(roles=("blind",)), types="contact.*") as blind, follow(token(), types="contact.*") as whole:
        await created(live, acme, first_name="Ann", company="Acme")
        (shown,), (all_of_it,) = await blind.many(1), await whole.many(1)
    assert "company" not in shown.data["changes"] and "company" in all_of_it.data["changes"]
    assert shown.data["changes"]["first_name"] == [None, "Ann"]


async def test_after_a_key_was_revoked_nothing_more_is_told(
    live: Engine, acme: Tenant, token: Token, follow: Open
) -> None:
    async with live.tenant(acme.id, OWNER) as tx:
        key = await keys.create(tx, NewKey(name="robot", scopes=("contacts:read",)))
    async with follow(key.key) as reader:
        await created(live, acme, first_name="before")
        await reader.many(1)
        async with live.tenant(acme.id, OWNER) as tx:
            await keys.revoke(tx, key.id)
        await asyncio.sleep(1)
        await created(live, acme, first_name="after")
        await reader.until(lambda each: "closed" in each.types)
    assert reader.types == ["contact.created", "closed"]
    assert reader.events[-1].data["code"] == "not_signed_in"
    assert "revoked" in reader.events[-1].data["detail"]


async def test_it_ends_with_its_token_even_if_nothing_happens(token: Token, follow: Open) -> None:
    async with follow(token(seconds=4)) as reader:
        await reader.until(lambda each: "closed" in each.types, seconds=20)
    assert reader.events[-1].data["code"] == "not_signed_in"


async def test_it_ends_by_itself_after_so_many_seconds(live: Engine, acme: Tenant, token: Token, follow: Open) -> None:
    async with follow(token(), seconds=1) as reader:
        await created(live, acme, first_name="Ann")
        await reader.until(lambda each: each.is_over)
        assert reader.types == ["contact.created"]


async def test_head_tells_the_headers_alone(process: Serving, token: Token) -> None:
    answer = httpx.head(f"{process.url}/api/v1/events/stream", headers={"Authorization": f"Bearer {token()}"})
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/event-stream")


async def test_who_has_not_signed_in_is_refused(process: Serving) -> None:
    assert httpx.get(f"{process.url}/api/v1/events/stream").status_code == 401


async def test_how_many_there_are_is_counted_and_falls_again(process: Serving, token: Token, follow: Open) -> None:
    def clients() -> float:
        for line in httpx.get(f"{process.url}/metrics").text.splitlines():
            if line.startswith('bellbird_stream_clients{kind="sse"}'):
                return float(line.split()[-1])
        raise AssertionError("it is not told")

    async def until(count: int) -> None:
        async with asyncio.timeout(5):
            while await asyncio.to_thread(clients) != count:
                await asyncio.sleep(0.05)

    await until(0)
    async with follow(token()), follow(token()):
        await until(2)
    await until(0)


async def test_a_large_import_is_told_to_everybody(live: Engine, acme: Tenant, token: Token, follow: Open) -> None:
    async with follow(token()) as one, follow(token(), types="contact.created") as another:
        async with live.tenant(acme.id, OWNER) as tx:
            for at in range(2_500):
                await make.contact(tx, first_name=f"n{at}", company="x" * 180)
        for reader in (one, another):
            told = await reader.until(lambda each: len(each.events) >= 2_500, seconds=20)
            assert [each.data["changes"]["first_name"][1] for each in told.events] == [f"n{at}" for at in range(2_500)]


async def test_it_goes_on_when_the_readers_connections_were_cut(
    live: Engine, acme: Tenant, token: Token, follow: Open, own_cluster: Any
) -> None:
    async with follow(token()) as reader:
        await created(live, acme, first_name="one")
        await reader.many(1)
        theirs = "datname = 'bellbird' and pid <> pg_backend_pid()"
        cut = f"select pg_terminate_backend(pid) from pg_stat_activity where {theirs}"
        ask(own_cluster.conninfo("bellbird"), cut)
        await asyncio.sleep(0.1)
        async with asyncio.timeout(8):
            while True:
                try:
                    await created(live, acme, first_name="two")
                    break
                except Exception:  # noqa: BLE001 - the engine's own connections were cut as well
                    await asyncio.sleep(0.1)
        names = [each.data["changes"]["first_name"][1] for each in await reader.many(2)]
    assert names == ["one", "two"]
