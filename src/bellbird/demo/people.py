"""Made-up contacts: people, and the businesses that most of them work for."""

from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from random import Random
from typing import Any, Final
from uuid import UUID

from faker import Faker

from bellbird.core import text
from bellbird.core.phones import parse
from bellbird.demo import numbers, places, words
from bellbird.demo.places import Place
from bellbird.features.contacts.models import Address, Email, NewContact, Phone, Url

# One contact in so many is a business, and those before it work for it or for one of the businesses before it.
BUSINESS_EVERY: Final = 12

# The team whose contacts they are.
OWNERS: Final = tuple(UUID(f"0190a1b2-0000-7000-8000-00000000000{number}") for number in range(1, 6))


@dataclass(frozen=True, slots=True)
class Business:
    """Somebody's employer."""

    name: str
    domain: str
    place: Place
    street: str
    phone: str
    advertised: str | None


def external_id(number: int) -> str:
    """By which contact `number` is known again."""
    return f"demo-{number:06}"


def contact(number: int) -> NewContact:
    """Contact number 0, 1, 2, ..."""
    chance = Random(f"Bellbird's demo contact {number}")  # noqa: S311
    made = _business(number // BUSINESS_EVERY, chance) if number % BUSINESS_EVERY == 0 else _person(number, chance)
    return replace(
        made,
        external_id=external_id(number),
        source=chance.choice(words.SOURCES),
        owner_id=chance.choice(OWNERS) if chance.random() < 0.7 else None,
        tags=tuple(dict.fromkeys(chance.choice(words.TAGS) for _ in range(chance.choice((0, 1, 1, 2, 3))))),
        custom=_custom(chance),
    )


def a_mobile() -> str:
    """The first Australian mobile number among them, to try a lookup with."""
    phones = (phone for number in range(100) for phone in contact(number).phones)
    found = (parse(phone.number, default_region=phone.region or "AU", allowed_regions=None) for phone in phones)
    return next(f"0{each.number[3:]}" for each in found if each.number.startswith("+614"))


def _business(number: int, chance: Random) -> NewContact:
    business = employer(number)
    phones = [Phone(business.phone, label="office", region=business.place.country)]
    if business.advertised:
        phones.append(Phone(business.advertised, label="sales", region=business.place.country))
    return NewContact(
        kind="organisation",
        company=business.name,
        phones=tuple(phones),
        emails=(Email(f"{chance.choice(('info', 'hello', 'office', 'accounts'))}@{business.domain}", "office"),),
        addresses=(_address(business.place, business.street, "office"),),
        urls=(Url(f"https://www.{business.domain}"),),
        timezone=business.place.timezone,
    )


def _person(number: int, chance: Random) -> NewContact:
    business = None
    place = chance.choice(places.AUSTRALIA) if chance.random() < 0.65 else chance.choice(places.NEW_ZEALAND)
    if chance.random() < 0.7:
        business = employer(chance.randrange(number // BUSINESS_EVERY + 1))
        place = business.place
    first, last = _name(number, chance, place.country)
    mobile = Phone(numbers.mobile(chance, place.country), label="mobile", region=place.country)
    phones = [mobile] if chance.random() < 0.9 else []
    if business and chance.random() < 0.35:
        extension = str(chance.randint(100, 999)) if chance.random() < 0.5 else None
        phones.append(Phone(business.phone, extension, "work", place.country))
    elif not business and (not phones or chance.random() < 0.15):
        phones.append(Phone(numbers.landline(chance, place), label="home", region=place.country))
    maori = place.country == "NZ" and chance.random() < 0.05
    return NewContact(
        first_name=first,
        last_name=last,
        company=business.name if business else None,
        job_title=chance.choice(words.JOBS) if business else None,
        phones=tuple(phones),
        emails=_emails(chance, first, last, place.country, business),
        addresses=() if business or chance.random() < 0.4 else (_address(place, _street(chance), "home"),),
        birthday=_birthday(chance) if chance.random() < 0.3 else None,
        timezone=place.timezone,
        locale="mi-NZ" if maori else f"en-{place.country}",
        preferences={"channel": chance.choice(("phone", "email", "sms"))} if chance.random() < 0.4 else {},
    )


@cache
def employer(number: int) -> Business:
    """Business number 0, 1, 2, ..."""
    chance = Random(f"Bellbird's demo business {number}")  # noqa: S311
    place = chance.choice(places.AUSTRALIA) if chance.random() < 0.65 else chance.choice(places.NEW_ZEALAND)
    fake = _fake(place.country)
    fake.seed_instance(f"business {number}")
    founder = chance.choice((fake.last_name(), place.city, chance.choice(words.LAST_NAMES)))
    partner = f" & {fake.last_name()}" if chance.random() < 0.15 else ""
    company = "Pty Ltd" if place.country == "AU" else "Ltd"
    name = f"{founder}{partner} {chance.choice(words.TRADES)}"
    domain = text.fold(name.replace("&", "")).replace(" ", "") + (".com.au" if place.country == "AU" else ".co.nz")
    return Business(
        name=f"{name} {company}" if chance.random() < 0.6 else name,
        domain=domain,
        place=place,
        street=_street(chance),
        phone=numbers.landline(chance, place),
        advertised=numbers.advertised(chance, place.country) if chance.random() < 0.4 else None,
    )


def _name(number: int, chance: Random, country: str) -> tuple[str, str]:
    fake = _fake(country)
    fake.seed_instance(f"person {number}")
    first = chance.choice(words.FIRST_NAMES) if chance.random() < 0.15 else fake.first_name()
    last = chance.choice(words.LAST_NAMES) if chance.random() < 0.3 else fake.last_name()
    return first, last


def _emails(chance: Random, first: str, last: str, country: str, business: Business | None) -> tuple[Email, ...]:
    given, family = text.fold(first).replace(" ", ""), text.fold(last).replace(" ", "")
    made = []
    if business:
        local = chance.choice((f"{given}.{family}", f"{given}.{family}", given, f"{given[0]}{family}"))
        made.append(Email(f"{local}@{business.domain}", "work"))
    if not business or chance.random() < 0.15:
        local = chance.choice((f"{given}.{family}", f"{given}{family}", f"{given}_{family}"))
        made.append(Email(f"{local}{chance.randint(1, 99)}@{chance.choice(words.MAILBOXES[country])}", "home"))
    return tuple(made)


def _address(place: Place, street: str, label: str) -> Address:
    return Address(street, place.city, place.region, place.postcode, place.country, label)


def _street(chance: Random) -> str:
    unit = f"{chance.randint(1, 24)}/" if chance.random() < 0.2 else ""
    return f"{unit}{chance.randint(1, 320)} {chance.choice(places.STREETS)} {chance.choice(places.STREET_KINDS)}"


def _birthday(chance: Random) -> date:
    return date(chance.randint(1945, 2005), chance.randint(1, 12), chance.randint(1, 28))


def _custom(chance: Random) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if chance.random() < 0.5:
        custom["plan"] = chance.choice(words.PLANS)
    if chance.random() < 0.3:
        custom["nps"] = chance.randint(0, 10)
    if chance.random() < 0.2:
        custom["account_number"] = f"AC-{chance.randint(10_000, 99_999)}"
    return custom


@cache
def _fake(country: str) -> Faker:
    return Faker(f"en_{country}")
