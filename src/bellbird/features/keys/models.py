"""The shapes of an API key: as it is read, as it is made, as it is changed."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Final
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import events, topics
from bellbird.core.actors import Visibility
from bellbird.core.errors import NotFound

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key that a program signs in with: `Authorization: Bearer bb_live_...`.

    `scopes` are the permissions it has, `visibility` says whose records it sees: under `own` and `team` those of
    whoever made it. `prefix` is how it begins, to tell it from others.
    `last_used_at` is at most a minute behind.
    """

    id: UUID
    name: str
    prefix: str
    scopes: tuple[str, ...]
    visibility: Visibility
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    # Only in the answer that makes it: the key itself, which is kept nowhere.
    key: str | UnsetType = field(default=UNSET, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key to be made, with at least one permission; of those that its maker has.

    Left out, `visibility` is its maker's, and without `expires_at` it holds until it is revoked.
    """

    name: str
    scopes: tuple[str, ...]
    visibility: Visibility | None = None
    expires_at: datetime | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPatch:
    """A change to a key, as a JSON merge patch (RFC 7396). What it may do stays as it is: make another one for that."""

    name: str | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class KeyNotFound(NotFound):
    """There is no such API key."""

    code = "key_not_found"


topics.recorded("key.created", "key.updated", "key.revoked")
events.readable("key", "keys:read")
