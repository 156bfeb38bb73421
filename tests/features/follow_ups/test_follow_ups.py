"""Whom to call back: written down, put off, done; and who sees which."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, VersionMismatch
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, follow_ups, timeline
from bellbird.features.contacts import ContactNotFound
from bellbird.features.follow_ups import FollowUpNotFound, FollowUpOver, FollowUpPatch, NewFollowUp, Query
from tests import make
from tests.conftest import Begin

SOON = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0)
ANN, BEN = UUID(int=11), UUID(int=12)


async def happened(tx: Tx | ReadTx, id: UUID) -> list[tuple[str, UUID | None, dict[str, Any]]]:
    sql = "select type, contact_id, changes from events where tenant_id = $1 and entity_id = $2 order by id"
    rows = await tx.all(sql, tx.tenant_id, id)
    return [(type, contact, msgspec.json.decode(changes)) for type, contact, changes in rows]


async def test_one_is_made_put_off_and_done(tx: Tx, actor: Actor) -> None:
    ann = await make.contact(tx, phone="0412 345 678")
    made = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=ann.id, number="0412 345 678", note="Roof"))
    assert (made.number, made.agent_id, made.state, made.version) == ("+61412345678", actor.user_id, "open", 1)
    assert await follow_ups.get(tx, made.id) == made
    later = await follow_ups.update(tx, made.id, FollowUpPatch(due_at=SOON + timedelta(days=1), agent_id=BEN))
    assert (later.due_at, later.agent_id, later.note, later.version) == (SOON + timedelta(days=1), BEN, "Roof", 2)
    assert await follow_ups.update(tx, made.id, FollowUpPatch(agent_id=BEN)) == later
    ended = await follow_ups.done(tx, made.id)
    assert (ended.state, ended.version) == ("done", 3)
    assert ended.ended_at is not None
    assert await follow_ups.done(tx, made.id) == ended
    assert await follow_ups.get(tx, made.id) == ended
    told = await happened(tx, made.id)
    assert [(type, contact) for type, contact, _ in told] == [
        (f"follow_up.{what}", ann.id) for what in ("created", "updated", "done")
    ]
    assert told[0][2]["note"] == [None, "Roof"]
    assert told[2][2] == {"state": ["open", "done"]}
    assert [entry.type for entry in (await timeline.page(tx, ann.id, types=["follow_up.*"])).data] == [
        "follow_up.done", "follow_up.updated", "follow_up.created",
    ]  # fmt: skip


async def test_what_is_over_is_not_changed(tx: Tx) -> None:
    made = await follow_ups.create(tx, NewFollowUp(due_at=SOON, number="0412 345 678"))
    await follow_ups.cancel(tx, made.id)
    assert (await follow_ups.cancel(tx, made.id)).state == "canceled"
    with pytest.raises(FollowUpOver):
        await follow_ups.done(tx, made.id)
    with pytest.raises(FollowUpOver):
        await follow_ups.update(tx, made.id, FollowUpPatch(note="Too late"))


async def test_of_a_number_alone_the_log_tells_no_number(tx: Tx) -> None:
    made = await follow_ups.create(tx, NewFollowUp(due_at=SOON, number="0412 345 678", note="Called Ann"))
    ((_, contact, changes),) = await happened(tx, made.id)
    assert contact is None
    assert {"number", "note"}.isdisjoint(changes)


@pytest.mark.parametrize(
    ("given", "pointers"),
    [
        ({}, {"/contact_id"}),
        ({"number": "12"}, {"/number"}),
        ({"number": "0412 345 678", "due_at": SOON.replace(tzinfo=None)}, {"/due_at"}),
        ({"number": "0412 345 678", "due_at": SOON - timedelta(days=3)}, {"/due_at"}),
        ({"number": "0412 345 678", "due_at": SOON + timedelta(days=4000)}, {"/due_at"}),
        ({"number": "x", "note": "x" * 5001}, {"/number", "/note"}),
    ],
)
async def test_what_cannot_be_is_told_where_it_is(tx: Tx, given: dict[str, Any], pointers: set[str]) -> None:
    with pytest.raises(InvalidInput) as error:
        await follow_ups.create(tx, NewFollowUp(**({"due_at": SOON} | given)))
    assert {fault.pointer for fault in error.value.faults} == pointers


async def test_a_change_to_another_version_and_of_nothing(tx: Tx) -> None:
    made = await follow_ups.create(tx, NewFollowUp(due_at=SOON, number="0412 345 678"))
    with pytest.raises(VersionMismatch):
        await follow_ups.update(tx, made.id, FollowUpPatch(note="x"), version=7)
    for verb in (follow_ups.get, follow_ups.done, follow_ups.cancel):
        with pytest.raises(FollowUpNotFound):
            await verb(tx, uuid4())
    with pytest.raises(ContactNotFound):
        await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=uuid4()))


async def test_the_due_list_has_what_is_due_soonest_first(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        made = [
            await follow_ups.create(
                tx,
                NewFollowUp(due_at=SOON + timedelta(hours=hour), number="0412 345 678", agent_id=(ANN, BEN)[hour % 2]),
            )
            for hour in (4, 0, 3, 1, 2, 0)
        ]
        over = await follow_ups.create(tx, NewFollowUp(due_at=SOON, number="0412 345 678"))
        await follow_ups.done(tx, over.id)
    expected = sorted(made, key=lambda each: (each.due_at, each.id))
    seen, cursor = [], None
    while True:
        page = await follow_ups.page(read, Query(limit=4, cursor=cursor))
        seen += page.data
        if (cursor := page.next_cursor) is None:
            break
    assert seen == expected
    before = await follow_ups.page(read, Query(limit=4, cursor=page.previous_cursor))
    assert list(before.data) == expected[:4]
    of_ann = await follow_ups.page(read, Query(agent_id=ANN))
    assert {each.agent_id for each in of_ann.data} == {ANN}
    due = await follow_ups.page(read, Query(due_before=SOON + timedelta(minutes=1)))
    assert list(due.data) == expected[:2]
    assert [each.id for each in (await follow_ups.page(read, Query(state="done"))).data] == [over.id]
    with pytest.raises(InvalidInput):
        await follow_ups.page(read, Query(state="late"))


async def test_today_ends_at_the_tenants_midnight(read: ReadTx) -> None:
    midnight = (await follow_ups.due_by(read, "today")).astimezone(ZoneInfo("Australia/Sydney"))
    assert (midnight.hour, midnight.minute) == (0, 0)
    assert timedelta() < midnight - datetime.now(UTC) <= timedelta(hours=25)
    assert abs(await follow_ups.due_by(read, "now") - datetime.now(UTC)) < timedelta(seconds=5)
    assert await follow_ups.due_by(read, "2026-11-01T10:00:00 11:00") == datetime(2026, 10, 31, 23, tzinfo=UTC)
    for words in ("soon", "2026-11-01", ""):
        with pytest.raises(InvalidInput) as error:
            await follow_ups.due_by(read, words)
        assert error.value.faults[0].parameter == "due"


async def test_whose_are_seen(begin: Begin, engine: Engine, tenant: Tenant, other_tenant: Tenant) -> None:
    async with begin() as tx:
        mine = await make.contact(tx, first_name="Mine", owner_id=ANN)
        other = await make.contact(tx, first_name="Other", owner_id=BEN)
        hers = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=other.id, agent_id=ANN))
        with_mine = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=mine.id, agent_id=BEN))
        his = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=other.id, agent_id=BEN))
    ann = ReadTx(engine, tenant.id, Actor.user(ANN, visibility="own"), None)
    assert {each.id for each in (await follow_ups.page(ann)).data} == {hers.id, with_mine.id}
    with pytest.raises(FollowUpNotFound):
        await follow_ups.get(ann, his.id)
    async with engine.tenant(tenant.id, Actor.user(ANN, visibility="own")) as tx:
        with pytest.raises(FollowUpNotFound):
            await follow_ups.done(tx, his.id)
        with pytest.raises(ContactNotFound):
            await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=other.id))
    for role, verb in ((frozenset({"calls:read"}), follow_ups.done), (frozenset({"contacts:read"}), follow_ups.get)):
        async with engine.tenant(tenant.id, Actor.user(ANN, permissions=role)) as tx:
            with pytest.raises(Forbidden):
                await verb(tx, hers.id)
    async with begin(other_tenant) as tx:
        assert (await follow_ups.page(tx)).data == ()


async def test_with_a_purged_contact_they_go(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        ann = await make.contact(tx)
        call = await make.call(tx, contact_id=ann.id)
        with_her = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=ann.id))
        of_call = await follow_ups.create(tx, NewFollowUp(due_at=SOON, number="0412 345 678"), call_id=call.id)
        stays = await follow_ups.create(tx, NewFollowUp(due_at=SOON, number="0412 345 678"))
    async with begin() as tx:
        await contacts.purge(tx, ann.id)
    assert [each.id for each in (await follow_ups.page(read)).data] == [stays.id]
    for gone in (with_her, of_call):
        with pytest.raises(FollowUpNotFound):
            await follow_ups.get(read, gone.id)
