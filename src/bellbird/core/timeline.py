"""What a contact's timeline is made of: its events in the log, and whatever else features add, one source each.

    timeline.source(Source("note", ("note",), "notes:read", NOTES, _entry))

Core knows no feature: each says so when it is imported, and the application imports them all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from bellbird.core import events
from bellbird.core.actors import Actor

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """Something on a contact's timeline.

    `kind` says which sort of thing it is (`event`), `type` what happened (`contact.updated`).
    `actor` is who did it, as the log has it; null where it was nobody who is known here.
    `changes` is `{field: [old, new]}`, `data` what else there is to say.
    """

    id: UUID
    at: datetime
    kind: str
    type: str
    actor: str | None
    changes: Mapping[str, tuple[Any, Any]] | None = None
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Where entries come from.

    `sql` selects all rows of the contact `$2` of the tenant `$1`, with columns `id` (UUIDv7: the moment) and `type`,
    one of `types`; which of them, in which order and how many, the timeline adds. It takes an index that begins
    `(tenant_id, contact_id, id)`. No other source may have the same ids.
    `entry` makes an entry of a row as the actor may see it, who has the `permission` and sees the contact, whose owner
    it is given; None for a row that is not for this actor.
    `follows_contact` says that there was a contact before any of its rows, so that older partitions need not be read.
    """

    kind: str
    types: tuple[str, ...]
    permission: str
    sql: str
    entry: Callable[[Row, Actor, UUID | None], Entry | None]
    follows_contact: bool = False


SOURCES: Final[list[Source]] = []


def source(new: Source) -> None:
    """From now on timelines have what this source has. Raises ValueError for a type that another has already."""
    if taken := {type for known in SOURCES for type in known.types} & set(new.types):
        raise ValueError(f"the timeline has {', '.join(sorted(taken))} already")
    SOURCES.append(new)


def words() -> dict[str, frozenset[str]]:
    """What can be asked for, with the types that each word means: kinds, `contact.*`, types."""
    meanings: dict[str, set[str]] = {}
    for source in SOURCES:
        for type in source.types:
            whole, dot, _ = type.partition(".")
            for word in (source.kind, f"{whole}.*" if dot else type, type):
                meanings.setdefault(word, set()).add(type)
    return {word: frozenset(meanings[word]) for word in sorted(meanings)}


EVENTS: Final = f"select {events.COLUMNS} from events where tenant_id = $1 and contact_id = $2"


def of_log(permission: str, *types: str) -> Source:
    """The events of these types that are about the contact."""
    return Source("event", types, permission, EVENTS, _event, follows_contact=True)


def _event(row: Row, actor: Actor, owner_id: UUID | None) -> Entry | None:
    event = events.shown(actor, events.from_row(row), owner_id)
    if event is None:
        return None
    return Entry(event.id, event.at, "event", event.type, event.actor, event.changes, event.data)
