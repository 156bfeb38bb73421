"""Composition: settings to engine, engine to the doors."""

import asyncio
import gc
import importlib
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from importlib.metadata import entry_points, version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from bellbird.core import migrate, postgres
from bellbird.core.actors import Actor
from bellbird.core.clock import Clock
from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE, Engine, ReadTx, SystemTx, Tx
from bellbird.core.errors import BellbirdError, HookInvalid
from bellbird.core.hooks import Function, Hooks
from bellbird.core.principals import Principals
from bellbird.core.settings import Settings, load, signing_secret
from bellbird.core.telephony import Providers, Surroundings
from bellbird.entrypoints.tokens import Tokens
from bellbird.features import FEATURES
from bellbird.features.tenants import queries as tenants

if TYPE_CHECKING:
    from bellbird.core.metrics import Metrics
    from bellbird.core.shared_cache import SharedCache
    from bellbird.core.tracing import Tracing
    from bellbird.entrypoints.rest import Access, Identify


class SchemaOutOfDate(BellbirdError):
    """The database is not at the revision that this version of Bellbird needs: run `bellbird migrate`."""

    code = "schema_out_of_date"
    status = 503


class Bellbird:
    """Bellbird over one database, for use as a library.

        async with Bellbird() as bellbird:
            async with bellbird.tenant("acme", Actor.user(user_id)) as tx:
                await contacts.create(tx, NewContact(first_name="Ann"))

    Without `BELLBIRD_DATABASE_URL` it starts, or joins, the embedded PostgreSQL and brings it up to date.
    """

    def __init__(self, settings: Settings | None = None, *, clock: Clock | None = None) -> None:
        self.settings = settings or load()
        self._clock = clock
        self._server: postgres.EmbeddedServer | None = None
        self._engine: Engine | None = None
        self.hooks = Hooks(self, timeout=self.settings.hook_timeout)
        self._has_packaged = False
        self.tracing: Tracing | None = None

    @property
    def data_dir(self) -> Path:
        """Where the embedded server and the generated secret live."""
        return self.settings.data_dir or postgres.default_data_dir()

    @property
    def engine(self) -> Engine:
        """The engine, once opened."""
        assert self._engine is not None, "use `async with Bellbird() as bellbird:`, or call open()"
        return self._engine

    @property
    def tokens(self) -> Tokens:
        """Makes and checks access tokens."""
        return Tokens(self.secret, self.engine.clock, self.settings.issuers)

    @property
    def secret(self) -> str:
        """What tokens are signed with, and answers kept for a while encrypted."""
        return signing_secret(self.settings, self.data_dir)

    def conninfo(self, role: str | None = None) -> str:
        """How to reach the database: as the owner, or in the embedded one as a role itself."""
        if self.settings.database_url is not None:
            return self.settings.database_url.get_secret_value()
        if self._server is None:
            self._server = postgres.start(self.settings.data_dir)
        return self._server.conninfo(user=role or "postgres")

    def _direct_conninfo(self) -> str | None:
        url = self.settings.direct_database_url
        return None if url is None else url.get_secret_value()

    def before(self, verb: str, *, name: str | None = None) -> Callable[[Function], Function]:
        """Have a coroutine function called before each change of a kind, in its transaction: see `Hooks.before`."""
        _import_features()
        return self.hooks.before(verb, name=name)

    def on(
        self, *types: str, name: str | None = None, tries: int = 5, timeout: float = 30.0
    ) -> Callable[[Function], Function]:
        """Have a coroutine function called by a worker for each event of a type, after it: see `Hooks.on`."""
        _import_features()
        return self.hooks.on(*types, name=name, tries=tries, timeout=timeout)

    def open(self) -> Engine:
        """Start what has to be started and check that the database is ready. Blocks for a moment.

        Raises SchemaOutOfDate, PostgresUnusable, HookInvalid for a hook that another package brings and that is broken.
        """
        if self._engine is None:
            _import_features()
            if not self._has_packaged:
                _load_hooks(self)
                self._has_packaged = True
            owner = self.conninfo()
            if migrate.current(owner) != migrate.latest():
                if self._server is None:
                    raise SchemaOutOfDate()
                migrate.upgrade(owner)
            self.tracing = _tracing(self.settings)
            self._engine = Engine(
                self.conninfo(APP_ROLE),
                system_conninfo=self.conninfo(SYSTEM_ROLE),
                direct_conninfo=self._direct_conninfo(),
                secret=self.secret,
                clock=self._clock,
                pool_size=self.settings.pool_size,
                pool_timeout=self.settings.pool_timeout,
                prepared_statements=self.settings.prepared_statements,
                tracing=self.tracing,
                hooks=self.hooks,
                public_url=self.settings.public_url or f"http://{self.settings.host}:{self.settings.port}",
            )
            self._engine.providers = _providers(self._engine)
        return self._engine

    async def close(self) -> None:
        """Close the connections and let go of the embedded server; the last process out stops it."""
        if self._engine is not None:
            await self._engine.close()
            self._engine = None
        if self._server is not None:
            await asyncio.to_thread(self._server.release)
            self._server = None
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
            self.tracing = None

    async def __aenter__(self) -> "Bellbird":
        await asyncio.to_thread(self.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def tenant(self, tenant: str | UUID, actor: Actor) -> AsyncIterator[Tx]:
        """A transaction of a tenant, by slug or id. Raises TenantNotFound."""
        async with self.engine.tenant(await self._id_of(tenant), actor) as tx:
            yield tx

    @asynccontextmanager
    async def reader(self, tenant: str | UUID, actor: Actor) -> AsyncIterator[ReadTx]:
        """Reads of a tenant, by slug or id. Raises TenantNotFound."""
        async with self.engine.reader(await self._id_of(tenant), actor) as tx:
            yield tx

    def system(self, actor: Actor) -> AbstractAsyncContextManager[SystemTx]:
        """A transaction across tenants, for the operator's own commands."""
        return self.engine.system(actor)

    async def work(
        self, stop: asyncio.Event, *, queues: Sequence[str] | None = None, concurrency: int | None = None
    ) -> None:
        """Do the queue's jobs and deliver the log's events until `stop` is set, then finish what was begun.

        `bellbird worker` in the host's own process; `queues` and `concurrency` are as there.
        """
        from bellbird.entrypoints import upkeep, worker

        assert upkeep
        doors("jobs")
        await worker.work(
            self.engine, self.settings, stop, queues=queues, concurrency=concurrency, beside=_beside(self)
        )

    async def _id_of(self, tenant: str | UUID) -> UUID:
        if isinstance(tenant, UUID):
            return tenant
        async with self.engine.system(Actor.system()) as tx:
            return (await tenants.get(tx, tenant)).id


def _providers(engine: Engine) -> Providers:
    """The call providers; a simulated one's callbacks come in as those from the network do."""
    from bellbird.features.calls import receiving

    return Providers(Surroundings(engine.clock, deliver=partial(receiving.receive, engine)))


def _import_features() -> None:
    """Some say what others go by: of which kinds of record a role withholds fields, what hooks can come before."""
    for feature in FEATURES:
        importlib.import_module(f"bellbird.features.{feature}")


# A package brings hooks by an entry point: something to be called with the Bellbird, on which it registers them.
HOOKS = "bellbird.hooks"


def _load_hooks(bellbird: Bellbird) -> None:
    """Raises HookInvalid, naming what cannot be loaded."""
    for entry in sorted(entry_points(group=HOOKS), key=lambda entry: entry.name):
        try:
            entry.load()(bellbird)
        except Exception as error:
            package = entry.dist.name if entry.dist else "a package"
            raise HookInvalid(
                f"The hooks {entry.name} ({entry.value}) of {package} cannot be loaded: {type(error).__name__}: {error}"
            ) from error


def doors(kind: str) -> list[Any]:
    """The features' modules of one kind (`rest`, `cli`), in rank order."""
    names = [f"bellbird.features.{feature}.{kind}" for feature in FEATURES]
    return [importlib.import_module(name) for name in names if importlib.util.find_spec(name)]


def _beside(bellbird: Bellbird) -> list[Callable[[asyncio.Event], Awaitable[None]]]:
    """What a worker runs besides the queue."""
    from bellbird.core.consumers import Consumers

    return [Consumers(bellbird.engine, bellbird.hooks.consumers()).run]


def create_app(bellbird: Bellbird | None = None, *, identify: "Identify | None" = None) -> Any:
    """The ASGI application: REST under /api/v1, its description at /openapi.json and /docs, health checks.

    Given an opened `Bellbird`, it can be mounted in any ASGI application and leaves it open at the end.
    With `identify`, the host application says who is calling: it is given the ASGI scope and returns `Claims`,
    or None for nobody, at once or as an awaitable; Bellbird's own tokens and keys are then not looked at.
    """
    from bellbird.core.metrics import Metrics
    from bellbird.entrypoints import numbers
    from bellbird.entrypoints.asgi import build
    from bellbird.entrypoints.idempotency import Vault
    from bellbird.entrypoints.rates import RateLimits
    from bellbird.entrypoints.rest import Access
    from bellbird.entrypoints.stream import Hub
    from bellbird.features.live import owners

    ours = bellbird is None
    bellbird = bellbird or Bellbird()
    engine = bellbird.open()
    if ours:
        # This process serves and does nothing else. What is loaded by now is never garbage, and a page of fifty
        # contacts is a thousand objects that are gone with the answer: looking through them less often cuts the p99.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 100)

    settings = bellbird.settings
    rates, shared = RateLimits(settings), _shared_cache(bellbird)
    principals = Principals(engine, token_role=settings.token_role, shared=shared)
    access = Access(
        engine, bellbird.tokens, principals, rates, Vault(bellbird.secret), settings=settings, identify=identify
    )
    metrics = Metrics(version("bellbird-crm"), folder=settings.metrics_dir)
    _count(metrics, access, shared)
    numbers.tell(metrics, engine)

    async def ready() -> None:
        if await engine.revision() != migrate.latest():
            raise SchemaOutOfDate()

    return build(
        access,
        [route for door in doors("rest") for route in door.ROUTES],
        version=version("bellbird-crm"),
        settings=settings,
        metrics=metrics,
        tracing=bellbird.tracing,
        hub=Hub(access, owners.find, settings),
        ready=ready,
        on_shutdown=[
            principals.close,
            rates.close,
            *([shared.close] if shared else []),
            *([bellbird.close] if ours else []),
        ],
        owns_process=ours,
        beside=bellbird.work if ours and settings.with_worker else None,
    )


def _tracing(settings: Settings) -> "Tracing | None":
    if settings.otlp_endpoint is None:
        return None
    from bellbird.core.tracing import Tracing

    return Tracing(settings.otlp_endpoint, version=version("bellbird-crm"))


def _count(metrics: "Metrics", access: "Access", shared: "SharedCache | None") -> None:
    """Tell the metrics who counts something."""
    metrics.cache("tenants", access.engine.snapshots)
    metrics.cache("actors", access.principals)
    metrics.cache("tokens", access.tokens)
    if shared is not None:
        metrics.cache("shared", shared)
        metrics.counter(
            "bellbird_shared_cache_failures", "Questions that the shared cache did not answer.", lambda: shared.failures
        )
    rates, tokens = access.rates, access.tokens
    metrics.counter(
        "bellbird_rate_limit_failures", "Questions that Redis did not answer about limits.", lambda: rates.failures
    )
    metrics.counter(
        "bellbird_rate_limit_unchecked", "Requests that passed uncounted meanwhile.", lambda: rates.unchecked
    )
    metrics.counter("bellbird_issuer_fetches", "Times that an issuer was asked for keys.", lambda: tokens.fetches[0])
    metrics.counter("bellbird_issuer_failures", "Times that it was asked in vain.", lambda: tokens.fetches[1])
    _count_callbacks(metrics)


def _count_callbacks(metrics: "Metrics") -> None:
    """Tell the metrics what call providers have told, and those who pretended to be one."""
    from bellbird.features.calls import receiving

    metrics.counter(
        "bellbird_call_callbacks", "Callbacks of call providers, by what they were worth.",
        lambda: {labels: float(count) for labels, count in receiving.HEARD.items()}, ("provider", "verdict"),
    )  # fmt: skip
    metrics.counter(
        "bellbird_call_callbacks_refused", "Callbacks that were not believed.",
        lambda: {(why,): float(count) for why, count in receiving.REFUSED.items()}, ("why",),
    )  # fmt: skip


def _shared_cache(bellbird: Bellbird) -> "SharedCache | None":
    url = bellbird.settings.redis_url
    if url is None:
        return None
    from bellbird.core.shared_cache import SharedCache

    return SharedCache(url.get_secret_value(), bellbird.secret)
