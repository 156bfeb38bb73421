"""What workers do for calls: dial them, let in those that wait, hang up."""

import logging
from uuid import UUID

from bellbird.core import jobs, sweeps
from bellbird.core.jobs import JobContext
from bellbird.core.telephony import ProviderUnclear
from bellbird.features.calls import admitting, counting, dialing, placing, reaping
from bellbird.features.calls.dialing import DIALLER

log = logging.getLogger("bellbird")


@jobs.task(admitting.DIAL, retries=dialing.LOOKS)
async def dial(context: JobContext, call_id: UUID) -> None:
    """Dial a call of the job's tenant; tried again, it is looked for at its provider and never dialled twice."""
    assert context.tenant_id is not None, "a call is a tenant's"
    try:
        await dialing.dial(context.engine, context.tenant_id, call_id)
    except ProviderUnclear:
        if context.tries <= dialing.LOOKS:
            raise
        # Its callbacks may still tell; if they do not, it is given up with that reason.
        log.warning("whether a call was placed is not known", extra={"job": context.id, "tenant_id": context.tenant_id})


@jobs.task(admitting.ADMIT)
async def admit(context: JobContext) -> None:
    """Let in the tenant's calls that wait, as far as there is room."""
    assert context.tenant_id is not None, "calls are a tenant's"
    async with context.engine.tenant(context.tenant_id, DIALLER) as tx:
        await admitting.admit(tx)


@jobs.task(admitting.EXPIRE)
async def expire(context: JobContext, call_id: UUID) -> None:
    """Give up a call that has waited too long."""
    assert context.tenant_id is not None, "a call is a tenant's"
    async with context.engine.tenant(context.tenant_id, DIALLER) as tx:
        await admitting.give_up(tx, call_id)


@jobs.task(placing.HANG_UP)
async def hang_up(context: JobContext, call_id: UUID) -> None:
    """End a call at its provider."""
    assert context.tenant_id is not None, "a call is a tenant's"
    await dialing.hang_up(context.engine, context.tenant_id, call_id)


@jobs.periodic("* * * * *", "calls.find_stuck")
async def find_stuck(context: JobContext) -> None:
    """Have a look at each call that does not go on."""
    async with context.engine.system(DIALLER) as tx:
        await reaping.find(tx)


@jobs.task(reaping.REAP)
async def reap(context: JobContext, call_id: UUID) -> None:
    """End a call that would never end by itself."""
    assert context.tenant_id is not None, "a call is a tenant's"
    wrong = await reaping.reap(context.engine, context.tenant_id, call_id)
    if wrong is not None:
        log.warning("a call did not go on", extra={"reason": wrong, "tenant_id": str(context.tenant_id)})


@jobs.periodic("41 * * * *", "calls.count_days")
async def count_days(context: JobContext) -> None:
    """Count the days of calls that have to be, so that statistics need not look at every call."""
    await sweeps.sweep(context.engine, "calls.count_days", counting.count_days)
