"""From a credential to an actor: what the database says of whoever a token or a key speaks for, kept until it changes.

Every change to memberships, roles, teams, keys or ended sessions raises the tenant's `access_version` in the same
transaction. What is cached here is good for one number, and the number is read anew within `tenants.TTL`:
so what was revoked a second ago is not used any more, by any process, and nobody has to be told.
"""

import asyncio
import hmac
import logging
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final, Literal, Protocol
from uuid import UUID

import msgspec

from bellbird.core.actors import ROLES, VISIBILITIES, Actor, FieldRules, Role, Visibility
from bellbird.core.connection import Pending
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import BellbirdError, Forbidden, NotSignedIn

log = logging.getLogger("bellbird")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified credential says: for whom it speaks, in which tenant, and what it asks for.

    `subject` is the id of the user or of the key. Without `roles` the user's membership decides; with them they do,
    and the user need not be a member. `scopes` narrow what the roles allow, `visibility` what they see.
    `session_id` is the session that must still be live, `secret_hash` what must be the key's.
    """

    tenant_id: UUID
    kind: Literal["user", "key"]
    subject: str
    session_id: UUID | None = None
    roles: tuple[str, ...] | None = None
    scopes: frozenset[str] | None = None
    visibility: Visibility | None = None
    secret_hash: bytes | None = None


class SharedCache(Protocol):
    """A cache that several processes share."""

    async def get(self, key: str) -> bytes | None:
        """What was kept under the key, or None."""
        ...

    async def set(self, key: str, value: bytes, ttl_seconds: int) -> None:
        """Keep it for a while."""
        ...


@dataclass(slots=True)
class _Known:
    """An actor as it was found, under which number, and until when its credential holds."""

    actor: Actor
    access_version: int
    until: float
    noted_at: float = 0.0


# Nobody acts yet while it is found out who does.
_NOBODY: Final = Actor("system", "sign-in")

# How many actors a process remembers, and how often a key's last use is written down.
MAX_KNOWN: Final = 10_000
NOTE_EVERY: Final = 60.0
FOR_EVER: Final = float("inf")
SHARED_SECONDS: Final = 300

MEMBER = """
select m.role, m.visibility, m.disabled_at, r.permissions, r.visibility, r.fields::text
from memberships m
left join roles r on r.tenant_id = m.tenant_id and r.name = m.role
where m.tenant_id = $1 and m.id = $2
"""

TEAM = """
select mate.id
from memberships me
join memberships mate on mate.tenant_id = me.tenant_id and mate.team_ids && me.team_ids
where me.tenant_id = $1 and me.id = $2
"""

CUSTOM_ROLES = "select name, permissions, visibility, fields::text from roles where tenant_id = $1 and name = any($2)"

SESSION = "select user_id, expires_at, ended_at, ended_because from sessions where tenant_id = $1 and id = $2"

KEY = """
select name, secret_hash, scopes, visibility, fields::text, user_id, expires_at, revoked_at
from api_keys
where tenant_id = $1 and id = $2
"""

USED = """
update api_keys set last_used_at = $3
where tenant_id = $1 and id = $2 and (last_used_at is null or last_used_at < $3)
"""


class Principals:
    """Finds the actor that a credential speaks for. `hits` and `misses` count what the process knew already."""

    def __init__(self, engine: Engine, *, token_role: str | None = None, shared: SharedCache | None = None) -> None:
        self._engine = engine
        self._token_role = token_role
        self._shared = shared
        self._known: OrderedDict[Claims, _Known] = OrderedDict()
        self._notes: set[asyncio.Task[None]] = set()
        self.hits = 0
        self.misses = 0

    def known(self, claims: Claims) -> Actor | None:
        """The actor, if it is known and nothing has changed; costs no question."""
        known = self._known.get(claims)
        if known is None:
            self.misses += 1
            return None
        snapshot = self._engine.snapshots.get(claims.tenant_id)
        if snapshot is None or snapshot.access_version != known.access_version:
            self.misses += 1
            return None
        self.hits += 1
        return self._usable(claims, known)

    async def actor(self, claims: Claims) -> Actor:
        """The actor, asked of the database where it is not known.

        Raises NotSignedIn when the credential is revoked, over or nobody's, Forbidden for a role that there is not.
        """
        return self.known(claims) or await self._find(claims)

    async def _find(self, claims: Claims) -> Actor:
        known = self._known.get(claims)
        snapshot = self._engine.snapshots.get(claims.tenant_id)
        if snapshot is None and known is not None:
            # Usually nothing has changed: the number alone tells.
            snapshot = await self._reader(claims).snapshot()
        if snapshot is not None and known is not None and known.access_version == snapshot.access_version:
            return self._usable(claims, known)
        kept = self._shared_key(claims, snapshot.access_version) if self._shared and snapshot else None
        if kept is None or (found := await self._recall(kept)) is None:
            found = await self._load(claims)
            if kept and self._shared:
                await self._shared.set(kept, _pack(found), SHARED_SECONDS)
        self._known[claims] = found
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        return self._usable(claims, found)

    def _usable(self, claims: Claims, known: _Known) -> Actor:
        now = self._engine.clock.now().timestamp()
        if now >= known.until:
            raise NotSignedIn("The API key has expired." if claims.kind == "key" else "The session is over: sign in.")
        if claims.kind == "key" and abs(now - known.noted_at) >= NOTE_EVERY:
            known.noted_at = now
            task = asyncio.create_task(self._note_use(claims))
            self._notes.add(task)
            task.add_done_callback(self._notes.discard)
        return known.actor

    async def _note_use(self, claims: Claims) -> None:
        """Write down that a key was used. That it is missed once costs nothing, and a request must not wait for it."""
        try:
            async with self._engine.tenant(claims.tenant_id, _NOBODY) as tx:
                tx.queue(USED, claims.tenant_id, UUID(claims.subject), self._engine.clock.now())
        except BellbirdError as error:
            log.warning("the last use of a key was not written down: %s", error.code)

    async def close(self) -> None:
        """Wait for what is still being written down."""
        await asyncio.gather(*self._notes)

    def _shared_key(self, claims: Claims, access_version: int) -> str:
        # Under another number it is another entry, so that none is ever out of date.
        digest = blake2b(repr((claims, self._token_role)).encode(), digest_size=16).hexdigest()
        return f"actor:{claims.tenant_id}:{access_version}:{digest}"

    async def _recall(self, key: str) -> _Known | None:
        packed = await self._shared.get(key) if self._shared else None
        return _unpack(packed) if packed else None

    def _reader(self, claims: Claims) -> ReadTx:
        # The tenant's row is read first, so that what follows is at least as new as its number.
        return ReadTx(self._engine, claims.tenant_id, _NOBODY, None, None)

    async def _load(self, claims: Claims) -> _Known:
        read = self._reader(claims)
        actor, until = await (self._key(read, claims) if claims.kind == "key" else self._user(read, claims))
        return _Known(actor, (await read.snapshot()).access_version, until)

    async def _key(self, read: ReadTx, claims: Claims) -> tuple[Actor, float]:
        id = UUID(claims.subject)
        row = await read.one(KEY, read.tenant_id, id)
        if row is None or not hmac.compare_digest(row[1], claims.secret_hash or b""):
            raise NotSignedIn("There is no such API key (any more).")
        name, _, scopes, visibility, fields, user_id, expires_at, revoked_at = row
        if revoked_at is not None:
            raise NotSignedIn("The API key was revoked.")
        team = await read.all(TEAM, read.tenant_id, user_id) if visibility == "team" and user_id else []
        actor = Actor(
            "key", claims.subject, frozenset(scopes), "api", visibility, _owners(visibility, user_id, team),
            _rules(fields), name, user_id,
        )  # fmt: skip
        return actor, _moment(expires_at)

    async def _user(self, read: ReadTx, claims: Claims) -> tuple[Actor, float]:
        id = _user_id(claims.subject)
        member = read.queue(MEMBER, read.tenant_id, id)
        team = read.queue(TEAM, read.tenant_id, id)
        custom = [name for name in claims.roles or (self._token_role or "",) if name not in ROLES]
        named = read.queue(CUSTOM_ROLES, read.tenant_id, custom) if custom else None
        session = read.queue(SESSION, read.tenant_id, claims.session_id) if claims.session_id else None
        await read.flush()
        until = _live(session.rows, id, read.clock.now()) if session else FOR_EVER
        role = self._role(claims, member, named.rows if named else [])
        visibility = role.visibility
        if claims.visibility is not None:
            visibility = min(visibility, claims.visibility, key=VISIBILITIES.index)
        permissions = role.permissions if claims.scopes is None else role.permissions & claims.scopes
        owners = _owners(visibility, id, team.rows)
        return Actor("user", str(id), permissions, "api", visibility, owners, role.fields, role.name, id), until

    def _role(self, claims: Claims, member: Pending, named: Sequence[tuple[Any, ...]]) -> Role:
        """The role that a user acts in: the token's, the membership's, or that of tokens that say nothing."""
        if member.rows and member.rows[0][2] is not None:
            raise NotSignedIn("This person's membership of the tenant was ended.")
        custom = {name: Role(name, frozenset(may), sees, _rules(fields)) for name, may, sees, fields in named}
        if claims.roles is not None:
            return _joined(_named(name, custom) for name in claims.roles)
        if member.rows:
            name, visibility, _, permissions, sees, fields = member.rows[0]
            role = ROLES.get(name) or Role(name, frozenset(permissions or ()), sees or "own", _rules(fields or "{}"))
            return replace(role, visibility=visibility) if visibility else role
        if claims.session_id is not None or not self._token_role:
            raise NotSignedIn("This person is no member of the tenant, and the token names no role.")
        return _named(self._token_role, custom)


def _user_id(subject: str) -> UUID:
    try:
        return UUID(subject)
    except ValueError:
        raise NotSignedIn(f"A user's id must be a UUID, not {subject[:60]!r}.") from None


def _named(name: str, custom: Mapping[str, Role]) -> Role:
    role = ROLES.get(name) or custom.get(name)
    if role is None:
        raise Forbidden(f"The token names the role {name[:80]!r}, which this tenant does not have.")
    return role


def _joined(roles: Iterable[Role]) -> Role:
    """Several roles as one: what any of them allows, sees and shows."""
    first, *others = tuple(roles) or (Role("none", frozenset(), "own"),)
    for other in others:
        kinds = first.fields.keys() & other.fields.keys()
        first = Role(
            f"{first.name}, {other.name}",
            first.permissions | other.permissions,
            max(first.visibility, other.visibility, key=VISIBILITIES.index),
            {kind: first.fields[kind] & other.fields[kind] for kind in kinds},
        )
    return first


def _live(rows: Sequence[tuple[Any, ...]], user_id: UUID, now: datetime) -> float:
    """Until when a session lasts. Raises NotSignedIn when it is over."""
    if not rows or rows[0][0] != user_id:
        raise NotSignedIn("The session does not exist (any more): sign in again.")
    _, expires_at, ended_at, because = rows[0]
    if ended_at is not None or expires_at <= now:
        raise NotSignedIn(f"The session is over ({because or 'expired'}): sign in again.")
    return _moment(expires_at)


def _owners(visibility: Visibility, user_id: UUID | None, team: Sequence[tuple[Any, ...]]) -> frozenset[UUID]:
    if visibility == "all" or user_id is None:
        return frozenset()
    return frozenset({user_id, *(row[0] for row in team)} if visibility == "team" else {user_id})


def _rules(text: str) -> dict[str, FieldRules]:
    """Field rules as they are kept: `{"contact": {"hidden": [...], "read_only": [...]}}`."""
    return {} if text == "{}" else msgspec.json.decode(text, type=dict[str, FieldRules])


def _moment(at: datetime | None) -> float:
    return FOR_EVER if at is None else at.timestamp()


def _pack(known: _Known) -> bytes:
    until = None if known.until == FOR_EVER else known.until
    return msgspec.msgpack.encode((known.actor, known.access_version, until))


def _unpack(packed: bytes) -> _Known:
    actor, access_version, until = msgspec.msgpack.decode(packed, type=tuple[Actor, int, float | None])
    return _Known(actor, access_version, FOR_EVER if until is None else until)
