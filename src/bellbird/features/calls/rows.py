"""A call as a row of the table, and back; and what happens to one, as events."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import erasing, events, ids
from bellbird.core.actors import Actor
from bellbird.core.connection import Parameter
from bellbird.core.engine import Tx
from bellbird.core.errors import VersionMismatch
from bellbird.core.events import Event, Logged
from bellbird.features.calls.models import Call, CallNotFound
from bellbird.features.contacts import rules

COLUMNS: Final = ", ".join(field.name for field in fields(Call))

# The same to be read: JSON as text.
READ: Final = re.sub(r"\bdecision\b", "decision::text", COLUMNS)

_decision = msgspec.json.Decoder(dict[str, Any]).decode
_DECISION: Final = [field.name for field in fields(Call)].index("decision")
_CANDIDATES: Final = [field.name for field in fields(Call)].index("candidates")
_COST: Final = [field.name for field in fields(Call)].index("cost")


def from_row(row: tuple[Any, ...]) -> Call:
    """A row that begins with READ as a call."""
    values = list(row[: len(fields(Call))])
    values[_CANDIDATES] = tuple(values[_CANDIDATES])
    values[_DECISION] = None if values[_DECISION] is None else _decision(values[_DECISION])
    return Call(*values)


def to_row(call: Call) -> tuple[Parameter, ...]:
    """The values of COLUMNS."""
    values = [getattr(call, field.name) for field in fields(Call)]
    values[_CANDIDATES] = list(call.candidates)
    values[_DECISION] = None if call.decision is None else msgspec.json.encode(call.decision)
    values[_COST] = None if call.cost is None else str(call.cost)
    return tuple(values)


@dataclass(frozen=True, slots=True)
class Held:
    """A call that is locked, with what of it nobody is shown."""

    call: Call
    claimed_at: datetime | None
    hang_up_at: datetime | None
    ended_by: str | None


_PLACES: Final = ", ".join(f"${number}" for number in range(2, len(fields(Call)) + 2))
INSERT: Final = f"insert into calls (tenant_id, {COLUMNS})\nvalues ($1, {_PLACES})"


def insert(tx: Tx, call: Call) -> None:
    """Queue the row of a new call."""
    tx.queue(INSERT, tx.tenant_id, *to_row(call))
    _note_correction(tx, None, call)


# What statistics count, a day at a time (counting.py). What is a day old may have been counted by the time that this is
# committed: it leaves a note, and its day is not taken from the counts any more. Nothing else writes calls, so that
# none is forgotten; a test sees to that.
COUNTED: Final = ("agent_id", "direction", "disposition", "outcome", "duration")
SOON: Final = timedelta(days=1)
NOTE: Final = "insert into call_corrections (tenant_id, id, call_at) values ($1, $2, $3)"


def _note_correction(tx: Tx, before: Call | None, call: Call) -> None:
    moment = tx.clock.now()
    if call.created_at >= moment - SOON:
        return
    if before is None or any(getattr(before, name) != getattr(call, name) for name in COUNTED):
        tx.queue(NOTE, tx.tenant_id, ids.uuid7(moment), call.created_at)


HELD: Final = f"select {READ}, claimed_at, hang_up_at, ended_by"
LOCK: Final = f"{HELD}\nfrom calls\nwhere tenant_id = $1 and id = $2\nfor update"


def held(row: tuple[Any, ...]) -> Held:
    """A row of LOCK."""
    return Held(from_row(row), *row[-3:])


async def lock(tx: Tx, id: UUID) -> Held:
    """A call, locked until the transaction ends. Raises CallNotFound."""
    row = await tx.one(LOCK, tx.tenant_id, id)
    if row is None:
        raise CallNotFound(f"There is no call {id}.")
    return held(row)


def check_version(call: Call, version: int | None) -> None:
    """Raises VersionMismatch when the change was made to another version."""
    if version is not None and version != call.version:
        raise VersionMismatch(
            f"The call is at version {call.version}; your change was made to version {version}.", current=call
        )


_SET: Final = ", ".join(f"{field.name} = ${number}" for number, field in enumerate(fields(Call), 2))
_INTERNAL: Final = len(fields(Call)) + 2
UPDATE: Final = f"""
update calls
set {_SET}, claimed_at = ${_INTERNAL}, hang_up_at = ${_INTERNAL + 1}, ended_by = ${_INTERNAL + 2}
where tenant_id = $1 and id = $2
"""


def write(tx: Tx, before: Held, after: Held, *, happened: str | None = None) -> Call:
    """Queue a change to a locked call, and record it as `call.<happened>`; what changes nothing writes nothing.

    Without `happened`, what nobody is shown is changed, and nothing recorded. Returns the call as it is now.
    """
    if after == before:
        return before.call
    call = after.call
    if happened is not None:
        call = replace(call, version=before.call.version + 1, updated_at=tx.now())
    tx.queue(UPDATE, tx.tenant_id, *to_row(call), after.claimed_at, after.hang_up_at, after.ended_by)
    _note_correction(tx, before.call, call)
    if happened is not None:
        tx.emit(event(f"call.{happened}", call, before.call))
    return call


# What an event's `changes` may name. The rest the event itself tells, or its data.
RECORDED: Final = tuple(
    field.name
    for field in fields(Call)
    if field.name not in ("id", "version", "created_at", "updated_at", "decision", "created_by")
)


def event(type: str, call: Call, before: Call | None = None) -> Event:
    """What happened to a call, which is now like this."""
    changes = {
        name: (before and getattr(before, name), getattr(call, name))
        for name in RECORDED
        if (getattr(before, name) if before else None) != getattr(call, name)
        and (before or getattr(call, name) not in ((), False))
    }
    data: Mapping[str, Any] = {
        "version": call.version, "direction": call.direction, "status": call.status, "agent_id": call.agent_id,
        "number": call.number,
    }  # fmt: skip
    return Event(type, call.id, call.contact_id, changes or None, data, at=call.updated_at)


def _is_own(actor: Actor, event: Logged) -> bool:
    """Whether who does not see everybody's calls sees this one: it is theirs, or still nobody's."""
    agent = (event.data or {}).get("agent_id")
    if agent is None:
        return event.contact_id is None
    return UUID(agent) in actor.owners


events.readable("call", "calls:read", own=_is_own, tells=rules.NUMBERS)


def seen(actor: Actor, number: int) -> tuple[str, tuple[Any, ...]]:
    """What `counted` says, for somebody who is shown the calls. Raises Forbidden when numbers are hidden from them."""
    rules.require_numbers(actor)
    return counted(actor, number)


def counted(actor: Actor, number: int) -> tuple[str, tuple[Any, ...]]:
    """The SQL that a statement on calls adds to its conditions, and its parameter `$number`; empty for who sees all.

    Who does not sees the calls they had, those of contacts that they see, and those that are still nobody's.
    """
    if actor.visibility == "all":
        return "", ()
    owners = f"any(${number}::uuid[])"
    return (
        f" and (agent_id = {owners} or (agent_id is null and contact_id is null) or exists ("
        f"select from contacts c where c.tenant_id = $1 and c.id = calls.contact_id and c.owner_id = {owners}))"
    ), (sorted(actor.owners),)


# Of a purged contact's calls nothing stays that tells who they were or what was said; that there were calls does.
# One that may have been with several may still have been with the others; with nobody else, it was theirs.
erasing.of_contact(
    """
update calls
set contact_id = case when cardinality(candidates) = 1 then $2 end, candidates = array_remove(candidates, $2)
where tenant_id = $1 and candidates <> '{}' and contact_id is null and $2 = any(candidates)
""",
    """
update calls
set from_number = null, to_number = null, number = null, notes = null, recording_url = null, decision = null
where tenant_id = $1 and contact_id = $2
""",
    """
update call_callbacks
set update = '{}', body = ''
where tenant_id = $1 and call_id in (select id from calls where tenant_id = $1 and contact_id = $2)
""",
)
