"""What an agent says of a call: what came of it, who it was, what is to be done next."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from bellbird.core import events
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import Forbidden, InvalidInput, VersionMismatch
from bellbird.core.tenants import Tenant
from bellbird.features import calls, contacts, follow_ups, timeline
from bellbird.features.calls import CallHasContact, CallNotFound, CallPatch, NewFollowUpOfCall
from bellbird.features.contacts import NewContact, Phone
from tests import make
from tests.conftest import Begin, NewTenant

SOON = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
ANN, BEN = UUID(int=11), UUID(int=12)


async def happened(tx: Tx, id: UUID) -> list[events.Logged]:
    sql = f"select {events.COLUMNS} from events where tenant_id = $1 and entity_id = $2 order by id"
    return [events.from_row(row) for row in await tx.all(sql, tx.tenant_id, id)]


async def test_what_came_of_it_is_said_and_recorded(tx: Tx) -> None:
    call = await make.call(tx)
    changed = await calls.update(tx, call.id, CallPatch(outcome="interested", notes="Wants a quote\n", agent_id=ANN))
    assert (changed.outcome, changed.notes, changed.agent_id, changed.version) == (
        "interested", "Wants a quote", ANN, 2,
    )  # fmt: skip
    assert await calls.get(tx, call.id) == changed
    (event,) = await happened(tx, call.id)
    assert event.type == "call.updated"
    assert event.changes == {
        "outcome": (None, "interested"), "notes": (None, "Wants a quote"), "agent_id": (None, str(ANN)),
    }  # fmt: skip
    assert await calls.update(tx, call.id, CallPatch(outcome="interested")) == changed, "nothing is changed"
    assert len(await happened(tx, call.id)) == 1
    emptied = await calls.update(tx, call.id, CallPatch(outcome=None, notes=None))
    assert (emptied.outcome, emptied.notes, emptied.agent_id) == (None, None, ANN)


async def test_only_what_the_tenant_calls_an_outcome_is_one(new_tenant: NewTenant, begin: Begin) -> None:
    tenant = await new_tenant(call_outcomes=("sold", "lost"))
    async with begin(tenant) as tx:
        call = await make.call(tx)
        with pytest.raises(InvalidInput) as error:
            await calls.update(tx, call.id, CallPatch(outcome="interested", notes="\x00"))
        assert {fault.pointer for fault in error.value.faults} == {"/outcome", "/notes"}
        assert "sold, lost" in str(error.value)
        assert (await calls.update(tx, call.id, CallPatch(outcome="sold"))).outcome == "sold"


async def test_a_change_to_another_version_is_refused(tx: Tx) -> None:
    call = await make.call(tx)
    await calls.update(tx, call.id, CallPatch(notes="First"), version=1)
    with pytest.raises(VersionMismatch):
        await calls.update(tx, call.id, CallPatch(notes="Second"), version=1)
    with pytest.raises(CallNotFound):
        await calls.update(tx, uuid4(), CallPatch(notes="Nobody's"))


async def test_the_agent_says_who_of_several_it_was(tx: Tx) -> None:
    ann, ben = [await make.contact(tx, first_name=name, phone="0412 345 678") for name in ("Ann", "Ben")]
    call = await make.call(tx, direction="inbound", candidates=(ann.id, ben.id))
    confirmed = await calls.update(tx, call.id, CallPatch(contact_id=ben.id))
    assert (confirmed.contact_id, confirmed.candidates) == (ben.id, ())
    (event,) = await happened(tx, call.id)
    assert event.contact_id == ben.id
    assert [each.id for each in (await timeline.page(tx, ben.id, types=["call"])).data] == [call.id]
    unlinked = await calls.update(tx, call.id, CallPatch(contact_id=None))
    assert unlinked.contact_id is None


async def test_a_contact_that_is_not_there_or_not_seen_is_none(
    engine: Engine, tenant: Tenant, other_tenant: Tenant, begin: Begin
) -> None:
    async with begin(other_tenant) as tx:
        theirs = await make.contact(tx)
    async with begin() as tx:
        bens = await make.contact(tx, first_name="Ben's", owner_id=BEN)
        call = await make.call(tx, agent_id=ANN)
    for contact_id in (uuid4(), theirs.id, bens.id):
        with pytest.raises(InvalidInput) as error:
            async with engine.tenant(tenant.id, Actor.user(ANN, visibility="own")) as tx:
                await calls.update(tx, call.id, CallPatch(contact_id=contact_id))
        assert [fault.pointer for fault in error.value.faults] == ["/contact_id"]


async def test_who_sees_their_own_changes_their_own(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        hers, his = [await make.call(tx, agent_id=agent, number=f"+6141200000{agent.int % 9}") for agent in (ANN, BEN)]
    async with engine.tenant(tenant.id, Actor.user(ANN, visibility="own")) as tx:
        assert (await calls.update(tx, hers.id, CallPatch(notes="Mine"))).notes == "Mine"
        with pytest.raises(CallNotFound):
            await calls.update(tx, his.id, CallPatch(notes="Mine"))
        with pytest.raises(InvalidInput) as error:
            await calls.update(tx, hers.id, CallPatch(agent_id=BEN))
        assert error.value.faults[0].pointer == "/agent_id"
    async with engine.tenant(tenant.id, Actor.user(ANN, permissions=frozenset({"calls:read"}))) as tx:
        with pytest.raises(Forbidden):
            await calls.update(tx, hers.id, CallPatch(notes="Mine"))


async def test_calling_back_is_agreed_on(tx: Tx) -> None:
    ann = await make.contact(tx, phone="0412 345 678")
    call = await make.call(tx, contact_id=ann.id, agent_id=ANN)
    agreed = NewFollowUpOfCall(due_at=SOON, note="About the roof")
    await calls.update(tx, call.id, CallPatch(outcome="call_back", follow_up=agreed))
    (due,) = await follow_ups.open_for(tx, ann.id)
    assert (due.call_id, due.agent_id, due.due_at, due.number, due.note) == (
        call.id, ANN, SOON, call.number, "About the roof",
    )  # fmt: skip
    await calls.update(tx, call.id, CallPatch(follow_up=NewFollowUpOfCall(due_at=SOON, agent_id=BEN)))
    assert {each.agent_id for each in await follow_ups.open_for(tx, ann.id)} == {ANN, BEN}
    with pytest.raises(InvalidInput) as error:
        await calls.update(tx, call.id, CallPatch(follow_up=NewFollowUpOfCall(due_at=SOON.replace(tzinfo=None))))
    assert [fault.pointer for fault in error.value.faults] == ["/follow_up/due_at"]
    withheld = await make.call(tx, direction="inbound", number=None)
    with pytest.raises(InvalidInput) as error:
        await calls.update(tx, withheld.id, CallPatch(follow_up=agreed))
    assert [fault.pointer for fault in error.value.faults] == ["/follow_up"]


async def test_who_does_not_want_to_be_called_is_not(tx: Tx, monkeypatch: pytest.MonkeyPatch) -> None:
    opted_out = list[Any]()

    async def opt_out(_: Tx, number: str, **given: Any) -> None:
        opted_out.append((number, given["contact_id"], given["source"]))

    monkeypatch.setattr(calls.actions.dialling, "opt_out", opt_out, raising=False)  # type: ignore[attr-defined]
    ann = await make.contact(tx, phone="0412 345 678")
    call = await make.call(tx, contact_id=ann.id)
    await calls.update(tx, call.id, CallPatch(outcome="do_not_call"))
    await calls.update(tx, call.id, CallPatch(outcome="do_not_call", notes="And said so twice"))
    assert opted_out == [(call.number, ann.id, f"call:{call.id}")]


async def test_an_unknown_caller_becomes_a_contact(tx: Tx) -> None:
    call = await make.call(tx, direction="inbound", number="+64211234567")
    await calls.update(tx, call.id, CallPatch(follow_up=NewFollowUpOfCall(due_at=SOON)))
    contact = await calls.make_contact(tx, call.id, NewContact(first_name="Cat"))
    assert [phone.number for phone in contact.phones] == ["+64211234567"]
    assert (await calls.get(tx, call.id)).contact_id == contact.id
    assert [event.type for event in await happened(tx, call.id)] == ["call.updated"]
    (due,) = await follow_ups.open_for(tx, contact.id)
    assert due.call_id == call.id, "what was agreed on with the number is agreed on with them"
    with pytest.raises(CallHasContact) as error:
        await calls.make_contact(tx, call.id, NewContact(first_name="Cat"))
    assert error.value.extra["contact_id"] == contact.id


async def test_the_number_is_not_put_in_twice(tx: Tx) -> None:
    call = await make.call(tx, direction="inbound", number="+61412345678")
    contact = await calls.make_contact(tx, call.id, NewContact(first_name="Cat", phones=(Phone("0412 345 678"),)))
    assert [phone.number for phone in contact.phones] == ["+61412345678"]
    withheld = await make.call(tx, direction="inbound", number=None)
    nameless = await calls.make_contact(tx, withheld.id, NewContact(first_name="Nobody"))
    assert nameless.phones == ()


async def test_a_contact_that_cannot_be_leaves_the_call_as_it_was(begin: Begin) -> None:
    async with begin() as tx:
        call = await make.call(tx, direction="inbound")
    with pytest.raises(InvalidInput):
        async with begin() as tx:
            await calls.make_contact(tx, call.id, NewContact(first_name="Cat", birthday=None, phones=(Phone("12"),)))
    async with begin() as tx:
        assert (await calls.get(tx, call.id)).contact_id is None
        assert (await contacts.page(tx)).data == ()
