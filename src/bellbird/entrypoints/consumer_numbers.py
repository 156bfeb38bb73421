"""How far the consumers of the log are, as metrics: asked of the database when Prometheus asks."""

import logging
import time
from typing import Final

from bellbird.core import backlog
from bellbird.core.backlog import Lag
from bellbird.core.engine import Engine
from bellbird.core.errors import BellbirdError
from bellbird.core.metrics import Labels, Metrics

# Of several processes behind one port any may be asked: what one knew before says nothing any more.
FRESH: Final = 2.0

log = logging.getLogger(__name__)


class ConsumerNumbers:
    """What was known last, and since when."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lags: list[Lag] = []
        self._at = 0.0

    async def refresh(self) -> None:
        """Ask. Without an answer there are no numbers."""
        self._lags = []
        try:
            self._lags = await backlog.lag(self._engine)
        except BellbirdError as error:
            log.warning("the consumers' lags cannot be told", extra={"code": error.code})
        self._at = time.monotonic()

    def _known(self) -> list[Lag]:
        return self._lags if time.monotonic() - self._at < FRESH else []

    def seconds(self) -> dict[Labels, float]:
        """How far behind each lane is."""
        return {(each.consumer, str(each.lane)): each.seconds for each in self._known()}

    def failed(self) -> dict[Labels, float]:
        """How many events each consumer has failed at."""
        found: dict[Labels, float] = {}
        for each in self._known():
            for state, count in (("parked", each.parked), ("dead", each.dead)):
                found[each.consumer, state] = found.get((each.consumer, state), 0.0) + count
        return found


def tell(metrics: Metrics, engine: Engine) -> None:
    """Have the metrics tell how far the consumers are."""
    numbers = ConsumerNumbers(engine)
    metrics.refresh.append(numbers.refresh)
    metrics.gauge(
        "bellbird_consumer_lag_seconds", "How old the oldest event is that a consumer has not dealt with.",
        numbers.seconds, ("consumer", "lane"),
    )  # fmt: skip
    metrics.gauge(
        "bellbird_consumer_failed_events", "Events that a consumer failed at.", numbers.failed, ("consumer", "state")
    )
