"""How the queue stands, as metrics: asked of the database when Prometheus asks, and told for a moment only."""

import logging
import time
from typing import Final

from bellbird.core import queue
from bellbird.core.engine import Engine
from bellbird.core.errors import BellbirdError
from bellbird.core.metrics import Labels, Metrics
from bellbird.core.queue import Standing

# Of several processes behind one port any may be asked: what one knew before says nothing any more.
FRESH: Final = 2.0

log = logging.getLogger(__name__)


class QueueNumbers:
    """What was known last, and since when."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._standing: Standing | None = None
        self._at = 0.0

    async def refresh(self) -> None:
        """Ask. Without an answer there are no numbers."""
        self._standing = None
        try:
            self._standing = await queue.standing(self._engine)
        except BellbirdError as error:
            log.warning("the queue cannot be counted", extra={"code": error.code})
        self._at = time.monotonic()

    def _known(self) -> Standing | None:
        return self._standing if time.monotonic() - self._at < FRESH else None

    def jobs(self) -> dict[Labels, float]:
        """How many jobs there are of each status."""
        known = self._known()
        if known is None:
            return {}
        return {("ready",): known.ready, ("later",): known.later, ("doing",): known.doing, ("failed",): known.failed}

    def oldest(self) -> dict[Labels, float]:
        """For how many seconds the job that could be begun first has waited."""
        known = self._known()
        return {} if known is None else {(): known.oldest}

    def workers(self) -> dict[Labels, float]:
        """How many workers live."""
        known = self._known()
        return {} if known is None else {(): known.workers}


def tell(metrics: Metrics, engine: Engine) -> None:
    """Have the metrics tell how the queue stands."""
    numbers = QueueNumbers(engine)
    metrics.refresh.append(numbers.refresh)
    metrics.gauge("bellbird_queue_jobs", "Jobs in the queue.", numbers.jobs, ("status",))
    metrics.gauge("bellbird_queue_oldest_seconds", "How long the first job waits that could begin.", numbers.oldest)
    metrics.gauge("bellbird_queue_workers", "Workers that live.", numbers.workers)
