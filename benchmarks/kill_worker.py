"""Kill workers at random, again and again, and see that nothing is lost: `python -m benchmarks.kill_worker`.

A database of its own on the embedded server; workers that get SIGKILL after a random time, while they do

- jobs of up to a tenth of a second, each of which writes down that it was done;
- operations that assign contacts, one started before each kill: each contact has to be assigned exactly once;
- a hook that notes every event of a contact: each at least once, and in order where nothing comes again.

In the end the log is verified as well.
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
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psycopg

from bellbird.app import Bellbird
from bellbird.core import ids, migrate
from bellbird.core.actors import Actor
from bellbird.core.settings import Settings
from bellbird.features import contacts, operations, tenants
from bellbird.features.contacts import NewContact
from bellbird.features.operations import NewOperation

JOBS_LEFT = (
    "select count(*) from procrastinate.procrastinate_jobs where task_name = 'bench.note' and status <> 'succeeded'"
)
OPERATIONS_LEFT = "select count(*) from operations where state <> 'completed'"
EVENTS_LEFT = """
select count(*) from events e where e.type like 'contact.%'
and not exists (select from seen s where s.event = e.id)
"""
TENANTS = 20
ANYBODY = Actor.user(UUID("0192f0c0-0000-7000-8000-00000000a117"))


def main() -> None:
    """Run it with the numbers that are asked for, and say what came of it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--jobs", type=int, default=5_000)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--contacts", type=int, default=300, help="of each of the 20 tenants")
    options.add_argument("--seed", type=int, default=1)
    asked = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="bellbird-kill-") as folder:
        asyncio.run(run(Path(folder), asked, random.Random(asked.seed)))


async def run(folder: Path, asked: argparse.Namespace, chance: random.Random) -> None:
    """Raises AssertionError when anything is lost, or done twice that may not be."""
    async with Bellbird(Settings(data_dir=folder)) as bellbird:
        conninfo = bellbird.conninfo()
        assert migrate.current(conninfo) == migrate.latest()
        with psycopg.connect(conninfo, autocommit=True) as connection:
            _prepare(connection, asked.jobs)
            there = [await _tenant(bellbird, f"t{number}", asked.contacts) for number in range(TENANTS)]
            # The consumer begins where the log ends when it is first run; here, before everything.
            with worker(folder) as process:
                _wait(connection, "select 1 - sign(count(*)) from consumers", 60)
                await asyncio.sleep(1)
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            connection.execute("update consumers set tx = '0', id = '00000000-0000-0000-0000-000000000000'")
            began = time.monotonic()
            for killed in range(asked.kills):
                with worker(folder) as process:
                    await asyncio.sleep(0.7 + chance.random())
                    await _start(bellbird, there[killed % TENANTS], killed)
                    await asyncio.sleep(0.8 + 1.5 * chance.random())
                    process.send_signal(signal.SIGKILL)
                left = [_count(connection, each) for each in (JOBS_LEFT, OPERATIONS_LEFT, EVENTS_LEFT)]
                print(f"\r{killed + 1} kills; {left} jobs, operations, events left  ", end="", file=sys.stderr)
            with worker(folder) as process:
                for left_of in (JOBS_LEFT, OPERATIONS_LEFT, EVENTS_LEFT):
                    _wait(connection, left_of, 600)
                process.send_signal(signal.SIGTERM)
                process.wait(60)
            _report(connection, asked, time.monotonic() - began)
    for command in ("seal", "verify"):
        arguments = [sys.executable, "-m", "bellbird", "audit", command]
        await asyncio.to_thread(subprocess.run, arguments, env=_env(folder), check=True)


def _prepare(connection: "psycopg.Connection[tuple[int]]", jobs: int) -> None:
    connection.execute("create table done (job bigint, tries integer)")
    connection.execute("create table seen (n bigserial, tenant uuid, tx bigint, event uuid)")
    connection.execute("create index on seen (event)")
    connection.execute("grant insert on done, seen to bellbird_system")
    connection.execute("grant usage on sequence seen_n_seq to bellbird_system")
    connection.execute(
        "select procrastinate.defer_job(null, 'bench.note', 'default', '{}', -1, null, null, null)"
        " from generate_series(1, %s)", [jobs],
    )  # fmt: skip


async def _tenant(bellbird: Bellbird, slug: str, size: int) -> UUID:
    async with bellbird.system(Actor.system()) as system:
        tenant = await tenants.create(system, slug)
    for number in range(0, size, 100):
        async with bellbird.tenant(tenant.id, ANYBODY) as tx:
            for each in range(number, min(number + 100, size)):
                await contacts.create(tx, NewContact(first_name=f"Contact {each}"))
    return tenant.id


