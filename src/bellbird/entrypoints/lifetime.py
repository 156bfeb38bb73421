"""From the first request to the last: what runs beside them, and that a process which was told to stop says so."""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

from bellbird.core.metrics import Metrics
from bellbird.entrypoints.conduct import Conduct

PUBLISH_EVERY: Final = 1.0

Beside = Callable[[asyncio.Event], Awaitable[None]]

log = logging.getLogger(__name__)


@asynccontextmanager
async def lifetime(
    conduct: Conduct, metrics: Metrics, *, owns_process: bool, beside: Beside | None = None
) -> AsyncIterator[None]:
    """Publish the metrics as long as it serves; where the process is ours, notice that it has been told to stop.

    `beside` is run meanwhile, such as a worker; in the end it is told to stop, and waited for.
    """
    publishing = asyncio.create_task(_publish(metrics)) if metrics.is_shared else None
    stop = asyncio.Event()
    running = asyncio.create_task(_run(beside, stop)) if beside is not None else None
    with _noticing(conduct) if owns_process else _left_alone():
        yield
    stop.set()
    if running is not None:
        await running
    if publishing is not None:
        publishing.cancel()
        metrics.publish()


async def _run(beside: Beside, stop: asyncio.Event) -> None:
    try:
        await beside(stop)
    except Exception as error:
        # The requests are answered all the same.
        log.error("what runs beside the server has ended", exc_info=error)


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
    loop = asyncio.get_running_loop()

    def notice(number: int, frame: Any) -> None:
        conduct.stopping = True
        for each in conduct.on_stop:
            loop.call_soon_threadsafe(each)
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
