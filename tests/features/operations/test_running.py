"""Operations as they are done: batch by batch, each once, whoever is killed."""

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.features import keys, operations, tenants, users
from bellbird.features.keys import NewKey
from bellbird.features.operations import (
    ItemError,
    NewOperation,
    NotUndoable,
    Operation,
    OperationFinished,
    OperationNotFound,
    Running,
    Step,
    Work,
    jobs,
    kinds,
    running,
)
from tests import make, people
from tests.conftest import Begin
from tests.people import cheap_passwords  # noqa: F401 - a fixture


class Count(Struct, frozen=True, forbid_unknown_fields=True):
    """Up to which number it counts, and how many in a batch."""

    to: int
    at_once: int = 10


class Counting(Work[Count]):
    """Makes a contact for each number: what is there twice was done twice."""

    undoable: ClassVar[bool] = True
    fails: ClassVar[dict[int, Exception]] = {}
    gate: ClassVar[asyncio.Event | None] = None

    async def check(self, tx: Tx, params: Count) -> None:
        if params.to < 0:
            raise InvalidInput("Cannot count backwards.")

    async def plan(self, tx: Tx, operation: Running[Count]) -> int | None:
        return operation.params.to

    async def batch(self, tx: Tx, operation: Running[Count], position: Any) -> Step:
        at = position or 0
        upto = min(at + operation.params.at_once, operation.params.to)
        for number in range(at, upto):
            await make.contact(tx, first_name=f"No {number}")
        if self.gate is not None:
            await self.gate.wait()
        if at in self.fails:
            await tx.flush()
            raise self.fails[at]
        errors = [ItemError(uuid4(), "no_thirteen", "Unlucky.")] if at <= 13 < upto else []
        return Step(upto, upto - at, upto == operation.params.to, errors, result={"counted": upto})

    async def undo(self, tx: Tx, operation: Running[Count], position: Any) -> Step:
        gone = await tx.run("delete from contacts where tenant_id = $1", tx.tenant_id)
        return Step(None, gone, True)


@pytest.fixture(autouse=True)
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Counting]]:
    """A kind of operation for the tests."""
    kinds.KINDS["test.count"] = kinds.Kind("test.count", "contacts:write", Count, Counting())
    monkeypatch.setattr(Counting, "fails", {})
    yield Counting
    del kinds.KINDS["test.count"]


async def started(begin: Begin, to: int = 25, **params: Any) -> UUID:
    async with begin() as tx:
        return (await operations.start(tx, NewOperation(kind="test.count", params={"to": to, **params}))).id


def names(owner: psycopg.Connection[Any], tenant: Tenant) -> list[str]:
    rows = owner.execute("select first_name from contacts where tenant_id = %s", [tenant.id]).fetchall()
    return sorted(row[0] for row in rows)


def numbers(upto: int) -> list[str]:
    return sorted(f"No {number}" for number in range(upto))


def told(owner: psycopg.Connection[Any], id: UUID) -> list[str]:
    rows = owner.execute("select type from events where entity_id = %s order by tx, id", [id]).fetchall()
    return [row[0].removeprefix("operation.") for row in rows]


async def test_it_is_done_batch_by_batch_and_says_so(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    id = await started(begin)
    queued = await operations.get(read, id)
    assert (queued.state, queued.done, queued.total, queued.errors) == ("queued", 0, None, ())
    assert queued.params == {"to": 25, "at_once": 10}
    assert await operations.run(engine, tenant.id, id) == "completed"
    done = await operations.get(read, id)
    assert (done.state, done.done, done.total, done.error_count) == ("completed", 25, 25, 1)
    assert done.errors
    assert done.errors[0].code == "no_thirteen"
    assert done.result == {"counted": 25}
    assert done.started_at
    assert done.finished_at
    assert names(owner, tenant) == numbers(25)
    assert told(owner, id) == ["created", "started", "completed"]
    assert (await operations.page(read, kind="test.count", state="completed")).data[0].id == id
    assert (await operations.page(read, state="running")).data == ()
    assert await operations.run(engine, tenant.id, id) == "completed", "again: nothing more happens"
    assert names(owner, tenant) == numbers(25)


async def test_what_it_writes_is_found_in_the_log_by_its_id_and_is_its_starters(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any], actor: Actor
) -> None:
    id = await started(begin, 3)
    await operations.run(engine, tenant.id, id)
    asked = "select count(*), min(actor), max(actor), max(origin) from events where request_id = %s and contact_id > %s"
    assert owner.execute(asked, [str(id), UUID(int=0)]).fetchone() == (3, str(actor), str(actor), "job")


