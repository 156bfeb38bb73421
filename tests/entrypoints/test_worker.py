"""The worker: jobs are done at least once, whatever becomes of whoever does them."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.app import Bellbird
from bellbird.core import jobs, queue
from bellbird.core.actors import Actor
from bellbird.core.errors import Conflict, NotFound
from bellbird.core.jobs import JobContext
from bellbird.core.settings import Settings
from bellbird.entrypoints import worker
from bellbird.features import tenants
from tests.command_line import SECRET, Run, cli, cli_settings  # noqa: F401 - fixtures
from tests.servers import Cluster, wait_for

REPOSITORY = Path(__file__).parents[2]
OPERATOR = Actor.system("test")


@pytest.fixture
def tasks() -> Iterator[None]:
    """What a test registers is gone after it, and only that is there."""
    before = dict(jobs.TASKS), dict(jobs.PERIODIC)
    jobs.TASKS.clear()
    jobs.PERIODIC.clear()
    yield
    for registry, kept in zip((jobs.TASKS, jobs.PERIODIC), before, strict=True):
        registry.clear()
        registry.update(kept)


@pytest.fixture
async def opened(clone: str, tasks: None) -> AsyncIterator[Bellbird]:
    """Bellbird over a database of the test's own."""
    settings = Settings(
        _env_file=None, database_url=clone, secret=SECRET, worker_heartbeat=0.5, worker_stop_timeout=1.0
    )  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:
        yield bellbird


