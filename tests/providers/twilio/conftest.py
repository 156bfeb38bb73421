"""A stand-in for Twilio, and the provider that talks with it."""

from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest

from bellbird.core.clock import SystemClock
from bellbird.core.telephony import Account, Order, Surroundings
from bellbird.providers.twilio import Twilio
from tests.providers.twilio.standin import SID, TOKEN, StandIn, running

ACCOUNT = UUID("0192f0c0-0000-7000-8000-0000000acc01")
TENANT = UUID("0192f0c0-0000-7000-8000-0000000ac3e0")
CALL = UUID("0192f0c0-0000-7000-8000-00000000ca11")
AGENT = UUID("0192f0c0-0000-7000-8000-00000000a117")
CALLBACKS = f"https://calls.acme.example/api/v1/callbacks/{TENANT}/{ACCOUNT}"
SYDNEY, ANN = "+61293744000", "+61412345678"


def account(**options: Any) -> Account:
    return Account(ACCOUNT, TENANT, "twilio", SID, TOKEN, options, CALLBACKS, f"{CALLBACKS}/voice")


def order(**more: Any) -> Order:
    values = {"from_number": SYDNEY, "to_number": ANN, "callback_url": f"{CALLBACKS}?call={CALL}", "agent_id": AGENT}
    return Order(**{"call_id": CALL, **values, **more})


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    async with running() as opened:
        yield opened


MakeTwilio = Callable[..., Twilio]


@pytest.fixture
async def twilio(standin: StandIn) -> AsyncIterator[Twilio]:
    made = Twilio(Surroundings(SystemClock()), base_url=standin.base_url, answer=0.5)
    yield made
    await made.close()
