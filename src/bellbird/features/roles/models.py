"""The shapes of a role: as it is read, as it is made, as it is changed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from bellbird.core import events, topics
from bellbird.core.actors import Visibility
from bellbird.core.errors import Conflict, NotFound, describe_faults, translate_constraint

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a role withholds of one kind of record: fields it is not shown, and fields it cannot change."""

    hidden: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class RulesPatch(TypedDict, total=False):
    """A change to the rules of one kind of record: a list replaces the one there was, null empties it."""

    __pydantic_config__ = _STRICT  # type: ignore[misc]

    hidden: tuple[str, ...] | None
    read_only: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class TenantRole:
    """A role that the people of a tenant can have: one of the five built in, or one of the tenant's own.

    `visibility` says whose records it sees: `own`, those of its `team`s, or `all`.
    `fields` withholds fields by kind of record. What is built in has no id, no times and the version 0.
    """

    id: UUID | None
    name: str
    built_in: bool
    permissions: tuple[str, ...]
    visibility: Visibility
    fields: dict[str, Rules]
    version: int
    created_at: datetime | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRole:
    """A role to be made. Its name stays for good: 1 to 50 small letters, digits, hyphens and underscores."""

    name: str
    permissions: tuple[str, ...]
    visibility: Visibility = "all"
    fields: dict[str, Rules] = field(default_factory=dict)

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class RolePatch:
    """A change to a role, as a JSON merge patch (RFC 7396): what is left out stays, a list replaces.

    `fields` merges by kind of record, and within a kind list by list; null takes the rules away.
    """

    permissions: tuple[str, ...] | UnsetType = UNSET
    visibility: Visibility | UnsetType = UNSET
    fields: dict[str, RulesPatch | None] | None | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class RoleNotFound(NotFound):
    """There is no such role."""

    code = "role_not_found"


class RoleNameTaken(Conflict):
    """There is a role of this name already."""

    code = "role_name_taken"


class RoleBuiltIn(Conflict):
    """The role is built in: it can be neither changed nor deleted. Make one of your own."""

    code = "role_built_in"


class RoleInUse(Conflict):
    """Somebody has this role: give them another one first.

    `members` is how many have it, those included whose membership was ended.
    """

    code = "role_in_use"


translate_constraint("roles_name_unique", RoleNameTaken)

describe_faults({
    "role_name_invalid": "The name is not made of small letters, digits, hyphens and underscores.",
    "unknown_permission": "There is no such permission that a tenant's people can have; the nearest is suggested.",
    "unknown_kind": "There is no such kind of record to withhold fields of.",
    "not_securable": "There is no such field, or none that can be withheld.",
    "unknown_role": "There is no such role; the nearest one is suggested.",
})  # fmt: skip

topics.recorded("role.created", "role.updated", "role.deleted")
events.readable("role", "roles:read")