async def test_two_who_do_the_same_do_each_batch_once(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    id = await started(begin, 60, at_once=3)
    states = await asyncio.gather(*[operations.run(engine, tenant.id, id) for _ in range(4)])
    assert states == ["completed"] * 4
    assert names(owner, tenant) == numbers(60)


async def test_killed_at_any_moment_it_goes_on_where_it_was(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    id = await started(begin, 60, at_once=2)
    for moment in range(20):
        task = asyncio.create_task(operations.run(engine, tenant.id, id))
        await asyncio.sleep(0.002 * moment)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert await operations.run(engine, tenant.id, id) == "completed"
    assert names(owner, tenant) == numbers(60)


async def test_a_batch_that_fails_is_taken_back_and_tried_again(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any], counting: type[Counting]
) -> None:
    id = await started(begin)
    counting.fails[10] = RuntimeError("the secret inside")
    for _ in range(running.TRIES - 1):
        with pytest.raises(RuntimeError):
            await operations.run(engine, tenant.id, id)
    assert names(owner, tenant) == numbers(10)
    counting.fails.clear()
    assert await operations.run(engine, tenant.id, id) == "completed"
    assert names(owner, tenant) == numbers(25)


async def test_one_that_fails_for_good_says_why_and_can_be_resumed(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any], counting: type[Counting]
) -> None:
    id = await started(begin)
    counting.fails[10] = RuntimeError("the secret inside")
    for _ in range(running.TRIES - 1):
        with pytest.raises(RuntimeError):
            await operations.run(engine, tenant.id, id)
    assert await operations.run(engine, tenant.id, id) == "failed"
    failed = await operations.get(read, id)
    assert (failed.state, failed.done) == ("failed", 10)
    assert failed.reason
    assert "RuntimeError" in failed.reason
    assert "secret" not in failed.reason
    counting.fails.clear()
    async with begin() as tx:
        assert (await operations.resume(tx, id)).state == "queued"
    assert await operations.run(engine, tenant.id, id) == "completed"
    assert names(owner, tenant) == numbers(25)
    assert told(owner, id) == ["created", "started", "failed", "resumed", "started", "completed"]


async def test_what_is_refused_is_not_tried_again(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, counting: type[Counting]
) -> None:
    id = await started(begin)
    counting.fails[0] = InvalidInput("That cannot be.")
    assert await operations.run(engine, tenant.id, id) == "failed"
    assert (await operations.get(read, id)).reason == "That cannot be."


