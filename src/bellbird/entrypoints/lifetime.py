"""From the first request to the last: what runs beside them, and that a process which was told to stop says so."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from bellbird.core.metrics import Metrics
from bellbird.entrypoints.conduct import Conduct

PUBLISH_EVERY: Final = 1.0


@asynccontextmanager
async def lifetime(conduct: Conduct, metrics: Metrics, *, owns_process: bool) -> AsyncIterator[None]:
    """Publish the metrics as long as it serves; where the process is ours, notice that it has been told to stop."""
    publishing = asyncio.create_task(_publish(metrics)) if metrics.is_shared else None
    with _noticing(conduct) if owns_process else _left_alone():
        yield
    if publishing is not None:
        publishing.cancel()
        metrics.publish()


async def _publish(metrics: Metrics) -> None:
    while True:
        metrics.publish()
        await asyncio.sleep(PUBLISH_EVERY)


@contextmanager
def _left_alone() -> Iterator[None]:
    yield


@contextmanager
def _noticing(conduct: Conduct) -> Iterator[None]:
    """Set `conduct.stopping` with the signal that stops the server, before the server looks at it itself."""
    handled: dict[int, Callable[..., Any]] = {}

    def notice(number: int, frame: Any) -> None:
        conduct.stopping = True
        handled[number](number, frame)

    if threading.current_thread() is threading.main_thread():
        for each in (signal.SIGTERM, signal.SIGINT):
            servers = signal.getsignal(each)
            if callable(servers):  # else it would end at once, or not at all
                handled[each] = servers
                signal.signal(each, notice)
    try:
        yield
    finally:
        for number, servers in handled.items():
            if signal.getsignal(number) is notice:
                signal.signal(number, servers)
