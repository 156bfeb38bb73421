"""Somebody is calling: who may they be, and who had best talk with them?

Who it may be is decided while it rings, in one question: everybody who has the number, with the follow-up that was
agreed with them and the last call that there was.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID

from bellbird.core import ids
from bellbird.core.engine import Tx
from bellbird.core.telephony import Account, Update
from bellbird.features import call_accounts
from bellbird.features.calls import rows
from bellbird.features.calls.models import Call

# A number that more contacts share than this says nothing about who is calling.
MAX_CANDIDATES: Final = 20

# A call longer ago says nothing about why they call now; and fewer months have to be looked through.
RECENT: Final = timedelta(days=183)

# Nothing is under way for longer: older months need not be looked at.
LIVE_FOR: Final = timedelta(days=7)

Because = Literal["follow_up", "last_call", "owner", "number"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may be calling.

    `because` is the best reason to think so: a follow-up is open with them (`due_at`), there was a call lately
    (`last_call_at`), somebody looks after them, or no more than that they have the number. `agent_id` is who had best
    talk with them by that reason.
    """

    contact_id: UUID
    because: Because
    agent_id: UUID | None
    follow_up_id: UUID | None
    due_at: datetime | None
    last_call_id: UUID | None
    last_call_at: datetime | None


# Contacts are found by the view, through which the index on their numbers can be used (ADR 6). Whose membership was
# ended talks with nobody any more; whom the host application knows alone is no member, and may.
CANDIDATES = f"""
select c.id, f.id, f.due_at, f.agent_id, l.id, l.agent_id, c.owner_id,
  array(
    select m.id
    from memberships m
    where m.tenant_id = $1 and m.id in (f.agent_id, l.agent_id, c.owner_id) and m.disabled_at is not null
  )
from tenant_contacts c
left join lateral (
  select id, due_at, agent_id
  from follow_ups
  where tenant_id = $1 and contact_id = c.id and state = 'open'
  order by due_at
  limit 1
) f on true
left join lateral (
  select id, agent_id
  from calls
  where tenant_id = $1 and contact_id = c.id and id >= $3 and id < $4
  order by id desc
  limit 1
) l on true
where c.tenant_id = $1 and c.deleted_at is null and c.phone_numbers && $2::text[]
order by f.due_at nulls last, l.id desc nulls last, c.owner_id is null, c.updated_at desc
limit {MAX_CANDIDATES}
"""

# Who talks with somebody else just now, or is about to; of what is under way there is little.
BUSY = """
select agent_id
from calls
where tenant_id = $1 and id >= $2 and ended_at is null and waits_until is null and agent_id is not null
"""


async def arrived(tx: Tx, account: Account, update: Update) -> Call:
    """Add the call that a provider tells has come in and record `call.received`, with everybody who may be calling.

    Whose number it is alone, is who is calling; of several the agent confirms one. It is for the agent whom the
    likeliest of them would want, or else for whom the number that they called belongs to, unless those are talking
    already. What the update says besides is for the machine.
    """
    tx.require("calls:write")
    now = tx.now()
    id = ids.uuid7(now)
    line = call_accounts.ask_for_agent(tx, account.id, update.to_number) if update.to_number else None
    likely, busy = await _who(tx, update.from_number, id, now)
    wanted = [each.agent_id for each in likely] + [row[0] for row in (line.rows if line else ())]
    agents = [agent_id for agent_id in wanted if agent_id is not None and agent_id not in busy]
    call = Call(
        id=id, direction="inbound", status="queued", from_number=update.from_number, to_number=update.to_number,
        number=update.from_number, contact_id=likely[0].contact_id if len(likely) == 1 else None,
        candidates=tuple(each.contact_id for each in likely) if len(likely) > 1 else (),
        agent_id=agents[0] if agents else None, purpose=None, account_id=account.id, provider=account.provider,
        provider_call_id=update.provider_call_id, answered_by=None, created_at=now, updated_at=now,
        created_by=str(tx.actor),
    )  # fmt: skip
    rows.insert(tx, call)
    received = rows.event("call.received", call)
    tx.emit(replace(received, data={**(received.data or {}), "callers": likely}))
    return call


async def _who(tx: Tx, number: str | None, id: UUID, now: datetime) -> tuple[list[Candidate], frozenset[UUID]]:
    """Everybody who may be calling from a number, likeliest first, and the agents who are talking with somebody."""
    asked = tx.queue(CANDIDATES, tx.tenant_id, [number], ids.first_at(now - RECENT), id) if number else None
    busy = tx.queue(BUSY, tx.tenant_id, ids.first_at(now - LIVE_FOR))
    await tx.writable()
    await tx.flush()
    return [_candidate(row) for row in (asked.rows if asked else ())], frozenset(row[0] for row in busy.rows)


def _candidate(row: tuple[Any, ...]) -> Candidate:
    contact_id, follow_up_id, due_at, its_agent, last_id, last_agent, owner_id, gone = row
    because: Because = "number"
    if follow_up_id is not None:
        because = "follow_up"
    elif last_id is not None:
        because = "last_call"
    elif owner_id is not None:
        because = "owner"
    last_at = None if last_id is None else ids.made_at(last_id)
    agents = (each for each in (its_agent, last_agent, owner_id) if each is not None and each not in gone)
    return Candidate(contact_id, because, next(agents, None), follow_up_id, due_at, last_id, last_at)
