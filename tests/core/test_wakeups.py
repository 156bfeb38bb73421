"""Wake-ups: one soon after a commit that appended, at most one in 20 ms, and none in anybody's transaction."""

import asyncio
from typing import Any

import psycopg
import pytest

from bellbird.core.engine import Engine
from bellbird.core.wakeups import PAUSE, Listener, Wakeups
from tests import make
from tests.conftest import RollBack
from tests.core.test_consumers import TESTER, some_tenants


@pytest.fixture
async def alone(clone: str) -> Any:
    async with Engine(clone) as engine:
        yield engine


async def test_a_commit_that_appended_wakes_whoever_listens(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    await asyncio.sleep(3 * PAUSE)
    listener = Listener(alone.connect)
    try:
        assert await listener.wait(5), "somebody new looks once"
        assert not await listener.wait(0.1)
        async with alone.tenant(tenant.id, TESTER) as tx:
            await make.contact(tx)
        assert await listener.wait(5)
        assert not await listener.wait(0.1)
        with pytest.raises(RollBack):
            async with alone.tenant(tenant.id, TESTER) as tx:
                await make.contact(tx)
                raise RollBack
        async with alone.tenant(tenant.id, TESTER) as tx:
            await tx.all("select 1")
        assert not await listener.wait(0.1), "nothing was appended"
    finally:
        await listener.close()


async def test_many_commits_send_few(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)

    async def write() -> None:
        async with alone.tenant(tenant.id, TESTER) as tx:
            await make.contact(tx)

    began, before = asyncio.get_running_loop().time(), alone.wakeups.sent
    for _ in range(10):
        await asyncio.gather(*(write() for _ in range(10)))
    seconds = asyncio.get_running_loop().time() - began
    assert 1 <= alone.wakeups.sent - before <= seconds / PAUSE + 2


async def test_one_between_two_waits_is_not_lost(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    await asyncio.sleep(3 * PAUSE)
    listener = Listener(alone.connect)
    try:
        await listener.wait(1)
        for _ in range(5):
            async with alone.tenant(tenant.id, TESTER) as tx:
                await make.contact(tx)
            await asyncio.sleep(3 * PAUSE)
            assert await listener.wait(1)
    finally:
        await listener.close()


async def test_a_listener_whose_connection_is_cut_looks_and_listens_on(alone: Engine, clone: str) -> None:
    (tenant,) = await some_tenants(alone, 1)
    await asyncio.sleep(3 * PAUSE)
    listener = Listener(alone.connect)
    try:
        await listener.wait(1)
        with psycopg.connect(clone, autocommit=True) as owner:
            owner.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen bellbird_events'"
            )
        assert await listener.wait(5), "one may have been lost with the connection"
        assert await listener.wait(5), "it is new once more"
        async with alone.tenant(tenant.id, TESTER) as tx:
            await make.contact(tx)
        assert await listener.wait(5)
    finally:
        await listener.close()


async def test_nobody_to_send_to_harms_nobody() -> None:
    async def refused() -> Any:
        raise psycopg.OperationalError("nobody there")

    wakeups, listener = Wakeups(refused), Listener(refused)
    wakeups.send()
    await wakeups.close()
    assert (wakeups.sent, wakeups.failed) == (0, 1)
    assert await listener.wait(0.05), "then it is polled"
