"""Reading call accounts: one, a page of them. The secret is not among what can be read."""

from typing import Any, Final
from uuid import UUID

from bellbird.core import paging
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.paging import Page
from bellbird.features.call_accounts.models import CallAccount, CallAccountNotFound
from bellbird.features.call_accounts.rows import READ, from_row

GET = f"select {READ} from call_accounts where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> CallAccount:
    """An account, without its secret. Raises CallAccountNotFound."""
    tx.require("call_accounts:read")
    row = await tx.one(GET, tx.tenant_id, id)
    if row is None:
        raise CallAccountNotFound(f"There is no call account {id}.")
    return from_row(row, tx.engine, tx.tenant_id)


_PAGE = f"""
select {READ}
from call_accounts
where tenant_id = $1 and id {{}} $2
order by id {{}}
limit $3
"""

# An id carries the moment it was made. The oldest comes first: it is the one that calls are placed with.
AFTER = _PAGE.format(">", "asc")
BEFORE = _PAGE.format("<", "desc")
_OLDEST: Final = UUID(int=0)


async def page(
    tx: Tx | ReadTx, *, limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None
) -> Page[CallAccount]:  # fmt: skip
    """A page of accounts, oldest first. Raises InvalidInput naming the cursor or limit at fault."""
    tx.require("call_accounts:read")
    limit = paging.limit(limit)
    mark = paging.fingerprint(tx.tenant_id, "call_accounts")
    edge = paging.decode(cursor, mark, 1) if cursor else None
    sql = BEFORE if edge and edge.backward else AFTER
    rows = await tx.all(sql, tx.tenant_id, paging.read_id(edge) if edge else _OLDEST, limit + 1)
    shown, after, before = paging.assemble(rows, limit, edge, mark, _edge_of)
    return Page(tuple(from_row(row, tx.engine, tx.tenant_id) for row in shown), after, before)


def _edge_of(row: tuple[Any, ...]) -> tuple[str]:
    return (str(row[0]),)
