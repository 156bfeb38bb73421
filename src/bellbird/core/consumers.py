"""Whoever works on the event log: each consumer with a cursor of its own, in lanes, at least once, in commit order.

A lane has some of the tenants, and one process at a time: it holds a lock for as long as its connection lives, so the
lanes of a process that was killed are free at once. Of one tenant, events come in the order in which they were
committed; only one that its consumer failed to deal with is put aside, and comes again later: after 5 s, 20 s, 80 s...
After `tries` it is given up, and waits with the reason for the operator (`bellbird consumers dead`).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, Final, Literal

from bellbird.core import feed
from bellbird.core.cursors import Cursors
from bellbird.core.engine import SYSTEM_ROLE, Engine
from bellbird.core.events import Logged
from bellbird.core.lanes import LOST, Lane
from bellbird.core.patience import mind
from bellbird.core.tail import Tail
from bellbird.core.topics import Topics
from bellbird.core.wakeups import Listener

POLL: Final = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Consumer:
    """Somebody who is told of events of these types (`contact.created`, `contact.*`, `*`).

    `handle` is given up to `batch` events of one lane; if that fails, they are given to it one by one, so that those
    before the one that cannot be dealt with may come twice. With `singly` it gets them one by one from the start.
    It may take `timeout` seconds. `start` is where somebody new begins: at the end of the log, or at its beginning.
    """

    name: str
    types: tuple[str, ...]
    handle: Callable[[Sequence[Logged]], Coroutine[Any, Any, None]]
    _: KW_ONLY
    lanes: int = 4
    batch: int = 200
    tries: int = 5
    timeout: float = 30.0
    start: Literal["now", "beginning"] = "now"
    singly: bool = False
    topics: Topics = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "topics", Topics(self.types))


class Consumers:
    """Runs consumers in this process, beside those that run them in others.

    The lanes of each are shared out evenly among the processes that run it.
    """

    def __init__(self, engine: Engine, consumers: Sequence[Consumer], *, poll: float = POLL) -> None:
        names = [each.name for each in consumers]
        assert len(set(names)) == len(names), "each consumer has a name of its own"
        self._engine = engine
        self._consumers = consumers
        self._poll = poll
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._entered: set[str] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Deliver events until `stop` is set; what is being worked on then is ended first.

        A database that goes away is waited for.
        """
        while self._consumers and not stop.is_set():
            mind()
            try:
                await self._session(stop)
            except* LOST as errors:
                reason = type(_first(errors)).__name__
                log.warning("the consumers have lost the database", extra={"reason": reason})
            if not stop.is_set():
                await _or(stop.wait(), self._poll)
        await stop.wait()

    async def _session(self, stop: asyncio.Event) -> None:
        """As long as one connection lasts. Raises a group of `LOST`."""
        self._lanes.clear()
        self._entered.clear()
        listener = Listener(self._engine.connect)
        connection = None
        try:
            async with asyncio.TaskGroup() as group:
                connection = await self._engine.connect(SYSTEM_ROLE)
                cursors, tail = Cursors(connection, self._engine.clock), Tail(self._engine)
                await tail.open()
                following = group.create_task(tail.follow(listener, self._poll))
                tasks: set[asyncio.Task[None]] = set()
                while not stop.is_set():
                    mind()
                    tasks = {task for task in tasks if not task.done()}
                    for consumer in self._consumers:
                        tasks |= {
                            group.create_task(self._run(lane, cursors))
                            for lane in await self._take(consumer, cursors, tail)
                        }
                    await self._remind(cursors)
                    await _or(stop.wait(), self._poll)
                for lane in list(self._lanes.values()):
                    lane.stop()
                tail.tell()
                if tasks:
                    await asyncio.wait(tasks)
                following.cancel()
        finally:
            await listener.close()
            if connection is not None:
                await connection.close()

    async def _take(self, consumer: Consumer, cursors: Cursors, tail: Tail) -> list[Lane]:
        """Take the lanes that are free, or let go of some if others have come to share them."""
        name = consumer.name
        if name not in self._entered:
            start = tail.start if consumer.start == "now" else feed.BEGINNING
            if not await cursors.enter(name, consumer.lanes, start):
                log.warning("a consumer is run elsewhere with another number of lanes", extra={"consumer": name})
                return []
            self._entered.add(name)
        share = -(-consumer.lanes // max(1, await cursors.holders(name)))
        ours = [number for number in range(consumer.lanes) if (name, number) in self._lanes]
        for number in ours[share:]:
            self._lanes[name, number].stop()
        taken = list[Lane]()
        for number in range(consumer.lanes):
            if len(ours) + len(taken) >= share:
                break
            if number not in ours and await cursors.hold(name, number):
                lane = Lane(consumer, number, tail, cursors, self._engine)
                self._lanes[name, number] = lane
                taken.append(lane)
        return taken

    async def _run(self, lane: Lane, cursors: Cursors) -> None:
        await lane.run(self._poll)
        await cursors.release(lane.consumer.name, lane.number)
        del self._lanes[lane.consumer.name, lane.number]

    async def _remind(self, cursors: Cursors) -> None:
        """Tell the lanes of what is to be tried again; asking also finds out whether the connection is still there."""
        late = await cursors.late([each.name for each in self._consumers])
        for (name, _), lane in self._lanes.items():
            if name in late:
                lane.due.set()


async def _or(event: Awaitable[Any], seconds: float) -> None:
    """Until something happens or the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):  # not wait_for(), which before Python 3.12 may miss being cancelled
            await event


def _first(errors: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
