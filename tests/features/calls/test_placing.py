"""Placing a call: whom, from which number, permitted or not; canceling it and hanging up."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from bellbird.core.actors import Actor, FieldRules
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, TenantSuspended
from bellbird.core.hooks import Hooks
from bellbird.core.tenants import Tenant
from bellbird.features import call_accounts, calls, contacts, dialling
from bellbird.features.call_accounts import CallAccountPatch, NoCallAccount
from bellbird.features.calls import Call, CallNotFound, CallNotPermitted, CallOver, NewCall, dialing
from bellbird.features.contacts import ContactNotFound, Phone
from bellbird.features.dialling import Reason
from tests import make
from tests.conftest import Begin, NewTenant
from tests.features.calls.carrier import OTHER, OWN, Carrier, connect
from tests.features.calls.conftest import Look

NUMBER = "+61412345678"


@pytest.fixture
def deny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`deny("code")`: whoever asks from now on may not call; `deny()`: they may again."""
    decide = dialling.decide

    def from_now_on(*codes: str) -> None:
        async def decided(tx: Tx, question: Any) -> Any:
            made = await decide(tx, question)
            if not codes:
                return replace(made, allowed=True, reasons=(), next_permitted_at=None)
            reasons = tuple(Reason(code, f"It is {code}.") for code in codes)
            later = datetime(2027, 3, 1, tzinfo=UTC)
            return replace(made, allowed=False, reasons=reasons, next_permitted_at=later, explanation="It may not be.")

        monkeypatch.setattr(dialling, "decide", decided)

    from_now_on()
    return from_now_on


pytestmark = pytest.mark.usefixtures("deny")


async def placed(begin: Begin, **given: Any) -> Call:
    async with begin() as tx:
        return await calls.place(tx, NewCall(**({"to": NUMBER, "purpose": "service"} | given)))


def pending(look: Look, call: Call) -> list[str]:
    sql = "select task_name from procrastinate.procrastinate_jobs where args->>'call_id' = %s order by id"
    return [row[0] for row in look(sql, str(call.id))]


async def test_a_number_is_called(carrier: Carrier, begin: Begin, read: ReadTx, actor: Actor, look: Look) -> None:
    call = await placed(begin, to="0412 345 678", notes="  About the boat ", record=True)
    assert (call.status, call.direction, call.waits_until, call.version) == ("queued", "outbound", None, 1)
    assert (call.from_number, call.to_number, call.number) == (OWN, NUMBER, NUMBER)
    assert (call.contact_id, call.candidates, call.agent_id) == (None, (), actor.user_id)
    assert (call.notes, call.record, call.purpose, call.provider) == ("About the boat", True, "service", "carrier")
    assert call.decision is not None
    assert call.decision["allowed"] is True
    assert await calls.get(read, call.id) == call
    assert pending(look, call) == ["calls.dial"]
    (event,) = look("select type, changes, data, contact_id from events where entity_id = %s", call.id)
    assert (event[0], event[2]["status"], event[3]) == ("call.placed", "queued", None)
    assert event[1]["to_number"] == [None, NUMBER]
    assert look("select call_id from dial_decisions where id = %s", call.decision["id"]) == [(call.id,)]
    assert carrier.dialled == [], "it is dialled by a worker"


async def test_a_contact_is_called_at_its_primary_number_or_at_the_one_named(carrier: Carrier, begin: Begin) -> None:
    async with begin() as tx:
        phones = (Phone("0412 000 001"), Phone("0412 000 002", primary=True), Phone("0412 000 003"))
        ann = await make.contact(tx, phones=phones)
    assert (await placed(begin, to=None, contact_id=ann.id)).number == "+61412000002"
    async with begin() as tx:
        again = await calls.place(
            tx, NewCall(contact_id=ann.id, to="0412 000 003", agent_id=uuid4(), from_number="(03) 7010 5678")
        )
    assert (again.number, again.contact_id, again.from_number) == ("+61412000003", ann.id, OTHER)
    with pytest.raises(InvalidInput, match=r"/to: must be a number of the contact, not \+61412000009; its numbers"):
        await placed(begin, to="0412 000 009", contact_id=ann.id)


async def test_a_number_that_is_invalid_is_not_chosen(carrier: Carrier, begin: Begin) -> None:
    async with begin() as tx:
        wrong = Phone("0412 000 001", primary=True, status="invalid")
        ann = await make.contact(tx, phones=(wrong, Phone("0412 000 002")))
        ben = await make.contact(tx, phones=(wrong, Phone("0412 000 002"), Phone("0412 000 003")))
        cy = await make.contact(tx, phones=(wrong,))
        dee = await make.contact(tx, first_name="Dee")
    assert (await placed(begin, to=None, contact_id=ann.id)).number == "+61412000002"
    for contact, why in (
        (ben, "/to: must say which number"),
        (cy, "/contact_id: is of a contact that cannot be called: all its numbers are marked"),
        (dee, "/contact_id: .* it has no number"),
    ):
        with pytest.raises(InvalidInput, match=why):
            await placed(begin, to=None, contact_id=contact.id)


