"""Reading follow-ups: one, the due list, those that are open with a contact."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from bellbird.core import paging
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.filters import Params
from bellbird.core.paging import Edge, Page
from bellbird.features.follow_ups import rows
from bellbird.features.follow_ups.models import STATES, FollowUp, FollowUpNotFound
from bellbird.features.follow_ups.rows import COLUMNS, from_row

GET = f"select {COLUMNS} from follow_ups where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> FollowUp:
    """A follow-up. Raises FollowUpNotFound, also for one that the actor does not see."""
    tx.require("calls:read")
    seen, owners = rows.seen(tx.actor, 3)
    row = await tx.one(GET + seen, tx.tenant_id, id, *owners)
    if row is None:
        raise FollowUpNotFound(f"There is no follow-up {id}.")
    return from_row(row)


OPEN = f"""
select {COLUMNS}
from follow_ups
where tenant_id = $1 and contact_id = $2 and state = 'open'{{}}
order by due_at, id
limit {paging.MAX_LIMIT}
"""


async def open_for(tx: Tx | ReadTx, contact_id: UUID) -> tuple[FollowUp, ...]:
    """What is open with a contact, due soonest first, as far as the actor sees it."""
    tx.require("calls:read")
    seen, owners = rows.seen(tx.actor, 3)
    return tuple(map(from_row, await tx.all(OPEN.format(seen), tx.tenant_id, contact_id, *owners)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which follow-ups, due soonest first: in one state, due before a moment, of an agent, with a contact."""

    state: str = "open"
    due_before: datetime | None = None
    agent_id: UUID | None = None
    contact_id: UUID | None = None
    limit: int = paging.DEFAULT_LIMIT
    cursor: str | None = None


_OPEN: Final = Query()


async def page(tx: Tx | ReadTx, query: Query = _OPEN) -> Page[FollowUp]:
    """A page of follow-ups. Raises InvalidInput naming the state, cursor or limit at fault."""
    tx.require("calls:read")
    limit = paging.limit(query.limit)
    if query.state not in STATES:
        raise InvalidInput.at("state", f"cannot be {query.state[:40]!r}; there are {', '.join(STATES)}")
    given = (query.state, query.due_before, query.agent_id, query.contact_id)
    mark = paging.fingerprint(tx.tenant_id, "follow_ups", *given)
    edge = paging.decode(query.cursor, mark, 2) if query.cursor else None
    backward = edge is not None and edge.backward

    seen, owners = rows.seen(tx.actor, 2)
    params = Params(tx.tenant_id, *owners)
    where = f"tenant_id = $1{seen} and state = {params.add(query.state)}"
    if query.due_before is not None:
        where += f" and due_at < {params.add(query.due_before)}"
    if query.agent_id is not None:
        where += f" and agent_id = {params.add(query.agent_id)}"
    if query.contact_id is not None:
        where += f" and contact_id = {params.add(query.contact_id)}"
    if edge is not None:
        due_at, id = _read_edge(edge)
        where += f" and (due_at, id) {'<' if backward else '>'} ({params.add(due_at)}, {params.add(id)})"
    order = "due_at desc, id desc" if backward else "due_at, id"
    sql = f"select {COLUMNS}\nfrom follow_ups\nwhere {where}\norder by {order}\nlimit {limit + 1}"
    found = await tx.all(sql, *params.values)
    shown, after, before = paging.assemble(found, limit, edge, mark, _edge_of)
    return Page(tuple(map(from_row, shown)), after, before)


_DUE_AT: Final = COLUMNS.split(", ").index("due_at")


def _edge_of(row: tuple[Any, ...]) -> tuple[str, str]:
    return row[_DUE_AT].isoformat(), str(row[0])


def _read_edge(edge: Edge) -> tuple[datetime, UUID]:
    """A cursor's content, checked: it comes back from outside."""
    due_at, id = edge.key
    try:
        moment = datetime.fromisoformat(due_at)
        if moment.tzinfo is None:
            raise ValueError
        return moment, UUID(id)
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput.at("cursor", "has been altered; use next_cursor as it is", code="invalid_cursor") from None


async def due_by(tx: Tx | ReadTx, words: str) -> datetime:
    """The moment that people mean: `now`, `today` (until midnight where the tenant is), or a moment in ISO 8601.

    Raises InvalidInput.
    """
    tx.require("calls:read")
    if words == "now":
        return tx.clock.now()
    if words == "today":
        zone = ZoneInfo((await tx.tenant()).settings.timezone)
        tomorrow = tx.clock.now().astimezone(zone).date() + timedelta(days=1)
        return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).astimezone(UTC)
    try:
        # A plus sign that was not percent-encoded has become a space.
        given = datetime.fromisoformat(words.strip().replace(" ", "+") if "T" in words else words)
        if given.tzinfo is not None:
            return given.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidInput.at("due", f"must be now, today or a moment such as 2026-11-01T10:00:00Z, not {words[:40]!r}")
