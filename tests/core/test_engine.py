"""Transactions: committed when the block ends well, otherwise not; cancelled, lost and failed ones harm nobody else."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core import migrate
from bellbird.core.actors import Actor
from bellbird.core.connection import Pending
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import BellbirdError, NotSignedIn, Unavailable
from bellbird.core.events import Event
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, tenants
from tests import make
from tests.conftest import Begin, Server


@pytest.fixture
async def small(server: Server, database: str) -> AsyncIterator[Engine]:
    """An engine with one connection, so that one left in a bad state is met again."""
    async with Engine(server.conninfo(database), pool_size=1, pool_timeout=2) as engine:
        yield engine


async def test_what_was_done_in_a_block_that_ended_well_is_there(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        made = await make.contact(tx)
    assert await contacts.get(read, made.id) == made


async def test_what_was_done_in_a_block_that_raised_is_not(begin: Begin, read: ReadTx) -> None:
    with pytest.raises(LookupError):
        async with begin() as tx:
            await make.contact(tx)
            await tx.flush()
            raise LookupError
    assert (await contacts.page(read)).data == ()


async def test_a_failed_transaction_cannot_be_committed_by_ignoring_the_error(begin: Begin, read: ReadTx) -> None:
    with pytest.raises(Unavailable, match="had failed before"):
        async with begin() as tx:
            await make.contact(tx)
            with pytest.raises(psycopg.errors.DivisionByZero):
                await tx.all("select 1/0")
    assert (await contacts.page(read)).data == ()


async def test_an_empty_transaction_asks_nothing(engine: Engine, tenant: Tenant, actor: Actor) -> None:
    async with Engine("postgresql:///nowhere?host=/nonexistent") as nowhere, nowhere.tenant(tenant.id, actor):
        pass


async def test_a_reader_cannot_write(read: ReadTx) -> None:
    with pytest.raises(Unavailable):
        await read.all("delete from contacts where tenant_id = $1", read.tenant_id)
    with pytest.raises(AttributeError):
        await make.contact(read)  # type: ignore[arg-type]


async def test_a_tenant_that_does_not_exist_is_nobody(engine: Engine, actor: Actor) -> None:
    with pytest.raises(NotSignedIn, match="does not exist"):
        await contacts.page(engine.reader(uuid4(), actor))
    with pytest.raises(NotSignedIn, match="does not exist"):
        async with engine.tenant(uuid4(), actor) as tx:
            await make.contact(tx)


async def test_a_cancelled_transaction_is_rolled_back_and_its_connection_serves_on(
    small: Engine, tenant: Tenant, actor: Actor
) -> None:
    async def slow() -> None:
        async with small.tenant(tenant.id, actor) as tx:
            await make.contact(tx)
            await tx.all("select pg_sleep(30)")

    for _ in range(3):
        task = asyncio.create_task(slow())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        assert await asyncio.wait_for(small.reader(tenant.id, actor).all("select 1"), 5) == [(1,)]
    assert (await contacts.page(small.reader(tenant.id, actor))).data == ()


async def test_a_cancelled_read_leaves_the_pool_healthy(small: Engine, tenant: Tenant, actor: Actor) -> None:
    for _ in range(3):
        task = asyncio.create_task(small.reader(tenant.id, actor).all("select pg_sleep(30)"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)
        async with small.tenant(tenant.id, actor) as tx:
            await make.contact(tx)
    assert len((await contacts.page(small.reader(tenant.id, actor))).data) == 3


async def test_a_request_cancelled_at_any_moment_leaves_the_pool_healthy(
    small: Engine, tenant: Tenant, actor: Actor
) -> None:
    async def write() -> None:
        async with small.tenant(tenant.id, actor) as tx:
            await make.contact(tx)

    committed = 0
    for delay in range(40):
        task = asyncio.create_task(write())
        await asyncio.sleep(delay * 0.0002)
        task.cancel()
        try:
            await asyncio.wait_for(task, 5)
            committed += 1
        except asyncio.CancelledError:
            pass
        assert await asyncio.wait_for(small.reader(tenant.id, actor).all("select 1"), 5) == [(1,)]
    # A COMMIT that was on its way when the request was cancelled may have got through.
    assert len((await contacts.page(small.reader(tenant.id, actor))).data) >= committed


async def kill(connection: psycopg.Connection[Any], sql: str) -> None:
    """Cut off whoever runs a statement."""
    for _ in range(500):
        found = connection.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where query like %s and state = 'active'"
            " and pid <> pg_backend_pid() and datname = current_database()", [f"%{sql}%"],
        ).fetchall()  # fmt: skip
        if found:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"nobody runs {sql}")


async def test_a_read_that_lost_its_connection_is_asked_again_once(
    small: Engine, tenant: Tenant, actor: Actor, owner: psycopg.Connection[Any]
) -> None:
    question = "select pg_sleep(0.7), 'again'"
    asked = asyncio.create_task(small.reader(tenant.id, actor).all(question))
    await kill(owner, "'again'")
    assert (await asked)[0][1] == "again"
    asked = asyncio.create_task(small.reader(tenant.id, actor).all(question))
    for _ in range(2):
        await kill(owner, "'again'")
    with pytest.raises(Unavailable):
        await asked


async def test_a_transaction_that_lost_its_connection_is_not_asked_again(
    small: Engine, tenant: Tenant, actor: Actor, owner: psycopg.Connection[Any]
) -> None:
    async def write() -> None:
        async with small.tenant(tenant.id, actor) as tx:
            await make.contact(tx)
            await tx.all("select pg_sleep(30), 'lost'")

    task = asyncio.create_task(write())
    await kill(owner, "'lost'")
    with pytest.raises(Unavailable):
        await task
    assert (await contacts.page(small.reader(tenant.id, actor))).data == ()


async def test_a_database_that_is_not_there_is_unavailable_soon(tenant: Tenant, actor: Actor) -> None:
    async with Engine("postgresql:///nowhere?host=/nonexistent", pool_timeout=0.3) as nowhere:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(nowhere.reader(tenant.id, actor).all("select 1"), 3)
        with pytest.raises(Unavailable):
            async with nowhere.tenant(tenant.id, actor) as tx:
                await tx.tenant()


async def test_what_is_queued_goes_with_the_next_question(tx: Any) -> None:
    first = tx.queue("select 1")
    assert first.rows == []
    assert await tx.one("select 2") == (2,)
    assert first.rows == [(1,)]
    assert isinstance(first, Pending)


async def test_one_of_nothing_is_none(tx: Any) -> None:
    assert await tx.one("select 1 where false") is None


async def test_a_writer_obeys_the_tenants_settings_as_they_are_now(
    engine: Engine, tenant: Tenant, begin: Begin, actor: Actor
) -> None:
    async with begin() as tx:
        await make.contact(tx, email="a@b.example")
    async with engine.system(Actor.system()) as system:
        await tenants.set(system, tenant.id, duplicate_policy="reject")
    with pytest.raises(contacts.DuplicateContact):
        async with begin() as tx:
            await make.contact(tx, email="a@b.example")


async def test_emitting_before_asking_for_the_tenant_is_a_mistake_of_ours(begin: Begin) -> None:
    with pytest.raises(AssertionError, match=r"begins with tx.writable"):
        async with begin() as tx:
            tx.emit(Event("contact.created", uuid4()))


async def test_fifty_transactions_share_ten_connections(begin: Begin, read: ReadTx) -> None:
    async def one() -> None:
        async with begin() as tx:
            await make.contact(tx)

    await asyncio.gather(*(one() for _ in range(50)))
    assert len((await contacts.page(read, contacts.Query(limit=200))).data) == 50


def test_every_error_says_something_by_itself() -> None:
    for error in (BellbirdError(), Unavailable(), NotSignedIn()):
        assert str(error) == error.title()


async def test_a_database_tells_its_revision_or_that_bellbird_was_never_set_up_in_it(
    clone: str, engine: Engine, owner_conninfo: str
) -> None:
    assert await engine.revision() == migrate.latest()
    with psycopg.connect(clone, autocommit=True) as connection:
        connection.execute("drop table alembic_version")
    async with Engine(clone) as other:
        assert await other.revision() is None
        assert await other.revision() is None, "the connection is of use again"
