"""In whose name an operation works: that of whoever started it, with what they could do then and still can."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from bellbird.core import principals
from bellbird.core.actors import ROLES, VISIBILITIES, Actor, FieldRules, Visibility
from bellbird.core.engine import Tx
from bellbird.core.errors import Forbidden

KEY: Final = "select scopes, expires_at, revoked_at from api_keys where tenant_id = $1 and id = $2"


async def present(tx: Tx, starter: Actor) -> Actor:
    """Whoever started an operation, as an actor of a job, able to do no more than they could then and can now.

    Of somebody who was never a member, because their tokens come from elsewhere, nothing further is known here: they
    can do what they could then. Raises Forbidden when they may do nothing here any more.
    """
    starter = replace(starter, origin="job")
    if starter.kind == "key":
        return await _key(tx, starter)
    if starter.kind == "user" and starter.user_id is not None:
        return await _user(tx, starter, starter.user_id)
    return starter


async def _key(tx: Tx, starter: Actor) -> Actor:
    row = await tx.one(KEY, tx.tenant_id, UUID(starter.id))
    if row is None or row[2] is not None or _is_over(row[1], tx.clock.now()):
        raise Forbidden("The API key that started the operation was revoked, or has expired.")
    return replace(starter, permissions=starter.permissions & frozenset(row[0]))


def _is_over(expires_at: datetime | None, now: datetime) -> bool:
    return expires_at is not None and expires_at <= now


async def _user(tx: Tx, starter: Actor, user_id: UUID) -> Actor:
    member = tx.queue(principals.MEMBER, tx.tenant_id, user_id)
    mates = tx.queue(principals.TEAM, tx.tenant_id, user_id)
    await tx.flush()
    if not member.rows:
        return starter
    name, own, disabled_at, permissions, sees, fields = member.rows[0]
    if disabled_at is not None:
        raise Forbidden("The membership of whoever started the operation was ended.")
    role = ROLES.get(name)
    visibility: Visibility = min(
        starter.visibility, own or (role.visibility if role else sees or "own"), key=VISIBILITIES.index
    )
    return replace(
        starter,
        permissions=starter.permissions & (role.permissions if role else frozenset(permissions or ())),
        visibility=visibility,
        owners=_owners(starter, visibility, user_id, frozenset(row[0] for row in mates.rows)),
        fields=_both(starter.fields, {} if role else _rules(fields)),
    )


def _owners(starter: Actor, visibility: Visibility, user_id: UUID, mates: frozenset[UUID]) -> frozenset[UUID]:
    """Whose records are seen: of those that were seen then, if not all were, those that are seen now."""
    if visibility == "all":
        return frozenset()
    now = {user_id} | (mates if visibility == "team" else set())
    return frozenset(now if starter.visibility == "all" else now & starter.owners)


def _rules(text: str | None) -> Mapping[str, FieldRules]:
    return msgspec.json.decode(text or "{}", type=dict[str, FieldRules])


def _both(then: Mapping[str, FieldRules], now: Mapping[str, FieldRules]) -> Mapping[str, FieldRules]:
    """What is withheld then or now."""
    nothing = FieldRules()
    return {
        kind: FieldRules(
            then.get(kind, nothing).hidden | now.get(kind, nothing).hidden,
            then.get(kind, nothing).read_only | now.get(kind, nothing).read_only,
        )
        for kind in then.keys() | now.keys()
    }
