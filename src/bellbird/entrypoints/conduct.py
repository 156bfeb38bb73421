"""How the API behaves whatever is asked of it: ids, checks, the deadline, headers, compression, counting, the log.

One ASGI middleware around everything else: each of these needs the beginning and the end of a request,
and eight middlewares would cost more than the database does.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from litestar import Litestar
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from bellbird.core import ids, logs
from bellbird.core.clock import Clock
from bellbird.core.errors import BellbirdError, Unavailable
from bellbird.core.metrics import Metrics
from bellbird.core.settings import Settings
from bellbird.entrypoints import compression, etags, headers
from bellbird.entrypoints.cors import Cors
from bellbird.entrypoints.deadline import Deadline
from bellbird.entrypoints.headers import UnsupportedMediaType
from bellbird.entrypoints.problems import refuse

if TYPE_CHECKING:
    from bellbird.core.tracing import Tracing

log = logging.getLogger(logs.ACCESS)

# What is asked here is answered with secrets: never kept, and never compressed together with what a stranger may
# have put beside it (BREACH).
SIGN_IN: Final = "/api/v1/auth/"


# What a request's state has of ours once it is known. Whatever a host application calls so is another thing.
_UNKNOWN: Final = {"actor": None, "tenant_id": None, "query": None, "held": None, "code": None, "claims": None}


class TimedOut(Unavailable):
    """The request took too long and was given up.

    Whether a write was done is not known: send it again with the same `Idempotency-Key`, after `Retry-After` seconds.
    """

    code = "timeout"


class Conduct:
    """ASGI middleware, the outermost. `app` is the application, `through` what leads to it."""

    def __init__(
        self,
        app: Litestar,
        through: ASGIApp,
        *,
        clock: Clock,
        settings: Settings,
        metrics: Metrics,
        tracing: "Tracing | None" = None,
    ) -> None:
        self.app = app
        self.through = through
        self.tracing = tracing
        self.metrics = metrics
        # Set when the process has been told to stop: what is under way is finished, what never ends is ended.
        self.stopping = False
        self.on_stop: list[Callable[[], None]] = []
        self.deadline = Deadline(settings.request_timeout)
        self.cors = Cors(settings.cors_origins) if settings.cors_origins else None
        self.logs_all = 0 < log.level <= logging.INFO
        vary = self.cors.vary if self.cors else b""
        kinds: tuple[headers.Kind, ...] = ("api", "sign-in", "page")
        self.added = {
            (kind, https): headers.of_every_answer(kind, https=https, vary=vary)
            for kind in kinds
            for https in (True, False)
        }
        # An id of a request is this process's beginning and a number: unique, and 3 us cheaper than a UUID of its own.
        self._beginning = ids.uuid7(clock.now()).hex[:24]
        self._numbers = itertools.count()
        metrics.gauge(
            "bellbird_http_requests_in_flight", "Requests being answered.", lambda: len(self.deadline.running)
        )

    def new_id(self) -> str:
        """An id for a request that came without."""
        return f"{self._beginning}{next(self._numbers):08x}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind: str = scope["type"]
        if kind == ScopeType.WEBSOCKET:
            return await self._socket(scope, receive, send)
        if kind != ScopeType.HTTP:
            return await self.through(scope, receive, send)
        exchange = _Exchange(self, scope, receive, send)
        if self.tracing is None:
            return await exchange.run()
        with self.tracing.request(exchange.scope) as span:
            try:
                await exchange.run()
            finally:
                self.tracing.answered(span, exchange.status, exchange.scope["state"].get("code"))

    async def _socket(self, scope: Any, receive: Receive, send: Send) -> None:
        """A WebSocket: it has an id like a request, and is logged when it is over; nothing else is like an answer's."""
        started = time.perf_counter()
        state = {**(scope.get("state") or {}), **_UNKNOWN, "request_id": self._id_of(dict(scope["headers"]))}
        scope = {**scope, "method": "GET", "state": {**state, "headers": [], "status": 0}}
        token = logs.request.set(scope)
        try:
            await self.through(scope, receive, send)
        finally:
            seconds, code = time.perf_counter() - started, scope["state"]["code"]
            if code is not None:
                self.metrics.refused(code)
            if self.logs_all:
                extra = {"status": scope["state"]["status"], "duration_ms": round(seconds * 1000, 1)}
                log.info("websocket", extra={"method": "GET", **extra, **({"code": code} if code else {})})
            logs.request.reset(token)

    def _id_of(self, known: dict[bytes, bytes]) -> str:
        given = known.get(b"x-request-id")
        return given.decode() if given is not None and _is_request_id(given) else self.new_id()


