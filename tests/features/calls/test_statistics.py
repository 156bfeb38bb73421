"""How many calls there were: the same whether days are counted or not, however late a correction comes."""

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.features import calls
from bellbird.features.calls import Call, CallPatch, counting, statistics
from tests import make
from tests.conftest import Begin, NewTenant

ANN, BEN, CAT = (UUID(int=at) for at in (11, 12, 13))
SYDNEY = ZoneInfo("Australia/Sydney")
NOW = datetime.now(UTC).replace(microsecond=0)


async def calls_of(tx: Tx, count: int, *, days: int, seed: int = 1) -> list[Call]:
    """Calls of all kinds, spread over the last so many days."""
    rng, made = random.Random(seed), []
    for _ in range(count):
        answered = rng.random() < 0.6
        made.append(
            await make.call(
                tx, at=NOW - timedelta(seconds=rng.randrange(days * 86_400)),
                agent_id=rng.choice([ANN, BEN, CAT, None]),
                direction=rng.choice(["inbound", "outbound"]), status="completed" if answered else "no_answer",
                ended_at=NOW, duration=rng.randrange(1, 600) if answered else None,
                disposition=rng.choice(["answered", "voicemail"]) if answered else "no_answer",
                outcome=rng.choice([None, "interested", "call_back"]),
            )
        )  # fmt: skip
    await tx.flush()
    return made


def by_hand(made: list[Call], groups: tuple[str, ...], zone: ZoneInfo = SYDNEY) -> dict[tuple[Any, ...], list[int]]:
    found: dict[tuple[Any, ...], list[int]] = {}
    for call in made:
        local = call.created_at.astimezone(zone)
        known = {
            "agent": call.agent_id, "day": local.date(), "hour": local.hour, "direction": call.direction,
            "disposition": call.disposition, "outcome": call.outcome,
        }  # fmt: skip
        sums = found.setdefault(tuple(known[group] for group in groups), [0, 0, 0])
        answered = call.disposition == "answered"
        for at, figure in enumerate((1, answered, (call.duration or 0) * answered)):
            sums[at] += figure
    return found


async def by_query(tx: Tx | ReadTx, groups: tuple[str, ...], days: int) -> dict[tuple[Any, ...], list[int]]:
    first = (NOW - timedelta(days=days)).astimezone(SYDNEY).date()
    answer = await statistics.count(tx, first=first, group_by=groups)
    names = {"agent": "agent_id"}
    return {
        tuple(getattr(each, names.get(group, group)) for group in groups): [
            each.calls, each.answered, each.talk_seconds,
        ]
        for each in answer.groups
    }  # fmt: skip


GROUPINGS = [(group,) for group in statistics.GROUPS] + list(combinations(statistics.GROUPS, 2))


async def count_all(begin: Begin) -> None:
    more = True
    while more:
        async with begin() as tx:
            more = await counting.count_days(tx)


