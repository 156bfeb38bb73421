"""A call with Twilio from the order to its end, through the application: the API, a worker's part, signed callbacks."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import httpx
import pytest

from bellbird.app import Bellbird
from bellbird.core.actors import Actor
from bellbird.core.telephony import Callback, ProviderUnclear
from bellbird.core.tenants import Tenant
from bellbird.features.calls import dialing
from bellbird.providers.twilio import Twilio
from tests.people import cheap_passwords  # noqa: F401 - a fixture
from tests.providers.twilio.standin import SID, TOKEN, StandIn, signed

ANN, SYDNEY = "+61412345678", "+61293744000"


@pytest.fixture
async def installed(bellbird: Bellbird, twilio: Twilio) -> AsyncIterator[None]:
    """The application's Twilio is the stand-in."""
    bellbird.engine.providers.add(twilio)
    yield
    bellbird.engine.providers._made.pop("twilio")


async def connected(api: httpx.AsyncClient) -> dict[str, Any]:
    new = {"provider": "twilio", "identifier": SID, "secret": TOKEN, "numbers": [{"number": SYDNEY}]}
    answer = await api.post("/call-accounts", json=new)
    assert answer.status_code == 201, answer.text
    account: dict[str, Any] = answer.json()
    return account


async def tell(app: Any, callback: Callback) -> httpx.Response:
    """Send a callback as Twilio does: with no token, to the address it was given."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://elsewhere") as client:
        path = callback.url.removeprefix("http://127.0.0.1:8000")
        return await client.post(path, content=callback.body, headers=dict(callback.headers))


@pytest.fixture
async def placed(
    bellbird: Bellbird, installed: None, api: httpx.AsyncClient, tenant: Tenant, standin: StandIn
) -> tuple[str, str]:
    """A call that Twilio has taken on: its id here and there."""
    await connected(api)
    ann = await api.post("/users", json={"email": f"{tenant.id}@acme.example", "name": "Ann", "role": "agent"})
    order = {"to": ANN, "purpose": "service", "agent_id": ann.json()["id"], "record": True, "detect_machine": True}
    answer = await api.post("/calls", json=order)
    assert answer.status_code == 202, answer.text
    id = answer.json()["id"]
    await dialing.dial(bellbird.engine, tenant.id, UUID(id))
    (sid,) = standin.calls
    return id, sid


async def test_a_call_goes_from_its_order_to_its_end(
    app: Any, bellbird: Bellbird, tenant: Tenant, placed: tuple[str, str], standin: StandIn
) -> None:
    id, sid = placed
    assert standin.orders[sid]["StatusCallback"][0].endswith(f"?call={id}")
    steps = [("initiated", {}), ("ringing", {}), ("in-progress", {}), ("completed", {"CallDuration": "42"})]
    seen = []
    for sequence, (status, more) in enumerate(steps):
        answer = await tell(app, standin.callback(sid, status, sequence, **more))
        assert answer.status_code == 204, answer.text
        seen.append(await found(bellbird, tenant, id))
    assert [row[0] for row in seen] == ["initiated", "ringing", "in_progress", "completed"]
    address = standin.orders[sid]["StatusCallback"][0]
    base = {"CallSid": sid, "AccountSid": SID}
    where = f"https://api.twilio.com/2010-04-01/Accounts/{SID}/Recordings/RE{'1' * 32}"
    for told in (
        {**base, "AnsweredBy": "human", "MachineDetectionDuration": "3950"},
        {**base, "RecordingUrl": where, "RecordingStatus": "completed", "RecordingDuration": "40"},
    ):
        assert (await tell(app, signed(address, list(told.items())))).status_code == 204
    assert await found(bellbird, tenant, id) == ("completed", sid, 42, "human", where, "answered")


async def found(bellbird: Bellbird, tenant: Tenant, id: str) -> tuple[Any, ...] | None:
    async with bellbird.engine.reader(tenant.id, Actor.system()) as read:
        return await read.one(
            "select status, provider_call_id, duration, answered_by, recording_url, disposition from calls"
            " where tenant_id = $1 and id = $2",
            tenant.id, UUID(id),
        )  # fmt: skip


async def test_what_twilio_has_not_signed_changes_nothing(
    app: Any, bellbird: Bellbird, tenant: Tenant, placed: tuple[str, str], standin: StandIn
) -> None:
    id, sid = placed
    good = standin.callback(sid, "failed")
    before = await found(bellbird, tenant, id)
    unsigned = {name: value for name, value in good.headers.items() if name != "x-twilio-signature"}
    forged = [
        Callback("POST", good.url, unsigned, good.body),
        Callback("POST", good.url, good.headers, good.body.replace(b"failed", b"failex")),
        Callback("POST", good.url.replace(str(tenant.id), str(UUID(int=7))), good.headers, good.body),
        signed(good.url, parse_qsl(good.body.decode()), token=TOKEN[::-1]),
    ]
    answers = [await tell(app, each) for each in forged]
    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.json()["detail"] for answer in answers}) == 1, "why, is not told"
    assert await found(bellbird, tenant, id) == before
    assert (await tell(app, good)).status_code == 204


async def test_an_order_whose_answer_was_lost_is_found_again(
    bellbird: Bellbird, installed: None, api: httpx.AsyncClient, tenant: Tenant, standin: StandIn
) -> None:
    await connected(api)
    ann = await api.post("/users", json={"email": f"{tenant.id}@acme.example", "name": "Ann", "role": "agent"})
    answer = await api.post("/calls", json={"to": ANN, "purpose": "service", "agent_id": ann.json()["id"]})
    id = answer.json()["id"]
    standin.mood = "obeys and hangs up"
    with pytest.raises(ProviderUnclear):
        await dialing.dial(bellbird.engine, tenant.id, UUID(id))
    standin.mood = "well"
    await dialing.dial(bellbird.engine, tenant.id, UUID(id))
    (sid,) = standin.calls
    row = await found(bellbird, tenant, id)
    assert row
    assert row[:2] == ("initiated", sid)
    assert [method for method, _, _ in standin.asked] == ["POST", "GET"], "nobody was called twice"


async def test_a_caller_hears_what_twilio_is_to_do(
    app: Any, bellbird: Bellbird, installed: None, api: httpx.AsyncClient, tenant: Tenant
) -> None:
    account = await connected(api)
    asked = {
        "CallSid": "CA" + "2" * 32, "AccountSid": SID, "From": ANN, "To": SYDNEY, "CallStatus": "ringing",
        "Direction": "inbound", "ApiVersion": "2010-04-01",
    }  # fmt: skip
    answer = await tell(app, signed(account["voice_url"], list(asked.items())))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert "<Response>" in answer.text
