"""A follow-up as a row of the table, and what happens to one as events."""

from dataclasses import fields
from typing import Any, Final
from uuid import UUID

from bellbird.core import erasing, events, timeline
from bellbird.core.actors import Actor
from bellbird.core.connection import Parameter
from bellbird.core.events import Event, Logged
from bellbird.features.contacts import rules
from bellbird.features.follow_ups.models import FollowUp

_NAMES: Final = [field.name for field in fields(FollowUp)]
COLUMNS: Final = ", ".join(_NAMES)

INSERT: Final = f"""
insert into follow_ups (tenant_id, {COLUMNS})
values ($1, {", ".join(f"${number}" for number in range(2, len(_NAMES) + 2))})
"""

UPDATE: Final = f"""
update follow_ups
set {", ".join(f"{name} = ${number}" for number, name in enumerate(_NAMES, 2))}
where tenant_id = $1 and id = $2
"""


def from_row(row: tuple[Any, ...]) -> FollowUp:
    """A row that begins with COLUMNS as a follow-up."""
    return FollowUp(*row[: len(_NAMES)])


def to_row(follow_up: FollowUp) -> tuple[Parameter, ...]:
    """The values of COLUMNS."""
    return tuple(getattr(follow_up, name) for name in _NAMES)


def seen(actor: Actor, number: int) -> tuple[str, tuple[Any, ...]]:
    """The SQL that a statement on follow-ups adds to its conditions, and its parameter `$number`; empty for who sees
    all. Who does not sees their own, those of contacts that they see, and those that are still nobody's.
    Raises Forbidden for whom contacts' numbers are hidden from.
    """
    rules.require_numbers(actor)
    if actor.visibility == "all":
        return "", ()
    owners = f"any(${number}::uuid[])"
    return (
        f" and (agent_id = {owners} or (agent_id is null and contact_id is null) or exists ("
        f"select from contacts c where c.tenant_id = $1 and c.id = follow_ups.contact_id and c.owner_id = {owners}))"
    ), (sorted(actor.owners),)


RECORDED: Final = ("number", "agent_id", "due_at", "note", "state")

# Personal data goes into an event only with the contact whose erasure takes it out again.
_PERSONAL: Final = frozenset({"number", "note"})


def event(happened: str, follow_up: FollowUp, before: FollowUp | None = None) -> Event:
    """What happened to a follow-up, which is now like this."""
    told = [name for name in RECORDED if follow_up.contact_id is not None or name not in _PERSONAL]
    pairs = {name: (before and getattr(before, name), getattr(follow_up, name)) for name in told}
    changes = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    data = {
        "version": follow_up.version, "agent_id": follow_up.agent_id, "due_at": follow_up.due_at,
        "call_id": follow_up.call_id,
    }  # fmt: skip
    about = (f"follow_up.{happened}", follow_up.id, follow_up.contact_id)
    return Event(*about, changes or None, data, at=follow_up.updated_at)


def _is_own(actor: Actor, event: Logged) -> bool:
    agent = (event.data or {}).get("agent_id")
    if agent is None:
        return event.contact_id is None
    return UUID(agent) in actor.owners


events.readable("follow_up", "calls:read", own=_is_own, tells=rules.NUMBERS)
timeline.source(
    timeline.of_log(
        "calls:read", "follow_up.created", "follow_up.updated", "follow_up.done", "follow_up.canceled"
    )
)  # fmt: skip

# With a purged contact there is nothing to follow up.
erasing.of_contact("""
delete from follow_ups
where tenant_id = $1
  and (contact_id = $2 or call_id in (select id from calls where tenant_id = $1 and contact_id = $2))
""")
