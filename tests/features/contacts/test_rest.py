"""Contacts over HTTP: status codes, headers, and bad input of every kind, told where it is, and nothing written."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.core.tenants import Tenant
from tests.conftest import NewTenant, SignIn

MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}


@pytest.fixture
async def ann(api: httpx.AsyncClient) -> dict[str, Any]:
    answer = await api.post("/contacts", json={"first_name": "Ann", "phones": [{"number": "0412 345 678"}]})
    made: dict[str, Any] = answer.json()
    return made


def problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The body of a problem, complete and of this kind."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].partition(";")[0] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == f"urn:bellbird:error:{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    if code:
        assert body["code"] == code
    return body


async def test_a_contact_is_created_read_changed_deleted_and_restored(api: httpx.AsyncClient) -> None:
    answer = await api.post("/contacts", json={"first_name": "Ann", "emails": [{"address": "Ann@Acme.example"}]})
    assert answer.status_code == 201
    made = answer.json()
    assert answer.headers["location"] == f"/api/v1/contacts/{made['id']}"
    assert answer.headers["etag"] == '"1"'
    assert made["emails"] == [{"address": "Ann@acme.example", "label": None, "primary": True, "status": "ok"}]
    path = f"/contacts/{made['id']}"
    answer = await api.get(path)
    assert (answer.status_code, answer.headers["etag"], answer.json()) == (200, '"1"', made)
    answer = await api.patch(path, json={"last_name": "Lee", "emails": None}, headers={"If-Match": '"1"'})
    assert (answer.status_code, answer.headers["etag"]) == (200, '"2"')
    assert (answer.json()["display_name"], answer.json()["emails"]) == ("Ann Lee", [])
    answer = await api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    problem(await api.get(path), 404, "contact_not_found")
    answer = await api.post(f"{path}/restore")
    assert (answer.status_code, answer.json()["version"]) == (200, 4)
    answer = await api.post(f"{path}/purge")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(await api.post(f"{path}/restore"), 404, "contact_not_found")


async def test_a_merge_patch_may_be_called_what_it_is(api: httpx.AsyncClient, ann: dict[str, Any]) -> None:
    answer = await api.patch(f"/contacts/{ann['id']}", content='{"company": "Acme"}', headers=MERGE_PATCH)
    assert (answer.status_code, answer.json()["company"], answer.json()["first_name"]) == (200, "Acme", "Ann")


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', "1", "*"])
async def test_an_etag_that_still_holds_lets_a_change_through(
    api: httpx.AsyncClient, ann: dict[str, Any], tag: str
) -> None:
    answer = await api.patch(f"/contacts/{ann['id']}", json={"company": "Acme"}, headers={"If-Match": tag})
    assert answer.status_code == 200


async def test_an_etag_that_no_longer_holds_is_answered_with_the_present_state(
    api: httpx.AsyncClient, ann: dict[str, Any]
) -> None:
    path = f"/contacts/{ann['id']}"
    now = (await api.patch(path, json={"company": "Acme"})).json()
    for answer in (
        await api.patch(path, json={"company": "Globex"}, headers={"If-Match": '"1"'}),
        await api.delete(path, headers={"If-Match": '"1"'}),
    ):
        assert problem(answer, 412, "version_mismatch")["current"] == now
    assert (await api.get(path)).json() == now


@pytest.mark.parametrize("tag", ["", '""', "x", '"1", "2"', "-1", "1.5", "９", '"' + "1" * 400 + '"', "null"])
async def test_an_etag_that_is_none_is_refused(api: httpx.AsyncClient, ann: dict[str, Any], tag: str) -> None:
    path, headers = f"/contacts/{ann['id']}", {"If-Match": tag.encode()}
    for answer in (
        await api.patch(path, json={"company": "X"}, headers=headers),
        await api.delete(path, headers=headers),
    ):
        assert problem(answer, 422)["errors"][0]["parameter"] == "If-Match"
    assert (await api.get(path)).json() == ann


async def test_an_upsert_says_whether_it_made_or_found(api: httpx.AsyncClient) -> None:
    body = {"emails": [{"address": "ann@acme.example"}]}
    made = await api.put("/contacts?match=email", json=body)
    found = await api.put("/contacts?match=email", json={**body, "first_name": "Ann"})
    assert (made.status_code, found.status_code) == (201, 200)
    assert made.json()["id"] == found.json()["id"]
    assert "location" in made.headers and "location" not in found.headers
    await api.post("/contacts", json=body)
    answer = await api.put("/contacts?match=email", json=body)
    assert len(problem(answer, 409, "ambiguous_match")["contacts"]) == 2


async def test_a_list_has_cursors_and_totals_when_asked_for(api: httpx.AsyncClient) -> None:
    for name in ("A", "B", "C"):
        await api.post("/contacts", json={"first_name": name})
    page = (await api.get("/contacts?sort=name&limit=2&total=true")).json()
    assert [contact["first_name"] for contact in page["data"]] == ["A", "B"]
    assert page["total"] == {"count": 3, "exact": True}
    assert page["previous_cursor"] is None
    page = (await api.get("/contacts", params={"sort": "name", "limit": 2, "cursor": page["next_cursor"]})).json()
    assert [contact["first_name"] for contact in page["data"]] == ["C"]
    assert (page["next_cursor"], "total" in page) == (None, False)
    for query in ("filter[first_name]=b", "filter[first_name][in]=b,x", 'filter={"first_name":"B"}', "q=b"):
        assert [contact["first_name"] for contact in (await api.get(f"/contacts?{query}")).json()["data"]] == ["B"]


async def test_lookup_answers_who_is_calling(api: httpx.AsyncClient, ann: dict[str, Any]) -> None:
    for number in ("0412345678", "+61 412 345 678", "345678"):
        assert (await api.get("/contacts/lookup", params={"number": number})).json()["data"] == [ann]


async def test_another_tenant_sees_none_of_it(
    api: httpx.AsyncClient, other_api: httpx.AsyncClient, ann: dict[str, Any]
) -> None:
    path = f"/contacts/{ann['id']}"
    for method, where in (("GET", path), ("DELETE", path), ("POST", f"{path}/restore"), ("POST", f"{path}/purge")):
        problem(await other_api.request(method, where), 404, "contact_not_found")
    problem(await other_api.patch(path, json={"first_name": "X"}), 404, "contact_not_found")
    for where in ("/contacts", "/contacts?q=ann", "/contacts/lookup?number=0412345678", "/contacts?deleted=true"):
        assert (await other_api.get(where)).json()["data"] == []
    assert (await api.get(path)).json() == ann


async def test_without_a_token_nothing_is_told(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    answers = [
        await api.get("/contacts"),
        await api.post("/contacts", json={"first_name": "A"}),
        await api.get("/contacts/x"),
    ]
    for answer in answers:
        problem(answer, 401, "not_signed_in")
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_suspended_tenant_is_told_so(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    owner.execute("update tenants set status = 'suspended' where id = %s", [tenant.id])
    problem(await api.post("/contacts", json={"first_name": "Ann"}), 403, "tenant_suspended")


@pytest.fixture
async def untouched(owner: psycopg.Connection[Any], ann: dict[str, Any], tenant: Tenant) -> AsyncIterator[None]:
    """Nothing is written during the test."""
    counting = """
    select (select count(*) from contacts where tenant_id = %(tenant)s),
      (select sum(version) from contacts where tenant_id = %(tenant)s),
      (select count(*) from events where tenant_id = %(tenant)s)
    """
    before = owner.execute(counting.encode(), {"tenant": tenant.id}).fetchone()
    yield
    assert owner.execute(counting.encode(), {"tenant": tenant.id}).fetchone() == before


BAD_BODIES: list[tuple[str, int, str, str | None]] = [
    ("", 400, "bad_request", None),
    ("nonsense", 400, "malformed_body", None),
    ("{", 400, "malformed_body", None),
    ('{"first_name": "Ann"} x', 400, "malformed_body", None),
    ('{"first_name": NaN}', 422, "invalid_type", "#/first_name"),
    ('{"first_name": "\\ud800"}', 400, "malformed_body", None),
    ("[" * 10_000 + "]" * 10_000, 400, "malformed_body", None),
    ('{"custom": ' + '{"a":' * 10_000 + "1" + "}" * 10_001, 400, "malformed_body", None),
    ('{"first_name": "A", "custom": ' + '{"a":' * 50 + "1" + "}" * 51, 422, "object_too_deep", "#/custom" + "/a" * 8),
    ("null", 422, "invalid_type", "#"),
    ("[]", 422, "invalid_type", "#"),
    ('"x"', 422, "invalid_type", "#"),
    ("5", 422, "invalid_type", "#"),
    ('{"firstname": "Ann"}', 422, "unknown_field", "#/firstname"),
    ('{"id": "x", "first_name": "Ann"}', 422, "unknown_field", "#/id"),
    ('{"tenant_id": "x", "first_name": "Ann"}', 422, "unknown_field", "#/tenant_id"),
    ('{"phones": [{"number": "0412 345 678", "nummer": 1}]}', 422, "unknown_field", "#/phones/0/nummer"),
    ('{"phones": [{}]}', 422, "missing_field", "#/phones/0/number"),
    ('{"phones": [5]}', 422, "invalid_type", "#/phones/0"),
    ('{"phones": {}}', 422, "invalid_type", "#/phones"),
    (json.dumps({"phones": [{"number": f"0412 345 6{n:02}"} for n in range(11)]}), 422, "too_many", "#/phones"),
    ('{"phones": [{"number": "+1 212 555 2368"}]}', 422, "phone_region_not_allowed", "#/phones/0/number"),
    ('{"phones": [{"number": "0412 345 67x"}]}', 422, "phone_has_letters", "#/phones/0/number"),
    ('{"phones": [{"number": 412345678}]}', 422, "invalid_type", "#/phones/0/number"),
    ('{"phones": [{"number": "0412 345 678", "region": "XX"}]}', 422, "region_unknown", "#/phones/0/region"),
    ('{"phones": [{"number": "0412 345 678", "status": "x"}]}', 422, "invalid_type", "#/phones/0/status"),
    ('{"emails": [{"address": "ann@acme"}]}', 422, "email_domain_invalid", "#/emails/0/address"),
    ('{"first_name": 5}', 422, "invalid_type", "#/first_name"),
    ('{"first_name": "%s"}' % ("x" * 10_000), 422, "text_too_long", "#/first_name"),
    ('{"first_name": "a\\u0000b"}', 422, "text_character", "#/first_name"),
    ('{"first_name": "a\\u0007b"}', 422, "text_character", "#/first_name"),
    ('{"first_name": "a\\u202eb"}', 422, "text_character", "#/first_name"),
    ('{"first_name": "A", "custom": {"n": 1e400}}', 422, "number_out_of_range", "#/custom/n"),
    ('{"first_name": "A", "custom": {"n": %s}}' % ("9" * 400), 422, "number_out_of_range", "#/custom/n"),
    ('{"first_name": "A", "custom": {"k\\u0000": 1}}', 422, "text_character", "#/custom"),
    ('{"first_name": "A", "custom": [1]}', 422, "invalid_type", "#/custom"),
    ('{"first_name": "A", "owner_id": "me"}', 422, "invalid_type", "#/owner_id"),
    ('{"first_name": "A", "birthday": "31/12/1990"}', 422, "invalid_type", "#/birthday"),
    ('{"first_name": "A", "birthday": "1990-02-30"}', 422, "invalid_type", "#/birthday"),
    ('{"first_name": "A", "birthday": 1e400}', 422, "invalid_type", "#/birthday"),
    ('{"first_name": "A", "kind": "robot"}', 422, "invalid_type", "#/kind"),
]  # fmt: skip


@pytest.mark.usefixtures("untouched")
async def test_a_bad_body_is_refused_where_it_is_wrong(api: httpx.AsyncClient, ann: dict[str, Any]) -> None:
    wrong = []
    for body, status, code, pointer in BAD_BODIES:
        for method, path in (
            ("POST", "/contacts"),
            ("PATCH", f"/contacts/{ann['id']}"),
            ("PUT", "/contacts?match=phone"),
        ):
            answer = await api.request(method, path, content=body, headers={"Content-Type": "application/json"})
            found = problem(answer, answer.status_code)
            errors = found.get("errors", [{}])
            got = (answer.status_code, errors[0].get("code", found["code"]), errors[0].get("pointer"))
            if got != (status, code, pointer):
                wrong.append((method, body[:80], got))
    assert wrong == []


@pytest.mark.usefixtures("untouched")
async def test_an_empty_object_makes_nothing_and_changes_nothing(api: httpx.AsyncClient, ann: dict[str, Any]) -> None:
    body = problem(await api.post("/contacts", json={}), 422, "invalid_input")
    assert [error["code"] for error in body["errors"]] == ["contact_needs_identity"]
    assert (await api.patch(f"/contacts/{ann['id']}", json={})).json() == ann


async def test_every_fault_of_a_body_is_told_at_once(api: httpx.AsyncClient) -> None:
    body = {"firstname": "x", "phones": [{"number": 5}, {"nr": 1}], "kind": "robot"}
    errors = problem(await api.post("/contacts", json=body), 422)["errors"]
    assert {error["pointer"] for error in errors} >= {"#/firstname", "#/phones/0/number", "#/phones/1/number", "#/kind"}
    assert any("did you mean first_name?" in error["detail"] for error in errors)


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/x-www-form-urlencoded", b"first_name=Ann"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="first_name"\r\n\r\nAnn\r\n--x--',
        ),
        ("application/xml", b"<first_name>Ann</first_name>"),
        ("text/plain", b"first_name: Ann"),
        ("application/msgpack", b"\x81\xaafirst_name\xa3Ann"),
        ("application/json; charset=utf-16", '{"first_name": "Ann"}'.encode("utf-16")),
        ("application/json", b'{"first_name": "\xff\xfe"}'),
        ("nonsense", b"\x00\xff"),
    ],
)
async def test_another_content_type_is_a_problem_and_no_contact(
    api: httpx.AsyncClient, kind: str, content: bytes
) -> None:
    answer = await api.post("/contacts", content=content, headers={"Content-Type": kind})
    assert answer.status_code in (400, 415, 422), answer.text
    problem(answer, answer.status_code)


@pytest.mark.usefixtures("untouched")
async def test_a_body_of_50_megabytes_is_refused_unread(api: httpx.AsyncClient, ann: dict[str, Any]) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(50):
            sent += 1
            yield b" " * 1_000_000

    problem(await api.post("/contacts", content=b'{"first_name": "' + b"x" * 50_000_000 + b'"}'), 413, "body_too_large")
    kind = {"Content-Type": "application/json"}
    problem(await api.patch(f"/contacts/{ann['id']}", content=endless(), headers=kind), 413, "body_too_large")


BAD_QUERIES: list[tuple[str, str]] = [
    ("foo=1", "foo"),
    ("limit=0", "limit"),
    ("limit=-1", "limit"),
    ("limit=1e9", "limit"),
    ("limit=1000000000", "limit"),
    ("limit=abc", "limit"),
    ("limit=" + "9" * 5000, "limit"),
    ("limit=1&limit=2", "limit"),
    ("sort=age", "sort"),
    ("sort=name&sort=name", "sort"),
    ("cursor=x", "cursor"),
    ("cursor=%00", "cursor"),
    ("cursor=AAAA&cursor=AAAA", "cursor"),
    ("deleted=maybe", "deleted"),
    ("total=2", "total"),
    ("q=%00", "q"),
    ("q=a%E2%80%AEb", "q"),
    ("q=" + "x" * 101, "q"),
    ("q=a&q=b", "q"),
    ("q=%20", "q"),
    ("filter[", "filter["),
    ("filter[]=1", "filter[]"),
    ("filter[a][b][c]=1", "filter[a][b][c]"),
    ("filter[x]=1", "filter[x]"),
    ("filter[first_name][x]=1", "filter[first_name][x]"),
    ("filter[first_name]=a&filter[first_name]=b", "filter[first_name]"),
    ("filter[first_name]=%00", "filter[first_name]"),
    ("filter[version]=1e400", "filter[version]"),
    ("filter[version]=2147483648", "filter[version]"),
    ("filter[id]=x", "filter[id]"),
    ("filter[birthday]=x", "filter[birthday]"),
    ("filter[phone]=1", "filter[phone]"),
    ("filter={", "filter"),
    ("filter=[]", "filter"),
    ('filter={"version":1e400}', "filter"),
    ('filter={"first_name":"a"}&filter[kind]=person', "filter"),
    ("filter=%7B%7D&filter=%7B%7D", "filter"),
    ("first_name=Ann", "first_name"),
]


@pytest.mark.usefixtures("untouched")
async def test_a_bad_query_string_is_refused_by_the_parameter(api: httpx.AsyncClient) -> None:
    wrong = []
    for query, parameter in BAD_QUERIES:
        answer = await api.get(f"/contacts?{query}")
        if answer.status_code != 422 or problem(answer, 422).get("errors", [{}])[0].get("parameter") != parameter:
            wrong.append((query[:80], answer.status_code, answer.text[:300]))
    assert wrong == []


@pytest.mark.parametrize("raw", [b"q=%ff", b"q=%ed%a0%80", b"&".join(b"a%d=1" % n for n in range(200))])
async def test_a_query_string_that_cannot_be_read_is_refused(api: httpx.AsyncClient, raw: bytes) -> None:
    url = httpx.URL("http://bellbird.test/api/v1/contacts").copy_with(query=raw)
    problem(await api.get(url), 422, "invalid_input")


async def test_a_lone_percent_sign_is_taken_as_it_is(api: httpx.AsyncClient, ann: dict[str, Any]) -> None:
    assert (await api.get("/contacts?q=ann%")).json()["data"] == [ann]
    assert (await api.get("/contacts?q=ann%zz")).json()["data"] == []


@pytest.mark.parametrize("query", ["", "match=", "match=name", "match=email&match=email", "match=email&x=1"])
@pytest.mark.usefixtures("untouched")
async def test_an_upsert_needs_something_to_match_by(api: httpx.AsyncClient, query: str) -> None:
    answer = await api.put(f"/contacts?{query}", json={"emails": [{"address": "a@b.example"}]})
    assert problem(answer, 422, "invalid_input")["errors"][0]["parameter"] in ("match", "x")


@pytest.mark.parametrize("query", ["", "number=", "number=12", "number=abc", "number=%00", "number=1&number=2", "nr=1"])
async def test_a_lookup_needs_a_number(api: httpx.AsyncClient, query: str) -> None:
    problem(await api.get(f"/contacts/lookup?{query}"), 422, "invalid_input")


BAD_IDS = ["x", "1", "null", "..%2f", "%00", "0192f0c0-0000-7000-8000-00000000000", "%ff", "é", "0" * 5000]


@pytest.mark.usefixtures("untouched")
async def test_an_id_that_is_none_is_refused(api: httpx.AsyncClient) -> None:
    wrong = []
    for id in BAD_IDS:
        for method, path in (
            ("GET", f"/contacts/{id}"), ("PATCH", f"/contacts/{id}"), ("DELETE", f"/contacts/{id}"),
            ("POST", f"/contacts/{id}/restore"), ("POST", f"/contacts/{id}/purge"),
        ):  # fmt: skip
            answer = await api.request(method, path, content="{}" if method == "PATCH" else None)
            if answer.status_code not in (404, 422):
                wrong.append((method, id[:60], answer.status_code, answer.text[:200]))
            problem(answer, answer.status_code)
    assert wrong == []


async def test_what_does_not_exist_is_a_problem_as_well(api: httpx.AsyncClient) -> None:
    problem(await api.get(f"/contacts/{uuid4()}"), 404, "contact_not_found")
    problem(await api.get("/nothing"), 404, "not_found")
    problem(await api.request("PURGE", "/contacts"), 405, "method_not_allowed")


async def test_a_cursor_of_another_tenant_is_refused(api: httpx.AsyncClient, other_api: httpx.AsyncClient) -> None:
    for client in (api, other_api):
        for name in ("A", "B"):
            await client.post("/contacts", json={"first_name": name})
    cursor = (await other_api.get("/contacts?limit=1")).json()["next_cursor"]
    body = problem(await api.get("/contacts", params={"limit": 1, "cursor": cursor}), 422)
    assert body["errors"][0] == {
        "parameter": "cursor", "code": "invalid_cursor",
        "detail": "is no cursor of this list: "
        "use next_cursor or previous_cursor as it is, with the same filter, sort and q",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("POST", {"emails": [{"address": "Ann@Acme.example"}]}),
        ("POST", {"phones": [{"number": "0412 345 678"}]}),
        ("PUT", {"emails": [{"address": "Ann@Acme.example"}]}),
    ],
)
async def test_fifty_requests_at_once_make_one_contact(
    sign_in: SignIn, new_tenant: NewTenant, verb: str, body: dict[str, Any]
) -> None:
    strict = sign_in(await new_tenant(duplicate_policy="reject"))
    path = "/contacts" if verb == "POST" else "/contacts?match=email"
    answers = await asyncio.gather(*(strict.request(verb, path, json=body) for _ in range(50)))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == ([201] + [409] * 49 if verb == "POST" else [200] * 49 + [201])
    (one,) = (await strict.get("/contacts")).json()["data"]
    for answer in answers:
        if answer.status_code == 409:
            assert problem(answer, 409, "duplicate_contact")["contacts"] == [one["id"]]


async def test_the_callers_request_id_is_kept_in_the_answer_and_the_event(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any]
) -> None:
    answer = await api.post("/contacts", json={"first_name": "Ann"}, headers={"X-Request-Id": "trace-1"})
    assert answer.headers["x-request-id"] == "trace-1"
    row = owner.execute("select request_id, origin from events where contact_id = %s", [answer.json()["id"]]).fetchone()
    assert row == ("trace-1", "api")
    for bad in ("a b", "x" * 65, "é", ""):
        answer = await api.get("/contacts", headers={"X-Request-Id": bad.encode()})
        assert answer.headers["x-request-id"] not in (bad, "")


async def test_text_of_every_script_goes_in_and_comes_out(api: httpx.AsyncClient) -> None:
    names = ["Māui", "李小龍", "Ναυσικά", "محمد", "👩‍👩‍👧", 'O\'Brien \\ "x" {a,b}', "$1 %s ; drop table", "Å"]
    for name in names:
        made = (await api.post("/contacts", json={"first_name": name, "tags": [name], "custom": {name: name}})).json()
        assert (made["first_name"], made["tags"], made["custom"]) == (name, [name], {name: name})
        assert (await api.get(f"/contacts/{made['id']}")).json() == made
        found = (await api.get("/contacts", params={"filter": json.dumps({"tag": name})})).json()["data"]
        assert found == [made]
