"""Who may be called now: the limits, the queue of those that wait for their turn, and ends that make room.

Whatever changes how many calls are under way holds the tenant's call lock until it is committed, and takes it after the
lock of a call's own row: never the other way round, except where rows that are locked are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Literal
from uuid import UUID

from bellbird.core import ids, jobs
from bellbird.core.connection import Pending
from bellbird.core.engine import Tx
from bellbird.core.tenants import TenantSettings
from bellbird.features.calls import rows
from bellbird.features.calls.models import Call, Disposition
from bellbird.features.calls.rows import Held

Limit = Literal["tenant", "agent", "number"]
End = Literal["failed", "canceled"]

DIAL: Final = "calls.dial"
ADMIT: Final = "calls.admit"
EXPIRE: Final = "calls.expire"

# Somebody waits to be called: before operations and deliveries.
URGENT: Final = 100

# Nothing is under way for longer than a wait and a call may take, a day each: older months need not be looked at.
LIVE_FOR: Final = timedelta(days=7)

# Why a call ended that waited in vain.
WAITED: Final = "waited_too_long"

# A call that waits and whose row somebody else holds at this moment is looked at again.
LOOK_AGAIN: Final = timedelta(seconds=1)

HOLD: Final = "select pg_advisory_xact_lock($1)"

# A call that comes in is the agent's who talks, not of everybody with whom it rings.
_LIVE: Final = "tenant_id = $1 and id >= $2 and ended_at is null"
_BUSY_AGENT: Final = "(direction = 'outbound' or status = 'in_progress')"


def hold(tx: Tx) -> None:
    """Queue taking the tenant's call lock, which is kept until the transaction is over."""
    digest = blake2b(b"calls of " + tx.tenant_id.bytes, digest_size=8).digest()
    tx.queue(HOLD, int.from_bytes(digest, signed=True))


def _since(tx: Tx) -> UUID:
    return ids.first_at(tx.clock.now() - LIVE_FOR)


# Of those that wait, the ones that would be let in now go before whoever comes later: their places are taken.
COUNT: Final = f"""
with live as (
  select agent_id, number, waits_until is not null as waits, {_BUSY_AGENT} as talks
  from calls
  where {_LIVE}
)
select
  count(*) filter (where not waits),
  count(*) filter (where waits
    and not exists (select from live l where not l.waits and l.talks and l.agent_id = live.agent_id)
    and not exists (select from live l where not l.waits and l.number = live.number)),
  coalesce(bool_or(agent_id = $3 and (waits or talks)), false),
  coalesce(bool_or(number = $4), false)
from live
"""


@dataclass(frozen=True, slots=True)
class Room:
    """How it stands when a call is to be placed: how many are under way or about to be, who of those it needs is busy.

    `ahead` are those that wait and will be let in next.
    """

    live: int
    ahead: int
    agent_is_busy: bool
    number_is_busy: bool

    def lacking(self, settings: TenantSettings) -> Limit | None:
        """The limit that keeps the call from being placed now."""
        if self.agent_is_busy:
            return "agent"
        if self.number_is_busy:
            return "number"
        return "tenant" if self.live + self.ahead >= settings.max_live_calls else None


def look(tx: Tx, agent_id: UUID | None, number: str) -> Pending:
    """Queue taking the lock, and then looking how much room there is: the answer is for `room`."""
    hold(tx)
    return tx.queue(COUNT, tx.tenant_id, _since(tx), agent_id, number)


def room(looked: Pending) -> Room:
    """What `look` saw."""
    return Room(*looked.rows[0])


WAKE: Final = f"""
select defer_job($1, $3, $4, $5, $6, $7, $8, $9)
where exists (select from calls where {_LIVE} and waits_until is not null)
"""


def freed(tx: Tx, call: Call) -> None:
    """Queue what has to happen as an admitted call ends: those that wait are looked at once this is committed.

    The call's row is locked already. Whoever begins to wait meanwhile does so before this looks, or sees it ended.
    """
    hold(tx)
    job = jobs.row(tx.tenant_id, ADMIT, jobs.QUEUE, {}, URGENT, None, ADMIT, None)
    tx.queue(WAKE, tx.tenant_id, _since(tx), *job[1:])


def wake(tx: Tx) -> None:
    """Queue that those that wait are looked at, once this is committed."""
    tx.defer(ADMIT, queueing_lock=ADMIT, priority=URGENT)


