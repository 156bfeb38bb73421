"""Calls that would never end by themselves: found, asked about, ended with a reason, corrected if that was wrong."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.jobs import JobContext
from bellbird.core.settings import Settings
from bellbird.core.telephony import Account, Placed, ProviderUnclear
from bellbird.core.tenants import Tenant, TenantSettings
from bellbird.features.calls import Call, jobs, reaping
from bellbird.features.calls.rows import Held
from tests import make
from tests.conftest import NewTenant
from tests.features.calls import telling
from tests.features.calls.conftest import Look
from tests.features.calls.telling import OWN, THEIRS, now_of, tell, updates
from tests.features.calls.test_machine import a_call

NOW = telling.BEGUN


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


@pytest.fixture(autouse=True)
def when_begun(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the cases."""
    monkeypatch.setattr(engine, "clock", telling.Behind())


@pytest.fixture
async def account(engine: Engine, tenant: Tenant) -> Account:
    """An account of the test's tenant."""
    return await telling.connect(engine, tenant)


async def stuck(
    engine: Engine, account: Account, minutes: float, *, claimed: float | None = None, hung_up: float | None = None,
    **given: Any,
) -> Call:  # fmt: skip
    """A call that was placed so many minutes ago, and perhaps taken on or to be hung up so many minutes ago."""
    async with engine.tenant(account.tenant_id, Actor.user("tester")) as tx:
        made = {"account_id": account.id, "from_number": OWN, "number": THEIRS, "at": ago(minutes)}
        call = await make.call(tx, **(made | given))
        times = [None if each is None else ago(each) for each in (claimed, hung_up)]
        sql = "update calls set claimed_at = $3, hang_up_at = $4 where tenant_id = $1 and id = $2"
        await tx.run(sql, tx.tenant_id, call.id, *times)
    return call


def waiting_jobs(look: Look, call: Call) -> list[str]:
    sql = (
        "select task_name from procrastinate.procrastinate_jobs"
        " where args ->> 'call_id' = %s and status = 'todo' order by id"
    )
    return [name for (name,) in look(sql, str(call.id))]


def ended_by(look: Look, call: Call) -> Any:
    return look("select ended_by from calls where id = %s", call.id)[0][0]


@pytest.mark.parametrize(
    ("call", "held", "expected"),
    [
        ({"waits_until": ago(-1)}, {}, None),
        ({"waits_until": ago(0.4)}, {}, None),
        ({"waits_until": ago(1)}, {}, "waited"),
        ({"updated_at": ago(0.9)}, {}, None),
        ({"updated_at": ago(2)}, {}, "undialled"),
        ({"updated_at": ago(16)}, {}, "forgotten"),
        ({"updated_at": ago(16)}, {"claimed_at": ago(1)}, None),
        ({"updated_at": ago(16)}, {"claimed_at": ago(3)}, "unclear"),
        ({"updated_at": ago(16)}, {"claimed_at": ago(1), "hang_up_at": ago(9)}, None),
        ({"status": "initiated", "created_at": ago(9), "initiated_at": ago(4)}, {}, None),
        ({"status": "initiated", "created_at": ago(9), "initiated_at": ago(6)}, {}, "ringing"),
        ({"status": "ringing", "created_at": ago(9), "ringing_at": ago(4)}, {}, None),
        ({"status": "ringing", "created_at": ago(9), "ringing_at": ago(6)}, {}, "ringing"),
        ({"status": "queued", "direction": "inbound", "created_at": ago(6)}, {}, "ringing"),
        ({"status": "in_progress", "created_at": ago(99), "answered_at": ago(59)}, {}, None),
        ({"status": "in_progress", "created_at": ago(99), "answered_at": ago(61)}, {}, "talking"),
        ({"status": "in_progress", "created_at": ago(61)}, {}, "talking"),
        ({"status": "in_progress", "answered_at": ago(9)}, {"hang_up_at": ago(1)}, None),
        ({"status": "in_progress", "answered_at": ago(9)}, {"hang_up_at": ago(3)}, "hung_up"),
        ({"status": "completed", "ended_at": ago(99)}, {"hang_up_at": ago(99)}, None),
    ],
)
def test_what_is_wrong_with_a_call(call: Any, held: Any, expected: str | None) -> None:
    made = a_call(**({"created_at": ago(10), "updated_at": ago(10)} | call))
    settings = TenantSettings(max_call_minutes=60)
    assert (
        reaping.due(Held(made, **({"claimed_at": None, "hang_up_at": None, "ended_by": None} | held)), settings, NOW)
        == expected
    )


