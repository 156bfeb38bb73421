"""The event log: what happened, appended in the transaction in which it happened.

It is the audit log, the contact's timeline, the change feed and the undo journal at once.
Nothing is ever changed in it, except that a purge takes the personal data out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import ids, proofs
from bellbird.core.actors import Actor
from bellbird.core.clock import Clock

# `tx` fills itself with pg_current_xact_id(), by which consumers read in commit order.
APPEND: Final = """
insert into events
  (tenant_id, id, type, entity_type, entity_id, contact_id, actor, origin, request_id, changes, data, proof)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one thing.

    `type` is in the past tense (`contact.created`); `changes` is `{field: [old, new]}`.
    `at` is the moment that the thing's own row has for it; left out, the present. Both are kept to the millisecond.
    """

    type: str
    entity_id: UUID
    contact_id: UUID | None = None
    changes: Mapping[str, tuple[Any, Any]] | None = None
    data: Mapping[str, Any] | None = None
    at: datetime | None = None

    @property
    def entity_type(self) -> str:
        return self.type.partition(".")[0]


def row(
    event: Event, tenant_id: UUID, actor: Actor, request_id: str | None, clock: Clock, key: bytes | None
) -> tuple[UUID | str | bytes | None, ...]:
    """The parameters of `APPEND`; signed, if there is a key."""
    id, who = ids.uuid7(event.at or clock.now()), str(actor)
    changes = None if event.changes is None else msgspec.json.encode(event.changes)
    data = None if event.data is None else msgspec.json.encode(event.data)
    about = (event.type, event.entity_type, event.entity_id, event.contact_id, who, actor.origin, request_id)
    proof = None if key is None else proofs.make(key, (tenant_id, id, *about), changes, data)
    return (tenant_id, id, *about, changes, data, proof)


@dataclass(frozen=True, slots=True)
class Logged:
    """An event as it is in the log. `tx` is the number of the transaction that it was written in."""

    tenant_id: UUID
    id: UUID
    tx: int
    type: str
    entity_type: str
    entity_id: UUID
    contact_id: UUID | None
    actor: str
    origin: str
    request_id: str | None
    changes: dict[str, tuple[Any, Any]] | None = field(repr=False)
    data: dict[str, Any] | None = field(repr=False)

    @property
    def at(self) -> datetime:
        """When it happened, to the millisecond."""
        return ids.made_at(self.id)


# What `from_row` reads.
COLUMNS: Final = (
    "tenant_id, id, tx::text, type, entity_type, entity_id, contact_id, actor, origin, request_id, changes, data"
)

_changes: Final = msgspec.json.Decoder(dict[str, tuple[Any, Any]]).decode
_data: Final = msgspec.json.Decoder(dict[str, Any]).decode


def from_row(row: tuple[Any, ...]) -> Logged:
    """A row that begins with `COLUMNS`."""
    read = list(row[:12])
    read[2] = int(row[2])
    for at, decode in ((10, _changes), (11, _data)):
        read[at] = None if row[at] is None else decode(row[at])
    return Logged(*read)


# The permission that an event takes to be seen outside the audit log, by the kind of thing it is about. Core knows no
# feature: each says so when it is imported. What no feature speaks of, only `audit:read` sees.
READABLE: Final[dict[str, str]] = {}

# Fields that may have been made up from others, by the kind of thing: `{"contact": {"display_name": {"company"}}}`.
MADE_UP: Final[dict[str, Mapping[str, frozenset[str]]]] = {}


# The field of another kind of thing that events about this one tell: whom that is hidden from, these are as well.
TELLS: Final[dict[str, tuple[str, str]]] = {}

# By which whoever does not see all is told which of the events about a kind of thing they see.
OWN: Final[dict[str, "Callable[[Actor, Logged], bool]"]] = {}


def readable(
    entity_type: str, permission: str, *, made_up: Mapping[str, frozenset[str]] | None = None,
    own: Callable[[Actor, Logged], bool] | None = None, tells: tuple[str, str] | None = None,
) -> None:  # fmt: skip
    """From now on, events about this kind of thing are seen by whoever has the permission.

    `tells` is a field of another kind of thing that they tell (`("contact", "phones")`): whom that is hidden from does
    not see them. `made_up` has the fields that may have been made up from others: where one of those is hidden, they
    are as well. `own` says which of the events those see who do not see everybody's; those about a contact are also
    seen by whoever sees the contact.
    """
    READABLE[entity_type] = permission
    MADE_UP[entity_type] = made_up or {}
    if tells is not None:
        TELLS[entity_type] = tells
    if own is not None:
        OWN[entity_type] = own


def shown(actor: Actor, event: Logged, owner_id: UUID | None = None) -> Logged | None:
    """The event as the actor may see it; None if it may not.

    `owner_id` is whose the contact of the event is now (None: nobody's, or it is gone): whoever sees the contact sees
    what happened to it. Of fields that are hidden from the actor, no change is told.
    """
    if not actor.may(READABLE.get(event.entity_type, "audit:read")):
        return None
    tells = TELLS.get(event.entity_type)
    if tells is not None and actor.fields and tells[1] in actor.rules(tells[0]).hidden:
        return None
    if actor.visibility != "all":
        own = OWN.get(event.entity_type)
        is_own = own is not None and own(actor, event)
        if event.contact_id is None and own is not None and not is_own:
            return None
        if event.contact_id is not None and not (is_own or actor.sees(owner_id)):
            return None
    hidden = actor.rules(event.entity_type).hidden
    if not hidden or not (event.changes or event.data):
        return event
    hidden |= {name for name, parts in MADE_UP.get(event.entity_type, {}).items() if parts & hidden}
    changes = event.changes and {name: each for name, each in event.changes.items() if name not in hidden}
    data = event.data and {name: each for name, each in event.data.items() if name not in hidden}
    return replace(event, changes=changes, data=data)
