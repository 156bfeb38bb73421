"""What an agent says of a call: what came of it, who it was, what is to be done next."""

from dataclasses import replace
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from bellbird.core import text
from bellbird.core.actors import visible
from bellbird.core.connection import Pending
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.hooks import Change, hookable
from bellbird.core.tenants import TenantSettings
from bellbird.features import contacts, dialling, follow_ups
from bellbird.features.calls import admitting, rows
from bellbird.features.calls.models import Call, CallHasContact, CallNotFound, CallPatch, NewFollowUpOfCall
from bellbird.features.calls.rows import Held
from bellbird.features.contacts import Contact, NewContact, Phone
from bellbird.features.follow_ups import NewFollowUp

MAX_NOTES: Final = 20_000

# Whoever says this in a call is not called any more, by whomever and for whatever.
DO_NOT_CALL: Final = "do_not_call"

hookable("call.update", Change)

CONTACT = "select id from tenant_contacts where tenant_id = $1 and id = $2 and deleted_at is null"

# What was agreed on with a number is agreed on with the contact that it turns out to be.
ADOPT = """
update follow_ups
set contact_id = $3
where tenant_id = $1 and call_id = $2 and contact_id is null
"""


async def update(tx: Tx, id: UUID, patch: CallPatch, *, version: int | None = None) -> Call:
    """Change what is said of a call, live or over, and record `call.updated`; what changes nothing writes nothing.

    The outcome `do_not_call` opts the number out, too, and `follow_up` makes one.
    Raises CallNotFound, InvalidInput with every fault, and VersionMismatch when `version` is given and no longer the
    current one.
    """
    tx.require("calls:write")
    patch = (await tx.before("call.update", Change(id, patch))).patch
    contact = None
    if patch.contact_id is not UNSET and patch.contact_id is not None:
        seen, owners = visible(tx.actor, 3)
        contact = tx.queue(CONTACT + seen, tx.tenant_id, patch.contact_id, *owners)
    before, settings = await _locked(tx, id)
    rows.check_version(before.call, version)
    call = _changed(tx, before.call, patch, settings, contact)
    after = rows.write(tx, before, replace(before, call=call), happened="updated")
    if call.contact_id is not None and call.contact_id != before.call.contact_id:
        tx.queue(ADOPT, tx.tenant_id, id, call.contact_id)
    if call.outcome == DO_NOT_CALL and before.call.outcome != DO_NOT_CALL and call.number is not None:
        await dialling.opt_out(tx, call.number, contact_id=call.contact_id, source=f"call:{id}")
    if patch.follow_up is not UNSET:
        await _follow_up(tx, after, patch.follow_up)
    if call.agent_id != before.call.agent_id and call.ended_at is None and call.waits_until is None:
        admitting.freed(tx, after)  # the agent who had it may be waited for
    return after


def _changed(tx: Tx, call: Call, patch: CallPatch, settings: TenantSettings, contact: Pending | None) -> Call:
    """The call as the patch has it. Raises InvalidInput with every fault."""
    faults = list[Fault]()
    given: dict[str, Any] = {
        name: getattr(patch, name)
        for name in ("outcome", "notes", "agent_id", "contact_id")
        if getattr(patch, name) is not UNSET
    }
    if given.get("outcome") is not None and given["outcome"] not in settings.call_outcomes:
        there = ", ".join(settings.call_outcomes) or "none: the tenant's setting call_outcomes is empty"
        message = f"cannot be {given['outcome'][:60]!r}; there are {there}"
        faults.append(Fault("unknown_outcome", message, pointer="/outcome"))
    if given.get("notes") is not None:
        given["notes"] = _notes(given["notes"], faults)
    agent = given.get("agent_id")
    if agent is not None and agent != call.agent_id and not tx.actor.sees(agent):
        message = "must be you, or somebody whose records you see"
        faults.append(Fault("owner_not_visible", message, pointer="/agent_id"))
    if contact is not None:
        given["candidates"] = ()
        if not contact.rows:
            message = f"there is no contact {given['contact_id']}"
            faults.append(Fault("contact_not_found", message, pointer="/contact_id"))
    changed = replace(call, **given)
    if patch.follow_up is not UNSET and changed.contact_id is None and changed.number is None:
        message = "cannot be made: whose call it was is not known, for the number was withheld"
        faults.append(Fault("invalid_value", message, pointer="/follow_up"))
    if faults:
        raise InvalidInput(faults=faults)
    return changed


def _notes(given: str, faults: list[Fault]) -> str | None:
    try:
        return text.clean(given, max_length=MAX_NOTES, multiline=True) or None
    except text.InvalidText as error:
        faults.append(Fault(error.code, str(error), pointer="/notes"))
        return None


async def _follow_up(tx: Tx, call: Call, new: NewFollowUpOfCall) -> None:
    """Make the follow-up that was agreed on: with the contact, at the number that they were talked with."""
    made = NewFollowUp(
        due_at=new.due_at, contact_id=call.contact_id, number=call.number, note=new.note,
        agent_id=call.agent_id if new.agent_id is None else new.agent_id,
    )  # fmt: skip
    try:
        await follow_ups.create(tx, made, call_id=call.id)
    except InvalidInput as error:
        faults = [replace(fault, pointer=f"/follow_up{fault.pointer}") for fault in error.faults]
        raise InvalidInput(faults=faults) from None


async def make_contact(tx: Tx, id: UUID, new: NewContact) -> Contact:
    """Make a contact of whom a call was with, record `contact.created` and `call.updated`; it has the call's number.

    Raises CallNotFound, CallHasContact, and what making a contact does: InvalidInput, DuplicateContact,
    ExternalIdTaken.
    """
    tx.require("calls:write")
    tx.require("contacts:write")
    before, _ = await _locked(tx, id)
    call = before.call
    if call.contact_id is not None:
        raise CallHasContact("It is known already whom this call was with.", contact_id=call.contact_id)
    if call.number is not None and all(_digits(phone.number) != _digits(call.number) for phone in new.phones):
        new = replace(new, phones=(*new.phones, Phone(call.number)))
    contact = await contacts.create(tx, new)
    changed = replace(call, contact_id=contact.id, candidates=())
    rows.write(tx, before, replace(before, call=changed), happened="updated")
    tx.queue(ADOPT, tx.tenant_id, id, contact.id)
    return contact


def _digits(number: str) -> str:
    """What of a number is the same however it was typed: its last nine digits."""
    return "".join(character for character in number if character.isdigit())[-9:]


async def _locked(tx: Tx, id: UUID) -> tuple[Held, TenantSettings]:
    """A call that the actor sees, in a tenant that may be written to, locked until the transaction ends."""
    seen, owners = rows.seen(tx.actor, 3)
    asked = tx.queue(rows.LOCK.replace("for update", f"{seen}\nfor update"), tx.tenant_id, id, *owners)
    settings = (await tx.writable()).settings
    await tx.flush()
    if not asked.rows:
        raise CallNotFound(f"There is no call {id}.")
    return rows.held(asked.rows[0]), settings