@asynccontextmanager
async def working(bellbird: Bellbird, **options: Any) -> AsyncIterator[asyncio.Event]:
    """A worker in this process, stopped in the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(worker.work(bellbird.engine, bellbird.settings, stop, **options))
    try:
        yield stop
    finally:
        stop.set()
        await asyncio.wait_for(task, 20)


async def until(condition: Callable[[], Any], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to it in time"
        await asyncio.sleep(0.02)


@pytest.fixture
def look(clone: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """`look(sql)`: what the owner sees."""
    with psycopg.connect(clone, autocommit=True) as connection:
        yield lambda sql, *params: connection.execute(sql.encode(), params or None).fetchall()


STATUS = "select status::text, attempts from procrastinate.procrastinate_jobs order by id"


async def test_what_a_tenant_defers_is_done(opened: Bellbird, look: Any) -> None:
    done: list[tuple[JobContext, UUID]] = []

    @jobs.task("test.do")
    async def do(context: JobContext, operation_id: UUID) -> None:
        done.append((context, operation_id))

    async with opened.engine.system(OPERATOR) as tx:
        tenant = await tenants.create(tx, "acme")
    operation = uuid4()
    async with working(opened):
        await until(lambda: look("select 1 from pg_stat_activity where query ilike 'listen %procrastinate%'"))
        async with opened.tenant("acme", OPERATOR) as mine:
            mine.defer("test.do", operation_id=operation)
        began = time.monotonic()
        await until(lambda: done)
        assert time.monotonic() - began < 0.9, "a notification was sent: nobody waits for the next look"
        await until(lambda: look(STATUS) == [("succeeded", 1)])
    ((context, given),) = done
    assert (given, context.tenant_id, context.tries, context.task) == (operation, tenant.id, 1, "test.do")
    assert look("select count(*) from procrastinate.procrastinate_workers") == [(0,)]


async def test_a_job_that_fails_is_tried_again_until_its_tries_are_used_up(opened: Bellbird, look: Any) -> None:
    seen: list[int] = []

    @jobs.task("test.fail", retries=2, first_pause=0.01)
    async def fail(context: JobContext) -> None:
        seen.append(context.tries)
        raise NotFound("There is no such thing.")

    @jobs.task("test.recovers", first_pause=0.01)
    async def recovers(context: JobContext) -> None:
        if context.tries < 3:
            raise ValueError("ann@example.com")

    async with opened.engine.system(OPERATOR) as tx:
        tx.defer(None, "test.fail")
        tx.defer(None, "test.recovers")
    async with working(opened):
        await until(lambda: look(STATUS) == [("failed", 3), ("succeeded", 3)])
    assert seen == [1, 2, 3]
    async with opened.engine.system(OPERATOR) as tx:
        succeeded, failed = await queue.page(tx)
    assert failed.reason == "not_found: There is no such thing."
    assert succeeded.reason is None
    ((why,),) = look("select reason from procrastinate.job_failures where reason like 'V%'")
    assert why.startswith("ValueError at entrypoints/test_worker.py:")


async def test_an_operator_has_failed_jobs_done_again_and_calls_others_off(opened: Bellbird, look: Any) -> None:
    fails = [True]

    @jobs.task("test.fail", retries=0)
    async def fail(context: JobContext) -> None:
        if fails[0]:
            raise ValueError

    @jobs.task("test.long")
    async def long(context: JobContext) -> None:
        await asyncio.sleep(60)

    async with opened.engine.system(OPERATOR) as tx:
        failing, running, waiting = (
            tx.defer(None, "test.fail"), tx.defer(None, "test.long", lock="l"), tx.defer(None, "test.long", lock="l")
        )  # fmt: skip
    first, second, third = (each.rows[0][0] for each in (failing, running, waiting))
    async with working(opened):
        await until(lambda: look(STATUS) == [("failed", 1), ("doing", 0), ("todo", 0)])
        fails[0] = False
        async with opened.engine.system(OPERATOR) as tx:
            await queue.retry(tx, [first])
            assert await queue.cancel(tx, [second, third]) == [second]
        await until(lambda: look(STATUS) == [("succeeded", 1), ("aborted", 1), ("cancelled", 0)])
    async with opened.engine.system(OPERATOR) as tx:
        with pytest.raises(Conflict, match=f"{first} is succeeded"):
            await queue.retry(tx, [first])
        with pytest.raises(NotFound, match="no job 99"):
            await queue.cancel(tx, [99])


async def test_told_to_stop_it_finishes_what_it_can_and_gives_the_rest_back(opened: Bellbird, look: Any) -> None:
    begun: list[str] = []

    @jobs.task("test.short")
    async def short(context: JobContext) -> None:
        begun.append("short")
        await asyncio.sleep(0.4)

    @jobs.task("test.long")
    async def long(context: JobContext) -> None:
        begun.append("long")
        await asyncio.sleep(60)

    async with opened.engine.system(OPERATOR) as tx:
        for each in ("test.short", "test.long"):
            tx.defer(None, each)
    async with working(opened) as stop:
        await until(lambda: len(begun) == 2)
        stop.set()
        await asyncio.sleep(0.2)  # a question for work that is on its way when it is told to stop may find some
        async with opened.engine.system(OPERATOR) as tx:
            tx.defer(None, "test.short")
    assert look(STATUS) == [("succeeded", 1), ("todo", 0), ("todo", 0)], "an interruption is no failed try"
    assert look("select count(*) from procrastinate.procrastinate_workers") == [(0,)]


async def test_a_job_of_a_newer_version_is_left_to_a_newer_worker(opened: Bellbird, look: Any) -> None:
    async with opened.engine.system(OPERATOR) as tx:
        tx.defer(None, "test.unknown")
    async with working(opened):
        await until(lambda: look(STATUS) == [("todo", 1)])
    assert look("select scheduled_at > now() + interval '50 s' from procrastinate.procrastinate_jobs") == [(True,)]


async def test_a_job_that_is_deferred_while_its_like_runs_is_done_after_it(opened: Bellbird, look: Any) -> None:
    """Also where the first one goes back to the queue meanwhile: both wait then."""
    running, go = asyncio.Event(), asyncio.Event()

    @jobs.task("test.alone", first_pause=0.01)
    async def alone(context: JobContext) -> None:
        running.set()
        await go.wait()
        if context.tries == 1:
            raise ValueError

    async with opened.engine.system(OPERATOR) as tx:
        tx.defer(None, "test.alone", lock="x", queueing_lock="x")
    async with working(opened):
        await running.wait()
        async with opened.engine.system(OPERATOR) as tx:
            tx.defer(None, "test.alone", lock="x", queueing_lock="x")
        go.set()
        await until(lambda: look(STATUS) == [("succeeded", 2), ("succeeded", 2)])


async def test_periodic_jobs_come_once_however_many_workers_there_are(opened: Bellbird, look: Any) -> None:
    times: list[JobContext] = []

    @jobs.periodic(lambda settings: f"*/{round(settings.worker_heartbeat * 2)} * * * *", "test.often")
    async def often(context: JobContext) -> None:
        times.append(context)

    async with working(opened), working(opened):
        await until(lambda: times)
        await asyncio.sleep(0.3)
    assert 1 <= len(times) <= 2, "two if a minute has just begun"
    assert times[0].tenant_id is None


async def test_a_worker_only_looks_after_the_queues_it_is_given(opened: Bellbird, look: Any) -> None:
    @jobs.task("test.do")
    async def do(context: JobContext) -> None: ...

    async with opened.engine.system(OPERATOR) as tx:
        tx.defer(None, "test.do")
        tx.defer(None, "test.do", queue="slow")
    async with working(opened, queues=["slow"]):
        await until(lambda: look(STATUS) == [("todo", 0), ("succeeded", 1)])


async def test_it_goes_on_when_the_database_has_ended_its_connections(opened: Bellbird, clone: str, look: Any) -> None:
    done: list[int] = []

    @jobs.task("test.do")
    async def do(context: JobContext) -> None:
        done.append(context.id)
        if len(done) == 1:
            await asyncio.sleep(0.5)

    async with working(opened):
        async with opened.engine.system(OPERATOR) as tx:
            tx.defer(None, "test.do")
        await until(lambda: done)
        look("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()"
             " and pid <> pg_backend_pid()")  # fmt: skip
        defer(clone, "test.do")
        await until(lambda: look(STATUS) == [("succeeded", 1), ("succeeded", 1)])


@contextmanager
def process(clone: str, **settings: str) -> Iterator["subprocess.Popen[str]"]:
    """A worker process with the tasks of worker_process.py."""
    env = {**os.environ, "BELLBIRD_DATABASE_URL": clone, "BELLBIRD_SECRET": SECRET, "BELLBIRD_WORKER_HEARTBEAT": "1"}
    env |= {f"BELLBIRD_{name.upper()}": value for name, value in settings.items()}
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.entrypoints.worker_process"],
        env=env, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


@pytest.fixture
def done(look: Any, clone: str) -> Callable[[], list[tuple[int, int]]]:
    """Which jobs were done, once for each time."""
    with psycopg.connect(clone, autocommit=True) as connection:
        connection.execute("create table done (job bigint, tries integer)")
        connection.execute("grant insert on done to bellbird_system")
    return lambda: look("select job, tries from done order by job")


def defer(clone: str, task: str, times: int = 1, args: str = "{}") -> None:
    with psycopg.connect(clone, autocommit=True) as connection:
        connection.execute(
            "select procrastinate.defer_job(null, %s, 'default', %s::jsonb, 0, null, null, null)"
            " from generate_series(1, %s)", [task, args, times],
        )  # fmt: skip


OURS = "select status::text, attempts from procrastinate.procrastinate_jobs where task_name like 'test.%' order by id"


def test_what_a_killed_worker_was_doing_is_picked_up_at_once(clone: str, done: Any, look: Any) -> None:
    defer(clone, "test.slow", args='{"seconds": 3600}')
    with process(clone, worker_heartbeat="10") as first:
        wait_for(done, "the job's beginning")
        first.kill()
        first.wait()
    assert look(OURS) == [("doing", 0)]
    began = time.monotonic()
    with process(clone, worker_heartbeat="10", worker_stop_timeout="0.2") as second:
        wait_for(lambda: len(done()) == 2, "somebody else to begin it anew")
        assert time.monotonic() - began < 10, "long before the heartbeat would have told"
        second.send_signal(signal.SIGTERM)
        _, err = second.communicate(timeout=20)
    assert second.returncode == 0, err
    assert "The worker has stopped." in err
    assert done() == [(1, 1), (1, 2)]
    assert look(OURS) == [("todo", 1)], "given back, as it was not done in time"


def test_no_job_is_lost_when_workers_are_killed_again_and_again(clone: str, done: Any, look: Any) -> None:
    count = 300
    defer(clone, "test.note", count, '{"seconds": 0.02}')
    end = time.monotonic() + 60
    for _ in range(4):
        before = len(done())
        with process(clone) as each:
            while len(done()) < before + 25 and len({job for job, _ in done()}) < count:
                assert time.monotonic() < end
                time.sleep(0.01)
            each.kill()
    with process(clone, worker_stop_timeout="5") as last:
        wait_for(lambda: {status for status, _ in look(OURS)} == {"succeeded"}, "the rest to be done", seconds=40)
        last.send_signal(signal.SIGTERM)
        last.wait(20)
    assert {job for job, _ in done()} == set(range(1, count + 1)) | {job for job, _ in done()}
    assert len({job for job, _ in done()}) == count
    assert len(done()) <= count + 4 * 4, "done twice is only what a killed worker was doing"


def test_the_reason_of_a_failure_quotes_nobodys_data(clone: str, done: Any, look: Any, cli: Run) -> None:
    defer(clone, "test.refuses")
    with process(clone) as each:
        wait_for(lambda: look(OURS) == [("failed", 2)], "its tries to be used up")
        each.send_signal(signal.SIGTERM)
        _, err = each.communicate(timeout=20)
    assert "a job failed for good" in err
    (job,) = cli("jobs", "list", "--status", "failed", "--json").data["data"]
    assert job["reason"].startswith("UniqueViolation 23505 at entrypoints/worker_process.py:")
    assert "ann@example.com" not in err + str(job)
    assert "test.refuses" in cli("jobs", "list").out
    assert f"Job {job['id']} is in the queue again." in cli("jobs", "retry", job["id"]).err
    assert cli("jobs", "cancel", job["id"], "--json").data == {"cancelled": [job["id"]], "interrupted": []}
    assert "There is no job 77" in cli("jobs", "retry", "77", fails=1).err
    assert f"{job['id']} is cancelled" in cli("jobs", "cancel", job["id"], fails=1).err


async def test_it_waits_for_a_database_that_is_restarted(own_cluster: Cluster, tasks: None) -> None:
    """What was done meanwhile is not done again, and what is deferred afterwards is done."""
    done: list[int] = []

    @jobs.task("test.do")
    async def do(context: JobContext) -> None:
        done.append(context.id)
        if len(done) == 1:
            await asyncio.to_thread(own_cluster.stop)
            await asyncio.sleep(0.5)

    settings = Settings(
        _env_file=None, database_url=own_cluster.conninfo("bellbird"), secret=SECRET, worker_heartbeat=0.5
    )  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:
        async with bellbird.engine.system(OPERATOR) as tx:
            first = tx.defer(None, "test.do")
        async with working(bellbird):
            await until(lambda: own_cluster.pid is None)
            await asyncio.sleep(1.0)
            await asyncio.to_thread(own_cluster.start)
            async with bellbird.engine.system(OPERATOR) as tx:
                second = tx.defer(None, "test.do")
            await until(lambda: len(done) > 1)
            both = [pending.rows[0][0] for pending in (first, second)]
            asked = "select status::text from procrastinate.procrastinate_jobs where id = any(%s)"
            with psycopg.connect(own_cluster.conninfo("bellbird"), autocommit=True) as connection:
                await until(lambda: connection.execute(asked, [both]).fetchall() == [("succeeded",)] * 2)
    assert done == both
