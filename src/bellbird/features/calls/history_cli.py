"""List calls, show one, say what came of one, count them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import click
from msgspec import UNSET

from bellbird.core import paging
from bellbird.core.telephony import STATUSES
from bellbird.entrypoints import cli, tables
from bellbird.features.calls import actions, queries, statistics
from bellbird.features.calls.models import Call, CallPatch
from bellbird.features.calls.queries import Query
from bellbird.features.calls.statistics import GROUPS, Figures
from bellbird.features.tenants import choice

id_ = click.argument("id", type=click.UUID)


@click.command(name="list")
@choice.option
@click.option("--contact", "contact_id", type=click.UUID, help="Only those with this contact.")
@click.option("--agent", "agent_id", type=click.UUID, help="Only those of this user.")
@click.option("--number", help="Only those with this number, in any format.")
@click.option("--status", type=click.Choice(STATUSES), help="Only those in this status.")
@click.option("--outcome", help="Only those with this outcome.")
@click.option("--live", is_flag=True, help="Only those under way.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@click.option("--cursor", help="The next page, as the last one named it.")
@cli.as_json
@cli.asynchronous
async def list_(
    tenant: str | None, contact_id: UUID | None, limit: int, cursor: str | None, as_json: bool, **given: Any
) -> None:
    """List calls, newest first.

    \b
    Example: bellbird calls list --number "0412 345 678"
             bellbird calls list --live
    """
    condition = {name: str(value) if isinstance(value, UUID) else value for name, value in given.items() if value}
    async with choice.reading(tenant) as read:
        page = await queries.page(read, Query(filter=condition, contact_id=contact_id, limit=limit, cursor=cursor))
    if as_json:
        tables.json(page)
        return
    if page.data:
        tables.rows(("At", "", "Number", "Status", "Outcome", "Seconds", "Id"), [_row(call) for call in page.data])
    else:
        cli.note("There is no such call.")
    if page.next_cursor:
        cli.note(f"There is more: --cursor {page.next_cursor}")


def _row(call: Call) -> tuple[Any, ...]:
    direction = "to" if call.direction == "outbound" else "from"
    became = call.disposition or call.status
    return call.created_at, direction, call.number or "withheld", became, call.outcome, call.duration, call.id


@click.command()
@id_
@choice.option
@cli.as_json
@cli.asynchronous
async def show(id: UUID, tenant: str | None, as_json: bool) -> None:
    """Show a call.

    \b
    Example: bellbird calls show 01a203ec-0f91-7207-87a3-ffff9495ecd5
    """
    async with choice.reading(tenant) as read:
        call = await queries.get(read, id)
    if as_json:
        tables.json(call)
        return
    explained = (call.decision or {}).get("explanation")
    tables.facts([
        ("Number", call.number or "withheld"), ("Direction", call.direction), ("Status", call.status),
        ("Disposition", call.disposition), ("Reason", call.reason), ("Outcome", call.outcome), ("Notes", call.notes),
        ("Contact", call.contact_id), ("Candidates", call.candidates or None), ("Agent", call.agent_id),
        ("Purpose", call.purpose), ("Permitted", explained), ("Placed or received", call.created_at),
        ("Ringing", call.ringing_at), ("Answered", call.answered_at), ("Ended", call.ended_at),
        ("Seconds", call.duration), ("Recording", call.recording_url), ("Cost", call.cost), ("Currency", call.currency),
        ("Provider", call.provider), ("Provider's id", call.provider_call_id), ("Id", call.id),
    ])  # fmt: skip


@click.command()
@id_
@click.argument("outcome", required=False)
@choice.option
@click.option("--notes", help="What is to be remembered.")
@click.option("--contact", "contact_id", type=click.UUID, help="Who it was.")
@click.option("--agent", "agent_id", type=click.UUID, help="Who talked.")
@cli.as_json
@cli.asynchronous
async def outcome(id: UUID, outcome: str | None, tenant: str | None, as_json: bool, **given: Any) -> None:
    """Say what came of a call: one of the tenant's outcomes, notes, who it was.

    \b
    Example: bellbird calls outcome 01a203ec-0f91-7207-87a3-ffff9495ecd5 interested --notes "Wants a quote"
    """
    said = {"outcome": outcome, **given}
    patch = CallPatch(**{name: UNSET if value is None else value for name, value in said.items()})
    async with choice.writing(tenant) as tx:
        call = await actions.update(tx, id, patch)
    if as_json:
        tables.json(call)
    else:
        cli.note(f"The call {call.id} has the outcome {call.outcome}." if call.outcome else "It has no outcome.")


@click.command()
@choice.option
@click.option("--by", "group_by", type=click.Choice(GROUPS), multiple=True, help="By what: once or twice.")
@click.option("--from", "first", type=click.DateTime(["%Y-%m-%d"]), help="The first day; default: 29 before the last.")
@click.option("--to", "last", type=click.DateTime(["%Y-%m-%d"]), help="The last day; default: today.")
@cli.as_json
@cli.asynchronous
async def stats(
    tenant: str | None, group_by: Sequence[str], first: datetime | None, last: datetime | None, as_json: bool
) -> None:
    """Count calls: how many, how many were answered, how long was talked.

    \b
    Example: bellbird calls stats --by agent --from 2026-03-01 --to 2026-03-31
    """
    async with choice.reading(tenant) as read:
        found = await statistics.count(
            read, first=first.date() if first else None, last=last.date() if last else None, group_by=group_by
        )
    if as_json:
        tables.json(found)
        return
    keys = [name for name in GROUPS if name in group_by]
    titles = (*(key.capitalize() for key in keys), "Calls", "Answered", "Rate", "Talked", "Average")
    lines = [(*_key(figures, keys), *_figures(figures)) for figures in found.groups]
    tables.rows(titles, [*lines, (*["All"][: len(keys)], *[""] * (len(keys) - 1), *_figures(found.total))])
    cli.note(f"From {found.first} to {found.last}, {found.timezone}.")


def _key(figures: Figures, keys: Sequence[str]) -> list[Any]:
    return [figures.agent_id if key == "agent" else getattr(figures, key) for key in keys]


def _figures(figures: Figures) -> tuple[Any, ...]:
    rate = None if figures.answer_rate is None else f"{figures.answer_rate:.0%}"
    average = None if figures.average_seconds is None else f"{figures.average_seconds:,.0f} s"
    return f"{figures.calls:,}", f"{figures.answered:,}", rate, f"{figures.talk_seconds / 60:,.0f} min", average


COMMANDS: Final[tuple[click.Command, ...]] = (list_, show, outcome, stats)
