"""The simulator: calls take the course they are told, and their callbacks go as wrong as they are told."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest

from bellbird.core.clock import FakeClock, SystemClock
from bellbird.core.errors import InvalidInput
from bellbird.core.telephony import (
    Account,
    Callback,
    CallbackMalformed,
    CallbackRefused,
    Order,
    ProviderRefused,
    Providers,
    ProviderUnclear,
    Reply,
    Surroundings,
    Update,
)
from bellbird.providers.mock import BUSY, RINGS_FOREVER, TALKS_FOREVER, Scenario, SimulatedCall, Simulator, wire

NOW = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
URL = "https://crm.example/api/v1/callbacks/t/a"
NUMBER = "+61400000001"


class Switch:
    """Somebody who places calls with a simulator, and takes its callbacks."""

    def __init__(self, clock: FakeClock | SystemClock, speed: float = 1.0) -> None:
        self.account = Account(uuid4(), uuid4(), "mock", "sim", "secret", {}, URL, f"{URL}/voice")
        self.told: list[Update] = []
        self.urls: list[str] = []
        self.refused: list[str] = []
        self.at_once = self.most_at_once = 0
        self.simulator = Simulator(Surroundings(clock, self.take), speed=speed)

    async def take(self, tenant_id: UUID, account_id: UUID, callback: Callback) -> Reply:
        assert (tenant_id, account_id) == (self.account.tenant_id, self.account.id)
        try:
            (update,) = self.simulator.read(self.account, callback)
        except CallbackRefused as error:
            self.refused.append(error.why)
            raise
        self.told.append(update)
        self.urls.append(callback.url)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return Reply()

    def order(self, **given: object) -> Order:
        order = Order(uuid4(), "+61255500001", NUMBER, "")
        return replace(order, callback_url=f"{URL}?call={order.call_id}", **given)  # type: ignore[arg-type]

    async def placed(self, course: str | Scenario, **given: object) -> SimulatedCall:
        if isinstance(course, str):
            self.simulator.play(f"*: {course}")
        else:
            self.simulator.on("*", course)
        order = self.order(**given)
        placed = await self.simulator.place(self.account, order)
        call = self.simulator.call(order.call_id)
        assert call is not None and call.id == placed.provider_call_id
        return call

    @property
    def statuses(self) -> list[str | None]:
        return [update.status for update in self.told]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def switch(clock: FakeClock) -> AsyncIterator[Switch]:
    made = Switch(clock)
    yield made
    await made.simulator.close()


def test_it_is_found_by_its_name(clock: FakeClock) -> None:
    providers = Providers(Surroundings(clock))
    assert "mock" in providers.names
    assert isinstance(providers.get("mock"), Simulator)


async def test_a_call_takes_its_course_in_its_time(switch: Switch, clock: FakeClock) -> None:
    call = await switch.placed("wait 1s, ring 3s, answer, talk 40s, hang up, price 0.08 AUD, record")
    assert switch.told == []
    await switch.simulator.advance(2)
    assert switch.statuses == ["initiated", "ringing"]
    assert clock.now() == NOW + timedelta(seconds=2)
    await switch.simulator.finish()
    assert switch.statuses == ["initiated", "ringing", "in_progress", "completed", None, None]
    assert [(update.at - NOW).total_seconds() for update in switch.told if update.at] == [0, 1, 4, 44, 46, 46]
    assert [update.sequence for update in switch.told] == list(range(6))
    assert {update.call_id for update in switch.told} == {call.call_id}
    assert {update.provider_call_id for update in switch.told} == {call.id}
    answered, ended, recording, price = switch.told[2:]
    assert (answered.answered_by, ended.duration) == ("human", 40)
    assert recording.recording_url == f"https://recordings.example/{call.id}.mp3"
    assert (price.cost, price.currency) == (Decimal("0.08"), "AUD")
    assert switch.told == call.updates


@pytest.mark.parametrize(
    ("course", "end", "after"),
    [
        ("busy", "busy", 0.5),
        ("fail 404", "failed", 0.5),
        ("no answer", "no_answer", 30.5),
        ("ring 10s, no answer", "no_answer", 10.5),
        ("ring 40s, answer", "no_answer", 30.5),
        ("ring 4s, hang up", "canceled", 4.5),
        ("answer, talk 5s, fail 503", "failed", 7.5),
        ("voicemail", "completed", 22.5),
    ],
)
async def test_calls_end_as_they_are_told(switch: Switch, course: str, end: str, after: float) -> None:
    call = await switch.placed(course)
    await switch.simulator.finish()
    assert call.status == end
    assert call.ended_at == NOW + timedelta(seconds=after)
    assert switch.statuses[-1] == end


@pytest.mark.parametrize("scenario", [RINGS_FOREVER, TALKS_FOREVER])
async def test_calls_that_never_end_are_left_live_until_somebody_hangs_up(switch: Switch, scenario: Scenario) -> None:
    call = await switch.placed(scenario)
    await switch.simulator.finish()
    await switch.simulator.advance(3600)
    assert switch.simulator.live == [call]
    await switch.simulator.hang_up(switch.account, call.id)
    await switch.simulator.hang_up(switch.account, call.id)
    await switch.simulator.finish()
    expected = "completed" if scenario is TALKS_FOREVER else "canceled"
    assert (call.status, switch.statuses[-1], switch.statuses.count(expected)) == (expected, expected, 1)
    assert switch.simulator.live == []
    assert (switch.told[-1].duration or 0) >= (3600 if scenario is TALKS_FOREVER else 0)


async def test_nobody_hangs_up_a_call_that_is_not_theirs(switch: Switch) -> None:
    call = await switch.placed("answer")
    with pytest.raises(ProviderRefused):
        await switch.simulator.hang_up(switch.account, "MC404")
    with pytest.raises(ProviderRefused):
        await switch.simulator.hang_up(replace(switch.account, id=uuid4()), call.id)


async def test_the_other_side_can_hang_up(switch: Switch) -> None:
    call = await switch.placed("ring 1s, answer, talk forever")
    await switch.simulator.advance(20)
    await switch.simulator.hang_up_of(call)
    assert (switch.told[-1].status, switch.told[-1].duration) == ("completed", 18)
    ringing = await switch.simulator.call_in(switch.account, NUMBER, "+61255500001")
    await switch.simulator.hang_up_of(ringing)
    assert ringing.status == "canceled"


async def test_an_order_can_be_refused_or_left_unclear(switch: Switch) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await switch.placed("refuse 21211")
    assert refused.value.reason == "21211"
    with pytest.raises(ProviderUnclear):
        await switch.placed("time out")
    assert not switch.simulator.dialled
    switch.simulator.play("*: time out but dial, ring 1s, no answer")
    order = switch.order()
    with pytest.raises(ProviderUnclear):
        await switch.simulator.place(switch.account, order)
    assert switch.simulator.times_dialled(order.call_id) == 1
    found = await switch.simulator.find(switch.account, order, NOW)
    call = switch.simulator.call(order.call_id)
    assert found and call and found.provider_call_id == call.id
    assert await switch.simulator.find(switch.account, order, NOW + timedelta(hours=1)) is None
    assert await switch.simulator.find(switch.account, switch.order(), NOW) is None
    await switch.simulator.finish()
    assert switch.statuses == ["initiated", "ringing", "no_answer"]


async def test_each_dialling_is_counted(switch: Switch) -> None:
    order = switch.order()
    for _ in range(2):
        await switch.simulator.place(switch.account, order)
    assert switch.simulator.times_dialled(order.call_id) == 2


# What goes wrong


async def test_duplicate(switch: Switch) -> None:
    await switch.placed("busy | duplicate")
    await switch.simulator.finish()
    assert switch.statuses == ["initiated", "initiated", "busy", "busy"]
    assert switch.told[0] == switch.told[1]


async def test_late(switch: Switch) -> None:
    await switch.placed("ring 1s, answer, talk 2s | late 10s ringing")
    await switch.simulator.finish()
    assert switch.statuses == ["initiated", "in_progress", "completed", "ringing"]
    assert switch.told[-1].at == NOW + timedelta(seconds=0.5)


async def test_lose(switch: Switch) -> None:
    await switch.placed("ring 1s, answer, talk 2s | lose initiated, lose in_progress")
    await switch.simulator.finish()
    assert switch.statuses == ["ringing", "completed"]


async def test_lose_by_chance(switch: Switch) -> None:
    for _ in range(50):
        await switch.placed("busy | lose 50%")
    await switch.simulator.finish()
    assert 25 < len(switch.told) < 75


async def test_reorder(switch: Switch) -> None:
    await switch.placed("ring 1s, answer, talk 2s | reorder")
    await switch.simulator.finish()
    assert switch.statuses == ["ringing", "initiated", "completed", "in_progress"]
    assert [update.sequence for update in switch.told] == [1, 0, 3, 2]


async def test_race(switch: Switch) -> None:
    await switch.placed("ring 1s, answer, talk 2s, price 1 AUD | race, duplicate")
    await switch.simulator.finish()
    assert len(switch.told) == 10
    assert switch.most_at_once == 8


async def test_early(switch: Switch) -> None:
    await switch.placed("answer | early")
    assert switch.statuses == ["initiated"]


async def test_numbers_and_times_can_be_wrong_or_missing(switch: Switch) -> None:
    for course in ("numbers backwards", "no numbers", "no times", "clock ahead 10m"):
        await switch.placed(f"busy | {course}")
        await switch.simulator.finish()
    assert [update.sequence for update in switch.told] == [1000, 999, None, None, None, None, 0, 1]
    assert [update.at is None for update in switch.told[4:]] == [True, True, False, False]
    assert switch.told[-1].at == switch.simulator.agenda.clock.now() + timedelta(minutes=10)


async def test_forge(switch: Switch) -> None:
    await switch.placed("busy | forge initiated")
    await switch.simulator.finish()
    assert (switch.statuses, switch.refused) == (["busy"], ["signature"])
    assert [delivery.refused for delivery in switch.simulator.deliveries] == ["callback_refused", None]


# Calls that come in


async def test_somebody_calls(switch: Switch) -> None:
    call = await switch.simulator.call_in(switch.account, NUMBER, "+61255500001", Scenario(ring=5.0, talk=10.0))
    await switch.simulator.finish()
    assert switch.statuses == ["ringing", "in_progress", "completed"]
    assert switch.urls == [f"{URL}/voice", URL, URL]
    assert {(update.direction, update.from_number, update.to_number, update.call_id) for update in switch.told} == {
        ("inbound", NUMBER, "+61255500001", None)
    }
    assert call.direction == "inbound"


async def test_somebody_calls_who_does_not_say_who(switch: Switch) -> None:
    await switch.simulator.call_in(switch.account, None, "+61255500001", BUSY)
    assert switch.told[0].from_number is None


def test_an_incoming_call_is_connected_with_an_agent(switch: Switch) -> None:
    agent = uuid4()
    assert switch.simulator.welcome(switch.account, agent).body == f'{{"connect":"{agent}"}}'.encode()


# What decides how a call goes


async def test_what_was_said_last_counts_before_the_accounts_script_before_chance(switch: Switch) -> None:
    account = replace(switch.account, options={"script": "*1: busy"})
    assert switch.simulator.scenario(account, NUMBER).end == "busy"
    by_chance = switch.simulator.scenario(account, "+61400000002")
    switch.simulator.play("+61400000001: fail")
    assert switch.simulator.scenario(account, NUMBER).end == "failed"
    switch.simulator.on(NUMBER, Scenario(talk=7.0))
    assert switch.simulator.scenario(account, NUMBER).talk == 7.0
    switch.simulator.otherwise = Scenario(talk=8.0)
    assert switch.simulator.scenario(account, "+61400000002").talk == 8.0 != by_chance.talk


def test_an_account_that_cannot_be_is_refused(switch: Switch) -> None:
    switch.simulator.check("sim", "secret", {"script": "*: busy", "seed": "monday"})
    switch.simulator.check("sim", "secret", {"seed": 7})
    with pytest.raises(InvalidInput) as caught:
        switch.simulator.check(" ", "", {"script": "*: bsy", "seed": 3.5, "sede": "x"})
    assert {fault.pointer for fault in caught.value.faults} == {
        "/identifier", "/secret", "/options/script", "/options/seed", "/options/sede"
    }  # fmt: skip
    assert "line 1: there is no step 'bsy'; did you mean 'busy'?" in str(caught.value.faults[2].message)


# Signatures


def callback(switch: Switch, url: str = URL, **fields: object) -> Callback:
    return wire.callback(switch.account, url, Update("MC1", **fields))  # type: ignore[arg-type]


def test_only_what_is_signed_is_read(switch: Switch) -> None:
    good = callback(switch, status="ringing")
    assert switch.simulator.read(switch.account, good)[0].status == "ringing"
    changed = bytes([good.body[0] ^ 1]) + good.body[1:]
    for wrong, why in [
        (replace(good, headers={}), "missing_signature"),
        (replace(good, headers={"x-mock-signature": ""}), "missing_signature"),
        (replace(good, headers={"x-mock-signature": "é"}), "signature"),
        (replace(good, body=changed), "signature"),
        (replace(good, url=f"{URL}?call={uuid4()}"), "signature"),
    ]:
        with pytest.raises(CallbackRefused) as caught:
            switch.simulator.read(switch.account, wrong)
        assert caught.value.why == why
    with pytest.raises(CallbackRefused):
        switch.simulator.read(replace(switch.account, secret="another"), good)
    with pytest.raises(CallbackRefused) as caught:
        switch.simulator.read(replace(switch.account, identifier="another"), good)
    assert caught.value.why == "account"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"id": ""}',
        b'{"id": "MC1", "status": "asleep"}',
        b'{"id": "MC1", "at": "yesterday"}',
        b'{"id": "MC1", "at": "2026-12-01T09:00:00"}',
        b'{"id": "MC1", "duration": -1}',
        b'{"id": "MC1", "to": "12"}',
        b'{"id": "MC1", "sequence": 3000000000}',
        b'{"id": "MC1", "more": 1}',
        b"[" * 100_000,
    ],
)
def test_what_is_signed_and_cannot_be_read_is_malformed(switch: Switch, body: bytes) -> None:
    signed = Callback("POST", URL, {"x-mock-signature": wire.sign("secret", URL, body)}, body)
    with pytest.raises(CallbackMalformed):
        switch.simulator.read(switch.account, signed)


def test_the_address_names_one_of_our_calls(switch: Switch) -> None:
    with pytest.raises(CallbackMalformed):
        switch.simulator.read(switch.account, callback(switch, f"{URL}?call=12"))


# By itself


async def test_with_a_real_clock_calls_go_on_by_themselves() -> None:
    switch = Switch(SystemClock(), speed=200.0)
    call = await switch.placed("ring 2s, answer, talk 60s, price 0.04 AUD")
    other = await switch.placed("busy")
    await asyncio.wait_for(switch.simulator.finish(), 10)
    assert (call.status, other.status) == ("completed", "busy")
    mine = [update for update in switch.told if update.call_id == call.call_id]
    assert [update.status for update in mine] == ["initiated", "ringing", "in_progress", "completed", None]
    assert 55 <= (mine[3].duration or 0) <= 65
    await switch.simulator.close()


async def test_closing_it_ends_everything_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    switch = Switch(SystemClock())
    await switch.placed("ring 30s, answer")
    await asyncio.sleep(0.05)
    assert switch.statuses == ["initiated"]
    await switch.simulator.close()
    assert asyncio.all_tasks() == before
    assert switch.simulator.agenda.is_empty


async def test_a_callback_that_breaks_whoever_takes_it_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    switch = Switch(SystemClock(), speed=200.0)
    taken = switch.simulator.deliver

    async def broken(tenant_id: UUID, account_id: UUID, callback: Callback) -> Reply:
        if b"initiated" in callback.body:
            raise RuntimeError("broken")
        return await taken(tenant_id, account_id, callback)

    switch.simulator.deliver = broken
    await switch.placed("ring 2s, no answer")
    await asyncio.wait_for(switch.simulator.finish(), 10)
    await switch.simulator.close()
    assert "was not taken" in caplog.text


async def test_it_does_not_remember_for_ever(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bellbird.providers.mock.simulator.REMEMBERED", 10)
    live = await switch.placed(TALKS_FOREVER)
    for _ in range(20):
        await switch.placed("busy")
        await switch.simulator.finish()
    assert len(switch.simulator.calls) == 10
    assert live.id in switch.simulator.calls
