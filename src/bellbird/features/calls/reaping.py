"""Calls that would never end by themselves: their callbacks were lost, or whoever was to dial them is gone.

Each is ended with a reason, so that its agent and its number are free again. That is our word, not the provider's: if
the provider tells an end after all, its word counts (ADR 19).
"""

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal
from uuid import UUID

from bellbird.core import ids
from bellbird.core.engine import Engine, SystemTx, Tx
from bellbird.core.telephony import ProviderUnclear
from bellbird.core.tenants import TenantSettings
from bellbird.features.calls import admitting, dialing, machine, rows
from bellbird.features.calls.models import Call
from bellbird.features.calls.placing import HANG_UP
from bellbird.features.calls.rows import Held

REAP: Final = "calls.reap"

# How long a call may wait for a worker to dial it before its job is taken for lost, and before it is not dialled any
# more: whoever wanted to talk does not expect it by then.
UNDIALLED: Final = timedelta(minutes=1)
FORGOTTEN: Final = timedelta(minutes=15)

# How long nothing may be known of a call that was perhaps dialled; how long one may ring, which no network does for
# longer than five minutes; and how long one may take to end that was asked to.
UNCLEAR: Final = timedelta(minutes=2)
RINGING: Final = timedelta(minutes=5)
ENDING: Final = timedelta(minutes=2)

# A tenant's that has never said how long its calls may take.
LONGEST_MINUTES: Final = TenantSettings().max_call_minutes

# Its own job ends a call whose time to wait is over; this is for when that was lost.
WAITING: Final = timedelta(seconds=30)

# Further back nobody looks: a call that was never ended, and that no minute of a month has found, never will be.
LOOKED_AT: Final = timedelta(days=31)
AT_ONCE: Final = 1000

Due = Literal["waited", "undialled", "forgotten", "unclear", "ringing", "talking", "hung_up"]
End = Literal["completed", "failed", "canceled"]


def due(held: Held, settings: TenantSettings, now: datetime) -> Due | None:
    """What is wrong with a call by now; None if nothing is."""
    call = held.call
    if call.ended_at is not None:
        return None
    if call.waits_until is not None:
        return "waited" if call.waits_until + WAITING <= now else None
    if held.hang_up_at is not None and held.hang_up_at + ENDING <= now and call.status != "queued":
        return "hung_up"
    if call.status == "queued" and call.direction == "outbound":
        if held.claimed_at is not None:
            return "unclear" if held.claimed_at + UNCLEAR <= now else None
        since = now - call.updated_at
        return "forgotten" if since >= FORGOTTEN else "undialled" if since >= UNDIALLED else None
    if call.status == "in_progress":
        longest = timedelta(minutes=settings.max_call_minutes)
        return "talking" if (call.answered_at or call.created_at) + longest <= now else None
    return "ringing" if _rings_since(call) + RINGING <= now else None


def _rings_since(call: Call) -> datetime:
    return max(filter(None, (call.created_at, call.initiated_at, call.ringing_at)))


# The same in SQL, not quite as exact: whether it is so is decided when the call is locked.
STUCK: Final = f"""
select c.tenant_id, c.id
from calls c
join tenants t on t.id = c.tenant_id and t.status <> 'deleting'
where c.ended_at is null and c.id >= $2
  and case
    when c.waits_until is not null then c.waits_until <= $1
    when c.hang_up_at <= $1 - interval '{ENDING}' then true
    when c.status = 'queued' then coalesce(c.claimed_at, c.updated_at) <= $1 - interval '{UNDIALLED}'
    when c.status = 'in_progress' then coalesce(c.answered_at, c.created_at)
      <= $1 - make_interval(mins => coalesce((t.settings ->> 'max_call_minutes')::integer, {LONGEST_MINUTES}))
    else greatest(c.created_at, c.initiated_at, c.ringing_at) <= $1 - interval '{RINGING}'
  end
order by c.id
limit {AT_ONCE}
"""


# Whose limit was raised, or whose job to let them in was lost: nobody else would.
WAITING_TENANTS: Final = """
select distinct c.tenant_id
from calls c
join tenants t on t.id = c.tenant_id and t.status = 'active'
where c.ended_at is null and c.waits_until is not null and c.id >= $1
"""


async def find(tx: SystemTx) -> int:
    """Queue a job for each call of whatever tenant that may be stuck, and have those that wait looked at.

    Returns how many may be stuck.
    """
    now = tx.clock.now()
    waiting = tx.queue(WAITING_TENANTS, ids.first_at(now - LOOKED_AT))
    found = await tx.all(STUCK, now, ids.first_at(now - LOOKED_AT))
    for (tenant_id,) in waiting.rows:
        tx.defer(tenant_id, admitting.ADMIT, queueing_lock=admitting.ADMIT)
    for tenant_id, id in found:
        tx.defer(tenant_id, REAP, queueing_lock=f"{REAP} {id}", call_id=id)
    return len(found)


async def reap(engine: Engine, tenant_id: UUID, id: UUID) -> Due | None:
    """Do what has to be done about a call that is stuck, or nothing if it is not; returns what was wrong with it."""
    async with engine.tenant(tenant_id, dialing.DIALLER) as tx:
        wrong = await _put_right(tx, id)
    if wrong != "unclear":
        return wrong
    with suppress(ProviderUnclear):
        await dialing.dial(engine, tenant_id, id)  # it is claimed, so this only asks whether it was dialled
    async with engine.tenant(tenant_id, dialing.DIALLER) as tx:
        return await _put_right(tx, id, is_asked=True) or wrong


async def _put_right(tx: Tx, id: UUID, *, is_asked: bool = False) -> Due | None:
    """Do what can be done about a call in a transaction. `is_asked`: its provider knows nothing of it."""
    asked = tx.queue(rows.LOCK, tx.tenant_id, id)
    settings = (await tx.writable(even_suspended=True)).settings
    if not asked.rows:
        return None
    before = rows.held(asked.rows[0])
    wrong = due(before, settings, tx.clock.now())
    if wrong == "waited":
        _end(tx, before, "canceled", admitting.WAITED)
    elif wrong == "undialled":
        admitting.dial(tx, id)
    elif wrong == "forgotten":
        _end(tx, before, "failed", "never_dialled")
    elif wrong == "unclear" and is_asked:
        _end(tx, before, "failed", "placing_unclear")
    elif wrong in ("ringing", "talking") and before.hang_up_at is None:
        # It may be on the line all the same. Once it is hung up, its end is told; if not, we say so ourselves.
        tx.defer(HANG_UP, queueing_lock=f"{HANG_UP} {id}", call_id=id)
        rows.write(tx, before, replace(before, hang_up_at=tx.now()))
    elif wrong == "hung_up":
        _end(tx, before, _never_ended(before), "never_ended")
    return wrong


def _never_ended(held: Held) -> End:
    """How a call ended whose end nobody told, though it was hung up."""
    if machine.was_answered(held.call):
        return "completed"
    assert held.hang_up_at is not None
    # Somebody did not want it any more, or else it was we who found that it rang for ever.
    return "canceled" if held.hang_up_at < _rings_since(held.call) + RINGING else "failed"


def _end(tx: Tx, before: Held, status: End, reason: str) -> None:
    """Queue the end of a locked call as we have it, and let in who waits for its place."""
    ended = replace(before.call, status=status, ended_at=tx.now(), reason=reason, waits_until=None)
    ended = replace(ended, disposition=machine.disposition(ended))
    if before.call.waits_until is None:
        admitting.freed(tx, ended)
    rows.write(tx, before, replace(before, call=ended, ended_by="bellbird"), happened=status)
