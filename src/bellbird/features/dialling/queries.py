"""Reading what was decided, consented to, opted out and washed. Pages are newest first."""

from typing import Any, Final
from uuid import UUID

from bellbird.core import paging, phones
from bellbird.core.actors import Actor
from bellbird.core.connection import Parameter
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.core.phones import InvalidPhone
from bellbird.features.contacts import rules
from bellbird.features.dialling import whose
from bellbird.features.dialling.models import (
    Consent,
    ConsentNotFound,
    DialDecision,
    DialDecisionNotFound,
    OptOut,
    OptOutNotFound,
    Wash,
)
from bellbird.features.dialling.rows import CONSENT, OPT_OUT, READ_DECISION, WASH, decision

_NEWEST: Final = UUID(int=(1 << 128) - 1)

GET = f"select {READ_DECISION} from dial_decisions where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> DialDecision:
    """A decision. Raises DialDecisionNotFound, also for one about a contact that the actor does not see."""
    tx.require("consents:read")
    rules.require_numbers(tx.actor)
    seen, owners = _seen(tx.actor, 3)
    row = await tx.one(GET + seen, tx.tenant_id, id, *owners)
    if row is None:
        raise DialDecisionNotFound(f"There is no dial decision {id}.")
    return decision(row)


def _seen(actor: Actor, number: int) -> tuple[str, tuple[Parameter, ...]]:
    """The condition for the decisions that somebody sees: their own, and those about contacts that they see."""
    if actor.visibility == "all":
        return "", ()
    return (
        f" and (created_by = ${number} or exists (select from contacts c where c.tenant_id = $1"
        f" and c.id = dial_decisions.contact_id and c.owner_id = any(${number + 1}::uuid[])))"
    ), (str(actor), sorted(actor.owners))


async def page(
    tx: Tx | ReadTx, *, contact_id: UUID | None = None, number: str | None = None, allowed: bool | None = None,
    limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None,
) -> Page[DialDecision]:  # fmt: skip
    """A page of decisions: about a contact, a number in any format, those that allowed it or did not.

    Raises InvalidInput naming the number, cursor or limit at fault.
    """
    tx.require("consents:read")
    rules.require_numbers(tx.actor)
    given: dict[str, Parameter] = {
        "contact_id": contact_id,
        "number": None if number is None else await _read_number(tx, number),
        "allowed": allowed,
    }
    seen = _seen(tx.actor, 100)
    rows, after, before = await _page(tx, "dial_decisions", READ_DECISION, given, seen, limit, cursor)
    return Page(tuple(map(decision, rows)), after, before)


ONE_CONSENT = f"""
select {CONSENT}
from consents
where tenant_id = $1 and id = $2{{}}
"""

_OF_SEEN = """ and exists (
  select from contacts c where c.tenant_id = $1 and c.id = consents.contact_id and c.owner_id = any($3::uuid[]))"""


async def consent(tx: Tx | ReadTx, id: UUID) -> Consent:
    """A consent. Raises ConsentNotFound, also for one of a contact that the actor does not see."""
    tx.require("consents:read")
    rules.require_numbers(tx.actor)
    sees_all = tx.actor.visibility == "all"
    owners = () if sees_all else (sorted(tx.actor.owners),)
    row = await tx.one(ONE_CONSENT.format("" if sees_all else _OF_SEEN), tx.tenant_id, id, *owners)
    if row is None:
        raise ConsentNotFound(f"There is no consent {id}.")
    return Consent(*row)


async def consents(
    tx: Tx | ReadTx, contact_id: UUID, *, limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None
) -> Page[Consent]:
    """A page of a contact's consents, those that ended or were withdrawn among them.

    Raises ContactNotFound, InvalidInput naming the cursor or limit at fault.
    """
    tx.require("consents:read")
    rules.require_numbers(tx.actor)
    asked = whose.ask(tx, contact_id)
    rows, after, before = await _page(tx, "consents", CONSENT, {"contact_id": contact_id}, ("", ()), limit, cursor)
    whose.numbers(asked, contact_id)
    return Page(tuple(Consent(*row) for row in rows), after, before)


ONE_OPT_OUT = f"select {OPT_OUT} from opt_outs where tenant_id = $1 and id = $2"


async def opted_out(tx: Tx | ReadTx, id: UUID) -> OptOut:
    """An opt-out, taken back or not. Raises OptOutNotFound."""
    tx.require("consents:read")
    rules.require_numbers(tx.actor)
    row = await tx.one(ONE_OPT_OUT, tx.tenant_id, id)
    if row is None:
        raise OptOutNotFound(f"There is no opt-out {id}.")
    return OptOut(*row)


async def opt_outs(
    tx: Tx | ReadTx, *, number: str | None = None, removed: bool = False,
    limit: int = paging.DEFAULT_LIMIT, cursor: str | None = None,
) -> Page[OptOut]:  # fmt: skip
    """A page of opt-outs, of a number in any format; with `removed`, those that were taken back among them.

    Raises InvalidInput naming the number, cursor or limit at fault.
    """
    tx.require("consents:read")
    rules.require_numbers(tx.actor)
    given: dict[str, Parameter] = {"number": None if number is None else await _read_number(tx, number)}
    holding = "" if removed else " and removed_at is null"
    rows, after, before = await _page(tx, "opt_outs", OPT_OUT, given, (holding, ()), limit, cursor)
    return Page(tuple(OptOut(*row) for row in rows), after, before)


WASHED = f"select {WASH} from washes where tenant_id = $1 and number = $2"


async def washed(tx: Tx | ReadTx, number: str) -> Wash | None:
    """What the register said last of a number in any format; None for one that was never washed.

    Raises InvalidInput.
    """
    tx.require("washes:read")
    row = await tx.one(WASHED, tx.tenant_id, await _read_number(tx, number))
    return Wash(*row) if row else None


async def _read_number(tx: Tx | ReadTx, number: str) -> str:
    """A number as it is kept. Raises InvalidInput."""
    settings = (await tx.tenant()).settings
    try:
        return phones.parse(number, default_region=settings.default_region, allowed_regions=None).number
    except InvalidPhone as error:
        raise InvalidInput.at("number", error.message, code=error.code) from None


async def _page(
    tx: Tx | ReadTx, table: str, columns: str, given: dict[str, Parameter], seen: tuple[str, tuple[Parameter, ...]],
    limit: int, cursor: str | None,
) -> Any:  # fmt: skip
    """A stretch of a table, newest first: its rows and the cursors after and before. `seen` counts from $100."""
    limit = paging.limit(limit)
    asked = {name: value for name, value in given.items() if value is not None}
    condition, more = seen
    mark = paging.fingerprint(tx.tenant_id, table, asked, condition)
    edge = paging.decode(cursor, mark, 1) if cursor else None
    backward = edge is not None and edge.backward
    values: list[Parameter] = [tx.tenant_id, paging.read_id(edge) if edge else _NEWEST, *asked.values(), *more]
    where = "".join(f" and {name} = ${number}" for number, name in enumerate(asked, 3))
    for number in range(len(more)):
        condition = condition.replace(f"${100 + number}", f"${3 + len(asked) + number}")
    sql = (
        f"select {columns} from {table} where tenant_id = $1 and id {'>' if backward else '<'} $2{where}{condition} "
        f"order by id {'asc' if backward else 'desc'} limit {limit + 1}"
    )
    rows = await tx.all(sql, *values)
    return paging.assemble(rows, limit, edge, mark, lambda row: (str(row[0]),))
