"""Made-up contacts as tenants really have them: common names, employers of every size, untidy numbers."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bellbird.core import text
from bellbird.features.contacts.models import Address, Email, NewContact, Phone
from benchmarks import names

# One company in fifteen is large enough that its people fill a page.
LARGE: Final = 15


@dataclass(frozen=True, slots=True)
class Employer:
    """A company whose people share a domain."""

    name: str
    domain: str
    place: tuple[str, str, str, str, str]


def contacts(rng: random.Random, count: int) -> Iterator[NewContact]:
    """So many contacts of one tenant; the same `rng` state makes the same contacts."""
    jobs: list[Employer] = []
    while len(jobs) < count:
        size = rng.randint(60, 150) if rng.randrange(LARGE) == 0 else rng.randint(5, 40)
        jobs += [_employer(rng, len(jobs))] * size
    rng.shuffle(jobs)
    for employer in jobs[:count]:
        yield _person(rng, employer)


def _employer(rng: random.Random, number: int) -> Employer:
    place = rng.choice(names.PLACES)
    words = (rng.choice((place[4], rng.choice(names.ADJECTIVES))), rng.choice(names.TRADES))
    ending = "co.nz" if place[3] == "NZ" else "com.au"
    # The number keeps two companies of one name apart, as domains do.
    return Employer(" ".join(words), f"{'-'.join(text.words(' '.join(words)))}{number}.{ending}", place)


def _person(rng: random.Random, employer: Employer) -> NewContact:
    first, last = _common(rng, names.FIRST), _common(rng, names.LAST)
    city, region, postcode, country, _ = employer.place
    street = f"{rng.randint(1, 400)} {rng.choice(names.STREETS)}"
    return NewContact(
        first_name=first,
        last_name=last,
        company=employer.name if rng.random() < 0.8 else None,
        job_title=rng.choice(names.JOBS) if rng.random() < 0.5 else None,
        phones=tuple(_phone(rng, country, at) for at in range(rng.choices((0, 1, 2, 3), (5, 65, 25, 5))[0])),
        emails=_emails(rng, first, last, employer.domain),
        addresses=(Address(street, city, region, postcode, country),) if rng.random() < 0.5 else (),
        timezone="Pacific/Auckland" if country == "NZ" else "Australia/Sydney",
        locale=f"en-{country}",
        source=rng.choice(("import", "web form", "referral", None)),
        tags=tuple(rng.sample(names.TAGS, rng.choices((0, 1, 2, 3), (4, 3, 2, 1))[0])),
        custom={"account_number": f"A{rng.randrange(10**6):06}", "credit_limit": rng.randrange(0, 20_000, 500)}
        if rng.random() < 0.4
        else {},
        preferences={"channel": rng.choice(("phone", "email"))} if rng.random() < 0.3 else {},
    )


def _common(rng: random.Random, choices: tuple[str, ...]) -> str:
    """One of the names, an early one more often than a late one."""
    return choices[int(len(choices) * rng.random() ** 1.7)]


def _emails(rng: random.Random, first: str, last: str, domain: str) -> tuple[Email, ...]:
    local = ".".join(text.words(first) + text.words(last)).replace(" ", "")
    found = []
    for at in range(rng.choices((0, 1, 2), (8, 64, 28))[0]):
        where = rng.choices(names.PROVIDERS, (5, 3, 2, 1))[0] if rng.random() < 0.3 else domain
        number = rng.randrange(1000) if where in names.PROVIDERS or at else ""
        found.append(Email(f"{local}{number}@{where}", "private" if where in names.PROVIDERS else "work"))
    return tuple(found)


def _phone(rng: random.Random, country: str, at: int) -> Phone:
    """A mobile first, then landlines, typed as people type them."""
    if country == "NZ":
        number = f"021 {rng.randint(200, 999)} {rng.randrange(10**4):04}" if at == 0 else (
            f"({rng.choice(('09', '04'))}) {rng.randint(300, 999)} {rng.randrange(10**4):04}"
        )  # fmt: skip
    else:
        number = f"04{rng.randrange(40):02} {rng.randrange(1000):03} {rng.randrange(1000):03}" if at == 0 else (
            f"(0{rng.choice((2, 3, 7, 8))}) {rng.randint(9200, 9399)} {rng.randrange(10**4):04}"
        )  # fmt: skip
    return Phone(number, label="mobile" if at == 0 else "work", region=country)
