"""The worker: does the queue's jobs, by Procrastinate's worker, and runs what else works beside requests.

What it adds to Procrastinate's: the jobs of a killed worker are picked up at once, and those it must interrupt to stop
go back to the queue; a database that is away is waited for; a job of a newer version is left to a newer worker.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg
from procrastinate import App, PsycopgConnector, exceptions
from procrastinate import worker as theirs
from procrastinate.job_context import AbortReason
from procrastinate.job_context import JobContext as TheirContext
from procrastinate.jobs import Job, Status
from procrastinate.manager import JobManager
from procrastinate.retry import BaseRetryStrategy, RetryDecision

from bellbird.core import jobs, presence, sweeps
from bellbird.core.engine import SYSTEM_ROLE, Engine
from bellbird.core.errors import BellbirdError, NotSignedIn
from bellbird.core.jobs import JobContext, Task
from bellbird.core.settings import Settings

# How often it looks by itself, should a notification be lost.
POLL: Final = 1.0

# A periodic job that no worker was there for is made up for within this time.
MAKE_UP_FOR: Final = timedelta(days=1)

# A job that this version does not know is offered again after a minute, to a worker that does, for about a day.
UNKNOWN_PAUSE: Final = timedelta(minutes=1)
UNKNOWN_TRIES: Final = 1500

# For so long the outcome of a job is kept at hand while the database does not take it.
INSIST: Final = 60.0

# A job that does not even end when it is interrupted is left behind.
LAST_MOMENT: Final = 5.0

log = logging.getLogger(__name__)

Result = TypeVar("Result")
Beside = Callable[[asyncio.Event], Awaitable[None]]


async def work(
    engine: Engine, settings: Settings, stop: asyncio.Event, *, queues: Sequence[str] | None = None,
    concurrency: int | None = None, beside: Sequence[Beside] = (),
) -> None:  # fmt: skip
    """Do jobs until `stop`, then finish what was begun; what takes longer than BELLBIRD_WORKER_STOP_TIMEOUT goes back.

    `beside` is run meanwhile and told of the same `stop`; whatever fails is begun anew.
    """

    async def queue() -> None:
        await Worker(engine, settings, queues, concurrency or settings.worker_concurrency).run(stop)

    def on_its_own(run: Beside) -> Callable[[], Coroutine[Any, Any, None]]:
        async def once() -> None:
            await run(stop)

        return once

    async with asyncio.TaskGroup() as group:
        for each in (queue, *map(on_its_own, beside)):
            group.create_task(_again_and_again(each, stop))


async def _again_and_again(run: Callable[[], Coroutine[Any, Any, None]], stop: asyncio.Event) -> None:
    pause = 0.1
    while not stop.is_set():
        began = asyncio.get_running_loop().time()
        try:
            await run()
        except Exception as error:
            # What is lost with the database is found again with it: that is no fault of the worker's.
            log.warning("the worker begins anew", extra={"code": type(error).__name__}, exc_info=error)
        else:
            if not stop.is_set():
                log.warning("the worker begins anew")
        if asyncio.get_running_loop().time() - began > 10:
            pause = 0.1
        await _stopped(stop, pause)
        pause = min(pause * 2, 5.0)


async def _stopped(stop: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)


class Worker:
    """One run of Procrastinate's worker over the tasks that are registered."""

    def __init__(self, engine: Engine, settings: Settings, queues: Sequence[str] | None, concurrency: int) -> None:
        self._engine = engine
        self._settings = settings
        self._connector = PsycopgConnector(
            conninfo=engine.direct_conninfo,
            kwargs={"application_name": "bellbird worker", "connect_timeout": 5, "prepare_threshold": None},
            min_size=1,
            max_size=min(concurrency, 4) + 1,
            reconnect_timeout=2,
            timeout=3,
            configure=_configure,
        )
        app = App(connector=self._connector, periodic_defaults={"max_delay": MAKE_UP_FOR.total_seconds()})
        self._manager = Manager(engine, self._connector)
        app.job_manager = self._manager
        for task in jobs.TASKS.values():
            self._register(app, task)
        self._app = app
        self._worker: Any = theirs.Worker(
            app,
            queues=queues,
            concurrency=concurrency,
            fetch_job_polling_interval=POLL,
            shutdown_graceful_timeout=settings.worker_stop_timeout,
            update_heartbeat_interval=settings.worker_heartbeat,
            install_signal_handlers=False,
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`, or until the database is lost."""
        async with self._app.open_async():
            working = asyncio.create_task(self._worker.run())
            picking_up = asyncio.create_task(presence.keep_picking_up(self._engine, self._settings.worker_heartbeat))
            stopping = asyncio.create_task(stop.wait())
            try:
                await asyncio.wait({working, stopping, picking_up}, return_when=asyncio.FIRST_COMPLETED)
                self._worker.stop()
                done, _ = await asyncio.wait({working}, timeout=self._settings.worker_stop_timeout + LAST_MOMENT)
                if not done:
                    log.error("a job did not end when it was interrupted; it is left behind")
                for task in done | ({picking_up} if picking_up.done() else set()):
                    task.result()
            finally:
                for task in (working, picking_up, stopping):
                    task.cancel()
                await self._manager.leave()

    def _register(self, app: App, task: Task) -> None:
        periodic = jobs.PERIODIC.get(task.name)

        async def run(context: TheirContext, /, **given: Any) -> None:
            if periodic is not None:
                given.pop("timestamp", None)
            await self._do(task, context, given)

        alone = task.name if periodic else None
        registered = app.task(
            name=task.name, queue=task.queue, pass_context=True, retry=Retry(self._manager, task),
            lock=alone, queueing_lock=alone,
        )(run)  # fmt: skip
        if periodic is not None:
            deferred: Any = app.periodic(cron=periodic.cron(self._settings))
            deferred(registered)

    async def _do(self, task: Task, context: TheirContext, given: dict[str, Any]) -> None:
        id, tries = context.job.id or 0, context.job.attempts + 1
        tenant = given.get("tenant_id")
        ours = JobContext(self._engine, self._settings, id, task.name, tries, UUID(tenant) if tenant else None)
        about = {"job": id, "task": task.name, "tries": tries}
        began = asyncio.get_running_loop().time()
        try:
            await task.run(ours, **task.arguments(given))
        except asyncio.CancelledError:
            if context.abort_reason() is AbortReason.SHUTDOWN:
                log.warning("a job is interrupted and goes back to the queue", extra=about)
                self._manager.interrupted.add(id)
                raise Interrupted from None
            log.warning("a job was called off", extra=about)
            raise exceptions.JobAborted from None
        except Exception as error:
            if isinstance(error, NotSignedIn) and tenant and not await sweeps.is_there(self._engine, UUID(tenant)):
                log.info("a job's tenant is gone", extra=about)
                return
            what = "a job failed and is tried again" if tries <= task.retries else "a job failed for good"
            log.error(what, extra=about, exc_info=error)
            await self._manager.remember(id, reason(error))
            raise
        took = round((asyncio.get_running_loop().time() - began) * 1000)
        log.info("did a job", extra={**about, "duration_ms": took})


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    # For the session: the connection is a direct one. Procrastinate's statements name no schema.
    await connection.execute(f"set role {SYSTEM_ROLE}".encode())
    await connection.execute("set search_path to procrastinate, pg_catalog")
    await connection.commit()


class Interrupted(Exception):
    """The worker had to stop before the job was done."""


class Retry(BaseRetryStrategy):
    """When a job that failed is tried again: each time later, until its tries are used up."""

    def __init__(self, manager: "Manager", task: Task) -> None:
        self._manager = manager
        self._task = task

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        if isinstance(exception, Interrupted):
            return RetryDecision()
        if job.attempts >= self._task.retries or not isinstance(exception, Exception):
            return None
        pause = jobs.pause(job.attempts + 1, random.random(), self._task.first_pause)  # noqa: S311 - no secret
        return RetryDecision(retry_at=datetime.now(UTC) + pause)


GIVE_BACK = "select procrastinate.give_back(%(id)s, %(worker)s, %(at)s, %(counted)s)"
REMEMBER = """
insert into procrastinate.job_failures (job_id, reason) values (%(id)s, %(reason)s)
on conflict (job_id) do update set reason = excluded.reason, at = now()
"""


class Manager(JobManager):
    """Procrastinate's statements, with a worker's presence, and insisting on outcomes."""

    def __init__(self, engine: Engine, connector: PsycopgConnector) -> None:
        super().__init__(connector)
        self._engine = engine
        self._presence: presence.Presence | None = None
        self.interrupted: set[int] = set()

    async def register_worker(self) -> int:
        worker_id = await super().register_worker()
        self._presence = presence.Presence(self._engine, worker_id)
        await self._presence.enter()
        return worker_id

    async def unregister_worker(self, worker_id: int) -> None:
        try:
            await super().unregister_worker(worker_id)
        except exceptions.ConnectorException as error:
            _bear(error)  # the next worker removes it
        await self.leave()

    async def update_heartbeat(self, worker_id: int) -> None:
        try:
            await super().update_heartbeat(worker_id)
        except exceptions.ConnectorException as error:
            _bear(error)

    async def listen_for_jobs(self, **options: Any) -> None:
        while True:
            try:
                await super().listen_for_jobs(**options)
            except exceptions.ConnectorException as error:
                _bear(error)
            await asyncio.sleep(POLL)

    async def defer_periodic_job(self, job: Job, periodic_id: str, defer_timestamp: int) -> int | None:
        defer = super().defer_periodic_job
        return await _insist(lambda: defer(job=job, periodic_id=periodic_id, defer_timestamp=defer_timestamp))

    async def leave(self) -> None:
        """Let go of the worker's lock: what it had begun, others begin anew."""
        entered, self._presence = self._presence, None
        if entered is not None:
            await entered.leave()

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        """Who is gone is found by core/presence.py, which sees first to what they were doing."""
        return []

    async def fetch_job(self, queues: Any, worker_id: int) -> Job | None:
        while True:
            try:
                job = await super().fetch_job(queues=queues, worker_id=worker_id)
            except exceptions.ConnectorException as error:
                _bear(error)
                return None
            if job is None or job.task_name in jobs.TASKS or job.attempts >= UNKNOWN_TRIES or ":" in job.task_name:
                return job
            log.warning("a job is of no task known here", extra={"job": job.id, "task": job.task_name})
            await self._give_back(job, datetime.now(UTC) + UNKNOWN_PAUSE, counted=True)

    async def retry_job(self, job: Job, retry_at: datetime | None = None, *args: Any, **options: Any) -> None:
        interrupted = job.id in self.interrupted
        self.interrupted.discard(job.id or 0)
        await _insist(lambda: self._give_back(job, None if interrupted else retry_at, counted=not interrupted))

    async def finish_job(self, job: Job, status: Status, delete_job: bool) -> None:
        finish = super().finish_job
        try:
            await _insist(lambda: finish(job=job, status=status, delete_job=delete_job))
        except exceptions.ConnectorException as error:
            if not isinstance(error.__cause__, psycopg.errors.RaiseException):
                raise
            # Another worker took this one for gone, and has done the job as well by now.
            log.warning("a job was done twice", extra={"job": job.id, "task": job.task_name})

    async def _give_back(self, job: Job, at: datetime | None, *, counted: bool) -> None:
        await self.connector.execute_query_async(GIVE_BACK, id=job.id, worker=job.worker_id, at=at, counted=counted)

    async def remember(self, job_id: int, why: str) -> None:
        """Keep why a job failed, for whoever asks."""
        try:
            await self.connector.execute_query_async(REMEMBER, id=job_id, reason=why)
        except exceptions.ConnectorException as error:
            log.warning("why a job failed was not kept", extra={"job": job_id}, exc_info=error)


def _is_away(error: exceptions.ConnectorException) -> bool:
    return isinstance(error.__cause__, psycopg.OperationalError | OSError)


def _bear(error: exceptions.ConnectorException) -> None:
    """Go on, if it is only that the database is away. Raises the error otherwise."""
    if not _is_away(error):
        raise error
    log.warning("the worker has lost the database", extra={"reason": type(error.__cause__).__name__})


async def _insist(run: Callable[[], Awaitable[Result]]) -> Result:
    """Again and again while the database is away: else a job that was done would be done twice."""
    loop = asyncio.get_running_loop()
    until, pause = loop.time() + INSIST, 0.1
    while True:
        try:
            return await run()
        except exceptions.ConnectorException as error:
            if not _is_away(error) or loop.time() + pause > until:
                raise
        await asyncio.sleep(pause)
        pause = min(pause * 2, 2.0)


def reason(error: Exception) -> str:
    """Why a job failed, for its operator: what we say ourselves, else which exception where, without its message,
    which may quote somebody's data.
    """
    if isinstance(error, BellbirdError):
        return f"{error.code}: {error.detail}"[:500]
    trace, place = error.__traceback__, ""
    while trace is not None:
        path = PurePath(trace.tb_frame.f_code.co_filename)
        place, trace = f" at {'/'.join(path.parts[-2:])}:{trace.tb_lineno}", trace.tb_next
    state = f" {error.sqlstate}" if isinstance(error, psycopg.Error) and error.sqlstate else ""
    return f"{type(error).__name__}{state}{place}"
