"""Signing in and out. What a person signs in with is of no tenant, so these work as the system until it is known.

An answer never tells whether somebody has an account: whoever is unknown, has no password or belongs to no tenant
any more is refused as for a wrong password, after as much work and in the same words.
"""

import hmac
from collections.abc import Awaitable
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from bellbird.core import credentials, emails, passwords, text
from bellbird.core.actors import Actor
from bellbird.core.connection import bytea
from bellbird.core.credentials import Credential, NoCredential
from bellbird.core.engine import Engine, SystemTx, Tx
from bellbird.core.errors import Fault, InvalidInput, NotSignedIn, Unavailable
from bellbird.core.events import Event
from bellbird.core.passwords import Verdict
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features.sessions import starting, throttling
from bellbird.features.sessions.models import (
    Acceptance,
    Caller,
    InvalidCredentials,
    InvitationInvalid,
    NoPassword,
    NoSession,
    PasswordChange,
    PasswordChanged,
    Person,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionNotFound,
    SignedInTenant,
    SignIn,
    Started,
    TenantNeeded,
    TooManySignIns,
)
from bellbird.features.sessions.rows import person_of
from bellbird.features.users import ending
from bellbird.features.users.actions import MAX_NAME

_NOBODY: Final = Caller()

PERSON = "select id, password_hash from users where email_key = $1"

# By name, as they are listed for the person to choose from.
TENANTS = """
select t.id, t.slug, t.name
from users u
join memberships m on m.id = u.id
join tenants t on t.id = m.tenant_id
where u.email_key = $1 and m.joined_at is not null and m.disabled_at is null and t.status <> 'deleting'
order by t.name, t.slug
limit 1000
"""


async def sign_in(engine: Engine, settings: Settings, given: SignIn, caller: Caller = _NOBODY) -> Started:
    """Begin a session for whoever has this e-mail address and password, and record `session.started`.

    Raises InvalidCredentials, TenantNeeded when the person has to choose, TooManySignIns, InvalidInput for what is no
    e-mail address, Unavailable when more sign in than can be served.
    """
    try:
        email = emails.parse(given.email).key
    except emails.InvalidEmail as error:
        raise InvalidInput(faults=[Fault(error.code, error.message, pointer="/email")]) from None
    async with engine.system(_system(caller), request_id=caller.request_id) as tx:
        wait = await throttling.count(tx, settings, email, caller.address)
        person, tenants = tx.queue(PERSON, email), tx.queue(TENANTS, email)
    _refuse_for(wait)
    id, kept = person.rows[0] if person.rows else (None, None)
    chosen = _chosen(tenants.rows, given.tenant)
    # Twice, if need be: the hash may have been renewed, or the password changed, while it was looked at.
    for _ in range(2):
        verdict = await _verify(engine, given.password, kept, email, caller)
        if not (verdict.right and tenants.rows):
            break
        async with engine.system(_person(id, caller), request_id=caller.request_id) as tx:
            in_force = await _in_force(tx, id, kept, verdict.renewed)
            is_right = in_force in (kept, verdict.renewed)
            if is_right:
                throttling.forgive(tx, email, caller.address)
            started = await starting.start(tx, settings, chosen, id, in_force, caller) if is_right and chosen else None
        if started:
            return started
        if is_right:
            raise _which(tenants.rows, given.tenant)
        kept = in_force
    raise InvalidCredentials(InvalidCredentials.title())


# Of those who sign in as one person at once, one after the other. The person is always held before what is counted.
PRESENT = "select password_hash from users where id = $1 for update"

# The same password, under today's parameters.
RENEW = "update users set password_hash = $2 where id = $1"


async def _in_force(tx: SystemTx, id: UUID, kept: str, renewed: str | None) -> str:
    """The hash of a person's password, which stays so until the transaction ends; renewed, if it was the one kept."""
    row = await tx.one(PRESENT, id)
    present: str = row[0] or "" if row else ""
    if present == kept and renewed:
        tx.queue(RENEW, id, renewed)
        return renewed
    return present


def _system(caller: Caller) -> Actor:
    return Actor.system("sign-in", origin=caller.origin)