async def test_a_number_that_contacts_have_is_linked_to_them(carrier: Carrier, begin: Begin) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, phone=NUMBER)
    assert (await placed(begin)).contact_id == ann.id
    async with begin() as tx:
        ben = await make.contact(tx, phones=(Phone(NUMBER), Phone("0412 000 005")))
        await contacts.delete(tx, (await make.contact(tx, phone=NUMBER)).id)
    async with begin() as tx:
        shared = await calls.place(tx, NewCall(to=NUMBER, agent_id=uuid4(), wait=True))
    assert (shared.contact_id, set(shared.candidates)) == (None, {ann.id, ben.id})


async def test_whoever_does_not_see_a_contact_cannot_call_it_by_its_id(
    carrier: Carrier, engine: Engine, tenant: Tenant, begin: Begin
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, phone=NUMBER)
    own = Actor.user(uuid4(), visibility="own")
    async with engine.tenant(tenant.id, own) as tx:
        with pytest.raises(ContactNotFound):
            await calls.place(tx, NewCall(contact_id=ann.id))
    async with engine.tenant(tenant.id, own) as tx:
        with pytest.raises(InvalidInput, match="/agent_id: must be you"):
            await calls.place(tx, NewCall(to=NUMBER, agent_id=uuid4()))
    async with engine.tenant(tenant.id, own) as tx:
        assert (await calls.place(tx, NewCall(to=NUMBER))).contact_id is None
    hidden = Actor.user(uuid4(), fields={"contact": FieldRules(hidden=frozenset({"phones"}))})
    async with engine.tenant(tenant.id, hidden) as tx:
        with pytest.raises(Forbidden, match="hidden"):
            await calls.place(tx, NewCall(contact_id=ann.id))


async def test_every_mistake_is_told(carrier: Carrier, begin: Begin) -> None:
    with pytest.raises(InvalidInput) as refused:
        await placed(begin, to="000", ring_seconds=3, wait_seconds=0, notes="\0")
    assert {fault.pointer for fault in refused.value.faults} == {"/to", "/ring_seconds", "/wait_seconds", "/notes"}
    with pytest.raises(InvalidInput, match="name who is to be called"):
        await placed(begin, to=None)
    with pytest.raises(InvalidInput, match=r"/from_number: .*61370101234"):
        await placed(begin, from_number="0412 000 001")
    with pytest.raises(ContactNotFound):
        await placed(begin, to=None, contact_id=uuid4())


async def test_without_an_account_nothing_is_called(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    with pytest.raises(NoCallAccount):
        await placed(begin)
    account = await connect(engine, tenant)
    async with begin() as tx:
        await call_accounts.change(tx, account.id, CallAccountPatch(status="paused"))
    with pytest.raises(NoCallAccount):
        await placed(begin)


async def test_whoever_may_not_be_called_is_not_and_why_is_kept(
    carrier: Carrier, begin: Begin, look: Look, deny: Any, tenant: Tenant
) -> None:
    deny("opted_out", "public_holiday")
    with pytest.raises(CallNotPermitted, match="It may not be") as refused:
        async with begin() as tx:
            await make.contact(tx, first_name="Lost")
            await calls.place(tx, NewCall(to=NUMBER))
    told = refused.value.extra
    assert [each["code"] for each in told["reasons"]] == ["opted_out", "public_holiday"]
    assert told["next_permitted_at"] == "2027-03-01T00:00:00Z"
    kept = "select call_id, allowed from dial_decisions where id = %s"
    assert look(kept, told["decision_id"]) == [(None, False)]
    assert look("select count(*) from calls where tenant_id = %s", tenant.id) == [(0,)]
    assert look("select count(*) from contacts where tenant_id = %s", tenant.id) == [(0,)], "all of it was rolled back"


async def test_what_anybody_who_has_the_number_has_said_is_heeded_also_by_who_does_not_see_them(
    carrier: Carrier, engine: Engine, tenant: Tenant, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # decided as it is
    async with begin() as tx:
        await make.contact(tx, phones=(Phone(NUMBER),), preferences={"do_not_call": True})
    async with begin() as tx:
        await make.contact(tx, phone=NUMBER)
    own = Actor.user(uuid4(), visibility="own")
    for actor in (own, Actor.user(uuid4())):
        with pytest.raises(CallNotPermitted) as refused:
            async with engine.tenant(tenant.id, actor) as tx:
                await calls.place(tx, NewCall(to=NUMBER, purpose="service"))
        assert [each["code"] for each in refused.value.extra["reasons"]] == ["do_not_call"]


async def test_a_hook_may_change_a_call_or_refuse_it(
    engine: Engine, tenant: Tenant, carrier: Carrier, begin: Begin
) -> None:
    hooks = Hooks()

    @hooks.before("call.place", name="to the office")
    async def to_the_office(tx: Tx, new: NewCall) -> NewCall:
        return replace(new, to="0412 000 007")

    before, engine.hooks = engine.hooks, hooks
    try:
        assert (await placed(begin)).number == "+61412000007"
    finally:
        engine.hooks = before


async def test_who_places_is_the_agent_if_it_is_a_user(carrier: Carrier, engine: Engine, tenant: Tenant) -> None:
    async with engine.tenant(tenant.id, Actor.system()) as tx:
        assert (await calls.place(tx, NewCall(to=NUMBER))).agent_id is None
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"calls:read"}))) as tx:
        with pytest.raises(Forbidden):
            await calls.place(tx, NewCall(to=NUMBER))


