"""Calls there were and are, over HTTP."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx

from tests import make
from tests.conftest import Begin

SOON = (datetime.now(UTC) + timedelta(hours=3)).replace(microsecond=0).isoformat()


async def test_calls_are_listed_and_read(api: httpx.AsyncClient, begin: Begin) -> None:
    async with begin() as tx:
        ann = await make.contact(tx)
        first = await make.call(tx, contact_id=ann.id)
        second = await make.call(tx, direction="inbound", number="+61412999999")
    listed = (await api.get("/calls")).json()
    assert [call["id"] for call in listed["data"]] == [str(second.id), str(first.id)]
    found = (await api.get("/calls", params={"filter[number]": "0412 999 999"})).json()
    assert [call["id"] for call in found["data"]] == [str(second.id)]
    of_ann = (await api.get(f"/contacts/{ann.id}/calls")).json()
    assert [call["id"] for call in of_ann["data"]] == [str(first.id)]
    one = await api.get(f"/calls/{first.id}")
    assert (one.headers["etag"], one.json()) == ('"1"', listed["data"][1])
    assert (await api.get(f"/calls/{first.id}", headers={"If-None-Match": '"1"'})).status_code == 304


async def test_what_came_of_it_is_said(api: httpx.AsyncClient, begin: Begin) -> None:
    async with begin() as tx:
        call = await make.call(tx)
    path = f"/calls/{call.id}"
    answer = await api.patch(path, json={"outcome": "call_back", "notes": "Roof", "follow_up": {"due_at": SOON}})
    assert (answer.status_code, answer.json()["outcome"], answer.headers["etag"]) == (200, "call_back", '"2"')
    (due,) = (await api.get("/follow-ups")).json()["data"]
    assert (due["call_id"], due["number"]) == (str(call.id), call.number)
    assert (await api.patch(path, json={"notes": "x"}, headers={"If-Match": '"1"'})).status_code == 412
    refused = (await api.patch(path, json={"outcome": "bought", "status": "completed"})).json()
    assert [fault["pointer"] for fault in refused["errors"]] == ["#/status"]
    refused = (await api.patch(path, json={"outcome": "bought"})).json()
    assert [(fault["pointer"], fault["code"]) for fault in refused["errors"]] == [("#/outcome", "unknown_outcome")]


async def test_a_contact_is_made_of_an_unknown_caller(api: httpx.AsyncClient, begin: Begin) -> None:
    async with begin() as tx:
        call = await make.call(tx, direction="inbound")
    answer = await api.post(f"/calls/{call.id}/contact", json={"first_name": "Cat"})
    contact = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1/contacts/{contact['id']}")
    assert contact["phones"][0]["number"] == call.number
    assert (await api.get(f"/calls/{call.id}")).json()["contact_id"] == contact["id"]
    again = await api.post(f"/calls/{call.id}/contact", json={"first_name": "Cat"})
    assert (again.status_code, again.json()["code"]) == (409, "call_has_contact")


async def test_calls_are_counted(api: httpx.AsyncClient, begin: Begin) -> None:
    async with begin() as tx:
        await make.call(tx, disposition="answered", duration=60)
        await make.call(tx, disposition="busy")
    found = (await api.get("/calls/statistics?group_by=disposition,day")).json()
    assert found["total"] == {
        "calls": 2, "answered": 1, "answer_rate": 0.5, "talk_seconds": 60, "average_seconds": 60.0,
    }  # fmt: skip
    assert {group["disposition"] for group in found["groups"]} == {"answered", "busy"}
    assert set(found["groups"][0]) == {*found["total"], "disposition", "day"}
    for query in ("from=yesterday", "group_by=agents", "from=2026-02-01&to=2026-01-01", "group_by=day,hour,agent"):
        assert (await api.get(f"/calls/statistics?{query}")).status_code == 422, query


async def test_doors_are_closed(api: httpx.AsyncClient, other_api: httpx.AsyncClient, begin: Begin) -> None:
    async with begin() as tx:
        call = await make.call(tx)
    for path in (f"/calls/{call.id}", f"/calls/{call.id}/callbacks", f"/contacts/{uuid4()}/calls"):
        assert (await other_api.get(path)).status_code == 404, path
    assert (await other_api.patch(f"/calls/{call.id}", json={"notes": "x"})).status_code == 404
    assert (await api.get(f"/calls/{call.id}/callbacks")).json()["data"] == []
    assert (await api.get("/calls?filter[colour]=red")).status_code == 422
