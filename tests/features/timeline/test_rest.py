"""A contact's timeline over HTTP."""

import httpx


async def test_it_is_answered_page_by_page(api: httpx.AsyncClient) -> None:
    id = (await api.post("/contacts", json={"first_name": "Ann"})).json()["id"]
    await api.patch(f"/contacts/{id}", json={"company": "Acme"})
    first = await api.get(f"/contacts/{id}/timeline", params={"limit": 1})
    assert first.status_code == 200
    (entry,) = first.json()["data"]
    assert set(entry) == {"id", "at", "kind", "type", "actor", "changes", "data"}
    assert (entry["kind"], entry["type"], entry["data"]) == ("event", "contact.updated", {"version": 2})
    assert entry["changes"] == {"company": [None, "Acme"]}
    assert entry["actor"].startswith("user:")
    assert first.json()["previous_cursor"] is None
    second = await api.get(f"/contacts/{id}/timeline", params={"limit": 1, "cursor": first.json()["next_cursor"]})
    assert [each["type"] for each in second.json()["data"]] == ["contact.created"]
    assert second.json()["next_cursor"] is None
    back = await api.get(f"/contacts/{id}/timeline", params={"limit": 1, "cursor": second.json()["previous_cursor"]})
    assert back.json()["data"] == [entry]


async def test_only_some_types_are_asked_for(api: httpx.AsyncClient) -> None:
    id = (await api.post("/contacts", json={"first_name": "Ann"})).json()["id"]
    await api.delete(f"/contacts/{id}")
    answer = await api.get(f"/contacts/{id}/timeline?types=contact.created,contact.updated")
    assert [each["type"] for each in answer.json()["data"]] == ["contact.created"]
    both = await api.get(f"/contacts/{id}/timeline?types=contact.*")
    assert [each["type"] for each in both.json()["data"]] == ["contact.deleted", "contact.created"]


async def test_mistakes_are_told(api: httpx.AsyncClient) -> None:
    id = (await api.post("/contacts", json={"first_name": "Ann"})).json()["id"]
    for query, parameter, code in (
        ("types=contact.update", "types", "unknown_type"),
        ("types=note.*", "types", "unknown_type"),
        ("types=", "types", "invalid_value"),
        ("types=event&types=event", "types", "invalid_value"),
        ("limit=x", "limit", "invalid_value"),
        ("cursor=nonsense", "cursor", "invalid_cursor"),
        ("type=event", "type", "unknown_parameter"),
    ):
        answer = await api.get(f"/contacts/{id}/timeline?{query}")
        assert answer.status_code == 422, query
        ((found, said),) = [(each["parameter"], each["code"]) for each in answer.json()["errors"]]
        assert (found, said) == (parameter, code), answer.text
    assert (await api.get("/contacts/nobody/timeline")).json()["errors"][0]["code"] == "invalid_id"


async def test_another_tenants_contact_is_not_found(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    id = (await api.post("/contacts", json={"first_name": "Ann"})).json()["id"]
    refused = await other_api.get(f"/contacts/{id}/timeline")
    assert (refused.status_code, refused.json()["code"]) == (404, "contact_not_found")
