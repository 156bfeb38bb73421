"""The demo's history: made quickly, once, and as the real thing leaves it."""

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bellbird.app import Bellbird
from bellbird.core.clock import FakeClock
from bellbird.core.settings import Settings
from bellbird.demo import calls, filling, history, telephone
from bellbird.demo.calls import Office
from bellbird.features.calls import Query, get, page
from tests.conftest import SECRET

CONTACTS = 60


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 12, 1, 3, 0, tzinfo=UTC))


@pytest.fixture
async def demo(clone: str, clock: FakeClock) -> AsyncIterator[Bellbird]:
    """A Bellbird with the demo's tenant, people and contacts in a database of its own."""
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings, clock=clock) as opened:
        await filling.tenant(opened)
        agents = filling.those(await filling.staff(opened), "agent")
        await filling.fill(opened, CONTACTS, lambda seen: None, agents)
        yield opened


async def office(bellbird: Bellbird) -> Office:
    staff = await filling.staff(bellbird)
    account = await telephone.account(bellbird)
    people = await history.callable_contacts(bellbird, CONTACTS)
    return Office(filling.those(staff, "agent", "manager"), people, account.id, account.numbers[0].number)


Ask = Callable[[str], list[Any]]


@pytest.fixture
def ask(clone: str) -> Ask:
    def of(sql: str) -> list[Any]:
        with psycopg.connect(clone) as connection:
            return connection.execute(sql.encode()).fetchall()

    return of


def nothing(seen: int) -> None:
    """Nobody watches the progress."""


async def test_the_calls_of_ninety_days_are_made_once(demo: Bellbird, clock: FakeClock, ask: Ask) -> None:
    here = await office(demo)
    days: list[int] = []
    added = await history.fill(demo, here, days.append)
    assert 80 < added < 500 and sum(days) == history.DAYS + 1
    assert ask("select count(*), count(*) filter (where ended_at is null) from calls") == [(added, 0)]
    assert await history.fill(demo, await office(demo), nothing) == 0, "what is there stays"
    (now,) = ask("select max(updated_at), min(created_at) from calls")
    assert now[0] < clock.now() and now[1] < clock.now() - timedelta(days=80)
    clock.move(timedelta(days=7))
    assert 0 < await history.fill(demo, await office(demo), nothing) < added / 4, "a week later, a week is missing"


async def test_a_run_that_was_killed_goes_on_where_it_stopped(
    demo: Bellbird, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await office(demo)
    monkeypatch.setattr(history, "BATCH", 10)

    class Killed(Exception):
        pass

    def die(seen: int) -> None:
        if len(ask("select from calls")) > 30:
            raise Killed

    with pytest.raises(Killed):
        await history.fill(demo, here, die)
    (partly,) = ask("select count(*) from calls")[0]
    rest = await history.fill(demo, here, nothing)
    first = demo.engine.clock.now().astimezone(calls.ZONE).date() - timedelta(days=history.DAYS)
    expected = {
        past.call.id
        for day in range(history.DAYS + 1)
        for past in calls.of_day(first + timedelta(days=day), here)
        if past.call.updated_at < demo.engine.clock.now()
    }
    assert partly + rest == len(expected)
    assert {row[0] for row in ask("select id from calls")} == expected


async def test_each_call_has_the_events_that_a_real_one_leaves(demo: Bellbird, ask: Ask) -> None:
    await history.fill(demo, await office(demo), nothing)
    for id, version, status, answered in ask("select id, version, status, answered_at is not null from calls"):
        found = ask(f"select type, data ->> 'version' from events where entity_id = '{id}' order by id")
        assert [int(each[1]) for each in found] == list(range(1, version + 1))
        types = [each[0] for each in found]
        assert types[0] in ("call.placed", "call.received")
        assert f"call.{status}" in types and ("call.answered" in types) == answered
    async with demo.reader(filling.SLUG, filling.OPERATOR) as reading:
        newest = (await page(reading, Query(limit=5))).data
        assert [await get(reading, each.id) for each in newest] == list(newest), "they read as others do"


async def test_what_was_promised_is_due_and_who_objected_is_not_called(
    demo: Bellbird, clock: FakeClock, ask: Ask
) -> None:
    await history.fill(demo, await office(demo), nothing)
    backs = ask("select count(*) from calls where outcome = 'call_back'")
    assert ask("select count(*) from follow_ups") == backs
    long_ago = clock.now() - history.OVERDUE - timedelta(hours=2)
    assert not [due for (due,) in ask("select due_at from follow_ups where state = 'open'") if due < long_ago]
    objected = ask("select number from calls where outcome = 'do_not_call'")
    assert ask("select number from opt_outs") == objected
