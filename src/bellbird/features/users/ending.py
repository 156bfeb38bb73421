"""What is done to a person in every tenant at once, and the ending of their sessions: access tokens end with them."""

from datetime import datetime
from typing import Final
from uuid import UUID

from bellbird.core.engine import SystemTx, Tx
from bellbird.core.events import Event

# In order, so that two who end the same person's sessions do not wait for each other.
END: Final = """
update sessions
set ended_at = $3, ended_because = $4
where tenant_id = $1 and id = any(array(
  select id from sessions
  where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > $3 and ($5::uuid is null or id = $5)
  order by id
  for update))
returning id
"""


async def end(tx: Tx, user_id: UUID, because: str, *, only: UUID | None = None) -> int:
    """End a person's sessions in the tenant, or `only` one of them, and record `session.ended` for each.

    Returns how many there were. The tenant is known to be there: see `Tx.writable`.
    """
    now = tx.clock.now()
    rows = await tx.all(END, tx.tenant_id, user_id, now, because, only)
    for (id,) in rows:
        tx.emit(_ended(id, user_id, now, because))
    if rows:
        tx.access_changed()
    return len(rows)


def _ended(id: UUID, user_id: UUID, now: datetime, because: str) -> Event:
    changes = {"ended_at": (None, now), "ended_because": (None, because)}
    return Event("session.ended", id, changes=changes, data={"user_id": user_id, "because": because})


END_EVERYWHERE: Final = """
update sessions
set ended_at = $2, ended_because = $3
where user_id = $1 and (tenant_id, id) in (
  select s.tenant_id, s.id
  from memberships m
  join tenants t on t.id = m.tenant_id and t.status <> 'deleting'
  join sessions s on s.tenant_id = m.tenant_id and s.user_id = m.id
  where m.id = $1 and s.ended_at is null and s.expires_at > $2 and ($4::uuid is null or s.id <> $4)
  order by s.tenant_id, s.id
  for update of s)
returning tenant_id, id
"""


async def end_everywhere(tx: SystemTx, user_id: UUID, because: str, *, keep: UUID | None = None) -> None:
    """End a person's sessions in every tenant, but the one to `keep`, and record `session.ended` for each."""
    now = tx.clock.now()
    rows = await tx.all(END_EVERYWHERE, user_id, now, because, keep)
    for tenant_id, id in sorted(rows):
        tx.emit(tenant_id, _ended(id, user_id, now, because))
    # The tenants' rows are held until the commit: in order, as everybody takes them.
    for tenant_id in sorted({tenant_id for tenant_id, _ in rows}):
        tx.access_changed(tenant_id)


# Nothing is left behind in the log of a tenant that is being deleted at this moment.
JOINED: Final = """
select t.id
from memberships m
join tenants t on t.id = m.tenant_id
where m.id = $1 and m.joined_at is not null and t.status <> 'deleting'
order by t.id
for key share of t
"""


async def tell_everywhere(tx: SystemTx, user_id: UUID, type: str) -> None:
    """Record an event of a person in every tenant that they have joined."""
    for (tenant_id,) in await tx.all(JOINED, user_id):
        tx.emit(tenant_id, Event(type, user_id))
