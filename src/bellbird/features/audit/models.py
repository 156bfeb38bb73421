"""The shapes of the audit log: an event as it is read, what is asked for, a seal, and what a verification finds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from bellbird.core import paging, topics
from bellbird.core.errors import NotFound


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """Something that happened, as the log has it.

    `actor` is who did it (`user:...`, `key:...`, `system:...`), `origin` by which door, `request_id` in which request.
    `changes` is `{field: [old, new]}`, `data` what else there is to say; both are null once their contact was purged.
    """

    id: UUID
    at: datetime
    type: str
    entity_type: str
    entity_id: UUID
    contact_id: UUID | None
    actor: str
    origin: str
    request_id: str | None
    changes: Mapping[str, tuple[Any, Any]] | None = field(repr=False)
    data: Mapping[str, Any] | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for in the log: all that is given has to be so.

    `type` is exact or ends in `.*`; `field` is one that changed; `since` and `until` are the moments that it happened
    between, the first included.
    """

    actor: str | None = None
    type: str | None = None
    entity_type: str | None = None
    entity_id: UUID | None = None
    contact_id: UUID | None = None
    field: str | None = None
    request_id: str | None = None
    origin: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int = paging.DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal on the next stretch of a tenant's log: whoever changes anything in it cannot make another like it.

    It covers `events` events: those of the transactions from `after` on and before `upto`. `root` is the root of a
    Merkle tree over them, `hash` covers all of this and `previous`, the hash of the seal before; all in hexadecimal.
    """

    number: int
    sealed_at: datetime
    after: int
    upto: int
    events: int
    root: str
    previous: str
    hash: str


Kind = Literal["altered", "removed", "inserted", "erased", "seal_altered", "seal_removed", "seal_inserted"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as Bellbird wrote it: an event, or a seal (then `id` is null and `seal` its number)."""

    kind: Kind
    what: str
    id: UUID | None = None
    seal: int | None = None

    def __str__(self) -> str:
        which = f"event {self.id}" if self.id else f"seal {self.seal}"
        return f"{which} {self.kind.removeprefix('seal_')}: {self.what}"


@dataclass(slots=True)
class Summary:
    """What a verification went through. `sealed_until` is when the last seal was made, `hash` that seal's hash."""

    events: int = 0
    seals: int = 0
    unsealed: int = 0
    findings: int = 0
    sealed_until: datetime | None = None
    hash: str | None = None


class EventNotFound(NotFound):
    """There is no such event in the log."""

    code = "event_not_found"


topics.recorded("log.trimmed")
