"""The demo's call centre: its calls are real ones but for the telephone company."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bellbird.app import Bellbird
from bellbird.core.settings import Settings
from bellbird.demo import centre, filling, history, telephone
from bellbird.demo.centre import Centre, Work
from bellbird.features import calls
from bellbird.features.calls import Call
from bellbird.providers.mock import Simulator, scripts
from tests.conftest import SECRET


@pytest.fixture
async def demo(clone: str) -> AsyncIterator[tuple[Bellbird, Work]]:
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as opened:
        tenant = await filling.tenant(opened)
        agents = filling.those(await filling.staff(opened), "agent")
        await filling.fill(opened, 30, lambda seen: None, agents)
        people = await history.callable_contacts(opened, 30)
        whose = {agent: [contact for contact in people if contact.owner_id == agent] for agent in agents}
        yield opened, Work(tenant.id, await telephone.account(opened), whose)


async def every(bellbird: Bellbird) -> list[Call]:
    async with bellbird.reader(filling.SLUG, filling.OPERATOR) as reading:
        return list((await calls.page(reading, calls.Query(limit=100))).data)


async def test_agents_call_and_are_called_and_when_it_closes_the_calls_are_ended(
    demo: tuple[Bellbird, Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    bellbird, work = demo
    for name, value in {"PAUSE": (0.0, 0.1), "QUIET": (0.1, 0.3), "WRITING": (0.0, 0.1), "LOOK_EVERY": 0.1}.items():
        monkeypatch.setattr(centre, name, value)
    simulator = bellbird.engine.providers.get("mock")
    assert isinstance(simulator, Simulator)
    simulator.agenda.speed = 60.0
    people, stop = Centre(bellbird, work), asyncio.Event()
    worker = asyncio.create_task(bellbird.work(stop))
    tasks = [asyncio.create_task(each) for each in (people.receive(), *map(people.call, people.agents))]
    async with asyncio.timeout(40):
        while {call.direction for call in await every(bellbird) if call.outcome} != {"inbound", "outbound"}:
            assert not [task for task in tasks if task.done()]
            await asyncio.sleep(0.2)
        simulator.agenda.speed = 0.001  # whoever talks now does so until the company is switched off
        while not [call for call in await every(bellbird) if call.ended_at is None and call.provider_call_id]:
            await asyncio.sleep(0.2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    stop.set()
    await worker
    assert await telephone.end_calls(bellbird, work.account.id) > 0
    for call in await every(bellbird):
        assert call.ended_at is not None or call.provider_call_id is None
        assert call.agent_id in work.contacts or call.disposition == "missed" or call.direction == "inbound"
    assert await telephone.end_calls(bellbird, work.account.id) == 0


async def test_the_account_is_connected_once(demo: tuple[Bellbird, Work]) -> None:
    bellbird, work = demo
    assert await telephone.account(bellbird) == work.account
    assert len(scripts.read(telephone.SCRIPT).rules) == 10, "one for every last digit"
