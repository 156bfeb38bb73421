"""The breaker: who asks a server that does not answer, and how long that takes."""

import asyncio
import logging

import pytest

from bellbird.core import breaker
from bellbird.core.breaker import Breaker


class Server:
    """Answers, fails or hangs."""

    def __init__(self) -> None:
        self.asked = 0
        self.state = "well"

    async def answer(self) -> str:
        self.asked += 1
        if self.state == "hanging":
            await asyncio.sleep(60)
        if self.state == "failing":
            raise OSError("refused")
        return "answer"


@pytest.fixture
def server() -> Server:
    return Server()


async def test_an_answer_is_passed_on(server: Server) -> None:
    guard = Breaker("It", "we do without")
    assert await guard.ask(server.answer) == "answer"
    assert guard.failures == 0


async def test_after_a_failure_nobody_asks_for_a_second_and_then_one_asks_for_all(server: Server) -> None:
    now = 0.0
    guard = Breaker("It", "we do without", now=lambda: now)
    server.state = "failing"
    assert [await guard.ask(server.answer) for _ in range(10)] == [None] * 10
    assert (server.asked, guard.failures) == (1, 1)
    now = 1.0
    assert await asyncio.gather(*(guard.ask(server.answer) for _ in range(10))) == [None] * 10
    assert (server.asked, guard.failures) == (2, 2)
    server.state = "well"
    now = 2.0
    assert [await guard.ask(server.answer) for _ in range(10)] == ["answer"] * 10
    assert guard.failures == 2


async def test_a_hanging_server_costs_the_time_out(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "TIMEOUT", 0.01)
    server.state = "hanging"
    guard = Breaker("It", "we do without")
    assert await asyncio.wait_for(guard.ask(server.answer), 1) is None
    assert guard.failures == 1


async def test_who_is_cancelled_stays_cancelled_and_no_failure_is_counted(server: Server) -> None:
    server.state = "hanging"
    guard = Breaker("It", "we do without")
    asking = asyncio.create_task(guard.ask(server.answer))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert guard.failures == 0


async def test_if_the_one_who_asks_for_all_is_cancelled_another_does_after_a_second(server: Server) -> None:
    now = 0.0
    guard = Breaker("It", "we do without", now=lambda: now)
    server.state = "failing"
    await guard.ask(server.answer)
    now, server.state = 1.0, "hanging"
    asking = asyncio.create_task(guard.ask(server.answer))
    await asyncio.sleep(0)
    asking.cancel()
    now, server.state = 2.0, "well"
    assert await guard.ask(server.answer) == "answer"


async def test_the_log_is_warned_every_ten_seconds_at_most(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bellbird")
    now = 0.0
    guard = Breaker("It", "we do without", now=lambda: now)
    server.state = "failing"
    for second in range(25):
        now = float(second)
        await guard.ask(server.answer)
    server.state = "well"
    now = 30.0
    await guard.ask(server.answer)
    warning = "It does not answer (OSError: refused): we do without, and it is asked once a second"
    assert caplog.messages == [warning] * 3 + ["It answers again"]