async def _start(bellbird: Bellbird, tenant_id: UUID, number: int) -> None:
    """An operation that gives everybody's contacts to somebody else."""
    async with bellbird.tenant(tenant_id, ANYBODY) as tx:
        rows = await tx.all("select owner_id from contacts where tenant_id = $1 limit 1", tenant_id)
        unfinished = await tx.all("select 1 from operations where tenant_id = $1 and state <> 'completed'", tenant_id)
        if unfinished:  # with two at once, it would be a matter of luck who gets what
            return
        owner = rows[0][0]
        params = {"from": str(owner) if owner else None, "to": str(ids.uuid7(tx.clock.now()))}
        await operations.start(tx, NewOperation(kind="contacts.assign", params=params))


REPORT = {
    "jobs done": "select count(distinct job) from done",
    "of them more than once": "select count(*) from (select from done group by job having count(*) > 1) twice",
    "operations completed": "select count(*) from operations where state = 'completed'",
    "contacts not assigned exactly once by each": """
        select count(*) from contacts c where version <> 1 + (
          select count(*) from operations o where o.tenant_id = c.tenant_id)""",
    "operations with a contact twice or not at all": """
        select count(*) from operations o where (done, total, error_count) <> (%(size)s, %(size)s, 0) or %(size)s <> (
          select count(distinct e.contact_id) from events e
          where e.tenant_id = o.tenant_id and e.request_id = o.id::text and e.type = 'contact.updated'
          having count(*) = count(distinct e.contact_id))""",
    "events of contacts": "select count(*) from events where type like 'contact.%%'",
    "events noted": "select count(distinct event) from seen",
    "times that one was noted again": "select count(*) - count(distinct event) from seen",
    "events noted out of order for the first time": """
        select count(*) from (
          select tx, event, lag((tx, event)) over (partition by tenant order by n) as before
          from (select distinct on (event) * from seen order by event, n) firsts) ordered
        where (tx, event) < before""",
}
NOTHING = ("contacts not assigned exactly once by each", "operations with a contact twice or not at all",
           "events noted out of order for the first time")  # fmt: skip


def _report(connection: "psycopg.Connection[tuple[int]]", asked: argparse.Namespace, seconds: float) -> None:
    print(f"\n{asked.kills} kills in {seconds:.0f} s")
    found = {}
    for name, query in REPORT.items():
        found[name] = _count(connection, query, {"size": asked.contacts})
        print(f"{found[name]:>8,} {name}")
    assert found["jobs done"] == asked.jobs, "a job was lost"
    assert found["events noted"] == found["events of contacts"], "an event was lost"
    assert not any(found[name] for name in NOTHING)


def worker(folder: Path) -> "subprocess.Popen[bytes]":
    """A worker with the task `bench.note`, and a hook on whatever happens to contacts."""
    command = [sys.executable, "-m", "benchmarks.kill_worker", "--as-worker"]
    return subprocess.Popen(command, env=_env(folder), stderr=subprocess.DEVNULL)


def _env(folder: Path) -> dict[str, str]:
    return {**os.environ, "BELLBIRD_DATA_DIR": str(folder)}


def work() -> None:
    """The worker's side."""
    from bellbird.core import jobs as queue
    from bellbird.core.events import Logged
    from bellbird.core.jobs import JobContext

    shared: list[psycopg.AsyncConnection[tuple[object, ...]]] = []
    bellbird = Bellbird()

    async def connection() -> psycopg.AsyncConnection[tuple[object, ...]]:
        if not shared:
            shared.append(await bellbird.engine.connect("bellbird_system"))
        return shared[0]

    @queue.task("bench.note")
    async def note(context: JobContext) -> None:
        await asyncio.sleep(random.random() / 10)
        await (await connection()).execute("insert into done values (%s, %s)", [context.id, context.tries])

    @bellbird.on("contact.*", name="bench.see")
    async def see(event: Logged) -> None:
        about = [event.tenant_id, event.tx, event.id]
        await (await connection()).execute("insert into seen (tenant, tx, event) values (%s, %s, %s)", about)

    async def until_told() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        async with bellbird:
            await bellbird.work(stop)

    asyncio.run(until_told())


def _count(connection: "psycopg.Connection[tuple[int]]", query: str, params: object = None) -> int:
    row = connection.execute(query.encode(), params).fetchone()  # type: ignore[arg-type]
    return row[0] if row else 0


def _wait(connection: "psycopg.Connection[tuple[int]]", query: str, seconds: float) -> None:
    """Until the count is 0."""
    until = time.monotonic() + seconds
    while left := _count(connection, query):
        assert time.monotonic() < until, f"{left} are left: {query}"
        time.sleep(0.2)


def _main(argv: Sequence[str]) -> None:
    if [*argv] == ["--as-worker"]:
        work()
    else:
        main()


if __name__ == "__main__":
    _main(sys.argv[1:])
