"""One simulated call: how far it is, and what is told of it, rightly or wrongly."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from bellbird.core.telephony import ENDS, Account, AnsweredBy, Callback, Direction, Reply, Status, Update
from bellbird.providers.mock import wire
from bellbird.providers.mock.agenda import Agenda
from bellbird.providers.mock.scenarios import AS_LONG_AS_IT_MAY, Fault, FaultKind, Scenario, Told

# Where numbers run backwards, they begin here.
BACKWARDS: Final = 1000

# Takes a callback to the account it is for, at this moment.
Deliver = Callable[["SimulatedCall", "Telling"], Awaitable[Reply | None]]


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told, rightly or wrongly, and the callback by which."""

    update: Update
    callback: Callback


@dataclass(eq=False)
class SimulatedCall:
    """A call as the telephone network knows it, which is what it really does: `status` is never wrong.

    `call_id` is ours, None of one that came in. `updates` is what there was to tell, in the order in which it happened,
    whatever became of the callbacks.
    """

    id: str
    account: Account
    direction: Direction
    from_number: str | None
    to_number: str
    scenario: Scenario
    placed_at: datetime
    callback_url: str
    call_id: UUID | None = None
    ring_seconds: float = AS_LONG_AS_IT_MAY
    record: bool = False
    agent_id: UUID | None = None
    status: Status = "queued"
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    updates: list[Update] = field(default_factory=list)
    held: list[Telling] = field(default_factory=list)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self.status in ENDS


