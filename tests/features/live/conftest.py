"""A server of its own for what only a real connection shows, and clients that read streams."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from bellbird.core.actors import Actor
from bellbird.core.clock import SystemClock
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.tokens import Tokens
from bellbird.features import tenants
from tests.conftest import SECRET
from tests.servers import Cluster, Serving, serving


@pytest.fixture(scope="module")
def process(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server process that says quickly that it is there."""
    settings = {"database_url": own_cluster.conninfo("bellbird"), "secret": SECRET, "stream_heartbeat": "0.4"}
    with serving(tmp_path_factory.mktemp("serving"), **settings) as served:
        yield served


@pytest.fixture(scope="module")
async def live(own_cluster: Cluster) -> AsyncIterator[Engine]:
    """The engine over the server's database: what it writes, the server has to notice."""
    async with Engine(own_cluster.conninfo("bellbird"), secret=SECRET) as engine:
        yield engine


@pytest.fixture
async def acme(live: Engine) -> Tenant:
    async with live.system(Actor.system()) as system:
        return await tenants.create(system, f"t-{uuid4().hex}")


Token = Callable[..., str]


@pytest.fixture
def token(acme: Tenant) -> Token:
    """`token(roles=("agent",), visibility="own")`: a token for somebody of the tenant; an owner's unless said."""

    def make(
        of: Tenant = acme,
        *,
        user: UUID | None = None,
        roles: tuple[str, ...] | None = ("owner",),
        seconds: float = 3600,
        **claims: Any,
    ) -> str:
        valid_for = timedelta(seconds=seconds)
        return Tokens(SECRET, SystemClock()).make(of.id, user or uuid4(), valid_for=valid_for, roles=roles, **claims)

    return make


@dataclass
class Told:
    """An event of a stream: its id, its type, what it says."""

    id: str | None
    type: str
    data: Any


@dataclass
class Reader:
    """A client of a stream, which keeps what it has been told."""

    response: httpx.Response
    events: list[Told] = field(default_factory=list)
    heartbeats: int = 0
    last_id: str | None = None
    is_over: bool = False

    async def read(self) -> None:
        """Until the stream ends."""
        block: dict[str, str] = {}
        async for line in self.response.aiter_lines():
            if not line:
                self._take(block)
                block = {}
                continue
            name, _, value = line.partition(":")
            block[name] = value.removeprefix(" ")
        self.is_over = True

    def _take(self, block: dict[str, str]) -> None:
        self.last_id = block.get("id", self.last_id)
        self.heartbeats += "" in block
        if "data" in block:
            self.events.append(Told(block.get("id"), block["event"], json.loads(block["data"])))

    async def until(self, condition: Callable[["Reader"], bool], seconds: float = 8) -> "Reader":
        """Wait until what was told is enough."""
        async with asyncio.timeout(seconds):
            while not condition(self):
                await asyncio.sleep(0.01)
        return self

    async def many(self, count: int) -> list[Told]:
        """The first so many."""
        try:
            await self.until(lambda each: len(each.events) >= count)
        except TimeoutError:
            raise AssertionError(f"{len(self.events)} of {count} came: {self.events}") from None
        return self.events[:count]

    @property
    def types(self) -> list[str]:
        return [each.type for each in self.events]


Open = Callable[..., AbstractAsyncContextManager[Reader]]


@pytest.fixture
def follow(process: Serving) -> Open:
    """`async with follow(token, types="contact.*") as reader:` a client that follows."""

    @asynccontextmanager
    async def opened(credential: str, *, after: str | None = None, **query: Any) -> AsyncIterator[Reader]:
        headers = {"Authorization": f"Bearer {credential}", **({"Last-Event-ID": after} if after else {})}
        async with (
            httpx.AsyncClient(base_url=f"{process.url}/api/v1", timeout=20) as client,
            client.stream("GET", "/events/stream", params=query, headers=headers) as response,
        ):
            assert response.status_code == 200, await response.aread()
            reader = Reader(response)
            task = asyncio.create_task(reader.read())
            try:
                yield reader
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, httpx.TransportError):
                    await task

    return opened
