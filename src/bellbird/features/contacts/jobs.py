"""Periodic jobs: the contacts that were deleted so long ago that they cannot be restored any more."""

from typing import Final

from bellbird.core import jobs, sweeps
from bellbird.core.engine import Tx
from bellbird.core.jobs import JobContext
from bellbird.features.contacts import actions

# Few at a time: until a purge is committed, nobody reads the log beyond it.
AT_ONCE: Final = 50


@jobs.periodic("23 2 * * *", "contacts.purge_expired")
async def purge_expired(context: JobContext) -> None:
    """Erase the deleted contacts whose time to be restored is over."""

    async def batch(tx: Tx) -> bool:
        due = await actions.expired(tx)
        for id in due[:AT_ONCE]:
            await actions.purge(tx, id)
        return len(due) > AT_ONCE

    await sweeps.sweep(context.engine, "contacts.purge_expired", batch)
