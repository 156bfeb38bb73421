"""Placing calls over HTTP."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from bellbird.app import Bellbird
from bellbird.core.tenants import Tenant
from bellbird.features import dialling
from bellbird.features.dialling import Reason
from tests import make
from tests.conftest import Begin, SignIn
from tests.features.calls.carrier import Carrier, connect

NUMBER = "+61412345678"
SERVICE = {"to": NUMBER, "purpose": "service"}


@pytest.fixture(autouse=True)
async def connected(bellbird: Bellbird, tenant: Tenant) -> None:
    """An account of the test's tenant."""
    await connect(bellbird.engine, tenant, Carrier())


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_a_call_is_accepted_looked_up_and_canceled(api: httpx.AsyncClient) -> None:
    answer = await api.post("/calls", json=SERVICE | {"to": "0412 345 678"})
    call = answer.json()
    assert answer.status_code == 202, call
    assert (answer.headers["location"], answer.headers["etag"]) == (f"/api/v1/calls/{call['id']}", 'W/"1"')
    assert (call["status"], call["number"], call["decision"]["allowed"]) == ("queued", NUMBER, True)
    canceled = await api.post(f"/calls/{call['id']}/cancel")
    assert (canceled.status_code, canceled.json()["status"]) == (200, "canceled")
    assert (await api.post(f"/calls/{call['id']}/hang-up")).json() == canceled.json()


async def test_a_contact_is_called(api: httpx.AsyncClient, begin: Begin) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, phone=NUMBER)
    answer = await api.post(f"/contacts/{ann.id}/calls", json={"purpose": "service"})
    assert answer.status_code == 202, answer.text
    assert (answer.json()["contact_id"], answer.json()["number"]) == (str(ann.id), NUMBER)
    other = await api.post(f"/contacts/{ann.id}/calls", json={"contact_id": str(uuid4())})
    assert (code(other), other.json()["errors"][0]["pointer"]) == ((422, "invalid_input"), "#/contact_id")
    assert code(await api.post(f"/contacts/{uuid4()}/calls", json={})) == (404, "contact_not_found")


async def test_a_request_that_is_sent_twice_places_one_call(api: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    first, second = [await api.post("/calls", json=SERVICE, headers=key) for _ in range(2)]
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()


async def test_the_second_call_at_a_time_is_refused_or_waits(tenant: Tenant, sign_in: SignIn) -> None:
    api = sign_in(tenant, user=uuid4())
    assert (await api.post("/calls", json=SERVICE)).status_code == 202
    refused = await api.post("/calls", json=SERVICE | {"to": "0412 000 001"})
    assert code(refused) == (409, "call_limit_reached")
    assert (refused.json()["limit"], refused.json()["max"], refused.headers["retry-after"]) == ("agent", 1, "5")
    same = await sign_in(tenant, user=uuid4()).post("/calls", json=SERVICE)
    assert (code(same), same.json()["limit"]) == ((409, "call_limit_reached"), "number")
    waits = await api.post("/calls", json=SERVICE | {"wait": True, "wait_seconds": 60, "to": "0412 000 001"})
    assert waits.status_code == 202
    assert waits.json()["waits_until"]


async def test_one_that_is_not_permitted_is_told_why_and_when_it_will_be(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide = dialling.decide

    async def forbidden(tx: Any, question: Any) -> Any:
        return replace(
            await decide(tx, question), allowed=False, reasons=(Reason("opted_out", "They have opted out."),),
            next_permitted_at=None,
        )  # fmt: skip

    monkeypatch.setattr(dialling, "decide", forbidden)
    answer = await api.post("/calls", json=SERVICE, headers={"Idempotency-Key": uuid4().hex})
    told = answer.json()
    assert code(answer) == (409, "call_not_permitted")
    assert told["reasons"] == [{"code": "opted_out", "message": "They have opted out."}]
    assert told["next_permitted_at"] is None
    assert UUID(told["decision_id"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/to"), ({"to": "12"}, "#/to"), ({"to": NUMBER, "from_number": "0412 000 001"}, "#/from_number"),
        ({"to": NUMBER, "ring_seconds": 1}, "#/ring_seconds"), ({"to": NUMBER, "wait_seconds": 5}, "#/wait_seconds"),
        ({"to": NUMBER, "wait": "yes"}, "#/wait"), ({"to": NUMBER, "purpose": "fun"}, "#/purpose"),
        ({"to": NUMBER, "tone": 1}, "#/tone"), ({"to": 5}, "#/to"), ({"to": NUMBER, "agent_id": "x"}, "#/agent_id"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said_where_it_is(api: httpx.AsyncClient, body: Any, pointer: str) -> None:
    answer = await api.post("/calls", json=body)
    assert code(answer) == (422, "invalid_input")
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]


async def test_without_an_account_or_another_tenants_call(other_api: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    assert code(await other_api.post("/calls", json=SERVICE)) == (409, "no_call_account")
    call = (await api.post("/calls", json=SERVICE)).json()
    for verb in ("cancel", "hang-up"):
        assert code(await other_api.post(f"/calls/{call['id']}/{verb}")) == (404, "call_not_found")
        assert code(await api.post(f"/calls/x/{verb}")) == (422, "invalid_input")
    async with httpx.AsyncClient(transport=api._transport, base_url=api.base_url) as nobody:
        assert code(await nobody.post("/calls", json=SERVICE)) == (401, "not_signed_in")
