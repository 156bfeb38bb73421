"""Reading contacts: one, a page of many, who is calling.

Reads go through the view `tenant_contacts`, which has the tenant's rows and lets every index be used (ADR 6).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import filters, paging, phones
from bellbird.core.actors import visible
from bellbird.core.connection import Pending
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.filters import Params
from bellbird.core.paging import Edge, Page, Total
from bellbird.features.contacts import rules, search
from bellbird.features.contacts.fields import SORTS, Sort, filterable
from bellbird.features.contacts.models import Contact, ContactNotFound, Owner
from bellbird.features.contacts.rows import READ, from_row
from bellbird.features.contacts.rules import View
from bellbird.features.contacts.search import Kind
from bellbird.features.users import queries as users

# A lookup's answer is for a person to choose from while the telephone rings.
MAX_CANDIDATES: Final = 50

# Shorter endings of a number are anybody's.
MIN_ENDING: Final = 6

GET = f"""
select {READ}
from tenant_contacts
where tenant_id = $1 and id = $2 and deleted_at is null
"""


async def get(
    tx: Tx | ReadTx, id: UUID, *, fields: Collection[str] | None = None, include: Collection[str] = ()
) -> Contact:
    """A contact, with the given fields alone, and what else is to be included (`owner`).

    Raises ContactNotFound, also for a deleted one and one that the actor does not see.
    """
    tx.require("contacts:read")
    view = rules.view(tx.actor, fields)
    with_owner = rules.includes_owner(tx.actor, include)
    seen, owners = visible(tx.actor, 3)
    row = await tx.one(GET + seen, tx.tenant_id, id, *owners)
    if row is None:
        raise ContactNotFound(f"There is no contact {id}.")
    contact = from_row(row)
    if view or with_owner:
        await _finish(tx, (contact,), view, with_owner)
    return contact


async def _finish(tx: Tx | ReadTx, contacts: Sequence[Contact], view: View | None, with_owner: bool) -> None:
    """Put the owners into contacts that were just read, and leave out what is not shown."""
    if with_owner:
        known = await users.named(tx, {contact.owner_id for contact in contacts if contact.owner_id})
        for contact in contacts:
            called = known.get(contact.owner_id) if contact.owner_id else None
            owner = Owner(contact.owner_id, *called) if contact.owner_id and called else None
            rules.put(contact, "owner", owner)
    if view:
        for contact in contacts:
            view.leave_out(contact)


# The brace takes the condition of who sees which.
BY_NUMBER = f"""
select {READ}
from tenant_contacts
where tenant_id = $1 and deleted_at is null and phone_numbers && $2::text[]{{}}
order by updated_at desc
limit {MAX_CANDIDATES}
"""

BY_ENDING = f"""
select {READ}
from tenant_contacts
where tenant_id = $1 and deleted_at is null and search_text like $2{{}}
order by updated_at desc
limit {MAX_CANDIDATES}
"""


async def lookup(
    tx: Tx | ReadTx, number: str, *, fields: Collection[str] | None = None, include: Collection[str] = ()
) -> tuple[Contact, ...]:
    """Everybody who may be calling from a number, typed in any format, likeliest first.

    The number as read in the tenant's region comes before its reading in another; a contact whose primary number
    it is before the rest, and numbers marked invalid last. Six digits or more that are no number by themselves
    find the numbers that end so. Raises InvalidInput for less, Forbidden for whom numbers are hidden from.
    """
    tx.require("contacts:read")
    rules.require_shown(tx.actor, "phones", "To look up who is calling")
    view = rules.view(tx.actor, fields)
    with_owner = rules.includes_owner(tx.actor, include)
    settings = (await tx.tenant()).settings
    meant = phones.candidates(
        number, default_region=settings.default_region, allowed_regions=settings.allowed_regions or None
    )
    digits = phones.digits(number)
    if meant:
        called = await _callers(tx, BY_NUMBER, meant)
        found = sorted(called, key=lambda contact: _likelihood(contact, meant))
    elif MIN_ENDING <= len(digits) <= 15:
        called = await _callers(tx, BY_ENDING, f"%{digits} %")
        found = [contact for contact in called if _ends_in(contact, digits)]
    else:
        message = f"must be a telephone number, or at least its last {MIN_ENDING} digits, not {number[:60]!r}"
        raise InvalidInput.at("number", message, code="phone_invalid")
    await _finish(tx, found, view, with_owner)
    return tuple(found)


async def _callers(tx: Tx | ReadTx, sql: str, what: str | Sequence[str]) -> list[Contact]:
    seen, owners = visible(tx.actor, 3)
    # One plan for all owners would read all of an owner's contacts for one number, or everybody's.
    asked = tx.queue(sql.format(seen), tx.tenant_id, what, *owners, prepared=not seen)
    await tx.flush()
    return [from_row(row) for row in asked.rows]


def _ends_in(contact: Contact, digits: str) -> bool:
    """Whether one of its numbers does: search_text has names and addresses too, and they may end in digits."""
    return any(form.endswith(digits) for phone in contact.phones for form in phones.search_digits(phone.number))


def _likelihood(contact: Contact, meant: tuple[str, ...]) -> tuple[int, bool, bool]:
    """Sorts the likeliest caller first; among equals the one changed last stays in front."""
    phone = min(
        (phone for phone in contact.phones if phone.number in meant), key=lambda phone: meant.index(phone.number)
    )
    return meant.index(phone.number), phone.status == "invalid", not phone.primary


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which contacts, in which order.

    `filter` is a condition of the filter language (core/filters.py); `q` is what a person typed in a search box:
    with it the best matches come first, whatever `sort` says. `sort` is created_at, updated_at or name,
    with a minus sign for descending. `deleted` lists what can still be restored instead.
    `total` asks how many there are in all. `fields` are the only ones wanted,
    `include` what is wanted besides (`owner`).
    """

    filter: Any = None
    q: str | None = None
    sort: str = "-created_at"
    limit: int = paging.DEFAULT_LIMIT
    cursor: str | None = None
    deleted: bool = False
    total: bool = False
    fields: Collection[str] | None = None
    include: Collection[str] = ()


