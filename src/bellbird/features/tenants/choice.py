"""Which tenant a command works in: the one named, the one of BELLBIRD_TENANT, or the only one there is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import click

from bellbird.core.actors import Actor
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import TenantNotFound
from bellbird.core.tenants import Tenant
from bellbird.entrypoints import cli
from bellbird.features.tenants import queries

OPERATOR: Final = Actor.system("cli", origin="cli")

# How many tenants a message lists.
LISTED: Final = 20

option = click.option(
    "--tenant", metavar="SLUG", help="The tenant to work in; default: BELLBIRD_TENANT, or the only one there is."
)


async def tenant(bellbird: cli.Opened, slug: str | None) -> Tenant:
    """The tenant to work in. Raises TenantNotFound with those there are."""
    slug = slug or bellbird.settings.tenant
    async with bellbird.engine.system(OPERATOR) as tx:
        if slug:
            try:
                return await queries.get(tx, slug)
            except TenantNotFound:
                pass
        there = await queries.page(tx, limit=LISTED + 1)
    if not slug and len(there) == 1:
        return there[0]
    names = ", ".join(each.slug for each in there[:LISTED]) + (", ..." if len(there) > LISTED else "")
    missing = f"There is no tenant {slug}" if slug else "Say which tenant is meant with --tenant"
    if not there:
        raise TenantNotFound("There is no tenant yet: make one with `bellbird tenants create SLUG`.")
    raise TenantNotFound(f"{missing}; there are: {names}." if slug else f"{missing}: {names}.")


@asynccontextmanager
async def writing(slug: str | None) -> AsyncIterator[Tx]:
    """A transaction of the tenant to work in, committed when the block ends well."""
    async with cli.bellbird() as bellbird:
        chosen = await tenant(bellbird, slug)
        async with bellbird.engine.tenant(chosen.id, OPERATOR) as tx:
            yield tx


@asynccontextmanager
async def reading(slug: str | None) -> AsyncIterator[ReadTx]:
    """Reads of the tenant to work in."""
    async with cli.bellbird() as bellbird:
        chosen = await tenant(bellbird, slug)
        async with bellbird.engine.reader(chosen.id, OPERATOR) as tx:
            yield tx
