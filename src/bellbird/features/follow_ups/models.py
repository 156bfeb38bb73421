"""The shapes of a follow-up: as it is read, as it is made, as it is changed."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Final, Literal, get_args
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import topics
from bellbird.core.errors import Conflict, NotFound

State = Literal["open", "done", "canceled"]

STATES: Final[tuple[State, ...]] = get_args(State)

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class FollowUp:
    """Somebody to be called back: a contact, or a `number` (E.164) that is nobody's yet.

    `call_id` is the call in which it was agreed on, `agent_id` the user who is to call. `ended_at` is when it was done
    or canceled.
    """

    id: UUID
    contact_id: UUID | None
    number: str | None
    call_id: UUID | None
    agent_id: UUID | None
    due_at: datetime
    note: str | None
    state: State
    created_by: str
    version: int
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFollowUp:
    """A follow-up to be made, with a contact, at one of its numbers, or with a number alone.

    `agent_id` is who is to call (default: whoever makes it, if that is a user).
    """

    due_at: datetime
    contact_id: UUID | None = None
    number: str | None = None
    agent_id: UUID | None = None
    note: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUpPatch:
    """A change to a follow-up, as a JSON merge patch (RFC 7396): what is left out stays, null empties."""

    due_at: datetime | UnsetType = UNSET
    agent_id: UUID | None | UnsetType = UNSET
    note: str | None | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class FollowUpNotFound(NotFound):
    """There is no such follow-up.

    It never was, is another tenant's, or is not for the caller to see.
    """

    code = "follow_up_not_found"


class FollowUpOver(Conflict):
    """The follow-up was done or canceled: it is not to be changed any more.

    `state` says which of them.
    """

    code = "follow_up_over"


topics.recorded("follow_up.created", "follow_up.updated", "follow_up.done", "follow_up.canceled")
