"""Server-sent events (WHATWG HTML, section 9.2): the live stream over plain HTTP."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.types import Receive, Scope, Send

from bellbird.core.errors import BellbirdError
from bellbird.entrypoints.stream import Follower, Sent
from bellbird.entrypoints.streaming import told

# Milliseconds after which a client connects again.
RETRY: Final = 2000

# A client that takes nothing for so many seconds is given up: there is no way left to tell it anything.
STALLED: Final = 10.0

_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # or nginx keeps events back until it has a bufferful
]


class Streamed(Response[str]):
    """An answer that goes on for as long as the client follows."""

    def __init__(self, follower: Follower, heartbeat: float) -> None:
        super().__init__("")
        self._follower = follower
        self._heartbeat = heartbeat

    def to_asgi_response(self, *args: Any, **kwargs: Any) -> Any:
        """The stream itself: what Litestar has for streams would cost each client a task group more."""
        return self.stream

    async def stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the client what happens, until it hangs up or may not know any more."""
        follower = self._follower
        watching = asyncio.create_task(_watch(receive, follower))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
            await _write(send, follower, b"retry: %d\n%b\n" % (RETRY, _place(follower)))
            if not scope["state"].get("is_head"):
                await self._go_on(follower, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            follower.count("stalled")
        except OSError:
            pass  # some servers say so when the client has hung up
        finally:
            watching.cancel()
            await follower.leave()

    async def _go_on(self, follower: Follower, send: Send) -> None:
        seconds = follower.asked.seconds
        until = None if not seconds else time.monotonic() + seconds
        try:
            while not follower.is_done:
                left = self._heartbeat if until is None else min(self._heartbeat, until - time.monotonic())
                if left <= 0:
                    return
                found = await follower.take(left)
                # What is behind the client is in every heartbeat: it goes on from there though nothing was for it.
                await _write(send, follower, _frames(found) if found else b":\n%b\n" % _place(follower))
        except BellbirdError as why:
            follower.count(why.code)
            await _write(send, follower, b"event: closed\ndata: %b\n\n" % msgspec.json.encode(told(why)))


def _frames(found: Sequence[Sent]) -> bytes:
    return b"".join(
        b"id: %b\nevent: %b\ndata: %b\n\n" % (str(item.event.id).encode(), item.event.type.encode(), body)
        for item, body in found
    )


def _place(follower: Follower) -> bytes:
    return b"id: %b\n" % str(follower.last_id).encode() if follower.last_id else b""


async def _write(send: Send, follower: Follower, text: bytes) -> None:
    """Raises TimeoutError when the client does not take it."""
    began = time.monotonic()
    async with asyncio.timeout(STALLED):
        await send({"type": "http.response.body", "body": text, "more_body": True})
    follower.took = time.monotonic() - began


async def _watch(receive: Receive, follower: Follower) -> None:
    """Notice when the client hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    follower.gone()
