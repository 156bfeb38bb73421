"""Periodic jobs of what belongs to no feature: the queue's own rows, and the answers kept for repeated requests."""

from datetime import timedelta
from typing import Final

from bellbird.core import jobs, queue, sweeps
from bellbird.core.engine import Tx
from bellbird.core.jobs import JobContext
from bellbird.entrypoints.idempotency import KEEP

AT_ONCE: Final = 1000


@jobs.periodic("7 * * * *", "jobs.forget")
async def forget_jobs(context: JobContext) -> None:
    """Delete the jobs that were over a week ago."""
    await queue.forget(context.engine, context.clock.now() - timedelta(days=queue.KEPT_DAYS))


FORGET = f"""
delete from idempotency_keys
where tenant_id = $1 and id = any(array(
  select id from idempotency_keys where tenant_id = $1 and created_at < $2 order by created_at limit {AT_ONCE}))
"""


@jobs.periodic("11 * * * *", "idempotency.forget")
async def forget_answers(context: JobContext) -> None:
    """Delete the answers that are not repeated any more, of tenants too that never write again."""

    async def batch(tx: Tx) -> bool:
        return await tx.run(FORGET, tx.tenant_id, tx.clock.now() - KEEP) == AT_ONCE

    await sweeps.sweep(context.engine, "idempotency.forget", batch)
