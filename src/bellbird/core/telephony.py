"""What Bellbird asks of a telephone company, and what it is told by one: `CallProvider`, behind which each of them is.

A provider is found by an entry point of the group `bellbird.call_providers`: its name, and something to be called with
a `Surroundings`, which returns the provider. `mock` and `twilio` come with Bellbird.

    [project.entry-points."bellbird.call_providers"]
    carrier = "my_package.carrier:Carrier"
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, Literal, Protocol, get_args
from uuid import UUID

from bellbird.core.clock import Clock
from bellbird.core.errors import BellbirdError, InvalidInput

Status = Literal[
    "queued", "initiated", "ringing", "in_progress", "completed", "busy", "no_answer", "failed", "canceled"
]  # fmt: skip
AnsweredBy = Literal["human", "machine", "fax", "unknown"]
Direction = Literal["outbound", "inbound"]

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

# How far a call has come. It never goes back: of two statuses the one of the higher rank is the later one.
RANKS: Final[Mapping[Status, int]] = {status: min(rank, 4) for rank, status in enumerate(STATUSES)}

# The statuses that a call stays in.
ENDS: Final = frozenset(status for status, rank in RANKS.items() if rank == 4)


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant's account with a provider.

    `identifier` is what the provider calls it (Twilio's AccountSid), `secret` what requests of it, and callbacks to it,
    are signed with; `options` are the provider's own. `callback_url` is where the provider tells what becomes of
    calls, and `voice_url` where it asks what to do with one that comes in; both without a query string.
    """

    id: UUID
    tenant_id: UUID
    provider: str
    identifier: str
    secret: str = field(repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)
    callback_url: str = ""
    voice_url: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A call to be placed. Numbers are E.164.

    `callback_url` is the account's with this call's id in it (`?call=`): whatever the provider tells at that address is
    about this call, also when its own id for it is not known to us yet.
    `ring_seconds` is how long it may ring. `agent_id` is the user to be connected.
    """

    call_id: UUID
    from_number: str
    to_number: str
    callback_url: str
    agent_id: UUID | None = None
    ring_seconds: int = 30
    record: bool = False
    detect_machine: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that the provider has taken on, by its own id."""

    provider_call_id: str


@dataclass(frozen=True, slots=True)
class Update:
    """What a provider tells of a call, in one callback.

    `call_id` is ours, if the callback came to the address of one call. `at` is when it happened by the provider's
    clock, `sequence` its number among the call's callbacks, in the order in which things happened; either may be None.
    `status` is None where it tells something else: a recording, a price.
    `duration` is how long they talked, in seconds; `cost` what it cost, in `currency` (ISO 4217).
    `reason` says why a call ended so, in the provider's words or numbers.
    `direction`, `from_number` and `to_number` (E.164, None when withheld) are there where the callback has them.
    """

    provider_call_id: str
    call_id: UUID | None = None
    status: Status | None = None
    at: datetime | None = None
    sequence: int | None = None
    duration: int | None = None
    answered_by: AnsweredBy | None = None
    recording_url: str | None = None
    cost: Decimal | None = None
    currency: str | None = None
    reason: str | None = None
    direction: Direction | None = None
    from_number: str | None = None
    to_number: str | None = None


@dataclass(frozen=True, slots=True)
class Callback:
    """An HTTP request from a provider. `url` is as the provider called it, with its query string; the names of
    `headers` are in lower case.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What a provider is answered."""

    body: bytes = b""
    content_type: str = "text/plain"


class ProviderRefused(BellbirdError):
    """The provider does not do it: nothing was dialled, nothing changed.

    `reason` is the provider's own code or words.
    """

    code = "provider_refused"
    status = 502

    def __init__(self, detail: str = "", *, reason: str = "", **extra: Any) -> None:
        self.reason = reason
        super().__init__(detail, reason=reason, **extra)


class ProviderUnclear(BellbirdError):
    """The provider did not answer in time, or not sensibly: whether it has done it is not known."""

    code = "provider_unclear"
    status = 502


