"""A contact as it was: at each moment of whatever was done to it, exactly."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from bellbird.core.actors import Actor, FieldRules
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.features import contacts
from bellbird.features.contacts import (
    Address,
    Contact,
    ContactNotFound,
    ContactPatch,
    Email,
    HistoryGone,
    Phone,
    Url,
)
from tests import make
from tests.conftest import Begin, Server

START = datetime(2026, 10, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="session")
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture(scope="session")
async def timed(server: Server, database: str, clock: FakeClock) -> AsyncIterator[Engine]:
    """The engine with a clock that is set."""
    async with Engine(server.conninfo(database)) as engine:
        engine.clock = clock
        yield engine


def text() -> Any:
    return st.none() | st.sampled_from(["Ann", "Bob", "Zoë", "李", "O'Hara"])


PATCHES = st.fixed_dictionaries({}, optional={
    "first_name": text(), "last_name": text(), "company": text(), "job_title": text(),
    "display_name": st.sampled_from(["A", "B"]),
    "kind": st.sampled_from(["person", "organisation"]),
    "phones": st.lists(st.sampled_from([Phone("0412 345 678"), Phone("0412 345 679", label="mobile")]), max_size=2)
    .map(tuple),
    "emails": st.sampled_from([(), (Email("ann@acme.example"),), (Email("ann@acme.example", label="x"),)]),
    "addresses": st.sampled_from([(), (Address(street="1 High St", city="Perth", country="AU"),)]),
    "urls": st.sampled_from([(), (Url("https://acme.example"),)]),
    "birthday": st.none() | st.dates(date(1950, 1, 1), date(2000, 1, 1)),
    "owner_id": st.none() | st.uuids(version=4),
    "tags": st.sampled_from([(), ("vip",), ("vip", "lead")]),
    "custom": st.sampled_from([{}, {"plan": "gold", "n": 1.5, "deep": {"x": [1, None, "y"]}}]),
    "timezone": st.none() | st.just("Australia/Perth"),
    "external_id": st.none() | st.uuids(version=4).map(str),
})  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(["update", "update", "delete", "restore"]), PATCHES, st.integers(0, 2_000_000)),
    min_size=1, max_size=8,
)  # fmt: skip


@given(steps=STEPS)
async def test_each_state_is_what_it_was_at_that_moment(
    timed: Engine, tenant: Tenant, actor: Actor, clock: FakeClock, steps: list[tuple[str, dict[str, Any], int]]
) -> None:
    async def now() -> Contact:
        rows = await ReadTx(timed, tenant.id, actor, None).all(
            f"select {contacts.history.READ} from contacts where tenant_id = $1 and id = $2", tenant.id, id
        )
        return contacts.history.from_row(rows[0])

    async with timed.tenant(tenant.id, actor) as tx:
        id = (await make.contact(tx, first_name="Ann", custom={"made": True})).id
    states = [(clock.now(), await now())]
    for verb, patch, milliseconds in steps:
        clock.move(timedelta(milliseconds=milliseconds + 1))
        deleted = states[-1][1].deleted_at is not None
        if deleted != (verb == "restore"):
            continue
        if patch.get("external_id"):  # which no other contact of the tenant has
            patch["external_id"] = f"{id} {patch['external_id']}"
        with suppress(InvalidInput):  # a contact needs a name of some kind
            async with timed.tenant(tenant.id, actor) as tx:
                if verb == "update":
                    await contacts.update(tx, id, ContactPatch(**patch))
                elif verb == "delete":
                    await contacts.delete(tx, id)
                else:
                    await contacts.restore(tx, id)
        states.append((clock.now(), await now()))
    clock.move(timedelta(days=1))
    read = ReadTx(timed, tenant.id, actor, None)
    for (at, state), following in zip(states, [*(each[0] for each in states[1:]), clock.now()], strict=True):
        assert asdict(await contacts.as_of(read, id, at)) == asdict(state)
        assert asdict(await contacts.as_of(read, id, following - timedelta(milliseconds=1))) == asdict(state)
    with pytest.raises(ContactNotFound, match="was made later"):
        await contacts.as_of(read, id, states[0][0] - timedelta(milliseconds=1))


async def test_what_cannot_be_told_is_said(
    begin: Begin, read: ReadTx, engine: Engine, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", owner_id=uuid4())
    now = engine.clock.now()
    with pytest.raises(InvalidInput, match="future"):
        await contacts.as_of(read, ann.id, now + timedelta(hours=1))
    with pytest.raises(ContactNotFound):
        await contacts.as_of(read, uuid4(), now)
    mine = ReadTx(engine, tenant.id, Actor.user(uuid4(), visibility="own"), None)
    with pytest.raises(ContactNotFound):
        await contacts.as_of(mine, ann.id, now)
    async with begin() as tx:
        await contacts.update(tx, ann.id, ContactPatch(company="Acme"))
    owner.execute("delete from events where contact_id = %s and type = 'contact.updated'", [ann.id])
    with pytest.raises(HistoryGone, match="version 2"):
        await contacts.as_of(read, ann.id, ann.updated_at)
    async with begin() as tx:
        await contacts.purge(tx, ann.id)
    with pytest.raises(ContactNotFound):
        await contacts.as_of(read, ann.id, engine.clock.now() - timedelta(milliseconds=1))


async def test_where_the_log_was_trimmed(
    begin: Begin, read: ReadTx, engine: Engine, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann")
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    owner.execute("update contacts set created_at = %s, version = 3 where id = %s", [long_ago, ann.id])
    owner.execute("delete from events where contact_id = %s", [ann.id])
    owner.execute(
        "insert into events (tenant_id, id, type, entity_type, entity_id, actor, origin, data) values"
        " (%s, gen_random_uuid(), 'log.trimmed', 'log', %s, 'system:worker', 'job',"
        ' \'{"before": "2026-01-01T00:00:00Z", "events": 3}\')',
        [tenant.id, tenant.id],
    )
    with pytest.raises(HistoryGone, match="2026-01-01") as raised:
        await contacts.as_of(read, ann.id, datetime(2025, 12, 31, tzinfo=UTC))
    assert raised.value.extra == {"kept_since": datetime(2026, 1, 1, tzinfo=UTC)}
    async with begin() as tx:
        await contacts.update(tx, ann.id, ContactPatch(company="Acme"))
    was = await contacts.as_of(read, ann.id, datetime(2026, 2, 1, tzinfo=UTC))
    assert (was.company, was.version, was.updated_at) == (None, 3, UNSET), "but when that was made is not known"
    with pytest.raises(ContactNotFound):
        await contacts.as_of(read, ann.id, long_ago - timedelta(days=1))


async def test_what_is_hidden_now_was_hidden_then(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", last_name="Lee", phone="0412 345 678")
    actor = Actor.user(uuid4(), fields={"contact": FieldRules(hidden=frozenset({"phones"}))})
    was = await contacts.as_of(ReadTx(engine, tenant.id, actor, None), ann.id, ann.created_at)
    assert was == replace(ann, phones=UNSET)  # type: ignore[arg-type]
    some = await contacts.as_of(ReadTx(engine, tenant.id, actor, None), ann.id, ann.created_at, fields=["last_name"])
    assert (some.id, some.last_name, some.first_name) == (ann.id, "Lee", UNSET)


async def test_over_http(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    made = (await api.post("/contacts", json={"first_name": "Ann"})).json()
    path = f"/contacts/{made['id']}"
    changed = (await api.patch(path, json={"company": "Acme"})).json()
    assert (await api.get(path, params={"as_of": changed["updated_at"]})).json() == changed
    await api.delete(path)
    was = await api.get(path, params={"as_of": changed["updated_at"]})
    assert was.json() == changed
    assert was.headers["etag"].startswith('"2-')
    assert (await api.get(path)).status_code == 404
    assert (await other_api.get(path, params={"as_of": changed["updated_at"]})).status_code == 404
    with_plus = changed["updated_at"].replace("Z", "+00:00")
    assert (await api.get(f"{path}?as_of={with_plus}")).json() == changed, "a plus sign that nobody encoded"
    for bad in ("yesterday", "2026-11-01T10:00:00", "2999-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "2026-11-01"):
        answer = await api.get(path, params={"as_of": bad})
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, "as_of"), bad
    answer = await api.get(path, params={"as_of": changed["updated_at"], "include": "owner"})
    assert answer.json()["errors"][0]["parameter"] == "include"
    answer = await api.get(path, params={"as_of": "1999-01-01T00:00:00Z"})
    assert (answer.status_code, answer.json()["code"]) == (404, "contact_not_found")
