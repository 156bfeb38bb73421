"""The table of docs/guides/dialling-rules.md as what it means: each row a case, with the facts and the answer."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

from bellbird.core import phones
from bellbird.core.phones import InvalidPhone, PhoneNumber
from bellbird.core.tenants import TenantSettings
from bellbird.features.contacts import Address
from bellbird.features.dialling import Consent, OptOut, Wash
from bellbird.features.dialling.facts import Facts, Person

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "dialling-rules.md"
OWN = "+61280001234"


@dataclass(frozen=True)
class Case:
    """A row: the question and what is expected of the answer."""

    name: str
    facts: Facts
    at: datetime
    expected: tuple[str, ...]
    upcoming: datetime | None


def table() -> list[Case]:
    """Every row of the guide's table of cases."""
    rows = [line.strip("| \n").split(" | ") for line in GUIDE.read_text().splitlines() if line.startswith("| ")]
    return [case(*map(str.strip, row)) for row in rows if row[0].isdecimal()]


def case(name: str, number: str, where: str, known: str, purpose: str, at: str, answer: str, upcoming: str) -> Case:
    """A row of the table, cell by cell."""
    moment = datetime.fromisoformat(at).astimezone(UTC)
    facts = Facts(read(number), purpose, TenantSettings(), person=person(where), own_numbers=(OWN,))  # type: ignore[arg-type]
    for word in [] if known == "-" else known.split("; "):
        facts = with_known(facts, *word.split())
    expected = () if answer == "yes" else tuple(answer.split(", "))
    following = None if upcoming == "-" else datetime.fromisoformat(upcoming).astimezone(UTC)
    return Case(f"{name}: {number}, {where}, {at}", facts, moment, expected, moment if not expected else following)


def read(number: str) -> PhoneNumber | InvalidPhone:
    try:
        return phones.parse(number, default_region="AU", allowed_regions=None if number[0] == "+" else ("AU", "NZ"))
    except InvalidPhone as error:
        return error


def person(where: str) -> Person:
    """`NSW 2000 Sydney`: state, postcode and city in Australia; `NZ Otago`; `zone Australia/Perth`; `-` for unknown."""
    kind, _, rest = where.partition(" ")
    if where == "-":
        return Person()
    if kind == "zone":
        return Person(timezone=rest)
    if kind in ("NZ", "CX", "CC", "NF"):
        city = rest if rest[:1].islower() else None
        return Person((Address(country=kind, region=None if city else rest or None, city=city),))
    postcode, _, city = rest.partition(" ")
    return Person((Address(country="AU", region=None if kind == "?" else kind, postcode=postcode or None, city=city),))


def with_known(facts: Facts, word: str, *rest: str) -> Facts:
    """The facts, with what one entry of the column says besides."""
    assert facts.person is not None
    if word == "consent":
        return replace(facts, consents=(*facts.consents, consent(facts, *rest)))
    if word in ("listed", "unlisted"):
        return replace(facts, wash=Wash("", word == "listed", moment(rest[0]), "import"))
    if word == "opted_out":
        return replace(facts, opt_out=OptOut(uuid4(), "", None, "call", None, "", moment("2026-01-01")))
    if word == "caller":
        return replace(facts, from_number=rest[0]) if rest[0] != "none" else replace(facts, own_numbers=())
    if word == "set":
        return replace(facts, settings=settings(facts.settings, *rest))
    preferences: dict[str, Any] = {
        "do_not_call": {"do_not_call": True},
        "channels": {"channels": list(rest)},
        "prefers": {"calling_hours": dict(zip(rest[::2], rest[1::2], strict=True))},
    }[word]
    return replace(facts, person=replace(facts.person, preferences=facts.person.preferences | preferences))


def consent(facts: Facts, granted: str, *how: str) -> Consent:
    """`consent 2026-09-01 until 2026-12-24 any_time indefinite withdrawn 2026-10-01`."""
    dates = dict(pairwise((*how, "")))
    given = moment(granted)
    return Consent(
        uuid4(), uuid4(), None, facts.purpose, given, moment(dates["until"]) if "until" in how else None,
        "indefinite" in how, "any_time" in how, "web form", None, "", given,
        moment(dates["withdrawn"]) if "withdrawn" in how else None,
    )  # fmt: skip


def settings(now: TenantSettings, name: str, value: str) -> TenantSettings:
    """`set wash_policy required`, `set nz.sunday 10:00-12:00`."""
    which, _, day = name.partition(".")
    if day:
        week = replace(getattr(now.calling_hours, which), **{day: None if value == "none" else value})
        return replace(now, calling_hours=replace(now.calling_hours, **{which: week}))
    return replace(now, **{name: {"false": False, "true": True}.get(value, value)})


def moment(day: str) -> datetime:
    """Noon of a day in Sydney, or a moment as it is."""
    if "T" in day:
        return datetime.fromisoformat(day).astimezone(UTC)
    return datetime.fromisoformat(day).replace(tzinfo=UTC) + timedelta(hours=2)
