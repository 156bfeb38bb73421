"""List and end the sessions of the people who are signed in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import click

from bellbird.core.tenants import Tenant
from bellbird.entrypoints import cli, tables
from bellbird.features.sessions import actions, queries
from bellbird.features.tenants import choice
from bellbird.features.users import queries as users


@click.group()
def command() -> None:
    """List and end the sessions of the people who are signed in.

    \b
    Example: bellbird sessions list ann@acme.example
    """


@asynccontextmanager
async def _whose(user: str, slug: str | None) -> AsyncIterator[tuple[cli.Opened, Tenant, UUID]]:
    async with cli.bellbird() as bellbird:
        tenant = await choice.tenant(bellbird, slug)
        async with bellbird.engine.system(choice.OPERATOR) as tx:
            id = await users.known(tx, user)
        yield bellbird, tenant, id


@command.command(name="list")
@click.argument("email")
@choice.option
@cli.as_json
@cli.asynchronous
async def list_(email: str, tenant: str | None, as_json: bool) -> None:
    """List where somebody is signed in to a tenant, last used first.

    \b
    Example: bellbird sessions list ann@acme.example
    """
    async with _whose(email, tenant) as (bellbird, chosen, id):
        sessions = await queries.page(bellbird.engine.reader(chosen.id, choice.OPERATOR), id)
    if as_json:
        tables.json({"data": sessions})
    elif not sessions:
        cli.note(f"{email} is not signed in to {chosen.slug}.")
    else:
        titles = ("Program", "Since", "Last used", "Until", "Id")
        rows = ((each.user_agent, each.created_at, each.last_used_at, each.expires_at, each.id) for each in sessions)
        tables.rows(titles, rows)


@command.command()
@click.argument("email")
@choice.option
@cli.asynchronous
async def end(email: str, tenant: str | None) -> None:
    """End every session that somebody has in a tenant: within a second their tokens are taken no more.

    \b
    Example: bellbird sessions end ann@acme.example
    """
    async with (
        _whose(email, tenant) as (bellbird, chosen, id),
        bellbird.engine.tenant(chosen.id, choice.OPERATOR) as tx,
    ):
        ended = await actions.end_all(tx, id)
    cli.note(f"Ended {ended} session{'' if ended == 1 else 's'} of {email} in {chosen.slug}.")
