"""Rate limits that processes share in a real Redis, which is killed, frozen and replaced by something else."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core import breaker
from bellbird.core.actors import Actor
from bellbird.core.breaker import TIMEOUT
from bellbird.core.errors import RateLimited, Unavailable
from bellbird.core.settings import Settings
from bellbird.entrypoints.rates import RateLimits
from bellbird.entrypoints.shared_windows import TOGETHER, SharedWindows
from bellbird.entrypoints.windows import GRAINS, Limit
from tests.servers import SOURCE, Redis, redis_server, wait_for

ANN = Actor.user(uuid4())
BEN = Actor.user(uuid4())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def client(server: Redis) -> Iterator["redis.Redis[Any]"]:
    """Redis as an operator sees it, empty at first."""
    with redis.Redis.from_url(server.url) as opened:
        opened.flushall()
        yield opened


Open = Callable[..., RateLimits]


@pytest.fixture
async def rates(server: Redis) -> AsyncIterator[Open]:
    """`rates(...)`: what one process has, over the test's Redis unless another `redis_url` is given."""
    opened = []

    def open_one(**given: Any) -> RateLimits:
        opened.append(RateLimits(Settings(_env_file=None, **{"redis_url": server.url, **given})))
        return opened[-1]

    yield open_one
    for each in opened:
        await each.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs many tests at once may be slow, and that is not what is tested."""
    monkeypatch.setattr(breaker, "TIMEOUT", 10.0)


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch, patient: None) -> None:
    """Redis is given as long as it is in truth."""
    monkeypatch.setattr(breaker, "TIMEOUT", TIMEOUT)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis is asked again after a moment."""
    monkeypatch.setattr(breaker, "PAUSE", 0.05)


async def ask(limits: RateLimits, tenant: UUID, actor: Actor = ANN) -> str:
    """`yes`, `no`, `unchecked` or `unavailable`."""
    headers: list[tuple[bytes, bytes]] = []
    try:
        await limits.check(tenant, actor, "read", headers)
    except RateLimited:
        return "no"
    except Unavailable:
        return "unavailable"
    return "yes" if headers else "unchecked"


def let_pass(client: "redis.Redis[Any]", seconds: float) -> None:
    """Have all that is counted be so much older."""
    for key in client.scan_iter("bellbird:rate:*"):
        pairs = client.lrange(key, 0, -1)
        for place in range(0, len(pairs), 2):
            client.lset(key, place, int(pairs[place]) - round(seconds * 10**6))


async def test_two_processes_worth_of_requests_are_admitted_up_to_the_limit(rates: Open) -> None:
    one, other = rates(rate_caller_read="100/minute"), rates(rate_caller_read="100/minute")
    tenant = uuid4()
    answers = await asyncio.gather(*(ask(each, tenant) for _ in range(250) for each in (one, other)))
    assert sorted(set(answers)) == ["no", "yes"]
    assert answers.count("yes") == 100
    assert one.failures == other.failures == 0