class CallbackRefused(BellbirdError):
    """This callback does not come from the provider.

    Its signature is missing or wrong, or there is no such account. Which of them it is, is not told, only counted.
    """

    code = "callback_refused"
    status = 403

    def __init__(self, detail: str = "", *, why: str = "signature", **extra: Any) -> None:
        self.why = why  # for the metrics alone: account, missing_signature, signature
        super().__init__(detail, **extra)


class CallbackMalformed(InvalidInput):
    """The callback cannot be read.

    It is signed by the provider, but `errors` says what of it is missing or cannot be.
    """

    code = "callback_malformed"
    status = 400


class CallProvider(Protocol):
    """A telephone company.

    One object serves every account of a process, and several calls at a time.
    """

    name: str

    def check(self, identifier: str, secret: str, options: Mapping[str, Any]) -> None:
        """Refuse an account that cannot be, before it is kept. Raises InvalidInput naming `/identifier`, `/secret` or
        `/options/...`.
        """

    async def place(self, account: Account, order: Order) -> Placed:
        """Have a call placed. Raises ProviderRefused, ProviderUnclear."""

    async def find(self, account: Account, order: Order, since: datetime) -> Placed | None:
        """The call that an order led to whose answer was lost, asked for since that moment; None if there is none.

        Raises ProviderRefused, ProviderUnclear.
        """

    async def hang_up(self, account: Account, provider_call_id: str) -> None:
        """End a call at whatever point it is; what becomes of it is told by callback. One that is over stays so.

        Raises ProviderRefused, ProviderUnclear.
        """

    def read(self, account: Account, callback: Callback) -> Sequence[Update]:
        """What a callback tells. Raises CallbackRefused unless the account's provider has signed it, CallbackMalformed.

        Nothing of it is believed, and no more of it looked at than that takes, before its signature is right.
        """

    def welcome(self, account: Account, agent_id: UUID | None) -> Reply:
        """What to do with a call that comes in: connect it with this user, or as the account's options say."""

    async def close(self) -> None:
        """Let go of connections."""


# How a simulated provider reaches us: as its callbacks would by HTTP, given the account they are for.
Deliver = Callable[[UUID, UUID, Callback], Awaitable[Reply]]


async def _nowhere(tenant_id: UUID, account_id: UUID, callback: Callback) -> Reply:
    raise ProviderUnclear("Nothing takes callbacks here.")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a provider is made with. `deliver` takes a callback as if it had come over the network, for simulations."""

    clock: Clock
    deliver: Deliver = _nowhere


Make = Callable[[Surroundings], CallProvider]

# A package brings a provider by an entry point of this group.
PROVIDERS: Final = "bellbird.call_providers"


class Providers:
    """The providers that there are, each made when it is first needed."""

    def __init__(self, surroundings: Surroundings, made: Mapping[str, CallProvider] | None = None) -> None:
        self._surroundings = surroundings
        self._made: dict[str, CallProvider] = dict(made or {})

    @cached_property
    def _found(self) -> Mapping[str, EntryPoint]:
        return {entry.name: entry for entry in entry_points(group=PROVIDERS)}

    @property
    def names(self) -> tuple[str, ...]:
        """What accounts can be with."""
        return tuple(sorted({*self._made, *self._found}))

    def get(self, name: str) -> CallProvider:
        """A provider by its name. Raises InvalidInput naming those that there are."""
        known = self._made.get(name)
        if known is None:
            entry = self._found.get(name)
            if entry is None:
                there = ", ".join(self.names)
                raise InvalidInput.at("provider", f"there is no provider {name[:60]!r}; there are {there}")
            make: Make = entry.load()
            known = self._made[name] = make(self._surroundings)
        return known

    def add(self, provider: CallProvider) -> None:
        """Have a provider of this name be this object: a simulator of a test, one with another transport."""
        self._made[provider.name] = provider

    async def close(self) -> None:
        """Close those that were made."""
        made, self._made = self._made, {}
        for provider in made.values():
            await provider.close()