_EVERYTHING: Final = Query()


async def page(tx: Tx | ReadTx, query: Query = _EVERYTHING) -> Page[Contact]:
    """A page of contacts. Raises InvalidInput naming the filter, sort key, cursor or limit at fault."""
    tx.require("contacts:read")
    limit = paging.limit(query.limit)
    view = rules.view(tx.actor, query.fields)
    with_owner = rules.includes_owner(tx.actor, query.include)
    hidden = rules.hidden(tx.actor)
    settings = (await tx.tenant()).settings
    condition = filters.parse(query.filter, filterable(settings, hidden)) if query.filter else None
    sort, descending = (_BY_NAME, False) if query.q else _sort(query.sort, hidden)
    order = None if query.q else query.sort
    mark = paging.fingerprint(tx.tenant_id, query.filter, query.q, order, query.deleted, *sorted(hidden))
    edge = paging.decode(query.cursor, mark, 3) if query.cursor else None

    seen, owners = visible(tx.actor, 2)
    params = Params(tx.tenant_id, *owners)
    where = f"tenant_id = $1{seen} and deleted_at is {'not null' if query.deleted else 'null'}"
    if condition is not None:
        where += f" and {filters.compile(condition, params)}"
    kinds = search.ask(query.q, settings, params, hidden) if query.q else search.EVERYTHING
    counting = _count(tx, where, kinds, params) if query.total else None
    if sort is _BY_NAME and not query.q and hidden:
        kinds = search.by_shown_name(hidden)
    sql, values = params.used_in(_select(where, kinds, sort, descending, edge, limit, params))
    # What a filter or a question is about, and whose contacts are seen, decides the plan: it is made anew for each.
    asked = tx.queue(sql, *values, prepared=not (condition or query.q or seen))
    await tx.flush()

    rows, after, before = paging.assemble(asked.rows, limit, edge, mark, _key)
    found: Page[Contact] = Page(tuple(map(from_row, rows)), after, before)
    if view or with_owner:
        await _finish(tx, found.data, view, with_owner)
    return replace(found, total=await _total(tx, counting)) if counting else found


# Within one kind of match, by name.
_BY_NAME: Final = SORTS["name"]


def _sort(text: str, hidden: frozenset[str]) -> tuple[Sort, bool]:
    name = text.removeprefix("-")
    known = [name for name in SORTS if name != "name" or "display_name" not in hidden]
    if name not in known:
        choices = ", ".join(f"{name}, -{name}" for name in known)
        raise InvalidInput.at("sort", f"cannot be {text!r}; use one of {choices}", code="unknown_sort")
    return SORTS[name], text.startswith("-")


