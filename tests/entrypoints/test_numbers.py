"""How far the queue and the consumers are, as Prometheus is told."""

import asyncio
from collections.abc import Sequence

import pytest

from bellbird.core import backlog
from bellbird.core.consumers import Consumer, Consumers
from bellbird.core.engine import Engine
from bellbird.core.events import Logged
from bellbird.core.metrics import Metrics
from bellbird.entrypoints import numbers
from bellbird.entrypoints.numbers import Asked
from tests.core.test_consumers import begun
from tests.core.test_metrics import samples


async def test_what_the_database_knows_is_told_after_asking_and_not_for_long(
    clone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handle(events: Sequence[Logged]) -> None: ...

    metrics = Metrics("1.2.3")
    async with Engine(clone) as engine:
        numbers.tell(metrics, engine)
        stop = asyncio.Event()
        task = asyncio.create_task(Consumers(engine, [Consumer("told", ("*",), handle, lanes=2)], poll=0.05).run(stop))
        await begun(engine, "told")
        stop.set()
        await task
        for refresh in metrics.refresh:
            await refresh()
    monkeypatch.setattr(numbers, "FRESH", 3600)
    found = samples(metrics)
    lanes = {labels for name, labels in found if name == "bellbird_consumer_lag_seconds"}
    assert lanes == {(("consumer", "told"), ("lane", "0")), (("consumer", "told"), ("lane", "1"))}
    assert found["bellbird_consumer_failed_events", (("consumer", "told"), ("state", "dead"))] == 0
    assert found["bellbird_queue_workers", ()] == found["bellbird_queue_jobs", (("status", "ready"),)] == 0
    monkeypatch.setattr(numbers, "FRESH", 0)
    assert not [name for name, _ in samples(metrics) if name.startswith(("bellbird_queue", "bellbird_consumer"))]


async def test_without_a_database_there_are_no_numbers() -> None:
    async with Engine("postgresql:///nowhere?host=/nonexistent", pool_timeout=0.2) as nowhere:
        asked = Asked(nowhere, backlog.lag)
        await asked.refresh()
        assert asked.tell(lambda all: {(): float(len(all))})() == {}
