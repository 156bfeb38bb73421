"""Which workers live, and what becomes of the jobs of one that does not.

A worker holds an advisory lock of its number on a connection of its own. The moment its process is gone, however it
ended, PostgreSQL lets go of the lock, and any other worker sees that what it was doing is to be done again. A machine
that vanished leaves its connection behind for hours: its worker is known by its heartbeat, which has stopped.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final

import psycopg

from bellbird.core.actors import Actor
from bellbird.core.connection import Row
from bellbird.core.engine import SYSTEM_ROLE, Engine
from bellbird.core.errors import Unavailable
from bellbird.core.queue import HELD, LOCK_CLASS

# How many heartbeats a worker may miss.
MISSED: Final = 3

# Every so many seconds each worker looks whether all the others are there.
LOOK: Final = 2.0

# A worker whose connection was cut takes its lock anew: only one that is without for this long is gone.
GRACE: Final = 1.0

# A job that ends its worker time and again must not keep all of them from working.
AT_ONCE: Final = 2
LONGEST_PAUSE: Final = 300.0

log = logging.getLogger(__name__)


class Presence:
    """A worker's lock, held until `leave()`, on a connection that is made anew when it is lost."""

    def __init__(self, engine: Engine, worker_id: int) -> None:
        self._engine = engine
        self._worker_id = worker_id
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def enter(self) -> None:
        """Take the lock. Raises psycopg.Error, OSError."""
        self._connection = await self._take()
        self._keeping = asyncio.create_task(self._keep())

    async def leave(self) -> None:
        """Let go of the lock."""
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
        if self._connection is not None:
            await self._connection.close()

    async def _take(self) -> psycopg.AsyncConnection[Row]:
        connection = await self._engine.connect(SYSTEM_ROLE)
        try:
            await connection.execute("select pg_advisory_lock(%s, %s)", [LOCK_CLASS, self._worker_id])
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _keep(self) -> None:
        while True:
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = await self._take()
                # Nothing is listened to: this ends when the connection does.
                async for _ in self._connection.notifies():
                    pass
            except (psycopg.Error, OSError):
                connection, self._connection = self._connection, None
                if connection is not None:
                    await connection.close()
                await asyncio.sleep(GRACE / 5)


GONE = f"""
select w.id from procrastinate.procrastinate_workers w
where w.last_heartbeat < now() - make_interval(secs => $1::float8) or not {HELD}
"""
LEFT_BEHIND = """
select id, worker_id, attempts from procrastinate.procrastinate_jobs
where status = 'doing' and (worker_id is null or worker_id = any($1::bigint[])) order by id
"""
GIVE_BACK = "select procrastinate.give_back($1, $2, $3, $4)"
REMOVE = "delete from procrastinate.procrastinate_workers where id = any($1::bigint[])"


async def pick_up(engine: Engine, heartbeat: float) -> int:
    """Put back into the queue what workers that are gone were doing; returns how many jobs. Raises Unavailable."""
    gone = await _gone(engine, heartbeat)
    if gone:
        await asyncio.sleep(GRACE)
        gone &= await _gone(engine, heartbeat)
    who, several = Actor.system("worker", origin="job"), [str(id) for id in sorted(gone)]
    async with engine.system(who) as tx:
        left = await tx.all(LEFT_BEHIND, several)
        for id, worker_id, attempts in left:
            pause = 0.0 if attempts < AT_ONCE else min(2.0**attempts, LONGEST_PAUSE)
            at = tx.clock.now() + timedelta(seconds=pause) if pause else None
            tx.queue(GIVE_BACK, id, worker_id, at, True)
        if several:
            tx.queue(REMOVE, several)
    if left:
        log.warning("picked up what a worker left behind", extra={"jobs": len(left), "workers": len(several)})
    return len(left)


async def _gone(engine: Engine, heartbeat: float) -> set[int]:
    async with engine.system(Actor.system("worker", origin="job")) as tx:
        return {id for (id,) in await tx.all(GONE, heartbeat * MISSED)}


async def keep_picking_up(engine: Engine, heartbeat: float) -> None:
    """Look after the queue until cancelled: at once, and every two seconds."""
    while True:
        try:
            await pick_up(engine, heartbeat)
            await asyncio.sleep(min(heartbeat, LOOK))
        except Unavailable:
            await asyncio.sleep(GRACE)
