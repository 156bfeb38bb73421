"""Operations as a worker does them: killed again and again, each contact is changed once."""

import asyncio
import signal
import sys
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.app import Bellbird
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.jobs import TASKS, JobContext
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, operations, tenants
from bellbird.features.contacts import NewContact
from bellbird.features.operations import NewOperation, jobs
from tests.conftest import SECRET, Begin

RUN = """
import asyncio, sys
from uuid import UUID
from bellbird.core.engine import Engine
from bellbird.features import contacts, operations

async def main(conninfo, tenant, id):
    async with Engine(conninfo) as engine:
        print("begun", flush=True)
        await operations.run(engine, UUID(tenant), UUID(id))

asyncio.run(main(*sys.argv[1:]))
"""


async def assigning(begin: Begin, count: int) -> operations.Operation:
    """The assignment of so many contacts, which nobody does yet."""
    for _ in range(count // 100):
        async with begin() as tx:
            for number in range(100):
                await contacts.create(tx, NewContact(first_name=f"No {number}"))
    async with begin() as tx:
        given = {"from": None, "to": str(uuid4())}
        return await operations.start(tx, NewOperation(kind="contacts.assign", params=given))


async def test_killed_with_all_its_memory_it_goes_on_and_does_nothing_twice(
    begin: Begin, engine: Engine, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any], owner_conninfo: str
) -> None:
    operation = await assigning(begin, 2000)
    words = (sys.executable, "-c", RUN, owner_conninfo, str(tenant.id), str(operation.id))
    killed = 0
    for attempt in range(30):
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.PIPE)
        assert process.stdout
        assert await process.stdout.readline() == b"begun\n"
        try:
            # Later each time, so that at every speed some of them come between two batches and some within one.
            async with asyncio.timeout(0.05 + 0.06 * attempt):
                await process.wait()
            break
        except TimeoutError:
            process.send_signal(signal.SIGKILL)
            await process.wait()
            killed += 1
    assert killed >= 2
    assert await operations.run(engine, tenant.id, operation.id) == "completed"
    done = await operations.get(read, operation.id)
    assert (done.done, done.total, done.error_count) == (2000, 2000, 0)
    asked = "select count(*), count(distinct contact_id) from events where request_id = %s and type = 'contact.updated'"
    assert owner.execute(asked, [str(operation.id)]).fetchone() == (2000, 2000)
    asked = "select count(*) from contacts where tenant_id = %s and owner_id = %s and version = 2"
    assert owner.execute(asked, [tenant.id, operation.params["to"]]).fetchone() == (2000,)


async def test_a_worker_does_what_was_started_and_stops_in_between(clone: str) -> None:
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:
        async with bellbird.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")

        def begin() -> AbstractAsyncContextManager[Tx]:
            return bellbird.tenant(tenant.id, Actor.user(uuid4()))

        operation, stop = await assigning(begin, 200), asyncio.Event()
        working = asyncio.create_task(bellbird.work(stop))
        try:
            async with asyncio.timeout(30), bellbird.reader(tenant.id, Actor.system()) as read:
                while (await operations.get(read, operation.id)).state != "completed":
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            await working


async def test_a_job_does_a_slice_and_leaves_the_rest_to_another(
    begin: Begin, engine: Engine, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(jobs, "SLICE", 0.0)
    operation = await assigning(begin, 300)
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    context = JobContext(engine, settings, 1, jobs.TASK, 1, tenant.id)
    task, states = TASKS[jobs.TASK], []
    # The job that was deferred with it would be taken out of the queue by the worker that does it.
    waiting = "procrastinate.procrastinate_jobs where args ->> 'operation_id' = %s"
    for _ in range(3):
        owner.execute(f"delete from {waiting}".encode(), [str(operation.id)])
        await task.run(context, **task.arguments({"operation_id": str(operation.id)}))
        count = owner.execute(f"select count(*) from {waiting}".encode(), [str(operation.id)]).fetchone()
        states.append(((await operations.get(read, operation.id)).state, count))
    assert states == [("running", (1,)), ("running", (1,)), ("completed", (0,))]
