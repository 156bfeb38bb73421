"""Placing calls, and having them ended: what is decided at once, in the caller's transaction; workers do the dialling.

What a verb queued is sent with the transaction's next question or its COMMIT.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import ids, phones
from bellbird.core.actors import visible
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.hooks import hookable
from bellbird.core.phones import InvalidPhone
from bellbird.core.telephony import ENDS
from bellbird.core.tenants import CallPurpose, TenantSettings
from bellbird.core.text import InvalidText, clean
from bellbird.features import call_accounts, dialling
from bellbird.features.calls import admitting, permitting, rows
from bellbird.features.calls.admitting import Limit, Room
from bellbird.features.calls.models import Call, CallLimitReached, CallNotFound, CallNotPermitted, CallOver, NewCall
from bellbird.features.calls.rows import Held
from bellbird.features.contacts import Contact, ContactNotFound, rules
from bellbird.features.dialling import DialDecision

hookable("call.place", NewCall)

HANG_UP: Final = "calls.hang_up"

RING_SECONDS: Final = range(5, 301)
WAIT_SECONDS: Final = range(1, 86_401)
MAX_NOTES: Final = 10_000


async def place(tx: Tx, new: NewCall) -> Call:
    """Have a call placed and record `call.placed`: it is dialled by a worker as soon as this is committed.

    Raises InvalidInput, ContactNotFound, NoCallAccount; CallNotPermitted, for which the whole transaction is rolled
    back so that the decision can be kept; CallLimitReached, or with `wait` the call waits for its turn.
    """
    tx.require("calls:write")
    new = await tx.before("call.place", new)
    asked = call_accounts.ask(tx)
    contact, settings = await _called(tx, new)
    new = _checked(tx, new, settings)
    number = _number(new, contact, settings)
    account, from_number = await call_accounts.for_calling(tx, new.from_number, asked=asked)
    whom = (contact,) if contact else await permitting.bearers(tx, number)
    contact = whom[0] if len(whom) == 1 else None

    purpose: CallPurpose = new.purpose or settings.default_purpose
    agent_id = new.agent_id or tx.actor.user_id
    looked = admitting.look(tx, agent_id, number)  # goes out with what the decision asks
    decision = await permitting.decide(tx, number, contact, from_number, purpose)
    if not decision.allowed:
        raise await _refused(tx, decision)
    await tx.flush()
    room = admitting.room(looked)
    lacking = room.lacking(settings)
    if lacking is not None and not new.wait:
        raise _no_room(lacking, settings, number)

    now = tx.now()
    call = Call(
        id=ids.uuid7(now), direction="outbound", status="queued", from_number=from_number, to_number=number,
        number=number, contact_id=contact.id if contact else None,
        candidates=tuple(each.id for each in whom) if len(whom) > 1 else (),
        agent_id=agent_id, purpose=purpose, account_id=account.id, provider=account.provider, provider_call_id=None,
        answered_by=None, created_at=now, updated_at=now, notes=new.notes, decision=permitting.kept(decision),
        ring_seconds=new.ring_seconds, record=new.record, detect_machine=new.detect_machine, created_by=str(tx.actor),
        waits_until=now + _patience(new, settings) if lacking else None,
    )  # fmt: skip
    _insert(tx, call, decision, room, settings)
    return call


async def _called(tx: Tx, new: NewCall) -> tuple[Contact | None, TenantSettings]:
    """Who is to be called, if they are named, and the tenant's settings, in one round trip. Raises ContactNotFound."""
    asked = None
    if new.contact_id is not None:
        rules.require_shown(tx.actor, "phones", "To call a contact")
        seen, owners = visible(tx.actor, 3)
        asked = permitting.ask_contact(tx, new.contact_id, seen, *owners)
    settings = (await tx.writable()).settings
    if asked is None:
        return None, settings
    await tx.flush()
    if (contact := permitting.found(asked)) is None:
        raise ContactNotFound(f"There is no contact {new.contact_id}.")
    return contact, settings


def _checked(tx: Tx, new: NewCall, settings: TenantSettings) -> NewCall:
    """What is to be placed, its `to` in E.164 and its notes cleaned. Raises InvalidInput with every fault."""
    faults = list(_faults(tx, new))
    cleaned = dict[str, Any]()
    if new.to is not None:
        home, allowed = settings.default_region, settings.allowed_regions or None
        try:
            cleaned["to"] = phones.parse(new.to, default_region=home, allowed_regions=allowed).number
        except InvalidPhone as error:
            faults.append(Fault(error.code, error.message, pointer="/to"))
    if new.notes is not None:
        try:
            cleaned["notes"] = clean(new.notes, max_length=MAX_NOTES, multiline=True)
        except InvalidText as error:
            faults.append(Fault(error.code, error.message, pointer="/notes"))
    if faults:
        raise InvalidInput(faults=faults)
    return replace(new, **cleaned)


def _faults(tx: Tx, new: NewCall) -> Iterator[Fault]:
    if new.to is None and new.contact_id is None:
        yield Fault("missing_field", "name who is to be called: a number in `to`, or a `contact_id`", pointer="/to")
    if new.ring_seconds not in RING_SECONDS:
        yield _not_between(RING_SECONDS, new.ring_seconds, "/ring_seconds")
    if new.wait_seconds is not None and new.wait_seconds not in WAIT_SECONDS:
        yield _not_between(WAIT_SECONDS, new.wait_seconds, "/wait_seconds")
    if new.wait_seconds is not None and not new.wait:
        yield Fault("invalid_value", "goes with `wait`: without it nothing waits", pointer="/wait_seconds")
    if new.agent_id is not None and new.agent_id != tx.actor.user_id and not tx.actor.sees(new.agent_id):
        message = "must be you or a user whose contacts you see"
        yield Fault("owner_not_visible", message, pointer="/agent_id")