class _Exchange:
    """A request and its answer."""

    __slots__ = ("_conduct", "_held", "_is_bodiless", "_is_gone", "_known", "_method", "_receive", "_seconds",
                 "_send", "_struck", "_task", "scope", "started", "status")  # fmt: skip

    def __init__(self, conduct: Conduct, scope: Any, receive: Receive, send: Send) -> None:
        self.started = time.perf_counter()
        self._conduct = conduct
        self._known = known = dict(scope["headers"])
        self._method = scope["method"]
        scope["state"] = {
            **(scope.get("state") or {}), **_UNKNOWN, "request_id": conduct._id_of(known), "headers": [],
            "is_head": self._method == "HEAD",
        }  # fmt: skip
        # HEAD is GET without the body (RFC 9110, section 9.3.2).
        self.scope: Any = {**scope, "method": "GET"} if self._method == "HEAD" else scope
        self._receive = receive
        self._send = send
        self.status = 0
        self._held: Any = None
        self._seconds: float | None = None
        self._is_bodiless = self._method == "HEAD"
        self._struck = self._is_gone = False
        self._task = asyncio.current_task()

    async def run(self) -> None:
        """Answer, whatever happens; and note that it was done."""
        conduct = self._conduct
        token = logs.request.set(self.scope)
        conduct.deadline.begin(self)
        try:
            refused = headers.refusal(self.scope, self._known)
            if refused is not None:
                await self._refuse(refused)
            elif conduct.cors is None or not await self._is_preflight(conduct.cors):
                await conduct.through(self.scope, self._receive_noting, self.send)
        except asyncio.CancelledError:
            why = self._ended_by()
            if why is None:
                raise
            await self._refuse(why)
        except Exception as error:
            if not self.is_waiting():
                raise
            await refuse(error, self.scope, self.send)
        finally:
            if self._struck:  # and nobody noticed: it was answered just so
                self._running().uncancel()
            conduct.deadline.end(self)
            self._note()
            logs.request.reset(token)

    def is_waiting(self) -> bool:
        return self.status == 0 or self._held is not None

    def give_up(self) -> None:
        if not self._struck:  # it may take a while until it ends: the database is told to give up as well
            self._struck = True
            self._running().cancel()

    def _running(self) -> "asyncio.Task[Any]":
        assert self._task is not None, "an application is called in a task"
        return self._task

    def _ended_by(self) -> BellbirdError | None:
        """Why we cancelled it, or the server when it would wait no longer; None: others did, or an answer has begun."""
        if not (self._struck or self._conduct.stopping) or not self.is_waiting():
            return None
        was_struck, self._struck, self._held = self._struck, False, None
        if self._running().uncancel():  # somebody else cancelled it as well
            return None
        if not was_struck:
            return Unavailable("The server is stopping, and could not wait for this any longer. Try again shortly.")
        return TimedOut(
            f"The request took longer than {self._conduct.deadline.seconds:g} seconds and was given up. "
            "Whether a write was done is not known: send it again with the same Idempotency-Key."
        )

    async def _refuse(self, error: BellbirdError) -> None:
        if isinstance(error, UnsupportedMediaType) and error.instead:
            self.scope["state"]["headers"].append(error.instead)
        await refuse(error, self.scope, self.send)

    async def _is_preflight(self, cors: Cors) -> bool:
        """Answer a browser that asks whether it may ask."""
        origin, wanted = self._known.get(b"origin"), self._known.get(b"access-control-request-method")
        if self._method != "OPTIONS" or origin is None or wanted is None:
            return False
        allowed = cors.preflight(origin, self._known.get(b"access-control-request-headers", b""))
        await self.send({"type": "http.response.start", "status": 204, "headers": allowed})
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        return True

    async def _receive_noting(self) -> Any:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._is_gone = True
        return message

    async def send(self, message: Any) -> None:
        """Send the answer on, with what every answer has, and compressed where that is worth it."""
        if message["type"] == "http.response.start":
            if self._begin(message):
                self._held = message
                return
        elif message["type"] == "http.response.body":
            if self._held is not None:
                start, self._held = self._held, None
                if not message.get("more_body"):
                    _compress(start, message, self._known[b"accept-encoding"])
                await self._send(start)
            if self._is_bodiless:
                message["body"] = b""
        await self._send(message)

    def _begin(self, message: Any) -> bool:
        """Complete the answer's headers; returns whether its body should be compressed."""
        conduct, scope = self._conduct, self.scope
        given = message["headers"]
        known = dict(given)
        if b"etag" in known and message["status"] == 200 and self._has_it(known[b"etag"]):
            message["status"] = 304
            self._is_bodiless = True
            given = [header for header in given if header[0] not in (b"content-length", b"content-type")]
        self.status = message["status"]
        if known.get(b"content-type", b"").startswith(b"text/event-stream"):
            # It goes on for hours: what took time was to begin, and it is not waited for any more.
            self._seconds = time.perf_counter() - self.started
            conduct.deadline.end(self)
        is_page = known.get(b"content-type", b"").startswith(b"text/html")
        kind: headers.Kind = "page" if is_page else "sign-in" if SIGN_IN in scope["path"] else "api"
        added = conduct.added[kind, scope.get("scheme") == "https"]
        if known.keys() & _SETTLED:
            given, added = _settled(given, known, added)
        state = scope["state"]
        message["headers"] = complete = [
            *given, *added, (b"x-request-id", state["request_id"].encode()), *state["headers"]
        ]  # fmt: skip
        if conduct.cors is not None and (origin := self._known.get(b"origin")) is not None:
            complete += conduct.cors.headers(origin)
        if conduct.stopping:
            complete.append((b"connection", b"close"))
        accepted = self._known.get(b"accept-encoding")
        if accepted is None or kind == "sign-in" or compression.chosen(accepted) is None:
            return False
        if self.status == 304:  # it stands for an answer that may have been compressed
            message["headers"] = [_weakened(header) for header in complete]
            return False
        return compression.is_worth_it(known)

    def _has_it(self, etag: bytes) -> bool:
        """Whether whoever asks to read has this very answer already (RFC 9110, section 13.1.2)."""
        given = self._known.get(b"if-none-match")
        return given is not None and self.scope["method"] == "GET" and etags.is_current(given, etag)

    def _note(self) -> None:
        """Count the request, and log it if it went wrong or everything is logged."""
        conduct, scope, status = self._conduct, self.scope, self.status
        seconds = self._seconds if self._seconds is not None else time.perf_counter() - self.started
        if self._is_gone and status >= 500:  # whoever asked hung up: there was nobody to answer
            status = self.status = 0
        conduct.metrics.answered(self._method, scope.get("path_template", "none"), status, seconds)
        code = scope["state"].get("code") if status else None
        if code is not None:
            conduct.metrics.refused(code)
        if status >= 500 or conduct.logs_all:
            level = logging.INFO if status < 500 else logging.ERROR if status == 500 else logging.WARNING
            more = {"code": code} if code else {}
            extra = {"method": self._method, "status": status, "duration_ms": round(seconds * 1000, 1), **more}
            log.log(level, "request", extra=extra)