def _person(id: UUID, caller: Caller) -> Actor:
    """Whoever has proved who they are: they act for themselves, and have no say in anything else here."""
    return Actor.user(id, permissions=frozenset(), origin=caller.origin)


def _refuse_for(wait: int | None) -> None:
    if wait is not None:
        raise TooManySignIns(f"{TooManySignIns.title()} It can be tried again in {wait} seconds.", retry_after=wait)


async def _verify(engine: Engine, password: str, kept: str | None, email_key: str, caller: Caller) -> Verdict:
    """Whether a password is right, once it has been counted as an attempt. Raises Unavailable."""
    try:
        return await passwords.verify(password, kept)
    except Unavailable:
        async with engine.system(_system(caller), request_id=caller.request_id) as tx:
            throttling.take_back(tx, email_key, caller.address)
        raise


def _chosen(tenants: list[tuple[Any, ...]], slug: str | None) -> UUID | None:
    """The tenant that is meant: the one named, or the only one."""
    meant = [id for id, its_slug, _ in tenants if slug in (None, its_slug)]
    return meant[0] if len(meant) == 1 else None


def _which(tenants: list[tuple[Any, ...]], slug: str | None) -> TenantNeeded:
    message = "is needed" if slug is None else f"cannot be {slug[:60]!r}, where you are no member"
    there = ", ".join(each[1] for each in tenants[:20]) + (", ..." if len(tenants) > 20 else "")
    return TenantNeeded(
        faults=[Fault("invalid_value", f"{message}; choose one of {there}", pointer="/tenant")],
        tenants=[{"slug": its_slug, "name": name} for _, its_slug, name in tenants],
    )


# A token's row before its session's, always: two who come with the same token follow each other.
PRESENTED = """
select t.secret_hash, t.used_at, t.expires_at, s.id, s.user_id, s.expires_at, s.ended_at, s.ended_because,
  m.email, m.name
from refresh_tokens t
join sessions s on s.tenant_id = t.tenant_id and s.id = t.session_id
left join memberships m on m.tenant_id = s.tenant_id and m.id = s.user_id and m.disabled_at is null
where t.tenant_id = $1 and t.id = $2
for update of t, s
"""


async def refresh(engine: Engine, token: str, caller: Caller = _NOBODY) -> Started:
    """Exchange a refresh token for the session's next one.

    A token that comes again has two holders, and nobody can tell which of them is the thief: the session is ended,
    and `session.ended` recorded. Raises RefreshTokenReused then, RefreshTokenInvalid for every other that is no good.
    """
    try:
        given = credentials.read("refresh", token)
    except NoCredential as error:
        raise RefreshTokenInvalid(f"The refresh token {error}.") from None
    async with engine.tenant(given.tenant_id, _system(caller), request_id=caller.request_id) as tx:
        asked = tx.queue(PRESENTED, given.tenant_id, given.id)
        try:
            tenant = await _hold(tx)
        except NotSignedIn:
            raise RefreshTokenInvalid("The refresh token is of a tenant that does not exist (any more).") from None
        session_id, until, was_used, person = _read_token(asked.rows, given, tx.clock.now())
        tx.actor = _person(person.id, caller)
        if was_used:
            await ending.end(tx, person.id, "refresh token used twice", only=session_id)
        else:
            following = starting.go_on(tx, given.id, session_id, until)
    if was_used:
        raise RefreshTokenReused(RefreshTokenReused.title())
    return Started(session_id, person, SignedInTenant(tenant.id, tenant.slug, tenant.name, tenant.status), following)


# So that nothing is left behind of a tenant that is being deleted at this moment.
HOLD_TENANT = "select id from tenants where id = $1 for key share"


def _hold(tx: Tx) -> Awaitable[Tenant]:
    """The tenant, which people sign in to and out of even while it is suspended."""
    tx.queue(HOLD_TENANT, tx.tenant_id)
    return tx.writable(even_suspended=True)


