"""The live stream over a WebSocket (RFC 6455), for clients that cannot read server-sent events or want to be pinged.

Every message is a JSON text. `{"type": "event", "event": {...}}` is an event as the stream has it,
`{"type": "heartbeat", "last_event_id": ...}` says that there was none, `{"type": "problem", "problem": {...}}` that a
message of the client's was wrong, `{"type": "closed", "problem": {...}}` why the socket is closed next.
A client may send `{"type": "ping"}`, and gets `{"type": "pong"}`.
"""

import asyncio
import time
from typing import Any, Final

import msgspec
from litestar.types import Receive, Send

from bellbird.core.errors import BellbirdError, Forbidden, InvalidInput, NotSignedIn, Unavailable
from bellbird.entrypoints import headers, rest, streaming
from bellbird.entrypoints.problems import refuse
from bellbird.entrypoints.stream import Follower, Hub
from bellbird.entrypoints.streaming import Closing, Flooding, SlowClient, UpgradeRequired, told

SUBPROTOCOL: Final = "bellbird.v1"

# A browser cannot set a WebSocket's headers: it sends its token among the subprotocols that it offers.
BEARER: Final = "bearer."

# What a client sends is a ping of twenty bytes.
MAX_MESSAGE: Final = 4096
MOST_PER_SECOND: Final = 20

# A client that takes nothing for so many seconds is given up.
STALLED: Final = 10.0

UNSUPPORTED, VIOLATION, TOO_BIG, INTERNAL, RESTART, TRY_AGAIN = 1003, 1008, 1009, 1011, 1012, 1013

# Why the server closes: the first kind that fits. From 4000 on codes are an application's own.
CODES: Final[tuple[tuple[type[BellbirdError], int], ...]] = (
    (NotSignedIn, 4401),
    (Forbidden, 4403),
    (SlowClient, 4408),
    (Closing, RESTART),
    (Flooding, VIOLATION),
    (Unavailable, TRY_AGAIN),
    (BellbirdError, INTERNAL),
)

_encode: Final = msgspec.json.Encoder().encode


class _Close(Exception):
    """The client did what ends a socket at once."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason


async def serve(hub: Hub, scope: Any, receive: Receive, send: Send) -> None:
    """Answer a request at a WebSocket's path, whatever it is."""
    if scope["type"] != "websocket":
        scope["state"]["headers"].append((b"upgrade", b"websocket"))
        return await refuse(UpgradeRequired(), scope, send)
    await receive()  # websocket.connect
    offered: list[str] = scope.get("subprotocols") or []
    scope = _with_bearer(scope, offered)
    try:
        follower = await _follow(hub, scope)
    except BellbirdError as why:
        return await _refuse(why, scope, send)
    await send({
        "type": "websocket.accept", "subprotocol": SUBPROTOCOL if SUBPROTOCOL in offered else None,
        "headers": [(b"x-request-id", scope["state"]["request_id"].encode()), *scope["state"]["headers"]],
    })  # fmt: skip
    scope["state"]["status"] = 101
    await _Socket(follower, send, hub.heartbeat).run(receive)


def _with_bearer(scope: Any, offered: list[str]) -> Any:
    """The scope with the token that came as a subprotocol where a header has none."""
    tokens = [each.removeprefix(BEARER) for each in offered if each.startswith(BEARER)]
    found = {**scope, "method": "GET"}
    if tokens and rest.header(scope, b"authorization") is None:
        found["headers"] = [*scope["headers"], (b"authorization", f"Bearer {tokens[0]}".encode())]
    return found


async def _follow(hub: Hub, scope: Any) -> Follower:
    """Raises whatever refuses the client."""
    refused = headers.refusal(scope, dict(scope["headers"]))
    if refused is not None:
        raise refused
    if hub.access.is_hosted:
        _check_origin(hub, scope)
    await hub.access.enter(scope)
    about = streaming.FOLLOWING
    given = rest.read_query(scope["query_string"], about.known)
    faults = [about.limits[name].fault(name, values) for name, values in given.items() if name in about.limits]
    if any(faults):
        raise InvalidInput(faults=[fault for fault in faults if fault])
    asked = streaming.read(given, rest.header(scope, b"last-event-id"))
    return await hub.follow("websocket", scope, asked)


def _check_origin(hub: Hub, scope: Any) -> None:
    """A browser opens WebSockets to anybody, with the cookies that a host application may go by. Raises Forbidden."""
    origin = rest.header(scope, b"origin")
    allowed = hub.access.settings.cors_origins.split(",")
    if origin is None or "*" in allowed or origin in allowed:
        return
    if origin.partition("://")[2] != (rest.header(scope, b"host") or ""):
        raise Forbidden(
            "A page of another origin may not open this WebSocket: BELLBIRD_CORS_ORIGINS has those that may."
        )


