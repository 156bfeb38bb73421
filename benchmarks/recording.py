"""What the server sends to PostgreSQL, taken from the server itself: the application runs here, and is listened to."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import httpx

from bellbird.app import Bellbird, create_app
from bellbird.core import ids
from bellbird.core.clock import FakeClock
from bellbird.core.connection import Connection, Pending
from bellbird.core.settings import Settings
from benchmarks import server
from benchmarks.report import BenchmarkFailed
from benchmarks.workloads import CONTACTS, Request


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement with its parameters in PostgreSQL's text form."""

    sql: str
    params: tuple[str | None, ...]


@dataclass(frozen=True, slots=True)
class Recording:
    """One request's exchanges, each a round trip, with the statements that went out together."""

    exchanges: tuple[tuple[Statement, ...], ...]
    began: datetime

    @property
    def statements(self) -> int:
        """All of them, BEGIN, SET LOCAL and COMMIT included."""
        return sum(map(len, self.exchanges))

    def made_here(self, value: str | None) -> bool:
        """Whether a parameter is an id that this request has made."""
        try:
            id = UUID(value or "")
        except ValueError:
            return False
        return id.version == 7 and id >= ids.first_at(self.began)


def most_common(counts: Sequence[int]) -> int:
    """A count of statements or round trips that nearly all requests of a workload share."""
    return statistics.mode(counts)


@contextmanager
def _listening() -> Iterator[list[tuple[Statement, ...]]]:
    """Notes every exchange of every connection until the block ends."""
    heard: list[tuple[Statement, ...]] = []
    exchange: Final = Connection.exchange

    async def listen(self: Connection, queue: Sequence[Pending]) -> None:
        heard.append(tuple(_statement(pending) for pending in queue))
        await exchange(self, queue)

    Connection.exchange = listen  # type: ignore[method-assign]
    try:
        yield heard
    finally:
        Connection.exchange = exchange  # type: ignore[method-assign]


def _statement(pending: Pending) -> Statement:
    return Statement(pending.sql, tuple(None if value is None else bytes(value).decode() for value in pending.params))


async def record(conninfo: str, requests: Sequence[Request]) -> list[Recording]:
    """What each request sends to the database, once the server has seen its tenant.

    The clock stands still, so that no tenant is asked for again: a server under load does that once a second.
    """
    settings = Settings(database_url=server.url(conninfo), secret=server.SECRET)  # type: ignore[arg-type]
    tokens = server.tokens({request.tenant for request in requests})
    now = datetime.now(UTC)
    async with Bellbird(settings, clock=FakeClock(now)) as bellbird:
        transport = httpx.ASGITransport(create_app(bellbird))
        async with httpx.AsyncClient(transport=transport, base_url="http://benchmark") as client:
            for tenant in tokens:
                await _send(client, Request(tenant, "GET", f"{CONTACTS}?limit=1"), tokens[tenant])
            recordings = []
            with _listening() as heard:
                for request in requests:
                    heard.clear()
                    await _send(client, request, tokens[request.tenant])
                    recordings.append(Recording(tuple(heard), now))
    return recordings


async def _send(client: httpx.AsyncClient, request: Request, token: str) -> None:
    answer = await client.request(
        request.method,
        request.path,
        content=request.body or None,
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    if not answer.is_success:
        raise BenchmarkFailed(f"{request.method} {request.path} was answered {answer.status_code}: {answer.text}")
