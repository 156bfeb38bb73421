"""May I call, over HTTP: status codes, headers, and bad input told where it is."""

from uuid import uuid4

import httpx
import pytest

from bellbird.core.tenants import Tenant
from tests.conftest import SignIn

NUMBER = "0412 345 678"

pytestmark = pytest.mark.usefixtures("account")


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def fault(answer: httpx.Response) -> tuple[int, str]:
    first = answer.json()["errors"][0]
    return answer.status_code, (first.get("pointer") or first.get("parameter")).removeprefix("#")


async def test_a_question_is_answered_and_kept(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    asked = {"number": NUMBER, "purpose": "telemarketing", "at": "2026-12-06T10:00:00+11:00"}
    answer = await api.post("/dial-decisions", json=asked)
    decided = answer.json()
    path = f"/dial-decisions/{decided['id']}"
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1{path}")
    assert (decided["allowed"], decided["next_permitted_at"]) == (False, "2026-12-07T02:30:00Z")
    assert [reason["code"] for reason in decided["reasons"]] == ["outside_calling_hours"]
    assert (await api.get(path)).json() == decided
    assert code(await other_api.get(path)) == (404, "dial_decision_not_found")
    page = (await api.get("/dial-decisions", params={"number": NUMBER, "allowed": "false"})).json()
    assert [each["id"] for each in page["data"]] == [decided["id"]]
    assert (await api.get("/dial-decisions?allowed=true")).json()["data"] == []


async def test_bad_questions_are_told_where_they_are(api: httpx.AsyncClient) -> None:
    assert fault(await api.post("/dial-decisions", json={})) == (422, "/number")
    assert fault(await api.post("/dial-decisions", json={"number": NUMBER, "purpose": "x"})) == (422, "/purpose")
    assert fault(await api.post("/dial-decisions", json={"number": NUMBER, "when": "x"})) == (422, "/when")
    unzoned = {"number": NUMBER, "at": "2026-12-06T10:00:00"}
    assert fault(await api.post("/dial-decisions", json=unzoned)) == (422, "/at")
    nobody = {"contact_id": str(uuid4())}
    assert code(await api.post("/dial-decisions", json=nobody)) == (404, "contact_not_found")
    assert fault(await api.get("/dial-decisions?number=x")) == (422, "number")
    assert fault(await api.get("/consents")) == (422, "contact_id")
    assert fault(await api.get("/washes")) == (422, "number")


async def test_a_consent_is_given_and_withdrawn(api: httpx.AsyncClient) -> None:
    contact = (await api.post("/contacts", json={"first_name": "Ann"})).json()
    given = {"contact_id": contact["id"], "purpose": "research", "source": "web form"}
    answer = await api.post("/consents", json=given)
    consent = answer.json()
    assert (answer.status_code, consent["withdrawn_at"]) == (201, None)
    answer = await api.post(f"/consents/{consent['id']}/withdraw")
    assert (answer.status_code, answer.json()["withdrawn_at"] is not None) == (200, True)
    page = await api.get("/consents", params={"contact_id": contact["id"]})
    assert page.json()["data"] == [answer.json()]
    assert code(await api.post(f"/consents/{uuid4()}/withdraw")) == (404, "consent_not_found")


async def test_a_number_is_opted_out_and_in_again(api: httpx.AsyncClient) -> None:
    answer = await api.post("/opt-outs", json={"number": NUMBER, "source": "on the telephone"})
    opted = answer.json()
    assert (answer.status_code, opted["number"]) == (201, "+61412345678")
    assert (await api.post("/opt-outs", json={"number": NUMBER})).json() == opted
    path = f"/opt-outs/{opted['id']}/remove"
    assert fault(await api.post(path, json={"reason": " "})) == (422, "/reason")
    answer = await api.post(path, json={"reason": "she rang"})
    assert (answer.status_code, answer.json()["removed_reason"]) == (200, "she rang")
    assert (await api.get("/opt-outs")).json()["data"] == []
    assert len((await api.get("/opt-outs?removed=true")).json()["data"]) == 1


async def test_washes_are_brought_in_and_looked_up(api: httpx.AsyncClient, tenant: Tenant, sign_in: SignIn) -> None:
    washes = {"numbers": [{"number": NUMBER, "listed": True}], "source": "donotcall.gov.au"}
    answer = await api.post("/washes", json=washes)
    assert (answer.status_code, answer.json()["numbers"], answer.json()["listed"]) == (200, 1, 1)
    (found,) = (await api.get("/washes", params={"number": NUMBER})).json()["data"]
    assert (found["number"], found["listed"], found["source"]) == ("+61412345678", True, "donotcall.gov.au")
    assert (await api.get("/washes?number=0499999999")).json()["data"] == []
    agent = sign_in(tenant, roles=("agent",))
    assert code(await agent.post("/washes", json=washes)) == (403, "permission_denied")
    wrong = {"numbers": [{"number": "1", "listed": True}]}
    assert fault(await api.post("/washes", json=wrong)) == (422, "/numbers/0/number")
