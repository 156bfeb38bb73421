"""What Twilio's callbacks tell, once their signature is right.

Sources: https://www.twilio.com/docs/voice/api/call-resource#statuscallback (progress),
https://www.twilio.com/docs/voice/twiml#twilios-request-to-your-application (calls coming in),
https://www.twilio.com/docs/voice/answering-machine-detection (AsyncAmd),
https://www.twilio.com/docs/voice/api/recording#recordingstatuscallback.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import UUID

import msgspec

from bellbird.core.errors import Fault
from bellbird.core.telephony import (
    Account,
    AnsweredBy,
    Callback,
    CallbackMalformed,
    CallbackRefused,
    Direction,
    Status,
    Update,
)
from bellbird.providers.twilio.signing import is_body_signed, is_signed

MAX_FIELDS: Final = 200
MAX_URL: Final = 2000

STATUSES: Final[Mapping[str, Status]] = {
    "queued": "queued", "initiated": "initiated", "ringing": "ringing", "in-progress": "in_progress",
    "completed": "completed", "busy": "busy", "no-answer": "no_answer", "failed": "failed", "canceled": "canceled",
}  # fmt: skip

DIRECTIONS: Final[Mapping[str, Direction]] = {
    "inbound": "inbound", "outbound-api": "outbound", "outbound-dial": "outbound",
    "trunking-originating": "outbound", "trunking-terminating": "inbound",
}  # fmt: skip

# How Twilio writes a number that the caller withholds: the letters of these words on a telephone's keys.
# Source: https://help.twilio.com/articles/223179988.
WITHHELD: Final = frozenset(
    {
        "+266696687",  # ANONYMOUS
        "+7378742833",  # RESTRICTED
        "+2562533",  # BLOCKED
        "+8656696",  # UNKNOWN
        "+86282452253",  # UNAVAILABLE
    }
)

_CALL: Final = re.compile(r"CA[0-9a-f]{32}")
_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_CURRENCY: Final = re.compile("[A-Z]{3}")
_DIGITS: Final = re.compile(r"[0-9]{1,9}")

Value = TypeVar("Value")


def verified(account: Account, callback: Callback) -> dict[str, str]:
    """The parameters of a callback whose signature is right. Raises CallbackRefused."""
    signature = callback.headers.get("x-twilio-signature")
    if not signature:
        raise CallbackRefused(why="missing_signature")
    kind = callback.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        if not is_body_signed(account.secret, callback.url, callback.body, signature):
            raise CallbackRefused()
        parameters = _json(callback.body)
    else:
        try:
            text = callback.body.decode("ascii")
            form = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError:
            raise CallbackRefused() from None
        if not is_signed(account.secret, callback.url, form, signature):
            raise CallbackRefused()
        parameters = dict(form)
    # Whoever has the token of one account cannot speak for another.
    if parameters.get("AccountSid") != account.identifier:
        raise CallbackRefused(why="account")
    return parameters


def _json(body: bytes) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in msgspec.json.decode(body, type=dict[str, Any]).items()}
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        raise CallbackMalformed("The body is signed as JSON, and is none.") from None


def read(account: Account, callback: Callback) -> Update:
    """What a callback tells. Raises CallbackRefused, CallbackMalformed."""
    fields = Fields(verified(account, callback))
    call_id = _call_id(callback.url, fields)
    if fields.get("ParentCallSid"):
        update = _of_agent(fields)
    else:
        status = fields.read("CallStatus", _status)
        update = Update(
            fields.needed("CallSid", _sid),
            call_id=call_id,
            status=status,
            at=fields.read("Timestamp", _moment),
            sequence=fields.read("SequenceNumber", _whole),
            duration=fields.read("CallDuration", _whole),
            answered_by=fields.read("AnsweredBy", _answered_by),
            recording_url=_recording(fields),
            cost=fields.read("Price", _price),
            currency=fields.read("PriceUnit", _currency) if fields.get("Price") else None,
            reason=_reason(fields, status),
            direction=fields.read("Direction", _direction),
            from_number=_number(fields.get("From")),
            to_number=_number(fields.get("To")),
        )
    if fields.faults:
        raise CallbackMalformed(faults=fields.faults)
    return update


class Fields:
    """The parameters of a callback, and what was wrong with those that were read."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self._given = given
        self.faults: list[Fault] = []

    def get(self, name: str) -> str:
        return self._given.get(name, "")

    def read(self, name: str, reader: Callable[[str], Value]) -> Value | None:
        """What a parameter says; None without it, or when it cannot be read, which is noted."""
        text = self.get(name)
        if not text:
            return None
        try:
            return reader(text)
        except (ValueError, ArithmeticError, OverflowError):
            self.faults.append(Fault("invalid_value", f"cannot be {text[:60]!r}", parameter=name))
            return None

    def needed(self, name: str, reader: Callable[[str], str]) -> str:
        """What a parameter says that is always there."""
        if not self.get(name):
            self.faults.append(Fault("missing_field", "is not there", parameter=name))
        return self.read(name, reader) or ""