def _read_token(rows: list[tuple[Any, ...]], given: Credential, now: datetime) -> tuple[UUID, datetime, bool, Person]:
    """The session of a refresh token, its end, whether the token was used before, and whose it is.

    Raises RefreshTokenInvalid.
    """
    if not rows or not hmac.compare_digest(rows[0][0], given.hash):
        raise RefreshTokenInvalid("There is no such refresh token (any more): sign in again.")
    _, used_at, expires_at, session_id, user_id, until, ended_at, because, email, name = rows[0]
    if ended_at is not None:
        raise RefreshTokenInvalid(f"The session is over ({because}): sign in again.")
    if min(until, expires_at) <= now:
        raise RefreshTokenInvalid("The refresh token has expired: sign in again.")
    if email is None:
        raise RefreshTokenInvalid("This person is no member of the tenant any more: sign in again.")
    return session_id, until, used_at is not None, Person(user_id, email, name)


async def sign_out(tx: Tx, session_id: UUID | None) -> None:
    """End the session that the actor's own token belongs to, and record `session.ended`. Raises NoSession."""
    person = person_of(tx.actor)
    if session_id is None:
        raise NoSession("This token was not made by signing in, and belongs to no session: it holds until it expires.")
    await _hold(tx)
    await ending.end(tx, person, "signed out", only=session_id)


async def end(tx: Tx, id: UUID) -> None:
    """End one of the actor's own sessions and record `session.ended`. Raises SessionNotFound."""
    person = person_of(tx.actor)
    await _hold(tx)
    if not await ending.end(tx, person, "signed out", only=id):
        raise SessionNotFound(f"There is no session {id} of yours that still holds.")


async def end_all(tx: Tx, user_id: UUID | None = None) -> int:
    """End every session of the actor in the tenant, or of another user, and record `session.ended` for each.

    Returns how many there were. Another's takes the permission to change users.
    """
    if user_id is None:
        person, because = person_of(tx.actor), "signed out everywhere"
    else:
        tx.require("users:write")
        person, because = user_id, "ended by an administrator"
    await _hold(tx)
    return await ending.end(tx, person, because)


ACCOUNT = "select email, email_key, name, password_hash from users where id = $1"

CHANGE = """
update users
set password_hash = $2, password_given = false, updated_at = $4, name = coalesce($5, name)
where id = $1 and password_hash is not distinct from $3
"""


async def change_password(
    engine: Engine, settings: Settings, actor: Actor, change: PasswordChange, *, session_id: UUID | None = None,
    caller: Caller = _NOBODY,
) -> None:  # fmt: skip
    """Put a new password in the present one's place, end every other session of the person in whatever tenant, and
    record `user.password_changed` in each.

    Raises InvalidInput for a wrong password and for a new one that will not do, NoPassword, TooManySignIns,
    PasswordChanged.
    """
    id = person_of(actor)
    async with engine.system(actor, request_id=caller.request_id) as tx:
        row = await tx.one(ACCOUNT, id)
        if row is None or row[3] is None:
            raise NoPassword(NoPassword.title())
        email, key, name, kept = row
        _check_new(change.new_password, "/new_password", email, name)
        wait = await throttling.count(tx, settings, key, caller.address)
    _refuse_for(wait)
    if not (await _verify(engine, change.current_password, kept, key, caller)).right:
        raise _wrong_password("/current_password")
    new = await passwords.hash(change.new_password)
    async with engine.system(actor, request_id=caller.request_id) as tx:
        if not await tx.run(CHANGE, id, new, kept, tx.clock.now(), None):
            raise PasswordChanged(PasswordChanged.title())
        throttling.forgive(tx, key, caller.address)
        await ending.end_everywhere(tx, id, "password changed", keep=session_id)
        await ending.tell_everywhere(tx, id, "user.password_changed")


def _check_new(password: str, pointer: str, *about: str) -> None:
    try:
        passwords.check(password, about=about)
    except passwords.InvalidPassword as error:
        raise InvalidInput(faults=[Fault(error.code, error.message, pointer=pointer)]) from None


def _wrong_password(pointer: str) -> InvalidInput:
    return InvalidInput(faults=[Fault("wrong_password", "is not the present password", pointer=pointer)])


