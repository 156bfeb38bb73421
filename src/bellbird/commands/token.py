"""Make an access token, to sign in to the API with."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import click

from bellbird.core import ids
from bellbird.core.actors import PERMISSIONS, Visibility
from bellbird.entrypoints import cli, tables
from bellbird.features.tenants import choice

UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class Duration(click.ParamType[timedelta]):
    """A length of time such as 30m, 12h or 30d."""

    name = "duration"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> timedelta:
        match = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", str(value).strip())
        if match is None:
            self.fail(
                f"{value!r} must be a number of minutes, hours or days, such as 30m, 12h or 30d.", parameter, context
            )
        return timedelta(**{UNITS[match[2]]: int(match[1])})


@click.command()
@choice.option
@click.option("--user", type=click.UUID, help="Whom the token speaks for; default: a new user.")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="What it may do; default: owner. Repeatable.")
@click.option("--scope", "scopes", multiple=True, metavar="PERMISSION", help="Nothing but this, such as contacts:read.")
@click.option("--visibility", type=click.Choice(["own", "team", "all"]), help="Whose records it sees; default: all.")
@click.option("--as-member", is_flag=True, help="Name no role: the user's membership decides, now and later.")
@click.option("--valid", type=Duration(), default="12h", show_default=True, help="For how long: 30m, 12h, 30d.")
@cli.as_json
@cli.asynchronous
async def command(
    tenant: str | None,
    user: UUID | None,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    visibility: Visibility | None,
    as_member: bool,
    valid: timedelta,
    as_json: bool,
) -> None:
    """Make an access token, to sign in to the API with. Only the token goes to stdout.

    \b
    Example: TOKEN=$(bellbird token --tenant acme --role agent --valid 30d)
             curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8000/api/v1/contacts
    """
    if as_member and (roles or user is None):
        raise click.UsageError("--as-member goes with --user, and without --role.")
    unknown = set(scopes) - PERMISSIONS
    if unknown:
        raise click.UsageError(f"{', '.join(sorted(unknown))}: no such permission; {', '.join(sorted(PERMISSIONS))}.")
    async with cli.bellbird() as bellbird:
        chosen = await choice.tenant(bellbird, tenant)
        clock = bellbird.engine.clock
        user = user or ids.uuid7(clock.now())
        token = bellbird.tokens.make(
            chosen.id, user, valid_for=valid, roles=None if as_member else roles or ("owner",), scopes=scopes or None,
            visibility=visibility,
        )  # fmt: skip
        expires = clock.now() + valid
    if as_json:
        tables.json(
            {"token": token, "tenant": chosen.slug, "tenant_id": chosen.id, "user_id": user, "expires_at": expires}
        )
    else:
        cli.note(f"For user {user} of {chosen.slug}, until {tables.shown(expires)}:")
        click.echo(token)