def _not_between(allowed: range, given: int, pointer: str) -> Fault:
    message = f"must be from {allowed[0]} to {allowed[-1]:,} seconds, not {given:,}"
    return Fault("invalid_value", message, pointer=pointer)


def _number(new: NewCall, contact: Contact | None, settings: TenantSettings) -> str:
    """The number to be called. Raises InvalidInput when the contact has none, has another, or it is not clear which."""
    if contact is None:
        assert new.to is not None
        return new.to
    numbers = tuple(dict.fromkeys(phone.number for phone in contact.phones))
    if new.to is not None:
        if new.to in numbers:
            return new.to
        theirs = f"its numbers are {', '.join(numbers)}" if numbers else "it has no number"
        message = f"must be a number of the contact, not {new.to}; {theirs}. Leave contact_id out to call another."
        raise _unclear("/to", message)
    usable = [phone for phone in contact.phones if phone.status != "invalid"]
    if not usable:
        why = "all its numbers are marked as invalid" if numbers else "it has no number"
        raise _unclear("/contact_id", f"is of a contact that cannot be called: {why}")
    chosen = next((phone for phone in usable if phone.primary), None)
    if chosen is None and len({phone.number for phone in usable}) > 1:
        several = ", ".join(phone.number for phone in usable)
        raise _unclear("/to", f"must say which number is meant, none of which is the primary one: {several}")
    return (chosen or usable[0]).number


def _unclear(pointer: str, message: str) -> InvalidInput:
    return InvalidInput(faults=[Fault("invalid_value", message, pointer=pointer)])


def _patience(new: NewCall, settings: TenantSettings) -> timedelta:
    return timedelta(seconds=new.wait_seconds or settings.call_wait_seconds)


def _insert(tx: Tx, call: Call, decision: DialDecision, room: Room, settings: TenantSettings) -> None:
    rows.insert(tx, call)
    tx.emit(rows.event("call.placed", call))
    dialling.record(tx, decision, call_id=call.id)
    if call.waits_until is None:
        admitting.dial(tx, call.id)
        return
    admitting.expire(tx, call.id, call.waits_until)
    if room.live < settings.max_live_calls:
        # It is behind others that are to be let in at this moment: whoever does that may as well do it now.
        admitting.wake(tx)


async def _refused(tx: Tx, decision: DialDecision) -> CallNotPermitted:
    """The refusal of a call, whose decision is kept in a transaction of its own."""
    await tx.give_up()
    async with tx.engine.tenant(tx.tenant_id, tx.actor, request_id=tx.request_id) as own:
        await own.writable()
        dialling.record(own, decision)
    reasons = [{"code": each.code, "message": each.message} for each in decision.reasons]
    return CallNotPermitted(
        decision.explanation, reasons=reasons, next_permitted_at=msgspec.to_builtins(decision.next_permitted_at),
        decision_id=str(decision.id),
    )  # fmt: skip


def _no_room(lacking: Limit, settings: TenantSettings, number: str) -> CallLimitReached:
    most = settings.max_live_calls if lacking == "tenant" else 1
    why = {
        "tenant": f"{most:,} calls are under way, and no more may be at a time.",
        "agent": "The agent has a call already, under way or waiting.",
        "number": f"A call with {number} is under way or waiting already.",
    }[lacking]
    return CallLimitReached(f"{why} With `wait` it would wait for its turn.", limit=lacking, max=most)


async def cancel(tx: Tx, id: UUID) -> Call:
    """Have a call not take place: at once, unless a worker is dialling it or it rings, when the provider is asked to.

    Canceling it again changes nothing. Raises CallNotFound, CallOver for one that was answered or is over.
    """
    tx.require("calls:write")
    before = await _locked(tx, id)
    call = before.call
    if call.status == "canceled":
        return call
    if call.status in ENDS:
        raise CallOver(f"The call is over: {call.status}.", call_status=call.status)
    if call.status == "in_progress":
        raise CallOver("The call was answered: it can only be hung up.", call_status=call.status)
    return _stop(tx, before)


async def hang_up(tx: Tx, id: UUID) -> Call:
    """Have a call ended, wherever it is; that it has ended is told by its provider, unless it was not dialled yet.

    Asking again changes nothing. Raises CallNotFound, CallOver.
    """
    tx.require("calls:write")
    before = await _locked(tx, id)
    call = before.call
    if call.status in ENDS and before.hang_up_at is None:
        raise CallOver(f"The call is over: {call.status}.", call_status=call.status)
    return call if call.status in ENDS else _stop(tx, before)


async def _locked(tx: Tx, id: UUID) -> Held:
    """A call that the actor sees, locked, in one round trip with the tenant. Raises CallNotFound."""
    seen, owners = rows.seen(tx.actor, 3)
    asked = tx.queue(rows.LOCK.replace("\nfor update", f"{seen}\nfor update"), tx.tenant_id, id, *owners)
    await tx.writable()
    await tx.flush()
    if not asked.rows:
        raise CallNotFound(f"There is no call {id}.")
    return rows.held(asked.rows[0])


def _stop(tx: Tx, before: Held) -> Call:
    """Queue the end of a live call: its own where nobody has dialled it, else that its provider is asked for it."""
    if before.hang_up_at is not None:
        return before.call
    now = tx.now()
    if before.call.status == "queued" and before.claimed_at is None and before.call.direction == "outbound":
        return admitting.end(tx, before, "canceled", None, hang_up_at=now)
    tx.defer(HANG_UP, queueing_lock=f"{HANG_UP} {before.call.id}", priority=admitting.URGENT, call_id=before.call.id)
    return rows.write(tx, before, replace(before, hang_up_at=now), happened="updated")