INVITED = """
select u.email, u.email_key, u.password_hash, u.password_given, m.name, m.invitation_hash, m.invited_until,
  m.joined_at is not null, m.disabled_at is not null
from memberships m
join users u on u.id = m.id
join tenants t on t.id = m.tenant_id
where m.tenant_id = $1 and m.id = $2 and t.status <> 'deleting'
"""

# The person before the membership, as everywhere.
HOLD_PERSON = "select id from users where id = $1 for share"

JOIN = """
update memberships
set joined_at = coalesce(joined_at, $4), invitation_hash = null, invited_until = null, name = coalesce($5, name),
  version = version + 1, updated_at = $4
where tenant_id = $1 and id = $2 and invitation_hash = $3 and invited_until > $4 and disabled_at is null
"""


async def accept(engine: Engine, settings: Settings, given: Acceptance, caller: Caller = _NOBODY) -> Started:
    """Join a tenant by its invitation, record `user.joined`, and begin a session.

    Whoever is new to Bellbird, or whose password was reset, chooses a password; everybody else gives the one they
    have, which no invitation changes. Raises InvitationInvalid, InvalidInput, TooManySignIns.
    """
    token, name = _read_invitation(given)
    async with engine.system(_system(caller), request_id=caller.request_id) as tx:
        row = await tx.one(INVITED, token.tenant_id, token.id)
        if row is None or row[5] is None or not hmac.compare_digest(row[5], token.hash):
            raise _no_invitation("was accepted already, or another one was made in its place")
        email, key, kept, was_given, called, _, until, is_reset, is_disabled = row
        if is_disabled or until <= tx.clock.now():
            raise _no_invitation("is void: the membership was ended" if is_disabled else "has expired")
        is_known = kept is not None and not is_reset
        wait = await throttling.count(tx, settings, key, caller.address) if is_known else None
    _refuse_for(wait)
    if is_known:
        verdict = await _verify(engine, given.password, kept, key, caller)
        _check_known(verdict, was_given)
        password_hash = kept
    else:
        _check_new(given.password, "/password", email, name or called)
        password_hash = await passwords.hash(given.password)
    async with engine.system(_person(token.id, caller), request_id=caller.request_id) as tx:
        now = tx.clock.now()
        if is_known:
            tx.queue(HOLD_PERSON, token.id)
            throttling.forgive(tx, key, caller.address)
        elif not await tx.run(CHANGE, token.id, password_hash, kept, now, name):
            raise _no_invitation("was accepted by another request at this moment")
        if not await tx.run(JOIN, token.tenant_id, token.id, bytea(token.hash), now, name):
            raise _no_invitation("was accepted by another request at this moment")
        if is_reset:
            await ending.tell_everywhere(tx, token.id, "user.password_changed")
        else:
            tx.emit(token.tenant_id, Event("user.joined", token.id, changes={"joined_at": (None, now)}))
        return await starting.start(tx, settings, token.tenant_id, token.id, password_hash, caller)


def _read_invitation(given: Acceptance) -> tuple[Credential, str | None]:
    """What was sent to accept an invitation, read. Raises InvitationInvalid, InvalidInput."""
    try:
        token = credentials.read("invite", given.token)
    except NoCredential as error:
        raise _no_invitation(str(error)) from None
    try:
        return token, text.clean(given.name, max_length=MAX_NAME) or None if given.name else None
    except text.InvalidText as error:
        raise InvalidInput(faults=[Fault(error.code, error.message, pointer="/name")]) from None


def _no_invitation(why: str) -> InvitationInvalid:
    return InvitationInvalid(faults=[Fault("invalid_token", why, pointer="/token")])


def _check_known(verdict: Verdict, was_given: bool) -> None:
    """Raises InvalidInput unless this is a person's own password, which they chose themselves."""
    if not verdict.right:
        raise _wrong_password("/password")
    if was_given:
        # Whoever made the account knows it, and would come in here with the person.
        message = "was chosen by whoever made your account: change it there first (POST /auth/password)"
        raise InvalidInput(faults=[Fault("password_given", message, pointer="/password")])
