"""What is to happen when: moved by hand with a clock that stands still, by itself with one that goes."""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from bellbird.core.clock import Clock, FakeClock

log = logging.getLogger(__name__)

Happening = Callable[[datetime], Awaitable[None]]

# No real clock waits longer without looking again, should it be set.
LOOK_AGAIN: Final = 60.0


class Agenda:
    """Happenings in the order of their time. With a real clock, `speed` seconds pass in each of its seconds.

    On a FakeClock nothing happens but in `advance`; it happens one after the other, in order.
    """

    def __init__(self, clock: Clock, *, speed: float = 1.0) -> None:
        self.clock = clock
        self.speed = speed
        self._due: list[tuple[datetime, int, Happening]] = []
        self._numbers = itertools.count()
        self._runner: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._news = asyncio.Event()

    @property
    def is_by_hand(self) -> bool:
        """Whether time passes only in `advance`."""
        return isinstance(self.clock, FakeClock)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to come any more, nor under way."""
        return not self._due and not self._tasks

    def add(self, seconds: float, happening: Happening, *, since: datetime | None = None) -> None:
        """Have something happen so many seconds from now, or after a moment."""
        pace = 1.0 if self.is_by_hand else self.speed
        due = (since or self.clock.now()) + timedelta(seconds=seconds / pace)
        heapq.heappush(self._due, (due, next(self._numbers), happening))
        if not self.is_by_hand:
            self._news.set()
            if self._runner is None or self._runner.done():
                self._runner = asyncio.create_task(self._run())

    async def advance(self, seconds: float) -> None:
        """Let time pass on a FakeClock: whatever is due meanwhile happens, each at its own time."""
        assert isinstance(self.clock, FakeClock), "time passes by itself here: use a FakeClock to let it pass by hand"
        until = self.clock.now() + timedelta(seconds=seconds)
        while self._due and self._due[0][0] <= until:
            due, _, happening = heapq.heappop(self._due)
            if due > self.clock.now():
                self.clock.move(due - self.clock.now())
            await happening(due)
        if until > self.clock.now():
            self.clock.move(until - self.clock.now())

    async def finish(self) -> None:
        """Until nothing is to come any more: passes the time on a FakeClock, else waits."""
        while self.is_by_hand and self._due:
            await self.advance(max(0.0, (self._due[0][0] - self.clock.now()).total_seconds()))
        while tasks := [*self._tasks, *([self._runner] if self._due and self._runner else [])]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Forget what was to come, and interrupt what is under way."""
        self._due.clear()
        runner, self._runner = self._runner, None
        tasks = [*self._tasks, *([runner] if runner else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while self._due:
            self._news.clear()
            due, _, happening = self._due[0]
            left = (due - self.clock.now()).total_seconds()
            if left > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._news.wait(), min(left, LOOK_AGAIN))
                continue
            heapq.heappop(self._due)
            task = asyncio.create_task(self._happen(happening, due))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _happen(self, happening: Happening, due: datetime) -> None:
        try:
            await happening(due)
        except Exception as error:
            log.exception("a simulated callback was not taken", extra={"code": type(error).__name__})
