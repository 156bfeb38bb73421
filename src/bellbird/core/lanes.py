"""A lane of a consumer: the events of its tenants, in the order in which they were committed, each at least once."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import UUID

import psycopg

from bellbird.core import feed
from bellbird.core.cursors import Cursors, Parked, lane_of
from bellbird.core.engine import Engine
from bellbird.core.errors import Unavailable
from bellbird.core.events import COLUMNS, Logged, from_row
from bellbird.core.patience import mind, within
from bellbird.core.tail import READER, Tail

if TYPE_CHECKING:
    from bellbird.core.consumers import Consumer

# How long a position may be known to us alone: that others' events were passed over costs nothing to find out again.
STORE_EVERY: Final = 1.0

THESE: Final = f"select {COLUMNS} from events where tenant_id = any($1) and id = any($2)"

log = logging.getLogger(__name__)


class Lane:
    """One lane, while this process has it."""

    def __init__(self, consumer: "Consumer", number: int, tail: Tail, cursors: Cursors, engine: Engine) -> None:
        self.consumer = consumer
        self.number = number
        self._tail = tail
        self._cursors = cursors
        self._engine = engine
        self._position = self._stored = feed.BEGINNING
        self._stored_at = 0.0
        self._ending = asyncio.Event()
        self.due = asyncio.Event()

    def stop(self) -> None:
        """End after what is being worked on."""
        self._ending.set()
        self.due.set()

    async def run(self, poll: float) -> None:
        """Deliver what is new, and beside it what failed before, until stopped. Raises psycopg.Error."""
        self._position = self._stored = await self._cursors.position(self.consumer.name, self.number)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(poll))
            group.create_task(self._try_again(poll))

    async def _follow(self, poll: float) -> None:
        while not self._ending.is_set():
            mind()
            news = self._tail.news
            try:
                events, end = await self._tail.after(self._position)
            except Unavailable:
                await asyncio.sleep(poll)
                continue
            await self._deliver([event for event in events if self._is_ours(event)])
            if self._ending.is_set():
                break
            self._position = end
            await self._store()
            if not events:
                with suppress(TimeoutError):
                    async with asyncio.timeout(poll):
                        await news.wait()
        await self._store(now=True)

    def _is_ours(self, event: Logged) -> bool:
        is_in_lane = lane_of(event.tenant_id, self.consumer.lanes) == self.number
        return is_in_lane and event.type in self.consumer.topics

    async def _deliver(self, events: Sequence[Logged]) -> None:
        size = 1 if self.consumer.singly else self.consumer.batch
        for at in range(0, len(events), size):
            if self._ending.is_set():
                return
            batch = events[at : at + size]
            failure = await self._try(batch)
            if failure is not None and len(batch) > 1:
                await self._one_by_one(batch)
                continue
            if failure is not None:
                await self._park(batch[0], failure)
            self._position = feed.position(batch[-1])
            await self._store(now=not self.consumer.singly or failure is not None)
        await self._store(now=bool(events))

    async def _one_by_one(self, events: Sequence[Logged]) -> None:
        """Find out which of them it was."""
        for event in events:
            if self._ending.is_set():
                return
            failure = await self._try([event])
            if failure is not None:
                await self._park(event, failure)
            self._position = feed.position(event)
            await self._store()

    async def _park(self, event: Logged, failure: str) -> None:
        await self._cursors.park(self.consumer.name, event, failure, tries=self.consumer.tries)

    async def _store(self, *, now: bool = False) -> None:
        time = asyncio.get_running_loop().time()
        if self._position != self._stored and (now or time >= self._stored_at + STORE_EVERY):
            position = self._position
            await self._cursors.move(self.consumer.name, self.number, position)
            self._stored, self._stored_at = position, time

    async def _try(self, events: Sequence[Logged]) -> str | None:
        """Have events handled; returns why that failed."""
        try:
            await within(self.consumer.timeout, self.consumer.handle(events))
        except Exception as error:
            about = {"consumer": self.consumer.name, "events": [str(event.id) for event in events[:10]]}
            log.warning("a consumer failed", extra=about, exc_info=error)
            return f"{type(error).__name__}: {error}"
        return None

    async def _try_again(self, poll: float) -> None:
        name, tries = self.consumer.name, self.consumer.tries
        while not self._ending.is_set():
            mind()
            await self.due.wait()
            self.due.clear()
            parked = await self._cursors.due(name, self.consumer.lanes, self.number)
            try:
                found = await self._find(parked) if parked else {}
            except Unavailable:
                await asyncio.sleep(poll)
                continue
            for each in parked:
                if self._ending.is_set():
                    return
                event = found.get((each.tenant_id, each.event_id))
                # What retention or the end of its tenant took out of the log is nobody's to deal with.
                failure = None if event is None else await self._try([event])
                if failure is None:
                    await self._cursors.done(name, each)
                else:
                    await self._cursors.failed(name, each, failure, tries=tries)

    async def _find(self, parked: Sequence[Parked]) -> dict[tuple[UUID, UUID], Logged]:
        tenants, events = [each.tenant_id for each in parked], [each.event_id for each in parked]
        async with self._engine.system(READER) as tx:
            rows = await tx.all(THESE, tenants, events)
        return {(event.tenant_id, event.id): event for event in map(from_row, rows)}


# What ends a session with the database: the lanes are taken anew with the next one.
LOST: Final = (psycopg.Error, OSError, Unavailable)
