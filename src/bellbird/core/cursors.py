"""How far each consumer of the log has come, and what it could not do: kept on the connection that holds its lanes.

A lane belongs to whoever holds its lock, which lasts as long as the connection. All that is written here goes over that
same connection: who has lost it has lost the lane, and writes nothing any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from random import SystemRandom
from typing import Any, Final
from uuid import UUID

import psycopg

from bellbird.core import ids
from bellbird.core.clock import Clock
from bellbird.core.events import Logged
from bellbird.core.feed import Position

# 5 s after the first try, then 20, 80, 320 s and so on, each a fifth more or less: what failed together should not come
# back together.
FIRST_PAUSE: Final = 5.0
LONGEST_PAUSE: Final = 6 * 60 * 60.0
_uniform: Final = SystemRandom().uniform

# The longest reason that is kept.
MAX_REASON: Final = 500

# A tenant's lane: the last 32 bits of its id are random. `lane_of` says the same in Python.
LANE: Final = "('x' || right({}tenant_id::text, 8))::bit(32)::bigint"


def lane_of(tenant_id: UUID, lanes: int) -> int:
    """The lane that a tenant is in, always the same one for as many lanes."""
    return (tenant_id.int & 0xFFFFFFFF) % lanes


def key(name: str, lane: int | None = None) -> int:
    """The number of the advisory lock for a lane; without one, of that which everybody shares who runs the consumer."""
    text = f"bellbird consumer {name}/{'*' if lane is None else lane}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), signed=True)


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that a consumer could not deal with, and how often it has tried."""

    tenant_id: UUID
    event_id: UUID
    tries: int


ROWS: Final = "select lane, lanes, tx::text, id from consumers where name = %s"

# Where the number of lanes has changed, a tenant may be in another one: each begins where the last of them was.
PREPARE: Final = """
insert into consumers (name, lane, lanes, tx, id, moved_at)
select %(name)s, lane, %(lanes)s, %(tx)s::xid8, %(id)s, %(now)s
from generate_series(0, %(lanes)s - 1) as lane
on conflict (name, lane) do update
set lanes = excluded.lanes, tx = excluded.tx, id = excluded.id, moved_at = excluded.moved_at
"""
CUT: Final = "delete from consumers where name = %s and lane >= %s"

HOLDERS: Final = """
select count(*) from pg_locks
where locktype = 'advisory' and mode = 'ShareLock' and granted and objsubid = 1
  and database = (select oid from pg_database where datname = current_database())
  and classid::bigint = %(key)s::bigint >> 32 & 4294967295 and objid::bigint = %(key)s::bigint & 4294967295
"""

MOVE: Final = """
update consumers set tx = %s::xid8, id = %s, moved_at = %s where name = %s and lane = %s
"""

PARK: Final = """
insert into parked_events (tenant_id, id, consumer, event_id, tries, reason, parked_at, next_try_at, dead_at)
values (%s, %s, %s, %s, 1, %s, %s, %s, %s)
on conflict (tenant_id, consumer, event_id) do nothing
"""

LATE: Final = """
select distinct consumer from parked_events where consumer = any(%s) and next_try_at <= %s
"""

DUE: Final = f"""
select tenant_id, event_id, tries from parked_events
where consumer = %s and next_try_at <= %s and {LANE.format("")} %% %s = %s
order by next_try_at
limit 50
"""

DONE: Final = "delete from parked_events where tenant_id = %s and consumer = %s and event_id = %s"

FAILED: Final = """
update parked_events set tries = %s, reason = %s, next_try_at = %s, dead_at = %s
where tenant_id = %s and consumer = %s and event_id = %s
"""


