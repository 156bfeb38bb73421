"""How far the consumers are, as Prometheus is told."""

import asyncio
from collections.abc import Sequence

from bellbird.core.consumers import Consumer, Consumers
from bellbird.core.engine import Engine
from bellbird.core.events import Logged
from bellbird.core.metrics import Metrics
from bellbird.entrypoints import consumer_numbers
from tests.core.test_consumers import begun
from tests.core.test_metrics import samples


async def test_lags_and_failures_are_told_after_asking_and_not_for_long(clone: str) -> None:
    async def handle(events: Sequence[Logged]) -> None: ...

    metrics = Metrics("1.2.3")
    async with Engine(clone) as engine:
        numbers = consumer_numbers.ConsumerNumbers(engine)
        consumer_numbers.tell(metrics, engine)
        stop = asyncio.Event()
        task = asyncio.create_task(Consumers(engine, [Consumer("told", ("*",), handle, lanes=2)], poll=0.05).run(stop))
        await begun(engine, "told")
        stop.set()
        await task
        for refresh in metrics.refresh:
            await refresh()
        await numbers.refresh()
    found = samples(metrics)
    lanes = {labels for name, labels in found if name == "bellbird_consumer_lag_seconds"}
    assert lanes == {(("consumer", "told"), ("lane", "0")), (("consumer", "told"), ("lane", "1"))}
    assert found["bellbird_consumer_failed_events", (("consumer", "told"), ("state", "dead"))] == 0
    assert numbers.seconds() == {("told", "0"): 0.0, ("told", "1"): 0.0}
    numbers._at -= consumer_numbers.FRESH
    assert numbers.seconds() == {} and numbers.failed() == {}


async def test_without_a_database_there_are_no_numbers() -> None:
    async with Engine("postgresql:///nowhere?host=/nonexistent", pool_timeout=0.2) as nowhere:
        numbers = consumer_numbers.ConsumerNumbers(nowhere)
        await numbers.refresh()
        assert numbers.seconds() == {}
