"""Do the queue's jobs, and what else works beside requests."""

import asyncio
import logging.config
import signal

import click

from bellbird.app import Bellbird
from bellbird.core.settings import Settings, load
from bellbird.entrypoints import cli


@click.command()
@click.option(
    "--concurrency", type=click.IntRange(1, 100), help="How many jobs at a time; default: BELLBIRD_WORKER_CONCURRENCY."
)
@click.option("--queues", help="Only the jobs of these queues, separated by commas; default: of all.")
def command(concurrency: int | None, queues: str | None) -> None:
    """Do the queue's jobs, until Ctrl-C or SIGTERM. Any number of workers share the work.

    Told to stop, it begins nothing new and finishes what it has begun; what takes longer than
    BELLBIRD_WORKER_STOP_TIMEOUT goes back to the queue. Told a second time, it ends at once.

    \b
    Example: bellbird worker --concurrency 8 --queues default,slow
    """
    settings = load()
    names = None if queues is None else [name.strip() for name in queues.split(",") if name.strip()]
    if names == []:
        raise click.UsageError("--queues names no queue: separate them by commas, or leave it out for all.")
    _log(settings)
    asyncio.run(_work(settings, names, concurrency))
    cli.note("The worker has stopped.")


def _log(settings: Settings) -> None:
    from bellbird.core import logs

    logging.config.dictConfig(logs.config(settings.log_level, settings.log_format, access=False))


async def _work(settings: Settings, queues: list[str] | None, concurrency: int | None) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def ask_to_stop() -> None:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
        stop.set()

    async with Bellbird(settings) as bellbird:
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, ask_to_stop)
        of = f"the queues {', '.join(queues)}" if queues else "every queue"
        cli.note(f"The worker does the jobs of {of}. Ctrl-C stops it.")
        await bellbird.work(stop, queues=queues, concurrency=concurrency)
