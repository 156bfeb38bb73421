"""List, make, rename and delete a tenant's teams."""

from typing import Any
from uuid import UUID

import click

from bellbird.core import paging
from bellbird.core.engine import Tx
from bellbird.entrypoints import cli, tables
from bellbird.features.teams import actions, queries
from bellbird.features.teams.models import NewTeam, Team, TeamPatch
from bellbird.features.tenants import choice


@click.group()
def command() -> None:
    """List, make, rename and delete a tenant's teams.

    \b
    Example: bellbird teams create Sales
    """


@command.command(name="list")
@choice.option
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, as_json: bool) -> None:
    """List the teams by name, with how many members each has.

    \b
    Example: bellbird teams list
    """
    async with choice.reading(tenant) as read:
        page = await queries.page(read, limit=paging.MAX_LIMIT)
        teams = [*page.data]
        while page.next_cursor:
            page = await queries.page(read, limit=paging.MAX_LIMIT, cursor=page.next_cursor)
            teams += page.data
    if as_json:
        tables.json({"data": teams})
    elif not teams:
        cli.note("There is no team yet: make one with `bellbird teams create NAME`.")
    else:
        tables.rows(("Name", "Members", "Made", "Id"), map(_row, teams))


def _row(team: Team) -> tuple[Any, ...]:
    return team.name, team.members, team.created_at, team.id


@command.command()
@click.argument("name")
@choice.option
@cli.as_json
@cli.asynchronous
async def create(name: str, tenant: str | None, as_json: bool) -> None:
    """Make a team. Its id goes to stdout.

    \b
    Example: bellbird teams create Sales
    """
    async with choice.writing(tenant) as tx:
        team = await actions.create(tx, NewTeam(name=name))
    if as_json:
        tables.json(team)
    else:
        cli.note(f"The team {team.name} is made.")
        click.echo(team.id)


whichever = click.argument("team", metavar="NAME|ID")


@command.command()
@whichever
@click.argument("name")
@choice.option
@cli.as_json
@cli.asynchronous
async def rename(team: str, name: str, tenant: str | None, as_json: bool) -> None:
    """Rename a team.

    \b
    Example: bellbird teams rename Sales "Sales NZ"
    """
    async with choice.writing(tenant) as tx:
        found = await _meant(tx, team)
        renamed = await actions.update(tx, found.id, TeamPatch(name=name))
    if as_json:
        tables.json(renamed)
    else:
        cli.note(f"The team {found.name} is now called {renamed.name}.")


@command.command()
@whichever
@choice.option
@cli.without_asking
@cli.asynchronous
async def delete(team: str, tenant: str | None, yes: bool) -> None:
    """Delete a team and take everybody out of it.

    \b
    Example: bellbird teams delete Sales
    """
    cli.confirm(f"Delete the team {team}?", yes)
    async with choice.writing(tenant) as tx:
        found = await _meant(tx, team)
        await actions.delete(tx, found.id)
    cli.note(f"The team {found.name} is deleted.")


async def _meant(tx: Tx, text: str) -> Team:
    try:
        return await queries.get(tx, UUID(text))
    except ValueError:
        return await queries.called(tx, text)
