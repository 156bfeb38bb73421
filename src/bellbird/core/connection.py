"""A PostgreSQL connection that speaks in exchanges: whatever is queued goes out together, in one round trip.

psycopg's own pipeline mode costs a cursor and several awaits for each statement.
Here a statement is an entry in a list, and libpq's pipeline (through psycopg's own wrapper) carries the list at once.
Statements use PostgreSQL's own placeholders (`$1`), so that psql and pgbench can run the same text.
"""

import asyncio
import contextlib
import select
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from psycopg import AsyncConnection, pq
from psycopg.adapt import AdaptersMap, Loader, Transformer
from psycopg.errors import Error, OperationalError, error_from_result
from psycopg.generators import send
from psycopg.postgres import adapters
from psycopg.pq import ExecStatus, Format

from bellbird.core.errors import InvalidInput

if TYPE_CHECKING:
    from bellbird.core.tracing import Tracing

# A connection forgets the statement it has not used for longest when it knows this many.
MAX_PREPARED: Final = 200

Row = tuple[Any, ...]
Parameter = str | bytes | UUID | int | float | bool | datetime | date | None | Sequence[str] | Sequence[UUID]


class Pending:
    """A statement on its way; its rows are there once the exchange that carried it is over."""

    __slots__ = ("params", "prepared", "rows", "sql", "tag")

    def __init__(self, sql: str, params: Sequence[Parameter], *, prepared: bool = True) -> None:
        self.sql = sql
        self.params = [_dump(value) for value in params]
        self.prepared = prepared
        self.rows: list[Row] = []
        self.tag = b""

    @property
    def affected(self) -> int:
        """How many rows the statement wrote."""
        return int(self.tag.rpartition(b" ")[2] or 0)


class _RawJson(Loader):
    """JSONB as the bytes it is, for msgspec to decode into the shape its reader wants."""

    format = Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)[1:]  # the first byte is the format's version


ADAPTERS: Final = AdaptersMap(adapters)
ADAPTERS.register_loader("jsonb", _RawJson)


class _RawText(Loader):
    """JSON as the bytes it is."""

    format = Format.BINARY

    def load(self, data: Any) -> bytes:
        return bytes(data)


ADAPTERS.register_loader("json", _RawText)


class Connection(AsyncConnection[Row]):
    """One connection to PostgreSQL, with the statements it has prepared."""

    use_prepared = True
    tracing: "Tracing | None" = None
    _names: OrderedDict[str, bytes]
    _load: Any  # a psycopg Transformer, which knows how to read each type
    _counter = 0

    async def exchange(self, queue: Sequence[Pending]) -> None:
        """Send all statements, wait once, and give each its rows.

        Raises the first statement's error; those behind it were not run.
        The connection is in the transaction state that the statements left it in.
        """
        try:
            error = await (self._exchange(queue) if self.tracing is None else self._traced(queue, self.tracing))
        except asyncio.CancelledError:
            # Nobody waits for the answers any more. End the query rather than leave it running, and the connection too.
            with contextlib.suppress(Error):
                await self.cancel_safe(timeout=2.0)
            await self.close()
            raise
        if error is not None:
            if error.sqlstate == "0A000":  # "cached plan must not change result type": prepare everything anew
                self._names.clear()
            raise error

    def is_lost(self) -> bool:
        """Whether the server hung up while the connection lay idle."""
        if self.closed:
            return True
        poller = select.poll()
        poller.register(self.pgconn.socket, select.POLLIN)
        try:
            while poller.poll(0):  # the server's last words come first, and that it hung up only behind them
                self.pgconn.consume_input()
        except OperationalError:
            return True
        return self.pgconn.status != pq.ConnStatus.OK or self.pgconn.is_busy() != 0

    async def _traced(self, queue: Sequence[Pending], tracing: "Tracing") -> Error | None:
        with tracing.exchange(len(queue)) as span:
            error = await self._exchange(queue)
            if error is not None:
                tracing.failed(span, error.sqlstate)
            return error

    async def _exchange(self, queue: Sequence[Pending]) -> Error | None:
        pgconn = self.pgconn
        if not hasattr(self, "_names"):
            self._names, self._load = OrderedDict(), Transformer(self)
        pgconn.enter_pipeline_mode()
        answers = self._send_all(queue)
        pgconn.pipeline_sync()
        if pgconn.flush():
            await self.wait(send(pgconn))  # more than the socket takes at once: libpq has to read in between
        error: Error | None = None
        arrivals = _Arrivals(pgconn.socket)
        try:
            for accept in answers:
                while (result := await self._next(arrivals)) is not None:
                    if result.status in (ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK):
                        accept(result)
                    elif error is None:
                        error = error_from_result(result)
            await self._next(arrivals)  # the answer to the sync
        finally:
            arrivals.close()
        pgconn.exit_pipeline_mode()
        return error

    async def _next(self, arrivals: "_Arrivals") -> Any:
        """The next result; None is the end of a statement's results."""
        while self.pgconn.is_busy():
            await arrivals.wait()
            self.pgconn.consume_input()
        return self.pgconn.get_result()

    def _send_all(self, queue: Sequence[Pending]) -> list[Callable[[Any], None]]:
        """Hand everything to libpq; returns who takes each answer."""
        pgconn, answers, preparing = self.pgconn, list[Callable[[Any], None]](), dict[str, bytes]()
        for pending in queue:
            if not (pending.prepared and self.use_prepared):
                pgconn.send_query_params(pending.sql.encode(), pending.params, result_format=Format.BINARY)
                answers.append(self._taker(pending))
                continue
            name = self._names.get(pending.sql) or preparing.get(pending.sql)
            if name is None:
                if len(self._names) >= MAX_PREPARED:
                    _, oldest = self._names.popitem(last=False)
                    pgconn.send_query_params(b"deallocate " + oldest, None)
                    answers.append(_nobody)
                Connection._counter += 1
                name = b"bellbird_%d" % Connection._counter
                preparing[pending.sql] = name
                pgconn.send_prepare(name, pending.sql.encode())
                answers.append(self._namer(pending.sql, name))
            elif pending.sql in self._names:
                self._names.move_to_end(pending.sql)
            pgconn.send_query_prepared(name, pending.params, result_format=Format.BINARY)
            answers.append(self._taker(pending))
        return answers

    def _taker(self, pending: Pending) -> Callable[[Any], None]:
        def take(result: Any) -> None:
            pending.tag = result.command_status or b""
            if result.ntuples:
                self._load.set_pgresult(result)
                pending.rows = self._load.load_rows(0, result.ntuples, tuple)

        return take

    def _namer(self, sql: str, name: bytes) -> Callable[[Any], None]:
        # Only a statement that the server has accepted is remembered: in a failed exchange it never saw the rest.
        def remember(result: Any) -> None:
            self._names[sql] = name

        return remember


