"""Reading operations: one, a page of them. Who sees their own records alone sees the operations that they started."""

from typing import Any, Final
from uuid import UUID

from bellbird.core import paging
from bellbird.core.actors import visible
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.features.operations import kinds
from bellbird.features.operations.models import STATES, Operation, OperationNotFound
from bellbird.features.operations.rows import READ, READ_ALL, from_row

GET = f"select {READ_ALL} from operations where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> Operation:
    """An operation with its first errors. Raises OperationNotFound."""
    tx.require("operations:read")
    seen, owners = visible(tx.actor, 3)
    row = await tx.one(GET + seen, tx.tenant_id, id, *owners)
    if row is None:
        raise OperationNotFound(f"There is no operation {id}.")
    return from_row(row)


_PAGE = f"""
select {READ}
from operations
where tenant_id = $1 and id {{}} $2 and ($3::text is null or kind = $3) and ($4::text is null or state = $4){{}}
order by id {{}}
limit $5
"""

# An id carries the moment it was made: the newest is the greatest.
_NEWEST: Final = UUID(int=(1 << 128) - 1)


async def page(
    tx: Tx | ReadTx, *, kind: str | None = None, state: str | None = None, limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Operation]:  # fmt: skip
    """A page of operations, newest first: of one kind, in one state.

    Raises InvalidInput naming the kind, state, cursor or limit at fault.
    """
    tx.require("operations:read")
    limit = paging.limit(limit)
    _check(kind, state)
    seen, owners = visible(tx.actor, 6)
    mark = paging.fingerprint(tx.tenant_id, "operations", kind, state, sorted(map(str, owners)))
    edge = paging.decode(cursor, mark, 1) if cursor else None
    sql = _PAGE.format(">", seen, "asc") if edge and edge.backward else _PAGE.format("<", seen, "desc")
    rows = await tx.all(sql, tx.tenant_id, paging.read_id(edge) if edge else _NEWEST, kind, state, limit + 1, *owners)
    shown, after, before = paging.assemble(rows, limit, edge, mark, _edge_of)
    return Page(tuple(map(from_row, shown)), after, before)


def _check(kind: str | None, state: str | None) -> None:
    if kind is not None and kind not in kinds.KINDS:
        there = ", ".join(sorted(kinds.KINDS))
        raise InvalidInput.at("kind", f"there is no such kind; there are {there}", code="unknown_operation")
    if state is not None and state not in STATES:
        raise InvalidInput.at("state", f"cannot be {state[:40]!r}; there are {', '.join(STATES)}")


def _edge_of(row: tuple[Any, ...]) -> tuple[str]:
    return (str(row[0]),)
