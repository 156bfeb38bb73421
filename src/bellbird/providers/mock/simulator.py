"""The telephony simulator: a call provider whose calls take the course that somebody tells it."""

import itertools
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

from bellbird.core.errors import BellbirdError, Fault, InvalidInput
from bellbird.core.telephony import (
    Account,
    Callback,
    Order,
    Placed,
    ProviderRefused,
    ProviderUnclear,
    Reply,
    Status,
    Surroundings,
    Update,
)
from bellbird.providers.mock import scripts, wire
from bellbird.providers.mock.agenda import Agenda, Happening
from bellbird.providers.mock.playing import Playing, SimulatedCall, Telling
from bellbird.providers.mock.scenarios import Arrival, Rule, Scenario, Script, believable

# So many calls, and callbacks, are remembered.
REMEMBERED: Final = 10_000
REMEMBERED_SCRIPTS: Final = 100

# What an account's options can be.
OPTIONS: Final = ("script", "seed")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A callback that was brought, and what it was answered: the code of an error, or None when it was taken."""

    call: SimulatedCall
    update: Update
    callback: Callback
    at: datetime
    refused: str | None = None


class Simulator:
    """The provider `mock`.

    How a call goes is decided by what was said with `on` and `play`, then by the account's option `script`, then by
    `otherwise`; without that by chance, the same for the same `seed` (an account may have its own), as call centres
    know it. On a FakeClock it needs `advance` or `finish`; otherwise its calls go on by themselves, at `speed`.

        simulator.on("+61400000001", BUSY)
        simulator.play("*01: ring 3s, answer, talk 40s | duplicate")
    """

    name = "mock"

    def __init__(
        self, surroundings: Surroundings, *, script: str = "", otherwise: Scenario | None = None, seed: int | str = 1,
        speed: float = 1.0,
    ) -> None:  # fmt: skip
        self.deliver = surroundings.deliver
        self.agenda = Agenda(surroundings.clock, speed=speed)
        self.otherwise = otherwise
        self.seed = seed
        self.deliveries: deque[Delivery] = deque(maxlen=REMEMBERED)
        # Every time that a telephone was dialled, whatever the order was answered.
        self.dialled: deque[Order] = deque(maxlen=REMEMBERED)
        self.calls: dict[str, SimulatedCall] = {}
        self.watchers: list[Callable[[Delivery], None]] = []
        self._rules: list[Rule] = []
        self._scripts: dict[str, Script] = {}
        self._times: dict[str, int] = {}
        self._playing = Playing(self.agenda, self._bring, random.Random(f"faults/{seed}"))  # noqa: S311
        self.play(script)

    # What it is to do

    def on(self, numbers: str, scenario: Scenario) -> None:
        """Have calls to these numbers (`+61400000001`, `+614*`, `*01`, `*`) go so, from now on."""
        self._rules.insert(0, Rule(scripts.numbers(numbers), scenario))

    def play(self, script: str) -> Script:
        """Have calls go as a script says, from now on. Raises ScriptInvalid; calls in it that come in are left to
        `expect`.
        """
        read = scripts.read(script)
        self._rules[:0] = read.rules
        return read

    # Time

    async def advance(self, seconds: float) -> None:
        """On a FakeClock: let time pass, in which what is due happens and is told, in order."""
        await self.agenda.advance(seconds)

    async def finish(self) -> None:
        """Until nothing more is going to happen: passes the time on a FakeClock, else waits. A call that rings for
        ever is left ringing.
        """
        await self.agenda.finish()

    # What a provider does

    def check(self, identifier: str, secret: str, options: Mapping[str, Any]) -> None:
        """Raises InvalidInput naming `/identifier`, `/secret` or `/options/...`."""
        faults = [
            Fault("invalid_value", "must not be empty", f"/{name}")
            for name, value in (("identifier", identifier), ("secret", secret))
            if not value.strip()
        ]
        for name, value in options.items():
            if wrong := _wrong(name, value):
                faults.append(Fault("invalid_value", wrong, f"/options/{name}"))
        if faults:
            raise InvalidInput(faults=faults)

    async def place(self, account: Account, order: Order) -> Placed:
        """Take an order on, or not, as its scenario says. Raises ProviderRefused, ProviderUnclear."""
        scenario = self.scenario(account, order.to_number)
        if scenario.placing == "refused":
            raise ProviderRefused("The simulator was told to refuse this.", reason=scenario.refusal)
        if scenario.placing == "unclear":
            raise ProviderUnclear("The simulator was told not to answer.")
        self.dialled.append(order)
        call = SimulatedCall(
            f"MC{uuid4().hex}", account, "outbound", order.from_number, order.to_number, scenario,
            self.agenda.clock.now(), order.callback_url, order.call_id, order.ring_seconds, order.record,
            order.agent_id,
        )  # fmt: skip
        self._remember(call)
        await self._playing.begin(call)
        if scenario.placing == "unclear_but_dialled":
            raise ProviderUnclear("The simulator was told to dial, and not to answer.")
        return Placed(call.id)

    async def find(self, account: Account, order: Order, since: datetime) -> Placed | None:
        """The call that an order led to, None if there is none."""
        found = self.call(order.call_id)
        # Our clock and a provider's are never quite the same.
        if found is None or found.placed_at < since - timedelta(minutes=1):
            return None
        return Placed(found.id)

    async def hang_up(self, account: Account, provider_call_id: str) -> None:
        """End a call. Raises ProviderRefused for one that there is not."""
        call = self.calls.get(provider_call_id)
        if call is None or call.account.id != account.id:
            raise ProviderRefused(f"There is no call {provider_call_id}.", reason="not_found")

        async def end(at: datetime) -> None:
            await self._playing.end(call, "completed" if call.answered_at else "canceled", "hung_up", at)

        self.agenda.add(0.0, end)

    def read(self, account: Account, callback: Callback) -> Sequence[Update]:
        """What a callback tells. Raises CallbackRefused, CallbackMalformed."""
        return [wire.read(account, callback)]

    def welcome(self, account: Account, agent_id: UUID | None) -> Reply:
        """Connect a call that comes in with this user."""
        return Reply(msgspec.json.encode({"connect": agent_id}), "application/json")

    async def close(self) -> None:
        """Let no call go on."""
        await self.agenda.close()

    # What somebody who is simulated does

    async def call_in(
        self, account: Account, from_number: str | None, to_number: str, scenario: Scenario | None = None
    ) -> SimulatedCall:
        """Have somebody call one of the account's numbers; with None for the caller's, it is withheld."""
        scenario = scenario or self.scenario(account, from_number or "")
        call = SimulatedCall(
            f"MC{uuid4().hex}", account, "inbound", from_number, to_number, scenario, self.agenda.clock.now(),
            account.callback_url,
        )  # fmt: skip
        self._remember(call)
        await self._playing.begin(call)
        return call

    def expect(self, account: Account, arrivals: Sequence[Arrival], to_number: str) -> None:
        """Have calls come in, each in its time; to this number where they name none."""

        def calls(arrival: Arrival) -> Happening:
            async def call_in(at: datetime) -> None:
                called = arrival.to_number or to_number
                await self.call_in(account, arrival.from_number, called, arrival.scenario)

            return call_in

        for arrival in arrivals:
            self.agenda.add(arrival.after, calls(arrival))

    async def hang_up_of(self, call: SimulatedCall) -> None:
        """Have the other side hang up, now."""
        status: Status = "completed" if call.answered_at else "canceled" if call.direction == "inbound" else "busy"
        await self._playing.end(call, status, "hung_up_by_them", self.agenda.clock.now())

    # What a test asks

    def call(self, call_id: UUID) -> SimulatedCall | None:
        """The last call that was placed for one of ours, by our id."""
        return next((call for call in reversed(self.calls.values()) if call.call_id == call_id), None)

    def times_dialled(self, call_id: UUID) -> int:
        """How often a telephone was dialled for a call of ours. More than once is a disgrace."""
        return sum(order.call_id == call_id for order in self.dialled)

    @property
    def live(self) -> list[SimulatedCall]:
        """The calls that have not ended."""
        return [call for call in self.calls.values() if not call.is_over]

    def scenario(self, account: Account, number: str) -> Scenario:
        """How the next call to a number goes."""
        for rule in self._rules:
            if rule.fits(number):
                return rule.scenario
        script = str(account.options.get("script", ""))
        if script not in self._scripts:
            if len(self._scripts) > REMEMBERED_SCRIPTS:
                self._scripts.clear()
            self._scripts[script] = scripts.read(script)
        told = self._scripts[script].scenario(number) or self.otherwise
        if told is not None:
            return told
        if len(self._times) > REMEMBERED:
            self._times.clear()
        times = self._times[number] = self._times.get(number, 0) + 1
        return believable(str(account.options.get("seed", self.seed)), number, times)

    def _remember(self, call: SimulatedCall) -> None:
        self.calls[call.id] = call
        excess = len(self.calls) - REMEMBERED
        if excess > 0:
            old = [call.id for call in itertools.islice(self.calls.values(), excess * 2) if call.is_over]
            for id in old[:excess]:
                del self.calls[id]

    async def _bring(self, call: SimulatedCall, telling: Telling) -> Reply | None:
        """Bring a callback to where it belongs, and note what it was answered."""
        refused, reply = None, None
        try:
            reply = await self.deliver(call.account.tenant_id, call.account.id, telling.callback)
        except BellbirdError as error:
            refused = error.code
        delivery = Delivery(call, telling.update, telling.callback, self.agenda.clock.now(), refused)
        self.deliveries.append(delivery)
        for watcher in self.watchers:
            watcher(delivery)
        return reply


def _wrong(name: str, value: Any) -> str | None:
    """What is wrong with an option of an account, None if nothing is."""
    if name == "seed":
        return None if isinstance(value, str | int) else "must be a text or a number"
    if name != "script":
        return f"is no option of the simulator; there are {' and '.join(OPTIONS)}"
    if not isinstance(value, str):
        return "must be a text"
    try:
        scripts.read(value)
    except scripts.ScriptInvalid as error:
        return error.detail
    return None
