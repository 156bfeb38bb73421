"""Reading a contact's timeline: every source's newest entries, merged by id, a page at a time."""

import difflib
from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

from bellbird.core import paging
from bellbird.core.actors import visible
from bellbird.core.connection import Pending
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.paging import Edge, Page
from bellbird.core.timeline import SOURCES, Entry, Row, Source, words
from bellbird.features.contacts.models import ContactNotFound

# How many faults there are about what was asked for.
NAMED: Final = 20

# A deleted contact has a timeline until it is purged: who deleted it is what one wants to know then.
CONTACT = "select owner_id from tenant_contacts where tenant_id = $1 and id = $2"

# The braces take a source; an id carries the moment it was made, so the newest is the greatest.
_STRETCH = """
select id, entry.*
from (
{}
) as entry
where id {} $3 and id >= $4 and type = any($5::text[])
order by id {}
limit $6
"""

_OLDEST: Final = UUID(int=0)
_NEWEST: Final = UUID(int=(1 << 128) - 1)

# By how much the clocks of two machines may differ, in milliseconds: a day, and nobody has to think about it.
_APART: Final = 24 * 60 * 60 * 1000


async def page(
    tx: Tx | ReadTx,
    contact_id: UUID,
    *,
    types: Collection[str] = (),
    limit: int = paging.DEFAULT_LIMIT,
    cursor: str | None = None,
) -> Page[Entry]:
    """A page of a contact's timeline, newest first, as far as the actor may see it.

    `types` are the only ones wanted: a type (`contact.updated`), all that begin alike (`contact.*`), a kind (`event`).
    Raises ContactNotFound, also for a contact that the actor does not see (a deleted one is found until it is purged),
    InvalidInput naming the type, cursor or limit at fault.
    """
    tx.require("contacts:read")
    limit = paging.limit(limit)
    wanted = _wanted(types)
    mark = paging.fingerprint(tx.tenant_id, "timeline", contact_id, *sorted(set(types)))
    edge = paging.decode(cursor, mark, 1) if cursor else None
    seen, owners = visible(tx.actor, 3)
    contact = tx.queue(CONTACT + seen, tx.tenant_id, contact_id, *owners)
    asked = [
        (source, _ask(tx, source, contact_id, wanted, edge, limit + 1))
        for source in SOURCES
        if tx.actor.may(source.permission) and wanted.intersection(source.types)
    ]
    await tx.flush()
    if not contact.rows:
        raise ContactNotFound(f"There is no contact {contact_id}.")
    backward = edge is not None and edge.backward
    rows = [(row[0], source, row[1:]) for source, answer in asked for row in answer.rows]
    rows.sort(key=lambda row: row[0], reverse=not backward)
    shown, after, before = paging.assemble(rows[: limit + 1], limit, edge, mark, _edge_of)
    ((owner_id,),) = contact.rows
    entries = (source.entry(row, tx.actor, owner_id) for _, source, row in shown)
    return Page(tuple(entry for entry in entries if entry), after, before)


def _ask(
    tx: Tx | ReadTx, source: Source, contact_id: UUID, wanted: Iterable[str], edge: Edge | None, many: int
) -> Pending:
    place = ("<", "desc") if not (edge and edge.backward) else (">", "asc")
    types = sorted(set(source.types).intersection(wanted))
    bound = paging.read_id(edge) if edge else _NEWEST
    oldest = _before(contact_id) if source.follows_contact else _OLDEST
    return tx.queue(_STRETCH.format(source.sql, *place), tx.tenant_id, contact_id, bound, oldest, types, many)


def _before(contact_id: UUID) -> UUID:
    """An id from before the contact was made. Whatever else somebody may have given for an id, this is one as well."""
    return UUID(int=max((contact_id.int >> 80) - _APART, 0) << 80)


def _wanted(asked: Collection[str]) -> frozenset[str]:
    """The types that were asked for; all there are if none was. Raises InvalidInput naming the unknown ones."""
    if not asked:
        return frozenset(type for source in SOURCES for type in source.types)
    meanings = {word: types for word, types in words().items() if word in asked}
    if unknown := [word for word in dict.fromkeys(asked) if word not in meanings]:
        raise InvalidInput(faults=[_unknown(word) for word in unknown[:NAMED]])
    return frozenset[str]().union(*meanings.values())


def _unknown(word: str) -> Fault:
    known = list(words())
    near = difflib.get_close_matches(word, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(known)}"
    return Fault("unknown_type", f"there is no {word[:60]!r} on a timeline; {hint}", parameter="types")


def _edge_of(row: tuple[UUID, Source, Row]) -> tuple[str]:
    return (str(row[0]),)
