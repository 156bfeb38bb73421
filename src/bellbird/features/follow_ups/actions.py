"""Making, changing and ending follow-ups."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import UNSET

from bellbird.core import ids, phones, text
from bellbird.core.actors import visible
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput, VersionMismatch
from bellbird.core.phones import InvalidPhone
from bellbird.core.tenants import TenantSettings
from bellbird.features.contacts.models import ContactNotFound
from bellbird.features.follow_ups import rows
from bellbird.features.follow_ups.models import (
    FollowUp,
    FollowUpNotFound,
    FollowUpOver,
    FollowUpPatch,
    NewFollowUp,
    State,
)

MAX_NOTE: Final = 5000

# Somebody whose clock is behind, or who writes down what was due this morning, is not to be refused.
LATE: Final = timedelta(days=1)
AHEAD: Final = timedelta(days=5 * 365 + 2)

CONTACT = "select id from tenant_contacts where tenant_id = $1 and id = $2 and deleted_at is null"


async def create(tx: Tx, new: NewFollowUp, *, call_id: UUID | None = None) -> FollowUp:
    """Add a follow-up and record `follow_up.created`; `call_id` is the call in which it was agreed on.

    Raises InvalidInput with every fault, ContactNotFound, also for a contact that the actor does not see, unless it is
    whom the call was with.
    """
    tx.require("calls:write")
    contact = None
    if new.contact_id is not None and call_id is None:
        seen, owners = visible(tx.actor, 3)
        contact = tx.queue(CONTACT + seen, tx.tenant_id, new.contact_id, *owners)
    settings = (await tx.writable()).settings
    if contact is not None:
        await tx.flush()
        if not contact.rows:
            raise ContactNotFound(f"There is no contact {new.contact_id}.")
    follow_up = _made(tx, new, call_id, settings)
    tx.queue(rows.INSERT, tx.tenant_id, *rows.to_row(follow_up))
    tx.emit(rows.event("created", follow_up))
    return follow_up


def _made(tx: Tx, new: NewFollowUp, call_id: UUID | None, settings: TenantSettings) -> FollowUp:
    faults = list[Fault]()
    now = tx.now()
    due_at = _due_at(new.due_at, now, faults)
    note = _note(new.note, faults)
    number = None if new.number is None else _number(new.number, settings, faults)
    if new.contact_id is None and new.number is None:
        message = "is needed, or a number: whom to call back"
        faults.append(Fault("missing_field", message, pointer="/contact_id"))
    agent_id = tx.actor.user_id if new.agent_id is None else new.agent_id
    if faults:
        raise InvalidInput(faults=faults)
    return FollowUp(
        ids.uuid7(now), new.contact_id, number, call_id, agent_id, due_at, note, "open", str(tx.actor), 1, now, now
    )


async def update(tx: Tx, id: UUID, patch: FollowUpPatch, *, version: int | None = None) -> FollowUp:
    """Change a follow-up that is open and record `follow_up.updated`; a patch that changes nothing writes nothing.

    Raises FollowUpNotFound, FollowUpOver, InvalidInput, and VersionMismatch when `version` is given and no longer the
    current one.
    """
    tx.require("calls:write")
    before = await _locked(tx, id, version)
    if before.state != "open":
        raise FollowUpOver(f"The follow-up is {before.state}.", state=before.state)
    faults, now = list[Fault](), tx.now()
    changed = replace(
        before,
        due_at=before.due_at if patch.due_at is UNSET else _due_at(patch.due_at, now, faults),
        agent_id=before.agent_id if patch.agent_id is UNSET else patch.agent_id,
        note=before.note if patch.note is UNSET else _note(patch.note, faults),
    )
    if faults:
        raise InvalidInput(faults=faults)
    return _written(tx, before, changed, "updated")


async def done(tx: Tx, id: UUID) -> FollowUp:
    """Note that somebody was called back and record `follow_up.done`; again, nothing changes.

    Raises FollowUpNotFound, FollowUpOver for one that was canceled.
    """
    tx.require("calls:write")
    return await _ended(tx, id, "done")


async def cancel(tx: Tx, id: UUID) -> FollowUp:
    """Let a follow-up be and record `follow_up.canceled`; again, nothing changes.

    Raises FollowUpNotFound, FollowUpOver for one that was done.
    """
    tx.require("calls:write")
    return await _ended(tx, id, "canceled")


async def _ended(tx: Tx, id: UUID, state: State) -> FollowUp:
    before = await _locked(tx, id, None)
    if before.state not in ("open", state):
        raise FollowUpOver(f"The follow-up is {before.state}.", state=before.state)
    ended = before if before.state == state else replace(before, state=state, ended_at=tx.now())
    return _written(tx, before, ended, state)


def _written(tx: Tx, before: FollowUp, after: FollowUp, happened: str) -> FollowUp:
    if after == before:
        return before
    after = replace(after, version=before.version + 1, updated_at=tx.now())
    tx.queue(rows.UPDATE, tx.tenant_id, *rows.to_row(after))
    tx.emit(rows.event(happened, after, before))
    return after


LOCK = f"select {rows.COLUMNS} from follow_ups where tenant_id = $1 and id = $2{{}} for update"


async def _locked(tx: Tx, id: UUID, version: int | None) -> FollowUp:
    """A follow-up that the actor sees, in a tenant that may be written to, locked until the transaction ends."""
    seen, owners = rows.seen(tx.actor, 3)
    asked = tx.queue(LOCK.format(seen), tx.tenant_id, id, *owners)
    await tx.writable()
    await tx.flush()
    if not asked.rows:
        raise FollowUpNotFound(f"There is no follow-up {id}.")
    follow_up = rows.from_row(asked.rows[0])
    if version is not None and version != follow_up.version:
        raise VersionMismatch(
            f"The follow-up is at version {follow_up.version}; your change was made to version {version}.",
            current=follow_up,
        )
    return follow_up


def _due_at(given: datetime, now: datetime, faults: list[Fault]) -> datetime:
    if given.tzinfo is None:
        message = f"must say its offset from UTC, such as {given:%Y-%m-%dT%H:%M:%S}Z"
    elif given < now - LATE:
        message = f"must be in the future, not {given.isoformat()}"
    elif given > now + AHEAD:
        message = "must be within five years"
    else:
        return given.astimezone(UTC)
    faults.append(Fault("invalid_value", message, pointer="/due_at"))
    return now


def _note(given: str | None, faults: list[Fault]) -> str | None:
    if given is None:
        return None
    try:
        return text.clean(given, max_length=MAX_NOTE, multiline=True) or None
    except text.InvalidText as error:
        faults.append(Fault(error.code, str(error), pointer="/note"))
        return None


def _number(given: str, settings: TenantSettings, faults: list[Fault]) -> str:
    try:
        return phones.parse(given, default_region=settings.default_region, allowed_regions=None).number
    except InvalidPhone as error:
        faults.append(Fault("phone_invalid", str(error), pointer="/number"))
        return ""
