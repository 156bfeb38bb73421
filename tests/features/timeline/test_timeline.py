"""A contact's timeline: every source merged, newest first, nothing lost and nothing twice, only what the actor sees."""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core import ids, timeline
from bellbird.core.actors import Actor, FieldRules
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import Forbidden, InvalidInput
from bellbird.core.migrate import tenant_table
from bellbird.core.tenants import Tenant
from bellbird.core.timeline import Entry, Source
from bellbird.features import contacts, tenants
from bellbird.features.contacts import Contact, ContactNotFound, ContactPatch, Email, Phone
from bellbird.features.timeline import page
from tests import make
from tests.conftest import Begin, run

ANN, BEN = (UUID(f"0192f0c0-0000-7000-8000-00000000000{digit}") for digit in "ab")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture
def reading(engine: Engine, tenant: Tenant) -> Callable[[Actor], ReadTx]:
    return lambda actor: ReadTx(engine, tenant.id, actor, None)


@pytest.fixture
async def ann(begin: Begin) -> Contact:
    """A contact that was made, changed, deleted, restored and changed again."""
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", phone="0412 345 678", owner_id=ANN)
        await make.contact(tx, first_name="Ben")
    for verb in (
        lambda tx: contacts.update(tx, made.id, ContactPatch(company="Acme")),
        lambda tx: contacts.delete(tx, made.id),
        lambda tx: contacts.restore(tx, made.id),
        lambda tx: contacts.update(tx, made.id, ContactPatch(first_name="Anne")),
    ):
        async with begin() as tx:
            await verb(tx)
    return made


LIFE = ["contact.updated", "contact.restored", "contact.deleted", "contact.updated", "contact.created"]


def types(entries: Any) -> list[str]:
    return [entry.type for entry in entries]


async def test_it_has_what_happened_to_the_contact_newest_first(ann: Contact, read: ReadTx, actor: Actor) -> None:
    found = await page(read, ann.id)
    assert types(found.data) == LIFE
    assert (found.next_cursor, found.previous_cursor) == (None, None)
    assert [entry.data for entry in found.data] == [{"version": version} for version in (5, 4, 3, 2, 1)]
    newest, oldest = found.data[0], found.data[-1]
    assert newest.changes == {"first_name": ("Ann", "Anne"), "display_name": ("Ann", "Anne")}
    assert (oldest.kind, oldest.actor, oldest.at) == ("event", str(actor), ann.created_at)
    assert oldest.id.version == 7


async def test_a_deleted_contact_has_one_until_it_is_purged(ann: Contact, begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        await contacts.delete(tx, ann.id)
    assert types((await page(read, ann.id)).data) == ["contact.deleted", *LIFE]
    async with begin() as tx:
        await contacts.purge(tx, ann.id)
    with pytest.raises(ContactNotFound):
        await page(read, ann.id)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (["contact.deleted"], ["contact.deleted"]),
        (["contact.deleted", "contact.restored"], ["contact.restored", "contact.deleted"]),
        (["contact.*"], LIFE),
        (["event"], LIFE),
        (["event", "contact.created", "contact.created"], LIFE),
    ],
)
async def test_it_can_be_had_by_type(ann: Contact, read: ReadTx, wanted: list[str], expected: list[str]) -> None:
    assert types((await page(read, ann.id, types=wanted)).data) == expected
    seen, cursor = [], None
    for _ in expected:
        each = await page(read, ann.id, types=wanted, limit=1, cursor=cursor)
        seen += types(each.data)
        cursor = each.next_cursor
    assert (seen, cursor) == (expected, None)


