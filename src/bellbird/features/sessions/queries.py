"""Reading who is signed in: oneself, and the sessions one has."""

from typing import Final
from uuid import UUID

from bellbird.core.engine import ReadTx, Tx
from bellbird.features.sessions.models import Me, Person, Session, SignedInTenant, Withheld
from bellbird.features.sessions.rows import READ, from_row, person_of
from bellbird.features.users import queries as users

OWN = f"select {READ} from sessions where tenant_id = $1 and id = $2 and user_id = $3"


async def me(tx: Tx | ReadTx, *, session_id: UUID | None = None) -> Me:
    """Who is calling, and what they may do; with the id of the session that their token belongs to, that too."""
    actor, tenant = tx.actor, await tx.tenant()
    asked = tx.queue(OWN, tx.tenant_id, session_id, actor.user_id) if session_id else None
    called = await users.named(tx, [actor.user_id]) if actor.user_id else {}
    person = next((Person(id, email, name) for id, (name, email) in called.items()), None)
    return Me(
        kind=actor.kind,
        id=actor.id,
        user=person,
        tenant=SignedInTenant(tenant.id, tenant.slug, tenant.name, tenant.status),
        role=actor.role,
        permissions=tuple(sorted(actor.permissions)),
        visibility=actor.visibility,
        fields={
            kind: Withheld(tuple(sorted(rules.hidden)), tuple(sorted(rules.read_only)))
            for kind, rules in sorted(actor.fields.items())
        },
        session=from_row(asked.rows[0], session_id) if asked and asked.rows else None,
    )


# A person has a handful; more than this are the work of a program.
MOST: Final = 200

LIVE = f"""
select {READ}
from sessions
where tenant_id = $1 and user_id = $2 and ended_at is null and expires_at > $3
order by last_used_at desc, id
limit {MOST}
"""


async def page(tx: Tx | ReadTx, user_id: UUID | None = None, *, session_id: UUID | None = None) -> tuple[Session, ...]:
    """The sessions of the actor that still hold, last used first, `session_id` the current one.

    Another user's are for who may change users.
    """
    if user_id is not None:
        tx.require("users:write")
    rows = await tx.all(LIVE, tx.tenant_id, user_id or person_of(tx.actor), tx.clock.now())
    return tuple(from_row(row, session_id) for row in rows)
