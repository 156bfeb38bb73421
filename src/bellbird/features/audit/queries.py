"""Reading the audit log: a page of what is looked for, one event, the seals.

What an index finds (which request, which thing, who, when) is looked up by it. What none finds (a type, a field, an
origin) is looked for in a stretch of `EXAMINED` events at a time: a page may then have few or none and go on all the
same, so that no question takes long, however rare what it looks for.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, get_args
from uuid import UUID

from bellbird.core import events, ids, paging, topics
from bellbird.core.actors import Actor, Origin
from bellbird.core.connection import Parameter
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import Fault, Forbidden, InvalidInput
from bellbird.core.events import COLUMNS
from bellbird.core.paging import Edge, Page
from bellbird.features.audit.models import AuditEvent, EventNotFound, Query, Seal
from bellbird.features.audit.rows import SEAL, seal_from_row

EXAMINED: Final = 20_000
LONGEST: Final = 200

_ACTOR: Final = re.compile(r"(user|key|system):\S.*")
_NAME: Final = re.compile(r"[a-z_]+")
_FIRST, _LAST = UUID(int=0), UUID(int=(1 << 128) - 1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

# The braces take the columns, what an index finds, the order and the limit; an id carries the moment.
_STRETCH = """
select {}
from events
where tenant_id = $1 and id > $2 and id < $3{}
order by id {}
limit {}
"""

# One index has what happened to contacts, another one what happened to everything else.
_ENTITY = (
    " and contact_id = $4 and entity_id = $4",
    " and entity_id = $4 and (contact_id is null or contact_id <> entity_id)",
)
_FOUND_BY: Final = {
    "request_id": (" and request_id = $4",),
    "entity_id": _ENTITY,
    "contact_id": (" and contact_id = $4",),
    "actor": (" and actor = $4",),
}

# What is looked through a stretch for. `->` finds no field in what is no object, and none in null.
_FILTERS: Final = {
    "request_id": "request_id = ${}",
    "entity_id": "entity_id = ${}",
    "contact_id": "contact_id = ${}",
    "actor": "actor = ${}",
    "type": "type like ${}",
    "entity_type": "entity_type = ${}",
    "origin": "origin = ${}",
    "field": "changes -> ${} is not null",
}


async def search(tx: Tx | ReadTx, query: Query | None = None) -> Page[AuditEvent]:
    """A page of the log, newest first: of all that happened in the tenant, whosever contact it was about.

    What the actor's role hides is left out of it. Raises InvalidInput with every fault, Forbidden for asking by a
    field that is hidden.
    """
    tx.require("audit:read")
    query = query or Query()
    limit = paging.limit(query.limit)
    _check(tx.actor, query)
    given = {name: getattr(query, name) for name in _FILTERS if getattr(query, name) is not None}
    mark = paging.fingerprint(tx.tenant_id, "audit", *given.items(), query.since, query.until)
    edge = paging.decode(query.cursor, mark, 1) if query.cursor else None
    order = "asc" if edge and edge.backward else "desc"
    by = next((name for name in _FOUND_BY if name in given), None)
    params: list[Parameter] = [tx.tenant_id, *_bounds(query, edge), *([given.pop(by)] if by else [])]
    found_by = _FOUND_BY[by] if by else ("",)
    if not given:
        asked = tx.queue(_stretch(found_by, COLUMNS, order, limit + 1), *params, prepared=False)
        await tx.flush()
        shown, after, before = paging.assemble(asked.rows, limit, edge, mark, _edge_of)
        return Page(_shown(tx.actor, shown), after, before)
    rare = " and ".join(_FILTERS[name].format(number) for number, name in enumerate(given, len(params) + 1))
    through = f"select {COLUMNS} from ({_stretch(found_by, '*', order, EXAMINED)}) as stretch where {rare}"
    rows_of = tx.queue(f"{through} order by id {order} limit {limit + 1}", *params, *_patterns(given), prepared=False)
    end_of = tx.queue(_stretch(found_by, "id", order, f"1 offset {EXAMINED - 1}"), *params, prepared=False)
    await tx.flush()
    end = end_of.rows[0][0] if end_of.rows and len(rows_of.rows) <= limit else None
    shown, after, before = paging.assemble(rows_of.rows, limit, edge, mark, _edge_of)
    return Page(_shown(tx.actor, shown), *_further(end, edge, mark, bool(shown), after, before))


def _stretch(found_by: tuple[str, ...], columns: str, order: str, limit: int | str) -> str:
    """The statement for a stretch of the log; what several indexes have is put together and sorted anew."""
    if len(found_by) == 1:
        return _STRETCH.format(columns, found_by[0], order, limit)
    most = limit if isinstance(limit, int) else EXAMINED
    parts = " union all ".join(f"({_STRETCH.format('*', each, order, most)})" for each in found_by)
    return f"select {columns} from ({parts}) as parts order by id {order} limit {limit}"


def _further(
    end: UUID | None, edge: Edge | None, mark: bytes, is_some: bool, after: str | None, before: str | None
) -> tuple[str | None, str | None]:
    """The cursors of a page that was looked for in a stretch, which ended at `end` if there is more behind it."""
    backward = edge is not None and edge.backward
    if edge is not None and not is_some:
        # Back to where it was begun from, that one included.
        key = paging.read_id(edge).int + (1 if backward else -1)
        back = paging.encode(Edge((str(UUID(int=key)),), backward=not backward), mark)
        after, before = (back, None) if backward else (None, back)
    if end is not None:
        on = paging.encode(Edge((str(end),), backward=backward), mark)
        return (after, on) if backward else (on, before)
    return after, before


def _bounds(query: Query, edge: Edge | None) -> tuple[UUID, UUID]:
    """Between which ids, neither included."""
    low = _FIRST if query.since is None else UUID(int=_first_at(query.since).int - 1)
    high = _LAST if query.until is None else _first_at(query.until)
    if edge is not None:
        at = paging.read_id(edge)
        low, high = (max(low, at), high) if edge.backward else (low, min(high, at))
    return low, high


def _first_at(moment: datetime) -> UUID:
    return ids.first_at(max(moment, _EPOCH))


def _patterns(given: dict[str, Any]) -> list[Parameter]:
    as_pattern = given.get("type", "").replace("_", "\\_").replace("*", "%")
    return [as_pattern if name == "type" else value for name, value in given.items()]


def _check(actor: Actor, query: Query) -> None:
    """Raises InvalidInput with what cannot be looked for, Forbidden for a field that is hidden."""
    faults = []
    for name, pattern, what in (
        ("actor", _ACTOR, "must be user:ID, key:ID or system:NAME"),
        ("field", _NAME, "must be the name of a field, such as phones"),
    ):
        value = getattr(query, name)
        if value is not None and not (len(value) <= LONGEST and pattern.fullmatch(value)):
            faults.append(Fault("invalid_value", f"{what}, not {value[:60]!r}", parameter=name))
    if query.type is not None and (mistake := topics.mistake(query.type[:LONGEST])):
        faults.append(Fault("unknown_type", mistake, parameter="type"))
    kinds = sorted({type.partition(".")[0] for type in topics.TYPES})
    if query.entity_type is not None and query.entity_type not in kinds:
        message = f"must be {', '.join(kinds)}, not {query.entity_type[:60]!r}"
        faults.append(Fault("invalid_value", message, parameter="entity_type"))
    if query.origin is not None and query.origin not in get_args(Origin):
        message = f"must be {', '.join(get_args(Origin))}, not {query.origin[:60]!r}"
        faults.append(Fault("invalid_value", message, parameter="origin"))
    for name, moment in (("from", query.since), ("to", query.until)):
        if moment is not None and moment.tzinfo is None:
            message = f"must say its offset from UTC, such as {moment:%Y-%m-%dT%H:%M:%S}Z"
            faults.append(Fault("invalid_value", message, parameter=name))
    if not faults and query.since and query.until and query.since >= query.until:
        faults.append(Fault("invalid_value", "must be later than from", parameter="to"))
    if faults:
        raise InvalidInput(faults=faults)
    if query.field is not None and any(_hides(actor, kind, query.field) for kind in actor.fields):
        raise Forbidden(f"To look for changes of {query.field} needs that field, which is hidden from {actor}.")


def _hides(actor: Actor, kind: str, field: str) -> bool:
    hidden = actor.rules(kind).hidden
    return field in hidden or bool(hidden & events.MADE_UP.get(kind, {}).get(field, frozenset()))


GET = f"select {COLUMNS} from events where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> AuditEvent:
    """An event of the log. Raises EventNotFound."""
    tx.require("audit:read")
    row = await tx.one(GET, tx.tenant_id, id)
    if row is None:
        raise EventNotFound(f"There is no event {id} in the log.")
    return _shown(tx.actor, [row])[0]


def _shown(actor: Actor, rows: Any) -> tuple[AuditEvent, ...]:
    """Events without what is hidden from the actor; whoever reads the audit log sees those of every kind."""
    auditor = replace(actor, visibility="all", permissions=actor.permissions | set(events.READABLE.values()))
    shown = (events.shown(auditor, events.from_row(row)) for row in rows)
    return tuple(
        AuditEvent(
            event.id, event.at, event.type, event.entity_type, event.entity_id, event.contact_id, event.actor,
            event.origin, event.request_id, event.changes, event.data,
        )
        for event in shown if event
    )  # fmt: skip


_SEALS = f"""
select {SEAL}
from seals
where tenant_id = $1 and number {{}} $2
order by number {{}}
limit $3
"""

SEALS_AFTER = _SEALS.format("<", "desc")
SEALS_BEFORE = _SEALS.format(">", "asc")
_NEWEST: Final = 2**31 - 1


async def seals(tx: Tx | ReadTx, *, limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None) -> Page[Seal]:
    """A page of the seals on the tenant's log, newest first. Raises InvalidInput naming the cursor or limit at fault.

    Whoever keeps a seal's hash elsewhere can tell later that the log up to it is the same.
    """
    tx.require("audit:read")
    limit = paging.limit(limit)
    mark = paging.fingerprint(tx.tenant_id, "seals")
    edge = paging.decode(cursor, mark, 1) if cursor else None
    sql = SEALS_BEFORE if edge and edge.backward else SEALS_AFTER
    rows = await tx.all(sql, tx.tenant_id, _read_number(edge) if edge else _NEWEST, limit + 1)
    shown, after, before = paging.assemble(rows, limit, edge, mark, lambda row: (row[0],))
    return Page(tuple(map(seal_from_row, shown)), after, before)


def _edge_of(row: tuple[Any, ...]) -> tuple[str]:
    return (str(row[1]),)


def _read_number(edge: Edge) -> int:
    number = edge.key[0]
    if isinstance(number, int) and 0 <= number <= _NEWEST:
        return number
    raise _altered()


def _altered() -> InvalidInput:
    return InvalidInput.at("cursor", "has been altered; use next_cursor as it is", code="invalid_cursor")