class Playing:
    """Plays calls by their scenarios: has what happens put in the agenda, and told."""

    def __init__(self, agenda: Agenda, deliver: Deliver, dice: random.Random) -> None:
        self._agenda = agenda
        self._deliver = deliver
        self._dice = dice

    async def begin(self, call: SimulatedCall) -> None:
        """Let a call take its course."""
        scenario = call.scenario
        if call.direction == "inbound":
            await self._ring(call, call.placed_at)
        elif scenario.has("early"):
            await self._initiate(call, call.placed_at)
        else:
            self._agenda.add(0.0, lambda at: self._initiate(call, at))

    async def end(self, call: SimulatedCall, status: Status, reason: str | None, at: datetime) -> None:
        """End a call now, unless it is over."""
        if call.is_over:
            return
        call.ended_at = at
        duration = None
        if call.answered_at is not None:
            duration = self._seconds(call, at)
        await self._step(call, status, at, duration=duration, reason=reason)
        self._settle(call, at, duration or 0)

    def _seconds(self, call: SimulatedCall, at: datetime) -> int:
        """How long they talked: a simulation that runs faster tells of calls as long as their scenario has them."""
        assert call.answered_at is not None
        pace = 1.0 if self._agenda.is_by_hand else self._agenda.speed
        return max(0, round((at - call.answered_at).total_seconds() * pace))

    async def _initiate(self, call: SimulatedCall, at: datetime) -> None:
        if call.is_over:
            return
        scenario = call.scenario
        await self._step(call, "initiated", at)
        if scenario.ring == 0 and scenario.answer is None:
            self._later(call, scenario.wait, at, self._unanswered)
        else:
            self._later(call, scenario.wait, at, self._ring)

    async def _ring(self, call: SimulatedCall, at: datetime) -> None:
        ring = call.scenario.ring
        await self._step(call, "ringing", at)
        if ring is None:
            return
        if call.scenario.answer is not None and ring <= call.ring_seconds:
            self._later(call, ring, at, self._answer)
        elif (seconds := min(ring, call.ring_seconds)) != AS_LONG_AS_IT_MAY:
            self._later(call, seconds, at, self._unanswered)

    async def _answer(self, call: SimulatedCall, at: datetime) -> None:
        call.answered_at = at
        await self._step(call, "in_progress", at, answered_by=call.scenario.answer)
        if call.scenario.talk is not None:
            self._later(call, call.scenario.talk, at, self._hung_up)

    async def _unanswered(self, call: SimulatedCall, at: datetime) -> None:
        end = call.scenario.end if call.scenario.answer is None else None
        await self.end(call, end or "no_answer", call.scenario.reason, at)

    async def _hung_up(self, call: SimulatedCall, at: datetime) -> None:
        await self.end(call, call.scenario.end or "completed", call.scenario.reason, at)

    def _settle(self, call: SimulatedCall, at: datetime, seconds: int) -> None:
        """What is told of a call when it is over: its price, its recording."""
        scenario = call.scenario
        if call.answered_at is not None and (scenario.record or call.record):
            url = f"https://recordings.example/{call.id}.mp3"
            self._agenda.add(
                scenario.settled, lambda at: self._tell(call, "recording", at, recording_url=url), since=at
            )
        if call.answered_at is not None and scenario.price is not None:
            price, currency = scenario.price, scenario.currency
            self._agenda.add(
                scenario.settled, lambda at: self._tell(call, "price", at, cost=price, currency=currency), since=at
            )

    def _later(
        self,
        call: SimulatedCall,
        seconds: float,
        at: datetime,
        step: Callable[[SimulatedCall, datetime], Awaitable[None]],
    ) -> None:
        """The call's next step, unless it is over by then."""

        async def go_on(due: datetime) -> None:
            if not call.is_over:
                await step(call, due)

        self._agenda.add(seconds, go_on, since=at)

    async def _step(
        self, call: SimulatedCall, status: Status, at: datetime, *, duration: int | None = None,
        reason: str | None = None, answered_by: AnsweredBy | None = None,
    ) -> None:  # fmt: skip
        """The call gets this far, and that is told."""
        call.status = status
        what: Any = status
        await self._tell(call, what, at, status=status, duration=duration, reason=reason, answered_by=answered_by)

    async def _tell(
        self, call: SimulatedCall, what: Told, at: datetime, *, cost: Decimal | None = None, **told: Any
    ) -> None:
        number = len(call.updates)
        update = Update(
            call.id, call.call_id, at=at, sequence=number, cost=cost, direction=call.direction,
            from_number=call.from_number, to_number=call.to_number, **told,
        )  # fmt: skip
        call.updates.append(update)
        await self._send(call, what, self._distorted(call, update))

    def _distorted(self, call: SimulatedCall, update: Update) -> Update:
        """An update as the faults of its call have it told."""
        if call.scenario.has("unnumbered") or call.scenario.has("untimed"):
            update = replace(update, sequence=None)
        elif call.scenario.has("renumber"):
            update = replace(update, sequence=BACKWARDS - (update.sequence or 0))
        if call.scenario.has("untimed"):
            update = replace(update, at=None)
        elif (fault := call.scenario.has("clock")) and update.at:
            update = replace(update, at=update.at + timedelta(seconds=fault.seconds))
        return update

    def _strikes(self, call: SimulatedCall, kind: FaultKind, what: Told) -> Fault | None:
        """The fault of this kind that meets this callback."""
        for fault in call.scenario.faults:
            if fault.kind == kind and fault.which in (None, what) and self._dice.random() < fault.chance:
                return fault
        return None

    async def _send(self, call: SimulatedCall, what: Told, update: Update) -> None:
        """Have an update told as often, as late and in what order as the faults of its call say."""
        if self._strikes(call, "lose", what):
            tellings: list[Telling] = []
        else:
            forged = self._strikes(call, "forge", what) is not None
            # That a call comes in is told where the provider asks what to do with it.
            asks = call.direction == "inbound" and len(call.updates) == 1 and call.account.voice_url
            one = Telling(update, wire.callback(call.account, asks or call.callback_url, update, forged=forged))
            tellings = [one, one] if self._strikes(call, "duplicate", what) else [one]
        if tellings and (late := self._strikes(call, "late", what)):
            in_time = tellings
            self._agenda.add(late.seconds, lambda at: self._deliver_all(call, in_time), since=call.updates[-1].at)
            tellings = []
        is_settled = call.is_over and what in ("price", "recording")
        if call.scenario.has("race") and not is_settled:
            call.held += tellings
            if call.is_over:
                racing, call.held = call.held, []
                await asyncio.gather(*(self._deliver(call, telling) for telling in racing))
        elif self._strikes(call, "reorder", what) and not call.held and not call.is_over:
            call.held += tellings
        else:
            held, call.held = call.held, []
            await self._deliver_all(call, [*tellings, *held])

    async def _deliver_all(self, call: SimulatedCall, tellings: Sequence[Telling]) -> None:
        """One after the other, as a provider does that keeps an order."""
        async with call.turn:
            for telling in tellings:
                await self._deliver(call, telling)
