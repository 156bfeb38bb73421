"""The shapes of "may I call?": the question, the answer with its reasons, and what people have said before."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from pydantic import ConfigDict

from bellbird.core import events, topics
from bellbird.core.errors import Conflict, NotFound, describe_faults
from bellbird.core.tenants import CallPurpose
from bellbird.features.contacts import Contact, rules

_STRICT: Final = ConfigDict(extra="forbid", strict=True)

ReasonCode = Literal[
    "opted_out", "do_not_call", "phone_not_wanted", "outside_preferred_hours",
    "number_invalid", "emergency_number", "premium_number", "region_not_allowed",
    "on_do_not_call_register", "wash_stale", "wash_missing",
    "outside_calling_hours", "public_holiday",
    "caller_id_missing", "caller_id_not_allowed",
]  # fmt: skip
WarningCode = Literal[
    "consent_expired", "consent_withdrawn", "wash_stale", "place_unknown", "preference_unreadable", "caller_id_missing"
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a number may not be called, for programs and for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """May this number be called, then, for this?

    `number` in any format (national ones are read in the tenant's region), `contact` whom it is to reach, if that is
    known, `from_number` what the called see (None: the tenant's own first number), `at` when (None: now).
    """

    number: str
    contact: Contact | None
    from_number: str | None
    purpose: CallPurpose
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class DialDecision:
    """Whether a number may be called, at a moment and for a purpose.

    `reasons` are all that stand against it; `warnings` what does not, but is worth knowing. `next_permitted_at` is the
    first moment from `at` on at which nothing does; null where that is no question of time.
    `evidence` is what it was based on: where they are taken to be, the hours there, holidays, consents, the wash.
    `explanation` says the same to a person.
    """

    id: UUID
    allowed: bool
    number: str | None
    contact_id: UUID | None
    purpose: CallPurpose
    at: datetime
    reasons: tuple[Reason, ...]
    warnings: tuple[Reason, ...]
    next_permitted_at: datetime | None
    evidence: dict[str, Any]
    explanation: str
    from_number: str | None = None
    call_id: UUID | None = None
    created_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDialDecision:
    """A question: may this number, or this contact at its primary number, be called?

    One of the contact's numbers can be named besides the contact. `at` is when (default: now), `purpose` what for
    (default: the tenant's).
    """

    number: str | None = None
    contact_id: UUID | None = None
    from_number: str | None = None
    purpose: CallPurpose | None = None
    at: datetime | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Consent:
    """A contact's word that they may be called for something.

    `number` is null where it holds for all of their numbers. `any_time` is whether it is for times, too, at which
    nobody may be called unasked. Without `expires_at` it holds for as long as the law says where they are, or until it
    is withdrawn if they have said so (`indefinite`).
    """

    id: UUID
    contact_id: UUID
    number: str | None
    purpose: CallPurpose
    granted_at: datetime
    expires_at: datetime | None
    indefinite: bool
    any_time: bool
    source: str
    evidence: str | None
    created_by: str
    created_at: datetime
    withdrawn_at: datetime | None = None
    withdrawn_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConsent:
    """A consent to be kept.

    `source` says how it was given ("web form", "on the telephone"), `evidence` what shows it. `granted_at` is when
    (default: now).
    """

    contact_id: UUID
    purpose: CallPurpose
    source: str
    number: str | None = None
    granted_at: datetime | None = None
    expires_at: datetime | None = None
    indefinite: bool = False
    any_time: bool = False
    evidence: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class OptOut:
    """A number whose bearer does not want to be called, by whomever and for whatever.

    It outlives the contact: that it is honoured is why it is kept.
    """

    id: UUID
    number: str
    contact_id: UUID | None
    source: str
    note: str | None
    created_by: str
    created_at: datetime
    removed_at: datetime | None = None
    removed_by: str | None = None
    removed_reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOptOut:
    """A number that is not to be called any more; `source` says how that was made known."""

    number: str
    contact_id: UUID | None = None
    source: str = "request"
    note: str | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class OptOutRemoval:
    """Why a number may be called again: who said so, and how you know."""

    reason: str

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Wash:
    """Whether a number was on the Do Not Call Register, when it was asked about last."""

    number: str
    listed: bool
    washed_at: datetime
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WashedNumber:
    """A number as it came back from the register."""

    number: str
    listed: bool

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWashes:
    """What came back from the register, of up to 1,000 numbers; `washed_at` is when it was asked (default: now)."""

    numbers: tuple[WashedNumber, ...]
    washed_at: datetime | None = None
    source: str = "import"

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class Washed:
    """What was brought in: how many numbers, and how many of them are on the register."""

    numbers: int
    listed: int
    washed_at: datetime


class DialDecisionNotFound(NotFound):
    """There is no such dial decision.

    It never was, is another tenant's, or is about a contact that is not for the caller to see.
    """

    code = "dial_decision_not_found"


class ConsentNotFound(NotFound):
    """There is no such consent."""

    code = "consent_not_found"


class OptOutNotFound(NotFound):
    """There is no such opt-out."""

    code = "opt_out_not_found"


class NoNumberToCall(Conflict):
    """The contact has no number that could be called.

    It has none, or `invalid` ones only.
    """

    code = "no_number_to_call"


describe_faults({
    "not_their_number": "The number is none of the contact's.",
    "reason_missing": "What is to be undone needs a reason.",
})  # fmt: skip

topics.recorded(
    "consent.granted", "consent.withdrawn", "opt_out.created", "opt_out.removed", "wash.recorded",
    "dial_decision.made",
)  # fmt: skip
events.readable("consent", "consents:read", tells=rules.NUMBERS)
events.readable("opt_out", "consents:read", tells=rules.NUMBERS)
events.readable("wash", "washes:read")
events.readable("dial_decision", "consents:read", tells=rules.NUMBERS)
