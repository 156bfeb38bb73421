"""Many contacts at once, as operations: given to somebody else, and erased."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core.actors import Actor, FieldRules
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, operations
from bellbird.features.contacts import ContactPatch, bulk
from bellbird.features.operations import NewOperation, NotUndoable, Operation
from tests import make
from tests.conftest import Begin

ANN, BOB, CY = (UUID(int=(0x0192F0C0 << 96) + number) for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in (("NEXT_OF_OWNER", "200"), ("DID", "200"), ("NEXT_DELETED", "50")):
        monkeypatch.setattr(bulk, name, getattr(bulk, name).replace(f"limit {limit}", "limit 3"))
    monkeypatch.setattr(bulk, "ASSIGNED_AT_ONCE", 3)
    monkeypatch.setattr(bulk, "PURGED_AT_ONCE", 3)


async def assign(tx: Tx, of: UUID | None, to: UUID | None) -> Operation:
    given = {"from": of and str(of), "to": to and str(to)}
    return await operations.start(tx, NewOperation(kind="contacts.assign", params=given))


def owners(owner: psycopg.Connection[Any], tenant: Tenant) -> dict[UUID, UUID | None]:
    asked = "select id, owner_id from contacts where tenant_id = %s"
    return dict(owner.execute(asked, [tenant.id]).fetchall())


@pytest.mark.parametrize("of", [ANN, None], ids=["of Ann", "of nobody"])
async def test_contacts_are_given_to_another_and_back(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any], of: UUID | None
) -> None:
    async with begin() as tx:
        given = [(await make.contact(tx, first_name=f"No {n}", owner_id=of)).id for n in range(7)]
        for other in (BOB, CY):
            await make.contact(tx, first_name="Other", owner_id=other)
        gone = await make.contact(tx, first_name="Gone", owner_id=of)
        await contacts.delete(tx, gone.id)
    before = owners(owner, tenant)
    async with begin() as tx:
        operation = await assign(tx, of, BOB)
    assert await operations.run(engine, tenant.id, operation.id) == "completed"
    done = await operations.get(read, operation.id)
    assert (done.done, done.total, done.error_count) == (7, 7, 0)
    assert owners(owner, tenant) == {**before, **dict.fromkeys(given, BOB)}

    async with begin() as tx:
        # One goes on to somebody else, one is changed otherwise, one is deleted, one is erased.
        await contacts.update(tx, given[0], ContactPatch(owner_id=CY))
        await contacts.update(tx, given[1], ContactPatch(company="Acme"))
        await contacts.delete(tx, given[2])
        await contacts.purge(tx, given[3])
        undoing = await operations.undo(tx, operation.id)
    assert await operations.run(engine, tenant.id, undoing.id) == "completed"
    undone = await operations.get(read, undoing.id)
    assert (undone.done, undone.result) == (7, {"restored": 4, "left": 3})
    del before[given[3]]
    assert owners(owner, tenant) == {**before, given[0]: CY, given[2]: BOB}


async def test_every_change_is_an_event_of_the_contact(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", owner_id=ANN)
        operation = await assign(tx, ANN, BOB)
    await operations.run(engine, tenant.id, operation.id)
    asked = "select changes from events where contact_id = %s and request_id = %s"
    row = owner.execute(asked, [ann.id, str(operation.id)]).fetchone()
    assert row == ({"owner_id": [str(ANN), str(BOB)]},)


async def test_nobody_gives_away_what_they_do_not_see(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        await make.contact(tx, first_name="Ann", owner_id=CY)
        mine = await make.contact(tx, first_name="Ann", owner_id=ANN)
    team = Actor.user(ANN, visibility="team", team=frozenset({BOB}))
    before = owners(owner, tenant)
    for of, expected in ((CY, before), (ANN, {**before, mine.id: BOB})):
        async with engine.tenant(tenant.id, team) as tx:
            operation = await assign(tx, of, BOB)
        assert await operations.run(engine, tenant.id, operation.id) == "completed"
        assert owners(owner, tenant) == expected
    with pytest.raises(InvalidInput) as refused:
        async with engine.tenant(tenant.id, team) as tx:
            await assign(tx, ANN, CY)
    assert (refused.value.faults[0].pointer, refused.value.faults[0].code) == ("/params/to", "owner_not_visible")


async def test_what_cannot_be_is_refused_before_it_is_started(engine: Engine, begin: Begin, tenant: Tenant) -> None:
    rules = {"contact": FieldRules(read_only=frozenset({"owner_id"}))}
    with pytest.raises(InvalidInput) as refused:
        async with engine.tenant(tenant.id, Actor.user(uuid4(), fields=rules)) as tx:
            await assign(tx, ANN, BOB)
    assert refused.value.faults[0].code == "field_read_only"
    for params, pointer in (
        ({"from": str(ANN), "to": str(ANN)}, "/params/to"),
        ({"to": str(ANN)}, "/params/from"),
        ({"from": "Ann", "to": None}, "/params/from"),
        ({"from": None, "to": str(ANN), "frm": 1}, "/params/frm"),
    ):
        async with begin() as tx:
            with pytest.raises(InvalidInput) as refused:
                await operations.start(tx, NewOperation(kind="contacts.assign", params=params))
        assert refused.value.faults[0].pointer == pointer
    async with begin() as tx:
        with pytest.raises(InvalidInput, match="offset"):
            given = {"deleted_before": "2026-01-01T00:00:00"}
            await operations.start(tx, NewOperation(kind="contacts.purge_deleted", params=given))
    agent = Actor.user(uuid4(), permissions=frozenset({"operations:write", "contacts:write"}))
    async with engine.tenant(tenant.id, agent) as tx:
        with pytest.raises(Forbidden, match="contacts:purge"):
            await operations.start(tx, NewOperation(kind="contacts.purge_deleted"))


async def test_deleted_contacts_are_erased_for_good(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        kept = await make.contact(tx)
        for number in range(8):
            await contacts.delete(tx, (await make.contact(tx, first_name=f"No {number}")).id)
    async with begin() as tx:
        operation = await operations.start(tx, NewOperation(kind="contacts.purge_deleted"))
    async with begin() as tx:
        later = await make.contact(tx, first_name="Later")
        await contacts.delete(tx, later.id)
    assert await operations.run(engine, tenant.id, operation.id) == "completed"
    done = await operations.get(read, operation.id)
    assert (done.done, done.total, done.error_count) == (8, 8, 0)
    assert set(owners(owner, tenant)) == {kept.id, later.id}
    with pytest.raises(NotUndoable):
        async with begin() as tx:
            await operations.undo(tx, operation.id)


async def test_only_those_that_were_deleted_before_a_moment(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        old, new = [(await make.contact(tx, first_name=name)).id for name in ("Old", "New")]
        for id in (old, new):
            await contacts.delete(tx, id)
    owner.execute("update contacts set deleted_at = '2026-01-01Z' where id = %s", [old])
    params = {"deleted_before": datetime(2026, 1, 2, tzinfo=UTC).isoformat()}
    async with begin() as tx:
        operation = await operations.start(tx, NewOperation(kind="contacts.purge_deleted", params=params))
    assert await operations.run(engine, tenant.id, operation.id) == "completed"
    assert set(owners(owner, tenant)) == {new}
