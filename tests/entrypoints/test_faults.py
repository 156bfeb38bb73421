"""When the database goes away, hangs up or fails to commit: what is answered then, and that it passes by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.app import Bellbird, create_app
from bellbird.core.actors import Actor
from bellbird.core.clock import SystemClock
from bellbird.core.engine import Engine
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.tokens import Tokens
from bellbird.features import tenants
from tests.conftest import SECRET, run
from tests.servers import Cluster, Serving, ask, serving, wait_for


@pytest.fixture(scope="module")
def process(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server process over a PostgreSQL of its own."""
    settings = {"database_url": own_cluster.conninfo("bellbird"), "secret": SECRET, "pool_timeout": "1"}
    with serving(tmp_path_factory.mktemp("serving"), **settings) as served:
        yield served


@pytest.fixture(scope="module")
async def acme(own_cluster: Cluster) -> Tenant:
    async with Engine(own_cluster.conninfo("bellbird")) as engine, engine.system(Actor.system()) as system:
        return await tenants.create(system, f"t-{uuid4().hex}")


@pytest.fixture
def http(process: Serving, acme: Tenant) -> Iterator[httpx.Client]:
    token = Tokens(SECRET, SystemClock()).make(acme.id, uuid4(), valid_for=timedelta(hours=1))
    with httpx.Client(base_url=process.url, headers={"Authorization": f"Bearer {token}"}, timeout=15) as client:
        yield client


def unavailable(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"].startswith("application/problem+json")


def contacts_in(cluster: Cluster) -> int:
    ((count,),) = ask(cluster.conninfo("bellbird"), "select count(*) from contacts")
    assert isinstance(count, int)
    return count


def test_while_the_database_is_down_it_says_so_and_then_works_by_itself(
    own_cluster: Cluster, http: httpx.Client
) -> None:
    ann = http.post("/api/v1/contacts", json={"first_name": "Ann"})
    path = ann.headers["location"]
    before = contacts_in(own_cluster)
    own_cluster.stop()
    try:
        for answer in (
            http.get(path),
            http.get("/api/v1/contacts"),
            http.post("/api/v1/contacts", json={"first_name": "Ben"}),
            http.patch(path, json={"last_name": "Lee"}),
        ):
            unavailable(answer)
        assert http.get("/healthz").status_code == 200, "the process itself is well"
        ready = http.get("/readyz")
        assert (ready.status_code, "retry-after" in ready.headers) == (503, True)
    finally:
        own_cluster.start()
    started = time.monotonic()
    wait_for(lambda: http.get(path).status_code == 200, "reading again", seconds=5)
    assert time.monotonic() - started < 3
    assert http.get("/readyz").status_code == 200
    assert http.post("/api/v1/contacts", json={"first_name": "Cas"}).status_code == 201
    assert contacts_in(own_cluster) == before + 1, "what was answered with 503 was not written"


def test_connections_that_the_server_dropped_while_idle_are_not_noticed_by_anybody(
    own_cluster: Cluster, http: httpx.Client
) -> None:
    path = http.post("/api/v1/contacts", json={"first_name": "Ann"}).headers["location"]
    for request in (("GET", path, None), ("POST", "/api/v1/contacts", {"first_name": "Ben"})):
        backends = "from pg_stat_activity where application_name = 'bellbird'"
        ask(own_cluster.conninfo("bellbird"), f"select pg_terminate_backend(pid, 5000) {backends}")
        method, where, body = request
        assert http.request(method, where, json=body).status_code in (200, 201)


def test_a_crash_and_recovery_is_passed_as_well(own_cluster: Cluster, http: httpx.Client) -> None:
    path = http.post("/api/v1/contacts", json={"first_name": "Ann"}).headers["location"]
    own_cluster.stop("immediate")
    unavailable(http.get(path))
    own_cluster.start()
    wait_for(lambda: http.get("/readyz").status_code == 200, "being ready again", seconds=10)
    # With fsync and synchronous_commit off, as tests have it, what was committed last may be lost in a crash.
    assert http.get(path).status_code in (200, 404)
    assert http.post("/api/v1/contacts", json={"first_name": "Ben"}).status_code == 201


def test_a_body_of_50_megabytes_is_refused_quickly(http: httpx.Client) -> None:
    started = time.monotonic()
    answer = http.post("/api/v1/contacts", content=b'{"first_name":"' + b"x" * 50_000_000 + b'"}')
    assert answer.status_code == 413
    assert time.monotonic() - started < 3

    def endless() -> Iterator[bytes]:
        for _ in range(50):
            yield b"x" * 1_000_000

    with suppress(httpx.TransportError):  # the server may hang up on the rest, which is as good
        assert http.post("/api/v1/contacts", content=endless()).status_code == 413
    assert http.get("/healthz").status_code == 200


# The backends that wait for a lock, and so for this test.
WAITING = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


@asynccontextmanager
async def locked(conninfo: str, table: str) -> AsyncIterator[psycopg.Connection[Any]]:
    """A table that nobody can use meanwhile; yields another connection."""
    with psycopg.connect(conninfo) as holder, psycopg.connect(conninfo, autocommit=True) as owner:
        holder.execute(f"lock table {table} in access exclusive mode".encode())
        yield owner
        holder.rollback()


async def kill_the_waiting(owner: psycopg.Connection[Any]) -> None:
    for _ in range(500):
        if waiting := owner.execute(WAITING).fetchall():
            for (pid,) in waiting:
                owner.execute("select pg_terminate_backend(%s, 5000)", [pid])
            return
        await asyncio.sleep(0.01)
    raise AssertionError("nobody waits")


@pytest.fixture
async def alone(clone: str) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """The API over a database of this test's own, in this process."""
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:
        async with bellbird.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")
        transport = httpx.ASGITransport(create_app(bellbird), raise_app_exceptions=False)
        token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=1))
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://t/api/v1", headers=headers) as api:
            yield api, clone


