"""Tests of an application that calls people: telephony is simulated, and takes no time.

pip install pytest pytest-asyncio
pytest examples/simulated_calls
"""

from datetime import timedelta
from uuid import uuid4

import pytest

from bellbird import Actor, Bellbird, FakeClock, calls
from bellbird.features.calls import NewCall
from bellbird.testing import BellbirdSimulator

AGENT = Actor.user(uuid4())
ANN = "+61491570006"


@pytest.mark.asyncio
async def test_calls_and_what_becomes_of_them(
    bellbird: Bellbird, bellbird_simulator: BellbirdSimulator, clock: FakeClock
) -> None:
    simulator = bellbird_simulator.attach(bellbird)
    async with bellbird.tenant("acme", AGENT) as tx:
        account = await simulator.connect(tx, "+61255501234")

    # Ann answers and talks for two minutes; of what the provider tells, some comes twice and some in the wrong order.
    simulator.play(f"{ANN}: ring 4s, answer, talk 2m, hang up | duplicate, reorder")
    async with bellbird.tenant("acme", AGENT) as tx:
        placed = await calls.place(tx, NewCall(to=ANN, purpose="service"))
    began = clock.now()
    await simulator.work(placed)
    await simulator.finish()
    async with bellbird.reader("acme", AGENT) as read:
        call = await calls.get(read, placed.id)
    assert (call.status, call.disposition, call.duration) == ("completed", "answered", 120)
    assert call.answered_at == began + timedelta(seconds=4.5)  # half a second until it rang, and it rang for four

    # The next time the order is answered by silence, but the telephone rings: nobody is dialled twice.
    simulator.play(f"{ANN}: time out but dial, no answer")
    async with bellbird.tenant("acme", AGENT) as tx:
        placed = await calls.place(tx, NewCall(to=ANN, purpose="service"))
    await simulator.work(placed)
    await simulator.work(placed)
    await simulator.finish()
    async with bellbird.reader("acme", AGENT) as read:
        call = await calls.get(read, placed.id)
    assert (call.status, simulator.times_dialled(call.id)) == ("no_answer", 1)

    # Somebody calls, and hangs up before anybody answers.
    ringing = await simulator.ring(account, "+61491570156")
    await simulator.advance(1)
    await simulator.hang_up_of(ringing)
    async with bellbird.reader("acme", AGENT) as read:
        latest = (await calls.page(read, calls.Query(limit=1))).data[0]
    assert (latest.direction, latest.from_number, latest.disposition) == ("inbound", "+61491570156", "missed")
