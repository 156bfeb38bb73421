"""Reading API keys: one, a page of them. The secret is not among what can be read."""

from typing import Any, Final
from uuid import UUID

from bellbird.core import paging
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.paging import Page
from bellbird.features.keys.models import ApiKey, KeyNotFound
from bellbird.features.keys.rows import READ, from_row

GET = f"select {READ} from api_keys where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> ApiKey:
    """A key, revoked or not. Raises KeyNotFound."""
    tx.require("keys:read")
    row = await tx.one(GET, tx.tenant_id, id)
    if row is None:
        raise KeyNotFound(f"There is no API key {id}.")
    return from_row(row)


_PAGE = f"""
select {READ}
from api_keys
where tenant_id = $1 and id {{}} $2 and (revoked_at is null or $3)
order by id {{}}
limit $4
"""

# An id carries the moment it was made: the newest is the greatest.
AFTER = _PAGE.format("<", "desc")
BEFORE = _PAGE.format(">", "asc")
_NEWEST: Final = UUID(int=(1 << 128) - 1)


async def page(
    tx: Tx | ReadTx, *, revoked: bool = False, limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None
) -> Page[ApiKey]:
    """A page of keys, newest first; with `revoked`, those that were revoked among them.

    Raises InvalidInput naming the cursor or limit at fault.
    """
    tx.require("keys:read")
    limit = paging.limit(limit)
    mark = paging.fingerprint(tx.tenant_id, "keys", revoked)
    edge = paging.decode(cursor, mark, 1) if cursor else None
    sql = BEFORE if edge and edge.backward else AFTER
    rows = await tx.all(sql, tx.tenant_id, paging.read_id(edge) if edge else _NEWEST, revoked, limit + 1)
    shown, after, before = paging.assemble(rows, limit, edge, mark, _edge_of)
    return Page(tuple(map(from_row, shown)), after, before)


def _edge_of(row: tuple[Any, ...]) -> tuple[str]:
    return (str(row[0]),)
