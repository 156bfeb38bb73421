"""A provider that does nothing but remember, for what is tested before any callback comes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.telephony import Account, Callback, Order, Placed, ProviderUnclear, Reply, Update
from bellbird.core.tenants import Tenant
from bellbird.features import call_accounts
from bellbird.features.call_accounts import CallAccount, Line, NewCallAccount

OWN = "+61370101234"
OTHER = "+61370105678"


class Carrier:
    """`orders` are all that it has dialled, in order; `hung_up` what it was asked to end.

    `on_place` is called with each order before it is dialled: what it raises, `place` raises; returning False, the call
    is not dialled and its answer is lost.
    """

    name = "carrier"

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.hung_up: list[str] = []
        self.looked = 0
        self.on_place: Callable[[Order], Any] = lambda order: None
        self.answer_is_lost = False

    @property
    def dialled(self) -> list[UUID]:
        return [order.call_id for order in self.orders]

    def check(self, identifier: str, secret: str, options: Mapping[str, Any]) -> None:
        pass

    async def place(self, account: Account, order: Order) -> Placed:
        assert (account.secret, order.callback_url) == ("s3cret", f"{account.callback_url}?call={order.call_id}")
        if (done := self.on_place(order)) is not None and hasattr(done, "__await__"):
            done = await done
        if done is not False:
            self.orders.append(order)
        if self.answer_is_lost or done is False:
            raise ProviderUnclear
        return Placed(f"CA{order.call_id.hex}")

    async def find(self, account: Account, order: Order, since: datetime) -> Placed | None:
        self.looked += 1
        return Placed(f"CA{order.call_id.hex}") if order.call_id in self.dialled else None

    async def hang_up(self, account: Account, provider_call_id: str) -> None:
        self.hung_up.append(provider_call_id)

    def read(self, account: Account, callback: Callback) -> Sequence[Update]:
        return ()

    def welcome(self, account: Account, agent_id: UUID | None) -> Reply:
        return Reply()

    async def close(self) -> None:
        pass


async def connect(engine: Engine, tenant: Tenant, carrier: Carrier | None = None) -> CallAccount:
    """An account of a tenant with the carrier, with two numbers."""
    if carrier is not None or "carrier" not in engine.providers.names:
        engine.providers.add(carrier or Carrier())
    new = NewCallAccount(
        provider="carrier", identifier="acme", secret="s3cret", numbers=(Line(number=OWN), Line(number=OTHER))
    )
    async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
        return await call_accounts.connect(tx, new)
