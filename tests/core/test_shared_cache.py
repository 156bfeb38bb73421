"""The cache that processes share, over a real Redis: the same bytes come back, and whatever goes wrong is a miss."""

import logging
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from bellbird.core import breaker
from bellbird.core.breaker import TIMEOUT
from bellbird.core.shared_cache import PREFIX, SEAL, SharedCache
from tests.servers import Redis, free_port, redis_server

SECRET = "only-for-tests"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that runs many tests at once may be slow, and that is not what is tested."""
    monkeypatch.setattr(breaker, "TIMEOUT", 10.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
def client(server: Redis) -> Iterator["redis.Redis[Any]"]:
    """Redis as somebody sees it who may write into it; empty at first."""
    with redis.Redis.from_url(server.url) as opened:
        opened.flushall()
        yield opened


@pytest.fixture
async def cache(server: Redis, client: "redis.Redis[Any]") -> AsyncIterator[SharedCache]:
    made = SharedCache(server.url, SECRET)
    yield made
    await made.close()


async def test_what_one_process_keeps_another_finds(cache: SharedCache, server: Redis) -> None:
    other = SharedCache(server.url, SECRET)
    assert await other.get("actor:1") is None
    await cache.set("actor:1", b"bytes", 300)
    assert await other.get("actor:1") == b"bytes"
    assert (other.hits, other.misses, other.failures) == (1, 1, 0)
    await other.close()


@given(key=st.text(), value=st.binary())
async def test_any_bytes_come_back_as_they_were(cache: SharedCache, key: str, value: bytes) -> None:
    await cache.set(key, value, 300)
    assert await cache.get(key) == value


@pytest.mark.parametrize("value", [b"", b"0", b"123", b"bytes:x", b"a:b", pickle.dumps({"a": 1}), b"\xff" * 100_000])
async def test_bytes_that_look_like_something_else_come_back_too(cache: SharedCache, value: bytes) -> None:
    await cache.set("k", value, 300)
    assert await cache.get("k") == value


async def test_keys_are_our_own_and_end(cache: SharedCache, client: "redis.Redis[Any]") -> None:
    await cache.set("actor:1", b"x", 300)
    assert client.keys() == [b"bellbird:cache:actor:1"]
    assert 290 < client.ttl("bellbird:cache:actor:1") <= 300


class Exploit:
    """As a pickle, it runs."""

    ran = False

    def __reduce__(self) -> Any:
        return setattr, (Exploit, "ran", True)


@pytest.mark.parametrize("planted", [pickle.dumps(Exploit()), b"123", b"", b"bytes:owner", b"x" * SEAL, b"x" * 100])
async def test_what_somebody_else_wrote_is_a_miss_and_never_unpickled(
    cache: SharedCache, client: "redis.Redis[Any]", planted: bytes
) -> None:
    client.set(PREFIX + "k", planted)
    assert await cache.get("k") is None
    assert (Exploit.ran, cache.hits, cache.misses, cache.failures) == (False, 0, 1, 0)


async def test_what_was_kept_under_another_key_or_with_another_secret_is_a_miss(
    cache: SharedCache, client: "redis.Redis[Any]", server: Redis
) -> None:
    await cache.set("owner", b"everything", 300)
    client.copy(PREFIX + "owner", PREFIX + "agent")
    assert await cache.get("agent") is None
    stranger = SharedCache(server.url, "another-secret")
    assert await stranger.get("owner") is None
    await stranger.close()


async def test_a_key_of_another_kind_is_a_miss(cache: SharedCache, client: "redis.Redis[Any]") -> None:
    client.lpush(PREFIX + "k", "x")
    assert await cache.get("k") is None
    assert cache.failures == 1


async def test_without_redis_everything_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bellbird")
    alone = SharedCache(f"redis://127.0.0.1:{free_port()}/0", SECRET)
    await alone.set("k", b"x", 300)
    assert [await alone.get("k") for _ in range(10)] == [None] * 10
    assert (alone.hits, alone.misses, alone.failures) == (0, 10, 1)
    (warning,) = caplog.messages
    assert warning.startswith("Redis, which caches, does not answer (CacheBackendInteractionError")
    assert "the database is asked instead" in warning
    await alone.close()


async def test_a_redis_that_hangs_costs_its_time_out_once_and_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redis_server(tmp_path) as hanging:
        cache = SharedCache(hanging.url, SECRET)
        await cache.set("k", b"x", 300)
        hanging.freeze()
        monkeypatch.setattr(breaker, "TIMEOUT", TIMEOUT)
        started = time.monotonic()
        assert [await cache.get("k") for _ in range(100)] == [None] * 100
        assert TIMEOUT <= time.monotonic() - started < TIMEOUT + 1
        assert cache.failures == 1
        hanging.thaw()
        monkeypatch.setattr(breaker, "TIMEOUT", 10.0)
        monkeypatch.setattr(cache._breaker, "_ask_at", 0.0)
        assert await cache.get("k") == b"x"
        await cache.close()


async def test_the_cache_has_no_threads_and_its_library_logs_nothing(
    cache: SharedCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    before = threading.active_count()
    await cache.set("k", b"x", 300)
    await cache.get("k")
    assert threading.active_count() == before
    assert [record for record in caplog.records if record.name.startswith(("cashews", "redis"))] == []


async def test_a_cache_that_was_never_asked_can_be_closed() -> None:
    await SharedCache("redis://127.0.0.1:1", SECRET).close()
