"""Rate limits as the doors use them: what is counted, what the headers say, what is refused and how."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from bellbird.core.actors import Actor
from bellbird.core.errors import RateLimited
from bellbird.core.settings import Settings, SettingsInvalid, load
from bellbird.entrypoints.rates import Kind, RateLimits

TENANT = uuid4()
ANN = Actor.user(uuid4())
BEN = Actor.user(uuid4())
KEY = Actor("key", ANN.id)


def rates(now: Callable[[], float] = lambda: 0.0, **given: Any) -> RateLimits:
    return RateLimits(Settings(_env_file=None, **given), now=now)


async def told(limits: RateLimits, actor: Actor = ANN, kind: Kind = "read", tenant: UUID = TENANT) -> dict[str, str]:
    """The headers of an answer, and `error` when it is refused."""
    headers: list[tuple[bytes, bytes]] = []
    error = {}
    try:
        await limits.check(tenant, actor, kind, headers)
    except RateLimited as refused:
        error = {"error": refused.detail, "retry-after": str(refused.retry_after)}
    return {name.decode(): value.decode() for name, value in headers} | error


async def admitted(limits: RateLimits, times: int, actor: Actor = ANN, kind: Kind = "read") -> int:
    answers = await asyncio.gather(*(told(limits, actor, kind) for _ in range(times)))
    return sum("error" not in answer for answer in answers)


async def test_of_500_at_once_exactly_the_limit_is_admitted() -> None:
    assert await admitted(rates(rate_caller_read="100/minute"), 500) == 100


async def test_reads_and_writes_callers_and_tenants_are_counted_apart() -> None:
    limits = rates(rate_caller_read="3/minute", rate_caller_write="2/minute", rate_tenant_write="3/minute")
    assert await admitted(limits, 10) == 3
    assert await admitted(limits, 10, KEY) == 3, "a key is not the user of the same id"
    assert await admitted(limits, 10, ANN, "write") == 2
    assert await admitted(limits, 10, BEN, "write") == 1, "the tenant had three"
    assert "error" not in await told(limits, ANN, "write", tenant=uuid4())


async def test_the_headers_tell_every_limit_and_how_it_stands() -> None:
    now = 0.0
    limits = rates(lambda: now)
    assert await told(limits) == {
        "ratelimit-policy": '"caller-read";q=30000;w=60, "tenant-read";q=120000;w=60',
        "ratelimit": '"caller-read";r=29999;t=60, "tenant-read";r=119999;t=60',
    }
    now = 12.5
    assert (await told(limits, BEN))["ratelimit"] == '"caller-read";r=29999;t=60, "tenant-read";r=119998;t=48'
    assert (await told(limits, kind="write"))["ratelimit-policy"] == (
        '"caller-write";q=12000;w=60, "tenant-write";q=30000;w=60'
    )


async def test_a_refusal_says_which_limit_and_when_to_come_back() -> None:
    now = 0.0
    limits = rates(lambda: now, rate_caller_write="2/minute", rate_tenant_write="1000/hour")
    assert await admitted(limits, 2, kind="write") == 2
    now = 17.2
    assert await told(limits, kind="write") == {
        "ratelimit-policy": '"caller-write";q=2;w=60, "tenant-write";q=1000;w=3600',
        "ratelimit": '"caller-write";r=0;t=43, "tenant-write";r=998;t=3583',
        "error": "This caller may write 2 times in 60 seconds, and has done so: try again in 43 seconds.",
        "retry-after": "43",
    }
    now = 60.0
    assert "error" not in await told(limits, kind="write"), "and then it is so"


async def test_of_two_limits_used_up_the_later_one_is_told() -> None:
    limits = rates(rate_caller_read="1/second", rate_tenant_read="1/hour")
    assert await admitted(limits, 1) == 1
    refused = await told(limits)
    assert refused["error"].startswith("This tenant may read 1 times in 3600 seconds")
    assert refused["retry-after"] == "3600"


async def test_a_wait_is_never_told_as_none() -> None:
    now = 0.0
    limits = rates(lambda: now, rate_caller_read="1/second")
    await told(limits)
    now = 0.9999
    assert (await told(limits))["error"].endswith("try again in 1 second.")


async def test_an_error_that_is_refused_is_a_429() -> None:
    limits = rates(rate_caller_read="1/minute")
    await limits.check(TENANT, ANN, "read", [])
    with pytest.raises(RateLimited) as refused:
        await limits.check(TENANT, ANN, "read", [])
    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (429, "rate_limited", 60)


async def test_without_limits_nothing_is_counted_and_nothing_said() -> None:
    limits = rates(rate_caller_read="", rate_tenant_read=" ", rate_address_auth="")
    assert await told(limits) == {}
    headers: list[tuple[bytes, bytes]] = []
    await limits.check_address("192.0.2.1", headers)
    assert headers == []
    assert len(limits._windows) == 0


async def test_one_limit_may_be_left_out() -> None:
    limits = rates(rate_tenant_read="")
    assert (await told(limits))["ratelimit"] == '"caller-read";r=29999;t=60'
    limits = rates(rate_caller_read="")
    assert (await told(limits))["ratelimit"] == '"tenant-read";r=119999;t=60'


@pytest.fixture
async def by_address() -> AsyncIterator[Callable[[str | None], Any]]:
    limits = rates(rate_address_auth="2/minute")

    async def attempt(address: str | None) -> str:
        headers: list[tuple[bytes, bytes]] = []
        try:
            await limits.check_address(address, headers)
        except RateLimited as refused:
            return refused.detail
        return dict(headers).get(b"ratelimit", b"").decode()

    yield attempt
    await limits.close()


async def test_attempts_to_sign_in_are_counted_by_address(by_address: Callable[[str | None], Any]) -> None:
    assert await by_address("192.0.2.1") == '"address-auth";r=1;t=60'
    assert await by_address("::ffff:192.0.2.1") == '"address-auth";r=0;t=60', "the same, told as IPv6"
    said = "This address may sign in 2 times in 60 seconds, and has done so: try again in 60 seconds."
    assert await by_address("192.0.2.1") == said
    assert await by_address("192.0.2.2") == '"address-auth";r=1;t=60'


async def test_of_ipv6_the_network_is_counted_that_one_subscriber_has(by_address: Callable[[str | None], Any]) -> None:
    answers = [await by_address(f"2001:db8:1:2::{host:x}") for host in range(5)]
    assert [answer.startswith("This address") for answer in answers] == [False, False, True, True, True]
    assert await by_address("2001:db8:1:3::1") == '"address-auth";r=1;t=60'
    assert await by_address("::1") == '"address-auth";r=1;t=60'
    assert await by_address("fe80::1%eth0") == '"address-auth";r=1;t=60'


async def test_a_client_without_an_address_is_not_counted(by_address: Callable[[str | None], Any]) -> None:
    assert [await by_address(None) for _ in range(5)] == [""] * 5
    assert await by_address("no address " * 100) == '"address-auth";r=1;t=60'


async def test_counting_needs_no_thread() -> None:
    before = threading.active_count()
    await admitted(rates(), 100)
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("given", "amount", "seconds"),
    [("5/second", 5, 1), ("10 per 5 minutes", 10, 300), (" 100 / hour ", 100, 3600), ("1/day", 1, 86400)],
)
async def test_a_limit_is_written_as_people_say_it(given: str, amount: int, seconds: int) -> None:
    limits = rates(rate_caller_read=given, rate_tenant_read="")
    assert (await told(limits))["ratelimit-policy"] == f'"caller-read";q={amount};w={seconds}'


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("many", "must be one rate such as 600/minute"),
        ("10", "must be one rate"),
        ("10/fortnight", "must be one rate"),
        ("10/second; 100/minute", "must be one rate"),
        ("-1/minute", "must be one rate"),
        ("0/minute", "must be 1 to 1000000000 requests"),
        ("10/month", "in a day at most"),
        ("9" * 5000 + "/minute", "must be one rate"),
    ],
)
def test_a_limit_that_cannot_be_is_told_at_the_start(given: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_RATE_TENANT_WRITE", given)
    with pytest.raises(SettingsInvalid, match=f"^(?s:.*)BELLBIRD_RATE_TENANT_WRITE: .*{said}"):
        load()


@pytest.mark.parametrize("given", ["localhost:6379", "http://redis/0", "redis://", "redis://:hunter2@h:x/0", "unix://"])
def test_an_address_of_redis_that_cannot_be_is_told_and_not_shown(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_REDIS_URL", given)
    with pytest.raises(SettingsInvalid, match="must look like redis://") as refused:
        load()
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("given", ["redis://redis", "rediss://:p@redis:6380/1", "unix:///run/redis.sock"])
def test_an_address_of_redis_is_taken_as_it_is(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_REDIS_URL", given)
    url = load().redis_url
    assert url
    assert url.get_secret_value() == given


def test_without_the_extra_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLBIRD_REDIS_URL", "redis://redis")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingsInvalid, match=r"pip install 'bellbird-crm\[redis\]'"):
        load()