@pytest.mark.parametrize(
    ("given", "parameter", "said"),
    [
        ({"types": ["contact.update"]}, "types", "did you mean contact.updated?"),
        ({"types": ["xyzzy"]}, "types", "contact.*, contact.created"),
        ({"types": [""]}, "types", "there is no ''"),
        ({"types": ["contact.*", "key.*"]}, "types", "there is no 'key.*'"),
        ({"limit": 0}, "limit", "must be from 1 to 200"),
        ({"limit": 201}, "limit", "must be from 1 to 200"),
        ({"cursor": "nonsense"}, "cursor", "is n"),
    ],
)
async def test_mistakes_are_named(ann: Contact, read: ReadTx, given: dict[str, Any], parameter: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await page(read, ann.id, **given)
    (fault,) = refused.value.faults
    assert fault.parameter == parameter
    assert said in fault.message


async def test_a_cursor_is_good_for_its_own_timeline_only(ann: Contact, begin: Begin, read: ReadTx) -> None:
    cursor = (await page(read, ann.id, limit=1)).next_cursor
    async with begin() as tx:
        another = await make.contact(tx)
    for of in ({"contact_id": another.id}, {"contact_id": ann.id, "types": ["contact.updated"]}):
        with pytest.raises(InvalidInput, match="cursor"):
            await page(read, **of, limit=1, cursor=cursor)


async def test_whoever_does_not_see_the_contact_sees_no_timeline(
    ann: Contact, begin: Begin, reading: Callable[[Actor], ReadTx], other_tenant: Tenant
) -> None:
    for actor in (Actor.user(BEN, visibility="own"), Actor("key", str(uuid4()), Actor.user(ANN).permissions,
                                                           visibility="own")):  # fmt: skip
        with pytest.raises(ContactNotFound) as refused:
            await page(reading(actor), ann.id)
        with pytest.raises(ContactNotFound) as nobodys:
            await page(reading(actor), nobody := uuid4())
        assert str(refused.value.detail).replace(str(ann.id), "") == nobodys.value.detail.replace(str(nobody), "")
    for actor in (Actor.user(ANN, visibility="own"), Actor.user(BEN, visibility="team", team=frozenset({ANN}))):
        assert types((await page(reading(actor), ann.id)).data) == LIFE
    async with begin(other_tenant) as tx:
        with pytest.raises(ContactNotFound):
            await page(tx, ann.id)
    with pytest.raises(Forbidden):
        await page(reading(Actor.user(ANN, permissions=frozenset({"audit:read"}))), ann.id)


async def test_the_new_owner_sees_what_happened_before(
    ann: Contact, begin: Begin, reading: Callable[[Actor], ReadTx]
) -> None:
    async with begin() as tx:
        await contacts.update(tx, ann.id, ContactPatch(owner_id=BEN))
    assert types((await page(reading(Actor.user(BEN, visibility="own")), ann.id)).data) == ["contact.updated", *LIFE]
    with pytest.raises(ContactNotFound):
        await page(reading(Actor.user(ANN, visibility="own")), ann.id)


@pytest.mark.parametrize(
    ("hidden", "gone"),
    [
        ({"phones"}, {"phones", "display_name"}),
        ({"company"}, {"company", "display_name"}),
        ({"first_name"}, {"first_name", "display_name"}),
        ({"emails", "owner_id"}, {"emails", "owner_id", "display_name"}),
        ({"tags"}, {"tags"}),
    ],
)
async def test_of_hidden_fields_no_change_is_told(
    begin: Begin, reading: Callable[[Actor], ReadTx], hidden: set[str], gone: set[str]
) -> None:
    """A name may have been made up from them, so that it is as secret."""
    secrets = ["Zyx", "+61412345678", "zyx@acme.example", str(ANN), "Xylo Pty", "vip"]
    async with begin() as tx:
        made = await make.contact(
            tx, first_name="Zyx", company="Xylo Pty", tags=("vip",), owner_id=ANN, phones=(Phone("0412 345 678"),),
            emails=(Email("zyx@acme.example"),),
        )  # fmt: skip
        await contacts.update(tx, made.id, ContactPatch(first_name=None))
    everything = await page(reading(Actor.user(ANN)), made.id)
    assert set(everything.data[-1].changes or ()) >= {*gone, "company", "tags"}
    actor = Actor.user(ANN, fields={"contact": FieldRules(hidden=frozenset(hidden))})
    shown = await page(reading(actor), made.id)
    assert types(shown.data) == types(everything.data)
    for before, after in zip(everything.data, shown.data, strict=True):
        assert set(after.changes or ()) == set(before.changes or ()) - gone
    told = str(shown.data)
    value = {"phones": secrets[1], "company": secrets[4], "first_name": secrets[0], "tags": secrets[5]}
    assert all(value[name] not in told for name in hidden & value.keys() - {"first_name"})


async def test_the_log_is_read_by_the_contacts_index(ann: Contact, begin: Begin) -> None:
    async with begin() as tx:
        for _ in range(300):  # enough of others
            await make.contact(tx)
    asked = f"select id from ({timeline.EVENTS}) as entry where id < $3 and id >= $4 and type = any($5::text[])"
    async with begin() as tx:
        everything = (ids.first_at(NOON + timedelta(days=3650)), ids.first_at(NOON), ["contact.created"])
        tx.queue("set local enable_seqscan = off", prepared=False)
        rows = await tx.all(f"explain {asked} order by id desc limit 51", tx.tenant_id, ann.id, *everything)
    plan = "\n".join(row[0] for row in rows)
    assert re.search(r"Index Scan( Backward)? using \w*(contact|entity)\w*", plan), plan
    assert not re.search(r"Seq Scan|\bSort  \(", plan), plan


# A second source, as a feature to come would bring it: notes, in a table of their own.

NOTES = "id uuid not null, contact_id uuid not null, author text not null, text text not null"


def a_note(row: Any, actor: Actor, owner_id: UUID | None) -> Entry | None:
    id, kind, author, text = row
    if text == "secret" and actor.visibility != "all":
        return None
    return Entry(id, ids.made_at(id), "note", kind, author, data={"text": text})


NOTE = Source(
    "note",
    ("note",),
    "users:read",
    "select id, 'note' as type, author, text from notes where tenant_id = $1 and contact_id = $2",
    a_note,
)


@pytest.fixture
def with_notes() -> Iterator[None]:
    timeline.source(NOTE)
    yield
    timeline.SOURCES.remove(NOTE)


@pytest.fixture
async def with_a_table(clone: str, with_notes: None) -> AsyncIterator[Engine]:
    """An engine over a database that has notes, whose clock stands still."""
    for statement in tenant_table("notes", NOTES, indexes={"notes_of_contact": "(tenant_id, contact_id, id)"}):
        run(clone, statement)
    async with Engine(clone, clock=FakeClock(NOON)) as engine:
        yield engine


async def a_tenant(engine: Engine) -> Tenant:
    async with engine.system(Actor.system()) as tx:
        return await tenants.create(tx, f"t-{uuid4().hex}")


async def note(engine: Engine, of: Tenant, contact_id: UUID, text: str) -> None:
    async with engine.tenant(of.id, Actor.system()) as tx:
        insert = "insert into notes (tenant_id, id, contact_id, author, text) values ($1, $2, $3, 'user:b', $4)"
        await tx.run(insert, of.id, ids.uuid7(tx.clock.now()), contact_id, text)


async def test_sources_are_merged_and_each_asks_for_its_own_permission(with_a_table: Engine) -> None:
    engine, of = with_a_table, await a_tenant(with_a_table)
    async with engine.tenant(of.id, Actor.user(ANN)) as tx:
        made = await make.contact(tx, first_name="Ann", owner_id=ANN)
        other = await make.contact(tx, first_name="Ann", owner_id=ANN)
    await note(engine, of, made.id, "secret")
    await note(engine, of, other.id, "another's")
    async with engine.tenant(of.id, Actor.user(ANN)) as tx:
        await contacts.update(tx, made.id, ContactPatch(company="Acme"))

    async def seen(actor: Actor, **given: Any) -> list[str]:
        return types((await page(ReadTx(engine, of.id, actor, None), made.id, **given)).data)

    everything = ["contact.updated", "note", "contact.created"]
    assert await seen(Actor.user(ANN)) == everything
    assert await seen(Actor.user(ANN), types=["note"]) == ["note"]
    assert await seen(Actor.user(ANN), types=["event"]) == ["contact.updated", "contact.created"]
    assert await seen(Actor.user(ANN), types=["event", "note"]) == everything
    without = Actor.user(ANN, permissions=frozenset({"contacts:read"}))
    assert await seen(without) == ["contact.updated", "contact.created"]
    assert await seen(without, types=["note"]) == []
    assert await seen(Actor.user(ANN, visibility="own")) == ["contact.updated", "contact.created"]


def test_no_two_sources_have_the_same_type() -> None:
    with pytest.raises(ValueError, match=r"has contact\.updated already"):
        timeline.source(replace(NOTE, types=("note", "contact.updated")))
    assert NOTE not in timeline.SOURCES


TURNS = st.lists(st.sampled_from(["note", "update", "wait"]), max_size=14)


@given(turns=TURNS, later=TURNS, limit=st.integers(1, 4), wanted=st.sampled_from([(), ("note",), ("event",)]))
@settings(max_examples=30)
async def test_paging_there_and_back_visits_each_entry_once(
    with_a_table: Engine, turns: list[str], later: list[str], limit: int, wanted: tuple[str, ...]
) -> None:
    """Whatever is added meanwhile comes before the first page, and is found from there."""
    engine, of = with_a_table, await a_tenant(with_a_table)
    clock = engine.clock
    assert isinstance(clock, FakeClock)
    read = ReadTx(engine, of.id, Actor.user(ANN), None)
    async with engine.tenant(of.id, Actor.user(ANN)) as tx:
        made = await make.contact(tx, first_name="Ann")

    async def take(turn: str) -> None:
        if turn == "wait":
            clock.move(timedelta(milliseconds=1))
        elif turn == "note":
            await note(engine, of, made.id, "Hello")
        else:
            async with engine.tenant(of.id, Actor.user(ANN)) as tx:
                await contacts.update(tx, made.id, ContactPatch(company=uuid4().hex))

    for turn in turns:
        await take(turn)
    whole = [entry.id for entry in (await page(read, made.id, types=wanted, limit=200)).data]
    kinds = (
        ("note" not in wanted)
        + sum(turn == "note" for turn in turns if "event" not in wanted)
        + sum(turn == "update" for turn in turns if "note" not in wanted)
    )
    assert len(whole) == kinds
    assert whole == sorted(whole, reverse=True)

    first = each = await page(read, made.id, types=wanted, limit=limit)
    seen = [entry.id for entry in each.data]
    for turn in later:
        await take(turn)
    while each.next_cursor:
        each = await page(read, made.id, types=wanted, limit=limit, cursor=each.next_cursor)
        seen += [entry.id for entry in each.data]
    assert seen == whole
    now = [entry.id for entry in (await page(read, made.id, types=wanted, limit=200)).data]
    back = [entry.id for entry in each.data]
    while each.previous_cursor:
        each = await page(read, made.id, types=wanted, limit=limit, cursor=each.previous_cursor)
        back = [entry.id for entry in each.data] + back
    if len(whole) > limit:
        assert back == now, "and what came meanwhile as well"
    assert [entry.id for entry in first.data] == whole[:limit]


@pytest.mark.parametrize("id", [UUID(int=0), UUID(int=(1 << 128) - 1), uuid4()])
async def test_an_id_of_any_kind_is_a_contact_that_there_is_not(read: ReadTx, id: UUID) -> None:
    with pytest.raises(ContactNotFound):
        await page(read, id)


async def test_what_a_machine_writes_whose_clock_is_behind_is_there(clone: str) -> None:
    """Its ids are older than the contact's own."""
    clock = FakeClock(NOON)
    async with Engine(clone, clock=clock) as engine:
        of = await a_tenant(engine)
        async with engine.tenant(of.id, Actor.user(ANN)) as tx:
            made = await make.contact(tx)
        clock.move(timedelta(hours=-1))
        async with engine.tenant(of.id, Actor.user(ANN)) as tx:
            await contacts.update(tx, made.id, ContactPatch(company="Acme"))
        found = await page(ReadTx(engine, of.id, Actor.user(ANN), None), made.id)
    assert sorted(types(found.data)) == ["contact.created", "contact.updated"]


async def test_events_and_calls_are_all_there_is_to_it_so_far() -> None:
    assert {source.kind for source in timeline.SOURCES} == {"event", "call"}
    assert {"event", "call"} <= set(timeline.words())


async def test_the_superuser_counts_the_same(ann: Contact, read: ReadTx, owner: psycopg.Connection[Any]) -> None:
    counted = owner.execute("select count(*) from events where contact_id = %s", [ann.id]).fetchone()
    assert counted == (len((await page(read, ann.id)).data),)
