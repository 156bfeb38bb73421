"""The shapes of a call account: as it is read, as it is connected, as it is changed; and what it refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Final, Literal
from uuid import UUID

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict

from bellbird.core import events, topics
from bellbird.core.errors import BellbirdError, Conflict, NotFound, translate_constraint

AccountStatus = Literal["active", "paused"]

STATUSES: Final[tuple[AccountStatus, ...]] = ("active", "paused")

_STRICT: Final = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Line:
    """A number of the tenant's own: called from, and called at.

    `number` is E.164; it is read as people type it, in the tenant's region. `label` is what people call it; `agent_id`
    the user who is connected to whoever calls it.
    """

    number: str
    label: str | None = None
    agent_id: UUID | None = None

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True)
class CallAccount:
    """An account with a call provider, and the tenant's numbers there.

    `identifier` is what the provider calls it (Twilio's AccountSid); its secret is kept encrypted and never shown.
    `options` are the provider's own. With one that is paused no call is placed, while those under way go on.
    `callback_url` is where the provider tells what becomes of calls, which each call names to it; `voice_url` where it
    asks what to do with a call that comes in, which is set with the provider, at each number.
    """

    id: UUID
    provider: str
    identifier: str
    name: str
    numbers: tuple[Line, ...]
    options: Mapping[str, Any]
    status: AccountStatus
    version: int
    created_at: datetime
    updated_at: datetime
    callback_url: str
    voice_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallAccount:
    """An account to be connected.

    `secret` is what requests to the provider, and its callbacks, are signed with (Twilio's auth token). Left out,
    `name` is the provider's and the identifier's.
    """

    provider: str
    identifier: str
    secret: str = field(repr=False)
    name: str | None = None
    numbers: tuple[Line, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAccountPatch:
    """A change to an account, as a JSON merge patch (RFC 7396).

    `numbers` and `options` replace those that there were. With which provider it is, and what that calls it, stays:
    connect another one for that.
    """

    name: str | UnsetType = UNSET
    secret: str | UnsetType = field(default=UNSET, repr=False)
    numbers: tuple[Line, ...] | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET
    status: AccountStatus | UnsetType = UNSET

    __pydantic_config__: ClassVar[ConfigDict] = _STRICT


class CallAccountNotFound(NotFound):
    """There is no such call account."""

    code = "call_account_not_found"


class CallAccountTaken(Conflict):
    """This account of the provider is connected already."""

    code = "call_account_taken"


class CallAccountInUse(Conflict):
    """The account has calls under way: pause it, and disconnect it when they are over.

    `calls` is how many there are.
    """

    code = "call_account_in_use"


class NoCallAccount(Conflict):
    """There is no account to call with.

    None is connected that is active and has a number: connect one, or make one active again.
    """

    code = "no_call_account"


class NoVault(BellbirdError):
    """This deployment cannot keep secrets, for it has none itself to encrypt them with: set `BELLBIRD_SECRET`."""

    code = "no_vault"
    status = 500


translate_constraint("call_accounts_unique", CallAccountTaken)

topics.recorded("call_account.connected", "call_account.changed", "call_account.disconnected")
events.readable("call_account", "call_accounts:read")