def _select(
    where: str, kinds: tuple[Kind, ...], sort: Sort, descending: bool, edge: Edge | None, limit: int, params: Params
) -> str:
    """One stretch of a list in one statement: each kind of match by the sort, a later kind only if room is left."""
    backward = edge is not None and edge.backward
    down = descending is not backward
    direction, sign = ("desc", "<") if down else ("asc", ">")
    conditions = _conditions(where, kinds)
    first = 0
    if edge is not None:
        first, value, id = _read_edge(edge, sort, kinds)
        column = kinds[first].key or sort.column
        behind = f"id {sign} {params.add(id)}"
        if column != "id":
            behind = f"({column}, id) {sign} ({params.add(value)}, {params.add(id)})"
        conditions[first] = f"{where} and {kinds[first].sql} and {behind}"
    ranks = range(first, -1, -1) if backward else range(first, len(kinds))
    stretches = [_stretch(rank, conditions[rank], kinds[rank], sort, direction, limit) for rank in ranks]
    if len(stretches) == 1:
        return stretches[0]
    return "(" + ")\nunion all\n(".join(stretches) + f")\nlimit {limit + 1}"


def _conditions(where: str, kinds: tuple[Kind, ...]) -> list[str]:
    """What holds for the rows of each kind of match; a typo is forgiven only where little is found as typed."""
    conditions = [f"{where} and {kind.sql}" for kind in kinds]
    if kinds[-1].is_guess:
        typed = " or ".join(f"({kind.sql})" for kind in kinds[:-1])
        some = f"select from tenant_contacts where {where} and ({typed}) limit {search.ENOUGH}"
        conditions[-1] += f" and (select count(*) from ({some}) as typed) < {search.ENOUGH}"
    return conditions


def _stretch(rank: int, condition: str, kind: Kind, sort: Sort, direction: str, limit: int) -> str:
    column = kind.key or sort.column
    by = f"id {direction}" if column == "id" else f"{column} {direction}, id {direction}"
    rows = f"tenant_contacts\nwhere {condition}"
    if kind.is_guess:
        # OFFSET 0 keeps the planner from walking the whole tenant in order, sure to come by matches soon.
        rows = f"(select * from tenant_contacts where {condition} offset 0) as found"
    what = f"{READ}, {rank} as kind_of_match, {column} as sort_key"
    return f"select {what}\nfrom {rows}\norder by {by} limit {limit + 1}"


def _read_edge(edge: Edge, sort: Sort, kinds: tuple[Kind, ...]) -> tuple[int, Any, UUID]:
    """A cursor's content, checked: it comes back from outside."""
    rank, value, id = edge.key
    try:
        if not isinstance(rank, int) or not 0 <= rank < len(kinds):
            raise ValueError
        return rank, sort.read(value), UUID(id)
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput.at("cursor", "has been altered; use next_cursor as it is", code="invalid_cursor") from None


def _key(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a cursor holds of a row: which kind of match it was, its sort key and its id."""
    rank, value = row[-2:]
    return rank, value.isoformat() if isinstance(value, datetime) else str(value), str(row[0])


def _count(tx: Tx | ReadTx, where: str, kinds: tuple[Kind, ...], params: Params) -> tuple[Pending, str, list[Any]]:
    """Count with a limit, in the same exchange as the page; the estimate's statement is kept for when it is reached."""
    some = f"select 1 from tenant_contacts where ({') or ('.join(_conditions(where, kinds))})"
    some, values = params.used_in(some)
    values = list(values)
    counted = tx.queue(f"select count(*) from ({some} limit {paging.EXACT_TO + 1}) as matches", *values, prepared=False)
    return counted, f"explain (format json) {some}", values


async def _total(tx: Tx | ReadTx, counting: tuple[Pending, str, list[Any]]) -> Total:
    counted, explain, values = counting
    count = counted.rows[0][0]
    if count <= paging.EXACT_TO:
        return Total(count, exact=True)
    ((plan,),) = await tx.all(explain, *values)
    return Total(max(count, int(msgspec.json.decode(plan)[0]["Plan"]["Plan Rows"])), exact=False)
