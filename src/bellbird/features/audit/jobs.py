"""What workers do for the log by themselves: seal it, and keep its months."""

from typing import Final

from bellbird.core import jobs
from bellbird.core.actors import Actor
from bellbird.core.jobs import JobContext
from bellbird.features.audit import actions

WORKER: Final = Actor.system("worker", origin="job")


@jobs.periodic(lambda settings: f"*/{settings.seal_minutes} * * * *", "log.seal")
async def seal(context: JobContext) -> None:
    """Seal what was added to each tenant's log."""
    await actions.seal(context.engine, WORKER)


@jobs.periodic("17 3 * * *", "log.maintain")
async def maintain(context: JobContext) -> None:
    """Make the months ahead, and take out what is older than each tenant keeps."""
    await actions.maintain(context.engine, WORKER)