class Cursors:
    """What a running process of consumers keeps; every method raises psycopg.Error when the connection is lost."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    async def enter(self, name: str, lanes: int, start: Position) -> bool:
        """Take part in running a consumer, which is made at `start` if it is new.

        False as long as others run it with another number of lanes.
        """
        shared = key(name)
        if not await self._value("select pg_try_advisory_lock_shared(%s)", shared):
            return False
        if await self._is_prepared(name, lanes):
            return True
        await self._value("select pg_advisory_unlock_shared(%s)", shared)
        if not await self._value("select pg_try_advisory_lock(%s)", shared):
            return False
        if not await self._is_prepared(name, lanes):
            rows = await self._rows(ROWS, name)
            tx, id = min((Position(int(tx), id) for _, _, tx, id in rows), default=start)
            about = {"name": name, "lanes": lanes, "tx": str(tx), "id": id, "now": self._clock.now()}
            await self._connection.execute(PREPARE, about)
            await self._connection.execute(CUT, (name, lanes))
        await self._value("select pg_try_advisory_lock_shared(%s)", shared)
        await self._value("select pg_advisory_unlock(%s)", shared)
        return True

    async def _is_prepared(self, name: str, lanes: int) -> bool:
        rows = await self._rows(ROWS, name)
        return len(rows) == lanes and all(row[1] == lanes for row in rows)

    async def holders(self, name: str) -> int:
        """How many processes run a consumer."""
        async with await self._connection.execute(HOLDERS, {"key": key(name)}) as cursor:
            return int((await cursor.fetchone() or (1,))[0])

    async def hold(self, name: str, lane: int) -> bool:
        """Take a lane, if nobody has it."""
        return bool(await self._value("select pg_try_advisory_lock(%s)", key(name, lane)))

    async def release(self, name: str, lane: int) -> None:
        """Leave a lane to others."""
        await self._value("select pg_advisory_unlock(%s)", key(name, lane))

    async def position(self, name: str, lane: int) -> Position:
        """How far a lane has come."""
        ((tx, id),) = [(row[2], row[3]) for row in await self._rows(ROWS, name) if row[0] == lane]
        return Position(int(tx), id)

    async def move(self, name: str, lane: int, to: Position) -> None:
        """A lane has come this far."""
        await self._connection.execute(MOVE, (str(to.tx), to.id, self._clock.now(), name, lane))

    async def park(self, name: str, event: Logged, reason: str, *, tries: int) -> None:
        """Put an event aside that could not be dealt with, to be tried `tries` times in all."""
        now = self._clock.now()
        next_try, dead = self._fate(1, tries)
        about = (name, event.id, reason[:MAX_REASON], now, next_try, dead)
        await self._connection.execute(PARK, (event.tenant_id, ids.uuid7(now), *about))

    async def late(self, names: Sequence[str]) -> set[str]:
        """Those consumers that have events to be tried again now."""
        return {row[0] for row in await self._rows(LATE, list(names), self._clock.now())}

    async def due(self, name: str, lanes: int, lane: int) -> list[Parked]:
        """What a lane is to try again now."""
        return [Parked(*row) for row in await self._rows(DUE, name, self._clock.now(), lanes, lane)]

    async def done(self, name: str, parked: Parked) -> None:
        """What was put aside is dealt with."""
        await self._connection.execute(DONE, (parked.tenant_id, name, parked.event_id))

    async def failed(self, name: str, parked: Parked, reason: str, *, tries: int) -> None:
        """What was put aside failed once more: it is tried again later, or given up."""
        next_try, dead = self._fate(parked.tries + 1, tries)
        which = (parked.tenant_id, name, parked.event_id)
        await self._connection.execute(FAILED, (parked.tries + 1, reason[:MAX_REASON], next_try, dead, *which))

    def _fate(self, tried: int, tries: int) -> tuple[datetime | None, datetime | None]:
        """When an event is tried again, or that it is given up now."""
        now = self._clock.now()
        if tried >= tries:
            return None, now
        pause = min(FIRST_PAUSE * 4 ** (tried - 1), LONGEST_PAUSE)
        return now + timedelta(seconds=pause * _uniform(0.8, 1.2)), None

    async def alive(self) -> None:
        """Raises psycopg.Error when the connection is lost."""
        await self._connection.execute("select 1")

    async def _value(self, statement: str, *parameters: Any) -> Any:
        return (await self._rows(statement, *parameters))[0][0]

    async def _rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        async with await self._connection.execute(statement.encode(), parameters) as cursor:
            return await cursor.fetchall()
