"""What every test may use: a real PostgreSQL with a database of its own, fresh tenants, the library and the API.

    pytest                      against the embedded PostgreSQL
    pytest --postgres=system    against the machine's own (15 on Debian 12), in a cluster made for the run

Each worker has its own database, cloned from one that was migrated once.
Tests commit for real: every test has a fresh tenant, and tenants do not see each other.
"""

import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from bellbird.app import Bellbird, create_app
from bellbird.core import migrate, postgres
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant, TenantSettings
from bellbird.features import tenants
from tests.servers import Cluster, missing, running, system_binaries

SECRET = "only-for-tests-" + "0123456789abcdef" * 2

# The database is shared by all examples, and a slow machine is no fault.
hypothesis_settings.register_profile(
    "bellbird",
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
hypothesis_settings.load_profile("bellbird")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres", choices=["embedded", "system"], default="embedded", help="the PostgreSQL to test with"
    )


def pytest_configure(config: pytest.Config) -> None:
    # The developer's own settings are not the tests'.
    for name in list(os.environ):
        if name.startswith(("BELLBIRD_", "PG")):
            del os.environ[name]
    if not hasattr(config, "workerinput"):
        config.stash[BASE] = Path(tempfile.mkdtemp(prefix="bb-tests-"))
    else:
        config.stash[BASE] = Path(config.workerinput["base"])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """pytest-xdist: a worker learns where the servers are."""
    node.workerinput["base"] = str(node.config.stash[BASE])


def pytest_unconfigure(config: pytest.Config) -> None:
    """At the very end, when every worker is done: stop what still runs and leave nothing behind."""
    base = config.stash.get(BASE, None)
    if base is None or hasattr(config, "workerinput"):
        return
    if (base / "system").exists() and (binaries := system_binaries()):
        server = Cluster(binaries, base / "system")
        if server.pid:
            server.stop("immediate")
    shutil.rmtree(base, ignore_errors=True)


BASE = pytest.StashKey[Path]()


@dataclass(frozen=True)
class Server:
    """The PostgreSQL of this run."""

    conninfo: Callable[..., str]
    """`conninfo(dbname, user="postgres")`"""
    logs_in_as_app: bool
    """Whether `bellbird_app` can log in, as in the embedded server; elsewhere the engine becomes it."""


@contextmanager
def one_at_a_time(base: Path) -> Iterator[None]:
    with open(base / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def base(request: pytest.FixtureRequest) -> Path:
    """A short folder that all workers share and that is removed in the end."""
    return request.config.stash[BASE]


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, base: Path) -> Iterator[Server]:
    """The PostgreSQL server that `--postgres` names, with a migrated template database in it."""
    if request.config.getoption("--postgres") == "system":
        binaries = system_binaries()
        if binaries is None:
            missing("PostgreSQL (initdb)")
        assert binaries
        cluster = Cluster(binaries, base / "system")
        with one_at_a_time(base):
            if not cluster.data.exists():
                # The server's user passes through the folder, and nobody can list it.
                base.chmod(0o711)
                cluster.create()
                cluster.start()
                make_template(cluster.conninfo)
        yield Server(cluster.conninfo, logs_in_as_app=False)
        return
    with one_at_a_time(base):
        folder = base / "embedded"
        fresh = not folder.exists()
        if fresh:
            base.chmod(0o711)
            folder.mkdir(mode=0o711)
            # The files are thrown away after the tests, so nobody waits for the disk.
            (folder / "custom.conf").write_text(
                "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nlogging_collector = off\n"
                "shared_buffers = 64MB\n"
            )
        embedded = postgres.start(folder)

        def conninfo(dbname: str, user: str = "postgres") -> str:
            return f"postgresql:///{dbname}?host={embedded.socket_dir}&user={user}"

        if fresh:
            make_template(conninfo)
    yield Server(conninfo, logs_in_as_app=True)
    embedded.release()


def make_template(conninfo: Callable[..., str]) -> None:
    run(conninfo("postgres"), "create database bellbird_template")
    migrate.upgrade(conninfo("bellbird_template"))


def run(conninfo: str, statement: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement.encode())


@contextmanager
def cloned(server: Server, name: str) -> Iterator[str]:
    """A database like the template, dropped in the end; yields its name."""
    run(server.conninfo("postgres"), f"create database {name} template bellbird_template strategy file_copy")
    try:
        yield name
    finally:
        run(server.conninfo("postgres"), f"drop database {name} with (force)")


@pytest.fixture(scope="session")
def database(server: Server, base: Path) -> Iterator[str]:
    """This worker's database."""
    name = f"bellbird_{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}"
    with cloned(server, name):
        yield name


@pytest.fixture
def clone(server: Server) -> Iterator[str]:
    """The owner's connection string to a database of this test alone, for what would disturb others."""
    with cloned(server, f"bellbird_{secrets.token_hex(4)}") as name:
        yield server.conninfo(name)


@pytest.fixture(scope="session")
def owner_conninfo(server: Server, database: str) -> str:
    return server.conninfo(database)


@pytest.fixture(scope="session")
async def engine(server: Server, database: str) -> AsyncIterator[Engine]:
    """The engine as the application runs it."""
    if server.logs_in_as_app:
        made = Engine(
            server.conninfo(database, "bellbird_app"),
            system_conninfo=server.conninfo(database, "bellbird_system"),
            secret=SECRET,
        )
    else:
        made = Engine(server.conninfo(database), secret=SECRET)
    async with made:
        yield made


