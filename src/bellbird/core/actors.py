"""Who is acting, what they may do, and which records and fields they see: the one predicate, for every door.

What an actor may do is a set of permissions. Which records it sees is told by their owner: its own, those of its teams'
members, or all; `visible()` says so in SQL and `Actor.sees()` in Python, and there is no third place.
Which fields it sees and may change is told by rules of its role.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal
from uuid import UUID

from bellbird.core.errors import CannotGrant, Forbidden

PERMISSIONS: Final = frozenset({
    "contacts:read", "contacts:write", "contacts:purge",
    "users:read", "users:write", "roles:read", "roles:write", "teams:read", "teams:write", "keys:read", "keys:write",
    "operations:read", "operations:write", "audit:read", "tenants:write",
    "calls:read", "calls:write", "call_accounts:read", "call_accounts:write", "consents:read", "consents:write",
    "washes:read", "washes:write",
})  # fmt: skip

# What only the operator of the deployment may do, and so no role can have.
OPERATORS: Final = frozenset({"tenants:write"})

Origin = Literal["api", "cli", "library", "job", "hook", "import", "provider"]
Visibility = Literal["own", "team", "all"]
FieldAccess = Literal["hidden", "read_only"]

# From the narrowest to the widest.
VISIBILITIES: Final[tuple[Visibility, ...]] = ("own", "team", "all")


@dataclass(frozen=True, slots=True)
class FieldRules:
    """What is withheld of one kind of record: fields that are not shown, and fields that cannot be changed."""

    hidden: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.hidden or self.read_only)

    def __and__(self, other: "FieldRules") -> "FieldRules":
        """What is withheld by both: of several roles, each adds to what may be done."""
        return FieldRules(
            self.hidden & other.hidden,
            (self.read_only | self.hidden) & (other.read_only | other.hidden) - (self.hidden & other.hidden),
        )


EVERYTHING_SHOWN: Final = FieldRules()

# The fields of each kind of record that a role may hide or make read-only. Core and the roles know no feature above
# them: each feature that has such records says so when it is imported, and the application imports them all.
SECURABLE: Final[dict[str, frozenset[str]]] = {}

# By these a record is told from others, and a change from the one before it: they are always shown.
ALWAYS_SHOWN: Final = frozenset({"id", "kind", "version", "created_at", "updated_at", "deleted_at"})


def securable(kind: str, fields: Iterable[str]) -> None:
    """From now on roles can hide these fields of a kind of record, all but `ALWAYS_SHOWN`, or make them read-only.

    Called where a feature's shapes are defined: `securable("contact", [field.name for field in fields(Contact)])`.
    The feature itself then goes by `Actor.rules(kind)` wherever it shows and changes a record.
    """
    SECURABLE[kind] = frozenset(fields) - ALWAYS_SHOWN


@dataclass(frozen=True, slots=True)
class Role:
    """A set of permissions with a name, how far it sees, and what is withheld from it (`{"contact": rules}`)."""

    name: str
    permissions: frozenset[str]
    visibility: Visibility = "all"
    fields: Mapping[str, FieldRules] = field(default_factory=dict)


_READ: Final = frozenset({"contacts:read", "calls:read", "consents:read", "washes:read"})
_WORK: Final = _READ | {
    "contacts:write", "users:read", "teams:read", "operations:read", "calls:write", "consents:write",
    "call_accounts:read",
}  # fmt: skip
_MANAGE: Final = _WORK | {"contacts:purge", "teams:write", "roles:read", "operations:write", "washes:write"}
_EVERYTHING: Final = PERMISSIONS - OPERATORS

# The roles that every tenant has. An owner differs from an admin in that only owners make and unmake owners.
ROLES: Final[Mapping[str, Role]] = MappingProxyType({
    role.name: role
    for role in (
        Role("owner", _EVERYTHING),
        Role("admin", _EVERYTHING),
        Role("manager", _MANAGE),
        Role("agent", _WORK),
        Role("viewer", _READ | {"users:read", "teams:read"}),
    )
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Actor:
    """A user of a tenant, one of its API keys, or the system itself, with what it may do and see.

    `owners` are the users whose records it sees when `visibility` is not `all`; `fields` are its role's rules by
    kind of record; `role` is what it is called, for people.
    """

    kind: Literal["user", "key", "system"]
    id: str
    permissions: frozenset[str] = frozenset()
    origin: Origin = "library"
    visibility: Visibility = "all"
    owners: frozenset[UUID] = frozenset()
    fields: Mapping[str, FieldRules] = field(default_factory=dict)
    role: str | None = None
    user_id: UUID | None = None

    @classmethod
    def user(
        cls,
        id: UUID | str,
        *,
        permissions: frozenset[str] | None = None,
        origin: Origin = "library",
        visibility: Visibility = "all",
        team: frozenset[UUID] = frozenset(),
        fields: Mapping[str, FieldRules] | None = None,
    ) -> "Actor":
        """A person; without `permissions`, one who may do all that a tenant's own people can.

        `team` are the users whose records it sees under the visibility `team`, besides its own.
        """
        role = "owner" if permissions is None else None
        permissions = _EVERYTHING if permissions is None else permissions
        own = id if isinstance(id, UUID) else _uuid(id)
        owners = frozenset({own} if own else ()) | (team if visibility == "team" else frozenset())
        return cls("user", str(id), permissions, origin, visibility, owners, fields or {}, role, own)

    @classmethod
    def system(cls, name: str = "bellbird", *, origin: Origin = "library") -> "Actor":
        """The operator's own commands and the engine's own work."""
        return cls("system", name, PERMISSIONS, origin)

    def may(self, permission: str) -> bool:
        """Whether the actor has the permission."""
        return permission in self.permissions

    def require(self, permission: str) -> None:
        """Raises Forbidden unless the actor has the permission."""
        if permission not in self.permissions:
            raise Forbidden(f"This needs the permission {permission}, which {self} does not have.")

    def may_grant(self, role: Role) -> bool:
        """Whether this role gives nobody more than the actor has: more to do, more to see, fewer rules."""
        return not self._lacks(role)

    def require_grant(self, role: Role) -> None:
        """Raises CannotGrant, naming what of the role the actor does not have, unless `may_grant`."""
        if lacking := self._lacks(role):
            raise CannotGrant(f"Nobody gives more than they have, and {self} does not have: {', '.join(lacking)}.")

    def _lacks(self, role: Role) -> list[str]:
        lacking = sorted(role.permissions - self.permissions)
        # A key's `role` is what somebody called the key.
        if role.name == "owner" and self.kind != "system" and not (self.kind == "user" and self.role == "owner"):
            lacking.append("the role owner")
        if VISIBILITIES.index(role.visibility) > VISIBILITIES.index(self.visibility):
            lacking.append(f"the visibility {role.visibility}")
        for kind, own in self.fields.items():
            given = role.fields.get(kind, EVERYTHING_SHOWN)
            shown, changed = own.hidden - given.hidden, own.read_only - given.hidden - given.read_only
            lacking += [f"the field {kind}.{name}" for name in sorted(shown)]
            lacking += [f"a say in the field {kind}.{name}" for name in sorted(changed - shown)]
        return lacking

    def sees(self, owner_id: UUID | None) -> bool:
        """Whether a record of this owner is visible: `visible()`, for a record that has been read."""
        return self.visibility == "all" or owner_id in self.owners

    def rules(self, kind: str) -> FieldRules:
        """What is withheld of a kind of record, such as `contact`."""
        return self.fields.get(kind, EVERYTHING_SHOWN)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


def visible(actor: Actor, number: int) -> tuple[str, tuple[Any, ...]]:
    """The SQL that a statement on owned records adds to its conditions, and its parameter, which is `$number`.

    Both are empty for whoever sees all. A record without an owner is seen by them alone.
    """
    if actor.visibility == "all":
        return "", ()
    if len(actor.owners) == 1:
        # Of one owner's records an index has the newest in order; those of "any of a list" it would have to sort.
        return f" and owner_id = ${number}", tuple(actor.owners)
    return f" and owner_id = any(${number}::uuid[])", (sorted(actor.owners),)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