async def test_one_that_runs_is_paused_resumed_and_canceled_between_batches(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    id = await started(begin, 50)
    monkeypatch.setattr(Counting, "gate", gate := asyncio.Event())
    running_ = asyncio.create_task(operations.run(engine, tenant.id, id))
    await asyncio.sleep(0.2)

    async def pause() -> Operation:
        async with begin() as tx:
            return await operations.pause(tx, id)

    pausing = asyncio.create_task(pause())
    await asyncio.sleep(0.1)
    gate.set()
    paused = await pausing
    assert (paused.state, paused.wanted) == ("running", "pause")
    assert await running_ == "paused"
    assert await operations.run(engine, tenant.id, id) == "paused"
    done = (await operations.get(read, id)).done
    assert names(owner, tenant) == numbers(done)
    async with begin() as tx:
        assert (await operations.resume(tx, id)).state == "queued"
        assert (await operations.resume(tx, id)).state == "queued", "again: it stays as it is"
    async with begin() as tx:
        canceled = await operations.cancel(tx, id)
    assert canceled.state == "canceled"
    assert await operations.run(engine, tenant.id, id) == "canceled"
    assert names(owner, tenant) == numbers(done)
    for verb in (operations.cancel, operations.pause, operations.resume):
        with pytest.raises(OperationFinished):
            async with begin() as tx:
                await verb(tx, id)


async def test_one_is_undone_once(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    id = await started(begin)
    with pytest.raises(NotUndoable, match="cancel it before"):
        async with begin() as tx:
            await operations.undo(tx, id)
    await operations.run(engine, tenant.id, id)
    async with begin() as tx:
        undoing = await operations.undo(tx, id)
    assert undoing.undo_of == id
    assert (await operations.get(read, id)).undone_by == undoing.id
    with pytest.raises(NotUndoable, match="undoes it already"):
        async with begin() as tx:
            await operations.undo(tx, id)
    assert await operations.run(engine, tenant.id, undoing.id) == "completed"
    assert names(owner, tenant) == []
    with pytest.raises(NotUndoable):
        async with begin() as tx:
            await operations.undo(tx, undoing.id)


async def test_it_can_do_no_more_than_its_starter_can_now(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        ann = await people.user(tx, role="manager")
        robot = await keys.create(tx, NewKey(name="robot", scopes=("operations:write", "contacts:write")))
    ids = []
    for who in (
        Actor.user(ann.id),
        Actor("key", str(robot.id), frozenset(robot.scopes), "api", user_id=ann.id),
    ):
        async with engine.tenant(tenant.id, who) as tx:
            ids.append((await operations.start(tx, NewOperation(kind="test.count", params={"to": 3}))).id)
    async with begin() as tx:
        await users.update(tx, ann.id, users.UserPatch(role="viewer"))
        await keys.revoke(tx, robot.id)
    for id, why in zip(ids, ("contacts:write", "revoked"), strict=True):
        assert await operations.run(engine, tenant.id, id) == "failed"
        assert why in ((await operations.get(read, id)).reason or "")
    assert names(owner, tenant) == []


async def test_what_cannot_be_is_not_started(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    for kind, params, pointer, code in (
        ("test.cuont", {}, "/kind", "unknown_operation"),
        ("test.count", {}, "/params/to", "missing_field"),
        ("test.count", {"to": "x"}, "/params/to", "invalid_type"),
        ("test.count", {"to": 1, "att_once": 2}, "/params/att_once", "unknown_field"),
    ):
        async with begin() as tx:
            with pytest.raises(InvalidInput) as refused:
                await operations.start(tx, NewOperation(kind=kind, params=params))
        assert (refused.value.faults[0].pointer, refused.value.faults[0].code) == (pointer, code)
    async with begin() as tx:
        with pytest.raises(InvalidInput, match="backwards"):
            await operations.start(tx, NewOperation(kind="test.count", params={"to": -1}))
    few = Actor.user(uuid4(), permissions=frozenset({"operations:write"}))
    async with engine.tenant(tenant.id, few) as tx:
        with pytest.raises(Forbidden, match="contacts:write"):
            await operations.start(tx, NewOperation(kind="test.count", params={"to": 1}))


async def test_who_sees_their_own_alone_sees_what_they_started(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    others = await started(begin)
    agent = Actor.user(uuid4(), visibility="own")
    async with engine.tenant(tenant.id, agent) as tx:
        own = await operations.start(tx, NewOperation(kind="test.count", params={"to": 1}))
    async with engine.tenant(tenant.id, agent) as tx:
        assert [each.id for each in (await operations.page(tx)).data] == [own.id]
        assert (await operations.get(tx, own.id)).id == own.id
        for verb in (operations.get, operations.cancel, operations.pause, operations.resume, operations.undo):
            with pytest.raises(OperationNotFound):
                await verb(tx, others)


async def test_pages_have_every_operation_once(begin: Begin, read: ReadTx) -> None:
    ids = [await started(begin) for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = await operations.page(read, limit=3, cursor=cursor)
        seen += [each.id for each in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ids[::-1]


async def test_of_a_suspended_tenant_nothing_is_done_until_it_is_resumed(
    engine: Engine, begin: Begin, read: ReadTx, tenant: Tenant
) -> None:
    id = await started(begin)
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    assert await operations.run(engine, tenant.id, id) is None
    assert (await operations.get(read, id)).state == "queued"


async def test_what_no_job_is_there_for_is_put_back(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    id = await started(begin)
    waiting = "procrastinate.procrastinate_jobs where args ->> 'operation_id' = %s and status = 'todo'"
    assert owner.execute(f"select count(*) from {waiting}".encode(), [str(id)]).fetchone() == (1,)
    old = "update operations set updated_at = now() - interval '1 hour' where id = %s"
    owner.execute(old, [id])
    await jobs.put_back(engine)
    assert owner.execute(f"select count(*) from {waiting}".encode(), [str(id)]).fetchone() == (1,)
    owner.execute(f"delete from {waiting}".encode(), [str(id)])
    await jobs.put_back(engine)
    assert owner.execute(f"select count(*) from {waiting}".encode(), [str(id)]).fetchone() == (1,)
