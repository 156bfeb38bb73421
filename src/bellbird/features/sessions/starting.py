"""Beginning a session, in the transaction that has found whose it is; and the tokens that it goes on with."""

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bellbird.core import credentials, ids
from bellbird.core.connection import bytea
from bellbird.core.engine import SystemTx, Tx
from bellbird.core.events import Event
from bellbird.core.settings import Settings
from bellbird.features.sessions.models import Caller, InvalidCredentials, Person, SignedInTenant, Started

# How long a refresh token is good for when it is not used; a session as a whole lasts for the setting's days.
IDLE: Final = timedelta(days=14)

# Held until the session is there: a membership that ends at this moment, or a password that changes, ends it too,
# and of a tenant that is being deleted nothing is left behind.
WHO = """
select m.email, m.name, t.id, t.slug, t.name, t.status
from users u
join memberships m on m.id = u.id
join tenants t on t.id = m.tenant_id
where u.id = $1 and u.password_hash = $2 and m.tenant_id = $3 and m.joined_at is not null and m.disabled_at is null
  and t.status <> 'deleting'
for share of u, m
for key share of t
"""

INSERT_SESSION = """
insert into sessions (tenant_id, id, user_id, user_agent, created_at, last_used_at, expires_at)
values ($1, $2, $3, $4, $5, $5, $6)
"""

INSERT_NEXT = """
insert into refresh_tokens (tenant_id, id, session_id, secret_hash, issued_at, expires_at)
values ($1, $2, $3, $4, $5, $6)
"""


async def start(
    tx: SystemTx, settings: Settings, tenant_id: UUID, user_id: UUID, password_hash: str, caller: Caller
) -> Started:
    """Begin a session of somebody whose password was found right. Raises InvalidCredentials when it no longer is."""
    row = await tx.one(WHO, user_id, password_hash, tenant_id)
    if row is None:
        raise InvalidCredentials(InvalidCredentials.title())
    email, name, *tenant = row
    now, id = tx.clock.now(), tx.new_id()
    until = now + timedelta(days=settings.session_days)
    _clear_away(tx, tenant_id, user_id, now)
    tx.queue(INSERT_SESSION, tenant_id, id, user_id, _program(caller), now, until)
    token = _issue(tx, tenant_id, id, now, until)
    changes = {"user_id": (None, user_id), "expires_at": (None, until)}
    data = {"user_id": user_id, "address": caller.address}
    tx.emit(tenant_id, Event("session.started", id, changes=changes, data=data))
    return Started(id, Person(user_id, email, name), SignedInTenant(*tenant), token)


USE = "update refresh_tokens set used_at = $3 where tenant_id = $1 and id = $2"
GO_ON = "update sessions set last_used_at = $3 where tenant_id = $1 and id = $2"

# Those that could not be used any more anyway. One that somebody comes with at this moment is left to them.
FORGET = """
delete from refresh_tokens
where tenant_id = $1 and id = any(array(
  select id from refresh_tokens where tenant_id = $1 and session_id = $2 and expires_at <= $3 for update skip locked))
"""


def go_on(tx: Tx, token_id: UUID, session_id: UUID, until: datetime) -> str:
    """Use up a refresh token of a session; returns the next one."""
    now = tx.clock.now()
    tx.queue(USE, tx.tenant_id, token_id, now)
    tx.queue(GO_ON, tx.tenant_id, session_id, now)
    tx.queue(FORGET, tx.tenant_id, session_id, now)
    return _issue(tx, tx.tenant_id, session_id, now, until)


def _issue(tx: Tx | SystemTx, tenant_id: UUID, session_id: UUID, now: datetime, until: datetime) -> str:
    """A session's next refresh token."""
    id = ids.uuid7(now)
    token = credentials.make("refresh", tenant_id, id)
    tx.queue(INSERT_NEXT, tenant_id, id, session_id, bytea(token.hash), now, min(now + IDLE, until))
    return token.text


def _program(caller: Caller) -> str | None:
    """What the program calls itself, as a person can be shown it."""
    shown = "".join(character for character in caller.user_agent or "" if character.isprintable())
    return shown[:200] or None


# A few at each sign-in: more than that nobody leaves behind. Tokens first, as whoever refreshes locks them first.
CLEAR_TOKENS = """
delete from refresh_tokens
where tenant_id = $1 and session_id = any(array(
  select id from sessions where tenant_id = $1 and user_id = $2 and expires_at <= $3 order by id limit 10))
"""

CLEAR_SESSIONS = """
delete from sessions s
where s.tenant_id = $1 and s.user_id = $2 and s.expires_at <= $3
  and not exists (select from refresh_tokens t where t.tenant_id = $1 and t.session_id = s.id)
"""


def _clear_away(tx: SystemTx, tenant_id: UUID, user_id: UUID, now: datetime) -> None:
    """Forget sessions of the person that have expired."""
    tx.queue(CLEAR_TOKENS, tenant_id, user_id, now)
    tx.queue(CLEAR_SESSIONS, tenant_id, user_id, now)
