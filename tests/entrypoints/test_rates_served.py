"""Rate limits of a server as it runs: one process by itself, and two that share a Redis, which is killed under load."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from bellbird.core.clock import SystemClock
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.tokens import Tokens
from tests.conftest import SECRET
from tests.servers import Redis, Serving, redis_server, serving, wait_for


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Redis]:
    with redis_server(tmp_path) as running:
        yield running


def client(served: Serving, tenant: Tenant) -> httpx.AsyncClient:
    """The API as a user of its own sees it, on twenty connections."""
    token = Tokens(SECRET, SystemClock()).make(tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=("owner",))
    return httpx.AsyncClient(
        base_url=f"{served.url}/api/v1",
        headers={"Authorization": f"Bearer {token}"},
        limits=httpx.Limits(max_connections=20),
        timeout=20,
    )


async def statuses(api: httpx.AsyncClient, times: int, path: str = "/contacts?limit=1") -> Counter[int]:
    answers = await asyncio.gather(*(api.get(path) for _ in range(times)))
    return Counter(answer.status_code for answer in answers)


async def test_one_process_admits_exactly_the_limit(tmp_path: Path, owner_conninfo: str, tenant: Tenant) -> None:
    given = {"rate_caller_read": "100/minute", "rate_caller_write": "5/minute"}
    with serving(tmp_path, database_url=owner_conninfo, secret=SECRET, **given) as served:
        async with client(served, tenant) as api:
            assert await statuses(api, 300) == {200: 100, 429: 200}
            refused = await api.get("/contacts")
            made = [await api.post("/contacts", json={"first_name": "Ann"}) for _ in range(6)]
    assert [answer.status_code for answer in made] == [201] * 5 + [429], "writes are counted apart"
    assert made[0].headers["ratelimit"] == '"caller-write";r=4;t=60, "tenant-write";r=29999;t=60'
    problem = refused.json()
    assert (problem["status"], problem["code"]) == (429, "rate_limited")
    assert problem["detail"].startswith("This caller may read 100 times in 60 seconds, and has done so: try again in ")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit-policy"].startswith('"caller-read";q=100;w=60, ')
    assert refused.headers["ratelimit"].startswith(f'"caller-read";r=0;t={refused.headers["retry-after"]}, ')


async def test_two_processes_admit_the_limit_within_five_in_a_hundred(
    tmp_path: Path, owner_conninfo: str, tenant: Tenant, shared: Redis
) -> None:
    given = {"redis_url": shared.url, "rate_caller_read": "200/minute"}
    with serving(tmp_path, workers=2, database_url=owner_conninfo, secret=SECRET, **given) as served:
        async with client(served, tenant) as api:
            found = await statuses(api, 600)
        with redis.Redis.from_url(shared.url) as operator:
            connected = {each["addr"] for each in operator.client_list()}
    assert set(found) == {200, 429}
    assert 190 <= found[200] <= 210, found
    assert len(connected) >= 3, "both processes counted (the third is the operator)"


@pytest.mark.parametrize(("fail_open", "meanwhile"), [("true", 200), ("false", 503)])
async def test_redis_killed_under_load_is_answered_as_configured_and_counts_again_when_it_is_back(
    tmp_path: Path, owner_conninfo: str, tenant: Tenant, shared: Redis, fail_open: str, meanwhile: int
) -> None:
    given = {"redis_url": shared.url, "rate_fail_open": fail_open}
    seen: list[tuple[int, bool]] = []
    stop = asyncio.Event()

    async def load(api: httpx.AsyncClient) -> None:
        while not stop.is_set():
            answer = await api.get("/contacts?limit=1")
            seen.append((answer.status_code, "ratelimit" in answer.headers))
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "1"
                assert answer.json()["code"] == "unavailable"

    async def until(expected: tuple[int, bool]) -> None:
        await asyncio.to_thread(wait_for, lambda: seen[-100:] == [expected] * 100, f"{expected}, at last")

    with serving(tmp_path, workers=2, database_url=owner_conninfo, secret=SECRET, **given) as served:
        async with client(served, tenant) as api:
            users = [asyncio.create_task(load(api)) for _ in range(10)]
            await until((200, True))
            shared.kill()
            await until((meanwhile, False))
            shared.start()
            await until((200, True))
            stop.set()
            await asyncio.gather(*users)
    assert set(seen) == {(200, True), (meanwhile, False)}
    assert "Traceback" not in served.log.read_text()


async def test_attempts_to_sign_in_are_limited_by_address(tmp_path: Path, owner_conninfo: str) -> None:
    body: dict[str, Any] = {"email": "ann@acme.example", "password": "wrong-horse-battery"}
    with serving(tmp_path, database_url=owner_conninfo, secret=SECRET, rate_address_auth="3/minute") as served:
        async with httpx.AsyncClient(base_url=f"{served.url}/api/v1", timeout=20) as api:
            answers = [await api.post("/auth/sign-in", json=body) for _ in range(5)]
    assert [answer.status_code for answer in answers[3:]] == [429, 429]
    assert 429 not in [answer.status_code for answer in answers[:3]]
    assert answers[3].json()["detail"].startswith("This address may sign in 3 times in 60 seconds")
