"""Deciding from what is kept: everything that is known counts, whoever asks, in one round trip."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import psycopg
import pytest

from bellbird.core.actors import Actor, FieldRules
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput
from bellbird.core.tenants import CallPurpose, Tenant
from bellbird.features import contacts, dialling
from bellbird.features.contacts import Address, Contact, ContactNotFound, Phone
from bellbird.features.dialling import (
    ConsentNotFound,
    DialDecisionNotFound,
    NewConsent,
    NewDialDecision,
    NewOptOut,
    NewWashes,
    NoNumberToCall,
    OptOutNotFound,
    Question,
    WashedNumber,
    actions,
    queries,
)
from tests import make
from tests.conftest import Begin

NUMBER, OTHER = "+61412345678", "+61412345679"
TUESDAY = datetime(2026, 12, 1, 1, 0, tzinfo=UTC)  # 11:00 in Brisbane
SUNDAY = TUESDAY + timedelta(days=5)
BRISBANE = (Address(region="QLD", postcode="4000", country="AU"),)

pytestmark = pytest.mark.usefixtures("account")


async def ann(tx: Tx, **given: Any) -> Contact:
    return await make.contact(tx, **{"first_name": "Ann", "phones": (Phone(NUMBER),), "addresses": BRISBANE, **given})


async def codes(
    tx: Tx | ReadTx, contact: Contact | None = None, *, number: str = NUMBER, at: datetime = TUESDAY,
    purpose: CallPurpose = "telemarketing", from_number: str | None = None,
) -> list[str]:  # fmt: skip
    decision = await dialling.decide(tx, Question(number, contact, from_number, purpose, at))
    return [reason.code for reason in decision.reasons]


async def test_a_decision_is_kept_as_it_was_made(tx: Tx, account: str, actor: Actor) -> None:
    contact = await ann(tx)
    decision = await dialling.decide(tx, Question(NUMBER, contact, None, "telemarketing", SUNDAY))
    assert not decision.allowed
    assert decision.next_permitted_at == datetime(2026, 12, 6, 23, 0, tzinfo=UTC)
    assert (decision.number, decision.contact_id, decision.from_number) == (NUMBER, contact.id, account)
    assert "may not be called on Sunday 6 December 2026, 11:00 (Australia/Brisbane)" in decision.explanation
    assert decision.evidence["where"]["known_by"] == "address"
    call = uuid4()
    dialling.record(tx, decision, call_id=call)
    kept = await queries.get(tx, decision.id)
    assert (kept.call_id, kept.created_by) == (call, str(actor))
    assert (kept.reasons, kept.explanation, kept.at) == (decision.reasons, decision.explanation, decision.at)
    assert kept.evidence == msgspec.json.decode(msgspec.json.encode(decision.evidence))


async def test_it_can_be_asked_by_who_only_reads(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        contact = await ann(tx)
    assert await codes(read, contact) == []
    assert await codes(read, contact, at=SUNDAY) == ["outside_calling_hours"]


async def test_nothing_overrides_an_opt_out(tx: Tx) -> None:
    contact = await ann(tx)
    await dialling.grant(
        tx, NewConsent(contact_id=contact.id, purpose="telemarketing", source="form", indefinite=True, any_time=True)
    )
    assert await codes(tx, contact) == []
    opted = await dialling.opt_out(tx, "0412 345 678", contact_id=contact.id, source="call:1")
    assert await codes(tx, contact) == ["opted_out"]
    assert await codes(tx, number="0412 345 678", purpose="service") == ["opted_out"], "whoever asks for the number"
    assert (await dialling.opt_out(tx, NUMBER)).id == opted.id, "once"
    with pytest.raises(InvalidInput, match="reason"):
        await dialling.remove_opt_out(tx, opted.id, " ")
    removed = await dialling.remove_opt_out(tx, opted.id, "Ann asked for a quote")
    assert (removed.removed_reason, removed.removed_at is not None) == ("Ann asked for a quote", True)
    assert await dialling.remove_opt_out(tx, opted.id, "again") == removed
    assert await codes(tx, contact) == []
    assert (await queries.opt_outs(tx)).data == ()
    assert (await queries.opt_outs(tx, removed=True, number="0412 345 678")).data == (removed,)
    with pytest.raises(OptOutNotFound):
        await dialling.remove_opt_out(tx, uuid4(), "x")


async def test_a_number_that_is_marked_counts_whoever_has_it(tx: Tx) -> None:
    await make.contact(tx, first_name="Bob", phones=(Phone(NUMBER, status="opted_out"),))
    contact = await ann(tx)
    assert await codes(tx, contact) == ["opted_out"]
    invalid = await make.contact(tx, first_name="Cy", phones=(Phone(OTHER, status="invalid"),), addresses=BRISBANE)
    assert await codes(tx, invalid, number=OTHER) == ["number_invalid"]


async def test_preferences_count_also_where_no_contact_is_named(tx: Tx) -> None:
    contact = await ann(tx, preferences={"do_not_call": True})
    assert await codes(tx, contact) == ["do_not_call"]
    assert await codes(tx, purpose="service") == ["do_not_call"]
    bob = await make.contact(tx, first_name="Bob", phone=NUMBER, addresses=BRISBANE)
    assert await codes(tx, bob) == [], "one of a household does not speak for another"
    odd = await make.contact(tx, first_name="Odd", phone=OTHER, preferences={"calling_hours": {"noday": "9-5"}})
    decision = await dialling.decide(tx, Question(OTHER, odd, None, "service", TUESDAY))
    assert "preference_unreadable" in [warning.code for warning in decision.warnings]


async def test_what_is_hidden_from_who_asks_counts_as_well(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        contact = await ann(tx, preferences={"do_not_call": True})
    hides = {"contact": FieldRules(hidden=frozenset({"preferences", "addresses"}))}
    blind = Actor.user(uuid4(), permissions=frozenset({"calls:write", "contacts:read"}), fields=hides)
    async with engine.tenant(tenant.id, blind) as tx:
        shown = await contacts.get(tx, contact.id)
        assert await codes(tx, shown) == ["do_not_call"]
        assert (await dialling.ask(tx, NewDialDecision(contact_id=contact.id, at=TUESDAY))).allowed is False


async def test_consent_is_for_a_number_and_a_purpose_until_it_is_withdrawn(tx: Tx) -> None:
    contact = await ann(tx, phones=(Phone(NUMBER), Phone(OTHER)))
    washes = tuple(WashedNumber(number=number, listed=True) for number in (NUMBER, OTHER))
    assert (await dialling.wash(tx, NewWashes(numbers=washes, washed_at=tx.clock.now()))).listed == 2
    now = tx.clock.now()
    given = NewConsent(contact_id=contact.id, purpose="telemarketing", number=NUMBER, source="form")
    consent = await dialling.grant(tx, given)
    listed = "on_do_not_call_register"
    assert listed not in await codes(tx, contact, at=now + timedelta(minutes=1))
    assert listed in await codes(tx, contact, number=OTHER, at=now)
    assert listed not in await codes(tx, contact, at=now, purpose="research")
    assert (await queries.consents(tx, contact.id)).data == (consent,)
    withdrawn = await dialling.withdraw(tx, consent.id)
    assert withdrawn.withdrawn_at is not None
    assert await dialling.withdraw(tx, consent.id) == withdrawn
    decision = await dialling.decide(tx, Question(NUMBER, contact, None, "telemarketing", withdrawn.withdrawn_at))
    assert listed in [reason.code for reason in decision.reasons]
    assert "consent_withdrawn" in [warning.code for warning in decision.warnings]
    with pytest.raises(ConsentNotFound):
        await dialling.withdraw(tx, uuid4())


async def test_a_consent_that_cannot_be_is_refused_with_every_fault(tx: Tx) -> None:
    contact = await ann(tx)
    with pytest.raises(InvalidInput) as refused:
        await dialling.grant(
            tx,
            NewConsent(
                contact_id=contact.id, purpose="research", source=" ", number=OTHER, indefinite=True,
                granted_at=tx.clock.now() + timedelta(days=1), expires_at=tx.clock.now() - timedelta(days=1),
            ),
        )  # fmt: skip
    assert {fault.pointer for fault in refused.value.faults} == {"/source", "/number", "/granted_at", "/expires_at"}
    with pytest.raises(ContactNotFound):
        await dialling.grant(tx, NewConsent(contact_id=uuid4(), purpose="research", source="x"))


async def test_of_what_is_washed_twice_the_later_counts(tx: Tx) -> None:
    now = tx.clock.now()

    async def wash(listed: bool, days: int) -> None:
        numbers = (WashedNumber(number="0412 345 678", listed=listed), WashedNumber(number=NUMBER, listed=False))
        await dialling.wash(tx, NewWashes(numbers=numbers, washed_at=now - timedelta(days=days)))

    assert await queries.washed(tx, NUMBER) is None
    for listed, days, kept in ((True, 5, True), (False, 9, True), (False, 5, False), (True, 1, True)):
        await wash(listed, days)
        found = await queries.washed(tx, "0412 345 678")
        assert found and found.listed is kept
    assert "on_do_not_call_register" in await codes(tx, at=now)


async def test_bad_washes_keep_nothing(tx: Tx) -> None:
    numbers = tuple(WashedNumber(number=each, listed=True) for each in (NUMBER, "12", "x"))
    with pytest.raises(InvalidInput) as refused:
        await dialling.wash(tx, NewWashes(numbers=numbers))
    assert [fault.pointer for fault in refused.value.faults] == ["/numbers/1/number", "/numbers/2/number"]
    assert await queries.washed(tx, NUMBER) is None
    for wrong in ((), (WashedNumber(number=NUMBER, listed=True),) * 1001):
        with pytest.raises(InvalidInput, match="1 to 1,000"):
            await dialling.wash(tx, NewWashes(numbers=wrong))
    with pytest.raises(InvalidInput, match="future"):
        await dialling.wash(tx, NewWashes(numbers=numbers[:1], washed_at=tx.clock.now() + timedelta(days=1)))


async def test_only_the_tenants_own_numbers_are_shown_to_the_called(
    tx: Tx, account: str, owner: psycopg.Connection[Any]
) -> None:
    contact = await ann(tx)
    assert await codes(tx, contact, from_number="02 8000 1234") == []
    assert await codes(tx, contact, from_number=OTHER) == ["caller_id_not_allowed"]
    assert await codes(tx, contact, from_number="nonsense") == ["caller_id_not_allowed"]
    owner.execute("update call_accounts set status = 'paused' where tenant_id = %s", [tx.tenant_id])
    assert await codes(tx, contact) == ["caller_id_missing"]
    assert await codes(tx, contact, purpose="service") == []


async def test_what_is_no_number_to_call_is_denied_not_raised(tx: Tx) -> None:
    expected = {"000": "emergency_number", "+1 415 555 2671": "region_not_allowed", "1900 123 456": "premium_number"}
    for number, code in {**expected, "0412 34": "number_invalid", "": "number_invalid"}.items():
        decision = await dialling.decide(tx, Question(number, None, None, "service", TUESDAY))
        assert [reason.code for reason in decision.reasons] == [code], number
        assert decision.next_permitted_at is None
        dialling.record(tx, decision)
    await tx.flush()


async def test_asking_takes_the_number_that_would_be_called(tx: Tx) -> None:
    phones = (Phone(OTHER, status="invalid"), Phone("+61412345670"), Phone(NUMBER, primary=True))
    contact = await ann(tx, phones=phones)
    asked = await dialling.ask(tx, NewDialDecision(contact_id=contact.id, at=TUESDAY))
    assert (asked.number, asked.allowed, asked.purpose) == (NUMBER, True, "telemarketing")
    other = await dialling.ask(tx, NewDialDecision(contact_id=contact.id, number="0412 345 670", purpose="service"))
    assert other.number == "+61412345670"
    listed = await queries.page(tx, contact_id=contact.id)
    assert [each.id for each in listed.data] == [other.id, asked.id]
    assert [each.id for each in (await queries.page(tx, number="0412 345 678", allowed=True)).data] == [asked.id]
    with pytest.raises(InvalidInput, match="one of the contact's"):
        await dialling.ask(tx, NewDialDecision(contact_id=contact.id, number="0499 999 999"))
    with pytest.raises(InvalidInput, match="is needed"):
        await dialling.ask(tx, NewDialDecision())
    nobody = await make.contact(tx, first_name="Nobody")
    with pytest.raises(NoNumberToCall):
        await dialling.ask(tx, NewDialDecision(contact_id=nobody.id))
    with pytest.raises(DialDecisionNotFound):
        await queries.get(tx, uuid4())


async def test_who_sees_few_contacts_sees_few_decisions(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    me = Actor.user(uuid4(), visibility="own")
    async with begin() as tx:
        theirs = await dialling.ask(tx, NewDialDecision(contact_id=(await ann(tx)).id))
        mine = await dialling.ask(tx, NewDialDecision(contact_id=(await ann(tx, owner_id=me.user_id)).id))
    async with engine.tenant(tenant.id, me) as tx:
        own = await dialling.ask(tx, NewDialDecision(number=NUMBER))
        assert [each.id for each in (await queries.page(tx)).data] == [own.id, mine.id]
        assert [each.id for each in (await queries.page(tx, number=NUMBER)).data] == [own.id, mine.id]
        with pytest.raises(DialDecisionNotFound):
            await queries.get(tx, theirs.id)


async def test_permissions_are_asked(engine: Engine, tenant: Tenant) -> None:
    nobody = Actor.user(uuid4(), permissions=frozenset())
    async with engine.tenant(tenant.id, nobody) as tx:
        for verb in (
            dialling.decide(tx, Question(NUMBER, None, None, "service")), dialling.opt_out(tx, NUMBER),
            actions.create_opt_out(tx, NewOptOut(number=NUMBER)), dialling.ask(tx, NewDialDecision(number=NUMBER)),
            queries.washed(tx, NUMBER), queries.opt_outs(tx), queries.consents(tx, uuid4()), queries.page(tx),
        ):  # fmt: skip
            with pytest.raises(Forbidden):
                await verb
    caller = Actor.user(uuid4(), permissions=frozenset({"calls:write"}))
    async with engine.tenant(tenant.id, caller) as tx:
        assert (await dialling.opt_out(tx, NUMBER)).number == NUMBER, "an objection is never refused"


async def test_a_purge_leaves_the_opt_out_and_nothing_of_whose_it_was(begin: Begin) -> None:
    async with begin() as tx:
        contact = await ann(tx)
        await dialling.opt_out(tx, NUMBER, contact_id=contact.id, note="Ann is angry")
        consent = NewConsent(contact_id=contact.id, purpose="research", source="form")
        await dialling.grant(tx, consent)
        decision = await dialling.ask(tx, NewDialDecision(contact_id=contact.id))
    async with begin() as tx:
        await contacts.purge(tx, contact.id)
    async with begin() as tx:
        (kept,) = (await queries.opt_outs(tx)).data
        assert (kept.number, kept.contact_id, kept.note) == (NUMBER, None, None)
        assert await codes(tx, purpose="service") == ["opted_out"]
        assert await tx.all("select from consents where tenant_id = $1", tx.tenant_id) == []
        gone = await queries.get(tx, decision.id)
        assert (gone.number, gone.evidence, gone.explanation, gone.reasons) == (None, {}, "", ())


async def test_deciding_takes_one_round_trip_beyond_the_contact(begin: Begin, monkeypatch: pytest.MonkeyPatch) -> None:
    async with begin() as tx:
        contact = await ann(tx)
    trips = []
    send = Tx._send

    async def counted(self: Tx, queue: Any) -> None:
        trips.append(len(queue))
        await send(self, queue)

    async with begin() as tx:
        monkeypatch.setattr(Tx, "_send", counted)
        await dialling.decide(tx, Question(NUMBER, contact, None, "telemarketing", TUESDAY))
        assert len(trips) == 1
