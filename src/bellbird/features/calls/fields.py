"""What calls can be filtered by."""

from typing import Any, Final, get_args

from bellbird.core import phones
from bellbird.core.filters import MADE_AT, Fields, by, exact, one_of, read_boolean, read_uuid
from bellbird.core.phones import InvalidPhone
from bellbird.core.telephony import STATUSES, AnsweredBy, Direction
from bellbird.core.tenants import CallPurpose, TenantSettings
from bellbird.features.calls.models import Disposition


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 500 or "\x00" in value:
        raise ValueError(f"must be text, not {str(value)[:60]!r}")
    return value.strip()


def _seconds(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"must be a number of seconds, not {value!r}")
    return value


_FIELDS: Final[Fields] = {
    "contact_id": exact("contact_id", read_uuid, "uuid"),
    "agent_id": exact("agent_id", read_uuid, "uuid"),
    "account_id": exact("account_id", read_uuid, "uuid"),
    "provider_call_id": exact("provider_call_id", _text),
    "direction": exact("direction", one_of(*get_args(Direction))),
    "status": exact("status", one_of(*STATUSES)),
    "disposition": exact("disposition", one_of(*get_args(Disposition))),
    "answered_by": exact("answered_by", one_of(*get_args(AnsweredBy))),
    "purpose": exact("purpose", one_of(*get_args(CallPurpose))),
    "outcome": exact("outcome", _text),
    "live": {"eq": by("(ended_at is null) = {}", read_boolean)},
    "duration": {
        name: by(f"duration {sign} {{}}", _seconds)
        for name, sign in {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}.items()
    },
    "created_at": MADE_AT,
}


def filterable(settings: TenantSettings) -> Fields:
    """The fields, with telephone numbers read as this tenant's people type them."""

    def number(value: Any) -> str:
        try:
            return phones.parse(_text(value), default_region=settings.default_region, allowed_regions=None).number
        except InvalidPhone as error:
            raise ValueError(str(error)) from None

    return {**_FIELDS, "number": exact("number", number)}
