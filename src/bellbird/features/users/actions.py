"""Who is a member of a tenant, and as what. Nobody gives more than they have, nor touches who has more than they.

A membership alone lets nobody in. Whoever is added joins by that tenant's own invitation, with a password that is
theirs: so an administrator elsewhere who made an account in somebody's name does not come in with it.
"""

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from bellbird.core import credentials, emails, ids, passwords, text
from bellbird.core.actors import Role
from bellbird.core.connection import bytea
from bellbird.core.engine import SystemTx, Tx
from bellbird.core.errors import Fault, InvalidInput, VersionMismatch
from bellbird.core.events import Event
from bellbird.features.roles import granting
from bellbird.features.roles import queries as roles
from bellbird.features.teams import queries as teams
from bellbird.features.users import ending, rights
from bellbird.features.users.models import (
    AlreadyJoined,
    AlreadyMember,
    Invitation,
    NewUser,
    User,
    UserDisabled,
    UserNotFound,
    UserPatch,
)
from bellbird.features.users.rows import READ, from_row

MAX_NAME: Final = 200
MAX_TEAMS: Final = 50
INVITED_FOR: Final = timedelta(days=7)

RECORDED: Final = ("email", "name", "role", "visibility", "team_ids", "disabled_at")

ENSURE = "select id, made from ensure_user($1, $2, $3, $4, $5, $6)"

INSERT = """
insert into memberships (tenant_id, id, email, name, role, visibility, team_ids, invitation_hash, invited_until,
  joined_at, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
on conflict (tenant_id, id) do nothing
"""


async def add(tx: Tx, new: NewUser) -> User:
    """Make a person a member of the tenant and record `user.added`.

    Whoever is new to Bellbird and given a password has joined with that; everybody else is given an invitation,
    which is in the answer this once. Raises InvalidInput with every fault, CannotGrant for more than the actor has,
    AlreadyMember.
    """
    tx.require("users:write")
    email, name = _read(new)
    password_hash = await passwords.hash(new.password) if new.password is not None else None
    await tx.writable()
    role = rights.seeing(await roles.named(tx, new.role, lock=True), new.visibility)
    tx.actor.require_grant(role)
    rights.check_teams(tx.actor, (), new.team_ids)
    team_ids = await _teams(tx, new.team_ids)
    now = tx.clock.now()
    row = await tx.one(ENSURE, ids.uuid7(now), email.address, email.key, name, password_hash, now)
    assert row
    id, is_new = row
    secret = None if password_hash else credentials.make("invite", tx.tenant_id, id)
    until, joined_at = (now + INVITED_FOR, None) if secret else (None, now)
    user = User(id, email.address, name, role.name, new.visibility, team_ids, until, joined_at, None, 1, now, now)
    written = await tx.run(
        INSERT, tx.tenant_id, id, user.email, name, user.role, user.visibility, team_ids,
        bytea(secret.hash) if secret else None, until, joined_at, now,
    )  # fmt: skip
    if not written:
        raise AlreadyMember(f"{email.address} is a member already, as user {id}.", user_id=id)
    if password_hash and not is_new:
        message = f"{email.address} has an account already, with a password of their own: leave this out"
        raise InvalidInput(faults=[Fault("password_kept", message, pointer="/password")])
    tx.emit(Event("user.added", id, changes=_difference(None, user)))
    tx.access_changed()
    return replace(user, invitation=Invitation(secret.text, until)) if secret and until else user


def _read(new: NewUser) -> tuple[emails.EmailAddress, str]:
    """The e-mail address and the name of somebody new. Raises InvalidInput with every fault."""
    faults, email, name = list[Fault](), None, ""
    try:
        email = emails.parse(new.email)
    except emails.InvalidEmail as error:
        faults.append(Fault(error.code, error.message, pointer="/email"))
    try:
        name = text.clean(new.name, max_length=MAX_NAME)
        if not name:
            faults.append(Fault("invalid_value", "must have something to be read", pointer="/name"))
    except text.InvalidText as error:
        faults.append(Fault(error.code, error.message, pointer="/name"))
    if new.visibility is not None:
        granting.visibility(new.visibility, "/visibility", faults)
    if new.password is not None:
        try:
            passwords.check(new.password, about=(new.email, new.name))
        except passwords.InvalidPassword as error:
            faults.append(Fault(error.code, error.message, pointer="/password"))
    if faults or email is None:
        raise InvalidInput(faults=faults)
    return email, name


