"""What calls can be filtered by."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, get_args
from uuid import UUID

from bellbird.core import ids, phones
from bellbird.core.filters import Field, Fields, Read, by, by_list, read_boolean
from bellbird.core.phones import InvalidPhone
from bellbird.core.telephony import STATUSES, AnsweredBy, Direction
from bellbird.core.tenants import CallPurpose, TenantSettings
from bellbird.features.calls.models import Disposition


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 500 or "\x00" in value:
        raise ValueError(f"must be text, not {str(value)[:60]!r}")
    return value.strip()


def _uuid(value: Any) -> UUID:
    try:
        return UUID(value) if isinstance(value, str) else UUID("")
    except ValueError:
        raise ValueError(f"must be a UUID, not {str(value)[:60]!r}") from None


def moment(value: Any) -> datetime:
    """A time or a date, which is its first moment in UTC. Raises ValueError."""
    try:
        given = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a time such as 2026-12-31T09:00:00Z or a date, not {value!r}") from None
    if given.year < 1970 or given.year > 9000:
        raise ValueError(f"must be between the years 1970 and 9000, not {value!r}")
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _seconds(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:12])
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"must be a number of seconds, not {value!r}")
    return value


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be {', '.join(choices[:-1])} or {choices[-1]}, not {str(value)[:60]!r}")
        return str(value)

    return read


def _exact(column: str, read: Read, kind: str = "text") -> Field:
    return {
        "eq": by(f"{column} = {{}}", read),
        "ne": by(f"{column} is distinct from {{}}", read),
        "in": by_list(f"{column} = any({{}}::{kind}[])", read),
        "exists": by(f"({column} is not null) = {{}}", read_boolean),
    }


def _made_from(value: Any) -> UUID:
    """The first id of the moment, or of the millisecond after it when it lies inside one."""
    given = moment(value)
    return ids.first_at(given + timedelta(microseconds=-given.microsecond % 1000))


def _made_after(value: Any) -> UUID:
    return ids.first_at(moment(value) + timedelta(milliseconds=1))


_FIELDS: Final[Fields] = {
    "contact_id": _exact("contact_id", _uuid, "uuid"),
    "agent_id": _exact("agent_id", _uuid, "uuid"),
    "account_id": _exact("account_id", _uuid, "uuid"),
    "provider_call_id": _exact("provider_call_id", _text),
    "direction": _exact("direction", _one_of(*get_args(Direction))),
    "status": _exact("status", _one_of(*STATUSES)),
    "disposition": _exact("disposition", _one_of(*get_args(Disposition))),
    "answered_by": _exact("answered_by", _one_of(*get_args(AnsweredBy))),
    "purpose": _exact("purpose", _one_of(*get_args(CallPurpose))),
    "outcome": _exact("outcome", _text),
    "live": {"eq": by("(ended_at is null) = {}", read_boolean)},
    "duration": {
        name: by(f"duration {sign} {{}}", _seconds)
        for name, sign in {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}.items()
    },
    # An id carries the millisecond of its making, by which calls are kept: other months are not even looked at.
    "created_at": {
        "gte": by("id >= {}", _made_from),
        "gt": by("id >= {}", _made_after),
        "lt": by("id < {}", _made_from),
        "lte": by("id < {}", _made_after),
    },
}


def filterable(settings: TenantSettings) -> Fields:
    """The fields, with telephone numbers read as this tenant's people type them."""

    def number(value: Any) -> str:
        try:
            return phones.parse(_text(value), default_region=settings.default_region, allowed_regions=None).number
        except InvalidPhone as error:
            raise ValueError(str(error)) from None

    return {**_FIELDS, "number": _exact("number", number)}
