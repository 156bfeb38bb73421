"""The shapes of an operation: as it is read, as it is started; and what it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import events, topics
from bellbird.core.actors import Actor
from bellbird.core.errors import Conflict, NotFound, describe_faults
from bellbird.core.events import Logged

State = Literal["queued", "running", "paused", "completed", "failed", "canceled"]
Wish = Literal["pause", "cancel"]

STATES: Final[tuple[State, ...]] = ("queued", "running", "paused", "completed", "failed", "canceled")

# Nothing is done for these any more.
FINISHED: Final = frozenset({"completed", "failed", "canceled"})


@dataclass(frozen=True, slots=True)
class ItemError:
    """What could not be done for one thing, while the others went on; `code` is that of an error or a fault."""

    id: UUID
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Operation:
    """Long work, done in the background, batch by batch.

    `done` counts the things it has seen to, of `total` where that is known, and `error_count` those it could not do;
    `errors` has the first 100. `wanted` is what it will do after the present batch: `pause` or `cancel`.
    `reason` says why it failed. `undo_of` is the operation that this one undoes, `undone_by` the one that undoes it.
    """

    id: UUID
    kind: str
    state: State
    wanted: Wish | None
    params: Mapping[str, Any]
    done: int
    total: int | None
    error_count: int
    reason: str | None
    result: Mapping[str, Any] | None
    undo_of: UUID | None
    undone_by: UUID | None
    created_by: str
    version: int
    created_at: datetime
    started_at: datetime | None
    updated_at: datetime
    finished_at: datetime | None
    # Only where one operation is asked for.
    errors: tuple[ItemError, ...] | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOperation:
    """Work to be started; each kind says which `params` it takes."""

    kind: str
    params: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


class OperationNotFound(NotFound):
    """There is no such operation."""

    code = "operation_not_found"


class OperationFinished(Conflict):
    """The operation is finished: nothing of it is left to be paused, resumed or canceled.

    `state` says how it ended.
    """

    code = "operation_finished"


class NotUndoable(Conflict):
    """The operation cannot be undone.

    `detail` says why: its kind cannot be, it is still going on, it is an undoing itself, or it is undone already.
    """

    code = "not_undoable"


describe_faults({"unknown_operation": "There is no such kind of operation; the nearest one is suggested."})


def _is_own(actor: Actor, event: Logged) -> bool:
    by = (event.data or {}).get("created_by")
    return by == str(actor) or by in {f"user:{id}" for id in actor.owners}


# How far long work is, is for whoever may see long work; who does not see all sees that which they started.
events.readable("operation", "operations:read", own=_is_own)

topics.recorded(
    "operation.created",
    "operation.started",
    "operation.progressed",
    "operation.updated",
    "operation.paused",
    "operation.resumed",
    "operation.completed",
    "operation.failed",
    "operation.canceled",
)
