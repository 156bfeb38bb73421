"""The live stream over HTTP and WebSockets; how it works is in the entrypoints."""

from typing import Any, Final

from litestar import Request, Response, asgi, get
from litestar.types import Receive, Scope, Send

from bellbird.entrypoints import docs, rest, sockets, streaming
from bellbird.entrypoints.sse import Streamed
from bellbird.entrypoints.stream import Hub

TAGS: Final = docs.tag("Live stream", "What happens, as it happens.")


@get("/events/stream", tags=TAGS, summary="Follow what happens", about=streaming.FOLLOWING)
async def stream(request: Request[Any, Any, Any]) -> Response[str]:
    """Server-sent events: each has its `id`, its type as `event`, and as `data` the event in JSON.

    They come in the order of the log, as far as the caller may see them. With `Last-Event-ID` it goes on after that
    event, and nothing is left out or told twice. A last event `closed` has a problem as its `data`.
    The same comes over a WebSocket at `/api/v1/events/ws`.
    """
    hub: Hub = request.app.state["hub"]
    asked = streaming.read(rest.query(request), rest.header(request.scope, b"last-event-id"))
    return Streamed(await hub.follow("sse", request.scope, asked), hub.heartbeat)


@asgi("/events/ws", copy_scope=False)
async def socket(scope: Scope, receive: Receive, send: Send) -> None:
    """The same over a WebSocket."""
    await sockets.serve(scope["litestar_app"].state["hub"], scope, receive, send)


ROUTES: Final = (stream, socket)
