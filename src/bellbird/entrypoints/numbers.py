"""How the queue and the consumers of the log stand, as metrics: asked of the database when Prometheus asks."""

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from bellbird.core import backlog, queue
from bellbird.core.backlog import Lag
from bellbird.core.engine import Engine
from bellbird.core.errors import BellbirdError
from bellbird.core.metrics import Labels, Metrics
from bellbird.core.queue import Standing

# Of several processes behind one port any may be asked: what one knew before says nothing any more.
FRESH: Final = 2.0

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class Asked(Generic[Answer]):
    """What the database answered last, and when."""

    def __init__(self, engine: Engine, ask: Callable[[Engine], Awaitable[Answer]]) -> None:
        self._engine = engine
        self._ask = ask
        self._answer: Answer | None = None
        self._at = 0.0

    async def refresh(self) -> None:
        """Ask. Without an answer there are no numbers."""
        self._answer = None
        try:
            self._answer = await self._ask(self._engine)
        except BellbirdError as error:
            log.warning("what the database knows cannot be told", extra={"code": error.code})
        self._at = time.monotonic()

    def tell(self, read: Callable[[Answer], dict[Labels, float]]) -> Callable[[], dict[Labels, float]]:
        """What to read off the answer, for as long as it says anything."""

        def told() -> dict[Labels, float]:
            known = self._answer if time.monotonic() - self._at < FRESH else None
            return {} if known is None else read(known)

        return told


def tell(metrics: Metrics, engine: Engine) -> None:
    """Have the metrics tell how the queue and the consumers stand."""
    standing, lags = Asked(engine, queue.standing), Asked(engine, backlog.lag)
    metrics.refresh += [standing.refresh, lags.refresh]
    metrics.gauge("bellbird_queue_jobs", "Jobs in the queue.", standing.tell(_jobs), ("status",))
    metrics.gauge(
        "bellbird_queue_oldest_seconds", "How long the first job waits that could begin.",
        standing.tell(lambda now: {(): now.oldest}),
    )  # fmt: skip
    metrics.gauge("bellbird_queue_workers", "Workers that live.", standing.tell(lambda now: {(): now.workers}))
    metrics.gauge(
        "bellbird_consumer_lag_seconds", "How old the oldest event is that a consumer has not dealt with.",
        lags.tell(lambda all: {(each.consumer, str(each.lane)): each.seconds for each in all}), ("consumer", "lane"),
    )  # fmt: skip
    metrics.gauge(
        "bellbird_consumer_failed_events",
        "Events that a consumer failed at.",
        lags.tell(_failed),
        ("consumer", "state"),
    )


def _jobs(now: Standing) -> dict[Labels, float]:
    return {("ready",): now.ready, ("later",): now.later, ("doing",): now.doing, ("failed",): now.failed}


def _failed(lags: list[Lag]) -> dict[Labels, float]:
    found: Counter[Labels] = Counter()
    for each in lags:
        found[each.consumer, "parked"] += each.parked
        found[each.consumer, "dead"] += each.dead
    return {labels: float(count) for labels, count in found.items()}
