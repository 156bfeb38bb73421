"""For tests of what is built on Bellbird: telephony that is simulated, with a clock that the test moves.

The pytest plugin has it as the fixture `bellbird_simulator`; any other framework can make a `BellbirdSimulator` itself.
"""

from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from bellbird.app import Bellbird
from bellbird.core.clock import FakeClock, SystemClock
from bellbird.core.engine import Engine, Tx
from bellbird.core.telephony import Account, CallProvider, ProviderUnclear, Surroundings
from bellbird.features import call_accounts
from bellbird.features.call_accounts import CallAccount, Line, NewCallAccount
from bellbird.features.calls import Call, dialing, receiving
from bellbird.providers.mock import ANSWERED, Scenario, SimulatedCall, Simulator

# What an account is connected with; callbacks are signed with it.
SECRET = "the-secret-of-a-simulated-account"  # noqa: S105


class BellbirdSimulator(Simulator):
    """The simulator, in the place of the provider `mock` of a Bellbird; every call is answered unless said otherwise.

        simulator.attach(bellbird)
        async with bellbird.tenant("acme", actor) as tx:
            await simulator.connect(tx, "+61255500001")
        ...
        await simulator.work(call)      # what a worker would do with it now: dial it
        await simulator.finish()        # it rings, is answered, ends; Bellbird is told of each step

    Time passes in `advance` and `finish` alone. Where Bellbird has a FakeClock (`Bellbird(clock=FakeClock())`) that is
    moved; else the simulator has one of its own, which begins now: Bellbird then believes no times of a call that lie
    more than five minutes ahead of its own clock.
    """

    def __init__(self) -> None:
        super().__init__(Surroundings(FakeClock(SystemClock().now())), otherwise=ANSWERED)
        self._engine: Engine | None = None
        self._before: CallProvider | None = None
        self._tenants: dict[UUID, UUID] = {}

    def attach(self, bellbird: Bellbird | Engine) -> Self:
        """From now on, accounts of the provider `mock` are with this simulator, and its callbacks reach Bellbird."""
        self.detach()
        engine = bellbird if isinstance(bellbird, Engine) else bellbird.engine
        self._engine, self._before = engine, engine.providers.get(self.name)
        self.deliver = partial(receiving.receive, engine)
        if isinstance(engine.clock, FakeClock):
            self.agenda.clock = engine.clock
        engine.providers.add(self)
        return self

    def detach(self) -> None:
        """Let the provider `mock` be what it was before."""
        if self._engine is not None and self._before is not None:
            self._engine.providers.add(self._before)
        self._engine = self._before = None

    async def connect(self, tx: Tx, *numbers: str, **options: Any) -> CallAccount:
        """Connect an account with these numbers for the tenant of a transaction; `options` are its own."""
        new = NewCallAccount(
            provider=self.name,
            identifier="simulated",
            secret=SECRET,
            numbers=tuple(Line(number) for number in numbers),
            options=options,
        )
        account = await call_accounts.connect(tx, new)
        self._tenants[account.id] = tx.tenant_id
        return account

    async def work(self, call: Call) -> SimulatedCall | None:
        """Do what a worker would do with a call: dial it, or hang it up if that was asked for.

        Returns it as the telephone network has it; None if it was not dialled, which the call itself then says why.
        Where the provider did not answer, doing it again looks for the call, and never dials it again.
        """
        engine, tenant_id = self._attached, self._tenants[call.account_id]
        with suppress(ProviderUnclear):
            await dialing.dial(engine, tenant_id, call.id)
        asked = await engine.reader(tenant_id, dialing.DIALLER).one(
            "select hang_up_at is not null and ended_at is null from calls where tenant_id = $1 and id = $2",
            tenant_id,
            call.id,
        )
        if asked and asked[0]:
            await dialing.hang_up(engine, tenant_id, call.id)
        return self.call(call.id)

    async def ring(
        self, account: CallAccount, from_number: str | None, to_number: str | None = None,
        scenario: Scenario | None = None,
    ) -> SimulatedCall:  # fmt: skip
        """Have somebody call a number of an account's, its first if none is said; None withholds the caller's."""
        async with self._attached.reader(self._tenants[account.id], dialing.DIALLER) as read:
            opened = await call_accounts.opened(self._attached, read, account.id)
        assert isinstance(opened, Account)
        return await self.call_in(opened, from_number, to_number or account.numbers[0].number, scenario)

    @property
    def _attached(self) -> Engine:
        assert self._engine is not None, "say of which Bellbird: simulator.attach(bellbird)"
        return self._engine

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.detach()
        await self.close()
