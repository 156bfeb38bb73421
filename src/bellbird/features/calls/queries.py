"""Reading calls: one, a page of many, and what its provider said of one, word for word."""

from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import filters, ids, paging, timeline
from bellbird.core.actors import Actor, visible
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.filters import Params
from bellbird.core.paging import Page
from bellbird.core.timeline import Entry, Source
from bellbird.features.calls import rows
from bellbird.features.calls.fields import filterable
from bellbird.features.calls.models import Call, CallNotFound
from bellbird.features.contacts import rules
from bellbird.features.contacts.models import ContactNotFound

GET = f"select {rows.READ} from calls where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> Call:
    """A call. Raises CallNotFound, also for one that the actor does not see."""
    tx.require("calls:read")
    return await _get(tx, id)


async def _get(tx: Tx | ReadTx, id: UUID) -> Call:
    seen, owners = rows.seen(tx.actor, 3)
    row = await tx.one(GET + seen, tx.tenant_id, id, *owners)
    if row is None:
        raise CallNotFound(f"There is no call {id}.")
    return rows.from_row(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which calls, newest first: `filter` is a condition of the filter language (core/filters.py).

    `contact_id` are the calls with one contact, who has to be there to be asked about.
    """

    filter: Any = None
    contact_id: UUID | None = None
    limit: int = paging.DEFAULT_LIMIT
    cursor: str | None = None


_EVERYTHING: Final = Query()

# A deleted contact has a history until it is purged.
CONTACT = "select from tenant_contacts where tenant_id = $1 and id = $2"


async def page(tx: Tx | ReadTx, query: Query = _EVERYTHING) -> Page[Call]:
    """A page of the calls that the actor sees.

    Raises InvalidInput naming the filter, cursor or limit at fault, ContactNotFound for the `contact_id`, also of one
    that the actor does not see.
    """
    tx.require("calls:read")
    limit = paging.limit(query.limit)
    condition = None
    if query.filter:
        condition = filters.parse(query.filter, filterable((await tx.tenant()).settings))
    mark = paging.fingerprint(tx.tenant_id, "calls", query.filter, query.contact_id)
    edge = paging.decode(query.cursor, mark, 1) if query.cursor else None
    backward = edge is not None and edge.backward

    seen, owners = rows.seen(tx.actor, 2)
    params = Params(tx.tenant_id, *owners)
    where = f"tenant_id = $1{seen}"
    contact = None
    if query.contact_id is not None:
        of_owner, whose = visible(tx.actor, 3)
        contact = tx.queue(CONTACT + of_owner, tx.tenant_id, query.contact_id, *whose)
        where += f" and contact_id = {params.add(query.contact_id)}"
    if condition is not None:
        where += f" and {filters.compile(condition, params)}"
    if edge is not None:
        where += f" and id {'>' if backward else '<'} {params.add(paging.read_id(edge))}"
    order = "asc" if backward else "desc"
    sql = f"select {rows.READ}\nfrom calls\nwhere {where}\norder by id {order}\nlimit {limit + 1}"
    asked = tx.queue(sql, *params.values, prepared=not (condition or seen))
    await tx.flush()
    if contact is not None and contact.affected == 0:
        raise ContactNotFound(f"There is no contact {query.contact_id}.")
    shown, after, before = paging.assemble(asked.rows, limit, edge, mark, lambda row: (str(row[0]),))
    return Page(tuple(map(rows.from_row, shown)), after, before)


@dataclass(frozen=True, slots=True)
class KeptCallback:
    """What a provider said of a call, as it came (`body`) and as it was understood (`update`).

    `at` is when it happened by the provider's clock, `received_at` when it came first; `times` how often it came.
    `verdict` is what was made of it.
    """

    id: UUID
    provider: str
    provider_call_id: str
    status: str | None
    sequence: int | None
    at: datetime | None
    update: dict[str, Any]
    body: str
    verdict: str
    times: int
    received_at: datetime


_SHOWN: Final = [field.name for field in fields(KeptCallback) if field.name != "received_at"]

CALLBACKS = f"""
select {", ".join(_SHOWN)}
from call_callbacks
where tenant_id = $1 and call_id = $2
order by id
limit {paging.MAX_LIMIT}
"""

_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


async def callbacks(tx: Tx | ReadTx, id: UUID) -> tuple[KeptCallback, ...]:
    """The first 200 callbacks of a call in the order in which they came, for whoever may read the audit log.

    Raises CallNotFound, also for one that the actor does not see.
    """
    tx.require("audit:read")
    asked = tx.queue(CALLBACKS, tx.tenant_id, id)
    await _get(tx, id)
    return tuple(_callback(row) for row in asked.rows)


def _callback(row: tuple[Any, ...]) -> KeptCallback:
    known = dict(zip(_SHOWN, row, strict=True))
    known["update"] = _object(known["update"])
    return KeptCallback(**known, received_at=ids.made_at(row[0]))


# On a contact's timeline a call is one thing, as it is now, and not all its steps.
OF_CONTACT = f"""
select id, 'call.' || direction as type, {rows.READ.removeprefix("id, ")}
from calls
where tenant_id = $1 and contact_id = $2
"""

TOLD: Final = (
    "status", "number", "agent_id", "purpose", "disposition", "outcome", "reason", "duration", "notes", "recording_url",
    "version",
)  # fmt: skip


def _entry(row: tuple[Any, ...], actor: Actor, owner_id: UUID | None) -> Entry | None:
    """A row of OF_CONTACT. Whoever sees the contact, and its numbers, sees the calls with it."""
    if "phones" in rules.hidden(actor):
        return None
    call = rows.from_row((row[0], *row[2:]))
    data = {name: getattr(call, name) for name in TOLD}
    return Entry(call.id, call.created_at, "call", f"call.{call.direction}", call.created_by, None, data)


timeline.source(Source("call", ("call.outbound", "call.inbound"), "calls:read", OF_CONTACT, _entry))
