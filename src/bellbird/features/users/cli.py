"""Add, list, change and remove the people who work in a tenant."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import click
from msgspec import UNSET

from bellbird.core import paging
from bellbird.core.actors import VISIBILITIES
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.entrypoints import cli, tables
from bellbird.features.teams import queries as teams
from bellbird.features.tenants import choice
from bellbird.features.users import actions, queries
from bellbird.features.users.models import Invitation, NewUser, User, UserPatch
from bellbird.features.users.queries import Query


@click.group()
def command() -> None:
    """Add, list, change and remove the people who work in a tenant.

    A user is named by their e-mail address, or by their id.

    \b
    Example: bellbird users add ann@acme.example --name "Ann Lee" --role owner
    """


visibility = click.option("--visibility", type=click.Choice(VISIBILITIES), help="Whose records they see.")
in_teams = click.option("--team", "in_teams", multiple=True, metavar="NAME", help="Repeatable.")


@asynccontextmanager
async def _opened(slug: str | None) -> AsyncIterator[tuple[cli.Opened, Tenant]]:
    async with cli.bellbird() as bellbird:
        yield bellbird, await choice.tenant(bellbird, slug)


async def _id_of(bellbird: cli.Opened, user: str) -> UUID:
    """Whom an e-mail address or an id names. Raises UserNotFound."""
    try:
        return UUID(user)
    except ValueError:
        async with bellbird.engine.system(choice.OPERATOR) as tx:
            return await queries.known(tx, user)


async def _teams(tx: Tx | ReadTx, names: Sequence[str]) -> tuple[UUID, ...]:
    return tuple([(await teams.called(tx, name)).id for name in names])


@command.command()
@click.argument("email")
@choice.option
@click.option("--name", help="What they are called; default: what is before the @.")
@click.option("--role", required=True, help="Such as owner, admin, manager, agent or viewer: `bellbird roles list`.")
@visibility
@in_teams
@click.option("--password-stdin", is_flag=True, help="Read their password from stdin; without it they are invited.")
@cli.as_json
@cli.asynchronous
async def add(
    email: str,
    tenant: str | None,
    name: str | None,
    role: str,
    visibility: Any,
    in_teams: Sequence[str],
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Make somebody a member of a tenant. The token of their invitation goes to stdout, and is shown this once.

    \b
    Example: bellbird users add ann@acme.example --name "Ann Lee" --role owner
             bellbird users add bob@acme.example --role agent --team Sales --password-stdin < password.txt
    """
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    new = NewUser(email=email, name=name or email.partition("@")[0], role=role, visibility=visibility,
                  password=password)  # fmt: skip
    async with choice.writing(tenant) as tx:
        user = await actions.add(tx, replace(new, team_ids=await _teams(tx, in_teams)))
    if as_json:
        tables.json(user)
        return
    cli.note(f"{user.name} ({user.email}) is {user.role}; their id is {user.id}.")
    if user.invitation:
        _invited(user.invitation)


def _invited(invitation: Invitation) -> None:
    cli.note(
        f"Until {tables.shown(invitation.expires_at)} they join with this, once: "
        "POST /api/v1/auth/invitations/accept with it as `token`, and a `password`. It is not shown again:"
    )
    click.echo(invitation.token)


