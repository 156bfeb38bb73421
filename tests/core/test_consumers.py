"""Consumers of the log: everything once, in order, whatever fails; nothing lost when one is killed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import backlog, cursors
from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.consumers import Consumer, Consumers
from bellbird.core.engine import Engine
from bellbird.core.errors import Unavailable
from bellbird.core.events import Logged
from bellbird.core.tenants import Tenant
from bellbird.features import tenants
from tests import make

TESTER = Actor.user("tester")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def alone(clone: str, clock: FakeClock) -> AsyncIterator[Engine]:
    """An engine on a database of the test's own, whose log nobody else writes to."""
    async with Engine(clone, clock=clock) as engine:
        yield engine


async def some_tenants(engine: Engine, count: int) -> list[Tenant]:
    async with engine.system(Actor.system()) as tx:
        return [await tenants.create(tx, f"t-{uuid4().hex}") for _ in range(count)]


async def write(engine: Engine, tenant: Tenant, *names: str) -> None:
    """Contacts of these names, all in one transaction."""
    async with engine.tenant(tenant.id, TESTER) as tx:
        for name in names:
            await make.contact(tx, first_name=name)


def name_of(event: Logged) -> str:
    assert event.changes
    return str(event.changes["first_name"][1])


class Heard:
    """A handler that remembers, and fails or hangs on demand."""

    def __init__(self) -> None:
        self.events: list[Logged] = []
        self.batches: list[int] = []
        self.bad: set[str] = set()
        self.hanging: set[str] = set()

    async def __call__(self, events: Sequence[Logged]) -> None:
        self.batches.append(len(events))
        for event in events:
            if event.type == "contact.created" and name_of(event) in self.hanging:
                await asyncio.sleep(3600)
            if event.type == "contact.created" and name_of(event) in self.bad:
                raise LookupError(f"no room for {name_of(event)}")
        self.events += events

    @property
    def names(self) -> list[str]:
        return [name_of(event) for event in self.events]


@asynccontextmanager
async def running(engine: Engine, *consumers: Consumer) -> AsyncIterator[asyncio.Task[None]]:
    """The consumers at work; stopped as a worker stops them."""
    await settled(engine)
    stop = asyncio.Event()
    task = asyncio.create_task(Consumers(engine, consumers, poll=0.05).run(stop))
    try:
        yield task
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


UNSETTLED = "select from events where tx >= pg_snapshot_xmin(pg_current_snapshot()) limit 1"


async def settled(engine: Engine) -> None:
    """Until all that was committed can be read: transactions of other tests hold it back, also in other databases.

    Until then the end of the log, where somebody new begins, is before it.
    """
    async with asyncio.timeout(20):
        while True:
            async with engine.system(Actor.system()) as tx:
                if await tx.one(UNSETTLED) is None:
                    return
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def begun(engine: Engine, *names: str) -> None:
    """Until the consumers have their cursors: somebody new begins at the end of the log."""
    async with asyncio.timeout(10):
        while not {each.consumer for each in await backlog.lag(engine)} >= set(names):
            await asyncio.sleep(0.01)


