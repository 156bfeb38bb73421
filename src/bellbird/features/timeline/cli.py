"""Show what happened to a contact."""

from collections.abc import Sequence
from uuid import UUID

import click

from bellbird.core import paging
from bellbird.core.timeline import Entry
from bellbird.entrypoints import cli, tables
from bellbird.features.tenants import choice
from bellbird.features.timeline import queries


@click.command()
@click.argument("id", type=click.UUID)
@choice.option
@click.option("--type", "types", multiple=True, help="Such as contact.updated, contact.* or event. Repeatable.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def command(
    id: UUID, tenant: str | None, types: Sequence[str], limit: int, cursor: str | None, as_json: bool
) -> None:
    """Show what happened to a contact, newest first; of a deleted one as well, until it is purged.

    \b
    Example: bellbird timeline 01a203ec-0f91-7207-87a3-ffff9495ecd5 --type contact.updated
    """
    async with choice.reading(tenant) as read:
        page = await queries.page(read, id, types=types, limit=limit, cursor=cursor)
    if as_json:
        tables.json(page)
        return
    if page.data:
        tables.rows(("At", "What", "By", "Changed"), [_row(entry) for entry in page.data])
    else:
        cli.note("There is nothing of this on its timeline." if types else "There is nothing on its timeline.")
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(entry: Entry) -> tuple[object, ...]:
    return entry.at, entry.type, entry.actor, list(entry.changes or ())