# What a handler may settle for itself, and what has to be changed in what it says.
_SETTLED: Final = frozenset({
    b"allow", b"cache-control", b"content-security-policy", b"referrer-policy", b"vary", b"x-frame-options",
})  # fmt: skip


def _settled(given: Any, known: dict[bytes, bytes], added: list[tuple[bytes, bytes]]) -> tuple[Any, Any]:
    """The headers that a handler has set, with those that it has not."""
    ours = dict(added)
    if b"vary" in known:
        ours[b"vary"] += b", " + known[b"vary"]
    if b"GET" in known.get(b"allow", b""):
        ours[b"allow"] = b", ".join(sorted({*known[b"allow"].split(b", "), b"HEAD"}))
    instead = {b"vary", b"allow"} & ours.keys()
    kept = [(name, value) for name, value in given if name not in instead]
    return kept, [(name, value) for name, value in ours.items() if name in instead or name not in known]


def _compress(start: Any, message: Any, accepted: bytes) -> None:
    encoding = compression.chosen(accepted)
    assert encoding is not None
    message["body"] = body = compression.ENCODERS[encoding](message["body"])
    kept = [_weakened(header) for header in start["headers"] if header[0] != b"content-length"]
    start["headers"] = [*kept, (b"content-encoding", encoding), (b"content-length", b"%d" % len(body))]


def _weakened(header: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    return (header[0], compression.weak(header[1])) if header[0] == b"etag" else header


def _is_request_id(given: bytes) -> bool:
    return 0 < len(given) <= 64 and given.isascii() and given.replace(b"-", b"").replace(b"_", b"").isalnum()
