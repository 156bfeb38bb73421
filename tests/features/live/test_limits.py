"""Clients that are slow, too many, or there when the server stops: against server processes with small limits."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.entrypoints import stream
from tests import make
from tests.conftest import SECRET
from tests.features.live.conftest import Open, Token
from tests.servers import Cluster, Serving, serving

OWNER = Actor.user(UUID("0192f0c0-0000-7000-8000-00000000a117"))


@pytest.fixture(scope="module")
def process(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that lets few in, and gives requests little time."""
    settings = {"database_url": own_cluster.conninfo("bellbird"), "secret": SECRET}
    settings |= {"stream_clients": "3", "request_timeout": "1"}
    with serving(tmp_path_factory.mktemp("serving"), **settings) as served:
        yield served


async def write(live: Engine, acme: Tenant, count: int, size: int) -> None:
    """Contacts in several transactions, each with so much text."""
    for start in range(0, count, 100):
        async with live.tenant(acme.id, OWNER) as tx:
            for at in range(start, min(start + 100, count)):
                await make.contact(tx, first_name=f"n{at}", custom={"note": "x" * size})


def blocks(text: bytes) -> list[dict[str, str]]:
    """The events in what a socket has been sent, the chunks' sizes left out."""
    found, block = [], {}
    for line in text.decode().replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(": ")
        if colon and name in ("id", "event", "data"):
            block[name] = value
        elif not line and "data" in block:
            found.append(block)
            block = {}
    return found


async def test_one_more_than_the_server_takes_is_told_to_come_back(
    process: Serving, token: Token, follow: Open
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(follow(token()))
        url, headers = f"{process.url}/api/v1/events/stream", {"Authorization": f"Bearer {token()}"}
        answer = await asyncio.to_thread(httpx.get, url, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_streams")
        assert answer.headers["retry-after"] == "10"
    await asyncio.sleep(0.3)
    async with follow(token()):
        pass


async def test_a_stream_is_no_request_that_takes_too_long(
    live: Engine, acme: Tenant, process: Serving, token: Token, follow: Open
) -> None:
    async with follow(token()) as reader:
        await asyncio.sleep(1.5)
        await write(live, acme, 1, 10)
        await reader.many(1)
        told = httpx.get(f"{process.url}/metrics").text
    assert "bellbird_http_requests_in_flight 1.0" in told, "the one that asks"


async def test_a_client_that_does_not_read_is_told_why_it_was_left_behind_and_can_go_on(
    live: Engine, acme: Tenant, process: Serving, token: Token, follow: Open
) -> None:
    bearer = token()
    host, port = process.url.removeprefix("http://").split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((host, int(port)))
        slow.sendall(
            f"GET /api/v1/events/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {bearer}\r\n\r\n".encode()
        )
        async with follow(bearer) as quick:
            await asyncio.sleep(0.3)
            began = time.monotonic()
            await write(live, acme, 4_000, 2_500)
            await quick.many(4_000)
            assert time.monotonic() - began < 20, "nobody waits for it"
            await asyncio.sleep(1.5)
            slow.setblocking(False)
            received = b""
            async with asyncio.timeout(20):
                while b"event: closed" not in received or not received.endswith(b"0\r\n\r\n"):
                    received += await asyncio.get_running_loop().sock_recv(slow, 1 << 16)
    *got, closed = blocks(received)
    assert closed["event"] == "closed" and json.loads(closed["data"])["code"] == "slow_client"
    async with follow(bearer, after=got[-1]["id"]) as again:
        rest = await again.many(4_000 - len(got))
    names = [json.loads(each["data"])["changes"]["first_name"][1] for each in got]
    names += [each.data["changes"]["first_name"][1] for each in rest]
    assert names == [f"n{at}" for at in range(4_000)]


async def test_a_server_that_stops_says_so_and_ends_quickly(
    live: Engine, acme: Tenant, token: Token, own_cluster: Cluster, tmp_path: Path
) -> None:
    settings = {"database_url": own_cluster.conninfo("bellbird"), "secret": SECRET}
    with serving(tmp_path, **settings) as served:
        headers = {"Authorization": f"Bearer {token()}"}
        url = f"{served.url}/api/v1/events"
        async with (
            httpx.AsyncClient(timeout=20, headers=headers) as client,
            client.stream("GET", f"{url}/stream") as response,
            connect(f"ws{url.removeprefix('http')}/ws", additional_headers=headers, proxy=None) as opened,
        ):
            lines = response.aiter_lines()
            await anext(lines)
            began = time.monotonic()
            served.process.terminate()
            told = [line async for line in lines]
            await asyncio.to_thread(served.process.wait, 10)
            assert time.monotonic() - began < 3
            await opened.wait_closed()
            assert opened.close_code == 1012
    closed = told.index("event: closed")
    assert json.loads(told[closed + 1].removeprefix("data: "))["code"] == "closing"
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "KEPT", 3)


def test_a_channel_keeps_the_last_events_only(few: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from bellbird.core.events import Logged
    from bellbird.core.feed import BEGINNING, Position
    from bellbird.entrypoints.streaming import Item

    def item(tx: int, size: int = 1) -> Item:
        text = {"company": (None, "x" * size)}
        what = ("contact.created", "contact", uuid4(), None)
        return Item(Logged(uuid4(), UUID(int=tx), tx, *what, "user:a", "api", None, text, None))

    channel = stream.Channel(uuid4(), BEGINNING)
    channel.add(item(tx) for tx in range(1, 7))
    assert channel.start == BEGINNING and len(channel.after(BEGINNING)) == 6
    channel.add([item(7)])
    assert channel.start == Position(4, UUID(int=4))
    assert [each.position.tx for each in channel.after(channel.start)] == [5, 6, 7]
    assert [each.position.tx for each in channel.after(Position(6, UUID(int=6)))] == [7]
    assert channel.after(Position(7, UUID(int=7))) == channel.after(Position(9, UUID(int=0))) == []
    monkeypatch.setattr(stream, "KEPT_BYTES", 2_000)
    channel.add([item(8, 3_000), item(9, 5_000)])
    assert [each.position.tx for each in channel.after(channel.start)] == [9], "however large, the last is there"