async def test_a_call_that_nobody_dialled_is_canceled_at_once(
    carrier: Carrier, begin: Begin, read: ReadTx, engine: Engine, tenant: Tenant, look: Look
) -> None:
    call = await placed(begin)
    async with begin() as tx:
        canceled = await calls.cancel(tx, call.id)
    assert (canceled.status, canceled.disposition, canceled.version) == ("canceled", "canceled", 2)
    assert canceled.ended_at is not None
    assert await calls.get(read, call.id) == canceled
    for verb in (calls.cancel, calls.hang_up):
        async with begin() as tx:
            assert await verb(tx, call.id) == canceled
    await dialing.dial(engine, tenant.id, call.id)
    assert carrier.dialled == []
    types = look("select type from events where entity_id = %s order by id", call.id)
    assert types == [("call.placed",), ("call.canceled",)]


async def test_a_call_that_is_on_the_line_is_ended_by_its_provider(
    carrier: Carrier, begin: Begin, read: ReadTx, engine: Engine, tenant: Tenant, look: Look
) -> None:
    call = await placed(begin)
    await dialing.dial(engine, tenant.id, call.id)
    async with begin() as tx:
        asked = await calls.cancel(tx, call.id)
    assert (asked.status, asked.ended_at) == ("initiated", None)
    async with begin() as tx:
        assert await calls.hang_up(tx, call.id) == asked, "once is enough"
    assert pending(look, call) == ["calls.dial", "calls.hang_up"]
    await dialing.hang_up(engine, tenant.id, call.id)
    assert carrier.hung_up == [asked.provider_call_id]


@pytest.mark.parametrize(
    ("status", "verb", "does"),
    [
        ("in_progress", calls.cancel, False), ("in_progress", calls.hang_up, True), ("completed", calls.cancel, False),
        ("completed", calls.hang_up, False), ("ringing", calls.cancel, True),
    ],
)  # fmt: skip
async def test_what_can_be_done_with_a_call_goes_by_how_far_it_is(
    begin: Begin, status: Any, verb: Callable[[Tx, UUID], Awaitable[Call]], does: bool
) -> None:
    async with begin() as tx:
        ended = tx.clock.now() if status == "completed" else None
        call = await make.call(tx, status=status, provider_call_id="CA1", ended_at=ended)
    async with begin() as tx:
        if does:
            assert (await verb(tx, call.id)).version == 2
        else:
            with pytest.raises(CallOver) as refused:
                await verb(tx, call.id)
            assert refused.value.extra["call_status"] == status


async def test_calls_of_others_are_neither_canceled_nor_hung_up(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        call = await make.call(tx, agent_id=uuid4())
    for verb in (calls.cancel, calls.hang_up):
        async with engine.tenant(tenant.id, Actor.user(uuid4(), visibility="own")) as tx:
            with pytest.raises(CallNotFound):
                await verb(tx, call.id)


async def test_a_suspended_tenant_calls_nobody(engine: Engine, new_tenant: NewTenant, look: Look, owner: Any) -> None:
    tenant = await new_tenant()
    carrier = Carrier()
    await connect(engine, tenant, carrier)
    async with engine.tenant(tenant.id, Actor.system()) as tx:
        call = await calls.place(tx, NewCall(to=NUMBER))
    owner.execute("update tenants set status = 'suspended', version = version + 1 where id = %s", [tenant.id])
    async with engine.tenant(tenant.id, Actor.system()) as tx:
        with pytest.raises(TenantSuspended):
            await calls.place(tx, NewCall(to=NUMBER))
    await dialing.dial(engine, tenant.id, call.id)
    assert look("select status, reason from calls where id = %s", call.id) == [("failed", "tenant_suspended")]
    assert carrier.dialled == []