async def _refuse(why: BellbirdError, scope: Any, send: Any) -> None:
    """Refuse a client before it is let in: with a problem where the server can send one."""
    scope["state"]["status"] = why.status
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": _code(why), "reason": why.code})
        return

    async def as_answer(message: Any) -> None:
        if message["type"] == "http.response.start":
            more = [(b"x-request-id", scope["state"]["request_id"].encode()), *scope["state"]["headers"]]
            message["headers"] = [*message["headers"], *more, (b"cache-control", b"no-store")]
        await send({**message, "type": f"websocket.{message['type']}"})

    await refuse(why, scope, as_answer)


def _code(why: BellbirdError) -> int:
    return next(code for kind, code in CODES if isinstance(why, kind))


class _Socket:
    """A client that was let in."""

    def __init__(self, follower: Follower, send: Send, heartbeat: float) -> None:
        self._follower = follower
        self._send = send
        self._heartbeat = heartbeat
        self._second = 0
        self._messages = 0

    async def run(self, receive: Receive) -> None:
        """Tell the client what happens until one side ends it."""
        follower = self._follower
        telling = asyncio.create_task(self._tell())
        listening = asyncio.create_task(self._listen(receive))
        try:
            done, _ = await asyncio.wait({telling, listening}, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                await self._close(each.exception())
        finally:
            for each in (telling, listening):
                each.cancel()
            await asyncio.wait({telling, listening})
            await follower.leave()

    async def _tell(self) -> None:
        follower, seconds = self._follower, self._follower.asked.seconds
        until = None if not seconds else time.monotonic() + seconds
        while not follower.is_done:
            left = self._heartbeat if until is None else min(self._heartbeat, until - time.monotonic())
            if left <= 0:
                return
            found = await follower.take(left)
            for each in found:
                await self._write(b'{"type":"event","event":%b}' % each.body)
            if not found and not follower.is_done:
                await self._write(_encode({"type": "heartbeat", "last_event_id": follower.last_id}))

    async def _write(self, text: bytes) -> None:
        began = time.monotonic()
        async with asyncio.timeout(STALLED):
            await self._send({"type": "websocket.send", "bytes": None, "text": text.decode()})
        self._follower.took = time.monotonic() - began

    async def _listen(self, receive: Receive) -> None:
        """Answer what the client sends, until it hangs up. Raises _Close, Flooding."""
        while True:
            message: Any = await receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                raise _Close(UNSUPPORTED, "binary messages are not read here: send JSON as text")
            text = message.get("text") or ""
            if len(text) > MAX_MESSAGE:
                raise _Close(TOO_BIG, f"a message may have {MAX_MESSAGE} characters")
            self._count()
            await self._write(_answer(text))

    def _count(self) -> None:
        second = int(time.monotonic())
        self._messages = self._messages + 1 if second == self._second else 1
        self._second = second
        if self._messages > MOST_PER_SECOND:
            raise Flooding(f"A client may send {MOST_PER_SECOND} messages in a second.")

    async def _close(self, why: BaseException | None) -> None:
        if isinstance(why, _Close):
            self._follower.count({UNSUPPORTED: "binary", TOO_BIG: "too_big"}[why.code])
            return await self._say_good_bye(why.code, why.reason, None)
        if isinstance(why, TimeoutError):
            why = SlowClient(f"The client took nothing for {STALLED:g} seconds.")
        elif isinstance(why, OSError):
            return  # it hung up while it was told something
        if isinstance(why, BellbirdError):
            self._follower.count(why.code)
            return await self._say_good_bye(_code(why), why.code, why)
        if why is not None:
            raise why
        await self._say_good_bye(1000, "", None)

    async def _say_good_bye(self, code: int, reason: str, why: BellbirdError | None) -> None:
        try:
            async with asyncio.timeout(1):
                if why is not None:
                    closed = {"type": "closed", "problem": told(why)}
                    await self._send({"type": "websocket.send", "bytes": None, "text": _encode(closed).decode()})
                await self._send({"type": "websocket.close", "code": code, "reason": reason})
        except (TimeoutError, OSError, RuntimeError):
            pass  # it has hung up, or takes nothing any more: the server closes the connection


def _answer(text: str) -> bytes:
    try:
        kind = msgspec.json.decode(text, type=dict[str, Any]).get("type")
    except msgspec.DecodeError:
        return _problem('Every message must be a JSON object with a type, such as {"type": "ping"}.')
    if kind == "ping":
        return b'{"type":"pong"}'
    return _problem(f'A client may send {{"type": "ping"}}; there is no {str(kind)[:40]!r}.')


def _problem(detail: str) -> bytes:
    return _encode({"type": "problem", "problem": told(InvalidInput(detail))})