async def test_a_read_whose_connection_is_killed_is_asked_again(alone: tuple[httpx.AsyncClient, str]) -> None:
    api, conninfo = alone
    ann = (await api.post("/contacts", json={"first_name": "Ann"})).json()
    for path in (f"/contacts/{ann['id']}", "/contacts?q=ann&total=true", "/contacts/lookup?number=345678"):
        async with locked(conninfo, "contacts") as owner:
            asked = asyncio.create_task(api.get(path))
            await kill_the_waiting(owner)
        assert (await asked).status_code == 200


async def test_a_read_that_is_killed_twice_is_given_up(alone: tuple[httpx.AsyncClient, str]) -> None:
    api, conninfo = alone
    async with locked(conninfo, "contacts") as owner:
        asked = asyncio.create_task(api.get("/contacts"))
        await kill_the_waiting(owner)
        await kill_the_waiting(owner)
        unavailable(await asked)
    assert (await api.get("/contacts")).status_code == 200


async def test_a_write_whose_connection_is_killed_is_not_done_twice_but_answered_503(
    alone: tuple[httpx.AsyncClient, str],
) -> None:
    api, conninfo = alone
    async with locked(conninfo, "contacts") as owner:
        asked = asyncio.create_task(api.post("/contacts", json={"first_name": "Ann"}))
        await kill_the_waiting(owner)
        unavailable(await asked)
    assert (await api.get("/contacts")).json()["data"] == []
    assert (await api.post("/contacts", json={"first_name": "Ann"})).status_code == 201


FAILING_COMMITS = {
    "a deferred constraint": "raise exception 'not at the end' using errcode = 'check_violation'",
    "a lost connection": "perform pg_terminate_backend(pg_backend_pid())",
    "a serialization failure": "raise exception 'again' using errcode = 'serialization_failure'",
}