@pytest.fixture
def owner(owner_conninfo: str) -> Iterator[psycopg.Connection[Any]]:
    """The database as its superuser sees it: every tenant, every table."""
    with psycopg.connect(owner_conninfo, autocommit=True) as connection:
        yield connection


@pytest.fixture
def app_role(server: Server, database: str) -> Iterator[psycopg.Connection[Any]]:
    """A plain connection with the rights of the application, and no tenant set."""
    user = "bellbird_app" if server.logs_in_as_app else "postgres"
    with psycopg.connect(server.conninfo(database, user), autocommit=True) as connection:
        connection.execute("set role bellbird_app")
        yield connection


NewTenant = Callable[..., Any]


@pytest.fixture
def new_tenant(engine: Engine) -> NewTenant:
    """`await new_tenant(duplicate_policy="reject")`: a fresh tenant with these settings."""

    async def make(**settings: Any) -> Tenant:
        async with engine.system(Actor.system()) as tx:
            return await tenants.create(tx, f"t-{uuid4().hex}", settings=TenantSettings(**settings))

    return make


@pytest.fixture
async def tenant(new_tenant: NewTenant) -> Tenant:
    made: Tenant = await new_tenant()
    return made


@pytest.fixture
async def other_tenant(new_tenant: NewTenant) -> Tenant:
    made: Tenant = await new_tenant()
    return made


@pytest.fixture(scope="session")
def actor() -> Actor:
    return Actor.user(UUID("0192f0c0-0000-7000-8000-00000000a117"))


Begin = Callable[..., AbstractAsyncContextManager[Tx]]


@pytest.fixture
def begin(engine: Engine, tenant: Tenant, actor: Actor) -> Begin:
    """`async with begin() as tx:` a transaction of the test's tenant, or of another one given."""

    def open_one(of: Tenant = tenant) -> AbstractAsyncContextManager[Tx]:
        return engine.tenant(of.id, actor)

    return open_one


@pytest.fixture
def read(engine: Engine, tenant: Tenant, actor: Actor) -> ReadTx:
    """Reads of the test's tenant."""
    return ReadTx(engine, tenant.id, actor, None)


class RollBack(Exception):
    """Ends a test's transaction."""


@pytest.fixture
async def tx(begin: Begin) -> AsyncIterator[Tx]:
    """A transaction of the test's tenant, rolled back at the end."""
    try:
        async with begin() as opened:
            yield opened
            raise RollBack
    except RollBack:
        pass


@pytest.fixture(scope="session")
async def bellbird(owner_conninfo: str) -> AsyncIterator[Bellbird]:
    """Bellbird over this worker's database, logged in as its owner, who becomes the roles."""
    settings = Settings(_env_file=None, database_url=owner_conninfo, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as opened:
        yield opened


@pytest.fixture(scope="session")
def app(bellbird: Bellbird) -> Any:
    """The ASGI application."""
    return create_app(bellbird)


def routes(app: Any) -> list[tuple[str, str, HTTPRouteHandler]]:
    """Every method and path of the API with its handler, read from the application itself."""
    while not isinstance(app, Litestar):
        app = app.app
    return [
        (method, route.path_format, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/v1")
        for handler in route.route_handlers
        for method in sorted(handler.http_methods - {"OPTIONS", "HEAD"})
    ]


SignIn = Callable[..., httpx.AsyncClient]


@pytest.fixture
async def sign_in(app: Any, bellbird: Bellbird) -> AsyncIterator[SignIn]:
    """`sign_in(tenant)`: an HTTP client of the application with a token for this tenant, an owner's unless said.

    `sign_in(tenant, roles=("agent",), user=id, visibility="own")`, or with a credential of any kind: `key=text`.
    """
    clients = []

    def client_for(
        of: Tenant, *, user: UUID | None = None, roles: tuple[str, ...] | None = ("owner",), key: str | None = None,
        **claims: Any,
    ) -> httpx.AsyncClient:  # fmt: skip
        token = key or bellbird.tokens.make(of.id, user or uuid4(), valid_for=timedelta(hours=1), roles=roles, **claims)
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://bellbird.test/api/v1",
            headers={"Authorization": f"Bearer {token}"},
        )
        clients.append(client)
        return client

    yield client_for
    for client in clients:
        await client.aclose()


@pytest.fixture
def api(sign_in: SignIn, tenant: Tenant) -> httpx.AsyncClient:
    """The API, signed in for the test's tenant."""
    return sign_in(tenant)


@pytest.fixture
def other_api(sign_in: SignIn, other_tenant: Tenant) -> httpx.AsyncClient:
    """The API, signed in for another tenant."""
    return sign_in(other_tenant)


@pytest.fixture(scope="session")
def own_cluster(request: pytest.FixtureRequest, base: Path) -> Iterator[Cluster]:
    """A PostgreSQL server of this worker alone, of the kind that is tested with, which tests may stop and start."""
    embedded = request.config.getoption("--postgres") == "embedded"
    binaries = postgres.binaries() if embedded else system_binaries()
    if binaries is None:
        missing("PostgreSQL (initdb)")
    assert binaries
    base.chmod(0o711)
    with running(binaries, base / f"own-{os.environ.get('PYTEST_XDIST_WORKER', 'gw')}") as cluster:
        run(cluster.conninfo("postgres"), "create database bellbird")
        migrate.upgrade(cluster.conninfo("bellbird"))
        yield cluster
