"""What we give to others for their tests: the simulator as a fixture, and the example that shows it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bellbird.app import Bellbird
from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import call_accounts, calls, tenants
from bellbird.features.call_accounts import Line, NewCallAccount
from bellbird.features.calls import Call, NewCall
from bellbird.testing import BellbirdSimulator
from tests.conftest import SECRET, Begin

REPOSITORY = Path(__file__).parents[1]
GUIDE = REPOSITORY / "docs" / "guides" / "simulating-calls.md"
EXAMPLE = REPOSITORY / "examples" / "simulated_calls"
ANN = "+61491570006"


def pytest_in(folder: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of a folder as their owners would, without our own settings."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("BELLBIRD_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini")]
    return subprocess.run(
        [*command, "--rootdir", str(folder), str(folder)], cwd=tmp_path, env=environment | {"HOME": str(tmp_path)},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_example_and_the_guide_run(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for file in EXAMPLE.glob("*.py"):
        (mine / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    shown = GUIDE.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    (mine / "test_guide.py").write_text(shown, encoding="utf-8")
    ran = pytest_in(mine, tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2 passed" in ran.stdout


def test_the_plugin_imports_nothing_before_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n\ndef test_it():\n"
        "    assert 'bellbird.pytest_plugin' in sys.modules\n"
        "    ours = [name for name in sys.modules if name.startswith('bellbird')]\n"
        "    assert ours == ['bellbird', 'bellbird.pytest_plugin']\n"
    )
    ran = pytest_in(tmp_path, tmp_path)
    assert ran.returncode == 0, ran.stdout


@pytest.fixture
async def simulator(engine: Engine, bellbird_simulator: BellbirdSimulator) -> AsyncIterator[BellbirdSimulator]:
    async with bellbird_simulator.attach(engine):
        yield bellbird_simulator


async def placed(simulator: BellbirdSimulator, begin: Begin, course: str) -> Call:
    """A call that is placed and dialled."""
    simulator.play(f"*: {course}")
    async with begin() as tx:
        call = await calls.place(tx, NewCall(to=ANN, purpose="service"))
    await simulator.work(call)
    return call


async def now(simulator: BellbirdSimulator, begin: Begin, call: Call) -> Call:
    async with begin() as tx:
        return await calls.get(tx, call.id)


FAULTS = (
    "duplicate", "reorder", "race", "race, duplicate", "early", "early, race", "late 7s", "late 30s ringing",
    "lose initiated, lose ringing, lose in_progress", "numbers backwards, no times", "no numbers", "no times",
    "forge ringing", "reorder, duplicate, late 5s in_progress", "no times, reorder, duplicate",
)  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    ("course", "end"),
    [
        ("ring 3s, answer, talk 40s", ("completed", "answered", 40)),
        ("ring 9s, voicemail", ("completed", "voicemail", 20)),
        ("no answer", ("no_answer", "no_answer", None)),
        ("busy", ("busy", "busy", None)),
    ],
)
async def test_whatever_goes_wrong_with_callbacks_the_end_is_right(
    simulator: BellbirdSimulator, begin: Begin, course: str, end: tuple[object, ...], fault: str
) -> None:
    async with begin() as tx:
        await simulator.connect(tx, "+61255501234")
    call = await placed(simulator, begin, f"{course} | {fault}")
    await simulator.finish()
    after = await now(simulator, begin, call)
    if after.disposition == "answered" and "lose" in fault and end[1] == "voicemail":
        after_end = (after.status, "voicemail", after.duration)  # that a machine answered was told in what was lost
    else:
        after_end = (after.status, after.disposition, after.duration)
    assert after_end == end
    assert simulator.times_dialled(call.id) == 1


async def test_a_call_is_hung_up_when_that_is_asked_for(simulator: BellbirdSimulator, begin: Begin) -> None:
    async with begin() as tx:
        await simulator.connect(tx, "+61255501234")
    call = await placed(simulator, begin, "ring 1s, answer, talk forever")
    await simulator.advance(11.5)
    async with begin() as tx:
        await calls.hang_up(tx, call.id)
    await simulator.work(call)
    await simulator.finish()
    after = await now(simulator, begin, call)
    assert (after.status, after.duration) == ("completed", 10)
    assert simulator.live == []


async def test_what_was_not_answered_is_found_and_not_dialled_again(simulator: BellbirdSimulator, begin: Begin) -> None:
    async with begin() as tx:
        await simulator.connect(tx, "+61255501234")
    call = await placed(simulator, begin, "time out but dial, ring 5s, no answer | lose")
    assert (await now(simulator, begin, call)).status == "queued"
    dialled = await simulator.work(call)
    after = await now(simulator, begin, call)
    assert dialled and (after.status, after.provider_call_id) == ("initiated", dialled.id)
    assert simulator.times_dialled(call.id) == 1


async def test_attached_to_another_bellbird_it_leaves_the_first(
    engine: Engine, bellbird: Bellbird, bellbird_simulator: BellbirdSimulator
) -> None:
    before = engine.providers.get("mock"), bellbird.engine.providers.get("mock")
    bellbird_simulator.attach(engine)
    bellbird_simulator.attach(bellbird)
    assert (engine.providers.get("mock"), bellbird.engine.providers.get("mock")) == (before[0], bellbird_simulator)
    bellbird_simulator.detach()
    assert bellbird.engine.providers.get("mock") is before[1]


async def test_it_moves_the_clock_of_a_bellbird_that_has_a_fake_one(
    owner_conninfo: str, tenant: Tenant, bellbird_simulator: BellbirdSimulator
) -> None:
    clock = FakeClock(datetime(2026, 12, 1, 23, 0, tzinfo=UTC))
    settings = Settings(_env_file=None, database_url=owner_conninfo, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings, clock=clock) as bellbird:
        simulator = bellbird_simulator.attach(bellbird)
        actor = Actor.system("test")
        async with bellbird.tenant(tenant.id, actor) as tx:
            account = await simulator.connect(tx, "+61255501234")
        ringing = await simulator.ring(account, ANN)
        await simulator.advance(3600)
        assert (clock.now().hour, ringing.status) == (0, "completed")
        async with bellbird.reader(tenant.id, actor) as read:
            (call,) = (await calls.page(read, calls.Query())).data
        assert (call.direction, call.status, call.duration) == ("inbound", "completed", 30)


async def test_in_a_deployment_the_worker_dials_and_calls_take_their_course(clone: str) -> None:
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    actor, stop = Actor.system("test"), asyncio.Event()
    script = "*: wait 0.1s, ring 0.2s, answer, talk 1s"
    async with Bellbird(settings) as bellbird:
        async with bellbird.system(actor) as system:
            tenant = await tenants.create(system, "acme")
        async with bellbird.tenant(tenant.id, actor) as tx:
            new = NewCallAccount(
                provider="mock",
                identifier="sim",
                secret="x",
                numbers=(Line("+61255501234"),),
                options={"script": script},
            )
            await call_accounts.connect(tx, new)
        async with bellbird.tenant(tenant.id, actor) as tx:
            call = await calls.place(tx, NewCall(to=ANN, purpose="service"))
        working = asyncio.create_task(bellbird.work(stop))
        async with bellbird.reader(tenant.id, actor) as read:
            async with asyncio.timeout(20):
                while call.ended_at is None:
                    await asyncio.sleep(0.05)
                    call = await calls.get(read, call.id)
        stop.set()
        await working
    assert (call.status, call.disposition, call.duration) == ("completed", "answered", 1)