PROCESS = """
import asyncio, sys
from uuid import UUID
from bellbird.core.actors import Actor
from bellbird.core.errors import RateLimited
from bellbird.core.settings import Settings
from bellbird.entrypoints.rates import RateLimits

async def main(url, tenant):
    rates = RateLimits(Settings(_env_file=None, redis_url=url, rate_caller_read="500/minute"))
    admitted = 0
    for _ in range(60):
        asked = (rates.check(UUID(tenant), Actor("user", "ann"), "read", []) for _ in range(10))
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(answer is None or isinstance(answer, RateLimited) for answer in answers)
        admitted += answers.count(None)
    await rates.close()
    print(admitted, rates.failures)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_two_processes_share_one_limit(server: Redis) -> None:
    path = os.pathsep.join([str(SOURCE), *filter(None, sys.path)])
    command = [sys.executable, "-c", PROCESS, server.url, str(uuid4())]
    started = [
        subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) for _ in range(2)
    ]
    said = [process.communicate(timeout=60)[0].split() for process in started]
    assert sum(int(admitted) for admitted, _ in said) == 500
    assert [int(failures) for _, failures in said] == [0, 0]


async def test_the_headers_are_those_that_memory_gives(rates: Open, client: "redis.Redis[Any]") -> None:
    shared, tenant = rates(rate_caller_read="2/minute"), uuid4()
    alone = RateLimits(Settings(_env_file=None, rate_caller_read="2/minute"))
    for expected in (
        None,
        None,
        "This caller may read 2 times in 60 seconds, and has done so: try again in 60 seconds.",
    ):
        said = []
        for each in (shared, alone):
            headers: list[tuple[bytes, bytes]] = []
            try:
                await each.check(tenant, ANN, "read", headers)
                said.append((headers, None))
            except RateLimited as refused:
                said.append((headers, refused.detail))
        assert said[0] == said[1]
        assert said[0][1] == expected


async def test_what_one_limit_refuses_counts_against_none(rates: Open, client: "redis.Redis[Any]") -> None:
    limits, tenant = rates(rate_caller_read="2/minute", rate_tenant_read="3/minute"), uuid4()
    assert [await ask(limits, tenant, ANN) for _ in range(20)] == ["yes"] * 2 + ["no"] * 18
    assert [await ask(limits, tenant, BEN) for _ in range(20)] == ["yes"] + ["no"] * 19
    let_pass(client, 60)
    assert [await ask(limits, tenant, BEN) for _ in range(3)] == ["yes", "yes", "no"]


steps = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4)), max_size=20)


@given(steps=steps, amount=st.integers(1, 6))
async def test_a_request_is_admitted_exactly_if_fewer_were_in_the_window_before_it(
    rates: Open, client: "redis.Redis[Any]", steps: list[tuple[int, int]], amount: int
) -> None:
    limits, tenant = rates(rate_caller_read=f"{amount}/minute"), uuid4()
    admitted: list[int] = []
    now = 0
    for gap, burst in steps:
        now += gap
        let_pass(client, gap)
        for _ in range(burst):
            expected = sum(moment > now - 60 for moment in admitted) < amount
            assert await ask(limits, tenant) == ("yes" if expected else "no")
            admitted += [now] if expected else []


@settings(max_examples=3)
@given(gaps=st.lists(st.integers(1, 30), min_size=3, max_size=8))
async def test_counted_together_they_never_exceed_the_limit(
    rates: Open, client: "redis.Redis[Any]", gaps: list[int]
) -> None:
    amount = GRAINS + 100
    limits, tenant = rates(rate_caller_read=f"{amount}/minute"), uuid4()
    admitted: list[tuple[int, int]] = []
    now = 0
    for gap in gaps:
        now += gap
        let_pass(client, gap)
        in_window = sum(count for moment, count in admitted if moment > now - 60)
        answers = await asyncio.gather(*(ask(limits, tenant) for _ in range(500)))
        assert answers.count("yes") == min(500, amount - in_window)
        admitted.append((now, answers.count("yes")))
    key = next(client.scan_iter("bellbird:rate:*caller-read*"))
    assert client.llen(key) <= 2 * (GRAINS + 2)


async def test_keys_are_gone_when_nobody_comes_any_more(rates: Open, client: "redis.Redis[Any]") -> None:
    limits = rates(rate_caller_read="10/second", rate_tenant_read="10/hour")
    await ask(limits, uuid4())
    lives = sorted(client.pttl(key) for key in client.scan_iter("bellbird:rate:*"))
    assert len(lives) == 2
    assert 0 < lives[0] <= 1000 < lives[1] <= 3_600_000


async def test_a_clock_that_is_set_back_locks_nobody_out(rates: Open, client: "redis.Redis[Any]") -> None:
    limits, tenant = rates(rate_caller_read="2/minute"), uuid4()
    assert [await ask(limits, tenant) for _ in range(3)] == ["yes", "yes", "no"]
    let_pass(client, -3600)
    assert [await ask(limits, tenant) for _ in range(3)] == ["yes", "yes", "no"]


async def test_a_limit_that_was_lowered_is_told_as_used_up(rates: Open, client: "redis.Redis[Any]") -> None:
    tenant = uuid4()
    before, after = rates(rate_caller_read="5/minute"), rates(rate_caller_read="2/minute")
    assert [await ask(before, tenant) for _ in range(5)] == ["yes"] * 5
    headers: list[tuple[bytes, bytes]] = []
    with pytest.raises(RateLimited):
        await after.check(tenant, ANN, "read", headers)
    assert dict(headers)[b"ratelimit"].startswith(b'"caller-read";r=0;t=60')


async def test_a_redis_that_lost_its_scripts_is_given_them_again(rates: Open, client: "redis.Redis[Any]") -> None:
    limits, tenant = rates(), uuid4()
    assert await ask(limits, tenant) == "yes"
    client.script_flush()
    assert await ask(limits, tenant) == "yes"
    assert limits.failures == 0


async def test_whatever_a_caller_is_called_it_is_counted(rates: Open) -> None:
    limits, tenant = rates(rate_caller_read="1/minute"), uuid4()
    for name in ("{other}", "a:b", "\ud800", "\x00", "Zoë", "x" * 5000):
        assert [await ask(limits, tenant, Actor("user", name)) for _ in range(2)] == ["yes", "no"], repr(name)


@pytest.mark.parametrize(("fail_open", "meanwhile"), [(True, "unchecked"), (False, "unavailable")])
async def test_redis_killed_under_load_fails_as_configured_and_comes_back(
    rates: Open, tmp_path: Any, quick: None, fail_open: bool, meanwhile: str
) -> None:
    with redis_server(tmp_path) as mortal:
        limits, tenant = rates(redis_url=mortal.url, rate_fail_open=fail_open), uuid4()
        seen: list[str] = []
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                seen.append(await ask(limits, tenant))
                await asyncio.sleep(0)

        users = [asyncio.create_task(load()) for _ in range(20)]
        await asyncio.to_thread(wait_for, lambda: len(seen) > 200, "load")
        assert set(seen) == {"yes"}
        mortal.kill()
        await asyncio.to_thread(wait_for, lambda: seen[-200:] == [meanwhile] * 200, "requests without Redis")
        mortal.start()
        await asyncio.to_thread(wait_for, lambda: seen[-200:] == ["yes"] * 200, "counting again")
        stop.set()
        await asyncio.gather(*users)  # and nothing was raised
    assert set(seen) == {"yes", meanwhile}
    assert limits.failures > 0
    assert limits.unchecked == seen.count("unchecked")


async def test_a_redis_that_hangs_costs_its_time_out_once_a_pause(
    rates: Open, tmp_path: Any, brisk: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path) as hanging:
        limits, tenant = rates(redis_url=hanging.url), uuid4()
        assert await ask(limits, tenant) == "yes"
        hanging.freeze()
        started = time.monotonic()
        assert await ask(limits, tenant) == "unchecked"
        assert TIMEOUT <= time.monotonic() - started < TIMEOUT + 1
        started = time.monotonic()
        assert {await ask(limits, tenant) for _ in range(200)} == {"unchecked"}
        assert time.monotonic() - started < 1, "the others do not wait"
        assert limits.failures == 1

        monkeypatch.setattr(limits._shared._breaker, "_ask_at", 0.0)  # type: ignore[union-attr]
        started = time.monotonic()
        assert set(await asyncio.gather(*(ask(limits, tenant) for _ in range(200)))) == {"unchecked"}
        assert limits.failures == 2, "after the pause one asks for all"
        assert time.monotonic() - started < TIMEOUT + 1

        hanging.thaw()
        monkeypatch.setattr(breaker, "TIMEOUT", 10.0)
        monkeypatch.setattr(limits._shared._breaker, "_ask_at", 0.0)  # type: ignore[union-attr]
        headers: list[tuple[bytes, bytes]] = []
        await limits.check(tenant, BEN, "read", headers)
        assert dict(headers)[b"ratelimit"].startswith(b'"caller-read";r=29999;t=60'), "Ben's answer, not a late one"


async def test_a_redis_that_hangs_under_load_gives_every_connection_back(
    rates: Open, tmp_path: Any, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path) as hanging:
        limits, tenant = rates(redis_url=hanging.url), uuid4()
        for _ in range(3):
            hanging.freeze()
            monkeypatch.setattr(breaker, "TIMEOUT", TIMEOUT)
            started = time.monotonic()
            assert set(await asyncio.gather(*(ask(limits, tenant) for _ in range(100)))) == {"unchecked"}
            assert time.monotonic() - started < TIMEOUT + 1, "all of them wait at once"
            hanging.thaw()
            monkeypatch.setattr(breaker, "TIMEOUT", 10.0)
            await asyncio.sleep(0.06)
            assert await ask(limits, tenant) == "yes"
            failures = limits.failures
            assert set(await asyncio.gather(*(ask(limits, tenant) for _ in range(100)))) == {"yes"}
            assert limits.failures == failures


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-NOAUTH Authentication required.\r\n" * 9]
)
async def test_what_is_no_redis_is_never_an_error_of_ours(rates: Open, answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1") as impostor:
        host, port = impostor.sockets[0].getsockname()
        limits = rates(redis_url=f"redis://{host}:{port}")
        assert await ask(limits, uuid4()) == "unchecked"
        assert (limits.failures, limits.unchecked) == (1, 1)


async def test_a_redis_that_is_full_lets_requests_pass(rates: Open, tmp_path: Any) -> None:
    with redis_server(tmp_path) as full, redis.Redis.from_url(full.url) as client:
        client.config_set("maxmemory", 1)
        limits = rates(redis_url=full.url)
        assert await ask(limits, uuid4()) == "unchecked"
        assert limits.failures == 1


async def test_the_log_tells_of_it_once_and_when_it_is_over(
    rates: Open, tmp_path: Any, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "bellbird")
    with redis_server(tmp_path) as mortal:
        limits, tenant = rates(redis_url=mortal.url), uuid4()
        mortal.kill()
        for _ in range(5):
            await ask(limits, tenant)
            await asyncio.sleep(0.06)
        assert limits.failures >= 3
        (warning,) = caplog.messages
        assert warning.startswith("Redis, which counts requests, does not answer (ConnectionError: ")
        assert warning.endswith("requests pass uncounted, and it is asked once a second")
        mortal.start()
        assert await ask(limits, tenant) == "yes"
        assert caplog.messages[1:] == ["Redis, which counts requests, answers again"]


async def test_a_busy_process_asks_about_many_requests_together(server: Redis, client: "redis.Redis[Any]") -> None:
    client.config_resetstat()
    windows = SharedWindows(server.url, fail_open=False)
    limit = Limit("caller-read", "caller", "read", 10, 60)
    answers = await asyncio.gather(*(windows.take([limit], [(number % 30,)]) for number in range(900)))
    for caller in range(30):
        assert [bool(answer and answer[0]) for answer in answers[caller::30]] == [True] * 10 + [False] * 20
    assert windows.failures == 0
    assert client.info("stats")["total_connections_received"] == 1
    assert client.info("commandstats")["cmdstat_evalsha"]["calls"] <= 900 / TOGETHER + 3
    await windows.close()


async def test_a_request_that_is_given_up_takes_no_other_with_it(server: Redis) -> None:
    windows = SharedWindows(server.url, fail_open=False)
    limit = Limit("caller-read", "caller", "read", 10, 60)
    asking = [asyncio.create_task(windows.take([limit], [(uuid4().int,)])) for _ in range(10)]
    await asyncio.sleep(0)
    for each in asking[::2]:
        each.cancel()
    answers = await asyncio.gather(*asking, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True, False] * 5
    assert all(answer == (True, [(10, 60.0)]) for answer in answers[1::2])
    await windows.close()


async def test_a_process_that_is_busy_for_longer_than_the_time_out_still_hears_the_answer(
    rates: Open, brisk: None
) -> None:
    limits, tenant = rates(), uuid4()
    await ask(limits, tenant)
    asking = asyncio.create_task(ask(limits, tenant))
    for _ in range(3):
        await asyncio.sleep(0)  # the question is on its way
    time.sleep(TIMEOUT + 0.05)
    assert await asking == "yes"
    assert limits.failures == 0
