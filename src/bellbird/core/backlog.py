"""What the consumers of the log have yet to do, for metrics and the operator: lags, and what failed."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from bellbird.core import ids
from bellbird.core.actors import Actor
from bellbird.core.cursors import LANE, key
from bellbird.core.engine import Engine, SystemTx
from bellbird.core.errors import Conflict, NotFound


class ConsumerNotFound(NotFound):
    """There is no such consumer of the event log."""

    code = "consumer_not_found"


class ConsumerRunning(Conflict):
    """The consumer is running: stop whoever runs it first."""

    code = "consumer_running"


@dataclass(frozen=True, slots=True)
class Lag:
    """How far behind a lane of a consumer is.

    `seconds` is the age of the oldest event that it has not dealt with, 0 if there is none; `parked` counts those that
    failed and are tried again, `dead` those that were given up.
    """

    consumer: str
    lane: int
    seconds: float
    parked: int
    dead: int
    moved_at: datetime


# What comes next is looked for in all lanes: a lane's position moves on with every event, also those of others.
LAGS: Final = f"""
select c.name, c.lane, oldest.id, coalesce(aside.parked, 0), coalesce(aside.dead, 0), c.moved_at
from consumers c
left join lateral (
  select e.tenant_id, e.id from events e where (e.tx, e.id) > (c.tx, c.id) order by e.tx, e.id limit 1
) oldest on true
left join lateral (
  select count(p.next_try_at) as parked, count(p.dead_at) as dead
  from parked_events p where p.consumer = c.name and {LANE.format("p.")} % c.lanes = c.lane
) aside on true
order by c.name, c.lane
"""


async def lag(engine: Engine) -> list[Lag]:
    """How every lane of every consumer stands. Raises Unavailable."""
    async with engine.system(Actor.system("feed", origin="job")) as tx:
        rows = await tx.all(LAGS)
    now = engine.clock.now()
    return [
        Lag(name, lane, 0.0 if oldest is None else max(0.0, (now - ids.made_at(oldest)).total_seconds()), *rest)
        for name, lane, oldest, *rest in rows
    ]


NAMES: Final = "select name from consumers union select consumer from parked_events order by 1"


async def check(tx: SystemTx, name: str) -> None:
    """Raises ConsumerNotFound, naming those that there are."""
    names = [row[0] for row in await tx.all(NAMES)]
    if name in names:
        return
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none, until a worker has run'}."
    raise ConsumerNotFound(f"There is no consumer {name}; {hint}")


@dataclass(frozen=True, slots=True)
class Dead:
    """An event that a consumer gave up, or has put aside until `next_try_at`."""

    tenant: str | None
    event_id: UUID
    type: str | None
    tries: int
    reason: str
    parked_at: datetime
    next_try_at: datetime | None
    dead_at: datetime | None


ASIDE: Final = """
select t.slug, p.event_id, e.type, p.tries, p.reason, p.parked_at, p.next_try_at, p.dead_at
from parked_events p
left join tenants t on t.id = p.tenant_id
left join events e on e.tenant_id = p.tenant_id and e.id = p.event_id
where p.consumer = $1 and (p.dead_at is not null or $2)
order by p.parked_at desc, p.event_id
limit $3
"""


async def aside(tx: SystemTx, name: str, *, waiting: bool = False, limit: int = 50) -> list[Dead]:
    """What a consumer gave up, newest first; with `waiting` also what is tried again. Raises ConsumerNotFound."""
    await check(tx, name)
    return [Dead(*row) for row in await tx.all(ASIDE, name, waiting, limit)]


RETRY: Final = """
update parked_events set tries = 0, next_try_at = $2, dead_at = null
where consumer = $1 and (event_id = any($3) or $4)
"""


async def retry(tx: SystemTx, name: str, events: Sequence[UUID] = ()) -> int:
    """Have events tried again now, with all their tries; without any, all that are put aside or given up.

    Returns how many. Raises ConsumerNotFound.
    """
    await check(tx, name)
    return await tx.run(RETRY, name, tx.clock.now(), list(events), not events)


ALONE: Final = "select pg_try_advisory_xact_lock($1)"
FORGET_PARKED: Final = "delete from parked_events where consumer = $1 and (dead_at is not null or $2)"
FORGET_CURSORS: Final = "delete from consumers where name = $1"


async def drop(tx: SystemTx, name: str, *, dead_only: bool = False) -> int:
    """Forget a consumer, its cursor and all that it has put aside; with `dead_only`, only what it gave up.

    Returns how many events were put aside or given up. Raises ConsumerNotFound, ConsumerRunning.
    """
    await check(tx, name)
    if not dead_only:
        if await tx.one(ALONE, key(name)) == (False,):
            raise ConsumerRunning(f"{name} is running: stop the worker that runs it, or take it out of it, first.")
        await tx.run(FORGET_CURSORS, name)
    return await tx.run(FORGET_PARKED, name, not dead_only)
