"""The workloads: what is asked of the server, as real requests about contacts that are there."""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import msgspec
import psycopg

from bellbird.core import text
from bellbird.features.contacts.models import NewContact
from benchmarks import people

CONTACTS: Final = "/api/v1/contacts"

# So many different requests of each kind, spread over the tenants.
VARIETY: Final = 1000

# Percent of each kind in a mixed load.
SHARES: Final = {"get": 40, "list": 20, "first_page": 10, "search": 5, "lookup": 15, "create": 10}


@dataclass(frozen=True, slots=True)
class Request:
    """One request on behalf of a tenant."""

    tenant: UUID
    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests of one kind; `title` is what people call it."""

    name: str
    title: str
    requests: tuple[Request, ...]


def build(owner: str, tenants: Sequence[UUID], *, only: Iterable[str] | None = None) -> list[Workload]:
    """Every workload, or only some, over these tenants: the same requests for the same data."""
    wanted = set(only or (name for name, _, _ in _KINDS))
    with psycopg.connect(owner) as connection:
        return [
            Workload(name, title, _spread(connection, tenants, make)) for name, title, make in _KINDS if name in wanted
        ]


def mixed(kinds: Iterable[Workload]) -> tuple[Request, ...]:
    """Requests of all kinds in one stream, as a day at work has them: mostly reads of one contact."""
    rng = random.Random(1)
    found = [
        request
        for workload in kinds
        for request in rng.choices(workload.requests, k=VARIETY * SHARES[workload.name] // 100)
    ]
    rng.shuffle(found)
    return tuple(found)


_Make = Callable[[random.Random, psycopg.Connection[Any], UUID, int], list[Request]]


def _spread(connection: psycopg.Connection[Any], tenants: Sequence[UUID], make: _Make) -> tuple[Request, ...]:
    """As many requests for each of the tenants, shuffled."""
    rng = random.Random(1)
    each = -(-VARIETY // len(tenants))
    found = [request for tenant in tenants for request in make(rng, connection, tenant, each)]
    rng.shuffle(found)
    return tuple(found)


SAMPLE: Final = "select {} from contacts where tenant_id = %s and {} order by md5(id::text) limit %s"


def _sample(connection: psycopg.Connection[Any], columns: str, condition: str, tenant: UUID, count: int) -> list[Any]:
    """Rows of some of the tenant's contacts, no matter which but always the same."""
    return connection.execute(SAMPLE.format(columns, condition), [tenant, count]).fetchall()


def _get(rng: random.Random, connection: psycopg.Connection[Any], tenant: UUID, count: int) -> list[Request]:
    ids = _sample(connection, "id", "true", tenant, count)
    return [Request(tenant, "GET", f"{CONTACTS}/{id}") for (id,) in ids]


DOMAINS: Final = """
select domain
from contacts, unnest(email_domains) domain
where tenant_id = %s
group by domain having count(*) > %s
order by domain
"""


def _by_domain(rng: random.Random, connection: psycopg.Connection[Any], tenant: UUID, count: int) -> list[Request]:
    """Domains that fill a page: large companies', and the few that everybody has."""
    found = connection.execute(DOMAINS, [tenant, 50]).fetchall() or connection.execute(DOMAINS, [tenant, 0]).fetchall()
    domains = [domain for (domain,) in found]
    return [
        Request(tenant, "GET", f"{CONTACTS}?filter%5Bemail_domain%5D={rng.choice(domains)}&limit=50")
        for _ in range(count)
    ]


def _first_page(rng: random.Random, connection: psycopg.Connection[Any], tenant: UUID, count: int) -> list[Request]:
    return [Request(tenant, "GET", f"{CONTACTS}?limit=50")] * count


def _search(rng: random.Random, connection: psycopg.Connection[Any], tenant: UUID, count: int) -> list[Request]:
    """Half a last name; or the first name and how the last one begins."""
    names = _sample(connection, "first_name, last_name", "last_name is not null", tenant, count)
    asked = []
    for at, (first, last) in enumerate(names):
        beginning = text.fold(last)[: rng.randint(3, 5)].strip()
        asked.append(beginning if at % 2 else f"{first} {beginning}")
    return [Request(tenant, "GET", f"{CONTACTS}?q={quote(q)}") for q in asked]


def _lookup(rng: random.Random, connection: psycopg.Connection[Any], tenant: UUID, count: int) -> list[Request]:
    """A caller's number as exchanges send it, or as it was typed."""
    found = _sample(connection, "phones->0->>'number', phones->0->>'raw'", "phones <> '[]'", tenant, count)
    numbers = [number if at % 2 else raw for at, (number, raw) in enumerate(found)]
    return [Request(tenant, "GET", f"{CONTACTS}/lookup?number={quote(number)}") for number in numbers]


def _create(rng: random.Random, connection: psycopg.Connection[Any], tenant: UUID, count: int) -> list[Request]:
    return [Request(tenant, "POST", CONTACTS, body(new)) for new in people.contacts(rng, count)]


def body(new: NewContact) -> bytes:
    """A new contact as a client sends it: only what there is."""
    return msgspec.json.encode(_given(msgspec.to_builtins(new)))


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(item) for key, item in value.items() if item not in (None, "", False, [], (), {})}
    return [_given(item) for item in value] if isinstance(value, list | tuple) else value


_KINDS: Final[tuple[tuple[str, str, _Make], ...]] = (
    ("get", "GET by id", _get),
    ("list", "list of 50 by e-mail domain", _by_domain),
    ("first_page", "first page of 50", _first_page),
    ("search", "q= by partial name", _search),
    ("lookup", "lookup by number", _lookup),
    ("create", "create", _create),
)
