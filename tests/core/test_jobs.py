"""Deferring: a job is there if its transaction committed, and is its tenant's own."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest

from bellbird.core import jobs
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import BellbirdError
from bellbird.core.tenants import Tenant
from tests.conftest import Begin, RollBack

JOBS = """
select task_name, queue_name, args, priority, lock, queueing_lock, scheduled_at from procrastinate.procrastinate_jobs
where args ->> 'tenant_id' = %s order by id
"""


@pytest.fixture
def jobs_of(owner: psycopg.Connection[Any]) -> Any:
    """`jobs_of(tenant)`: what waits for it."""
    return lambda tenant: owner.execute(JOBS, [str(tenant.id)]).fetchall()


async def test_a_job_is_there_once_its_transaction_has_committed(
    begin: Begin, tenant: Tenant, jobs_of: Any, owner: psycopg.Connection[Any]
) -> None:
    operation = uuid4()
    async with begin() as tx:
        asked = tx.defer("operations.run", operation_id=operation, count=3)
        await tx.flush()
        assert jobs_of(tenant) == []
    ((number,),) = asked.rows
    assert owner.execute("select status from procrastinate.procrastinate_jobs where id = %s", [number]).fetchone() == (
        "todo",
    )
    args = {"operation_id": str(operation), "count": 3, "tenant_id": str(tenant.id)}
    assert jobs_of(tenant) == [("operations.run", "default", args, 0, None, None, None)]


async def test_a_job_is_not_there_when_its_transaction_rolls_back(begin: Begin, tenant: Tenant, jobs_of: Any) -> None:
    with pytest.raises(RollBack):
        async with begin() as tx:
            tx.defer("operations.run")
            await tx.flush()
            raise RollBack
    assert jobs_of(tenant) == []


async def test_deferring_costs_no_round_trip_of_its_own(begin: Begin, tenant: Tenant, jobs_of: Any) -> None:
    async with begin() as tx:
        tx.defer("a.b", queue="slow", lock="one", priority=5, at=datetime(2026, 12, 1, tzinfo=UTC))
        assert tx._connection is None, "it goes out with the commit"
    ((task, queue, _, priority, lock, queueing_lock, at),) = jobs_of(tenant)
    assert (task, queue, priority, lock, queueing_lock) == ("a.b", "slow", 5, f"{tenant.id}:one", None)
    assert at == datetime(2026, 12, 1, tzinfo=UTC)


async def test_a_transaction_cannot_defer_a_job_of_another_tenant(
    begin: Begin, other_tenant: Tenant, jobs_of: Any
) -> None:
    with pytest.raises((BellbirdError, psycopg.Error)):
        async with begin() as tx:
            tx.queue(jobs.DEFER_OWN, *jobs.row(other_tenant.id, "a.b", "default", {}, 0, None, None, None))
    with pytest.raises((BellbirdError, psycopg.Error)):
        async with begin() as tx:
            tx.queue(jobs.DEFER_OWN, *jobs.row(None, "a.b", "default", {}, 0, None, None, None))
    assert jobs_of(other_tenant) == []


@pytest.mark.parametrize("statement", [
    "select * from procrastinate.procrastinate_jobs",
    "select procrastinate.defer_job(null, 'a', 'b', '{}', 0, null, null, null)",
    "select procrastinate.give_back(1, 1, now(), true)",
    "delete from procrastinate.procrastinate_workers",
])  # fmt: skip
def test_the_application_reaches_nothing_else_of_the_queue(app_role: psycopg.Connection[Any], statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app_role.execute(statement.encode())


def test_without_a_tenant_nothing_is_deferred(app_role: psycopg.Connection[Any]) -> None:
    with pytest.raises(psycopg.Error, match=r"app\.tenant_id"):
        app_role.execute("select defer_job(gen_random_uuid(), 'a', 'b', '{}', 0, null, null, null)")


async def test_of_one_queueing_lock_one_job_waits_and_is_hurried(begin: Begin, tenant: Tenant, jobs_of: Any) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    async with begin() as tx:
        first = tx.defer("a.b", queueing_lock="x", at=tomorrow, n=1)
    async with begin() as tx:
        later = tx.defer("a.b", queueing_lock="x", at=tomorrow + timedelta(days=1), n=2)
    async with begin() as tx:
        other = tx.defer("a.b", queueing_lock="y", n=3)
    assert first.rows == later.rows != other.rows
    assert [(args["n"], at) for _, _, args, _, _, _, at in jobs_of(tenant)] == [(1, tomorrow), (3, None)]
    async with begin() as tx:
        tx.defer("a.b", queueing_lock="x", priority=1)
    assert [(args["n"], priority, at) for _, _, args, priority, _, _, at in jobs_of(tenant)] == [
        (1, 1, None),
        (3, 0, None),
    ]


async def test_another_tenants_queueing_lock_is_another(
    begin: Begin, tenant: Tenant, other_tenant: Tenant, jobs_of: Any
) -> None:
    for each in (tenant, other_tenant):
        async with begin(each) as tx:
            tx.defer("a.b", queueing_lock="x")
    assert len(jobs_of(tenant)) == len(jobs_of(other_tenant)) == 1


async def test_the_system_defers_for_any_tenant_and_for_none(engine: Engine, tenant: Tenant, jobs_of: Any) -> None:
    async with engine.system(Actor.system()) as tx:
        tx.defer(tenant.id, "a.b", n=1)
        none = tx.defer(None, "a.c", lock="l")
    assert [(task, args["n"]) for task, _, args, *_ in jobs_of(tenant)] == [("a.b", 1)]
    async with engine.system(Actor.system()) as tx:
        row = await tx.one("select args, lock from procrastinate.procrastinate_jobs where id = $1", none.rows[0][0])
    assert row == (b"{}", "l")


@pytest.fixture
def tasks() -> Iterator[None]:
    """What a test registers is gone after it."""
    before = dict(jobs.TASKS), dict(jobs.PERIODIC)
    yield
    for registry, kept in zip((jobs.TASKS, jobs.PERIODIC), before, strict=True):
        registry.clear()
        registry.update(kept)


def test_a_task_gets_its_arguments_in_the_types_it_names(tasks: None) -> None:
    @jobs.task("test.typed")
    async def typed(context: jobs.JobContext, id: UUID, at: datetime, tenant_id: UUID, n: int = 0) -> None: ...

    @jobs.task("test.plain")
    async def plain(context: jobs.JobContext, n: int) -> None: ...

    id, tenant_id, at = uuid4(), uuid4(), datetime(2026, 12, 1, tzinfo=UTC)
    sent = msgspec.json.decode(msgspec.json.encode({"id": id, "at": at, "tenant_id": tenant_id}))
    assert jobs.TASKS["test.typed"].arguments(sent) == {"id": id, "at": at, "tenant_id": tenant_id}
    assert jobs.TASKS["test.plain"].arguments({"n": 1, "tenant_id": str(tenant_id)}) == {"n": 1}
    with pytest.raises(msgspec.ValidationError):
        jobs.TASKS["test.plain"].arguments({"n": "many"})


def test_two_tasks_cannot_have_one_name(tasks: None) -> None:
    @jobs.task("test.once")
    async def one(context: jobs.JobContext) -> None: ...

    with pytest.raises(AssertionError, match="two tasks"):

        @jobs.task("test.once")
        async def two(context: jobs.JobContext) -> None: ...


def test_each_further_try_waits_longer_up_to_an_hour() -> None:
    assert [jobs.pause(n, 0.5).total_seconds() for n in (1, 2, 3, 4)] == [5, 15, 45, 135]
    assert jobs.pause(50, 0.5).total_seconds() == 3600
    assert jobs.pause(1, 0.0).total_seconds() == 3.75
    assert jobs.pause(1, 1.0).total_seconds() == 6.25


def test_the_schema_is_the_one_that_the_migration_knows() -> None:
    """A newer Procrastinate's goes into a migration of its own, and this one's text into migration 0004 (ADR 15)."""
    from procrastinate.schema import SchemaManager

    known = "c70ec4b400a60ad9592787653aae5ae77ae41bf801d56b5bd2712751a07f2009"
    assert hashlib.sha256(SchemaManager.get_schema().encode()).hexdigest() == known
