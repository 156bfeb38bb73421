"""A call centre at work, as long as the demo serves: agents who call contacts, and people who call in.

They use the verbs that everybody uses, and the server's worker does the dialling: only the telephone company and the
people are made up. It has a thread and an event loop of its own, for the server's loop is the server's.
"""

import asyncio
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Final, cast
from uuid import UUID

from bellbird.app import Bellbird
from bellbird.core.actors import ROLES, Actor
from bellbird.core.errors import BellbirdError
from bellbird.core.settings import Settings
from bellbird.core.telephony import Account
from bellbird.demo import calls as history
from bellbird.demo import filling, numbers, words
from bellbird.features import call_accounts, calls
from bellbird.features.call_accounts import CallAccount
from bellbird.features.calls import Call, CallPatch, NewCall, NewFollowUpOfCall
from bellbird.features.contacts import Contact
from bellbird.providers.mock import Scenario, Simulator

log = logging.getLogger(__name__)

# Seconds: between two calls of an agent, between two that come in, for writing something about a call.
PAUSE: Final = (4.0, 25.0)
QUIET: Final = (12.0, 45.0)
WRITING: Final = (2.0, 8.0)

# How often they look whether it is time to go home.
CLOSING: Final = 0.2

# How often somebody looks whether a call is over, and when they give it up.
LOOK_EVERY: Final = 1.5
TOO_LONG: Final = timedelta(minutes=5)

OUTCOMES: Final = ("interested", "not_interested", "call_back", "wrong_number")
WEIGHTS: Final = (30, 42, 22, 6)


@dataclass(frozen=True, slots=True)
class Work:
    """Who works, with what: agents and those whom they call, by the agent."""

    tenant_id: UUID
    account: CallAccount
    contacts: Mapping[UUID, Sequence[Contact]]


@dataclass(slots=True)
class Agent:
    """Somebody on the telephone."""

    actor: Actor
    contacts: Sequence[Contact]
    chance: Random
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)


@contextmanager
def at_work(settings: Settings, work: Work) -> Iterator[None]:
    """Have the call centre work for as long as the block runs."""
    stop = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(_work(settings, work, stop)), name="demo call centre")
    thread.daemon = True  # should it hang, the server ends all the same
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)


async def _work(settings: Settings, work: Work, stop: threading.Event) -> None:
    """Work until told to stop. Whatever nobody has thought of ends it, and is printed as any thread's error is."""
    async with Bellbird(settings) as bellbird, asyncio.TaskGroup() as group:
        people = Centre(bellbird, work)
        tasks = [group.create_task(people.receive()), *map(group.create_task, map(people.call, people.agents))]
        while not stop.is_set():  # noqa: ASYNC110 - it is set in another thread
            await asyncio.sleep(CLOSING)
        for task in tasks:
            task.cancel()


class Centre:
    """The agents, and whoever calls them."""

    def __init__(self, bellbird: Bellbird, work: Work) -> None:
        self._bellbird = bellbird
        self._work = work
        self._chance = Random()  # noqa: S311
        may = ROLES["agent"].permissions
        self.agents = [
            Agent(Actor.user(id, permissions=may, visibility="own"), contacts, Random())  # noqa: S311
            for id, contacts in work.contacts.items()
            if contacts
        ]

    async def call(self, agent: Agent) -> None:
        """Place one call after the other."""
        while True:
            await asyncio.sleep(agent.chance.uniform(*PAUSE))
            async with agent.busy:
                contact = agent.chance.choice(agent.contacts)
                try:
                    async with self._bellbird.tenant(self._work.tenant_id, agent.actor) as tx:
                        call = await calls.place(tx, NewCall(contact_id=contact.id, purpose="service"))
                    await self._see_through(agent, call.id)
                except BellbirdError as error:
                    # They opted out, or are being talked with already; or the contact or the tenant is gone.
                    log.debug("a call of the demo was not placed: %s", error.code)

    async def receive(self) -> None:
        """Have somebody call now and then."""
        simulator = cast("Simulator", self._bellbird.engine.providers.get("mock"))
        while True:
            await asyncio.sleep(self._chance.uniform(*QUIET))
            try:
                async with self._bellbird.reader(self._work.tenant_id, filling.OPERATOR) as tx:
                    account = await call_accounts.opened(self._bellbird.engine, tx, self._work.account.id)
                if account is not None:
                    await self._be_called(simulator, account)
            except BellbirdError as error:
                log.debug("a call to the demo came to nothing: %s", error.code)

    async def _be_called(self, simulator: Simulator, account: Account) -> None:
        """Somebody calls; an agent who is free talks with them, or nobody."""
        free = [agent for agent in self.agents if not agent.busy.locked()]
        agent = self._chance.choice(free) if free else None
        if agent is None:
            await simulator.call_in(account, self._caller(None), self._line, Scenario(ring=20.0, answer=None))
            return
        async with agent.busy:
            rings, talks = self._chance.uniform(2, 9), self._chance.uniform(8, 70)
            made = await simulator.call_in(account, self._caller(agent), self._line, Scenario(ring=rings, talk=talks))
            async with self._bellbird.tenant(self._work.tenant_id, filling.OPERATOR) as tx:
                found = await calls.page(tx, calls.Query(filter={"provider_call_id": made.id}, limit=1))
                for call in found.data:
                    await calls.update(tx, call.id, CallPatch(agent_id=agent.actor.user_id))
            for call in found.data:
                await self._see_through(agent, call.id)

    @property
    def _line(self) -> str:
        return self._work.account.numbers[0].number

    def _caller(self, agent: Agent | None) -> str:
        """From which number somebody calls: a contact's mostly, else nobody's."""
        contacts = agent.contacts if agent else [each for of in self._work.contacts.values() for each in of]
        number = history.number_of(self._chance.choice(contacts)) if self._chance.random() < 0.75 else None
        return number or history.e164(numbers.mobile(self._chance, "AU"))

    async def _see_through(self, agent: Agent, id: UUID) -> None:
        """Wait until a call is over, and write something about it."""
        call = await self._until_over(agent, id)
        if call is None or call.disposition not in ("answered", "voicemail"):
            return
        await asyncio.sleep(agent.chance.uniform(*WRITING))
        async with self._bellbird.tenant(self._work.tenant_id, agent.actor) as tx:
            await calls.update(tx, id, self._report(agent, call))

    async def _until_over(self, agent: Agent, id: UUID) -> Call | None:
        clock = self._bellbird.engine.clock
        since = clock.now()
        while clock.now() - since < TOO_LONG:
            await asyncio.sleep(LOOK_EVERY)
            async with self._bellbird.reader(self._work.tenant_id, agent.actor) as reading:
                call = await calls.get(reading, id)
            if call.ended_at is not None:
                return call
        async with self._bellbird.tenant(self._work.tenant_id, agent.actor) as tx:
            await calls.hang_up(tx, id)
        return None

    def _report(self, agent: Agent, call: Call) -> CallPatch:
        """What the agent writes: the outcome, a note perhaps, and when to call back."""
        chance = agent.chance
        outcome = "left_message" if call.disposition == "voicemail" else chance.choices(OUTCOMES, WEIGHTS)[0]
        patch = CallPatch(outcome=outcome)
        if chance.random() < 0.6:
            patch = CallPatch(outcome=outcome, notes=chance.choice(words.NOTES[outcome]))
        if outcome == "call_back":
            due_at = history.working_time(self._bellbird.engine.clock.now(), chance)
            patch = CallPatch(outcome=outcome, notes=patch.notes, follow_up=NewFollowUpOfCall(due_at=due_at))
        return patch
