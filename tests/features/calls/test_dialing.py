"""Dialling: once, whatever happens in between, and only who may still be called."""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.jobs import JobContext
from bellbird.core.settings import Settings
from bellbird.core.telephony import ProviderRefused, ProviderUnclear
from bellbird.core.tenants import Tenant, TenantSettings
from bellbird.features import calls, contacts, dialling, tenants
from bellbird.features.calls import Call, NewCall, dialing, rows
from bellbird.features.calls import jobs as call_jobs
from bellbird.features.dialling import Reason
from tests import make
from tests.command_line import SECRET
from tests.conftest import Begin
from tests.features.calls.carrier import Carrier, connect
from tests.features.calls.conftest import Look
from tests.servers import wait_for

NUMBER = "+61412345678"
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
async def call(carrier: Carrier, begin: Begin) -> Call:
    """A call that was just placed."""
    async with begin() as tx:
        return await calls.place(tx, NewCall(to=NUMBER, purpose="service"))


Dial = Callable[..., Any]


@pytest.fixture
def dial(engine: Engine, tenant: Tenant, call: Call) -> Dial:
    """`await dial()`: the job for the call, once."""

    async def once() -> None:
        await dialing.dial(engine, tenant.id, call.id)

    return once


def set_back(look: Look, call: Call, **by: float) -> None:
    look("update calls set created_at = created_at - %s where id = %s returning id", timedelta(**by), call.id)


async def test_it_is_dialled_once(dial: Dial, carrier: Carrier, call: Call, read: ReadTx, look: Look) -> None:
    await dial()
    await dial()
    (order,) = carrier.orders
    assert (order.call_id, order.from_number, order.to_number) == (call.id, call.from_number, NUMBER)
    assert (order.agent_id, order.ring_seconds, order.record) == (call.agent_id, 30, False)
    now = await calls.get(read, call.id)
    assert (now.status, now.provider_call_id, now.version) == ("initiated", f"CA{call.id.hex}", 2)
    assert now.initiated_at is not None
    types = look("select type, origin from events where entity_id = %s order by id", call.id)
    assert types == [("call.placed", "library"), ("call.initiated", "job")]


async def test_jobs_that_run_at_the_same_time_dial_once(dial: Dial, carrier: Carrier, call: Call) -> None:
    carrier.on_place = lambda order: asyncio.sleep(0.05)
    done = await asyncio.gather(*(dial() for _ in range(8)), return_exceptions=True)
    assert carrier.dialled == [call.id]
    assert {type(each) for each in done} <= {type(None), ProviderUnclear}


async def test_what_the_provider_refuses_has_failed(dial: Dial, carrier: Carrier, call: Call, read: ReadTx) -> None:
    def refuse(order: Any) -> None:
        raise ProviderRefused("The number is not verified.", reason="21219")

    carrier.on_place = refuse
    await dial()
    now = await calls.get(read, call.id)
    assert (now.status, now.disposition, now.reason) == ("failed", "failed", "21219")
    assert now.ended_at is not None


async def test_an_answer_that_was_lost_is_found_and_not_dialled_again(
    dial: Dial, carrier: Carrier, call: Call, read: ReadTx
) -> None:
    carrier.answer_is_lost = True
    with pytest.raises(ProviderUnclear):
        await dial()
    assert (await calls.get(read, call.id)).status == "queued"
    await dial()
    assert (carrier.dialled, carrier.looked) == ([call.id], 1)
    now = await calls.get(read, call.id)
    assert (now.status, now.provider_call_id) == ("initiated", f"CA{call.id.hex}")


async def test_one_that_was_never_dialled_is_asked_for_and_left_to_be_given_up(
    engine: Engine, tenant: Tenant, carrier: Carrier, call: Call, read: ReadTx, caplog: pytest.LogCaptureFixture
) -> None:
    carrier.on_place = lambda order: False
    settings = Settings(_env_file=None, secret=SECRET)  # type: ignore[call-arg, arg-type]
    for tries in range(1, dialing.LOOKS + 1):
        with pytest.raises(ProviderUnclear):
            await call_jobs.dial(JobContext(engine, settings, 1, "calls.dial", tries, tenant.id), call.id)
    await call_jobs.dial(JobContext(engine, settings, 1, "calls.dial", dialing.LOOKS + 1, tenant.id), call.id)
    assert "whether a call was placed is not known" in caplog.text
    assert (carrier.dialled, carrier.looked) == ([], dialing.LOOKS)
    assert (await calls.get(read, call.id)).status == "queued"