async def test_what_is_committed_comes_in_order_and_only_what_was_asked_for(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    all_, only = Heard(), Heard()
    await write(alone, tenant, "before")
    async with running(alone, Consumer("all", ("*",), all_), Consumer("new", ("contact.created",), only)):
        await begun(alone, "all", "new")
        await write(alone, tenant, *"abc")
        await write(alone, tenant, *"de")
        async with alone.system(Actor.system()) as tx:
            await tenants.suspend(tx, tenant.id)
        await until(lambda: len(all_.events) == 6 and len(only.events) == 5)
    assert only.names == list("abcde")
    assert [event.type for event in all_.events] == ["contact.created"] * 5 + ["tenant.suspended"]


async def test_a_new_one_begins_at_the_end_of_the_log_or_at_its_beginning(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    await write(alone, tenant, "old")
    late, early = Heard(), Heard()
    kind = ("contact.*",)
    async with running(alone, Consumer("late", kind, late), Consumer("early", kind, early, start="beginning")):
        await begun(alone, "late", "early")
        await write(alone, tenant, "new")
        await until(lambda: late.events and len(early.events) == 2)
    assert (late.names, early.names) == (["new"], ["old", "new"])


async def test_one_that_is_stopped_goes_on_where_it_was(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard = Heard()
    consumer = Consumer("all", ("contact.*",), heard)
    async with running(alone, consumer):
        await begun(alone, "all")
        await write(alone, tenant, "a")
        await until(lambda: heard.events)
    await write(alone, tenant, *(f"{number}" for number in range(1200)))
    async with running(alone, consumer):
        await until(lambda: len(heard.events) == 1201)
    assert heard.names == ["a", *(f"{number}" for number in range(1200))]


async def test_an_open_transaction_holds_back_and_loses_nothing(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard = Heard()
    async with running(alone, Consumer("all", ("contact.*",), heard)):
        await begun(alone, "all")
        async with alone.tenant(tenant.id, TESTER) as first:
            await make.contact(first, first_name="first")
            await first.flush()
            await write(alone, tenant, "second")
            await asyncio.sleep(0.3)
            assert heard.events == []
        await until(lambda: len(heard.events) == 2)
    assert heard.names == ["first", "second"]


async def test_what_fails_is_put_aside_and_the_others_go_on(alone: Engine, clock: FakeClock) -> None:
    one, other = await some_tenants(alone, 2)
    heard, well = Heard(), Heard()
    heard.bad = {"c"}
    async with running(alone, Consumer("fails", ("contact.*",), heard, lanes=1), Consumer("well", ("*",), well)):
        await begun(alone, "fails", "well")
        await write(alone, one, *"abcde")
        await write(alone, other, "x")
        await until(lambda: "x" in heard.names and len(well.events) == 6)
        assert heard.names == list("abdex")
        assert 1 in heard.batches and max(heard.batches) > 1
        (aside,) = await parked(alone, "fails")
        assert (aside.tries, aside.reason, aside.dead_at) == (1, "LookupError: no room for c", None)
        assert aside.next_try_at and timedelta(seconds=4) <= aside.next_try_at - clock.now() <= timedelta(seconds=6)
        heard.bad.clear()
        await asyncio.sleep(0.2)
        assert "c" not in heard.names
        clock.move(timedelta(seconds=6))
        await until(lambda: "c" in heard.names)
    assert await parked(alone, "fails") == []
    assert sorted(heard.names) == list("abcdex")


async def parked(engine: Engine, name: str) -> list[backlog.Dead]:
    async with engine.system(Actor.system()) as tx:
        return await backlog.aside(tx, name, waiting=True)


async def test_what_always_fails_is_given_up_with_the_reason_and_may_be_tried_again(
    alone: Engine, clock: FakeClock
) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard = Heard()
    heard.bad = {"bad"}
    async with running(alone, Consumer("fails", ("contact.*",), heard, tries=3)):
        await begun(alone, "fails")
        await write(alone, tenant, "bad", "good")
        await until(lambda: heard.names == ["good"])
        for tries, pause in ((2, 6), (3, 24)):
            clock.move(timedelta(seconds=pause))
            async with asyncio.timeout(10):
                while (await parked(alone, "fails"))[0].tries < tries:
                    await asyncio.sleep(0.01)
        (dead,) = await parked(alone, "fails")
        assert (dead.type, dead.next_try_at, dead.dead_at) == ("contact.created", None, clock.now())
        lags = await backlog.lag(alone)
        assert sum(each.dead for each in lags) == 1 and sum(each.parked for each in lags) == 0
        heard.bad.clear()
        async with alone.system(Actor.system()) as tx:
            assert await backlog.retry(tx, "fails") == 1
        await until(lambda: heard.names == ["good", "bad"])


async def test_a_handler_that_hangs_fails_and_holds_up_nobody_else(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard, well = Heard(), Heard()
    heard.hanging = {"slow"}
    hanging = Consumer("hangs", ("contact.*",), heard, timeout=0.2)
    async with running(alone, hanging, Consumer("well", ("contact.*",), well)):
        await begun(alone, "hangs", "well")
        await write(alone, tenant, "slow")
        await write(alone, tenant, "after")
        await until(lambda: len(well.events) == 2)
        await until(lambda: heard.names == ["after"])
        (aside,) = await parked(alone, "hangs")
        assert aside.reason == "OutOfTime: It took longer than 0.2 s."


async def test_one_that_takes_no_notice_of_being_cancelled_is_left_behind(alone: Engine) -> None:
    (tenant,) = await some_tenants(alone, 1)
    done, end = list[str](), asyncio.Event()

    async def stubborn(events: Sequence[Logged]) -> None:
        if name_of(events[0]) == "slow":
            while not end.is_set():
                try:
                    await end.wait()
                except asyncio.CancelledError:
                    continue
        elif name_of(events[0]) == "cancels":
            raise asyncio.CancelledError
        done.extend(map(name_of, events))

    async with running(alone, Consumer("stubborn", ("contact.*",), stubborn, timeout=0.1, singly=True)):
        await begun(alone, "stubborn")
        await write(alone, tenant, "slow", "cancels", "after")
        await until(lambda: done == ["after"])
        assert {each.reason for each in await parked(alone, "stubborn")} == {
            "OutOfTime: It took longer than 0.1 s.", "RuntimeError: It cancelled itself.",
        }  # fmt: skip
    end.set()


async def test_two_processes_share_the_lanes_and_never_do_one_at_once(alone: Engine, clone: str) -> None:
    all_tenants = await some_tenants(alone, 12)
    heard = [Heard(), Heard()]
    at_work: dict[int, int] = {}
    clashes = []

    def handler(number: int) -> Any:
        async def handle(events: Sequence[Logged]) -> None:
            lane = cursors.lane_of(events[0].tenant_id, 4)
            if at_work.setdefault(lane, number) != number:
                clashes.append(lane)
            await asyncio.sleep(0.005)
            await heard[number](events)
            del at_work[lane]

        return handle

    kind = ("contact.*",)
    async with Engine(clone, clock=alone.clock) as other, running(alone, Consumer("shared", kind, handler(0))):
        await begun(alone, "shared")
        async with running(other, Consumer("shared", kind, handler(1))):
            for number in range(60):
                await asyncio.gather(*(write(alone, tenant, f"{number}") for tenant in all_tenants[:6]))
                await asyncio.gather(*(write(alone, tenant, f"{number}") for tenant in all_tenants[6:]))
            await until(lambda: len(heard[0].events) + len(heard[1].events) == 720)
    assert clashes == []
    assert heard[0].events and heard[1].events
    assert len({event.id for each in heard for event in each.events}) == 720
    for tenant in all_tenants:
        whole = sorted((event.tx, event.id, name_of(event)) for each in heard for event in each.events
                       if event.tenant_id == tenant.id)  # fmt: skip
        assert [name for *_, name in whole] == [f"{number}" for number in range(60)]


async def test_the_lanes_of_one_whose_connection_is_cut_are_taken_anew(alone: Engine, clone: str) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard = Heard()
    async with running(alone, Consumer("cut", ("contact.*",), heard)):
        await begun(alone, "cut")
        await write(alone, tenant, "a")
        await until(lambda: heard.events)
        with psycopg.connect(clone, autocommit=True) as owner:
            owner.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        await write_patiently(alone, tenant, "b")
        await until(lambda: heard.names[-1] == "b")
    assert heard.names in (["a", "b"], ["a", "a", "b"])


async def write_patiently(engine: Engine, tenant: Tenant, name: str) -> None:
    for _ in range(20):
        try:
            return await write(engine, tenant, name)
        except Unavailable:
            await asyncio.sleep(0.05)


async def test_another_number_of_lanes_is_taken_up_where_the_last_of_them_was(alone: Engine) -> None:
    all_tenants = await some_tenants(alone, 8)
    heard = Heard()
    async with running(alone, Consumer("lanes", ("contact.*",), heard, lanes=2)):
        await begun(alone, "lanes")
        await asyncio.gather(*(write(alone, tenant, "a") for tenant in all_tenants))
        await until(lambda: len(heard.events) == 8)
    await asyncio.gather(*(write(alone, tenant, "b") for tenant in all_tenants))
    async with running(alone, Consumer("lanes", ("contact.*",), heard, lanes=5)):
        await until(lambda: heard.names.count("b") == 8)
    assert [each.lane for each in await backlog.lag(alone)] == [0, 1, 2, 3, 4]
    async with running(alone, Consumer("lanes", ("contact.*",), heard, lanes=1)):
        await until(lambda: True)
        await write(alone, all_tenants[0], "c")
        await until(lambda: "c" in heard.names)
    assert [each.lane for each in await backlog.lag(alone)] == [0]


async def test_events_that_are_gone_from_the_log_are_not_tried_again(
    alone: Engine, clock: FakeClock, clone: str
) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard = Heard()
    heard.bad = {"bad"}
    async with running(alone, Consumer("gone", ("contact.*",), heard)):
        await begun(alone, "gone")
        await write(alone, tenant, "bad")
        async with asyncio.timeout(10):
            while not await parked(alone, "gone"):
                await asyncio.sleep(0.01)
        with psycopg.connect(clone, autocommit=True) as owner:
            owner.execute("delete from events where type = 'contact.created'")
        clock.move(timedelta(seconds=6))
        async with asyncio.timeout(10):
            while await parked(alone, "gone"):
                await asyncio.sleep(0.01)
    assert heard.events == []


async def test_the_lag_is_the_age_of_the_oldest_event_not_dealt_with(alone: Engine, clock: FakeClock) -> None:
    (tenant,) = await some_tenants(alone, 1)
    heard = Heard()
    consumer = Consumer("lags", ("contact.*",), heard)
    async with running(alone, consumer):
        await begun(alone, "lags")
    assert {each.seconds for each in await backlog.lag(alone)} == {0.0}
    await write(alone, tenant, "a")
    clock.move(timedelta(seconds=90))
    await write(alone, tenant, "b")
    assert {each.seconds for each in await backlog.lag(alone)} == {90.0}
    async with running(alone, consumer), asyncio.timeout(10):
        # Lanes in which there was nothing to do have passed it a moment later.
        while {each.seconds for each in await backlog.lag(alone)} != {0.0}:
            await asyncio.sleep(0.01)
    assert len(heard.events) == 2


def test_a_tenant_is_always_in_the_same_lane_also_for_postgresql(owner: psycopg.Connection[Any]) -> None:
    for _ in range(20):
        id = uuid4()
        asked = f"select {cursors.LANE.format('')} % 7 from (select %s::uuid as tenant_id) t"
        assert owner.execute(asked.encode().replace(b" % ", b" %% "), [id]).fetchone() == (cursors.lane_of(id, 7),)
    assert cursors.lane_of(UUID(int=0xFFFFFFFF), 4) == 3