class _Arrivals:
    """Waits for a socket to have something to read, registered once for all the waits of an exchange.

    A page comes in pieces of 8 kB; psycopg's own wait would register, set a timer and take both back for each.
    """

    __slots__ = ("_loop", "_socket", "_waiter")

    def __init__(self, socket: int) -> None:
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._loop.add_reader(socket, self._arrived)

    async def wait(self) -> None:
        """Until there is something."""
        self._waiter = self._loop.create_future()
        await self._waiter

    def close(self) -> None:
        self._loop.remove_reader(self._socket)

    def _arrived(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nobody(result: Any) -> None:
    """Takes the answer to a DEALLOCATE, in which there is nothing to read."""


def _dump(value: Parameter) -> bytes | None:
    """PostgreSQL's text form of a parameter; the server knows the type from where it stands in the statement."""
    dump = _DUMPERS.get(type(value))
    if dump is not None:
        return dump(value)
    if isinstance(value, str):  # a StrEnum
        return _dump_text(str(value))
    return array_literal(value)  # type: ignore[arg-type]


def _dump_text(value: str) -> bytes:
    # libpq takes text up to the first NUL: what follows would be lost without a word.
    if "\0" in value:
        raise InvalidInput("Text may not contain the NUL character (U+0000).")
    return value.encode()


_DUMPERS: Final[dict[type, Callable[[Any], bytes | None]]] = {
    type(None): lambda value: None,
    str: _dump_text,
    bytes: lambda value: value,
    bool: lambda value: b"t" if value else b"f",
    int: lambda value: b"%d" % value,
    float: lambda value: repr(value).encode(),
    UUID: lambda value: b"%032x" % value.int,
    datetime: lambda value: value.isoformat().encode(),
    date: lambda value: value.isoformat().encode(),
}


def bytea(value: bytes) -> bytes:
    """Bytes in PostgreSQL's notation for a parameter of type bytea; a bare `bytes` parameter is text, such as JSON."""
    return b"\\x" + value.hex().encode()


def array_literal(items: Sequence[str] | Sequence[UUID]) -> bytes:
    """A one-dimensional array of text or uuid in PostgreSQL's notation: `{"a","b \\" c"}`."""
    if not items:
        return b"{}"
    quoted = (str(item).replace("\\", "\\\\").replace('"', '\\"') for item in items)
    return ('{"' + '","'.join(quoted) + '"}').encode()