def dial(tx: Tx, id: UUID) -> None:
    """Queue having a call dialled, once this is committed."""
    tx.defer(DIAL, queueing_lock=f"{DIAL} {id}", priority=URGENT, call_id=id)


def expire(tx: Tx, id: UUID, at: datetime) -> None:
    """Queue having a call given up that still waits then."""
    tx.defer(EXPIRE, queueing_lock=f"{EXPIRE} {id}", at=at, priority=URGENT, call_id=id)


_DISPOSITIONS: Final[dict[End, Disposition]] = {"failed": "failed", "canceled": "canceled"}


def end(
    tx: Tx, before: Held, status: End, reason: str | None, *, hang_up_at: datetime | None = None,
    decision: dict[str, Any] | None = None,
) -> Call:  # fmt: skip
    """Queue the end of a locked call that never was on the line, as we have it, and let in who waits for its place."""
    ended = replace(
        before.call, status=status, ended_at=tx.now(), disposition=_DISPOSITIONS[status], reason=reason,
        decision=decision or before.call.decision, waits_until=None,
    )  # fmt: skip
    after = replace(before, call=ended, hang_up_at=hang_up_at or before.hang_up_at, ended_by="bellbird")
    call = rows.write(tx, before, after, happened=status)
    if before.call.waits_until is None:
        freed(tx, call)
    return call


# Those in front whose agent and number are free, without those that somebody is just canceling.
NEXT: Final = f"""
{rows.HELD}
from calls
where {_LIVE} and waits_until is not null
  and not exists (
    select from calls live
    where live.tenant_id = $1 and live.id >= $2 and live.ended_at is null and live.waits_until is null
      and live.agent_id = calls.agent_id and (live.direction = 'outbound' or live.status = 'in_progress'))
  and not exists (
    select from calls live
    where live.tenant_id = $1 and live.id >= $2 and live.ended_at is null and live.waits_until is null
      and live.number = calls.number)
order by id
limit $3
"""

LIVE_COUNT: Final = f"select count(*) from calls where {_LIVE} and waits_until is null"


async def admit(tx: Tx) -> int:
    """Let in those that wait, in the order in which they came, as far as there is room; returns how many.

    One whose agent or number is busy is passed over by those behind it. Each is recorded as `call.updated`.
    """
    hold(tx)
    counted = tx.queue(LIVE_COUNT, tx.tenant_id, _since(tx))
    tenant = await tx.writable(even_suspended=True)
    if tenant.status != "active":
        return 0  # who cannot call is not let in; their time runs out
    free = tenant.settings.max_live_calls - counted.rows[0][0]
    admitted = 0
    while free > admitted:
        found = await tx.all(f"{NEXT}for update skip locked", tx.tenant_id, _since(tx), free - admitted)
        if not found:
            if await tx.one(NEXT, tx.tenant_id, _since(tx), 1):
                # Somebody holds the row of one that could be let in: to cancel it, or only to write a note.
                tx.defer(ADMIT, queueing_lock=ADMIT, at=tx.clock.now() + LOOK_AGAIN, priority=URGENT)
            break
        admitted += _let_in(tx, [rows.held(row) for row in found])
    return admitted


def _let_in(tx: Tx, waiting: Sequence[Held]) -> int:
    """Of those that could each be let in, all that can be together. One whose time is over is not called any more."""
    agents, numbers = set[UUID](), set[str]()
    admitted, now = 0, tx.now()
    for before in waiting:
        call = before.call
        if call.waits_until is not None and call.waits_until <= now:
            end(tx, before, "canceled", WAITED)
        elif call.agent_id not in agents and call.number not in numbers:
            agents |= {call.agent_id} if call.agent_id else set()
            numbers |= {call.number} if call.number else set()
            rows.write(tx, before, replace(before, call=replace(call, waits_until=None)), happened="updated")
            dial(tx, call.id)
            admitted += 1
    return admitted


async def give_up(tx: Tx, id: UUID) -> None:
    """End a call that still waits though its time is over."""
    asked = tx.queue(rows.LOCK, tx.tenant_id, id)
    await tx.writable(even_suspended=True)
    if not asked.rows:
        return
    before = rows.held(asked.rows[0])
    until = before.call.waits_until
    if before.call.ended_at is not None or until is None:
        return
    if until <= tx.clock.now():
        end(tx, before, "canceled", WAITED)
    else:  # the database's clock is ahead of ours
        expire(tx, id, until)
