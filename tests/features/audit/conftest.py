"""A deployment of the test's own that signs its log, and the whole of what can be done to that as its superuser."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.features import audit, tenants
from bellbird.features.audit import Finding, Summary
from tests.conftest import SECRET

OPERATOR = Actor.system()


class Signed:
    """One tenant's log, signed, with somebody who can change anything in the database."""

    def __init__(self, engine: Engine, tenant: Tenant, owner: psycopg.Connection[Any]) -> None:
        self.engine = engine
        self.tenant = tenant
        self.owner = owner
        self.summary = Summary()

    def begin(self) -> Any:
        return self.engine.tenant(self.tenant.id, Actor.user("tester"))

    async def seal(self, *, of_all: bool = True, **options: Any) -> int:
        """Seal, by default when everybody's transactions are over that are open now, also in other databases."""
        if of_all:
            ((mine,),) = self.run("select pg_current_xact_id()::text")
            while self.run("select pg_snapshot_xmin(pg_current_snapshot()) > %s::text::xid8", mine) != [(True,)]:
                await asyncio.sleep(0.02)
        return await audit.seal(self.engine, OPERATOR, **options)

    async def verify(self, **options: Any) -> list[Finding]:
        self.summary = Summary()
        async with self.engine.system(OPERATOR) as tx:
            return [each async for each in audit.verify(tx, self.tenant.id, self.summary, **options)]

    def run(self, statement: str, *params: Any) -> list[Any]:
        cursor = self.owner.execute(statement.encode(), params or None)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
async def signed(clone: str) -> AsyncIterator[Signed]:
    """A tenant in a database of its own, as a deployment with a secret has it."""
    async with Engine(clone, secret=SECRET) as engine:
        async with engine.system(OPERATOR) as tx:
            tenant = await tenants.create(tx, "acme")
        with psycopg.connect(clone, autocommit=True) as owner:
            yield Signed(engine, tenant, owner)
