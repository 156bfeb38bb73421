"""Reading roles: one, a page of them, and the one that somebody is to have."""

import difflib
from typing import Final

from bellbird.core import paging
from bellbird.core.actors import ROLES, Role
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.paging import Edge, Page
from bellbird.features.roles.models import RoleNotFound, TenantRole
from bellbird.features.roles.rows import BUILT_IN, READ, effective, from_row

GET = f"select {READ} from roles where tenant_id = $1 and name = $2"


async def get(tx: Tx | ReadTx, name: str) -> TenantRole:
    """A role by its name, built in or the tenant's own. Raises RoleNotFound."""
    tx.require("roles:read")
    for role in BUILT_IN:
        if role.name == name:
            return role
    # No name of a role: PostgreSQL need not be asked, and could not be.
    row = None if "\0" in name else await tx.one(GET, tx.tenant_id, name)
    if row is None:
        raise RoleNotFound(f"There is no role {name[:60]!r}.")
    return from_row(row)


# What is built in comes first; behind it, at this rank, the tenant's own by name.
_OWN: Final = len(BUILT_IN)

AFTER = f"select {READ} from roles where tenant_id = $1 and name > $2 order by name limit $3"
BEFORE = f"select {READ} from roles where tenant_id = $1 and name < $2 order by name desc limit $3"


async def page(tx: Tx | ReadTx, *, limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None) -> Page[TenantRole]:
    """A page of roles: first those that are built in, then the tenant's own by name.

    Raises InvalidInput naming the cursor or limit at fault.
    """
    tx.require("roles:read")
    limit = paging.limit(limit)
    mark = paging.fingerprint(tx.tenant_id, "roles")
    edge = paging.decode(cursor, mark, 2) if cursor else None
    rank, name = _read_edge(edge) if edge else (-1, "")
    after = name if rank == _OWN else ""
    if edge and edge.backward:
        own = await tx.all(BEFORE, tx.tenant_id, name, limit + 1) if rank == _OWN else []
        roles = [*map(from_row, own), *reversed(BUILT_IN[:rank])]
    else:
        own = await tx.all(AFTER, tx.tenant_id, after, limit + 1)
        roles = [*BUILT_IN[rank + 1 :], *map(from_row, own)]
    rows = [(role,) for role in roles[: limit + 1]]
    shown, following, preceding = paging.assemble(rows, limit, edge, mark, _key)
    return Page(tuple(role for (role,) in shown), following, preceding)


def _key(row: tuple[TenantRole]) -> tuple[int, str]:
    (role,) = row
    return (BUILT_IN.index(role) if role.built_in else _OWN), role.name


def _read_edge(edge: Edge) -> tuple[int, str]:
    """A cursor's content, checked: it comes back from outside."""
    rank, name = edge.key
    if not (type(rank) is int and 0 <= rank <= _OWN and isinstance(name, str) and "\0" not in name):
        raise InvalidInput.at("cursor", "has been altered; use next_cursor as it is", code="invalid_cursor")
    return rank, name


# A role that is being given to somebody cannot be changed or deleted at the same moment.
HELD = f"{GET} for share"

NAMES = "select name from roles where tenant_id = $1 order by name limit 100"


async def named(tx: Tx | ReadTx, name: str, *, lock: bool = False, pointer: str = "/role") -> Role:
    """A role that somebody is to have; with `lock` it stays as it is until the transaction ends.

    Asks for no permission: to name a role is to be told what is wrong with the name, at `pointer`.
    Raises InvalidInput when there is no such role.
    """
    if built_in := ROLES.get(name):
        return built_in
    row = None if "\0" in name else await tx.one(HELD if lock else GET, tx.tenant_id, name)
    if row is None:
        known = [*ROLES, *(row[0] for row in await tx.all(NAMES, tx.tenant_id))]
        near = difflib.get_close_matches(name[:60], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise InvalidInput(faults=[Fault("unknown_role", f"{name[:60]!r} is no role; {hint}", pointer=pointer)])
    return effective(from_row(row))
