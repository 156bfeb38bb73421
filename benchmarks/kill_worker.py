"""Kill workers at random, again and again, and see that no job is lost: `python -m benchmarks.kill_worker`.

A database of its own on the embedded server, jobs of up to a tenth of a second, workers that get SIGKILL after a random
time.
Each job writes down that it was done; in the end each is there, and those done twice are counted.
"""

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from bellbird.core import migrate, postgres

LEFT = "select count(*) from procrastinate.procrastinate_jobs where task_name = 'bench.note' and status <> 'succeeded'"


def main() -> None:
    """Run it with the numbers that are asked for, and say what came of it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--jobs", type=int, default=5_000)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bellbird-kill-") as folder:
        server = postgres.start(Path(folder))
        try:
            run(Path(folder), server.conninfo(), asked.jobs, asked.kills, random.Random(asked.seed))
        finally:
            server.release()


def run(folder: Path, conninfo: str, jobs: int, kills: int, chance: random.Random) -> None:
    """Raises AssertionError when a job is lost."""
    migrate.upgrade(conninfo)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("create table done (job bigint, tries integer)")
        connection.execute("grant insert on done to bellbird_system")
        connection.execute(
            "select procrastinate.defer_job(null, 'bench.note', 'default', '{}', 0, null, null, null)"
            " from generate_series(1, %s)", [jobs],
        )  # fmt: skip
        began, killed = time.monotonic(), 0
        while killed < kills:
            with worker(folder) as process:
                time.sleep(1.5 + 2 * chance.random())
                process.send_signal(signal.SIGKILL)
            killed += 1
            left = _count(connection, LEFT)
            print(f"\r{killed} kills, {left:,} jobs left ", end="", file=sys.stderr)
            if left == 0:
                break
        with worker(folder) as process:
            while _count(connection, LEFT) and time.monotonic() - began < 3600:
                time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        done, several = _count(connection, "select count(distinct job) from done"), _count(connection, TWICE)
        print(f"\n{jobs:,} jobs, {killed} kills: {done:,} done, {several:,} of them more than once,"
              f" in {time.monotonic() - began:.0f} s")  # fmt: skip
        assert done == jobs, "a job was lost"


TWICE = "select count(*) from (select job from done group by job having count(*) > 1) twice"


def worker(folder: Path) -> "subprocess.Popen[bytes]":
    """A worker with the task `bench.note`."""
    env = {**os.environ, "BELLBIRD_DATA_DIR": str(folder)}
    command = [sys.executable, "-m", "benchmarks.kill_worker", "--as-worker"]
    return subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)


def work() -> None:
    """The worker's side."""
    from bellbird.commands.worker import command
    from bellbird.core import jobs as queue
    from bellbird.core.jobs import JobContext

    shared: list[psycopg.AsyncConnection[tuple[object, ...]]] = []

    @queue.task("bench.note")
    async def note(context: JobContext) -> None:
        await asyncio.sleep(random.random() / 10)
        if not shared:
            shared.append(await context.engine.connect("bellbird_system"))
        await shared[0].execute("insert into done values (%s, %s)", [context.id, context.tries])

    command([])


def _count(connection: "psycopg.Connection[tuple[int]]", query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row
    return row[0]


if __name__ == "__main__":
    if sys.argv[1:] == ["--as-worker"]:
        work()
    else:
        main()
