"""What tests of calls share: a provider that does what it is told, and a look into the database."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from tests.features.calls.carrier import Carrier, connect

Look = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
async def carrier(engine: Engine, tenant: Tenant) -> Carrier:
    """The provider of the test's tenant."""
    made = Carrier()
    await connect(engine, tenant, made)
    return made


@pytest.fixture
def look(owner: psycopg.Connection[Any]) -> Look:
    """`look("select ... where id = %s", id)`: what is there for whoever sees everything."""
    return lambda sql, *params: owner.execute(sql.encode(), params).fetchall()
