"""A small application inside `Conduct`: what Bellbird does around requests, without a database."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
from litestar import Litestar, MediaType, Request, Response, get, patch, post
from litestar.response import Stream

from bellbird.core.clock import SystemClock
from bellbird.core.errors import Forbidden
from bellbird.core.metrics import Metrics
from bellbird.core.settings import Settings
from bellbird.entrypoints.conduct import Conduct
from bellbird.entrypoints.problems import EXCEPTION_HANDLERS

LONG = [{"name": f"Ann {number}", "note": "the quick brown fox"} for number in range(100)]

# How requests to /slow ended.
ended: list[str] = []


@get("/plain")
async def plain() -> Response[dict[str, str]]:
    return Response({"answer": "short"}, headers={"ETag": '"3"'})


@get("/things/{id:str}")
async def thing(id: str) -> dict[str, str]:
    return {"id": id}


@get("/long")
async def long() -> Response[Any]:
    return Response(LONG, headers={"ETag": '"3"'})


@get("/unchanged", status_code=304)
async def unchanged() -> Response[None]:
    return Response(None, status_code=304, headers={"ETag": '"3"'})


@get("/encoded")
async def encoded() -> Response[bytes]:
    return Response(b"x" * 2000, media_type="application/json", headers={"Content-Encoding": "br"})


@get("/picture")
async def picture() -> Response[bytes]:
    return Response(b"x" * 2000, media_type="image/png")


@get("/stream", media_type="text/event-stream")
async def stream() -> Stream:
    async def events() -> AsyncIterator[bytes]:
        for number in range(4):
            await asyncio.sleep(0.1)
            yield b"data: %d %s\n\n" % (number, b"x" * 1000)

    return Stream(events(), media_type="text/event-stream")


@get("/page", media_type=MediaType.HTML)
async def page() -> str:
    return "<style>b{}</style>"


@get("/settled")
async def settled() -> Response[dict[str, str]]:
    headers = {"Cache-Control": "public, max-age=60", "Vary": "Accept", "Content-Security-Policy": "default-src 'self'"}
    return Response({}, headers=headers)


@post("/api/v1/auth/sign-in", status_code=200)
async def sign_in() -> Any:
    return LONG


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"length": len(await request.body())}


@patch("/echo")
async def echo_patch(request: Request[Any, Any, Any]) -> dict[str, Any]:
    return {"length": len(await request.body())}


@get("/slow")
async def slow() -> dict[str, str]:
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    return {}


@get("/stubborn")
async def stubborn() -> dict[str, str]:
    """Finishes whatever happens to it."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(30)
    return {"answer": "late"}


@get("/forbidden")
async def forbidden() -> None:
    raise Forbidden()


@get("/fault")
async def fault() -> None:
    guest = "Aroha Ngata"
    raise ValueError(f"{guest} <aroha@kiwi.co.nz> at 0412 345 678 is not welcome")


ROUTES = [
    plain, thing, long, unchanged, encoded, picture, stream, page, settled, sign_in, echo, echo_patch, slow, stubborn,
    forbidden, fault,
]  # fmt: skip


def small_app(*, through: Any = None, tracing: Any = None, **settings: Any) -> Conduct:
    """The application; `through` stands before it if given."""
    app = Litestar(ROUTES, exception_handlers=EXCEPTION_HANDLERS, openapi_config=None, logging_config=None)
    return Conduct(
        app,
        through or app,
        clock=SystemClock(),
        settings=Settings(_env_file=None, **settings),  # type: ignore[call-arg]
        metrics=Metrics("1.2.3"),
        tracing=tracing,
    )


def client(app: Any, base_url: str = "http://small.test", **options: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=base_url, **options
    )


class Raw:
    """An answer to a request that no HTTP client would send."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.content = body


async def raw(
    app: Any, method: str = "GET", path: str = "/plain", headers: list[tuple[bytes, bytes]] | None = None,
    *, receive: Any = None, query: bytes = b"",
) -> Raw:  # fmt: skip
    """Call an application with a scope made by hand."""
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query,
        "root_path": "", "scheme": "http", "http_version": "1.1", "headers": headers or [], "client": ("127.0.0.1", 1),
        "server": ("small.test", 80), "asgi": {"version": "3.0"},
    }  # fmt: skip
    sent: list[Any] = []

    begun, done = asyncio.Event(), asyncio.Event()

    async def nothing() -> Any:
        if not begun.is_set():
            begun.set()
            return {"type": "http.request", "body": b"", "more_body": False}
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            done.set()

    await app(scope, receive or nothing, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return Raw(sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}, body)
