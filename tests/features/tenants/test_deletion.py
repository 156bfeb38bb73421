"""Deleting a tenant: nobody is in its way, nothing is left, and one that is interrupted is finished later."""

import asyncio
from typing import Any

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import TenantNotFound, TenantSuspended
from bellbird.core.tenants import Tenant
from bellbird.features import tenants
from bellbird.features.tenants import TenantBusy, TenantDeleting, deletion
from tests import make, people
from tests.conftest import Begin
from tests.people import cheap_passwords  # noqa: F401 - a fixture

OPERATOR = Actor.system()
TABLES = ("contacts", "events", "memberships", "sessions", "refresh_tokens", "tenants")


def left(owner: psycopg.Connection[Any], tenant: Tenant) -> dict[str, int]:
    """How many rows each table has of the tenant."""
    found = {}
    for table in TABLES:
        column = "id" if table == "tenants" else "tenant_id"
        row = owner.execute(f"select count(*) from {table} where {column} = %s".encode(), [tenant.id]).fetchone()
        found[table] = row[0] if row else 0
    return {table: count for table, count in found.items() if count}


async def test_who_began_to_write_before_is_waited_for_and_leaves_nothing(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        await tx.writable()
        deleting = asyncio.create_task(tenants.delete(engine, OPERATOR, tenant.id))
        await asyncio.sleep(0.3)
        assert not deleting.done()
        assert owner.execute("select status from tenants where id = %s", [tenant.id]).fetchone() == ("deleting",)
        with pytest.raises(TenantSuspended):
            async with begin() as later:
                await make.contact(later)
        # Only now does it write its first row: no number of a transaction told that it would.
        await make.contact(tx)
    removed = await deleting
    assert removed["contacts"] == 1
    assert left(owner, tenant) == {}


async def test_a_transaction_that_stays_open_is_named_and_the_deletion_can_be_run_again(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "PATIENCE", 0.1)
    async with begin() as tx:
        await make.contact(tx)
        row = await tx.one("select pg_backend_pid()")
        with pytest.raises(TenantBusy, match=str(row and row[0])):
            await tenants.delete(engine, OPERATOR, tenant.id)
    assert left(owner, tenant) == {"contacts": 1, "events": 3, "tenants": 1}
    await tenants.delete(engine, OPERATOR, tenant.id)
    assert left(owner, tenant) == {}


async def test_a_transaction_of_somebody_who_never_read_a_tenant_is_not_waited_for(
    engine: Engine, tenant: Tenant, owner_conninfo: str
) -> None:
    with psycopg.connect(owner_conninfo) as somebody:
        somebody.execute("select pg_current_xact_id()")
        async with asyncio.timeout(5):
            await tenants.delete(engine, OPERATOR, tenant.id)


@pytest.mark.parametrize("survived", range(0, 12, 2))
async def test_one_that_is_killed_is_finished_by_the_next(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch, survived: int,
) -> None:  # fmt: skip
    monkeypatch.setattr(deletion, "BATCH", 2)
    for name in ("DELETE", "HOLD_USERS"):
        monkeypatch.setattr(deletion, name, getattr(deletion, name).replace("limit 10000", "limit 2"))
    async with begin() as tx:
        for _ in range(5):
            await make.contact(tx)
            await people.user(tx)
    run, count = deletion.SystemTx.run, 0

    async def killed(self: Any, *args: Any) -> int:
        nonlocal count
        count += 1
        if count > survived + 2:
            raise KeyboardInterrupt
        return await run(self, *args)

    with monkeypatch.context() as patched:
        patched.setattr(deletion.SystemTx, "run", killed)
        with pytest.raises(KeyboardInterrupt):
            await tenants.delete(engine, OPERATOR, tenant.id)
    for verb in (tenants.resume, tenants.suspend, tenants.set):
        with pytest.raises(TenantDeleting):
            async with engine.system(OPERATOR) as system:
                await verb(system, tenant.id)
    await tenants.delete(engine, OPERATOR, tenant.id)
    assert left(owner, tenant) == {}
    with pytest.raises(TenantNotFound):
        await tenants.delete(engine, OPERATOR, tenant.id)


async def test_people_stay_who_belong_to_another_tenant(
    engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        ann, bob = await people.user(tx), await people.user(tx)
    async with begin(other_tenant) as tx:
        await people.invited(tx, email=ann.email)
    removed = await tenants.delete(engine, OPERATOR, tenant.id)
    assert (removed["users"], removed["memberships"]) == (1, 2)
    rows = owner.execute("select id from users where id = any(%s)", [[ann.id, bob.id]]).fetchall()
    assert rows == [(ann.id,)]


async def test_somebody_who_is_added_elsewhere_at_this_moment_is_not_lost(
    engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async with begin() as tx:
        ann = await people.user(tx)
    # As if they had been begun to be added only after writers had been waited for.
    monkeypatch.setattr(deletion, "READERS", "select ''::text, 0 where false")
    async with begin(other_tenant) as tx:
        await people.invited(tx, email=ann.email)
        await tx.flush()
        deleting = asyncio.create_task(tenants.delete(engine, OPERATOR, tenant.id))
        await asyncio.sleep(0.3)
        assert not deleting.done()
    assert (await deleting)["users"] == 0
    assert owner.execute("select count(*) from users where id = %s", [ann.id]).fetchone() == (1,)


async def test_somebody_who_has_just_gone_is_made_anew(
    engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        ann = await people.user(tx)

    async def add() -> Any:
        async with begin(other_tenant) as tx:
            return await people.invited(tx, email=ann.email)

    async with engine.system(OPERATOR) as system:
        await system.run("delete from users where id = $1", ann.id)
        adding = asyncio.create_task(add())
        await asyncio.sleep(0.2)
        assert not adding.done()
    bob = await adding
    assert bob.id != ann.id
    assert owner.execute("select count(*) from users where id = %s", [bob.id]).fetchone() == (1,)


async def test_its_jobs_go_with_it(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        await tx.writable()
        tx.defer("operations.run", number=1)
    asked = "select count(*) from procrastinate.procrastinate_jobs where args ->> 'tenant_id' = %s"
    assert owner.execute(asked, [str(tenant.id)]).fetchone() == (1,)
    await tenants.delete(engine, OPERATOR, tenant.id)
    assert owner.execute(asked, [str(tenant.id)]).fetchone() == (0,)
