"""Filling the demo tenant: what is there stays, what is missing is added."""

from collections.abc import Callable

from bellbird.app import Bellbird
from bellbird.core.actors import Actor
from bellbird.core.errors import TenantNotFound
from bellbird.core.tenants import Tenant
from bellbird.demo import people
from bellbird.features import contacts, tenants
from bellbird.features.contacts import Query

SLUG = "demo"
BATCH = 100
OPERATOR = Actor.system("demo", origin="cli")


async def tenant(bellbird: Bellbird) -> Tenant:
    """The demo tenant, made if it is missing."""
    async with bellbird.system(OPERATOR) as tx:
        try:
            return await tenants.get(tx, SLUG)
        except TenantNotFound:
            return await tenants.create(tx, SLUG, name="Demo Pty Ltd")


async def fill(bellbird: Bellbird, count: int, done: Callable[[int], None]) -> int:
    """See that the first `count` demo contacts are there, unless somebody deleted them; returns how many are new.

    `done` is told how many it has seen to. Each batch is a transaction, so a run that is killed can be repeated.
    """
    added = 0
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        async with bellbird.tenant(SLUG, OPERATOR) as tx:
            ids = [people.external_id(number) for number in numbers]
            there: set[str | None] = set()
            for deleted in (False, True):
                page = await contacts.page(
                    tx, Query(filter={"external_id": {"in": ids}}, deleted=deleted, limit=2 * BATCH)
                )
                there.update(contact.external_id for contact in page.data)
            for number in numbers:
                if people.external_id(number) not in there:
                    await contacts.create(tx, people.contact(number))
                    added += 1
        done(len(numbers))
    return added
