"""The live stream inside a host application, spoken to without a server: ASGI messages by hand."""

import json
from typing import Any
from uuid import uuid4

import pytest

from bellbird.app import Bellbird, create_app
from bellbird.core.principals import Claims
from bellbird.core.tenants import Tenant

Messages = list[Any]


async def ask(
    app: Any, *, headers: dict[str, str], can_refuse: bool = True, path: str = "/api/v1/events/ws"
) -> Messages:
    """What the application sends to a WebSocket that hangs up at once."""
    given: Messages = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    sent: Messages = []

    async def receive() -> Any:
        return given.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "websocket", "path": path, "raw_path": path.encode(), "root_path": "", "query_string": b"",
        "scheme": "wss", "subprotocols": [], "asgi": {"version": "3.0"}, "client": None,
        "server": ("crm.example.com", 443), "http_version": "1.1",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "extensions": {"websocket.http.response": {}} if can_refuse else {},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


@pytest.fixture
def hosted(bellbird: Bellbird, tenant: Tenant) -> Any:
    """The application of a host that goes by a cookie."""

    def identify(scope: Any) -> Claims | None:
        cookies = dict(scope["headers"]).get(b"cookie")
        return Claims(tenant.id, "user", str(uuid4()), roles=("owner",)) if cookies == b"session=ann" else None

    return create_app(bellbird, identify=identify)


COOKIE = {"cookie": "session=ann", "host": "crm.example.com"}


async def test_whom_the_host_knows_is_let_in(hosted: Any) -> None:
    accepted, *_ = await ask(hosted, headers=COOKIE)
    assert accepted["type"] == "websocket.accept"
    accepted, *_ = await ask(hosted, headers={**COOKIE, "origin": "https://crm.example.com"})
    assert accepted["type"] == "websocket.accept"


async def test_a_page_of_another_origin_is_not_though_the_browser_sends_the_cookie(hosted: Any) -> None:
    start, body = await ask(hosted, headers={**COOKIE, "origin": "https://evil.example"})
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    problem = json.loads(body["body"])
    assert problem["code"] == "permission_denied"
    assert dict(start["headers"])[b"x-request-id"].decode() == problem["request_id"]


async def test_where_the_server_can_send_no_problem_it_closes_with_a_code(hosted: Any) -> None:
    (closed,) = await ask(hosted, headers={"host": "crm.example.com"}, can_refuse=False)
    assert closed == {"type": "websocket.close", "code": 4401, "reason": "not_signed_in"}
