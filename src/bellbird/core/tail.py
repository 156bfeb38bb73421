"""The end of the log, read once for everybody in this process who follows it.

However many consumers have however many lanes: those that keep up are served from here, and only who lags behind reads
by himself. Every read is a transaction of its own that is over before anybody works on what was read.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final

from bellbird.core import feed
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import Unavailable
from bellbird.core.events import Logged
from bellbird.core.feed import Position
from bellbird.core.patience import mind
from bellbird.core.wakeups import Listener

READER: Final = Actor.system("feed", origin="job")

PAGE: Final = 500
KEPT: Final = 2_000

# After a wake-up what it told of may not be readable yet: a transaction that began earlier is still open.
SOON: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)

log = logging.getLogger(__name__)


class Tail:
    """The last events of all tenants. `news` is set, and replaced by another, when there are more."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._events: list[Logged] = []
        # Whatever comes after this position is here.
        self._start = feed.BEGINNING
        self.news = asyncio.Event()

    async def open(self) -> None:
        """Begin at the end of the log. Raises Unavailable."""
        async with self._engine.system(READER) as tx:
            self._start = await feed.end(tx)
        self._events.clear()

    @property
    def start(self) -> Position:
        """Where it begins: for who has nothing to do with what was before."""
        return self._start

    async def follow(self, listener: Listener, poll: float) -> None:
        """Read on until cancelled: on every wake-up, a few times after it, and every `poll` seconds anyway."""
        pauses: Iterator[float] = iter(())
        while True:
            mind()
            try:
                if await self._read() == PAGE:
                    continue
            except Unavailable:
                log.warning("cannot read the event log")
                await asyncio.sleep(poll)
            if await listener.wait(min(next(pauses, poll), poll)):
                pauses = iter(SOON)

    async def after(self, position: Position) -> tuple[Sequence[Logged], Position]:
        """The next events, at most a page, and the position that they lead to. Raises Unavailable."""
        if position < self._start:
            start = self._start
            async with self._engine.system(READER) as tx:
                events = await feed.read(tx, position, limit=PAGE)
            # What is before our start can be added to no more: where nothing is left of it, we are there.
            return events, feed.position(events[-1]) if events else max(position, start)
        at = bisect_right(self._events, position, key=feed.position)
        events = self._events[at : at + PAGE]
        return events, feed.position(events[-1]) if events else position

    def tell(self) -> None:
        """Have everybody look who waits for news."""
        told, self.news = self.news, asyncio.Event()
        told.set()

    async def _read(self) -> int:
        end = feed.position(self._events[-1]) if self._events else self._start
        async with self._engine.system(READER) as tx:
            events = await feed.read(tx, end, limit=PAGE)
        if events:
            self._events += events
            if len(self._events) > 2 * KEPT:
                self._start = feed.position(self._events[-KEPT - 1])
                del self._events[:-KEPT]
            self.tell()
        return len(events)
