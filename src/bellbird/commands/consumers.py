"""See how far the consumers of the event log are, and what they gave up."""

from collections.abc import Sequence
from uuid import UUID

import click

from bellbird.core import backlog, paging
from bellbird.core.actors import Actor
from bellbird.entrypoints import cli, tables

OPERATOR = Actor.system("operator", origin="cli")


@click.group()
def command() -> None:
    """See how far the consumers of the event log are, hooks among them, and what they gave up.

    \b
    Example: bellbird consumers list
    """


@command.command(name="list")
@cli.as_json
@cli.asynchronous
async def list_(as_json: bool) -> None:
    """List the consumers: how far behind each lane is, and how many events failed.

    \b
    Example: bellbird consumers list
    """
    async with cli.bellbird() as bellbird:
        lags = await backlog.lag(bellbird.engine)
    if as_json:
        tables.json({"data": lags})
        return
    if not lags:
        cli.note("No consumer has run yet: hooks are run by a worker.")
        return
    titles = ("Consumer", "Lane", "Behind (s)", "To be tried again", "Given up", "Moved")
    tables.rows(titles, [(each.consumer, each.lane, round(each.seconds, 1), each.parked, each.dead, each.moved_at)
                         for each in lags])  # fmt: skip


@command.command()
@click.argument("name")
@click.option("--waiting", is_flag=True, help="Also what failed and will be tried again.")
@click.option("--limit", type=click.IntRange(1, paging.MAX_LIMIT), default=paging.DEFAULT_LIMIT, show_default=True)
@cli.as_json
@cli.asynchronous
async def dead(name: str, waiting: bool, limit: int, as_json: bool) -> None:
    """List the events that a consumer gave up, newest first, with the reason.

    \b
    Example: bellbird consumers dead hook:shop.hooks.welcome
    """
    async with cli.bellbird() as bellbird, bellbird.engine.system(OPERATOR) as tx:
        found = await backlog.aside(tx, name, waiting=waiting, limit=limit)
    if as_json:
        tables.json({"data": found})
        return
    if not found:
        cli.note(f"{name} has given up nothing.")
        return
    titles = ("Event", "Type", "Tenant", "Tries", "Reason", "Failed first", "Next try", "Given up")
    tables.rows(titles, [(each.event_id, each.type, each.tenant, each.tries, each.reason, each.parked_at,
                          each.next_try_at, each.dead_at) for each in found])  # fmt: skip


@command.command()
@click.argument("name")
@click.argument("events", metavar="[EVENT]...", type=click.UUID, nargs=-1)
@cli.asynchronous
async def retry(name: str, events: Sequence[UUID]) -> None:
    """Have a consumer try events again now: those named, or all that failed or were given up.

    \b
    Example: bellbird consumers retry hook:shop.hooks.welcome
    """
    async with cli.bellbird() as bellbird, bellbird.engine.system(OPERATOR) as tx:
        count = await backlog.retry(tx, name, events)
    if count < len(set(events)):
        cli.note(f"{len(set(events)) - count} of the events named are neither to be tried again nor given up.")
    cli.note(f"{name} will try {count:,} events again.")


@command.command()
@click.argument("name")
@click.option("--dead-only", is_flag=True, help="Only the events that it gave up; the consumer goes on.")
@cli.without_asking
@cli.asynchronous
async def drop(name: str, dead_only: bool, yes: bool) -> None:
    """Forget a consumer that is not run any more: how far it was, and what it failed at.

    \b
    Example: bellbird consumers drop hook:shop.hooks.welcome
    """
    what = f"the events that {name} gave up" if dead_only else f"{name}, and where in the log it was"
    async with cli.bellbird() as bellbird:
        async with bellbird.engine.system(OPERATOR) as tx:
            await backlog.check(tx, name)
        cli.confirm(f"Forget {what}?", yes)
        async with bellbird.engine.system(OPERATOR) as tx:
            count = await backlog.drop(tx, name, dead_only=dead_only)
    cli.note(f"Forgot {what} ({count:,} events that it had failed at).")
