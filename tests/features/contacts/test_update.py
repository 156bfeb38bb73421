"""Changing, deleting, restoring and purging contacts."""

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from msgspec import UNSET

from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, VersionMismatch
from bellbird.core.tenants import Tenant
from bellbird.features import contacts
from bellbird.features.contacts import (
    Contact,
    ContactNotFound,
    ContactPatch,
    DuplicateContact,
    Email,
    ExternalIdTaken,
    Phone,
    Query,
)
from tests import make
from tests.conftest import Begin, NewTenant


def events_of(owner: psycopg.Connection[Any], contact: Contact) -> list[tuple[Any, ...]]:
    query = "select type, changes from events where contact_id = %s order by id"
    return owner.execute(query, [contact.id]).fetchall()


async def test_what_is_absent_stays_and_null_empties(tx: Tx) -> None:
    made = await make.contact(
        tx, first_name="Ann", last_name="Lee", company="Acme", email="ann@acme.example", birthday=date(1990, 1, 1),
        tags=("vip",), custom={"a": 1}, owner_id=uuid4(),
    )  # fmt: skip
    patched = await contacts.update(
        tx, made.id, ContactPatch(last_name=None, emails=None, birthday=None, tags=None, custom=None, owner_id=None)
    )
    assert (patched.first_name, patched.company, patched.display_name) == ("Ann", "Acme", "Ann")
    assert (patched.last_name, patched.emails, patched.birthday, patched.tags, patched.custom, patched.owner_id) == (
        None, (), None, (), {}, None,
    )  # fmt: skip
    assert patched.version == 2
    assert await contacts.get(tx, made.id) == patched


async def test_a_list_replaces_the_list(tx: Tx) -> None:
    made = await make.contact(tx, phones=(Phone("0412 345 678"), Phone("0412 345 679")))
    patched = await contacts.update(tx, made.id, ContactPatch(phones=(Phone("0412 345 680"),)))
    assert [phone.number for phone in patched.phones] == ["+61412345680"]


async def test_a_phone_sent_back_as_it_was_read_keeps_what_was_typed(tx: Tx) -> None:
    made = await make.contact(tx, phone="0412 345 678")
    assert await contacts.update(tx, made.id, ContactPatch(phones=made.phones)) == made
    patched = await contacts.update(tx, made.id, ContactPatch(phones=(*made.phones, Phone("0412 345 679"))))
    assert [phone.raw for phone in patched.phones] == ["0412 345 678", "0412 345 679"]


@pytest.mark.parametrize("field", ["custom", "preferences"])
async def test_objects_merge_key_by_key_to_any_depth(tx: Tx, field: str) -> None:
    made = await make.contact(tx, first_name="Ann", **{field: {"a": 1, "b": {"c": 2, "d": 3}, "e": [1, 2], "f": 1}})
    patch = {"a": None, "b": {"d": None, "x": {"y": 1, "gone": None}}, "e": [3], "f": {"now": "object"}}
    patched = await contacts.update(tx, made.id, ContactPatch(**{field: patch}))
    assert getattr(patched, field) == {"b": {"c": 2, "x": {"y": 1}}, "e": [3], "f": {"now": "object"}}


async def test_a_patch_that_changes_nothing_writes_nothing(begin: Begin, owner: psycopg.Connection[Any]) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", phone="0412 345 678", custom={"a": 1})
    async with begin() as tx:
        same = ContactPatch(first_name=" Ann ", phones=(Phone("+61 412 345 678", primary=True),), custom={"a": 1})
        kept = await contacts.update(tx, made.id, ContactPatch(first_name="Ann"))
        assert (await contacts.update(tx, made.id, ContactPatch())) == kept == made
        changed = await contacts.update(tx, made.id, same)
    assert changed.phones[0].raw == "+61 412 345 678", "the one thing that this patch says anew"
    assert [type for type, _ in events_of(owner, made)] == ["contact.created", "contact.updated"]


async def test_a_name_that_was_made_up_follows_what_it_was_made_from(tx: Tx) -> None:
    made = await make.contact(tx, first_name="Ann", last_name="Lee")
    assert (await contacts.update(tx, made.id, ContactPatch(last_name="Ngata"))).display_name == "Ann Ngata"
    given = await make.contact(tx, first_name="Ann", display_name="Boss")
    assert (await contacts.update(tx, given.id, ContactPatch(first_name="Anna"))).display_name == "Boss"
    assert (await contacts.update(tx, given.id, ContactPatch(display_name=None))).display_name == "Anna"


