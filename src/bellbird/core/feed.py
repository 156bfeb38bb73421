"""The event log, read in commit order and without gaps.

Transactions commit in another order than they write, so "after the last one I read" would pass over what was written
earlier and committed later. What is read here is only what nobody can come before any more: rows whose `tx` is below
`pg_snapshot_xmin(pg_current_snapshot())`, the oldest transaction that is still open. In that order (`tx`, `id`) a
position is final: everything up to it has been seen, and nothing will be added before it.

A transaction that stays open holds back what others committed after it began; it loses nothing.
"""

from typing import Final, NamedTuple
from uuid import UUID

from bellbird.core.engine import ReadTx, SystemTx, Tx
from bellbird.core.events import COLUMNS, Logged, from_row


class Position(NamedTuple):
    """A place in the log: the transaction's number, and the event in it."""

    tx: int
    id: UUID


# Before everything.
BEGINNING: Final = Position(0, UUID(int=0))

HORIZON: Final = "select pg_snapshot_xmin(pg_current_snapshot())::text"

# Not `order by tx`: that is the column as it is read, a text, and as such 1000 comes before 999.
NEXT: Final = f"""
select {COLUMNS}
from events
where (tx, id) > ($1::xid8, $2) and tx < pg_snapshot_xmin(pg_current_snapshot())
order by events.tx, id
limit $3
"""

NEXT_OF_TENANT: Final = f"""
select {COLUMNS}
from events
where tenant_id = $1 and (tx, id) > ($2::xid8, $3) and tx < pg_snapshot_xmin(pg_current_snapshot())
order by events.tx, id
limit $4
"""

FIND: Final = "select tx::text from events where tenant_id = $1 and id = $2"

LAST: Final = """
select tx::text, id
from events
where tenant_id = $1 and tx < pg_snapshot_xmin(pg_current_snapshot())
order by events.tx desc, id desc
limit 1
"""


async def end(tx: SystemTx | ReadTx) -> Position:
    """The end of the log: whatever commits from now on comes after it."""
    row = await tx.one(HORIZON)
    assert row is not None
    return Position(int(row[0]), UUID(int=0))


async def read(tx: SystemTx, after: Position, *, limit: int) -> list[Logged]:
    """The next events of all tenants, at most `limit`."""
    return [from_row(row) for row in await tx.all(NEXT, str(after.tx), after.id, limit)]


async def read_of_tenant(tx: ReadTx | Tx, after: Position, *, limit: int) -> list[Logged]:
    """The next events of the transaction's tenant, at most `limit`."""
    return [from_row(row) for row in await tx.all(NEXT_OF_TENANT, tx.tenant_id, str(after.tx), after.id, limit)]


async def find(tx: ReadTx | Tx, id: UUID) -> Position | None:
    """Where an event of the transaction's tenant is in the log; None if it is not there (any more)."""
    row = await tx.one(FIND, tx.tenant_id, id)
    return Position(int(row[0]), id) if row else None


def position(event: Logged) -> Position:
    """Where an event is."""
    return Position(event.tx, event.id)


async def last(tx: ReadTx | Tx) -> Position | None:
    """The last event of the transaction's tenant that can be read by now; None if there is none."""
    row = await tx.one(LAST, tx.tenant_id)
    return Position(int(row[0]), row[1]) if row else None
