"""The ASGI application around the features' routes: health, metrics, description, errors, conduct."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State

from bellbird.core.engine import Engine
from bellbird.core.errors import NotSignedIn, Unavailable
from bellbird.core.metrics import Metrics
from bellbird.core.settings import Settings
from bellbird.entrypoints import docs, docs_page, openapi
from bellbird.entrypoints.conduct import Conduct
from bellbird.entrypoints.idempotency import Holding
from bellbird.entrypoints.lifetime import Beside, lifetime
from bellbird.entrypoints.openapi import API
from bellbird.entrypoints.problems import EXCEPTION_HANDLERS, refuse
from bellbird.entrypoints.rest import Access, header
from bellbird.entrypoints.stream import Hub

if TYPE_CHECKING:
    from bellbird.core.tracing import Tracing

HEALTH = docs.tag("Health", "Whether the server runs and can serve.")


def build(
    access: Access,
    routes: Sequence[Any],
    *,
    version: str,
    settings: Settings,
    metrics: Metrics,
    tracing: "Tracing | None" = None,
    hub: Hub,
    ready: Callable[[], Awaitable[None]],
    on_shutdown: Sequence[Callable[[], Awaitable[None]]] = (),
    owns_process: bool = False,
    beside: Beside | None = None,
) -> Conduct:
    """The application; `ready` raises a BellbirdError while it cannot serve.

    Where it `owns_process`, the signals that stop the process make it answer that it is not ready any more.
    `beside` runs as long as it serves, and is told when to stop.
    """

    @get("/readyz", tags=HEALTH, summary="Can it serve?", about=docs.About(answer={"status": "ready"}))
    async def readyz() -> dict[str, str]:
        """Answers 200 when the database answers and is at the right revision, 503 otherwise."""
        if conduct.stopping:
            raise Unavailable("The server is stopping.")
        await ready()
        return {"status": "ready"}

    @asynccontextmanager
    async def living(_: Litestar) -> AsyncIterator[None]:
        async with lifetime(conduct, metrics, owns_process=owns_process, beside=beside):
            yield

    application = Litestar(
        route_handlers=[
            Router(API, route_handlers=routes, dependencies=access.dependencies(), before_request=_guard(access)),
            _alive(version),
            readyz,
            openapi.openapi,
            docs_page.page,
            *([_scraped(metrics, settings)] if settings.metrics else []),
        ],
        before_request=docs.before,
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=settings.body_limit,
        openapi_config=None,
        state=State({"version": version, "hub": hub}),
        lifespan=[living],
        on_shutdown=[hub.close, *on_shutdown],
        logging_config=None,
    )
    through = Holding(application, refuse)
    clock = access.engine.clock
    conduct = Conduct(application, through, clock=clock, settings=settings, metrics=metrics, tracing=tracing)
    conduct.on_stop.append(hub.stop)
    _tell_of_pools(metrics, access.engine)
    _tell_of_streams(metrics, hub)
    return conduct


def _guard(access: Access) -> Callable[[Request[Any, Any, Any]], Awaitable[Response[None] | None]]:
    async def before(request: Request[Any, Any, Any]) -> Response[None] | None:
        """Who is calling, and whether they may, comes before anything that was sent."""
        said = docs.about(request.route_handler)
        if not said.public and request.method != "OPTIONS":
            _, actor = await access.enter(request.scope)
            if said.needs:
                actor.require(said.needs)
        return await docs.before(request)

    return before


def _alive(version: str) -> Any:
    """The route that says that the process runs."""
    alive = {"status": "ok", "version": version}

    @get("/healthz", tags=HEALTH, summary="Is the process alive?", about=docs.About(answer=alive))
    async def healthz() -> dict[str, str]:
        """Answers as long as the process runs, whatever the database does."""
        return alive

    return healthz


def _scraped(metrics: Metrics, settings: Settings) -> Any:
    """The route that Prometheus asks."""
    token = settings.metrics_token
    wanted = f"Bearer {token.get_secret_value()}" if token else None

    @get("/metrics", include_in_schema=False)
    async def scrape(request: Request[Any, Any, Any]) -> Response[bytes]:
        """Every number, as text."""
        given = header(request.scope, b"authorization") or ""
        if wanted is not None and not hmac.compare_digest(given.encode(), wanted.encode()):
            raise NotSignedIn("Metrics are told to whoever has BELLBIRD_METRICS_TOKEN: Authorization: Bearer <token>.")
        for refresh in metrics.refresh:
            await refresh()
        body, media_type = metrics.exposed(header(request.scope, b"accept") or "")
        return Response(body, media_type=media_type)

    return scrape


def _tell_of_streams(metrics: Metrics, hub: Hub) -> None:
    """How many follow what happens, what they were told, and why they were sent away."""
    metrics.gauge("bellbird_stream_clients", "Live streams.", hub.clients, ("kind",))
    metrics.counter("bellbird_stream_events", "Events sent to live streams.", lambda: hub.sent)
    metrics.counter(
        "bellbird_stream_closed", "Live streams that were closed by the server, by the reason told.",
        lambda: {(why,): float(count) for why, count in hub.closed.items()}, ("code",),
    )  # fmt: skip


def _tell_of_pools(metrics: Metrics, engine: Engine) -> None:
    """How many connections to the database there are, and how requests wait for them."""

    def read(*names: str, of: float = 1) -> Callable[[], Mapping[tuple[str, ...], float]]:
        return lambda: {
            (pool,): sum(stats.get(name, 0) for name in names) / of for pool, stats in engine.pools().items()
        }

    def by_state() -> Mapping[tuple[str, ...], float]:
        return {
            (pool, state): float(count)
            for pool, stats in engine.pools().items()
            for state, count in (
                ("idle", stats["pool_available"]),
                ("used", stats["pool_size"] - stats["pool_available"]),
            )
        }

    pool = ("pool",)
    metrics.gauge("bellbird_pool_connections", "Connections to the database.", by_state, ("pool", "state"))
    metrics.gauge("bellbird_pool_connections_max", "Connections there may be.", read("pool_max"), pool)
    metrics.gauge("bellbird_pool_waiting", "Requests that wait for a connection.", read("requests_waiting"), pool)
    metrics.counter("bellbird_pool_requests", "Connections asked for.", read("requests_num"), pool)
    metrics.counter("bellbird_pool_waits", "Requests that had to wait for a connection.", read("requests_queued"), pool)
    metrics.counter(
        "bellbird_pool_wait_seconds",
        "How long requests waited for connections.",
        read("requests_wait_ms", of=1000),
        pool,
    )
    metrics.counter("bellbird_pool_errors", "Requests that got no connection.", read("requests_errors"), pool)
