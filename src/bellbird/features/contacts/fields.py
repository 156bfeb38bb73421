"""What contacts can be filtered and sorted by."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import msgspec

from bellbird.core import emails, phones, text
from bellbird.core.connection import Parameter
from bellbird.core.emails import InvalidEmail
from bellbird.core.filters import (
    MADE_AT,
    Field,
    Fields,
    Operator,
    Read,
    by,
    by_list,
    exact,
    one_of,
    read_boolean,
    read_moment,
    read_uuid,
)
from bellbird.core.phones import InvalidPhone
from bellbird.core.tenants import TenantSettings
from bellbird.features.contacts import rules


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of contacts: an indexed column, then the id; `read` checks the column's part of a cursor."""

    column: str
    read: Callable[[Any], Parameter]


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"must be text, not {value!r}")
    return text.clean(value, max_length=500)


def escape_like(literal: str) -> str:
    """Text as the literal part of a LIKE pattern."""
    return literal.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _date(value: Any) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a date such as 1990-12-31, not {value!r}") from None


def _number(value: Any) -> int:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(value, bool) or not number.is_integer() or abs(number) >= 2**31:
        raise ValueError(f"must be a whole number, not {value!r}")
    return int(number)


def _exists(has: str) -> Operator:
    return by(f"({has}) = {{}}", read_boolean)


def _range(column: str, read: Read, kind: str) -> Field:
    signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    return {**exact(column, read, kind), **{name: by(f"{column} {sign} {{}}", read) for name, sign in signs.items()}}


def _list(column: str, read: Read) -> Field:
    """An array behind the GIN index."""
    return {
        "eq": by(f"{column} @> array[{{}}]::text[]", read),
        "ne": by(f"not {column} @> array[{{}}]::text[]", read),
        "in": by_list(f"{column} && {{}}::text[]", read),
        "exists": _exists(f"cardinality({column}) > 0"),
    }


def _words(column: str) -> Field:
    """A short text, compared without regard to case, as people mean it.

    Each comparison also says what must then be in search_text, which is what the index can look for.
    """

    def pattern(before: str, after: str, hint: str) -> Callable[[Any], tuple[Parameter, ...]]:
        def read(value: Any) -> tuple[Parameter, ...]:
            given = _text(value)
            longest = max(text.words(given), key=len, default="")
            return before + escape_like(given.lower()) + after, f"%{hint}{longest}%"

        return read

    matches = f"(lower({column}) like {{}} and search_text like {{}})"
    return {
        "eq": Operator(matches, pattern("", "", " ")),
        "ne": by(f"lower({column}) is distinct from {{}}", lambda value: _text(value).lower()),
        "in": by_list(f"lower({column}) = any({{}}::text[])", lambda value: _text(value).lower()),
        "contains": Operator(matches, pattern("%", "%", "")),
        "starts_with": Operator(matches, pattern("", "%", " ")),
        "exists": _exists(f"{column} is not null"),
    }


def _in_address(part: str) -> Field:
    def read(value: Any) -> bytes:
        return msgspec.json.encode([{part: _text(value)}])

    return {"eq": by("addresses @> {}::jsonb", read), "ne": by("not addresses @> {}::jsonb", read)}


def filterable(settings: TenantSettings, hidden: frozenset[str] = frozenset()) -> Fields:
    """The fields but those that draw on hidden ones, with telephone numbers read as this tenant's people type them."""

    def phone(value: Any) -> str:
        try:
            return phones.parse(_text(value), default_region=settings.default_region, allowed_regions=None).number
        except InvalidPhone as error:
            raise ValueError(str(error)) from None

    known = {**_FIELDS, "phone": _list("phone_numbers", phone)}
    if not hidden:
        return known
    if secret := rules.secret_name(hidden):
        known["display_name"] = _words(f"(case when {secret} then null else display_name end)")
    return {name: field for name, field in known.items() if _DRAW_ON.get(name, name) not in hidden}


def _email(value: Any) -> str:
    try:
        return emails.parse(_text(value)).key
    except InvalidEmail as error:
        raise ValueError(str(error)) from None


def _domain(value: Any) -> str:
    return _text(value).lower().removeprefix("@")


_FIELDS: Final[Fields] = {
    "id": exact("id", read_uuid, "uuid"),
    "kind": exact("kind", one_of("person", "organisation")),
    "first_name": _words("first_name"),
    "last_name": _words("last_name"),
    "display_name": _words("display_name"),
    "company": _words("company"),
    "job_title": _words("job_title"),
    "email": _list("email_addresses", _email),
    "email_domain": _list("email_domains", _domain),
    "tag": _list("tags", _text),
    "address_city": _in_address("city"),
    "address_region": _in_address("region"),
    "address_postcode": _in_address("postcode"),
    "address_country": _in_address("country"),
    "birthday": _range("birthday", _date, "date"),
    "timezone": exact("timezone", _text),
    "locale": exact("locale", _text),
    "source": exact("source", _text),
    "owner_id": exact("owner_id", read_uuid, "uuid"),
    "external_id": exact("external_id", _text),
    "version": _range("version", _number, "integer"),
    "created_at": MADE_AT,
    "updated_at": _range("updated_at", read_moment, "timestamptz"),
    "deleted_at": _range("deleted_at", read_moment, "timestamptz"),
}

# Which field of a contact those draw on that are called otherwise.
_DRAW_ON: Final = {
    "email": "emails",
    "email_domain": "emails",
    "phone": "phones",
    "tag": "tags",
    "address_city": "addresses",
    "address_region": "addresses",
    "address_postcode": "addresses",
    "address_country": "addresses",
}

SORTS: Final = {
    "created_at": Sort("id", read_uuid),
    "updated_at": Sort("updated_at", read_moment),
    "name": Sort("name_key", lambda value: value if isinstance(value, str) else _text(value)),
}
