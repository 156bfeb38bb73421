"""Follow-ups over HTTP."""

from datetime import UTC, datetime, timedelta

import httpx

SOON = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0).isoformat()
NEW = {"due_at": SOON, "number": "0412 345 678", "note": "Roof"}


async def test_one_is_made_listed_changed_and_done(api: httpx.AsyncClient) -> None:
    answer = await api.post("/follow-ups", json=NEW)
    made = answer.json()
    path = f"/follow-ups/{made['id']}"
    assert (answer.status_code, answer.headers["location"], answer.headers["etag"]) == (201, f"/api/v1{path}", '"1"')
    assert (await api.get(path)).json() == made
    assert (await api.get("/follow-ups?due=now")).json()["data"] == []
    assert (await api.get("/follow-ups", params={"agent_id": made["agent_id"]})).json()["data"] == [made]
    changed = await api.patch(path, json={"note": None}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.json()["note"]) == (200, None)
    assert (await api.patch(path, json={"note": "x"}, headers={"If-Match": '"1"'})).status_code == 412
    assert (await api.post(f"{path}/done")).json()["state"] == "done"
    refused = await api.post(f"{path}/cancel")
    assert (refused.status_code, refused.json()["code"], refused.json()["state"]) == (409, "follow_up_over", "done")
    assert [each["id"] for each in (await api.get("/follow-ups?state=done")).json()["data"]] == [made["id"]]


async def test_doors_are_closed(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    made = (await api.post("/follow-ups", json=NEW)).json()
    answer = await other_api.get(f"/follow-ups/{made['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "follow_up_not_found")
    assert (await other_api.post(f"/follow-ups/{made['id']}/done")).status_code == 404
    for path in ("/follow-ups?due=later", "/follow-ups?agent_id=ann", "/follow-ups?state=late", "/follow-ups?limit=0"):
        assert (await api.get(path)).status_code == 422, path
    assert (await api.post("/follow-ups", json={"number": "0412 345 678"})).status_code == 422
    assert (await api.get("/follow-ups", headers={"Authorization": ""})).status_code == 401
