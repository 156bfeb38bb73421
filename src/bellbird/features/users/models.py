"""The shapes of a user, which is a person as a member of a tenant; and what can be wrong with one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import topics
from bellbird.core.actors import Visibility
from bellbird.core.errors import Conflict, NotFound, describe_faults

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a person joins a tenant with, once: told when it is made, and never again."""

    token: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class User:
    """A person as a member of a tenant.

    `visibility` says whose records they see where that is other than their role has it. They can sign in from
    `joined_at` on, once they have accepted their invitation, until `disabled_at`.
    """

    id: UUID
    email: str
    name: str
    role: str
    visibility: Visibility | None
    team_ids: tuple[UUID, ...]
    invited_until: datetime | None
    joined_at: datetime | None
    disabled_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    # Only in the answer to adding somebody who has yet to join.
    invitation: Invitation | UnsetType = UNSET


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A person to be a member of the tenant.

    Without a password, and whoever has one at Bellbird already, is given an invitation to accept.
    """

    email: str
    name: str
    role: str
    visibility: Visibility | None = None
    team_ids: tuple[UUID, ...] = ()
    password: str | None = field(default=None, repr=False)

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPatch:
    """A change to a user, as a JSON merge patch (RFC 7396): what is left out stays, a list replaces.

    A visibility of null is the role's own. `disabled` ends a membership, and lets it go on.
    """

    role: str | UnsetType = UNSET
    visibility: Visibility | None | UnsetType = UNSET
    team_ids: tuple[UUID, ...] | None | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user_not_found"


class AlreadyMember(Conflict):
    """This person is a member of the tenant already.

    `user_id` is theirs; one whose membership was ended is let in again by `PATCH` with `"disabled": false`.
    """

    code = "already_member"


class AlreadyJoined(Conflict):
    """This person has joined already: they sign in with their password, and need no invitation."""

    code = "already_joined"


class UserDisabled(Conflict):
    """This person's membership was ended: let it go on first."""

    code = "user_disabled"


class LastOwner(Conflict):
    """This is the last owner: make somebody else one first."""

    code = "last_owner"


describe_faults({
    "password_kept": "This person has an account already, and nobody else gives them a password.",
})  # fmt: skip

topics.recorded(
    "user.added",
    "user.updated",
    "user.removed",
    "user.invited",
    "user.joined",
    "user.password_changed",
    "user.password_reset",
)
