"""Make, list and revoke a tenant's API keys."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import click

from bellbird.core import paging
from bellbird.entrypoints import cli, tables
from bellbird.features.keys import actions, queries
from bellbird.features.keys.actions import MAX_LIFE
from bellbird.features.keys.models import ApiKey, NewKey
from bellbird.features.tenants import choice


@click.group()
def command() -> None:
    """Make, list and revoke a tenant's API keys.

    \b
    Example: bellbird keys create "Website form" --scope contacts:write
    """


@command.command()
@click.argument("name")
@choice.option
@click.option("--scope", "scopes", multiple=True, required=True, help="Such as contacts:read. Repeatable.")
@click.option("--days", type=click.IntRange(1, MAX_LIFE.days), help="For how long it holds; default: until revoked.")
@cli.as_json
@cli.asynchronous
async def create(name: str, tenant: str | None, scopes: Sequence[str], days: int | None, as_json: bool) -> None:
    """Make an API key, which sees every record. Only the key goes to stdout, and it is shown this once.

    \b
    Example: KEY=$(bellbird keys create "Website form" --scope contacts:write --days 365)
             curl -H "Authorization: Bearer $KEY" http://127.0.0.1:8000/api/v1/contacts
    """
    async with choice.writing(tenant) as tx:
        expires_at = tx.clock.now() + timedelta(days=days) if days else None
        key = await actions.create(tx, NewKey(name=name, scopes=tuple(scopes), expires_at=expires_at))
    if as_json:
        tables.json(key)
    else:
        until = f"until {tables.shown(key.expires_at)}" if key.expires_at else "until it is revoked"
        cli.note(f"The key {key.name} ({key.id}) may {tables.shown(key.scopes)}, {until}. It is not shown again:")
        click.echo(key.key)


@command.command(name="list")
@choice.option
@click.option("--revoked", is_flag=True, help="Those that were revoked as well.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, as_json: bool, **options: Any) -> None:
    """List the API keys, newest first; the keys themselves are not shown.

    \b
    Example: bellbird keys list --revoked
    """
    async with choice.reading(tenant) as read:
        page = await queries.page(read, **options)
    if as_json:
        tables.json(page)
        return
    if not page.data:
        cli.note("There is no API key here.")
        return
    revoked = ("Revoked",) if options["revoked"] else ()
    titles = ("Name", "Begins", "May", "Sees", "Made by", "Expires", "Last used", *revoked, "Id")
    tables.rows(titles, [_row(key, bool(revoked)) for key in page.data])
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(key: ApiKey, with_revoked: bool) -> tuple[Any, ...]:
    return (
        key.name, key.prefix, key.scopes, key.visibility, key.created_by, key.expires_at, key.last_used_at,
        *([key.revoked_at] if with_revoked else []), key.id,
    )  # fmt: skip


@command.command()
@click.argument("ids", metavar="ID...", type=click.UUID, nargs=-1, required=True)
@choice.option
@cli.without_asking
@cli.asynchronous
async def revoke(ids: Sequence[UUID], tenant: str | None, yes: bool) -> None:
    """Revoke API keys for good, all or none: within a second they are taken no more.

    \b
    Example: bellbird keys revoke 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    which = f"the key {ids[0]}" if len(set(ids)) == 1 else f"{len(set(ids)):,} keys"
    cli.confirm(f"Revoke {which}?", yes)
    async with choice.writing(tenant) as tx:
        for id in dict.fromkeys(ids):
            await actions.revoke(tx, id)
    cli.note(f"Revoked {which}.")