@command.command(name="list")
@choice.option
@click.option("--role", help="Only those who have this role.")
@click.option("--team", metavar="NAME", help="Only those who are in this team.")
@click.option("--disabled", is_flag=True, help="Those whose membership was ended.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, team: str | None, as_json: bool, **options: Any) -> None:
    """List the users of a tenant.

    \b
    Example: bellbird users list --role owner
    """
    async with choice.reading(tenant) as read:
        of_team = (await _teams(read, [team]))[0] if team else None
        page = await queries.page(read, Query(team=of_team, **options))
    if as_json:
        tables.json(page)
        return
    if not page.data:
        cli.note("There is no such user here." if team or options["role"] else "There is no user here.")
        return
    tables.rows(("Name", "E-mail", "Role", "Sees", "Joined", "Id"), map(_row, page.data))
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(user: User) -> tuple[Any, ...]:
    return user.name, user.email, user.role, user.visibility, user.joined_at or "invited", user.id


@command.command()
@click.argument("user")
@choice.option
@cli.as_json
@cli.asynchronous
async def show(user: str, tenant: str | None, as_json: bool) -> None:
    """Show a user.

    \b
    Example: bellbird users show ann@acme.example
    """
    async with _opened(tenant) as (bellbird, chosen):
        id = await _id_of(bellbird, user)
        _print(await queries.get(bellbird.engine.reader(chosen.id, choice.OPERATOR), id), as_json)


def _print(user: User, as_json: bool) -> None:
    if as_json:
        tables.json(user)
    else:
        tables.facts((name, getattr(user, name)) for name in User.__slots__ if name != "invitation")


@command.command(name="set")
@click.argument("user")
@choice.option
@click.option("--role", help="Such as admin: `bellbird roles list`.")
@visibility
@click.option("--visibility-of-role", is_flag=True, help="Whose records they see is what their role says.")
@in_teams
@click.option("--no-team", is_flag=True, help="Take them out of every team.")
@click.option("--disable/--enable", "disabled", default=None, help="End their membership; let it go on.")
@cli.as_json
@cli.asynchronous
async def set_(
    user: str,
    tenant: str | None,
    role: str | None,
    visibility: Any,
    visibility_of_role: bool,
    in_teams: Sequence[str],
    no_team: bool,
    disabled: bool | None,
    as_json: bool,
) -> None:
    """Change what a user may do, see and belong to. The teams that are named replace those they are in.

    \b
    Example: bellbird users set ann@acme.example --role manager --team Sales --team Support
             bellbird users set ann@acme.example --enable
    """
    if (visibility and visibility_of_role) or (in_teams and no_team):
        raise click.UsageError("--visibility-of-role and --no-team go without --visibility and --team.")
    async with _opened(tenant) as (bellbird, chosen):
        id = await _id_of(bellbird, user)
        async with bellbird.engine.tenant(chosen.id, choice.OPERATOR) as tx:
            patch = UserPatch(
                role=role or UNSET,
                visibility=visibility or (None if visibility_of_role else UNSET),
                team_ids=await _teams(tx, in_teams) if in_teams or no_team else UNSET,
                disabled=UNSET if disabled is None else disabled,
            )
            if patch == UserPatch():
                raise InvalidInput("Say what to change: --role, --visibility, --team, --disable or --enable.")
            changed = await actions.update(tx, id, patch)
    _print(changed, as_json)


@command.command()
@click.argument("user")
@choice.option
@cli.without_asking
@cli.asynchronous
async def remove(user: str, tenant: str | None, yes: bool) -> None:
    """End a user's membership, with all their sessions. What they own stays theirs.

    \b
    Example: bellbird users remove ann@acme.example
    """
    async with _opened(tenant) as (bellbird, chosen):
        id = await _id_of(bellbird, user)
        cli.confirm(f"End the membership of {user} in {chosen.slug}?", yes)
        async with bellbird.engine.tenant(chosen.id, choice.OPERATOR) as tx:
            await actions.remove(tx, id)
    cli.note(f"{user} is no member of {chosen.slug} any more; `bellbird users set {user} --enable` lets them in again.")


@command.command()
@click.argument("user")
@choice.option
@cli.without_asking
@cli.asynchronous
async def reset_password(user: str, tenant: str | None, yes: bool) -> None:
    """Void a person's password and end their sessions in every tenant. What they choose another with goes to stdout.

    \b
    Example: bellbird users reset-password ann@acme.example
    """
    async with _opened(tenant) as (bellbird, chosen):
        id = await _id_of(bellbird, user)
        cli.confirm(f"Void the password of {user}, in every tenant?", yes)
        async with bellbird.engine.system(choice.OPERATOR) as tx:
            invitation = await actions.reset_password(tx, chosen.id, id)
    _invited(invitation)
