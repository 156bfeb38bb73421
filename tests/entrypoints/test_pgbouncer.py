"""The same API behind PgBouncer in transaction mode, where no two transactions need have the same connection."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.app import Bellbird, create_app
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.errors import Unavailable
from bellbird.core.events import Logged
from bellbird.core.settings import Settings
from bellbird.features import tenants
from tests.conftest import SECRET
from tests.servers import Cluster, missing, pgbouncer


@pytest.fixture(scope="module")
def program() -> Path:
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        missing("PgBouncer")
    assert found
    return Path(found)


@pytest.fixture(scope="module")
def pooler(program: Path, own_cluster: Cluster) -> Iterator[str]:
    folder = own_cluster.folder / "pgbouncer"
    folder.mkdir()
    with pgbouncer(program, own_cluster, folder) as parameters:
        yield f"postgresql:///bellbird?{parameters}&user=postgres"


@pytest.fixture
async def bellbird(pooler: str) -> AsyncIterator[Bellbird]:
    settings = Settings(_env_file=None, database_url=pooler, secret=SECRET, prepared_statements=False)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as opened:
        yield opened


async def client(bellbird: Bellbird, **settings: Any) -> httpx.AsyncClient:
    """The API, signed in for a tenant of its own."""
    async with bellbird.system(Actor.system()) as system:
        tenant = await tenants.create(system, f"t-{uuid4().hex}")
        if settings:
            await tenants.set(system, tenant.id, **settings)
    token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=1))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(bellbird), raise_app_exceptions=False),
        base_url="http://t/api/v1",
        headers={"Authorization": f"Bearer {token}"},
    )


async def test_a_contacts_whole_life_works(bellbird: Bellbird) -> None:
    api = await client(bellbird)
    body = {"first_name": "Ann", "phones": [{"number": "0412 345 678"}], "emails": [{"address": "ann@acme.example"}]}
    for _ in range(3):  # over and over, so that connections change hands
        made = await api.post("/contacts", json=body)
        assert made.status_code == 201
        path = f"/contacts/{made.json()['id']}"
        assert (await api.get(path)).json() == made.json()
        assert (await api.patch(path, json={"last_name": "Lee"}, headers={"If-Match": '"1"'})).status_code == 200
        assert (await api.patch(path, json={"last_name": "X"}, headers={"If-Match": '"1"'})).status_code == 412
        assert (await api.put("/contacts?match=phone", json={**body, "company": "Acme"})).status_code == 200
        for query in ("?q=ann lee&total=true", "?filter[company]=acme", "/lookup?number=0412345678", "?sort=name"):
            found = (await api.get(f"/contacts{query}")).json()["data"]
            assert [contact["id"] for contact in found] == [made.json()["id"]], query
        assert (await api.delete(path)).status_code == 204
        assert (await api.post(f"{path}/restore")).status_code == 200
        assert (await api.post(f"{path}/purge")).status_code == 204
        assert (await api.get(path)).status_code == 404


async def test_many_tenants_at_once_are_kept_apart(bellbird: Bellbird) -> None:
    apis = [await client(bellbird) for _ in range(8)]

    async def live(number: int) -> None:
        for turn in range(10):
            await apis[number].post("/contacts", json={"first_name": f"T{number}", "last_name": str(turn)})
            page = (await apis[number].get("/contacts?limit=200&total=true")).json()
            assert {contact["first_name"] for contact in page["data"]} == {f"T{number}"}
            assert page["total"]["count"] == len(page["data"]) == turn + 1

    await asyncio.gather(*(live(number) for number in range(8)))


async def test_fifty_creates_at_once_under_reject_admit_one(bellbird: Bellbird) -> None:
    api = await client(bellbird, duplicate_policy="reject")
    body = {"emails": [{"address": "ann@acme.example"}]}
    answers = await asyncio.gather(*(api.post("/contacts", json=body) for _ in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 49


async def test_a_worker_beside_it_works_past_it(pooler: str, own_cluster: Cluster) -> None:
    direct = own_cluster.conninfo("bellbird")
    settings = Settings(  # type: ignore[call-arg]
        _env_file=None, database_url=pooler, direct_database_url=direct, secret=SECRET, prepared_statements=False,  # type: ignore[arg-type]
    )  # fmt: skip
    stop, heard = asyncio.Event(), asyncio.Event()
    async with Bellbird(settings) as bellbird:

        @bellbird.on("contact.created", name=f"test-{uuid4().hex}")
        async def hear(event: Logged) -> None:
            heard.set()

        working = asyncio.create_task(bellbird.work(stop))
        api = await client(bellbird)
        async with asyncio.timeout(60):
            while not heard.is_set():  # a hook hears what happens from when it is first run
                assert (await api.post("/contacts", json={"first_name": "Ann"})).status_code == 201
                await asyncio.sleep(0.1)
            assign = {"kind": "contacts.assign", "params": {"from": None, "to": str(uuid4())}}
            path = (await api.post("/operations", json=assign)).headers["location"].removeprefix("/api/v1")
            while (await api.get(path)).json()["state"] != "completed":
                await asyncio.sleep(0.05)
            stop.set()
            await working


async def test_no_tenant_and_no_role_stays_on_the_servers_connections(bellbird: Bellbird, pooler: str) -> None:
    api = await client(bellbird)
    await asyncio.gather(*(api.post("/contacts", json={"first_name": "Ann"}) for _ in range(20)))
    for _ in range(20):
        with psycopg.connect(pooler, autocommit=True) as connection:
            row = connection.execute("select current_setting('app.tenant_id', true), current_user").fetchone()
            assert row in ((None, "postgres"), ("", "postgres"))


async def test_with_prepared_statements_left_on_the_answer_says_what_to_set(
    bellbird: Bellbird, pooler: str, program: Path
) -> None:
    """PgBouncer before 1.21 hands the next transaction to a connection that never saw the statement."""
    async with bellbird.system(Actor.system()) as system:
        tenant = await tenants.create(system, f"t-{uuid4().hex}")
    async with Engine(pooler) as engine:

        async def ask(number: int) -> None:
            reader = engine.reader(tenant.id, Actor.system())
            for _ in range(10):
                await reader.all(f"select {number % 4}, pg_sleep(0.002)")

        outcomes = await asyncio.gather(*(ask(number) for number in range(8)), return_exceptions=True)
    refused = [outcome for outcome in outcomes if outcome is not None]
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    assert refused or tuple(map(int, said.split()[1].split(".")[:2])) >= (1, 21)
    for outcome in refused:
        assert isinstance(outcome, Unavailable)
        assert "BELLBIRD_PREPARED_STATEMENTS=false" in outcome.detail
