"""Connections that are lent out come back, whatever becomes of whoever had them."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from bellbird.core.engine import APP_ROLE
from bellbird.core.pool import Pool


@pytest.fixture
async def pool(owner_conninfo: str) -> AsyncIterator[Pool]:
    """One connection for everybody."""
    made = Pool(owner_conninfo, APP_ROLE, 1, 2.0, True)
    yield made
    await made.close()


async def test_who_is_cancelled_while_handing_a_connection_on_does_not_take_it_along(pool: Pool) -> None:
    held = await pool.take()
    waiting = asyncio.create_task(pool.take())
    await asyncio.sleep(0.05)
    (queued,) = pool._pool._waiting
    await queued._cond.acquire()  # what the one that waits does for a moment whenever it looks up
    giving = asyncio.create_task(pool.give_back(held))
    await asyncio.sleep(0)
    giving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await giving
    queued._cond.release()
    assert await waiting is held
    await pool.give_back(held)
    stats = pool.stats()
    assert (stats["pool_size"], stats["pool_available"]) == (1, 1)


async def test_many_that_are_cancelled_at_any_moment_leave_every_connection_behind(owner_conninfo: str) -> None:
    pool, chance = Pool(owner_conninfo, APP_ROLE, 3, 2.0, True), random.Random(7)

    async def borrow() -> None:
        async with asyncio.timeout(chance.uniform(0, 0.01)):
            connection = await pool.take()
            try:
                await asyncio.sleep(0)
            finally:
                await pool.give_back(connection)

    for _ in range(20):
        await asyncio.gather(*(borrow() for _ in range(40)), return_exceptions=True)
    await asyncio.sleep(0.1)
    for _ in range(3):
        await pool.give_back(await pool.take())
    stats = pool.stats()
    assert stats["pool_available"] == stats["pool_size"]
    await pool.close()