async def test_a_worker_that_stops_while_it_dials_leaves_it_to_the_next(
    dial: Dial, carrier: Carrier, call: Call, read: ReadTx
) -> None:
    begun = asyncio.Event()

    async def for_ever(order: Any) -> None:
        carrier.orders.append(order)
        begun.set()
        await asyncio.sleep(60)

    carrier.on_place = for_ever
    task = asyncio.create_task(dial())
    await begun.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await dial()
    assert carrier.dialled == [call.id]
    assert (await calls.get(read, call.id)).status == "initiated"


async def test_callbacks_that_were_faster_are_not_undone(
    dial: Dial, carrier: Carrier, call: Call, engine: Engine, tenant: Tenant, read: ReadTx
) -> None:
    async def rings(order: Any) -> None:
        async with engine.tenant(tenant.id, Actor.system("carrier", origin="provider")) as tx:
            await tx.writable()
            before = await rows.lock(tx, call.id)
            ringing = replace(before.call, status="ringing", ringing_at=tx.now())
            rows.write(tx, before, replace(before, call=ringing), happened="ringing")

    carrier.on_place = rings
    await dial()
    now = await calls.get(read, call.id)
    assert (now.status, now.provider_call_id) == ("ringing", f"CA{call.id.hex}")


async def test_one_that_is_hung_up_while_it_is_dialled_is_hung_up_afterwards(
    dial: Dial, carrier: Carrier, call: Call, engine: Engine, tenant: Tenant, begin: Begin, look: Look
) -> None:
    async def hang_up(order: Any) -> None:
        async with begin() as tx:
            assert (await calls.cancel(tx, call.id)).status == "queued"
        with pytest.raises(ProviderUnclear):
            await dialing.hang_up(engine, tenant.id, call.id)

    carrier.on_place = hang_up
    await dial()
    jobs = "select task_name from procrastinate.procrastinate_jobs where args->>'call_id' = %s order by id"
    assert look(jobs, str(call.id)) == [("calls.dial",), ("calls.hang_up",)], (
        "the two are one: that which waits is hurried"
    )
    await dialing.hang_up(engine, tenant.id, call.id)
    assert carrier.hung_up == [f"CA{call.id.hex}"]


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on nobody may be called."""
    decide = dialling.decide

    async def forbidden(tx: Tx, question: Any) -> Any:
        made = await decide(tx, question)
        return replace(made, allowed=False, reasons=(Reason("opted_out", "They have opted out."),))

    return lambda: monkeypatch.setattr(dialling, "decide", forbidden)


async def test_whoever_may_not_be_called_any_more_is_not(
    dial: Dial, carrier: Carrier, call: Call, forbid: Any, read: ReadTx, look: Look
) -> None:
    forbid()
    await dial()
    assert carrier.dialled == []
    now = await calls.get(read, call.id)
    assert (now.status, now.reason) == ("failed", "not_permitted")
    assert now.decision is not None
    assert now.decision["reasons"] == [{"code": "opted_out", "message": "They have opted out."}]
    kept = "select allowed from dial_decisions where call_id = %s order by id"
    assert look(kept, call.id) == [(True,), (False,)]


async def test_one_that_waited_is_decided_anew_and_that_is_kept(
    dial: Dial, carrier: Carrier, call: Call, read: ReadTx, look: Look
) -> None:
    set_back(look, call, minutes=3)
    await dial()
    now = await calls.get(read, call.id)
    assert carrier.dialled == [call.id]
    assert now.decision is not None
    assert call.decision is not None
    assert now.decision["id"] != call.decision["id"]
    assert len(look("select from dial_decisions where call_id = %s", call.id)) == 2


async def test_a_contact_that_is_gone_by_then_is_not_called(
    carrier: Carrier, begin: Begin, engine: Engine, tenant: Tenant, read: ReadTx
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, phone=NUMBER)
        ben = await make.contact(tx, phone="0412 000 001")
        call = await calls.place(tx, NewCall(contact_id=ann.id, purpose="service"))
    async with begin() as tx:
        other = await calls.place(tx, NewCall(contact_id=ben.id, purpose="service", agent_id=uuid4()))
    async with begin() as tx:
        await contacts.delete(tx, ann.id)
        await contacts.purge(tx, ben.id)
    for each in (call, other):
        await dialing.dial(engine, tenant.id, each.id)
        now = await calls.get(read, each.id)
        assert (now.status, now.reason) == ("failed", "contact_gone")
    assert carrier.dialled == []


async def test_without_its_account_or_provider_it_fails(
    carrier: Carrier, call: Call, dial: Dial, begin: Begin, engine: Engine, tenant: Tenant, read: ReadTx, look: Look
) -> None:
    async with begin() as tx:
        other = await calls.place(tx, NewCall(to="0412 000 001", purpose="service", agent_id=uuid4()))
    look("update calls set provider = 'gone' where id = %s returning id", other.id)
    look("update calls set account_id = %s where id = %s returning id", uuid4(), call.id)
    for each, reason in ((call, "call_account_gone"), (other, "provider_unknown")):
        await dialing.dial(engine, tenant.id, each.id)
        assert (await calls.get(read, each.id)).reason == reason
    assert carrier.dialled == []


async def test_a_job_for_a_call_that_waits_is_over_or_is_not_there_does_nothing(
    carrier: Carrier, begin: Begin, engine: Engine, tenant: Tenant
) -> None:
    async with begin() as tx:
        waiting = await make.call(tx, waits_until=tx.clock.now() + timedelta(hours=1))
        over = await make.call(tx, status="completed", ended_at=tx.clock.now())
    for id in (waiting.id, over.id, uuid4()):
        await dialing.dial(engine, tenant.id, id)
    await dialing.hang_up(engine, tenant.id, over.id)
    await dialing.hang_up(engine, tenant.id, uuid4())
    assert (carrier.dialled, carrier.hung_up) == ([], [])


@contextmanager
def worker(clone: str, dialled: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker process of dialling_process.py."""
    env = {
        **os.environ, "BELLBIRD_DATABASE_URL": clone, "BELLBIRD_SECRET": SECRET, "BELLBIRD_WORKER_HEARTBEAT": "1",
        "DIALLED": str(dialled),
    }  # fmt: skip
    started = subprocess.Popen(
        [sys.executable, "-m", "tests.features.calls.dialling_process"],
        env=env, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


async def test_when_workers_are_killed_while_they_dial_nobody_is_dialled_twice_and_none_forgotten(
    clone: str, tmp_path: Path
) -> None:
    count, kills, dialled = 60, 4, tmp_path / "dialled"
    dialled.touch()
    placed: list[UUID] = []
    async with Engine(clone, secret=SECRET) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme", settings=TenantSettings(max_live_calls=1000))
        await connect(engine, tenant, Carrier())
        for n in range(count):
            async with engine.tenant(tenant.id, Actor.system()) as tx:
                placed.append((await calls.place(tx, NewCall(to=f"+6141200{n:04}", purpose="service"))).id)

    def lines() -> list[UUID]:
        return [UUID(line) for line in dialled.read_text().split()]

    chance = random.Random(4)
    with psycopg.connect(clone, autocommit=True) as owner:

        def open_calls() -> int:
            sql = "select count(*) from calls where status = 'queued' and (claimed_at is null or id = any(%s))"
            return int(owner.execute(sql, [lines()]).fetchall()[0][0])

        for _ in range(kills):
            before = len(lines())
            with worker(clone, dialled) as each:
                end = time.monotonic() + 20
                while len(lines()) < before + 6 and len(lines()) < count:
                    assert time.monotonic() < end, "it dials"
                    await asyncio.sleep(0.005)
                await asyncio.sleep(chance.random() * 0.06)
                each.kill()
        with worker(clone, dialled):
            await asyncio.to_thread(wait_for, lambda: open_calls() == 0, "the rest to be dialled", seconds=40)
        states = dict(owner.execute("select id, status from calls").fetchall())
    assert max(Counter(lines()).values()) == 1, "nobody is dialled twice"
    assert {id for id, status in states.items() if status == "initiated"} == set(lines()), "what was dialled is known"
    left = {id for id, status in states.items() if status == "queued"}
    assert set(lines()) | left == set(placed)
    # Claimed, and killed before they were dialled: nobody can know that, and they are given up in two minutes.
    assert len(left) <= kills * 8
