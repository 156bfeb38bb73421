"""The log as a feed: everything that was committed, in commit order, nothing passed over, whoever writes or dies."""

import asyncio
import os
import random
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core import feed
from bellbird.core.actors import Actor
from bellbird.core.consumers import Consumer
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.events import Logged
from bellbird.core.feed import BEGINNING, Position
from bellbird.core.tenants import Tenant
from tests import make
from tests.conftest import Begin, RollBack
from tests.core import consuming
from tests.core.test_consumers import begun, running, some_tenants, until

TESTER = Actor.user("tester")


async def everything(engine: Engine, tenant: Tenant, *, limit: int = 2) -> list[Logged]:
    """A tenant's log, page by page."""
    read, after, found = engine.reader(tenant.id, TESTER), BEGINNING, list[Logged]()
    ((beyond,),) = await read.all("select pg_snapshot_xmax(pg_current_snapshot())::text")
    async with asyncio.timeout(10):  # other tests' transactions hold the log back, in whatever database they are
        while (await feed.end(read)).tx < int(beyond):
            await asyncio.sleep(0.01)
    while page := await feed.read_of_tenant(read, after, limit=limit):
        found += page
        after = feed.position(page[-1])
    return found


async def test_pages_follow_one_another_without_gaps_or_repeats(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    made = []
    for _ in range(3):
        async with begin() as tx:
            made += [(await make.contact(tx)).id for _ in range(3)]
    found = await everything(engine, tenant)
    assert [event.entity_id for event in found if event.type == "contact.created"] == made
    assert sorted(found, key=feed.position) == found
    async with engine.system(Actor.system()) as tx:
        after = feed.position(found[-2])
        assert [event.id for event in await feed.read(tx, after, limit=1)] == [found[-1].id]
    read = engine.reader(tenant.id, TESTER)
    assert await feed.find(read, found[3].id) == feed.position(found[3])
    assert await feed.find(read, uuid4()) is None


async def test_transactions_come_by_their_number_not_by_its_letters(clone: str) -> None:
    """As text, 1000 comes before 999: whoever sorted so would pass over what comes between."""
    numbers = [7, 8, 9, 10, 11, 99, 100, 101]
    async with Engine(clone) as engine:
        (tenant,) = await some_tenants(engine, 1)
        with psycopg.connect(clone, autocommit=True) as owner:
            owner.execute("delete from events")
            for number in numbers:
                owner.execute(
                    "insert into events (tenant_id, id, tx, type, entity_type, entity_id, actor, origin)"
                    " values (%s, %s, %s::text::xid8, 'contact.created', 'contact', %s, 'tester', 'api')",
                    [tenant.id, uuid4(), number, uuid4()],
                )
        for limit in (1, 3, 50):
            assert [event.tx for event in await everything(engine, tenant, limit=limit)] == numbers
        async with engine.system(Actor.system()) as tx:
            assert [event.tx for event in await feed.read(tx, Position(9, UUID(int=2**128 - 1)), limit=50)] == [
                10, 11, 99, 100, 101,
            ]  # fmt: skip


async def test_what_commits_late_is_not_passed_over(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with engine.system(Actor.system()) as tx:
        end = await feed.end(tx)
    read = engine.reader(tenant.id, TESTER)
    async with begin() as early:
        await make.contact(early, first_name="Early")
        await early.flush()
        async with begin() as late:
            await make.contact(late, first_name="Late")
        assert await contacts_after(read, end) == [], "another could still come before it"
    names = []
    async with asyncio.timeout(10):  # other tests' transactions hold it back as well
        while len(names) < 2:
            names = await contacts_after(read, end)
    assert names == ["Early", "Late"]


async def contacts_after(read: ReadTx, position: Position) -> list[str]:
    found = await feed.read_of_tenant(read, position, limit=10)
    return [event.changes["first_name"][1] for event in found if event.type == "contact.created" and event.changes]


async def test_reading_the_log_holds_back_nobody(engine: Engine, tenant: Tenant) -> None:
    async with engine.system(Actor.system()) as tx:
        await feed.end(tx)
        await feed.read(tx, BEGINNING, limit=5)
        assert await tx.one("select pg_current_xact_id_if_assigned()::text") == (None,)


async def test_a_tenant_reads_and_finds_only_its_own(
    engine: Engine, tenant: Tenant, other_tenant: Tenant, read: ReadTx
) -> None:
    async with engine.tenant(other_tenant.id, TESTER) as tx:
        await make.contact(tx)
    theirs = (await everything(engine, other_tenant))[-1]
    assert await feed.find(read, theirs.id) is None
    assert {event.tenant_id for event in await everything(engine, tenant)} <= {tenant.id}


# What a writer does one after another: for which tenant, how many events, for how long it stays open, whether it fails.
WRITES = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 4), st.sampled_from([0.0, 0.0, 0.0, 0.005, 0.05]), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(writers=st.lists(WRITES, min_size=2, max_size=6), cuts=st.lists(st.floats(0, 0.1), max_size=3))
@settings(max_examples=12)
async def test_whoever_writes_and_whoever_is_cut_off_everything_comes_in_order(
    engine: Engine, writers: list[Any], cuts: list[float]
) -> None:
    """Consumers are cancelled in the midst of what they do, and begun anew: only then may something come twice."""
    some = await some_tenants(engine, 3)
    mine, name = {tenant.id for tenant in some}, f"property-{uuid4()}"
    runs: list[list[Logged]] = []

    async def note(events: Sequence[Logged]) -> None:
        runs[-1] += [event for event in events if event.tenant_id in mine]
        await asyncio.sleep(0)

    consumer = Consumer(name, ("contact.*",), note, batch=3, lanes=2)
    runs.append([])
    async with running(engine, consumer):
        await begun(engine, name)
    writing = asyncio.gather(*(write_all(engine, some, each) for each in writers))
    for cut in cuts:
        runs.append([])
        async with running_until_cancelled(engine, consumer):
            await asyncio.sleep(cut)
    runs.append([])
    expected = await writing
    async with running(engine, consumer):
        count = sum(len(each) for each in expected)
        await until(lambda: len({event.id for run in runs for event in run}) >= count, 15)
    check([[(event.tenant_id, event.tx, event.id) for event in run] for run in runs], await committed(engine, some))


async def write_all(engine: Engine, some: list[Tenant], writes: list[Any]) -> list[UUID]:
    made = []
    for number, events, pause, fails in writes:
        ids = []
        try:
            async with engine.tenant(some[number].id, TESTER) as tx:
                for _ in range(events):
                    ids.append((await make.contact(tx)).id)
                await tx.flush()
                await asyncio.sleep(pause)
                if fails:
                    raise RollBack
            made += ids
        except RollBack:
            continue
    return made


def running_until_cancelled(engine: Engine, consumer: Consumer) -> Any:
    from contextlib import asynccontextmanager

    from bellbird.core.consumers import Consumers

    @asynccontextmanager
    async def cut() -> Any:
        task = asyncio.create_task(Consumers(engine, [consumer], poll=0.02).run(asyncio.Event()))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    return cut()


Heard = tuple[UUID, int, UUID]


async def committed(engine: Engine, some: list[Tenant]) -> dict[UUID, list[Heard]]:
    """What each tenant's log has of contacts, in its order."""
    async with engine.system(Actor.system()) as tx:
        rows = await tx.all(
            "select tenant_id, tx::text, id from events where tenant_id = any($1) and entity_type = 'contact'",
            [tenant.id for tenant in some],
        )
    found = defaultdict(list)
    for tenant_id, tx_number, id in sorted(rows, key=lambda row: (int(row[1]), row[2])):
        found[tenant_id].append((tenant_id, int(tx_number), id))
    return found


def check(runs: list[list[Heard]], expected: dict[UUID, list[Heard]]) -> None:
    """Each run hears of each tenant a stretch without gaps that begins no later than where the last one ended."""
    for tenant_id, log in expected.items():
        heard = 0
        for run in runs:
            own = [event for event in run if event[0] == tenant_id]
            if not own:
                continue
            begin = log.index(own[0])
            assert begin <= heard, "nothing is passed over"
            assert own == log[begin : begin + len(own)], "in order, and nothing twice but after a cut"
            heard = max(heard, begin + len(own))
        assert heard == len(log), "nothing is left out"
    known = {event for log in expected.values() for event in log}
    assert {event for run in runs for event in run} <= known, "nothing that was rolled back"


async def test_nothing_is_lost_when_the_consumer_is_killed_again_and_again(clone: str, tmp_path: Path) -> None:
    chance = random.Random(4)
    path = tmp_path / "heard"
    async with Engine(clone, pool_size=12) as engine:
        some = await some_tenants(engine, 6)

        def writer() -> list[Any]:
            pauses = [0, 0, 0.01, 0.2]
            return [
                (chance.randrange(6), chance.randint(1, 5), chance.choice(pauses), chance.random() < 0.2)
                for _ in range(12)
            ]

        writing = []
        for _ in range(6):
            child, before = await consumer_process(clone, path), len(heard_in(path))
            writing.append(asyncio.gather(*(write_all(engine, some, writer()) for _ in range(10))))
            await until(lambda before=before: len(heard_in(path)) > before + 1, 20)  # type: ignore[misc]
            await asyncio.sleep(chance.uniform(0, 0.3))
            child.send_signal(signal.SIGKILL)
            await child.wait()
        expected_ids = {id for round in writing for ids in await round for id in ids}
        expected = await committed(engine, some)
        assert sum(map(len, expected.values())) == len(expected_ids) > 500
        child = await consumer_process(clone, path)
        try:
            await until(lambda: len(set(heard_in(path, whole=True))) == len(expected_ids), 20)
        finally:
            child.send_signal(signal.SIGKILL)
            await child.wait()
        runs = runs_in(path)
        assert len(runs) >= 6
        check(runs, expected)


async def consumer_process(conninfo: str, path: Path) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return await asyncio.create_subprocess_exec(sys.executable, consuming.__file__, conninfo, path, env=environment)


def heard_in(path: Path, *, whole: bool = False) -> list[str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in lines if line != "begin"] if whole else lines


def runs_in(path: Path) -> list[list[Heard]]:
    groups = groupby(heard_in(path), key=lambda line: line == "begin")
    return [
        [(UUID(tenant), int(tx), UUID(id)) for tenant, tx, id in (line.split() for line in lines)]
        for is_begin, lines in groups
        if not is_begin
    ]


def test_the_check_finds_what_it_is_for() -> None:
    tenant, other = uuid4(), uuid4()
    log = [(tenant, number, uuid4()) for number in range(5)]
    check([log[:3], [], log[2:]], {tenant: log})
    for wrong in ([log[:2], log[3:]], [log[:4]], [[*log[:2], log[1], *log[2:]]], [log[::-1]], [log[1:]],
                  [[*log, (other, 1, uuid4())]]):  # fmt: skip
        with pytest.raises((AssertionError, ValueError)):
            check(wrong, {tenant: log})


async def test_the_feed_of_all_tenants_uses_its_index(owner: psycopg.Connection[Any]) -> None:
    owner.execute("set enable_seqscan = off")
    owner.execute("set enable_sort = off")  # where it can be avoided: the tables are as good as empty
    for statement, parameters in ((feed.NEXT, "'5', '{0}', 10"), (feed.NEXT_OF_TENANT, "'{0}', '5', '{0}', 10")):
        kinds = "(text, uuid, int)" if statement is feed.NEXT else "(uuid, text, uuid, int)"
        text = statement.replace("$1::xid8", "$1::text::xid8").replace("$2::xid8", "$2::text::xid8")
        owner.execute(f"prepare reading {kinds} as {text}".encode())
        plan = "\n".join(row[0] for row in owner.execute(
            f"explain execute reading({parameters.format(UUID(int=1))})".encode()).fetchall())  # fmt: skip
        owner.execute("deallocate reading")
        assert "Sort  (" not in plan, plan
        assert "tx_id_idx" in plan or "events_feed" in plan, plan
