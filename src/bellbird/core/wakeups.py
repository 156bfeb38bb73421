"""Telling the readers of the log that there is something new, without a NOTIFY in anybody's transaction.

NOTIFY takes a lock across the whole server at commit, so no write carries one. After a commit that appended events, the
process says so on a connection of its own, at most once in 20 ms; whoever reads the log polls as well, so one that is
lost only costs a moment.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg

CHANNEL: Final = "bellbird_events"
PAUSE: Final = 0.02

log = logging.getLogger(__name__)

Connect = Callable[[], Awaitable[psycopg.AsyncConnection[tuple[object, ...]]]]


class Wakeups:
    """Sends wake-ups for one process."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_due = False
        self.sent = 0
        self.failed = 0

    def send(self) -> None:
        """Have the readers told, now or with the next wake-up."""
        self._is_due = True
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._send())

    async def _send(self) -> None:
        while self._is_due:
            self._is_due = False
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await self._connect()
                await self._connection.execute(f"notify {CHANNEL}")
                self.sent += 1
            except (psycopg.Error, OSError) as error:
                self.failed += 1
                log.warning("a wake-up was lost", extra={"reason": type(error).__name__})
                await self._disconnect()
            await asyncio.sleep(PAUSE)

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def close(self) -> None:
        """Send what is due, and hang up."""
        if self._task is not None:
            await self._task
        await self._disconnect()


class Listener:
    """Waits for wake-ups, on a connection that goes past any transaction pooler."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def wait(self, seconds: float) -> bool:
        """Until there may be something new, or the time is over; returns whether somebody said so.

        A connection that was lost counts as a wake-up, for one may have been lost with it.
        """
        try:
            if self._connection is None or self._connection.closed:
                self._connection = await self._connect()
                await self._connection.execute(f"listen {CHANNEL}")
                return True
            async for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                return True
            return False
        except (psycopg.Error, OSError) as error:
            log.warning("cannot listen for wake-ups", extra={"reason": type(error).__name__})
            await self.close()
            await asyncio.sleep(min(seconds, 1.0))
            return True

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