async def test_the_event_tells_the_old_and_the_new_of_what_changed(
    begin: Begin, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", display_name="Boss", company="Acme")
    async with begin() as tx:
        await contacts.update(tx, made.id, ContactPatch(first_name="Anna", company=None, job_title=None))
    assert events_of(owner, made)[1] == (
        "contact.updated", {"first_name": ["Ann", "Anna"], "company": ["Acme", None]},
    )  # fmt: skip


async def test_a_change_to_another_version_is_refused_with_the_present_state(tx: Tx) -> None:
    made = await make.contact(tx)
    now = await contacts.update(tx, made.id, ContactPatch(last_name="Lee"), version=1)
    with pytest.raises(VersionMismatch) as refused:
        await contacts.update(tx, made.id, ContactPatch(last_name="Ngata"), version=1)
    assert refused.value.extra == {"current": now}
    with pytest.raises(VersionMismatch):
        await contacts.delete(tx, made.id, version=1)
    assert await contacts.get(tx, made.id) == now


async def test_what_would_leave_nothing_to_know_it_by_is_refused(tx: Tx) -> None:
    made = await make.contact(tx, first_name="Ann")
    with pytest.raises(InvalidInput) as refused:
        await contacts.update(tx, made.id, ContactPatch(first_name=None))
    assert [fault.code for fault in refused.value.faults] == ["contact_needs_identity"]
    kept = await contacts.get(tx, made.id)
    assert kept == made


async def test_an_update_is_held_to_the_duplicate_policy_for_what_it_adds(new_tenant: NewTenant, begin: Begin) -> None:
    warned = await new_tenant(duplicate_policy="warn")
    async with begin(warned) as tx:
        one = await make.contact(tx, email="one@acme.example")
        two = await make.contact(tx, email="two@acme.example")
        both = (Email("two@acme.example"), Email("one@acme.example"))
        patched = await contacts.update(tx, two.id, ContactPatch(emails=both))
        assert patched.duplicates == (one.id,)
        again = await contacts.update(tx, two.id, ContactPatch(first_name="Two"))
        assert again.duplicates is UNSET, "it had that address already"
    strict = await new_tenant(duplicate_policy="reject")
    async with begin(strict) as tx:
        await make.contact(tx, phone="0412 345 678")
        three = await make.contact(tx, first_name="Three")
        with pytest.raises(DuplicateContact):
            await contacts.update(tx, three.id, ContactPatch(phones=(Phone("0412 345 678"),)))


async def test_an_external_id_cannot_be_taken_from_another(begin: Begin) -> None:
    async with begin() as tx:
        await make.contact(tx, first_name="One", external_id="1")
        two = await make.contact(tx, first_name="Two", external_id="2")
    with pytest.raises(ExternalIdTaken):
        async with begin() as tx:
            await contacts.update(tx, two.id, ContactPatch(external_id="1"))


async def test_a_deleted_contact_is_out_of_everything_until_it_is_restored(
    begin: Begin, read: ReadTx, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", phone="0412 345 678")
    async with begin() as tx:
        await contacts.delete(tx, made.id)
    with pytest.raises(ContactNotFound):
        await contacts.get(read, made.id)
    assert (await contacts.page(read)).data == ()
    assert (await contacts.page(read, Query(q="Ann"))).data == ()
    assert await contacts.lookup(read, "0412 345 678") == ()
    assert await contacts.lookup(read, "345678") == ()
    (deleted,) = (await contacts.page(read, Query(deleted=True))).data
    assert (deleted.id, deleted.version) == (made.id, 2)
    assert deleted.deleted_at is not None
    for write in (
        lambda tx: contacts.update(tx, made.id, ContactPatch(first_name="X")),
        lambda tx: contacts.delete(tx, made.id),
    ):
        with pytest.raises(ContactNotFound):
            async with begin() as tx:
                await write(tx)
    async with begin() as tx:
        restored = await contacts.restore(tx, made.id)
    assert (restored.deleted_at, restored.version) == (None, 3)
    assert await contacts.get(read, made.id) == restored
    assert await contacts.lookup(read, "0412 345 678") == (restored,)
    assert [type for type, _ in events_of(owner, made)] == ["contact.created", "contact.deleted", "contact.restored"]


async def test_restoring_what_is_not_deleted_changes_nothing(tx: Tx) -> None:
    made = await make.contact(tx)
    assert await contacts.restore(tx, made.id) == made


async def test_a_contact_whose_place_was_taken_cannot_come_back(new_tenant: NewTenant, begin: Begin) -> None:
    strict = await new_tenant(duplicate_policy="reject")
    async with begin(strict) as tx:
        old = await make.contact(tx, email="ann@acme.example")
        known = await make.contact(tx, first_name="Ann", external_id="1")
        for each in (old, known):
            await contacts.delete(tx, each.id)
        await make.contact(tx, email="ann@acme.example")
        await make.contact(tx, first_name="Ann", external_id="1")
    with pytest.raises(DuplicateContact):
        async with begin(strict) as tx:
            await contacts.restore(tx, old.id)
    with pytest.raises(ExternalIdTaken):
        async with begin(strict) as tx:
            await contacts.restore(tx, known.id)


@pytest.fixture
async def later(engine: Engine, tenant: Tenant, actor: Actor) -> Any:
    """Transactions of the same tenant on a clock that can be moved."""
    clock = FakeClock(engine.clock.now())
    present, engine.clock = engine.clock, clock
    yield clock
    engine.clock = present


async def test_what_was_deleted_90_days_ago_is_gone_for_its_user_and_due_to_be_purged(
    begin: Begin, later: FakeClock
) -> None:
    async with begin() as tx:
        made = await make.contact(tx)
        await contacts.delete(tx, made.id)
    later.move(timedelta(days=90))
    async with begin() as tx:
        assert await contacts.expired(tx) == []
        assert await contacts.restore(tx, made.id)
        await contacts.delete(tx, made.id)
    later.move(timedelta(days=90, seconds=1))
    with pytest.raises(ContactNotFound, match="90 days"):
        async with begin() as tx:
            await contacts.restore(tx, made.id)
    async with begin() as tx:
        assert await contacts.expired(tx) == [made.id]
        await contacts.purge(tx, made.id)
        assert await contacts.expired(tx) == []


async def test_a_purge_leaves_no_copy_of_the_data_in_any_table(
    begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await make.contact(
            tx, first_name="Zebedee", email="zebedee@quokka.example", phone="0412 987 654", custom={"k": "quokka-9"},
            external_id="quokka-1",
        )  # fmt: skip
        kept = await make.contact(tx, first_name="Bystander")
    owner.execute(
        "insert into parked_events (tenant_id, id, consumer, event_id, tries, reason, parked_at)"
        " select tenant_id, gen_random_uuid(), 'hook:x', id, 1, 'ValueError: zebedee@quokka.example', now()"
        " from events where contact_id = %s", [made.id],
    )  # fmt: skip
    async with begin() as tx:
        await contacts.update(tx, made.id, ContactPatch(last_name="Quokkason"))
        await contacts.delete(tx, made.id)
    async with begin() as tx:
        await contacts.purge(tx, made.id)
    tables = owner.execute(
        "select c.oid::regclass::text from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " and a.attname = 'tenant_id' where c.relkind in ('r', 'p') and not c.relispartition"
    ).fetchall()
    assert ("contacts",) in tables and ("events",) in tables
    for (table,) in tables:
        rows = owner.execute(f"select t::text from {table} t where tenant_id = %s", [tenant.id]).fetchall()
        assert rows or table not in ("contacts", "events"), f"{table} was looked at"
        for (row,) in rows:
            for word in ("zebedee", "quokka", "412987654"):
                assert word not in row.lower(), f"{table} still has {word}"
    assert [type for type, _ in events_of(owner, made)] == [
        "contact.created", "contact.updated", "contact.deleted", "contact.purged",
    ]  # fmt: skip
    assert events_of(owner, kept)[0][1], "another contact's events are left as they are"
    with pytest.raises(ContactNotFound):
        async with begin() as tx:
            await contacts.purge(tx, made.id)


async def test_purging_needs_its_own_permission(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        made = await make.contact(tx)
    writer = Actor.user(uuid4(), permissions=frozenset({"contacts:read", "contacts:write"}))
    with pytest.raises(Forbidden, match="contacts:purge"):
        async with engine.tenant(tenant.id, writer) as tx:
            await contacts.purge(tx, made.id)


async def test_the_ids_time_is_the_time_of_making(begin: Begin, read: ReadTx, later: FakeClock) -> None:
    """Lists by created_at are sorted and filtered by the id, so the two may never differ."""

    class Hurried(FakeClock):
        def now(self) -> Any:
            self.move(timedelta(microseconds=700))
            return super().now()

    later.now = Hurried(later.now()).now  # type: ignore[method-assign]
    for _ in range(20):
        async with begin() as tx:
            made = await make.contact(tx)
        for operator in ("gte", "lte"):
            given = {"id": str(made.id), "created_at": {operator: made.created_at.isoformat()}}
            assert (await contacts.page(read, Query(filter=given))).data == (made,), operator
