"""Make, list, change, suspend and delete tenants."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import click

from bellbird.core.engine import SystemTx
from bellbird.core.tenants import CallingHours, Tenant, TenantSettings
from bellbird.entrypoints import cli, tables
from bellbird.features.tenants import actions, choice, deletion, queries, typed

SETTINGS_HELP = f"""
    \b
    Settings: {", ".join(list(asdict(TenantSettings()))[:5])},
              {", ".join(list(asdict(TenantSettings()))[5:])}
    Lists are separated by commas; an empty one, such as allowed_regions=, stands for all.
    Hours are set by the day: calling_hours.au_telemarketing.saturday=09:00-17:00, calling_hours.nz.sunday=null for
    none; there are those of {", ".join(asdict(CallingHours()))}.
"""


@click.group()
def command() -> None:
    """Make, list, change, suspend and delete tenants.

    \b
    Example: bellbird tenants create acme --name "Acme Pty Ltd"
    """


@asynccontextmanager
async def _operator() -> AsyncIterator[SystemTx]:
    async with cli.bellbird() as bellbird, bellbird.engine.system(choice.OPERATOR) as tx:
        yield tx


@command.command(epilog=SETTINGS_HELP)
@click.argument("slug")
@click.option("--name", help="What it is called; default: the slug.")
@click.option("--default-region", metavar="CODE", help="The country in which it dials; default: AU.")
@click.option("--timezone", help="Default: Australia/Sydney, for New Zealand Pacific/Auckland.")
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Any other setting; may be repeated.")
@cli.as_json
@cli.asynchronous
async def create(
    slug: str,
    name: str | None,
    default_region: str | None,
    timezone: str | None,
    assignments: Sequence[str],
    as_json: bool,
) -> None:
    """Make a tenant: 1 to 63 small letters, digits and hyphens name it on the command line.

    \b
    Example: bellbird tenants create kauri --name "Kauri Ltd" --default-region NZ
    """
    given, faults = typed.read(assignments)
    name = given.pop("name", name)
    region = default_region.upper() if default_region else None
    if region == "NZ" and timezone is None:
        timezone = "Pacific/Auckland"
    given |= {key: value for key, value in {"default_region": region, "timezone": timezone}.items() if value}
    async with _operator() as tx:
        with typed.together_with(faults):
            tenant = await actions.create(tx, slug, name=name, settings=typed.settings(given))
    if as_json:
        tables.json(tenant)
    else:
        cli.note(f"The tenant {tenant.slug} is made; its id is {tenant.id}.")


@command.command(name="list")
@cli.as_json
@cli.asynchronous
async def list_(as_json: bool) -> None:
    """List the tenants.

    \b
    Example: bellbird tenants list --json
    """
    async with _operator() as tx:
        there = await queries.page(tx)
        while len(there) % 1000 == 0 and (more := await queries.page(tx, after=there[-1].slug if there else "")):
            there += more
    if as_json:
        tables.json({"data": there})
    elif not there:
        cli.note("There is no tenant yet: make one with `bellbird tenants create SLUG`.")
    else:
        titles = ("Slug", "Name", "Status", "Region", "Timezone", "Made", "Id")
        tables.rows(titles, map(_row, there))


def _row(tenant: Tenant) -> tuple[Any, ...]:
    region, timezone = tenant.settings.default_region, tenant.settings.timezone
    return tenant.slug, tenant.name, tenant.status, region, timezone, tenant.created_at, tenant.id


@command.command()
@click.argument("slug")
@cli.as_json
@cli.asynchronous
async def show(slug: str, as_json: bool) -> None:
    """Show a tenant and its settings.

    \b
    Example: bellbird tenants show acme
    """
    async with cli.bellbird() as bellbird:
        _print(await choice.tenant(bellbird, slug), as_json)


def _print(tenant: Tenant, as_json: bool) -> None:
    if as_json:
        tables.json(tenant)
        return
    settings = asdict(tenant.settings)
    weeks = settings.pop("calling_hours")
    settings["allowed_regions"] = settings["allowed_regions"] or "every region"
    facts = {**asdict(tenant), **settings}
    del facts["settings"]
    hours = [
        (f"calling_hours.{name}.{day}", each or "none") for name, week in weeks.items() for day, each in week.items()
    ]
    tables.facts([*facts.items(), *hours])


@command.command(name="set", epilog=SETTINGS_HELP)
@click.argument("slug")
@click.argument("assignments", metavar="KEY=VALUE...", nargs=-1, required=True)
@cli.as_json
@cli.asynchronous
async def set_(slug: str, assignments: Sequence[str], as_json: bool) -> None:
    """Change a tenant's name or settings.

    \b
    Example: bellbird tenants set acme duplicate_policy=reject allowed_regions=AU,NZ,US calling_hours.nz.sunday=null
    """
    given, faults = typed.read(assignments)
    name = given.pop("name", None)
    async with cli.bellbird() as bellbird:
        tenant = await choice.tenant(bellbird, slug)
        async with bellbird.engine.system(choice.OPERATOR) as tx:
            with typed.together_with(faults):
                tenant = await actions.set(tx, tenant.id, name=name, **given)
    _print(tenant, as_json)


@command.command()
@click.argument("slug")
@cli.asynchronous
async def suspend(slug: str) -> None:
    """Make a tenant read-only.

    \b
    Example: bellbird tenants suspend acme
    """
    async with cli.bellbird() as bellbird:
        tenant = await choice.tenant(bellbird, slug)
        async with bellbird.engine.system(choice.OPERATOR) as tx:
            await actions.suspend(tx, tenant.id)
    cli.note(f"{tenant.slug} can now only be read; `bellbird tenants resume {tenant.slug}` lets it write again.")


@command.command()
@click.argument("slug")
@cli.asynchronous
async def resume(slug: str) -> None:
    """Let a suspended tenant write again.

    \b
    Example: bellbird tenants resume acme
    """
    async with cli.bellbird() as bellbird:
        tenant = await choice.tenant(bellbird, slug)
        async with bellbird.engine.system(choice.OPERATOR) as tx:
            await actions.resume(tx, tenant.id)
    cli.note(f"{tenant.slug} can write again.")


@command.command()
@click.argument("slug")
@cli.without_asking
@cli.asynchronous
async def delete(slug: str, yes: bool) -> None:
    """Delete a tenant with every row of it, for good. If it is interrupted, run it again to finish it.

    \b
    Example: bellbird tenants delete acme
    """
    async with cli.bellbird() as bellbird:
        tenant = await choice.tenant(bellbird, slug)
        cli.confirm(f"Delete the tenant {tenant.slug} ({tenant.name}) and all its data? This cannot be undone.", yes)
        removed = await deletion.delete(bellbird.engine, choice.OPERATOR, tenant.id)
    rows = ", ".join(f"{count:,} {table}" for table, count in removed.items() if count) or "nothing else"
    cli.note(f"The tenant {tenant.slug} is deleted, with {rows}.")
