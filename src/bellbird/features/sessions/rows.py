"""A session as a row of the table, and who can have one."""

from typing import Any, Final
from uuid import UUID

from bellbird.core.actors import Actor
from bellbird.core.errors import Forbidden
from bellbird.features.sessions.models import Session

READ: Final = "id, user_agent, created_at, last_used_at, expires_at"


def from_row(row: tuple[Any, ...], session_id: UUID | None) -> Session:
    """A row of READ as a session, seen from the one with this id."""
    id, user_agent, created_at, last_used_at, expires_at = row
    return Session(id, user_agent, created_at, last_used_at, expires_at, current=id == session_id)


def person_of(actor: Actor) -> UUID:
    """Whom a token speaks for. Raises Forbidden: a key and the operator have no sessions and no password."""
    if actor.kind != "user" or actor.user_id is None:
        raise Forbidden(f"This is for people who sign in, and {actor} does not.")
    return actor.user_id
