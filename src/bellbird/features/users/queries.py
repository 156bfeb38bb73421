"""Reading users: one, a page of them, what they are called."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from bellbird.core import emails, paging
from bellbird.core.engine import ReadTx, SystemTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.filters import Params
from bellbird.core.paging import Page
from bellbird.features.users.models import User, UserNotFound
from bellbird.features.users.rows import READ, from_row

GET = f"select {READ} from memberships where tenant_id = $1 and id = $2"


async def get(tx: Tx | ReadTx, id: UUID) -> User:
    """A user, also one whose membership was ended. Raises UserNotFound."""
    tx.require("users:read")
    row = await tx.one(GET, tx.tenant_id, id)
    if row is None:
        raise UserNotFound(f"There is no user {id}.")
    return from_row(row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which users: of a role, of a team; `disabled` are those whose membership was ended instead."""

    role: str | None = None
    team: UUID | None = None
    disabled: bool = False
    limit: int = paging.DEFAULT_LIMIT
    cursor: str | None = None


_EVERYBODY: Final = Query()


async def page(tx: Tx | ReadTx, query: Query = _EVERYBODY) -> Page[User]:
    """A page of users, whoever Bellbird has known longest first. Raises InvalidInput naming what is at fault."""
    tx.require("users:read")
    limit = paging.limit(query.limit)
    mark = paging.fingerprint(tx.tenant_id, "users", query.role, query.team, query.disabled)
    edge = paging.decode(query.cursor, mark, 1) if query.cursor else None
    params = Params(tx.tenant_id)
    where = f"tenant_id = $1 and disabled_at is {'not null' if query.disabled else 'null'}"
    if query.role is not None:
        where += f" and role = {params.add(query.role)}"
    if query.team is not None:
        where += f" and team_ids @> array[{params.add(query.team)}::uuid]"
    backward = edge is not None and edge.backward
    if edge is not None:
        where += f" and id {'<' if backward else '>'} {params.add(paging.read_id(edge))}"
    order = "id desc" if backward else "id"
    sql, values = params.used_in(f"select {READ} from memberships where {where} order by {order} limit {limit + 1}")
    rows = await tx.all(sql, *values)
    shown, after, before = paging.assemble(rows, limit, edge, mark, lambda row: (str(row[0]),))
    return Page(tuple(map(from_row, shown)), after, before)


NAMED = "select id, name, email from memberships where tenant_id = $1 and id = any($2::uuid[])"


async def named(tx: Tx | ReadTx, ids: Collection[UUID]) -> Mapping[UUID, tuple[str, str]]:
    """What users are called, and their e-mail addresses, by their ids; nobody's are left out.

    Asks for no permission: whoever shows a record may say whose it is.
    """
    if not ids:
        return {}
    return {id: (name, email) for id, name, email in await tx.all(NAMED, tx.tenant_id, list(ids))}


KNOWN = "select id from users where email_key = $1"


async def known(tx: SystemTx, email: str) -> UUID:
    """Whom an e-mail address belongs to, in whatever tenant; for the operator. Raises UserNotFound."""
    tx.require("users:read")
    try:
        key = emails.parse(email).key
    except emails.InvalidEmail as error:
        raise InvalidInput.at("email", error.message, code=error.code) from None
    row = await tx.one(KNOWN, key)
    if row is None:
        raise UserNotFound(f"Nobody has the e-mail address {email}.")
    found: UUID = row[0]
    return found