async def _teams(tx: Tx, given: tuple[UUID, ...]) -> tuple[UUID, ...]:
    """The teams that somebody is to be in, kept until the transaction ends. Raises InvalidInput."""
    if len(given) > MAX_TEAMS:
        message = f"has {len(given):,} teams; somebody may be in at most {MAX_TEAMS}"
        raise InvalidInput(faults=[Fault("too_many", message, pointer="/team_ids")])
    await teams.hold(tx, given)
    return tuple(dict.fromkeys(given))


UPDATE = """
update memberships
set role = $3, visibility = $4, team_ids = $5, disabled_at = $6, version = version + 1, updated_at = $7,
  invitation_hash = case when $6::timestamptz is null then invitation_hash end,
  invited_until = case when $6::timestamptz is null then invited_until end
where tenant_id = $1 and id = $2
"""


async def update(tx: Tx, id: UUID, patch: UserPatch, *, version: int | None = None) -> User:
    """Change what a user may do, see and belong to, and record `user.updated`; what changes nothing writes nothing.

    It holds within a second, everywhere. With `disabled` their sessions and their invitation end as well.
    Raises UserNotFound, VersionMismatch when `version` is given and no longer the current one, InvalidInput,
    CannotGrant, LastOwner.
    """
    tx.require("users:write")
    return await _change(tx, id, patch, version, "user.updated")


async def remove(tx: Tx, id: UUID, *, version: int | None = None) -> None:
    """End a membership, with the user's sessions, and record `user.removed`; what they own stays theirs.

    Raises UserNotFound, VersionMismatch, CannotGrant, LastOwner.
    """
    tx.require("users:write")
    await _change(tx, id, UserPatch(disabled=True), version, "user.removed")


async def _change(tx: Tx, id: UUID, patch: UserPatch, version: int | None, event: str) -> User:
    await tx.writable(even_suspended=event == "user.removed")
    # The role and the teams before the members: in this order whoever deletes them locks, too.
    role = None if patch.role is UNSET else await roles.named(tx, patch.role, lock=True)
    team_ids = UNSET if patch.team_ids is UNSET else await _teams(tx, patch.team_ids or ())
    user, owners = await _held(tx, id)
    if version is not None and version != user.version:
        raise VersionMismatch(
            f"The user is at version {user.version}; your change was made to version {version}.", current=user
        )
    changed = _patched(user, replace(patch, team_ids=team_ids), tx.clock.now())
    if changed == user:
        return user
    had = await _role_of(tx, user)
    before, after = rights.seeing(had, user.visibility), rights.seeing(role or had, changed.visibility)
    rights.check_touch(tx.actor, user, before)
    rights.check_grant(tx.actor, user, before, after)
    rights.check_teams(tx.actor, user.team_ids, changed.team_ids)
    rights.check_owners(user, changed, owners)
    changed = replace(changed, version=user.version + 1, updated_at=tx.clock.now())
    tx.queue(
        UPDATE, tx.tenant_id, id, changed.role, changed.visibility, changed.team_ids, changed.disabled_at,
        changed.updated_at,
    )  # fmt: skip
    tx.emit(Event(event, id, changes=_difference(user, changed)))
    tx.access_changed()
    if changed.disabled_at and not user.disabled_at:
        await ending.end(tx, id, "membership ended")
        return replace(changed, invited_until=None)
    return changed


# All of them, and in order: of two owners who end each other's ownership at once, one is told that it is the last.
HOLD = f"""
select {READ}
from memberships
where tenant_id = $1 and (id = $2 or (role = 'owner' and disabled_at is null))
order by id
for update
"""


async def _held(tx: Tx, id: UUID) -> tuple[User, list[User]]:
    """A user, and all that are owners at this moment, locked until the transaction ends. Raises UserNotFound."""
    held = [from_row(row) for row in await tx.all(HOLD, tx.tenant_id, id)]
    user = next((each for each in held if each.id == id), None)
    if user is None:
        raise UserNotFound(f"There is no user {id}.")
    return user, [each for each in held if rights.owns(each)]


def _patched(user: User, patch: UserPatch, now: datetime) -> User:
    """The user as the patch has it. Raises InvalidInput."""
    changed = user
    if patch.role is not UNSET:
        changed = replace(changed, role=patch.role)
    if patch.visibility is not UNSET:
        faults: list[Fault] = []
        if patch.visibility is not None:
            granting.visibility(patch.visibility, "/visibility", faults)
        if faults:
            raise InvalidInput(faults=faults)
        changed = replace(changed, visibility=patch.visibility)
    if patch.team_ids is not UNSET:
        changed = replace(changed, team_ids=patch.team_ids or ())
    if patch.disabled is not UNSET:
        changed = replace(changed, disabled_at=(user.disabled_at or now) if patch.disabled else None)
    return changed


