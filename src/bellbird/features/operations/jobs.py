"""Operations in the queue: each in slices, so that others get their turn; and those that nobody works on any more."""

from typing import Final
from uuid import UUID

from bellbird.core import jobs
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.jobs import JobContext
from bellbird.features.operations import rows, running
from bellbird.features.operations.rows import TASK

# After so many seconds an operation goes to the end of the queue.
SLICE: Final = 20.0

# An operation that has not moved for this long, and that no job is there for, is put into the queue again.
STILL: Final = "1 minute"

_RESCUER: Final = Actor.system("operations", origin="job")


@jobs.task(TASK, retries=running.TRIES)
async def run(context: JobContext, operation_id: UUID) -> None:
    """Go on with an operation of the job's tenant."""
    assert context.tenant_id is not None, "an operation is a tenant's"
    if await running.run(context.engine, context.tenant_id, operation_id, seconds=SLICE) == "running":
        async with context.engine.tenant(context.tenant_id, _RESCUER) as tx:
            rows.defer(tx, operation_id)


LEFT_BEHIND: Final = f"""
select o.tenant_id, o.id
from operations o
join tenants t on t.id = o.tenant_id and t.status = 'active'
where o.state in ('queued', 'running') and o.updated_at < now() - interval '{STILL}'
  and not exists (
    select from procrastinate.procrastinate_jobs j
    where j.args ->> 'tenant_id' = o.tenant_id::text and j.args ->> 'operation_id' = o.id::text
      and j.task_name = '{TASK}' and j.status in ('todo', 'doing'))
order by o.updated_at
limit 500
"""


@jobs.periodic("* * * * *", "operations.rescue")
async def rescue(context: JobContext) -> None:
    """Put operations that are under way, but that no job is there for, into the queue again."""
    await put_back(context.engine)


async def put_back(engine: Engine) -> int:
    """Defer what was left behind; returns how many operations that were."""
    async with engine.system(_RESCUER) as tx:
        found = await tx.all(LEFT_BEHIND)
        for tenant_id, id in found:
            tx.defer(tenant_id, TASK, queueing_lock=f"{TASK}:{id}", operation_id=id)
    return len(found)
