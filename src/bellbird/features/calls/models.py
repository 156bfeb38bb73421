"""The shapes of a call: as it is read, as it is placed, as it is changed."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import topics
from bellbird.core.errors import Conflict, NotFound, describe_faults
from bellbird.core.telephony import AnsweredBy, Direction, Status
from bellbird.core.tenants import CallPurpose

Disposition = Literal["answered", "voicemail", "no_answer", "busy", "failed", "canceled", "missed"]

_STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Call:
    """A call, placed or received.

    Numbers are E.164; `from_number` is null when a caller withholds it. `number` is the other side's, whoever called.
    `contact_id` is who they are; where several contacts share the number, `candidates` are they, likeliest first, until
    the agent confirms one. `agent_id` is the user who talks.
    `disposition` is what became of it, as the telephone network has it; `outcome` what came of it, one of the tenant's
    own `call_outcomes`; `reason` why it ended so. `duration` is how long they talked, in seconds; `cost` is in
    `currency`. `decision` is why it was permitted, with the evidence. `waits_until` is there while it waits for its
    turn.
    """

    id: UUID
    direction: Direction
    status: Status
    from_number: str | None
    to_number: str | None
    number: str | None
    contact_id: UUID | None
    candidates: tuple[UUID, ...]
    agent_id: UUID | None
    purpose: CallPurpose | None
    account_id: UUID
    provider: str
    provider_call_id: str | None
    answered_by: AnsweredBy | None
    created_at: datetime
    updated_at: datetime
    initiated_at: datetime | None = None
    ringing_at: datetime | None = None
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    duration: int | None = None
    disposition: Disposition | None = None
    reason: str | None = None
    outcome: str | None = None
    notes: str | None = None
    recording_url: str | None = None
    cost: Decimal | None = None
    currency: str | None = None
    decision: dict[str, Any] | None = None
    ring_seconds: int = 30
    record: bool = False
    detect_machine: bool = False
    created_by: str = ""
    version: int = 1
    waits_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    """A call to be placed.

    To a contact (`contact_id`), at its primary number or at the one of its numbers that `to` names; or `to` a number.
    `from_number` is one of the tenant's own (default: the account's first), `agent_id` who is to talk (default: whoever
    places it, if that is a user), `purpose` why they are called (default: the tenant's).
    With `wait`, a call that finds a limit reached waits for its turn instead of being refused, for `wait_seconds` at
    most (default: the tenant's).
    """

    to: str | None = None
    contact_id: UUID | None = None
    from_number: str | None = None
    agent_id: UUID | None = None
    purpose: CallPurpose | None = None
    wait: bool = False
    wait_seconds: int | None = None
    ring_seconds: int = 30
    record: bool = False
    detect_machine: bool = False
    notes: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFollowUpOfCall:
    """Calling back, agreed on in a call: when, by whom (default: the call's agent), and what about."""

    due_at: datetime
    agent_id: UUID | None = None
    note: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPatch:
    """What an agent says of a call, as a JSON merge patch (RFC 7396): what is left out stays, null empties.

    `outcome` is one of the tenant's `call_outcomes`; `follow_up` makes one.
    """

    outcome: str | None | UnsetType = UNSET
    notes: str | None | UnsetType = UNSET
    agent_id: UUID | None | UnsetType = UNSET
    contact_id: UUID | None | UnsetType = UNSET
    follow_up: NewFollowUpOfCall | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class CallNotFound(NotFound):
    """There is no such call.

    It never was, is another tenant's, or is not for the caller to see.
    """

    code = "call_not_found"


class CallNotPermitted(Conflict):
    """This number may not be called, not now or not at all.

    `reasons` says why, each with a `code` and a `message`; `next_permitted_at` is when it may be, null if that cannot
    be told; `decision_id` is under which the decision is kept with its evidence.
    """

    code = "call_not_permitted"


class CallLimitReached(Conflict):
    """As many calls are under way as may be; with `wait` it would wait for its turn.

    `limit` says which limit: `tenant` (its `max_live_calls`), `agent` (one at a time) or `number` (one at a time);
    `max` how many that allows.
    """

    code = "call_limit_reached"
    retry_after = 5


class CallOver(Conflict):
    """The call is over, or so far along that this cannot be done with it any more.

    `call_status` is its status.
    """

    code = "call_over"


class CallHasContact(Conflict):
    """It is known already whom the call was with.

    `contact_id` is who. Change the call's `contact_id` if that is wrong.
    """

    code = "call_has_contact"


describe_faults({"unknown_outcome": "This is not one of the outcomes that the tenant's calls can have."})

topics.recorded(
    "call.placed", "call.received", "call.initiated", "call.ringing", "call.answered", "call.completed", "call.busy",
    "call.no_answer", "call.failed", "call.canceled", "call.updated",
)  # fmt: skip