async def test_every_grouping_says_the_same_counted_or_not(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        made = await calls_of(tx, 300, days=12)
    expected = {groups: by_hand(made, groups) for groups in GROUPINGS}
    for groups in GROUPINGS:
        assert await by_query(read, groups, 13) == expected[groups], groups
    await count_all(begin)
    (days,) = await read.all("select count(*) from call_days where tenant_id = $1", read.tenant_id)
    assert days[0] >= 9
    for groups in GROUPINGS:
        assert await by_query(read, groups, 13) == expected[groups], groups


async def test_a_late_correction_is_counted_at_once(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        made = await calls_of(tx, 120, days=10)
    await count_all(begin)
    rng = random.Random(2)
    for step in range(4):
        async with begin() as tx:
            for _ in range(5):
                at = rng.randrange(len(made))
                patch = CallPatch(outcome=rng.choice(["interested", None]), agent_id=rng.choice([ANN, BEN, None]))
                made[at] = await calls.update(tx, made[at].id, patch)
            made += await calls_of(tx, 3, days=10, seed=step + 10)
        if step == 2:
            await count_all(begin)
        for groups in (("agent", "outcome"), ("day",), ("hour", "agent")):
            assert await by_query(read, groups, 11) == by_hand(made, groups), (step, groups)
    notes = "select count(*) from call_corrections where tenant_id = $1"
    await count_all(begin)
    recent = NOW - timedelta(days=4)
    assert await read.all(notes + " and call_at < $2", read.tenant_id, recent) == [(0,)]
    for groups in (("agent", "outcome"), ("day",), ("hour", "agent")):
        assert await by_query(read, groups, 11) == by_hand(made, groups), groups


async def test_a_correction_that_is_under_way_while_its_day_is_counted_is_not_lost(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        call = await make.call(tx, at=NOW - timedelta(days=6), disposition="no_answer")
    async with begin() as slow:
        await calls.update(slow, call.id, CallPatch(outcome="interested"))
        await slow.flush()
        await count_all(begin)  # which does not see it yet
    assert await by_query(read, ("outcome",), 8) == {("interested",): [1, 0, 0]}
    await count_all(begin)
    assert await by_query(read, ("outcome",), 8) == {("interested",): [1, 0, 0]}


async def test_what_nobody_counts_by_makes_no_note(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        call = await make.call(tx, at=NOW - timedelta(days=6))
    await count_all(begin)
    async with begin() as tx:
        await calls.update(tx, call.id, CallPatch(notes="Only a note"))
    assert await read.all("select from call_corrections where tenant_id = $1", read.tenant_id) == []


async def test_a_fresh_call_makes_no_note(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        call = await make.call(tx)
        await calls.update(tx, call.id, CallPatch(outcome="interested"))
    assert await read.all("select from call_corrections where tenant_id = $1", read.tenant_id) == []


async def test_a_tenant_that_moves_is_counted_anew(
    begin: Begin, read: ReadTx, owner: psycopg.Connection[Any], tenant: Tenant, engine: Engine
) -> None:
    async with begin() as tx:
        made = await calls_of(tx, 60, days=9)
    await count_all(begin)
    owner.execute(
        "update tenants set settings = jsonb_set(settings, '{timezone}', '\"Pacific/Chatham\"'), version = version + 1"
        " where id = %s",
        [tenant.id],
    )
    engine.snapshots.forget(tenant.id)
    for _ in range(2):
        fresh = ReadTx(engine, tenant.id, read.actor, None)
        answer = await statistics.count(fresh, first=(NOW - timedelta(days=11)).date(), group_by=("day",))
        expected = by_hand(made, ("day",), ZoneInfo("Pacific/Chatham"))
        assert {(each.day,): each.calls for each in answer.groups} == {day: sums[0] for day, sums in expected.items()}
        assert answer.timezone == "Pacific/Chatham"
        await count_all(begin)


async def test_rates_averages_and_order(tx: Tx) -> None:
    for agent, answered in ((ANN, 1), (BEN, 0), (BEN, 1), (BEN, 1), (BEN, 0)):
        await make.call(
            tx, agent_id=agent, disposition="answered" if answered else "busy", duration=30 if answered else None
        )
    answer = await statistics.count(tx, group_by=["agent"])
    ben, ann = answer.groups
    assert (ben.agent_id, ben.calls, ben.answered, ben.answer_rate, ben.average_seconds) == (BEN, 4, 2, 0.5, 30.0)
    assert (ann.agent_id, ann.calls, ann.answer_rate) == (ANN, 1, 1.0)
    assert (answer.total.calls, answer.total.answer_rate, answer.total.talk_seconds) == (5, 0.6, 90)
    assert (answer.last - answer.first).days == 29
    nothing = await statistics.count(tx, first=date(2020, 1, 1), last=date(2020, 1, 31), group_by=["day"])
    assert (nothing.groups, nothing.total.calls, nothing.total.answer_rate) == ((), 0, None)
    assert (await statistics.count(tx)).groups == ()


async def test_who_sees_their_own_counts_their_own(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        made = await calls_of(tx, 80, days=8)
    await count_all(begin)
    mine = [call for call in made if call.agent_id in (ANN, None)]
    ann = ReadTx(engine, tenant.id, Actor.user(ANN, visibility="own"), None)
    assert await by_query(ann, ("agent", "day"), 9) == by_hand(mine, ("agent", "day"))


async def test_it_counts_no_other_tenant(begin: Begin, new_tenant: NewTenant, read: ReadTx) -> None:
    async with begin(await new_tenant()) as tx:
        await calls_of(tx, 5, days=3)
    assert (await statistics.count(read)).total.calls == 0


@pytest.mark.parametrize(
    ("given", "parameter"),
    [
        ({"group_by": ["agents"]}, "group_by"),
        ({"group_by": ["agent", "day", "hour"]}, "group_by"),
        ({"first": date(2026, 2, 2), "last": date(2026, 2, 1)}, "from"),
        ({"first": date(2024, 1, 1), "last": date(2026, 2, 1)}, "from"),
        ({"first": date(1, 1, 1), "last": date(1, 1, 2)}, "from"),
    ],
)
async def test_what_cannot_be_counted_is_told(read: ReadTx, given: dict[str, Any], parameter: str) -> None:
    with pytest.raises(InvalidInput) as error:
        await statistics.count(read, **given)
    assert [fault.parameter for fault in error.value.faults] == [parameter]


def test_the_days_of_a_zone_have_23_to_25_hours() -> None:
    hours = Counter(
        (day.ends_at - day.begins_at) // timedelta(minutes=30)
        for day in (counting.day_of(date(2026, 1, 1) + timedelta(days=at), SYDNEY) for at in range(365))
    )
    assert hours == {48: 363, 46: 1, 50: 1}
    lord_howe = counting.day_of(date(2026, 10, 4), ZoneInfo("Australia/Lord_Howe"))
    assert lord_howe.ends_at - lord_howe.begins_at == timedelta(hours=23, minutes=30)
    neighbours = [counting.day_of(date(2026, 4, at), SYDNEY) for at in (4, 5, 6, 8)]
    assert len(counting.id_limits(neighbours)) == 2
