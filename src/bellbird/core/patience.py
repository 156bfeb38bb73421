"""Waiting for code that is not ours: as long as was agreed, and no longer, whatever it does."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

# How long something that was cancelled may take to clear up.
GRACE: Final = 1.0

log = logging.getLogger(__name__)

Result = TypeVar("Result")

_left_behind: Final[set[asyncio.Future[Any]]] = set()


class OutOfTime(Exception):
    """It took longer than it may. `runs_on`: it was cancelled, and goes on all the same."""

    def __init__(self, seconds: float, *, runs_on: bool) -> None:
        super().__init__(f"It took longer than {seconds:g} s.")
        self.runs_on = runs_on


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """What the coroutine comes to. Raises OutOfTime, or what it raises; one that cancels itself raises RuntimeError.

    It runs in a task of its own, so that even one that takes no notice of being cancelled is not waited for.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise OutOfTime(seconds, runs_on=not await _cancel(task))
    except asyncio.CancelledError:  # whoever waits is stopped, so this is as well
        await _cancel(task)
        raise
    if task.cancelled():
        raise RuntimeError("It cancelled itself.")
    return task.result()


def mind() -> None:
    """Raises CancelledError if this task was cancelled and did not get to know.

    asyncio.wait_for(), by which psycopg waits, may swallow it before Python 3.12: a loop looks at every turn.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _cancel(task: asyncio.Future[Any]) -> bool:
    """Cancel it, and wait for a moment; returns whether it has ended."""
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)
    if not task.done():
        log.error("something takes no notice of being cancelled and is left behind", extra={"task": repr(task)})
        _left_behind.add(task)
        task.add_done_callback(_left_behind.discard)
    task.add_done_callback(_look)
    return task.done()


def _look(task: asyncio.Future[Any]) -> None:
    # An exception that nobody looked at would be reported when the task is thrown away.
    if not task.cancelled():
        task.exception()
