"""What a provider tells, as the tests have it: updates of a call in its order, and signed callbacks."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine
from bellbird.core.telephony import Account, Callback, Reply, Surroundings, Update
from bellbird.core.tenants import Tenant
from bellbird.features import call_accounts
from bellbird.features.call_accounts import Line, NewCallAccount
from bellbird.features.calls import Call, receiving, rows
from bellbird.providers.mock import Simulator, wire
from tests import make

OWN = "+61370101234"
THEIRS = "+61412345678"


def updates(*statuses: Any, at: datetime, id: str = "CA1", apart: float = 10.0, **last: Any) -> list[Update]:
    """Updates of these statuses, so many seconds apart, in the provider's order; the last tells `last` besides."""
    made = [
        Update(id, status=status, at=at + timedelta(seconds=number * apart), sequence=number)
        for number, status in enumerate(statuses)
    ]
    return [*made[:-1], replace(made[-1], **last)]


def answered(at: datetime, **given: Any) -> list[Update]:
    """A call that was answered by a person, and what comes after its end."""
    *told, end = updates("initiated", "ringing", "in_progress", "completed", at=at, duration=9, **given)
    told[2] = replace(told[2], answered_by="human")
    late = end.at or at
    return [
        *told,
        end,
        Update(end.provider_call_id, recording_url="https://rec.example/1", at=late + timedelta(seconds=5), sequence=4),
        Update(end.provider_call_id, cost=Decimal("-0.0140"), currency="AUD", at=late + timedelta(seconds=9)),
    ]


async def connect(engine: Engine, tenant: Tenant) -> Account:
    """An account with the simulator, which does nothing by itself: the tests say what is told."""
    # Its own time stands still.
    engine.providers.add(Simulator(Surroundings(FakeClock())))
    new = NewCallAccount(provider="mock", identifier="acme", secret="s3cret", numbers=(Line(number=OWN),))
    async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
        made = await call_accounts.connect(tx, new)
    account = await call_accounts.opened(engine, engine.reader(tenant.id, Actor.system()), made.id)
    assert account is not None
    return account


async def placed(engine: Engine, account: Account, **given: Any) -> Call:
    """A call that a worker has taken on, without its provider's answer."""
    async with engine.tenant(account.tenant_id, Actor.user("tester")) as tx:
        call = await make.call(tx, account_id=account.id, from_number=OWN, number=THEIRS, **given)
        await tx.run(
            "update calls set claimed_at = $3 where tenant_id = $1 and id = $2", tx.tenant_id, call.id, tx.now()
        )
    return call


def callback(account: Account, update: Update, call: Call | None = None, *, voice: bool = False) -> Callback:
    """A callback to the address of a call, or of all calls of the account."""
    url = account.voice_url if voice else account.callback_url
    return wire.callback(account, url if call is None else f"{url}?call={call.id}", update)


async def tell(
    engine: Engine, account: Account, update: Update, call: Call | None = None, *, voice: bool = False
) -> Reply:
    """Have an update told."""
    given = callback(account, update, call, voice=voice)
    return await receiving.receive(engine, account.tenant_id, account.id, given, voice=voice)


async def now_of(engine: Engine, account: Account, id: UUID) -> Call:
    """A call as it is now."""
    async with engine.tenant(account.tenant_id, Actor.system()) as tx:
        return (await rows.lock(tx, id)).call


# When the moments of cases were made up; for the last test of a long run that is long ago.
BEGUN = datetime.now(UTC).replace(microsecond=0)


class Behind:
    """The machine's own clock, set back to `BEGUN`."""

    def __init__(self) -> None:
        self._by = datetime.now(UTC) - BEGUN

    def now(self) -> datetime:
        return datetime.now(UTC) - self._by


def lately() -> datetime:
    """A moment ago, to the second."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=50)