async def _role_of(tx: Tx, user: User) -> Role:
    """The role that a user has; nothing may be done in one that is gone."""
    try:
        return await roles.named(tx, user.role)
    except InvalidInput:
        return Role(user.role, frozenset(), "own")


INVITE = """
update memberships
set invitation_hash = $3, invited_until = $4, version = version + 1, updated_at = $5
where tenant_id = $1 and id = $2
"""


async def invite(tx: Tx, id: UUID) -> Invitation:
    """Invite anew somebody who has not joined yet, and record `user.invited`; the invitation before is void.

    Raises UserNotFound, AlreadyJoined, UserDisabled, CannotGrant when they may do more than the actor.
    """
    tx.require("users:write")
    await tx.writable()
    user, _ = await _held(tx, id)
    if user.disabled_at is not None:
        raise UserDisabled(f"The membership of {user.name} was ended: let it go on before you invite them.")
    if user.joined_at is not None:
        raise AlreadyJoined(f"{user.name} has joined already, and signs in with {user.email}.")
    # An invitation is all that it takes to become them.
    rights.check_touch(tx.actor, user, rights.seeing(await _role_of(tx, user), user.visibility))
    now = tx.clock.now()
    secret, until = credentials.make("invite", tx.tenant_id, id), now + INVITED_FOR
    tx.queue(INVITE, tx.tenant_id, id, bytea(secret.hash), until, now)
    changes = {"invited_until": (user.invited_until, until)}
    tx.emit(Event("user.invited", id, changes=changes, data={"until": until}))
    return Invitation(secret.text, until)


PERSON = """
select u.password_hash is not null, m.disabled_at is not null, m.invited_until
from users u
join memberships m on m.id = u.id
join tenants t on t.id = m.tenant_id
where m.tenant_id = $1 and m.id = $2
for update of u, m
for key share of t
"""

LOCK_OUT = "update users set password_hash = $2, password_given = false, updated_at = $3 where id = $1"

# What was given out before is void: one reset is in force, that of the tenant in which it was last asked for.
VOID = """
update memberships
set invitation_hash = null, invited_until = null
where id = $1 and tenant_id <> $2 and joined_at is not null and invitation_hash is not null
"""

# Whoever the operator gives this to is the person: they have joined, and choose a password without knowing the old one.
RESET = """
update memberships
set invitation_hash = $3, invited_until = $4, joined_at = case when $5 then coalesce(joined_at, $6) else joined_at end,
  version = version + 1, updated_at = $6
where tenant_id = $1 and id = $2
"""


async def reset_password(tx: SystemTx, tenant_id: UUID, id: UUID) -> Invitation:
    """Void a person's password, end their sessions in every tenant and record `user.password_reset`; as the operator.

    The invitation that is returned lets them choose another. Somebody who never had a password is invited anew.
    Raises UserNotFound, UserDisabled.
    """
    tx.require("tenants:write")
    # Not none: whoever has none may be given one by an invitation of any tenant.
    nobodys = await passwords.hash(secrets.token_urlsafe(32))
    row = await tx.one(PERSON, tenant_id, id)
    if row is None:
        raise UserNotFound(f"There is no user {id}.")
    had_password, is_disabled, invited_until = row
    if is_disabled:
        raise UserDisabled("Their membership of this tenant was ended: let it go on, or reset it in another.")
    now = tx.clock.now()
    secret, until = credentials.make("invite", tenant_id, id), now + INVITED_FOR
    tx.queue(RESET, tenant_id, id, bytea(secret.hash), until, had_password, now)
    if had_password:
        tx.queue(LOCK_OUT, id, nobodys, now)
        tx.queue(VOID, id, tenant_id)
        await ending.end_everywhere(tx, id, "password reset")
        await ending.tell_everywhere(tx, id, "user.password_reset")
    else:
        changes = {"invited_until": (invited_until, until)}
        tx.emit(tenant_id, Event("user.invited", id, changes=changes, data={"until": until}))
    return Invitation(secret.text, until)


def _difference(old: User | None, new: User) -> dict[str, tuple[Any, Any]]:
    """`{field: [old, new]}` of what differs; of a new user, of what they have."""
    changes = {name: (getattr(old, name) if old else None, getattr(new, name)) for name in RECORDED}
    return {name: (before, after) for name, (before, after) in changes.items() if before != after and (before or after)}
