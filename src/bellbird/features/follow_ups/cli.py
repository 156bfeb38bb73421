"""List, make and finish follow-ups."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click

from bellbird.core import paging
from bellbird.entrypoints import cli, tables
from bellbird.features.follow_ups import actions, queries
from bellbird.features.follow_ups.models import STATES, FollowUp, NewFollowUp
from bellbird.features.follow_ups.queries import Query
from bellbird.features.tenants import choice

_TIMES = click.DateTime(["%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"])


@click.group()
def command() -> None:
    """Whom to call back, and when.

    \b
    Example: bellbird follow-ups list --due today
    """


@command.command(name="list")
@choice.option
@click.option("--due", metavar="now|today|MOMENT", help="Only what is due by then.")
@click.option("--agent", "agent_id", type=click.UUID, help="Only what this user is to do.")
@click.option("--contact", "contact_id", type=click.UUID, help="Only what is agreed with this contact.")
@click.option("--state", type=click.Choice(STATES), default="open", show_default=True)
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def list_(tenant: str | None, due: str | None, as_json: bool, **options: Any) -> None:
    """List follow-ups, what is due soonest first.

    \b
    Example: bellbird follow-ups list --due today
    """
    async with choice.reading(tenant) as read:
        by = None if due is None else await queries.due_by(read, due)
        page = await queries.page(read, Query(due_before=by, **options))
    if as_json:
        tables.json(page)
        return
    if page.data:
        tables.rows(("Due", "Contact", "Number", "Agent", "Note", "Id"), [_row(each) for each in page.data])
    else:
        cli.note("There is nobody to call back.")
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(follow_up: FollowUp) -> tuple[Any, ...]:
    return (
        follow_up.due_at, follow_up.contact_id, follow_up.number, follow_up.agent_id, follow_up.note, follow_up.id,
    )  # fmt: skip


@command.command()
@click.argument("whom", metavar="NUMBER|CONTACT_ID")
@click.argument("due_at", metavar="WHEN", type=_TIMES)
@choice.option
@click.option("--agent", "agent_id", type=click.UUID, help="Who is to call.")
@click.option("--note", help="What it is about.")
@cli.as_json
@cli.asynchronous
async def add(whom: str, due_at: datetime, tenant: str | None, as_json: bool, **given: Any) -> None:
    """Write down whom to call back; a time without an offset is this terminal's. Its id goes to stdout.

    \b
    Example: bellbird follow-ups add "0412 345 678" "2026-12-31 09:00" --note "About the quote"
    """
    new = NewFollowUp(due_at=due_at.astimezone(UTC), **_target(whom), **given)
    async with choice.writing(tenant) as tx:
        follow_up = await actions.create(tx, new)
    if as_json:
        tables.json(follow_up)
    else:
        cli.note(f"To be called back at {tables.shown(follow_up.due_at)}.")
        click.echo(follow_up.id)


def _target(whom: str) -> dict[str, Any]:
    with suppress(ValueError):
        return {"contact_id": UUID(whom)}
    return {"number": whom}


@command.command()
@click.argument("id", type=click.UUID)
@choice.option
@cli.as_json
@cli.asynchronous
async def done(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Note that somebody was called back.

    \b
    Example: bellbird follow-ups done 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    async with choice.writing(tenant) as tx:
        follow_up = await actions.done(tx, id)
    if as_json:
        tables.json(follow_up)
    else:
        cli.note(f"The follow-up {id} is done.")
