"""Settings as a person types them, `key=value`: each read by its type, with every mistake collected."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec

from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.tenants import CallingHours, TenantSettings, Week

_HINTS: Final = get_type_hints(TenantSettings, include_extras=True)
_WEEKS: Final = [field.name for field in fields(CallingHours)]
_DAYS: Final = [field.name for field in fields(Week)]
_KNOWN: Final = [*_HINTS, "name"]


def read(assignments: Sequence[str]) -> tuple[dict[str, Any], list[Fault]]:
    """The settings given, `calling_hours` as an object of weeks of days, and what is wrong with the others."""
    given: dict[str, Any] = {}
    faults: list[Fault] = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        key = key.strip().replace("-", "_")
        name, _, which = key.partition(".")
        try:
            if not equals:
                raise ValueError("must be given as key=value")
            if name == "calling_hours":
                week, day = _day(which)
                given.setdefault(name, {}).setdefault(week, {})[day] = _value(str | None, text)
            elif key in _HINTS:
                given[key] = _value(_HINTS[key], text.upper() if key == "allowed_regions" else text)
            elif key == "name":
                given[key] = text
            else:
                raise ValueError(f"there is no such setting; known are {', '.join(_KNOWN)}")
        except ValueError as error:
            faults.append(Fault("invalid_value", str(error), pointer=f"/{key}"))
    return given, faults


def settings(given: dict[str, Any]) -> TenantSettings:
    """A new tenant's settings."""
    usual = CallingHours()
    weeks = {name: replace(getattr(usual, name), **days) for name, days in given.get("calling_hours", {}).items()}
    return TenantSettings(**{**given, "calling_hours": replace(usual, **weeks)})


@contextmanager
def together_with(faults: Sequence[Fault]) -> Iterator[None]:
    """Let what is done here report its faults together with those found before. Raises InvalidInput if there is any."""
    try:
        yield
    except InvalidInput as error:
        raise InvalidInput(faults=[*faults, *map(_shorter, error.faults)]) from None
    if faults:
        raise InvalidInput(faults=faults)


def _shorter(fault: Fault) -> Fault:
    pointer = (fault.pointer or "").removeprefix("/settings")
    return Fault(fault.code, fault.message, pointer=pointer)


def _day(which: str) -> tuple[str, str]:
    """Whose week, and which day of it: `au_telemarketing.monday`."""
    week, _, day = which.partition(".")
    if week not in _WEEKS or day not in _DAYS:
        message = f"is set by the day: calling_hours.{_WEEKS[0]}.monday to calling_hours.{_WEEKS[-1]}.sunday"
        raise ValueError(f"{message} (hours are of {', '.join(_WEEKS)}), not {which or 'all at once'}")
    return week, day


def _value(hint: Any, text: str) -> Any:
    """A typed value of a setting's kind. Raises ValueError saying what would be right."""
    text = text.strip()
    value: Any = None if text == "null" else text
    if hint == tuple[str, ...]:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError:
        raise ValueError(f"must be {_kind(hint)}, not {text!r}") from None


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    if hint is bool:
        return "true or false"
    for limits in getattr(hint, "__metadata__", ()):
        return f"a whole number from {limits.ge} to {limits.le:,}"
    return "text"
