"""Reading teams: one, a page of them, and those that somebody is to be in."""

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from bellbird.core import paging
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.paging import Edge, Page
from bellbird.features.teams.models import Team, TeamNotFound
from bellbird.features.teams.naming import key

# Whose membership was ended is still in the team, whose records they keep, but is not counted.
READ: Final = """t.id, t.name, (
    select count(*) from memberships m
    where m.tenant_id = t.tenant_id and m.team_ids @> array[t.id] and m.disabled_at is null
  ), t.version, t.created_at, t.updated_at"""

GET = f"select {READ} from teams t where t.tenant_id = $1 and t.id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> Team:
    """A team. Raises TeamNotFound."""
    tx.require("teams:read")
    row = await tx.one(GET, tx.tenant_id, id)
    if row is None:
        raise TeamNotFound(f"There is no team {id}.")
    return Team(*row)


CALLED = f"select {READ} from teams t where t.tenant_id = $1 and t.name_key = $2"


async def called(tx: Tx | ReadTx, name: str) -> Team:
    """A team by its name, in any case. Raises TeamNotFound, and InvalidInput for what can be no name."""
    tx.require("teams:read")
    row = await tx.one(CALLED, tx.tenant_id, key(name))
    if row is None:
        raise TeamNotFound(f"There is no team {name[:60]!r}.")
    return Team(*row)


# Counted in one pass: there are more members than teams, and more than one of them in each.
_PAGE = """
select t.id, t.name, coalesce(c.members, 0), t.version, t.created_at, t.updated_at, t.name_key
from teams t
left join (
  select team_id, count(distinct m.id) as members
  from memberships m, unnest(m.team_ids) as team_id
  where m.tenant_id = $1 and m.disabled_at is null
  group by team_id
) c on c.team_id = t.id
where t.tenant_id = $1 and t.name_key {} $2
order by t.name_key {}
limit $3
"""

AFTER = _PAGE.format(">", "asc")
BEFORE = _PAGE.format("<", "desc")


async def page(tx: Tx | ReadTx, *, limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None) -> Page[Team]:
    """A page of teams by name. Raises InvalidInput naming the cursor or limit at fault."""
    tx.require("teams:read")
    limit = paging.limit(limit)
    mark = paging.fingerprint(tx.tenant_id, "teams")
    edge = paging.decode(cursor, mark, 1) if cursor else None
    sql = BEFORE if edge and edge.backward else AFTER
    rows = await tx.all(sql, tx.tenant_id, _read_edge(edge) if edge else "", limit + 1)
    shown, after, before = paging.assemble(rows, limit, edge, mark, _edge_of)
    return Page(tuple(Team(*row[:-1]) for row in shown), after, before)


def _edge_of(row: tuple[Any, ...]) -> tuple[str]:
    return (row[-1],)


def _read_edge(edge: Edge) -> str:
    """A cursor's content, checked: it comes back from outside."""
    (name,) = edge.key
    if not isinstance(name, str) or "\0" in name:
        raise InvalidInput.at("cursor", "has been altered; use next_cursor as it is", code="invalid_cursor")
    return name


HELD = "select id from teams where tenant_id = $1 and id = any($2::uuid[]) order by id for share"


async def hold(tx: Tx, ids: Collection[UUID], *, pointer: str = "/team_ids") -> None:
    """Keep teams that somebody is to be in from being deleted until the transaction ends; to be asked for before the
    membership is locked, as a deletion locks in this order.

    Raises InvalidInput with a fault at `pointer` for each that there is not.
    """
    if not ids:
        return
    found = {row[0] for row in await tx.all(HELD, tx.tenant_id, list(ids))}
    faults = [
        Fault("unknown_team", f"there is no team {id}", pointer=f"{pointer}/{index}")
        for index, id in enumerate(ids)
        if id not in found
    ]
    if faults:
        raise InvalidInput(faults=faults)
