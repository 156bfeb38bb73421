"""A worker as a process, with a few tasks to be done in tests: `python -m tests.entrypoints.worker_process`.

What is done is written to a table of the test's own, `done(job, tries)`, each time it is done.
"""

import asyncio

import psycopg

from bellbird.commands.worker import command
from bellbird.core import jobs
from bellbird.core.jobs import JobContext


async def note(context: JobContext) -> None:
    async with await context.engine.connect("bellbird_system") as connection:
        await connection.execute("insert into done (job, tries) values (%s, %s)", [context.id, context.tries])


@jobs.task("test.note")
async def note_down(context: JobContext, seconds: float = 0.0) -> None:
    await asyncio.sleep(seconds)
    await note(context)


@jobs.task("test.slow")
async def slow(context: JobContext, seconds: float) -> None:
    await note(context)
    await asyncio.sleep(seconds)


@jobs.task("test.refuses", retries=1, first_pause=0.05)
async def refuses(context: JobContext) -> None:
    await note(context)
    raise psycopg.errors.UniqueViolation("Key (email)=(ann@example.com) already exists.")


if __name__ == "__main__":
    command()
