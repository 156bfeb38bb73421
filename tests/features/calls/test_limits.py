"""How many calls may be under way: raced for, waited for in order, given up in time."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.features import calls
from bellbird.features.calls import Call, CallLimitReached, NewCall, admitting, dialing, rows
from tests import make
from tests.conftest import Begin, NewTenant, SignIn
from tests.features.calls.carrier import Carrier, connect
from tests.features.calls.conftest import Look

ADMITTED = "select count(*) from calls where tenant_id = %s and ended_at is null and waits_until is null"
DEFERRED = "select count(*) from procrastinate.procrastinate_jobs where task_name = %s and args->>'tenant_id' = %s"


@pytest.fixture
async def ten(new_tenant: NewTenant, engine: Engine) -> Tenant:
    """A tenant of which ten calls may be under way."""
    tenant: Tenant = await new_tenant(max_live_calls=10, default_purpose="service")
    await connect(engine, tenant, Carrier())
    return tenant


def number(of: int) -> str:
    return f"+6141200{of:04}"


async def place(engine: Engine, tenant: Tenant, of: int, *, agent: UUID | None = None, **given: Any) -> Call:
    async with engine.tenant(tenant.id, Actor.user(agent or uuid4())) as tx:
        return await calls.place(tx, NewCall(to=number(of), **given))


async def finish(engine: Engine, tenant: Tenant, id: UUID) -> None:
    """As a callback ends a call."""
    async with engine.tenant(tenant.id, Actor.system("carrier", origin="provider")) as tx:
        await tx.writable()
        admitting.end(tx, await rows.lock(tx, id), "failed", "over")


async def admit(engine: Engine, tenant: Tenant) -> int:
    """As the worker does it."""
    async with engine.tenant(tenant.id, dialing.DIALLER) as tx:
        return await admitting.admit(tx)


class Watching:
    """A query that runs beside: `most` is the highest that it saw."""

    def __init__(self, conninfo: str, tenant: Tenant) -> None:
        self.most = self.looks = 0
        self._conninfo, self._tenant = conninfo, tenant

    async def __aenter__(self) -> "Watching":
        self._task = asyncio.create_task(self._watch())
        return self

    async def _watch(self) -> None:
        async with await psycopg.AsyncConnection.connect(self._conninfo, autocommit=True) as connection:
            while True:
                ((live,),) = await (await connection.execute(ADMITTED, [self._tenant.id])).fetchall()
                self.most, self.looks = max(self.most, live), self.looks + 1
                await asyncio.sleep(0.002)

    async def __aexit__(self, *exc: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def test_of_200_that_are_placed_at_once_ten_are_admitted(
    engine: Engine, ten: Tenant, owner_conninfo: str, look: Look
) -> None:
    async with Watching(owner_conninfo, ten) as watching:
        made = await asyncio.gather(*(place(engine, ten, of) for of in range(200)), return_exceptions=True)
    refused = [each for each in made if isinstance(each, CallLimitReached)]
    assert [(each.extra["limit"], each.extra["max"]) for each in refused] == [("tenant", 10)] * 190
    assert sum(isinstance(each, Call) for each in made) == 10
    assert (watching.most, look(ADMITTED, ten.id)) == (10, [(10,)])
    assert watching.looks > 10


async def test_of_200_requests_at_once_ten_are_accepted(ten: Tenant, sign_in: SignIn, owner_conninfo: str) -> None:
    apis = [sign_in(ten, user=uuid4()) for _ in range(200)]
    async with Watching(owner_conninfo, ten) as watching:
        answers = await asyncio.gather(*(api.post("/calls", json={"to": number(n)}) for n, api in enumerate(apis)))
    assert Counter(answer.status_code for answer in answers) == {202: 10, 409: 190}
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {(a.json()["code"], a.json()["limit"], a.json()["max"]) for a in refused} == {
        ("call_limit_reached", "tenant", 10)
    }
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    assert watching.most == 10


async def test_those_that_wait_are_served_in_the_order_in_which_they_came(
    engine: Engine, ten: Tenant, owner_conninfo: str, look: Look
) -> None:
    made = await asyncio.gather(*(place(engine, ten, of, wait=True) for of in range(60)))
    waiting = sorted((call for call in made if call.waits_until), key=lambda call: call.id)
    admitted = [call for call in made if not call.waits_until]
    assert (len(admitted), len(waiting)) == (10, 50)
    assert max(call.id for call in admitted) < waiting[0].id
    served: list[UUID] = []
    under_way = [call.id for call in admitted]
    order = "select id from calls where tenant_id = %s and ended_at is null and waits_until is null order by id"
    async with Watching(owner_conninfo, ten) as watching:
        while under_way:
            async with asyncio.TaskGroup() as group:
                for id in under_way[:5]:
                    group.create_task(finish(engine, ten, id))
                for _ in range(2):
                    group.create_task(admit(engine, ten))
            await admit(engine, ten)
            now = [id for (id,) in look(order, ten.id)]
            served += [id for id in now if id not in under_way]
            under_way = now
    assert served == [call.id for call in waiting], "none was forgotten, none overtaken"
    assert watching.most == 10
    assert look(DEFERRED, "calls.dial", str(ten.id)) == [(60,)]


async def test_whoever_comes_later_does_not_take_the_place_of_those_who_wait(
    new_tenant: NewTenant, engine: Engine, look: Look
) -> None:
    tenant = await new_tenant(max_live_calls=1, default_purpose="service")
    await connect(engine, tenant, Carrier())
    first = await place(engine, tenant, 1)
    second = await place(engine, tenant, 2, wait=True)
    await finish(engine, tenant, first.id)
    assert look(DEFERRED, "calls.admit", str(tenant.id)) == [(1,)]
    with pytest.raises(CallLimitReached):
        await place(engine, tenant, 3)
    third = await place(engine, tenant, 4, wait=True)
    assert await admit(engine, tenant) == 1
    assert look("select id from calls where tenant_id = %s and waits_until is not null", tenant.id) == [(third.id,)]
    (event,) = look("select type, changes from events where entity_id = %s order by id desc limit 1", second.id)
    assert (event[0], list(event[1])) == ("call.updated", ["waits_until"])
    assert await admit(engine, tenant) == 0


async def test_when_nobody_waits_nobody_is_woken(engine: Engine, ten: Tenant, look: Look) -> None:
    await finish(engine, ten, (await place(engine, ten, 1)).id)
    assert look(DEFERRED, "calls.admit", str(ten.id)) == [(0,)]


async def test_an_agent_has_one_call_at_a_time(engine: Engine, ten: Tenant) -> None:
    agent = uuid4()
    made = await asyncio.gather(*(place(engine, ten, of, agent=agent) for of in range(20)), return_exceptions=True)
    assert sum(isinstance(each, Call) for each in made) == 1
    assert {each.extra["limit"] for each in made if isinstance(each, CallLimitReached)} == {"agent"}
    assert isinstance(await place(engine, ten, 30), Call)


async def test_a_number_is_called_once_at_a_time(engine: Engine, ten: Tenant) -> None:
    made = await asyncio.gather(*(place(engine, ten, 1) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(each, Call) for each in made) == 1
    assert {each.extra["limit"] for each in made if isinstance(each, CallLimitReached)} == {"number"}


async def test_one_whose_agent_is_busy_is_passed_over(engine: Engine, ten: Tenant) -> None:
    agent = uuid4()
    busy = await place(engine, ten, 1, agent=agent)
    waiting = [await place(engine, ten, of, agent=agent, wait=True) for of in (2, 3)]
    assert all(call.waits_until for call in waiting)
    assert (await place(engine, ten, 4)).waits_until is None, "there is room for others"
    same_number = await place(engine, ten, 4, wait=True)
    assert same_number.waits_until
    assert await admit(engine, ten) == 0
    await finish(engine, ten, busy.id)
    assert await admit(engine, ten) == 1, "both are the agent's, who has one at a time"
    async with engine.reader(ten.id, Actor.system()) as read:
        assert [(await calls.get(read, call.id)).waits_until is None for call in waiting] == [True, False]


async def test_a_call_that_comes_in_counts_once_its_agent_talks(engine: Engine, ten: Tenant) -> None:
    agent = uuid4()
    async with engine.tenant(ten.id, Actor.system()) as tx:
        ringing = await make.call(
            tx, direction="inbound", status="ringing", agent_id=agent, number=number(1), provider_call_id="CA1"
        )
    call = await place(engine, ten, 2, agent=agent)
    await finish(engine, ten, call.id)
    with pytest.raises(CallLimitReached):
        await place(engine, ten, 1)
    async with engine.tenant(ten.id, Actor.system()) as tx:
        await tx.run("update calls set status = 'in_progress' where tenant_id = $1 and id = $2", ten.id, ringing.id)
    with pytest.raises(CallLimitReached) as refused:
        await place(engine, ten, 2, agent=agent)
    assert refused.value.extra["limit"] == "agent"


async def test_whoever_waits_in_vain_is_given_up(engine: Engine, ten: Tenant, look: Look) -> None:
    agent = uuid4()
    await place(engine, ten, 1, agent=agent)
    call = await place(engine, ten, 2, agent=agent, wait=True, wait_seconds=40)
    assert call.waits_until
    assert abs(call.waits_until - call.created_at - timedelta(seconds=40)) < timedelta(seconds=1)
    jobs = "select task_name, scheduled_at from procrastinate.procrastinate_jobs where args->>'call_id' = %s"
    assert look(jobs, str(call.id)) == [("calls.expire", call.waits_until)]

    async def give_up() -> None:
        async with engine.tenant(ten.id, dialing.DIALLER) as tx:
            await admitting.give_up(tx, call.id)

    state = "select status, reason from calls where id = %s"
    await give_up()
    assert look(state, call.id) == [("queued", None)], "not before its time"
    set_back = "update calls set waits_until = now() - interval '1 second' where tenant_id = $1 and id = $2"
    async with engine.tenant(ten.id, Actor.system()) as tx:
        await tx.run(set_back, ten.id, call.id)
    await give_up()
    await give_up()
    assert look(state, call.id) == [("canceled", "waited_too_long")]
    assert look("select count(*) from events where entity_id = %s and type = 'call.canceled'", call.id) == [(1,)]


async def test_one_whose_time_is_over_is_not_let_in(engine: Engine, ten: Tenant, look: Look) -> None:
    agent = uuid4()
    busy = await place(engine, ten, 1, agent=agent)
    late = await place(engine, ten, 2, agent=agent, wait=True, wait_seconds=1)
    behind = await place(engine, ten, 3, agent=agent, wait=True)
    async with engine.tenant(ten.id, Actor.system()) as tx:
        await tx.run(
            "update calls set waits_until = now() - interval '1 second' where tenant_id = $1 and id = $2",
            ten.id,
            late.id,
        )
    await finish(engine, ten, busy.id)
    assert await admit(engine, ten) == 1
    state = "select status, waits_until from calls where id = %s"
    assert look(state, late.id) == [("canceled", None)]
    assert look(state, behind.id) == [("queued", None)]


async def test_one_whose_row_somebody_holds_is_looked_at_again(engine: Engine, ten: Tenant, look: Look) -> None:
    agent = uuid4()
    busy = await place(engine, ten, 1, agent=agent)
    call = await place(engine, ten, 2, agent=agent, wait=True)
    await finish(engine, ten, busy.id)
    async with engine.tenant(ten.id, Actor.system()) as holding:
        await rows.lock(holding, call.id)
        assert await admit(engine, ten) == 0
        again = (
            "select scheduled_at > now() - interval '5 seconds' from procrastinate.procrastinate_jobs"
            " where task_name = 'calls.admit' and args->>'tenant_id' = %s and status = 'todo'"
        )
        assert len(look(again, str(ten.id))) == 1
    assert await admit(engine, ten) == 1


async def test_canceling_one_that_waits_needs_no_place_and_makes_none(
    engine: Engine, ten: Tenant, begin: Begin
) -> None:
    agent = uuid4()
    await place(engine, ten, 1, agent=agent)
    call = await place(engine, ten, 2, agent=agent, wait=True)
    async with engine.tenant(ten.id, Actor.system()) as tx:
        assert (await calls.cancel(tx, call.id)).waits_until is None
    assert await admit(engine, ten) == 0


async def test_placing_ending_and_admitting_at_once_ends_in_no_deadlock(
    engine: Engine, ten: Tenant, look: Look
) -> None:
    began = time.monotonic()
    agents = [uuid4() for _ in range(12)]

    async def one(n: int) -> None:
        call = await place(engine, ten, n % 40, agent=agents[n % 12], wait=True, wait_seconds=600)
        async with engine.tenant(ten.id, Actor.system()) as tx:
            await calls.hang_up(tx, call.id)
        await admit(engine, ten)

    await asyncio.gather(*(one(n) for n in range(120)))
    assert look("select count(*) from calls where tenant_id = %s and ended_at is null", ten.id) == [(0,)]
    assert time.monotonic() - began < 30
