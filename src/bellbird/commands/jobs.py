"""List the queue's jobs, have failed ones done again, call others off."""

from collections.abc import Sequence
from typing import Any

import click

from bellbird.core import queue
from bellbird.core.actors import Actor
from bellbird.core.queue import Job
from bellbird.entrypoints import cli, tables
from bellbird.features.tenants import queries as tenants

OPERATOR = Actor.system("operator", origin="cli")


@click.group()
def command() -> None:
    """List the queue's jobs, have failed ones done again, call others off.

    \b
    Example: bellbird jobs list --status failed
    """


@command.command(name="list")
@click.option("--status", type=click.Choice(queue.STATUSES), help="Only these.")
@click.option("--queue", "of_queue", metavar="NAME", help="Only of this queue.")
@click.option("--task", metavar="NAME", help="Only of this kind, such as operations.run.")
@click.option("--tenant", metavar="SLUG", help="Only of this tenant.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How many at most.")
@cli.as_json
@cli.asynchronous
async def list_(
    status: str | None, of_queue: str | None, task: str | None, tenant: str | None, limit: int, as_json: bool
) -> None:
    """List jobs, newest first; those that are over are kept for a week.

    \b
    Example: bellbird jobs list --status failed --tenant acme
    """
    async with cli.bellbird() as bellbird, bellbird.engine.system(OPERATOR) as tx:
        tenant_id = (await tenants.get(tx, tenant)).id if tenant else None
        jobs = await queue.page(tx, status=status, queue=of_queue, task=task, tenant_id=tenant_id, limit=limit)
    if as_json:
        tables.json({"data": jobs})
    elif not jobs:
        cli.note("There is no such job.")
    else:
        titles = ("Job", "Task", "Queue", "Status", "Failed tries", "Deferred", "Not before", "Ended", "Tenant", "Why")
        tables.rows(titles, map(_row, jobs))
        if len(jobs) == limit:
            cli.note(f"There may be more: --limit {limit * 10}")


def _row(job: Job) -> tuple[Any, ...]:
    return (
        job.id, job.task, job.queue, job.status, job.tries, job.deferred_at, job.scheduled_at, job.ended_at,
        job.tenant_id, job.reason,
    )  # fmt: skip


@command.command()
@click.argument("ids", metavar="ID...", type=click.IntRange(1), nargs=-1, required=True)
@cli.as_json
@cli.asynchronous
async def retry(ids: Sequence[int], as_json: bool) -> None:
    """Have jobs that failed or were called off done after all, all or none, with all their tries.

    \b
    Example: bellbird jobs retry 17 18
    """
    ids = list(dict.fromkeys(ids))
    async with cli.bellbird() as bellbird, bellbird.engine.system(OPERATOR) as tx:
        await queue.retry(tx, ids)
    if as_json:
        tables.json({"retried": ids})
    else:
        cli.note(f"{_counted(ids)} in the queue again.")


@command.command()
@click.argument("ids", metavar="ID...", type=click.IntRange(1), nargs=-1, required=True)
@cli.as_json
@cli.asynchronous
async def cancel(ids: Sequence[int], as_json: bool) -> None:
    """Call jobs off, all or none: those that wait are not begun, those that run are interrupted.

    \b
    Example: bellbird jobs cancel 17 18
    """
    ids = list(dict.fromkeys(ids))
    async with cli.bellbird() as bellbird, bellbird.engine.system(OPERATOR) as tx:
        running = await queue.cancel(tx, ids)
    if as_json:
        tables.json({"cancelled": [id for id in ids if id not in running], "interrupted": running})
    else:
        cli.note(f"{_counted(ids)} called off." + (" Those that run are told within seconds." if running else ""))


def _counted(ids: Sequence[int]) -> str:
    return f"Job {ids[0]} is" if len(ids) == 1 else f"{len(ids):,} jobs are"
