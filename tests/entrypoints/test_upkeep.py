"""Periodic jobs of the queue itself, and of the answers that are kept."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core import jobs, queue, sweeps
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, Tx
from bellbird.core.jobs import JobContext
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.entrypoints import upkeep

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


async def test_jobs_that_were_over_a_week_ago_are_forgotten(engine: Engine, owner: psycopg.Connection[Any]) -> None:
    async with engine.system(Actor.system()) as tx:
        asked = [tx.defer(None, "test.over", n=n) for n in range(4)]
    ids = [each.rows[0][0] for each in asked]
    table = "procrastinate.procrastinate_jobs"
    owner.execute(f"update {table} set status = 'cancelled' where id = any(%s)", [ids[:3]])
    owner.execute("update procrastinate.procrastinate_events set at = at - interval '8 days' where job_id = any(%s)",
                  [[ids[0], ids[1], ids[3]]])  # fmt: skip
    monday = [(id,) for id in (ids[2], ids[3])]
    await upkeep.forget_jobs(JobContext(engine, SETTINGS, 1, "jobs.forget"))
    assert owner.execute(f"select id from {table} where id = any(%s) order by id", [ids]).fetchall() == monday
    assert owner.execute("select count(*) from procrastinate.procrastinate_events where job_id = any(%s)",
                         [ids[:2]]).fetchone() == (0,)  # fmt: skip


async def test_answers_are_forgotten_that_are_not_repeated_any_more(
    engine: Engine, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    now = datetime.now(UTC)
    for hours in (23, 25, 26):
        owner.execute("insert into idempotency_keys values (%s, %s, '', '{}', 200, '', %s)",
                      [tenant.id, uuid4(), now - timedelta(hours=hours)])  # fmt: skip
    await upkeep.forget_answers(JobContext(engine, SETTINGS, 1, "idempotency.forget"))
    assert owner.execute("select count(*) from idempotency_keys where tenant_id = %s", [tenant.id]).fetchone() == (1,)


async def test_a_tenant_that_fails_keeps_no_other_from_its_turn(
    engine: Engine, tenant: Tenant, other_tenant: Tenant
) -> None:
    seen = set()

    async def batch(tx: Tx) -> bool:
        seen.add(tx.tenant_id)
        if tx.tenant_id == tenant.id:
            raise ValueError
        return False

    with pytest.raises(ValueError):
        await sweeps.sweep(engine, "test.sweep", batch)
    assert {tenant.id, other_tenant.id} <= seen


async def test_the_jobs_of_a_tenant_can_be_forgotten(engine: Engine, tenant: Tenant, other_tenant: Tenant) -> None:
    async with engine.system(Actor.system()) as tx:
        for each in (tenant, other_tenant):
            tx.defer(each.id, "test.gone")
        queue.forget_tenant(tx, tenant.id)
    async with engine.system(Actor.system()) as tx:
        assert await queue.page(tx, tenant_id=tenant.id) == []
        (left,) = await queue.page(tx, tenant_id=other_tenant.id)
    assert left.task == "test.gone"


def test_every_periodic_job_has_a_schedule_that_can_be_read() -> None:
    from croniter import croniter

    from bellbird.app import doors

    doors("jobs")
    assert {"jobs.forget", "idempotency.forget", "sessions.forget", "contacts.purge_expired"} <= set(jobs.PERIODIC)
    for each in jobs.PERIODIC.values():
        assert croniter.is_valid(each.cron(SETTINGS)), each.task
