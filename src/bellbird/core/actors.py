"""Who is acting, and what they may do."""

from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

from bellbird.core.errors import Forbidden

PERMISSIONS: Final = frozenset({"contacts:read", "contacts:write", "contacts:purge", "tenants:write"})

Origin = Literal["api", "cli", "library", "job"]


@dataclass(frozen=True, slots=True)
class Actor:
    """A user of a tenant, or the system itself, with the permissions it acts under."""

    kind: Literal["user", "system"]
    id: str
    permissions: frozenset[str] = frozenset()
    origin: Origin = "library"

    @classmethod
    def user(cls, id: UUID | str, *, permissions: frozenset[str] | None = None, origin: Origin = "library") -> "Actor":
        """A person who signed in; without `permissions`, one who may do all that concerns contacts."""
        if permissions is None:
            permissions = PERMISSIONS - {"tenants:write"}
        return cls("user", str(id), permissions, origin)

    @classmethod
    def system(cls, name: str = "bellbird", *, origin: Origin = "library") -> "Actor":
        """The operator's own commands and the engine's own work."""
        return cls("system", name, PERMISSIONS, origin)

    def require(self, permission: str) -> None:
        """Raises Forbidden unless the actor has the permission."""
        if permission not in self.permissions:
            raise Forbidden(f"This needs the permission {permission}, which {self} does not have.")

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"
