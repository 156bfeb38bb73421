"""Twilio as far as we need it, on this machine: its API over HTTP, in its words, and its callbacks, signed by its own
library.

It is written from the documentation: https://www.twilio.com/docs/voice/api/call-resource.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Literal
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from uuid import uuid4

from twilio.request_validator import RequestValidator

from bellbird.core.telephony import Callback

SID = "AC" + "0123456789abcdef" * 2
TOKEN = "fedcba9876543210" * 2

Mood = Literal["well", "silent", "hangs up", "obeys and is silent", "obeys and hangs up", "mumbles", "busy", "broken"]


def signed(url: str, parameters: Sequence[tuple[str, str]], token: str = TOKEN, **headers: str) -> Callback:
    """A callback as Twilio sends one."""
    signature = RequestValidator(token).compute_signature(url, dict(parameters))
    return Callback(
        "POST", url,
        {
            "content-type": "application/x-www-form-urlencoded; charset=utf-8", "x-twilio-signature": signature,
            **headers,
        },
        urlencode(parameters).encode(),
    )  # fmt: skip


def rfc2822(moment: datetime) -> str:
    return format_datetime(moment.astimezone(UTC))


@dataclass
class StandIn:
    """What it was asked, and the calls that it has placed."""

    base_url: str = ""
    mood: Mood = "well"
    fast: timedelta = timedelta()
    """By how much its clock goes fast."""
    asked: list[tuple[str, str, dict[str, list[str]]]] = field(default_factory=list)
    calls: dict[str, dict[str, Any]] = field(default_factory=dict)
    orders: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.fast

    def callback(self, sid: str, status: str, sequence: int = 0, **more: str) -> Callback:
        """What it tells of a call, at the address that it was given."""
        call = self.calls[sid]
        parameters = {
            "CallSid": sid, "AccountSid": SID, "From": call["from"], "To": call["to"], "CallStatus": status,
            "Direction": "outbound-api", "ApiVersion": "2010-04-01", "Timestamp": rfc2822(self.now),
            "CallbackSource": "call-progress-events", "SequenceNumber": str(sequence), **more,
        }  # fmt: skip
        return signed(self.orders[sid]["StatusCallback"][0], list(parameters.items()))

    def answer(self, method: str, target: str, authorization: str, body: str) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(target)
        form = parse_qs(body if method == "POST" else parts.query, keep_blank_values=True)
        self.asked.append((method, parts.path, form))
        if authorization != "Basic " + base64.b64encode(f"{SID}:{TOKEN}".encode()).decode():
            return 401, fault(20003, 401, "Authenticate")
        root, _, rest = parts.path.partition(f"/2010-04-01/Accounts/{SID}/")
        if root or self.mood == "busy":
            return (429, fault(20429, 429, "Too Many Requests")) if not root else (404, fault(20404, 404, "Not found"))
        if self.mood == "broken":
            return 503, fault(20503, 503, "Service Unavailable")
        if (method, rest) == ("POST", "Calls.json"):
            return self.place(form)
        if (method, rest) == ("GET", "Calls.json"):
            return 200, self.listed(form)
        return self.update(rest.removeprefix("Calls/").removesuffix(".json"), form)

    def place(self, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        to = form["To"][0]
        if to == "+15005550001":  # as with Twilio's test credentials
            return 400, fault(21217, 400, f"Phone number {to} is invalid")
        assert ("Twiml" in form) != ("Url" in form)
        sid = f"CA{uuid4().hex}"
        self.calls[sid] = {
            "sid": sid, "account_sid": SID, "to": to, "from": form["From"][0], "status": "queued",
            "direction": "outbound-api", "date_created": rfc2822(self.now), "start_time": None, "price": None,
        }  # fmt: skip
        self.orders[sid] = form
        return 201, self.calls[sid]

    def listed(self, query: dict[str, list[str]]) -> dict[str, Any]:
        found = [
            call
            for call in reversed(self.calls.values())
            if call["to"] == query["To"][0] and call["from"] == query["From"][0]
        ]
        return {"calls": found[: int(query["PageSize"][0])], "page": 0}

    def update(self, sid: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        call, wanted = self.calls.get(sid), form["Status"][0]
        if call is None:
            return 404, fault(20404, 404, "The requested resource was not found")
        if call["status"] in ("completed", "busy", "no-answer", "failed", "canceled"):
            return 400, fault(21220, 400, "Unable to update record. Call is not in-progress. Cannot redirect.")
        if wanted == "completed" or call["status"] in ("queued", "initiated", "ringing"):
            call["status"] = wanted
        return 200, call


def fault(code: int, status: int, message: str) -> dict[str, Any]:
    return {
        "code": code, "message": message, "more_info": f"https://www.twilio.com/docs/errors/{code}", "status": status,
    }  # fmt: skip


@asynccontextmanager
async def running() -> AsyncIterator[StandIn]:
    """A stand-in that answers on this machine."""
    twilio = StandIn()
    writers = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await exchange(twilio, head.decode(), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    twilio.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield twilio
    finally:
        server.close()
        for writer in writers:
            writer.close()
        await server.wait_closed()


async def exchange(twilio: StandIn, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request, *lines = head.strip().split("\r\n")
    method, target, _ = request.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
    assert body == "" or parse_qsl(body)
    if twilio.mood not in ("silent", "hangs up"):
        status, said = twilio.answer(method, target, headers.get("authorization", ""), body)
    if "silent" in twilio.mood:
        await asyncio.sleep(30)
    if "hangs up" in twilio.mood:
        raise ConnectionError
    content = b"<html>" if twilio.mood == "mumbles" else json.dumps(said).encode()
    writer.write(
        f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        f"Retry-After: 7\r\nDate: {rfc2822(twilio.now).replace('+0000', 'GMT')}\r\n\r\n".encode()
    )
    writer.write(content)
    await writer.drain()
