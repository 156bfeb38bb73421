"""The simulated provider's callbacks as they go over the wire: JSON, signed with the account's secret.

`X-Mock-Signature` is the HMAC-SHA256 (hexadecimal) of the URL as it was called, a line feed and the body.
"""

import hashlib
import hmac
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit
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

SIGNATURE: Final = "x-mock-signature"

Text = Annotated[str, msgspec.Meta(max_length=500)]
Number = Annotated[str, msgspec.Meta(pattern=r"^\+[0-9]{4,15}$")]


class Message(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True, rename={"from_": "from"}):
    """The body of a callback; its fields are an `Update`'s."""

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    account: Text = ""
    status: Status | None = None
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    duration: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None
    answered_by: AnsweredBy | None = None
    recording_url: Text | None = None
    price: Decimal | None = None
    currency: Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")] | None = None
    reason: Text | None = None
    direction: Direction | None = None
    from_: Number | None = None
    to: Number | None = None


_read = msgspec.json.Decoder(Message).decode


def sign(secret: str, url: str, body: bytes) -> str:
    """The signature of a callback."""
    return hmac.new(secret.encode(), url.encode() + b"\n" + body, hashlib.sha256).hexdigest()


def callback(account: Account, url: str, update: Update, *, forged: bool = False) -> Callback:
    """A callback that tells an update at this URL; a forged one is signed by somebody else."""
    body = msgspec.json.encode(
        Message(
            update.provider_call_id,
            account.identifier,
            update.status,
            update.at,
            update.sequence,
            update.duration,
            update.answered_by,
            update.recording_url,
            update.cost,
            update.currency,
            update.reason,
            update.direction,
            update.from_number,
            update.to_number,
        )
    )
    signature = sign(account.secret + ("?" if forged else ""), url, body)
    return Callback("POST", url, {"content-type": "application/json", SIGNATURE: signature}, body)


def read(account: Account, callback: Callback) -> Update:
    """What a callback tells. Raises CallbackRefused, CallbackMalformed."""
    given = callback.headers.get(SIGNATURE)
    if not given:
        raise CallbackRefused(why="missing_signature")
    if not hmac.compare_digest(given.encode(), sign(account.secret, callback.url, callback.body).encode()):
        raise CallbackRefused(why="signature")
    try:
        message = _read(callback.body)
    except (msgspec.ValidationError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CallbackMalformed(faults=[Fault("invalid_value", str(error), parameter="body")]) from None
    if message.account not in ("", account.identifier):
        raise CallbackRefused(why="account")
    return Update(
        message.id, _call_id(callback.url), message.status, message.at, message.sequence, message.duration,
        message.answered_by, message.recording_url, message.price, message.currency, message.reason, message.direction,
        message.from_, message.to,
    )  # fmt: skip


def _call_id(url: str) -> UUID | None:
    """Our own id of the call, from the address that an order gave."""
    given: list[Any] = parse_qs(urlsplit(url).query).get("call", [])
    if not given:
        return None
    try:
        return UUID(given[0])
    except ValueError:
        raise CallbackMalformed(faults=[Fault("invalid_value", "is no id of a call", parameter="call")]) from None