async def test_a_call_whose_dialling_was_lost_is_dialled_again(engine: Engine, account: Account, look: Look) -> None:
    call = await stuck(engine, account, 3)
    assert await reaping.reap(engine, account.tenant_id, call.id) == "undialled"
    assert waiting_jobs(look, call) == ["calls.dial"]
    assert (await now_of(engine, account, call.id)).status == "queued"


async def test_a_call_that_nobody_has_dialled_for_long_is_not_any_more(
    engine: Engine, account: Account, look: Look
) -> None:
    call = await stuck(engine, account, 20)
    assert await reaping.reap(engine, account.tenant_id, call.id) == "forgotten"
    now = await now_of(engine, account, call.id)
    assert (now.status, now.disposition, now.reason) == ("failed", "failed", "never_dialled")
    assert ended_by(look, call) == "bellbird"


async def test_a_call_that_waited_too_long_is_canceled(engine: Engine, account: Account) -> None:
    call = await stuck(engine, account, 20, waits_until=ago(5))
    await reaping.reap(engine, account.tenant_id, call.id)
    now = await now_of(engine, account, call.id)
    assert (now.status, now.reason, now.waits_until) == ("canceled", "waited_too_long", None)


async def test_of_a_call_that_was_perhaps_dialled_its_provider_is_asked(
    engine: Engine, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = engine.providers.get("mock")
    lost, found = [await stuck(engine, account, 5, claimed=4) for _ in range(2)]

    async def find(account: Account, order: Any, since: datetime) -> Placed | None:
        assert since == ago(4)
        return Placed("CA7") if order.call_id == found.id else None

    async def never(*given: Any) -> Any:
        raise AssertionError("nothing is dialled twice")

    monkeypatch.setattr(provider, "find", find)
    monkeypatch.setattr(provider, "place", never)
    assert [await reaping.reap(engine, account.tenant_id, each.id) for each in (lost, found)] == ["unclear"] * 2
    gone = await now_of(engine, account, lost.id)
    assert (gone.status, gone.disposition, gone.reason) == ("failed", "failed", "placing_unclear")
    there = await now_of(engine, account, found.id)
    assert (there.status, there.provider_call_id) == ("initiated", "CA7")


async def test_a_provider_that_does_not_answer_keeps_no_call_alive(
    engine: Engine, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = await stuck(engine, account, 5, claimed=4)

    async def find(*given: Any) -> Placed | None:
        raise ProviderUnclear

    monkeypatch.setattr(engine.providers.get("mock"), "find", find)
    await reaping.reap(engine, account.tenant_id, call.id)
    assert (await now_of(engine, account, call.id)).reason == "placing_unclear"


async def test_a_call_that_goes_on_and_on_is_hung_up_and_then_ended(
    new_tenant: NewTenant, engine: Engine, look: Look
) -> None:
    account = await telling.connect(engine, await new_tenant(max_call_minutes=30))
    began = {"status": "in_progress", "provider_call_id": "CA1", "answered_at": ago(40)}
    call = await stuck(engine, account, 41, claimed=41, **began)
    assert await reaping.reap(engine, account.tenant_id, call.id) == "talking"
    assert waiting_jobs(look, call) == ["calls.hang_up"]
    assert (await now_of(engine, account, call.id)).status == "in_progress", "its end may be told now"
    late = await stuck(engine, account, 41, claimed=41, hung_up=3, **began)
    assert await reaping.reap(engine, account.tenant_id, late.id) == "hung_up"
    now = await now_of(engine, account, late.id)
    assert (now.status, now.disposition, now.reason, now.duration) == ("completed", "answered", "never_ended", None)


@pytest.mark.parametrize(
    ("given", "hung_up", "expected"),
    [
        ({"status": "ringing", "ringing_at": ago(10)}, 3, ("failed", "failed")),
        # Somebody had canceled it, and nobody told that it ended.
        ({"status": "ringing", "ringing_at": ago(10)}, 9, ("canceled", "canceled")),
        ({"status": "ringing", "ringing_at": ago(10), "direction": "inbound"}, 3, ("failed", "missed")),
    ],
)
async def test_a_call_that_rings_for_ever_is_ended(
    engine: Engine, account: Account, given: Any, hung_up: float, expected: Any
) -> None:
    call = await stuck(engine, account, 11, claimed=11, hung_up=hung_up, provider_call_id="CA1", **given)
    await reaping.reap(engine, account.tenant_id, call.id)
    now = await now_of(engine, account, call.id)
    assert ((now.status, now.disposition), now.reason) == (expected, "never_ended")


async def test_the_providers_word_counts_when_it_comes_after_all(engine: Engine, account: Account, look: Look) -> None:
    given = {"status": "ringing", "provider_call_id": "CA1", "ringing_at": ago(10)}
    call = await stuck(engine, account, 11, claimed=11, hung_up=3, **given)
    await reaping.reap(engine, account.tenant_id, call.id)
    assert ended_by(look, call) == "bellbird"
    ringing, talking, end = updates("ringing", "in_progress", "completed", at=ago(10), apart=60)
    await tell(engine, account, end, call)
    now = await now_of(engine, account, call.id)
    assert (now.status, now.disposition, now.ended_at, now.reason) == ("completed", "answered", ago(8), None)
    assert ended_by(look, call) == "provider"
    await tell(engine, account, ringing, call)
    await tell(engine, account, talking, call)
    now = await now_of(engine, account, call.id)
    assert (now.status, now.answered_at, now.duration) == ("completed", ago(9), 60)
    statuses = look("select data ->> 'status' from events where entity_id = %s order by id", call.id)
    assert statuses[0] == ("failed",)
    assert {status for (status,) in statuses[-2:]} == {"completed"}


async def test_an_end_makes_room_for_who_waits(engine: Engine, account: Account, look: Look) -> None:
    await stuck(engine, account, 2, number="+61499999999", waits_until=ago(-9))
    call = await stuck(engine, account, 20)
    await reaping.reap(engine, account.tenant_id, call.id)
    sql = (
        "select count(*) from procrastinate.procrastinate_jobs"
        " where task_name = 'calls.admit' and args ->> 'tenant_id' = %s"
    )
    assert look(sql, str(account.tenant_id)) == [(1,)]


async def test_each_call_that_is_stuck_is_found_and_looked_at_once(
    engine: Engine, account: Account, look: Look
) -> None:
    ringing = {"status": "ringing", "provider_call_id": "CA1"}
    found = [
        await stuck(engine, account, 3),
        await stuck(engine, account, 5, claimed=4),
        await stuck(engine, account, 20, waits_until=ago(5)),
        await stuck(engine, account, 9, claimed=9, ringing_at=ago(8), **ringing),
        await stuck(
            engine, account, 300, claimed=300, **(ringing | {"status": "in_progress", "answered_at": ago(299)})
        ),
        await stuck(
            engine, account, 9, claimed=9, hung_up=3, **(ringing | {"status": "in_progress", "answered_at": ago(8)})
        ),
    ]
    fine = [
        await stuck(engine, account, 0.1),
        await stuck(engine, account, 9, waits_until=ago(-5)),
        await stuck(engine, account, 3, claimed=3, ringing_at=ago(2), **ringing),
        await stuck(engine, account, 30, claimed=30, **(ringing | {"status": "in_progress", "answered_at": ago(29)})),
        await stuck(engine, account, 30, status="busy", ended_at=ago(29)),
    ]
    context = JobContext(engine, Settings(_env_file=None), 1, "calls.find_stuck")  # type: ignore[call-arg]
    for _ in range(2):
        await jobs.find_stuck(context)
    assert [waiting_jobs(look, each) for each in found] == [["calls.reap"]] * len(found)
    assert [waiting_jobs(look, each) for each in fine] == [[]] * len(fine)
    for each in found:
        await jobs.reap(replace(context, task="calls.reap", tenant_id=account.tenant_id), each.id)
    ended = [(await now_of(engine, account, each.id)).reason for each in found]
    assert ended == [None, "placing_unclear", "waited_too_long", None, None, "never_ended"]


async def test_those_that_wait_are_looked_at_once_a_minute(engine: Engine, account: Account, look: Look) -> None:
    """A limit may have been raised, or the job that was to let them in be lost."""
    waiting = await stuck(engine, account, 1, waits_until=ago(-5))
    context = JobContext(engine, Settings(_env_file=None), 1, "calls.find_stuck")  # type: ignore[call-arg]
    await jobs.find_stuck(context)
    sql = "select count(*) from procrastinate.procrastinate_jobs where task_name = 'calls.admit' and status = 'todo'"
    assert look(f"{sql} and args ->> 'tenant_id' = %s", str(account.tenant_id)) == [(1,)]
    await jobs.admit(replace(context, task="calls.admit", tenant_id=account.tenant_id))
    assert (await now_of(engine, account, waiting.id)).waits_until is None


async def test_nothing_is_done_about_a_call_that_goes_on_or_is_none(engine: Engine, account: Account) -> None:
    call = await stuck(engine, account, 3, claimed=3, status="ringing", ringing_at=ago(2))
    assert await reaping.reap(engine, account.tenant_id, call.id) is None
    assert await reaping.reap(engine, account.tenant_id, account.id) is None
    assert await now_of(engine, account, call.id) == call