def _of_agent(fields: Fields) -> Update:
    """Of the agent's side of a call that came in: when they answer, they talk. The caller's side tells the rest."""
    status = fields.read("CallStatus", _status)
    return Update(
        fields.needed("ParentCallSid", _sid),
        status="in_progress" if status == "in_progress" else None,
        at=fields.read("Timestamp", _moment),
    )


def _call_id(url: str, fields: Fields) -> UUID | None:
    (*_, text) = parse_qs(urlsplit(url).query).get("call", [""])
    try:
        return UUID(text) if text else None
    except ValueError:
        fields.faults.append(Fault("invalid_id", f"must be a UUID, not {text[:60]!r}", parameter="call"))
        return None


def _sid(text: str) -> str:
    if not _CALL.fullmatch(text):
        raise ValueError(text)
    return text


def _status(text: str) -> Status:
    if text not in STATUSES:
        raise ValueError(text)
    return STATUSES[text]


def _direction(text: str) -> Direction:
    if text not in DIRECTIONS:
        raise ValueError(text)
    return DIRECTIONS[text]


def _answered_by(text: str) -> AnsweredBy:
    """`machine_start` and the `machine_end_*` say when a machine was known for one, not whether."""
    if text in ("human", "fax", "unknown"):
        return text  # type: ignore[return-value]
    if text.startswith("machine"):
        return "machine"
    raise ValueError(text)


def _whole(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError(text)
    return int(text)


def _moment(text: str) -> datetime:
    """RFC 2822, such as `Mon, 02 Mar 2026 09:30:00 +0000`."""
    moment = parsedate_to_datetime(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _price(text: str) -> Decimal:
    """What a call cost: Twilio writes what it takes from the balance, `-0.0150`."""
    try:
        price = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if not price.is_finite() or abs(price) >= 10**8:
        raise ValueError(text)
    return abs(price)


def _currency(text: str) -> str:
    """ISO 4217, which Twilio writes in either case."""
    if not _CURRENCY.fullmatch(text.upper()):
        raise ValueError(text)
    return text.upper()


def _recording(fields: Fields) -> str | None:
    """Where a recording is that is whole; one that failed, or was silent, is none."""
    url = fields.get("RecordingUrl")
    whole = fields.get("RecordingStatus") in ("", "completed")
    is_one = url.startswith(("https://", "http://")) and url.isprintable() and len(url) <= MAX_URL
    return url if whole and is_one else None


def _reason(fields: Fields, status: Status | None) -> str | None:
    """Why it ended so, in numbers: SIP's (RFC 3261, section 21) and Twilio's own."""
    if status not in ("busy", "no_answer", "failed", "canceled"):
        return None
    named = (("SIP", fields.get("SipResponseCode")), ("Twilio", fields.get("ErrorCode")))
    return ", ".join(f"{name} {text}" for name, text in named if _DIGITS.fullmatch(text)) or None


def _number(text: str) -> str | None:
    """A number as E.164; None for one that is withheld, and for what is no number (`client:...`, `sip:...`)."""
    return text if _NUMBER.fullmatch(text) and text not in WITHHELD else None
