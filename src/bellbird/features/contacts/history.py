"""A contact as it was at a moment: the present row, with every later change undone, as the log has it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_type_hints
from uuid import UUID

import msgspec
from msgspec import UNSET

from bellbird.core import ids, retention
from bellbird.core.actors import visible
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.events import COLUMNS, Logged
from bellbird.core.events import from_row as event_from_row
from bellbird.features.contacts import rules
from bellbird.features.contacts.models import Contact, ContactNotFound, HistoryGone
from bellbird.features.contacts.rows import READ, from_row

# Whoever writes at the same time has another clock: an event may say that it was earlier than the one before it.
APART: Final = timedelta(minutes=1)

# How many events before the moment are looked at for the last change of the contact itself.
BEFORE: Final = 50

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)

# The brace takes the condition of who sees which. A deleted contact has a history until it is purged.
NOW = f"""
select {READ}
from tenant_contacts
where tenant_id = $1 and id = $2{{}}
"""

LATER = f"""
select {COLUMNS}
from events
where tenant_id = $1 and contact_id = $2 and id >= $3 and entity_type = 'contact'
order by id desc
"""

EARLIER = f"""
select {COLUMNS}
from events
where tenant_id = $1 and contact_id = $2 and id < $3 and entity_type = 'contact'
order by id desc
limit {BEFORE}
"""

_TYPES: Final[Mapping[str, Any]] = {
    field.name: get_type_hints(Contact)[field.name] for field in dataclass_fields(Contact)
}


async def as_of(tx: Tx | ReadTx, id: UUID, at: datetime, *, fields: Collection[str] | None = None) -> Contact:
    """A contact as it was at a moment, to the millisecond, also while it was deleted (`deleted_at`).

    Whether the actor sees it goes by whose it is now, and so do the fields that are hidden. `updated_at` is left out
    where the log does not go back to that change any more.
    Raises InvalidInput for the future, ContactNotFound before it was made, after it was purged, and for one that the
    actor does not see; HistoryGone when the log is not kept that far back.
    """
    tx.require("contacts:read")
    view = rules.view(tx.actor, fields)
    if at > tx.clock.now():
        raise InvalidInput.at("as_of", f"must not be in the future, as {at.isoformat()} is")
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)  # as the log has its moments
    seen, owners = visible(tx.actor, 3)
    since = ids.first_at(max(at, EPOCH + APART) - APART)
    now = tx.queue(NOW.format(seen), tx.tenant_id, id, *owners)
    later = tx.queue(LATER, tx.tenant_id, id, since)
    earlier = tx.queue(EARLIER, tx.tenant_id, id, since)
    trimmed = tx.queue(retention.TRIMMED, tx.tenant_id)
    await tx.flush()
    if not now.rows:
        raise ContactNotFound(f"There is no contact {id}.")
    contact = from_row(now.rows[0])
    if at < contact.created_at:
        raise ContactNotFound(f"The contact {id} was made later than that, at {contact.created_at.isoformat()}.")
    kept_since = retention.trimmed_before(trimmed.rows)
    if kept_since is not None and at < kept_since:
        raise HistoryGone(f"The log goes back to {kept_since.isoformat()}.", kept_since=kept_since)
    changes = [event_from_row(row) for row in (*later.rows, *earlier.rows)]
    contact = _undone(contact, changes, at)
    if view:
        view.leave_out(contact)
    return contact


def _undone(contact: Contact, events: Iterable[Logged], at: datetime) -> Contact:
    """The contact without what happened to it later than a moment. Raises HistoryGone when a change is missing."""
    by_version = {event.data["version"]: event for event in events if event.data and "version" in event.data}
    late = [version for version, event in by_version.items() if event.at >= at + MILLISECOND]
    is_late = contact.updated_at >= at + MILLISECOND
    first = min([*late, contact.version + (0 if is_late else 1)])
    was: dict[str, Any] = {}
    for version in range(contact.version, first - 1, -1):
        event = by_version.get(version)
        if event is None or event.changes is None:
            raise HistoryGone(f"What version {version} of the contact changed is not in the log.")
        was |= {name: old for name, (old, _) in event.changes.items() if name in _TYPES}
    if first > contact.version:
        return contact
    before = by_version.get(first - 1)
    if before is None and any(version < first for version in by_version):
        raise HistoryGone(f"What version {first - 1} of the contact changed is not in the log.")
    old = {name: msgspec.convert(value, _TYPES[name]) for name, value in was.items()}
    updated_at: Any = before.at if before else contact.created_at if first == 2 else UNSET
    return replace(contact, **old, version=first - 1, updated_at=updated_at)
