"""The live stream over WebSockets, against a real server process."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.features import keys
from bellbird.features.keys import NewKey
from tests import make
from tests.features.live.conftest import Token
from tests.servers import Serving

OWNER = Actor.user(UUID("0192f0c0-0000-7000-8000-00000000a117"))

Socket = Callable[..., AbstractAsyncContextManager[ClientConnection]]


@pytest.fixture
def socket(process: Serving) -> Socket:
    """`async with socket(token, "types=contact.*") as client:` a WebSocket."""

    @asynccontextmanager
    async def opened(credential: str | None, query: str = "", **more: Any) -> AsyncIterator[ClientConnection]:
        url = f"ws{process.url.removeprefix('http')}/api/v1/events/ws?{query}"
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        async with connect(url, additional_headers=headers, proxy=None, **more) as client:
            yield client

    return opened


async def messages(client: ClientConnection, kind: str, count: int = 1) -> list[Any]:
    """The next so many messages of a kind, heartbeats and others passed over."""
    found: list[Any] = []
    async with asyncio.timeout(8):
        while len(found) < count:
            message = json.loads(await client.recv())
            if message["type"] == kind:
                found.append(message)
    return found


async def closing(client: ClientConnection, seconds: float = 8) -> tuple[int, list[Any]]:
    """The code that the server closes with, and what it said before."""
    told: list[Any] = []
    async with asyncio.timeout(seconds):
        try:
            while True:
                told.append(json.loads(await client.recv()))
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code, told


async def created(live: Engine, of: Tenant, name: str) -> None:
    async with live.tenant(of.id, OWNER) as tx:
        await make.contact(tx, first_name=name)


async def test_events_and_heartbeats_come_as_messages(live: Engine, acme: Tenant, token: Token, socket: Socket) -> None:
    async with socket(token(), "types=contact.*") as client:
        await created(live, acme, "Ann")
        (told,) = await messages(client, "event")
        assert told["event"]["type"] == "contact.created"
        assert told["event"]["changes"]["first_name"] == [None, "Ann"]
        (beat,) = await messages(client, "heartbeat")
        assert beat["last_event_id"] == told["event"]["id"]
        assert client.response and client.response.headers["x-request-id"]


async def test_a_browser_sends_its_token_as_a_subprotocol(
    live: Engine, acme: Tenant, token: Token, socket: Socket
) -> None:
    async with socket(None, subprotocols=["bellbird.v1", f"bearer.{token()}"]) as client:
        assert client.subprotocol == "bellbird.v1"
        await created(live, acme, "Ann")
        await messages(client, "event")


async def test_it_goes_on_after_the_last_event(live: Engine, acme: Tenant, token: Token, socket: Socket) -> None:
    async with socket(token()) as client:
        await created(live, acme, "one")
        ((told),) = await messages(client, "event")
    await created(live, acme, "two")
    async with socket(token(), f"last_event_id={told['event']['id']}") as client:
        await created(live, acme, "three")
        names = [each["event"]["changes"]["first_name"][1] for each in await messages(client, "event", 2)]
    assert names == ["two", "three"]


async def test_pings_are_answered(token: Token, socket: Socket) -> None:
    async with socket(token()) as client:
        await client.send('{"type":"ping"}')
        assert await messages(client, "pong")
        waiter = await client.ping()
        await asyncio.wait_for(waiter, 5)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"type":"subscribe"}', '{"type":1}', "null"])
async def test_what_is_no_ping_is_a_problem_and_nothing_worse(token: Token, socket: Socket, text: str) -> None:
    async with socket(token()) as client:
        await client.send(text)
        (told,) = await messages(client, "problem")
        assert told["problem"]["code"] == "invalid_input" and "ping" in told["problem"]["detail"]
        await client.send('{"type":"ping"}')
        assert await messages(client, "pong")


async def test_binary_floods_and_what_is_too_big_end_it_with_their_codes_and_nobody_else(
    live: Engine, acme: Tenant, token: Token, socket: Socket
) -> None:
    async with socket(token()) as other:
        async with socket(token()) as client:
            await client.send(b"\x00\x01")
            assert (await closing(client))[0] == 1003
        async with socket(token()) as client:
            await client.send("x" * 5_000)
            assert (await closing(client))[0] == 1009
        async with socket(token()) as client:
            for _ in range(60):
                try:
                    await client.send('{"type":"ping"}')
                except ConnectionClosed:
                    break
            code, told = await closing(client)
            assert code == 1008
            assert told[-1]["type"] == "closed" and told[-1]["problem"]["code"] == "flooding"
        await created(live, acme, "Ann")
        assert await messages(other, "event")


async def test_a_revoked_key_is_told_that_it_is_not_signed_in_any_more(
    live: Engine, acme: Tenant, token: Token, socket: Socket
) -> None:
    async with live.tenant(acme.id, OWNER) as tx:
        key = await keys.create(tx, NewKey(name="robot", scopes=("contacts:read",)))
    async with socket(key.key) as client:
        async with live.tenant(acme.id, OWNER) as tx:
            await keys.revoke(tx, key.id)
        await asyncio.sleep(1)
        await created(live, acme, "after")
        code, told = await closing(client)
    assert code == 4401
    assert [each["type"] for each in told if each["type"] != "heartbeat"] == ["closed"]
    assert told[-1]["problem"]["code"] == "not_signed_in"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("types=contact.creatd", 422, "invalid_input"),
        ("nonsense=1", 422, "invalid_input"),
        ("contact_id=", 422, "invalid_input"),
        ("last_event_id=nonsense", 400, "invalid_event_id"),
        ("last_event_id=0000f0c0-0000-7000-8000-00000000a117", 410, "events_gone"),
    ],
)
async def test_what_is_asked_wrongly_is_refused_with_a_problem_before_it_begins(
    token: Token, socket: Socket, query: str, status: int, code: str
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with socket(token(), query):
            pass
    answer = refused.value.response
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = json.loads(answer.body or b"")
    assert problem["code"] == code and problem["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("credential", [None, "nonsense", "bb_live_nonsense"])
async def test_who_has_not_signed_in_is_refused(socket: Socket, credential: str | None) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with socket(credential):
            pass
    assert refused.value.response.status_code == 401


async def test_plain_http_is_told_to_upgrade(process: Serving, token: Token) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    answer = httpx.get(f"{process.url}/api/v1/events/ws", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (426, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"


async def test_it_ends_by_itself_after_so_many_seconds(token: Token, socket: Socket) -> None:
    async with socket(token(), "seconds=1") as client:
        assert (await closing(client))[0] == 1000
    async with socket(token(), "seconds=0") as client:
        assert (await closing(client))[0] == 1000


async def test_a_websocket_at_another_path_is_refused(process: Serving) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws{process.url.removeprefix('http')}/api/v1/contacts", proxy=None):
            pass
    assert refused.value.response.status_code in (403, 404)
    assert "Traceback" not in process.log.read_text()
