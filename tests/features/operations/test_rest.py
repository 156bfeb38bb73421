"""Operations over HTTP."""

from uuid import uuid4

import httpx

from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.features import operations
from tests import make
from tests.conftest import Begin, SignIn

TO = str(uuid4())
ASSIGN = {"kind": "contacts.assign", "params": {"from": None, "to": TO}}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def test_one_is_started_paused_resumed_done_and_undone(
    api: httpx.AsyncClient, engine: Engine, begin: Begin, tenant: Tenant
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx)
    answer = await api.post("/operations", json=ASSIGN)
    made = answer.json()
    path = f"/operations/{made['id']}"
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/v1{path}")
    assert (made["state"], made["params"], made["errors"]) == ("queued", ASSIGN["params"], [])
    assert (await api.get(path)).json() == made
    del made["errors"]
    assert (await api.get("/operations?kind=contacts.assign&state=queued")).json()["data"] == [made]
    assert (await api.get("/operations?state=running")).json()["data"] == []
    assert code(await api.post(f"{path}/undo")) == (409, "not_undoable")

    paused = await api.post(f"{path}/pause")
    assert (paused.status_code, paused.json()["state"]) == (200, "paused")
    assert (await api.post(f"{path}/resume")).json()["state"] == "queued"
    assert await operations.run(engine, tenant.id, made["id"]) == "completed"
    assert (await api.get(f"/contacts/{ann.id}")).json()["owner_id"] == TO
    done = (await api.get(path)).json()
    assert (done["state"], done["done"], done["total"]) == ("completed", 1, 1)
    for verb in ("cancel", "pause", "resume"):
        answer = await api.post(f"{path}/{verb}")
        assert code(answer) == (409, "operation_finished")
        assert answer.json()["state"] == "completed"

    answer = await api.post(f"{path}/undo")
    undoing = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/api/v1/operations/{undoing['id']}")
    assert undoing["undo_of"] == made["id"]
    assert await operations.run(engine, tenant.id, undoing["id"]) == "completed"
    assert (await api.get(f"/contacts/{ann.id}")).json()["owner_id"] is None
    assert (await api.get(path)).json()["undone_by"] == undoing["id"]


async def test_what_is_wrong_is_said_where_it_is(api: httpx.AsyncClient) -> None:
    for body, pointer, fault in (
        ({"kind": "contacts.asign"}, "#/kind", "unknown_operation"),
        ({"kind": "contacts.assign"}, "#/params/from", "missing_field"),
        ({"kind": "contacts.assign", "params": {"from": None, "to": "Bob"}}, "#/params/to", "invalid_type"),
        ({"kind": "contacts.assign", "params": []}, "#/params", "invalid_type"),
        ({"params": {}}, "#/kind", "missing_field"),
    ):
        answer = await api.post("/operations", json=body)
        assert code(answer) == (422, "invalid_input"), body
        assert (answer.json()["errors"][0]["pointer"], answer.json()["errors"][0]["code"]) == (pointer, fault)
    answer = await api.post("/operations", json={"kind": "contacts.asign"})
    assert "did you mean contacts.assign?" in answer.json()["errors"][0]["detail"]
    for query, parameter in (("kind=x", "kind"), ("state=x", "state"), ("sate=queued", "sate"), ("cursor=x", "cursor")):
        answer = await api.get(f"/operations?{query}")
        assert answer.status_code in (400, 422)
        assert answer.json()["errors"][0]["parameter"] == parameter
    assert code(await api.get(f"/operations/{uuid4()}")) == (404, "operation_not_found")


async def test_it_takes_permissions_and_is_a_tenants_own(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, sign_in: SignIn, tenant: Tenant
) -> None:
    made = (await api.post("/operations", json=ASSIGN)).json()
    agent = sign_in(tenant, roles=("agent",))
    assert code(await agent.post("/operations", json=ASSIGN)) == (403, "permission_denied")
    assert (await agent.get(f"/operations/{made['id']}")).status_code == 200
    own = sign_in(tenant, roles=("agent",), visibility="own")
    assert code(await own.get(f"/operations/{made['id']}")) == (404, "operation_not_found")
    assert (await own.get("/operations")).json()["data"] == []
    assert code(await other_api.get(f"/operations/{made['id']}")) == (404, "operation_not_found")


async def test_sent_again_with_its_key_it_is_started_once(api: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": uuid4().hex}
    answers = [await api.post("/operations", json=ASSIGN, headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len((await api.get("/operations")).json()["data"]) == 1
