"""The filter language: what a list may be narrowed by, in the query string or as JSON, compiled to SQL.

    filter[email_domain]=acme.com.au&filter[created_at][gte]=2026-01-01
    filter={"and": [{"email_domain": "acme.com.au"}, {"not": {"created_at": {"lt": "2026-01-01"}}}]}

A condition is `{field: value}`, `{field: {operator: value, ...}}`, `{"and" | "or": [conditions]}` or
`{"not": condition}`; several fields in one object must all hold.
SQL text comes from the features' own tables of fields alone; values only ever travel as parameters.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import ids
from bellbird.core.connection import Parameter
from bellbird.core.errors import Fault, InvalidInput

MAX_TESTS: Final = 50
MAX_DEPTH: Final = 10
MAX_CHOICES: Final = 100

Read = Callable[[Any], Parameter]
"""Turns what was sent into a parameter; raises ValueError saying what would be right."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A comparison: SQL with a `{}` for each parameter, and what reads the parameters from the value sent."""

    sql: str
    read: Callable[[Any], tuple[Parameter, ...]]


Field = Mapping[str, Operator]
"""What a field can be compared by; `eq` is what `{field: value}` means."""

Fields = Mapping[str, Field]

_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Test:
    """One field compared with one value, the value already read."""

    sql: str
    values: tuple[Parameter, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `and` or `or`, or one of them turned round by `not`."""

    operator: str
    members: "tuple[Condition, ...]"


Condition = Test | Group


class Params:
    """Collects a statement's parameters and hands out their placeholders."""

    def __init__(self, *first: Parameter) -> None:
        self.values: list[Parameter] = list(first)

    def add(self, value: Parameter) -> str:
        """The placeholder of a new parameter, such as `$3`."""
        self.values.append(value)
        return f"${len(self.values)}"

    def used_in(self, sql: str) -> tuple[str, list[Parameter]]:
        """The statement with the parameters that it uses, renumbered: PostgreSQL refuses one that nothing uses."""
        kept = sorted({int(number) for number in _PLACEHOLDER.findall(sql)})
        if len(kept) == len(self.values):
            return sql, self.values
        renumbered = {old: new for new, old in enumerate(kept, 1)}
        sql = _PLACEHOLDER.sub(lambda match: f"${renumbered[int(match[1])]}", sql)
        return sql, [self.values[number - 1] for number in kept]


def compile(condition: Condition, params: Params) -> str:
    """A condition as SQL."""
    if isinstance(condition, Test):
        placeholders = [params.add(value) for value in condition.values]
        return condition.sql.format(*placeholders)
    members = [compile(member, params) for member in condition.members]
    if condition.operator == "not":
        # NULL is "not so" to a person: whoever has no company is not at Acme.
        return f"({members[0]}) is not true"
    if not members:  # an empty object asks for nothing
        return "true"
    return "(" + f" {condition.operator} ".join(members) + ")"


def parse(given: Any, fields: Fields) -> Condition | None:
    """A condition from the JSON language, as text or as decoded; None for an empty one. Raises InvalidInput."""
    if isinstance(given, str | bytes):
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidInput.at("filter", f"is not valid JSON: {error}") from None
    reader = _Reader(fields)
    condition = reader.condition(given, "filter", 1)
    if reader.faults:
        raise InvalidInput(faults=reader.faults)
    return condition if not isinstance(condition, Group) or condition.members else None


def nest(parameters: Mapping[str, list[str]]) -> dict[str, Any]:
    """`filter[field][operator]=value` parameters as the JSON language. Raises InvalidInput on another form."""
    nested: dict[str, Any] = {}
    for name, values in parameters.items():
        keys = name.removeprefix("filter[").removesuffix("]").split("][")
        if not (name.startswith("filter[") and name.endswith("]") and 1 <= len(keys) <= 2 and all(keys)):
            raise InvalidInput.at(name, "must look like filter[field]=value or filter[field][operator]=value")
        if len(values) > 1:
            raise InvalidInput.at(name, "is given more than once; use filter[field][in]=a,b for alternatives")
        field, operator = keys[0], keys[1] if len(keys) == 2 else "eq"
        value = values[0].split(",") if operator == "in" else values[0]
        nested.setdefault(field, {})[operator] = value
    return nested


class _Reader:
    """Reads a condition and collects what is wrong with it."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.faults: list[Fault] = []
        self.tests = 0

    def fault(self, at: str, message: str, code: str = "invalid_filter") -> Group:
        self.faults.append(Fault(code, message, parameter=at))
        return Group("and", ())

    def condition(self, given: Any, at: str, depth: int) -> Condition:
        if not isinstance(given, Mapping):
            return self.fault(at, f'must be an object such as {{"field": "value"}}, not {given!r}')
        if depth > MAX_DEPTH:
            return self.fault(at, f"is nested deeper than {MAX_DEPTH} levels")
        members = [self.member(key, value, at, depth) for key, value in given.items()]
        return members[0] if len(members) == 1 else Group("and", tuple(members))

    def member(self, key: Any, value: Any, at: str, depth: int) -> Condition:
        if key == "not":
            return Group("not", (self.condition(value, f"{at}[not]", depth + 1),))
        if key in ("and", "or"):
            if not isinstance(value, list) or not value:
                return self.fault(f"{at}[{key}]", "must be a list of conditions")
            return Group(
                key, tuple(self.condition(item, f"{at}[{key}][{n}]", depth + 1) for n, item in enumerate(value))
            )
        at = f"{at}[{key}]"
        field = self.fields.get(key)
        if field is None:
            near = difflib.get_close_matches(str(key), [*self.fields, "and", "or", "not"], n=1)
            hint = f"did you mean {near[0]}?" if near else f"fields are {', '.join(sorted(self.fields))}"
            return self.fault(at, f"there is no such field; {hint}", "unknown_field")
        tests = value if isinstance(value, Mapping) else {"eq": value}
        members = [self.test(key, field, operator, item, at) for operator, item in tests.items()]
        return members[0] if len(members) == 1 else Group("and", tuple(members))

    def test(self, name: str, field: Field, operator: Any, value: Any, at: str) -> Condition:
        self.tests += 1
        if self.tests > MAX_TESTS:
            if self.tests == MAX_TESTS + 1:
                self.fault("filter", f"has more than {MAX_TESTS} comparisons")
            return Group("and", ())
        comparison = field.get(operator)
        if comparison is None:
            known = ", ".join(field)
            return self.fault(
                f"{at}[{operator}]", f"{name} cannot be compared with {operator!r}; use {known}", "unknown_operator"
            )
        try:
            return Test(comparison.sql, comparison.read(value))
        except ValueError as error:
            return self.fault(at if operator == "eq" else f"{at}[{operator}]", str(error))


def by(sql: str, read: Read) -> Operator:
    """An operator whose value is one parameter."""
    return Operator(sql, lambda value: (read(value),))


def by_list(sql: str, read: Read) -> Operator:
    """An operator whose value is a list, each item read alike, sent as one array."""

    def read_all(value: Any) -> tuple[Parameter, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_CHOICES:
            raise ValueError(f"must be a list of 1 to {MAX_CHOICES} values")
        return ([str(read(item)) for item in value],)

    return Operator(sql, read_all)


def read_boolean(value: Any) -> bool:
    """true or false, as JSON or as text."""
    if value in (True, "true"):
        return True
    if value in (False, "false"):
        return False
    raise ValueError(f"must be true or false, not {value!r}")


def read_uuid(value: Any) -> UUID:
    """A UUID, as text."""
    try:
        return UUID(value) if isinstance(value, str) else UUID("")
    except ValueError:
        raise ValueError(f"must be a UUID, not {str(value)[:60]!r}") from None


def read_moment(value: Any) -> datetime:
    """A time in ISO 8601, or a date, which is its first moment; in UTC where no offset is given."""
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"must be a time such as 2026-12-31T09:00:00Z or a date, not {value!r}") from None
    if moment.year < 1970 or moment.year > 9000:
        raise ValueError(f"must be between the years 1970 and 9000, not {value!r}")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def one_of(*choices: str) -> Read:
    """A reader of one of these words."""

    def read(value: Any) -> str:
        if value not in choices:
            raise ValueError(f"must be {' or '.join(choices)}, not {str(value)[:60]!r}")
        return str(value)

    return read


def exact(column: str, read: Read, kind: str = "text") -> Field:
    """A field that is compared whole; `kind` is its type in PostgreSQL."""
    return {
        "eq": by(f"{column} = {{}}", read),
        "ne": by(f"{column} is distinct from {{}}", read),
        "in": by_list(f"{column} = any({{}}::{kind}[])", read),
        "exists": by(f"({column} is not null) = {{}}", read_boolean),
    }


def _made_from(value: Any) -> UUID:
    """The first id of the moment, or of the millisecond after it when it lies inside one."""
    moment = read_moment(value)
    return ids.first_at(moment + timedelta(microseconds=-moment.microsecond % 1000))


def _made_after(value: Any) -> UUID:
    return ids.first_at(read_moment(value) + timedelta(milliseconds=1))


# When something was made: its id carries the millisecond, by which it is kept, so that no other index is needed.
MADE_AT: Final[Field] = {
    "gte": by("id >= {}", _made_from),
    "gt": by("id >= {}", _made_after),
    "lt": by("id < {}", _made_from),
    "lte": by("id < {}", _made_after),
}
