"""The event log: what happened, appended in the transaction in which it happened.

It is the audit log, the contact's timeline, the change feed and the undo journal at once.
Nothing is ever changed in it, except that a purge takes the personal data out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec

from bellbird.core import ids
from bellbird.core.actors import Actor
from bellbird.core.clock import Clock

# `tx` fills itself with pg_current_xact_id(), by which consumers read in commit order.
APPEND = """
insert into events (tenant_id, id, type, entity_type, entity_id, contact_id, actor, origin, request_id, changes, data)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to one thing.

    `type` is in the past tense (`contact.created`); `changes` is `{field: [old, new]}`.
    """

    type: str
    entity_id: UUID
    contact_id: UUID | None = None
    changes: Mapping[str, tuple[Any, Any]] | None = None
    data: Mapping[str, Any] | None = None

    @property
    def entity_type(self) -> str:
        return self.type.partition(".")[0]


def row(
    event: Event, *, tenant_id: UUID, actor: Actor, request_id: str | None, clock: Clock
) -> tuple[UUID | str | bytes | None, ...]:
    """The parameters of `APPEND`."""
    return (
        tenant_id,
        ids.uuid7(clock.now()),
        event.type,
        event.entity_type,
        event.entity_id,
        event.contact_id,
        str(actor),
        actor.origin,
        request_id,
        None if event.changes is None else msgspec.json.encode(event.changes),
        None if event.data is None else msgspec.json.encode(event.data),
    )
