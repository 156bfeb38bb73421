"""A Bellbird of the tests' own, over an embedded PostgreSQL, whose clock stands still until a test moves it."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from bellbird import Actor, Bellbird, FakeClock, Settings, tenants

# Wednesday, 10 in the morning in Sydney: an hour at which people may be called.
MORNING = datetime(2026, 12, 1, 23, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> FakeClock:
    """The time, as far as Bellbird and the simulated telephones know."""
    return FakeClock(MORNING)


@pytest_asyncio.fixture
async def bellbird(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Bellbird]:
    """Bellbird with one tenant, acme."""
    async with Bellbird(Settings(data_dir=tmp_path / "data"), clock=clock) as opened:
        async with opened.system(Actor.system("tests")) as tx:
            await tenants.create(tx, "acme")
        yield opened
