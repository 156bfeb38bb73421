"""Call accounts over HTTP: connected, changed, disconnected; and their secrets in no answer."""

from uuid import uuid4

import httpx

from bellbird.core.tenants import Tenant
from tests.conftest import SignIn
from tests.features.call_accounts.conftest import SECRET

NEW = {
    "provider": "nobody", "identifier": "N1", "secret": SECRET, "name": "Main",
    "numbers": [{"number": "02 9374 4000", "label": "Front desk"}], "options": {"edge": "sydney"},
}  # fmt: skip


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_an_account_is_connected_changed_and_disconnected(api: httpx.AsyncClient, tenant: Tenant) -> None:
    answer = await api.post("/call-accounts", json=NEW)
    made = answer.json()
    path = f"/call-accounts/{made['id']}"
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1{path}")
    assert answer.headers["etag"] == '"1"'
    assert made == {
        **{name: NEW[name] for name in ("provider", "identifier", "name", "options")},
        "id": made["id"],
        "numbers": [{"number": "+61293744000", "label": "Front desk", "agent_id": None}],
        "status": "active",
        "version": 1,
        "created_at": made["created_at"],
        "updated_at": made["created_at"],
        "callback_url": f"http://127.0.0.1:8000/api/v1/callbacks/{tenant.id}/{made['id']}",
        "voice_url": f"http://127.0.0.1:8000/api/v1/callbacks/{tenant.id}/{made['id']}/voice",
    }
    assert (await api.get(path)).json() == made
    assert (await api.get("/call-accounts")).json()["data"] == [made]
    assert (await api.get(path, headers={"If-None-Match": '"1"'})).status_code == 304

    answer = await api.patch(path, json={"status": "paused", "secret": SECRET[::-1]}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.json()["status"], answer.headers["etag"]) == (200, "paused", '"2"')
    stale = await api.patch(path, json={"status": "active"}, headers={"If-Match": '"1"'})
    assert code(stale) == (412, "version_mismatch")
    assert stale.json()["current"] == answer.json()
    seen = (await api.get("/audit/events")).text
    assert "call_account.changed" in seen
    for text in (seen, answer.text, stale.text, str(made)):
        assert SECRET not in text
        assert SECRET[::-1] not in text

    assert (await api.delete(path)).status_code == 204
    assert code(await api.get(path)) == (404, "call_account_not_found")


async def test_what_is_wrong_with_an_account_is_told(api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant) -> None:
    answer = await api.post("/call-accounts", json={**NEW, "identifier": "X", "options": {"speed": 1}})
    assert code(answer) == (422, "invalid_input")
    assert {fault["pointer"] for fault in answer.json()["errors"]} == {"#/identifier", "#/options/speed"}
    answer = await api.post("/call-accounts", json={**NEW, "provider": "pigeon", "secret": SECRET})
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["#/provider"]
    assert SECRET not in answer.text
    assert (await api.post("/call-accounts", json={"provider": "nobody"})).status_code == 422
    assert (await api.post("/call-accounts", json=NEW)).status_code == 201
    assert code(await api.post("/call-accounts", json=NEW)) == (409, "call_account_taken")
    agent = sign_in(tenant, roles=("agent",))
    assert code(await agent.post("/call-accounts", json=NEW)) == (403, "permission_denied")
    assert (await agent.get("/call-accounts")).status_code == 200
    assert code(await api.get(f"/call-accounts/{uuid4()}")) == (404, "call_account_not_found")
    assert code(await api.get("/call-accounts/x")) == (422, "invalid_input")


async def test_another_tenants_account_is_not_found(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    path = f"/call-accounts/{(await other_api.post('/call-accounts', json=NEW)).json()['id']}"
    for answer in (await api.get(path), await api.patch(path, json={"name": "Mine"}), await api.delete(path)):
        assert code(answer) == (404, "call_account_not_found")
    assert (await other_api.get(path)).json()["name"] == "Main"