@pytest.mark.parametrize("failure", FAILING_COMMITS)
async def test_a_commit_that_fails_is_never_answered_as_if_it_had_not(
    alone: tuple[httpx.AsyncClient, str], failure: str
) -> None:
    api, conninfo = alone
    ann = (await api.post("/contacts", json={"first_name": "Ann", "external_id": "1"})).json()
    gone = (await api.post("/contacts", json={"first_name": "Gone"})).json()
    await api.delete(f"/contacts/{gone['id']}")
    body = f"begin {FAILING_COMMITS[failure]}; return null; end"
    run(conninfo, f"create function fail() returns trigger language plpgsql security definer as $${body}$$")
    run(conninfo, "create constraint trigger at_the_end after insert or update or delete on contacts_default"
                  " deferrable initially deferred for each row execute function fail()")  # fmt: skip
    before = everything(conninfo)
    path = f"/contacts/{ann['id']}"
    for answer in (
        await api.post("/contacts", json={"first_name": "Ben"}),
        await api.put("/contacts?match=external_id", json={"first_name": "Ben", "external_id": "1"}),
        await api.put("/contacts?match=external_id", json={"first_name": "Ben", "external_id": "2"}),
        await api.patch(path, json={"last_name": "Lee"}),
        await api.delete(path),
        await api.post(f"/contacts/{gone['id']}/restore"),
        await api.post(f"{path}/purge"),
    ):
        assert answer.status_code == (500 if failure == "a deferred constraint" else 503), answer.text
        assert "location" not in answer.headers
        assert "Ben" not in answer.text
    assert everything(conninfo) == before
    run(conninfo, "drop trigger at_the_end on contacts_default")
    assert (await api.patch(path, json={"last_name": "Lee"})).status_code == 200


def everything(conninfo: str) -> list[Any]:
    return [ask(conninfo, f"select t::text from {table} t order by 1") for table in ("contacts", "events")]


async def test_a_fault_of_ours_is_logged_with_its_request_and_told_without_its_details(
    alone: tuple[httpx.AsyncClient, str], caplog: pytest.LogCaptureFixture
) -> None:
    api, conninfo = alone
    run(conninfo, "alter table contacts rename column company to firm")
    answer = await api.post("/contacts", json={"first_name": "Secret"}, headers={"X-Request-Id": "trace-7"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "firm" not in answer.text
    assert "company" not in answer.text
    (record,) = [record for record in caplog.records if record.name == "bellbird"]
    assert "trace-7" in record.getMessage()
    assert record.exc_info


async def test_a_table_that_was_altered_meanwhile_is_read_again(alone: tuple[httpx.AsyncClient, str]) -> None:
    """ "cached plan must not change result type": what a migration does to statements prepared before it."""
    api, conninfo = alone
    ann = (await api.post("/contacts", json={"first_name": "Ann"})).json()
    for _ in range(3):
        assert (await api.get(f"/contacts/{ann['id']}")).status_code == 200
    run(conninfo, "alter table tenants alter column name type varchar(300)")
    run(conninfo, "drop view tenant_contacts")
    run(conninfo, "alter table contacts alter column job_title type varchar(300)")
    from bellbird.core.migrate import tenant_view

    for statement in tenant_view("tenant_contacts", "contacts"):
        run(conninfo, statement)
    assert (await api.get(f"/contacts/{ann['id']}")).status_code == 200
    answer = await api.patch(f"/contacts/{ann['id']}", json={"last_name": "Lee"})
    assert answer.status_code in (200, 503)
    assert (await api.patch(f"/contacts/{ann['id']}", json={"last_name": "Ngata"})).status_code == 200


async def test_when_every_connection_is_busy_the_rest_are_told_to_come_again(clone: str) -> None:
    async with Engine(clone, pool_size=1, pool_timeout=0.2) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")
        async with engine.tenant(tenant.id, Actor.system()) as tx:
            await tx.tenant()
            with pytest.raises(Exception, match="cannot be reached") as refused:
                await engine.reader(tenant.id, Actor.system()).all("select 1")
            assert getattr(refused.value, "status", None) == 503
        assert await engine.reader(tenant.id, Actor.system()).all("select 1") == [(1,)]


async def test_the_application_uses_the_engine_that_it_was_given(alone: tuple[httpx.AsyncClient, str]) -> None:
    """Litestar copies what it is built from: with an engine of its own the application would outlive its owner."""
    api, conninfo = alone
    ours = "select count(*) from pg_stat_activity where application_name = 'bellbird' and datname = current_database()"
    settings = Settings(_env_file=None, database_url=conninfo, secret=SECRET)  # type: ignore[call-arg, arg-type]
    before = ask(conninfo, ours)
    async with Bellbird(settings) as bellbird:
        transport = httpx.ASGITransport(create_app(bellbird))
        async with httpx.AsyncClient(transport=transport, base_url="http://t/api/v1", headers=api.headers) as other:
            assert (await other.get("/contacts")).status_code == 200
        assert ask(conninfo, ours) != before
    wait_for(lambda: ask(conninfo, ours) == before, "hanging up")
