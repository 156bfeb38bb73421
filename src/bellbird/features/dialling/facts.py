"""What is known when somebody asks whether a number may be called; and the preferences that contacts may have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from bellbird.core.phones import InvalidPhone, PhoneNumber
from bellbird.core.tenants import CallPurpose, TenantSettings
from bellbird.features.contacts import Address, Phone
from bellbird.features.dialling import hours
from bellbird.features.dialling.hours import Hours
from bellbird.features.dialling.models import Consent, OptOut, Wash


@dataclass(frozen=True, slots=True)
class Person:
    """What a contact says about being called."""

    addresses: tuple[Address, ...] = ()
    timezone: str | None = None
    preferences: Mapping[str, Any] = field(default_factory=dict)
    phones: tuple[Phone, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that a decision goes by, besides the moment.

    `person` is the contact that is to be reached; `bearers` are all that have the number. `own_numbers` are those that
    the tenant calls from, its first choice first.
    """

    number: PhoneNumber | InvalidPhone
    purpose: CallPurpose
    settings: TenantSettings
    person: Person | None = None
    bearers: tuple[Person, ...] = ()
    opt_out: OptOut | None = None
    wash: Wash | None = None
    consents: tuple[Consent, ...] = ()
    from_number: str | None = None
    own_numbers: tuple[str, ...] = ()

    @property
    def caller(self) -> str | None:
        """The number that the called see."""
        return self.from_number or next(iter(self.own_numbers), None)

    @property
    def concerned(self) -> tuple[Person, ...]:
        """Whose preferences count: the contact's, or where none is named, of everybody who has the number."""
        return (self.person,) if self.person else self.bearers


_NO: Final = (False, None, 0, "", "false", "no", "0")


def says_no(person: Person) -> bool:
    """Whether a contact does not want to be called at all: `{"do_not_call": true}`.

    Whatever is there and does not plainly say no means yes: it is an objection.
    """
    given = person.preferences.get("do_not_call", False)
    return (given.strip().casefold() if isinstance(given, str) else given) not in _NO


def wants_no_phone(person: Person) -> bool:
    """Whether a contact has said by which ways they want to be reached, and the telephone is none of them:
    `{"channels": ["email", "sms"]}`.
    """
    channels = person.preferences.get("channels")
    if not isinstance(channels, list) or not channels:
        return False
    return not {str(channel).casefold() for channel in channels} & {"phone", "call", "telephone"}


def preferred(person: Person) -> Hours | None:
    """The hours at which a contact wants to be called: `{"calling_hours": {"monday": "10:00-12:00,14:00-16:00"}}`.

    On days that are not named they do not want to be called. None without the preference. Raises ValueError for one
    that cannot be read.
    """
    given = person.preferences.get("calling_hours")
    if given is None:
        return None
    if not isinstance(given, dict) or not given:
        raise ValueError('must be an object such as {"monday": "10:00-12:00"}')
    if unknown := [str(day) for day in given if day not in hours.DAYS]:
        raise ValueError(f"has the days {', '.join(hours.DAYS)}, not {', '.join(unknown)[:60]}")
    if not all(isinstance(text, str | None) for text in given.values()):
        raise ValueError('must be texts such as "10:00-12:00"')
    return hours.read(given)


def local(at: datetime, zone: str) -> str:
    """A moment as people say it: `Tuesday 1 December 2026, 09:00 (Australia/Sydney)`."""
    from zoneinfo import ZoneInfo

    there = at.astimezone(ZoneInfo(zone))
    return f"{there:%A} {there.day} {there:%B %Y, %H:%M} ({zone})"
