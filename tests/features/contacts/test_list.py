"""Lists of contacts: filters on every field, sorts, totals, and pages that lose and repeat nothing."""

import base64
import json
from dataclasses import replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core import paging
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.tenants import Tenant, TenantSettings
from bellbird.features import contacts
from bellbird.features.contacts import Address, Contact, Email, Phone, Query, search
from bellbird.features.contacts.fields import filterable
from tests import make
from tests.conftest import Begin, NewTenant

OWNER = UUID("0192f0c0-0000-7000-8000-000000000001")


@pytest.fixture
async def three(tx: Tx) -> dict[str, Contact]:
    """Ann has everything, Bob other things, Cas nothing but a name."""
    ann = await make.contact(
        tx, first_name="Ann", last_name="O'Lée", display_name="Ann O'Lée", company="Acme 100% Pty", job_title="CEO",
        phones=(Phone("0412 345 678"),), emails=(Email("Ann@Acme.example"),), birthday=date(1990, 5, 1),
        addresses=(Address("1 Main St", "Sydney", "NSW", "2000", "AU"),), timezone="Australia/Sydney", locale="en-AU",
        source="web", owner_id=OWNER, tags=("vip", "a,b"), external_id="A-1",
    )  # fmt: skip
    bob = await make.contact(
        tx, kind="organisation", first_name="Bob", last_name="Mac_Donald", display_name="Bobby", company="Globex",
        job_title="CFO", phones=(Phone("+64 9 300 0000"),), emails=(Email("bob@globex.example"),),
        birthday=date(2000, 1, 1), addresses=(Address("2 Queen St", "Auckland", "AUK", "1010", "NZ"),),
        timezone="Pacific/Auckland", locale="en-NZ", source="import", owner_id=uuid4(), tags=("new",),
        external_id="B-1",
    )  # fmt: skip
    cas = await make.contact(tx, first_name="Cas")
    bob = await contacts.update(tx, bob.id, contacts.ContactPatch(job_title="COO"))
    return {"ann": ann, "bob": bob, "cas": cas}


# field, operator, value, who
FILTERS: list[tuple[str, str, Any, str]] = [
    *((field, "exists", True, "ann bob") for field in (
        "last_name", "company", "job_title", "phone", "email", "email_domain", "tag", "birthday", "timezone", "locale",
        "source", "owner_id", "external_id")),
    *((field, "exists", "false", "cas") for field in (
        "last_name", "company", "job_title", "phone", "email", "email_domain", "tag", "birthday", "timezone", "locale",
        "source", "owner_id", "external_id")),
    *((field, "exists", True, "ann bob cas") for field in (
        "id", "kind", "first_name", "display_name", "version", "updated_at")),
    ("deleted_at", "exists", False, "ann bob cas"),
    ("id", "eq", "ann.id", "ann"), ("id", "ne", "ann.id", "bob cas"), ("id", "in", ["ann.id", "cas.id"], "ann cas"),
    ("kind", "eq", "organisation", "bob"), ("kind", "ne", "organisation", "ann cas"),
    ("kind", "in", ["person", "organisation"], "ann bob cas"),
    ("first_name", "eq", "ANN", "ann"), ("first_name", "ne", "ann", "bob cas"),
    ("first_name", "in", ["ann", "CAS"], "ann cas"), ("first_name", "contains", "a", "ann cas"),
    ("first_name", "starts_with", "b", "bob"), ("first_name", "eq", "an", ""),
    ("last_name", "eq", "o'lée", "ann"), ("last_name", "eq", "o'lee", ""), ("last_name", "ne", "O'LÉE", "bob cas"),
    ("last_name", "eq", "O'Le\u0301e", "ann"), ("last_name", "contains", "le\u0301", "ann"),
    ("last_name", "in", ["o'lée"], "ann"), ("last_name", "contains", "'L", "ann"),
    ("last_name", "starts_with", "O'", "ann"), ("last_name", "contains", "_", "bob"),
    ("last_name", "starts_with", "mac_", "bob"), ("last_name", "eq", "mac%", ""),
    ("display_name", "eq", "bobby", "bob"), ("display_name", "ne", "bobby", "ann cas"),
    ("display_name", "in", ["bobby", "cas"], "bob cas"), ("display_name", "contains", "bb", "bob"),
    ("display_name", "starts_with", "ann o", "ann"),
    ("company", "eq", "acme 100% pty", "ann"), ("company", "eq", "Acme  100%   Pty", "ann"),
    ("company", "ne", "globex", "ann cas"), ("company", "in", ["GLOBEX"], "bob"), ("company", "contains", "%", "ann"),
    ("company", "contains", "0% p", "ann"), ("company", "starts_with", "glo", "bob"), ("company", "contains", "\\", ""),
    ("job_title", "eq", "coo", "bob"), ("job_title", "ne", "coo", "ann cas"), ("job_title", "in", ["ceo"], "ann"),
    ("job_title", "contains", "e", "ann"), ("job_title", "starts_with", "c", "ann bob"), ("job_title", "eq", "cfo", ""),
    ("phone", "eq", "0412 345 678", "ann"), ("phone", "eq", "+61 412 345 678", "ann"),
    ("phone", "ne", "0412 345 678", "bob cas"), ("phone", "in", ["0412345678", "+6493000000"], "ann bob"),
    ("email", "eq", "ann@acme.EXAMPLE", "ann"), ("email", "ne", "ANN@acme.example", "bob cas"),
    ("email", "in", ["bob@globex.example"], "bob"),
    ("email_domain", "eq", "ACME.example", "ann"), ("email_domain", "eq", "@acme.example", "ann"),
    ("email_domain", "ne", "acme.example", "bob cas"), ("email_domain", "in", ["globex.example", "x.example"], "bob"),
    ("tag", "eq", "vip", "ann"), ("tag", "eq", "a,b", "ann"), ("tag", "ne", "vip", "bob cas"),
    ("tag", "in", ["vip", "new"], "ann bob"), ("tag", "eq", 'x"{\\', ""),
    ("address_city", "eq", "Sydney", "ann"), ("address_city", "ne", "Sydney", "bob cas"),
    ("address_region", "eq", "AUK", "bob"), ("address_region", "ne", "AUK", "ann cas"),
    ("address_postcode", "eq", "1010", "bob"), ("address_postcode", "ne", "1010", "ann cas"),
    ("address_country", "eq", "NZ", "bob"), ("address_country", "ne", "NZ", "ann cas"),
    ("birthday", "eq", "1990-05-01", "ann"), ("birthday", "ne", "1990-05-01", "bob cas"),
    ("birthday", "in", ["1990-05-01", "2000-01-01"], "ann bob"), ("birthday", "gt", "1990-05-01", "bob"),
    ("birthday", "gte", "1990-05-01", "ann bob"), ("birthday", "lt", "2000-01-01", "ann"),
    ("birthday", "lte", "2000-01-01", "ann bob"),
    ("timezone", "eq", "Australia/Sydney", "ann"), ("timezone", "ne", "Australia/Sydney", "bob cas"),
    ("timezone", "in", ["Pacific/Auckland"], "bob"),
    ("locale", "eq", "en-AU", "ann"), ("locale", "ne", "en-AU", "bob cas"), ("locale", "in", ["en-NZ"], "bob"),
    ("source", "eq", "web", "ann"), ("source", "ne", "web", "bob cas"), ("source", "in", ["web", "import"], "ann bob"),
    ("owner_id", "eq", str(OWNER), "ann"), ("owner_id", "ne", str(OWNER), "bob cas"),
    ("owner_id", "in", [str(OWNER)], "ann"),
    ("external_id", "eq", "A-1", "ann"), ("external_id", "eq", "a-1", ""), ("external_id", "ne", "A-1", "bob cas"),
    ("external_id", "in", ["A-1", "B-1"], "ann bob"),
    ("version", "eq", 2, "bob"), ("version", "eq", "2", "bob"), ("version", "ne", 2, "ann cas"),
    ("version", "in", [1, 2], "ann bob cas"), ("version", "gt", 1, "bob"), ("version", "gte", 2, "bob"),
    ("version", "lt", 2, "ann cas"), ("version", "lte", 1, "ann cas"),
    ("created_at", "gt", "2020-01-01", "ann bob cas"), ("created_at", "gte", "ann.created", "ann bob cas"),
    ("created_at", "lt", "ann.created", ""), ("created_at", "lte", "2020-01-01", ""),
    ("updated_at", "eq", "bob.updated", "bob"), ("updated_at", "ne", "bob.updated", "ann cas"),
    ("updated_at", "in", ["bob.updated"], "bob"), ("updated_at", "gt", "bob.updated", ""),
    ("updated_at", "gte", "bob.updated", "bob"), ("updated_at", "lt", "bob.updated", "ann cas"),
    ("updated_at", "lte", "bob.updated", "ann bob cas"),
    *(("deleted_at", operator, "2020-01-01T00:00:00Z", "") for operator in ("eq", "gt", "gte", "lt", "lte")),
    ("deleted_at", "ne", "2020-01-01T00:00:00Z", "ann bob cas"), ("deleted_at", "in", ["2020-01-01"], ""),
]  # fmt: skip


def test_every_operator_of_every_field_is_tried() -> None:
    offered = {(field, operator) for field, can in filterable(TenantSettings()).items() for operator in can}
    assert offered == {(field, operator) for field, operator, _, _ in FILTERS}


def resolved(value: Any, three: dict[str, Contact]) -> Any:
    if isinstance(value, list):
        return [resolved(each, three) for each in value]
    name, dot, what = str(value).partition(".")
    if name not in three or not dot:
        return value
    contact = three[name]
    return {
        "id": str(contact.id),
        "created": contact.created_at.isoformat(),
        "updated": contact.updated_at.isoformat(),
    }[what]


async def test_every_field_can_be_filtered_by_every_operator_it_offers(tx: Tx, three: dict[str, Contact]) -> None:
    # The last millisecond is Bob's alone, so that "at" and "after" it can be told apart.
    await tx.run("update contacts set updated_at = updated_at - interval '1 s' where id <> $1", three["bob"].id)
    wrong = []
    for field, operator, value, who in FILTERS:
        condition = {field: {operator: resolved(value, three)}}
        page = await contacts.page(tx, Query(filter=condition, sort="name", total=True))
        found = " ".join(contact.display_name[:3].lower() for contact in page.data)
        if found != who or page.total != paging.Total(len(page.data), exact=True):
            wrong.append((field, operator, value, f"found {found!r}, not {who!r}"))
        if operator == "eq":
            short = await contacts.page(tx, Query(filter=json.dumps({field: resolved(value, three)}), sort="name"))
            assert short.data == page.data, "as JSON, and with eq left out"
    assert wrong == []


@pytest.mark.parametrize(
    ("condition", "who"),
    [
        ({}, "ann bob cas"),
        ({"first_name": {}}, "ann bob cas"),
        ({"and": [{}, {"kind": "person"}]}, "ann cas"),
        ({"not": {}}, ""),
        ({"or": [{}]}, "ann bob cas"),
        ({"kind": "person", "company": {"exists": True}}, "ann"),
        ({"birthday": {"gte": "1990-01-01", "lt": "1991-01-01"}}, "ann"),
        ({"or": [{"tag": "vip"}, {"tag": "new"}]}, "ann bob"),
        ({"not": {"company": "globex"}}, "ann cas"),
        ({"not": {"or": [{"tag": "vip"}, {"first_name": "cas"}]}}, "bob"),
        ({"and": [{"not": {"tag": "vip"}}, {"not": {"company": {"exists": True}}}]}, "cas"),
    ],
)
async def test_conditions_combine(tx: Tx, three: dict[str, Contact], condition: Any, who: str) -> None:
    page = await contacts.page(tx, Query(filter=condition, sort="name"))
    assert " ".join(contact.display_name[:3].lower() for contact in page.data) == who


NESTED: Any = {"kind": "person"}
for _ in range(12):
    NESTED = {"not": NESTED}


@pytest.mark.parametrize(
    ("condition", "parameter", "code"),
    [
        ("nonsense", "filter", "invalid_value"),
        ('{"first_name": "\\ud800"}', "filter", "invalid_value"),
        ("[" * 100_000, "filter", "invalid_value"),
        ("5", "filter", "invalid_filter"),
        ([1], "filter", "invalid_filter"),
        ({"firstname": "Ann"}, "filter[firstname]", "unknown_field"),
        ({"first_name": {"like": "x"}}, "filter[first_name][like]", "unknown_operator"),
        ({"first_name": 5}, "filter[first_name]", "invalid_filter"),
        ({"first_name": None}, "filter[first_name]", "invalid_filter"),
        ({"first_name": " "}, "filter[first_name]", "invalid_filter"),
        ({"first_name": "a\0"}, "filter[first_name]", "invalid_filter"),
        ({"first_name": "x" * 501}, "filter[first_name]", "invalid_filter"),
        ({"first_name": {"in": []}}, "filter[first_name][in]", "invalid_filter"),
        ({"first_name": {"in": "ann"}}, "filter[first_name][in]", "invalid_filter"),
        ({"first_name": {"in": ["x"] * 101}}, "filter[first_name][in]", "invalid_filter"),
        ({"first_name": {"exists": "maybe"}}, "filter[first_name][exists]", "invalid_filter"),
        ({"kind": "robot"}, "filter[kind]", "invalid_filter"),
        ({"id": "me"}, "filter[id]", "invalid_filter"),
        ({"email": "ann"}, "filter[email]", "invalid_filter"),
        ({"phone": "12"}, "filter[phone]", "invalid_filter"),
        ({"birthday": "yesterday"}, "filter[birthday]", "invalid_filter"),
        ({"birthday": 5}, "filter[birthday]", "invalid_filter"),
        ({"created_at": {"gt": "yesterday"}}, "filter[created_at][gt]", "invalid_filter"),
        ({"created_at": {"gt": "1970-01-01T00:00:00+14:00"}}, "filter[created_at][gt]", "invalid_filter"),
        ({"created_at": {"gt": "1969-01-01"}}, "filter[created_at][gt]", "invalid_filter"),
        ({"created_at": {"gt": "9999-12-31T23:59:59.999999Z"}}, "filter[created_at][gt]", "invalid_filter"),
        ({"version": 1.5}, "filter[version]", "invalid_filter"),
        ({"version": True}, "filter[version]", "invalid_filter"),
        ({"version": 2**31}, "filter[version]", "invalid_filter"),
        ({"version": -(2**31)}, "filter[version]", "invalid_filter"),
        ({"version": 10**400}, "filter[version]", "invalid_filter"),
        ('{"version": 1e400}', None, "invalid"),
        ({"version": "1e999"}, "filter[version]", "invalid_filter"),
        ({"version": "nan"}, "filter[version]", "invalid_filter"),
        ({"and": {}}, "filter[and]", "invalid_filter"),
        ({"or": []}, "filter[or]", "invalid_filter"),
        ({"or": [{"kind": "x"}]}, "filter[or][0][kind]", "invalid_filter"),
        (NESTED, None, "invalid_filter"),
        ({"or": [{"kind": "person"}] * 51}, "filter", "invalid_filter"),
    ],
)
async def test_a_filter_that_makes_no_sense_is_refused_where_it_is(
    read: ReadTx, condition: Any, parameter: str | None, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await contacts.page(read, Query(filter=condition))
    (fault,) = refused.value.faults
    assert fault.code.startswith(code)
    assert parameter in (None, fault.parameter)


async def test_the_edges_of_what_numbers_and_times_can_be_are_accepted(read: ReadTx) -> None:
    for condition in (
        {"version": 2**31 - 1},
        {"version": {"in": [0, -1]}},
        {"created_at": {"gt": "1970-01-01T00:00:00Z"}},
        {"created_at": {"lte": "9000-12-31T23:59:59.999999+00:00"}},
        {"birthday": {"gt": "0001-01-01"}},
        {"birthday": {"lte": "9999-12-31"}},
    ):
        assert (await contacts.page(read, Query(filter=condition))).data == ()


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("name", ["Āda", "bob", "Eve", "Zoe"]),
        ("-name", ["Zoe", "Eve", "bob", "Āda"]),
        ("created_at", ["Zoe", "bob", "Āda", "Eve"]),
        ("-created_at", ["Eve", "Āda", "bob", "Zoe"]),
        ("updated_at", ["bob", "Āda", "Eve", "Zoe"]),
        ("-updated_at", ["Zoe", "Eve", "Āda", "bob"]),
    ],
)
async def test_lists_are_sorted(begin: Begin, read: ReadTx, sort: str, names: list[str]) -> None:
    made = []
    for name in ("Zoe", "bob", "Āda", "Eve"):
        async with begin() as tx:
            made.append(await make.contact(tx, first_name=name))
    async with begin() as tx:
        await tx.run("update contacts set updated_at = updated_at + interval '1 s' where id = $1 and tenant_id = $2",
                     made[0].id, tx.tenant_id)  # fmt: skip
    assert [contact.first_name for contact in (await contacts.page(read, Query(sort=sort))).data] == names


@pytest.mark.parametrize("sort", ["", "age", "--name", "name desc", "id", "\0"])
async def test_an_unknown_sort_is_refused_with_the_known_ones(read: ReadTx, sort: str) -> None:
    with pytest.raises(InvalidInput, match="created_at, -created_at") as refused:
        await contacts.page(read, Query(sort=sort))
    assert refused.value.faults[0].parameter == "sort"


@pytest.mark.parametrize("limit", [0, -1, 201, 10**9, "abc", "1e9", None, "", "9" * 5000, float("inf"), float("nan")])
async def test_a_limit_outside_1_to_200_is_refused(read: ReadTx, limit: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        await contacts.page(read, Query(limit=limit))
    assert refused.value.faults[0].parameter == "limit"


async def some(begin: Begin, count: int, **given: Any) -> list[Contact]:
    async with begin() as tx:
        return [await make.contact(tx, first_name=f"N{n:03}", **given) for n in range(count)]


async def test_the_total_is_exact_below_the_limit_of_counting_and_an_estimate_above(
    begin: Begin, read: ReadTx, monkeypatch: pytest.MonkeyPatch
) -> None:
    await some(begin, 12, company="Acme")
    monkeypatch.setattr(paging, "EXACT_TO", 12)
    assert (await contacts.page(read, Query(limit=1, total=True))).total == paging.Total(12, exact=True)
    monkeypatch.setattr(paging, "EXACT_TO", 11)
    total = (await contacts.page(read, Query(limit=1, total=True))).total
    assert isinstance(total, paging.Total)
    assert total.count >= 12
    assert not total.exact
    for query in (Query(q="acme"), Query(q="acmee"), Query(filter={"company": "acme"}), Query(q="n0", sort="name")):
        total = (await contacts.page(read, replace(query, limit=1, total=True))).total
        assert isinstance(total, paging.Total)
        assert total.exact is False, query
    monkeypatch.undo()
    assert (await contacts.page(read, Query(q="acme", limit=5, total=True))).total == paging.Total(12, exact=True)
    assert (await contacts.page(read, Query(limit=1))).total is msgspec.UNSET


async def test_the_estimate_of_a_great_many_is_near(new_tenant: NewTenant, begin: Begin, clone: str) -> None:
    """In a database of its own, which can be analysed: 30,000 rows, of which nobody counts more than 10,001."""
    from bellbird.core.actors import Actor
    from bellbird.features import tenants

    async with Engine(clone) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "many")
        with psycopg.connect(clone, autocommit=True) as owner:
            owner.execute(
                "insert into contacts (tenant_id, id, kind, display_name, phones, emails, addresses, urls, tags,"
                " custom, preferences, created_at, updated_at, phone_numbers, email_addresses, email_domains,"
                " name_key, search_text) select %s, gen_random_uuid(), 'person', 'n', '[]', '[]', '[]', '[]', '{}',"
                " '{}', '{}', now(), now(), '{}', '{}', '{}', n::text, ' n ' from generate_series(1, 30000) n",
                [tenant.id],
            )
            owner.execute("analyze contacts")
        total = (await contacts.page(ReadTx(engine, tenant.id, Actor.system(), None), Query(limit=1, total=True))).total
    assert isinstance(total, paging.Total)
    assert not total.exact
    assert 20_000 < total.count < 40_000


SORTS = ["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"]


@pytest.mark.parametrize("query", [*(Query(sort=sort) for sort in SORTS), Query(q="n0"), Query(q="acmee n0")])
async def test_cursors_lead_both_ways_through_the_same_pages(begin: Begin, read: ReadTx, query: Query) -> None:
    await some(begin, 7, company="Acme")
    whole = (await contacts.page(read, query)).data
    assert len(whole) == 7
    for limit in (1, 2, 3, 7, 8):
        first = page = await contacts.page(read, replace(query, limit=limit))
        assert page.previous_cursor is None
        forwards = [page.data]
        while page.next_cursor:
            page = await contacts.page(read, replace(query, limit=limit, cursor=page.next_cursor))
            forwards.append(page.data)
        assert [contact for data in forwards for contact in data] == list(whole)
        backwards = [page.data]
        while page.previous_cursor:
            page = await contacts.page(read, replace(query, limit=limit, cursor=page.previous_cursor))
            backwards.append(page.data)
        assert backwards == forwards[::-1]
        assert page == first


NAMES = st.sampled_from(["Ann", "ann", "Änn", "Anne", "Bob", "🎉", "Z'ed", "Ann Lee", "Lee Ann"])


@given(
    names=st.lists(NAMES, min_size=4, max_size=14),
    turns=st.lists(st.tuples(st.sampled_from(["insert", "delete", "delete edge"]), NAMES), min_size=1, max_size=8),
    how=st.sampled_from([*SORTS, "q=ann", "q=anne", "q=lee"]),
    limit=st.integers(1, 4),
    backwards=st.booleans(),
)
@settings(max_examples=40)
async def test_paging_visits_once_every_row_that_is_there_throughout(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, new_tenant: NewTenant, begin: Begin,
    names: list[str], turns: list[tuple[str, str]], how: str, limit: int, backwards: bool,
) -> None:  # fmt: skip
    monkeypatch.setattr(search, "ENOUGH", 1000)  # guesses go when enough is found as typed; here they stay
    mine = await new_tenant()  # one for each example
    async with begin(mine) as tx:
        rows = [await make.contact(tx, first_name=name) for name in names]
    query = Query(limit=limit, **({"q": how[2:]} if how.startswith("q=") else {"sort": how}))
    read = ReadTx(engine, mine.id, tx.actor, None)
    expected = {contact.id for contact in (await contacts.page(read, replace(query, limit=200))).data}
    page = await contacts.page(read, query)
    if backwards:
        while page.next_cursor:
            page = await contacts.page(read, replace(query, cursor=page.next_cursor))
    seen, turn = list(page.data), iter(turns)
    gone: set[UUID] = set()
    while cursor := page.previous_cursor if backwards else page.next_cursor:
        if do := next(turn, None):
            async with begin(mine) as tx:
                left = [row for row in rows if row.id not in gone]
                if do[0] == "insert":
                    await make.contact(tx, first_name=do[1])
                elif left:
                    # The edge's own row is the one that a page would most easily be lost with.
                    edge = page.data[0 if backwards else -1] if do[0] == "delete edge" and page.data else left[0]
                    if edge.id not in gone:
                        await contacts.delete(tx, edge.id)
                        gone.add(edge.id)
        page = await contacts.page(read, replace(query, cursor=cursor))
        seen += page.data
    ids = [contact.id for contact in seen]
    assert len(ids) == len(set(ids)), "a row was on two pages"
    assert expected - gone <= set(ids), "a row that was there all the time was on no page"


async def test_a_cursor_is_good_for_its_own_list_only(
    engine: Engine, begin: Begin, read: ReadTx, other_tenant: Tenant
) -> None:
    await some(begin, 3)
    async with begin(other_tenant) as tx:
        await make.contact(tx)
    cursor = (await contacts.page(read, Query(limit=1))).next_cursor
    assert cursor
    theirs = ReadTx(engine, other_tenant.id, read.actor, None)
    for reader, query in (
        (theirs, Query()),
        (read, Query(sort="name")),
        (read, Query(q="N")),
        (read, Query(q="-created_at")),
        (read, Query(filter={"first_name": "N000"})),
        (read, Query(deleted=True)),
    ):
        with pytest.raises(InvalidInput, match="is no cursor of this list"):
            await contacts.page(reader, replace(query, cursor=cursor))
    assert len((await contacts.page(read, Query(cursor=cursor, limit=200))).data) == 2, "another size is no other list"


def forged(read: ReadTx, payload: bytes, query: Query) -> str:
    """A cursor with a right checksum: anyone who reads the source can make one."""
    mark = paging.fingerprint(read.tenant_id, query.filter, query.q, None if query.q else query.sort, query.deleted)
    return base64.urlsafe_b64encode(paging._checksum(payload, mark) + payload).decode()


ID = b"0192f0c0-0000-7000-8000-000000000001"

# What stands for ID in these is put in below.
FORGERIES = {
    "-created_at": [
        b"", b"5", b"[]", b"null", b"{}", b'"abcd"', b"[false]", b"[false, 0]", b"[false, 0, 1, 2]",
        b'[false, 0, "x", "y"]', b'[false, 1, "ID", "ID"]', b'[false, -1, "ID", "ID"]', b'[false, 0, null, "ID"]',
        b'[false, "0", "ID", "ID"]', b'[false, 1e400, "ID", "ID"]', b'[false, 0, "ID", 5]', b"[" * 100_000,
    ],
    "name": [
        b'[false, 0, 5, "ID"]', b'[false, 0, "\\u0000", "ID"]', b'[false, 0, "\\ud800", "ID"]', b'[false, 0, [], "ID"]',
    ],
    "updated_at": [b'[false, 0, "yesterday", "ID"]', b'[false, 0, "0001-01-01", "ID"]'],
}  # fmt: skip


@pytest.mark.parametrize(
    ("sort", "payload"), [(sort, payload) for sort, payloads in FORGERIES.items() for payload in payloads]
)
async def test_a_forged_cursor_is_refused(read: ReadTx, sort: str, payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        await contacts.page(read, Query(sort=sort, cursor=forged(read, payload.replace(b"ID", ID), Query(sort=sort))))


async def test_the_forger_knows_how(read: ReadTx) -> None:
    """Or the test above would prove nothing."""
    page = await contacts.page(read, Query(cursor=forged(read, b'[false, 0, "%b", "%b"]' % (ID, ID), Query())))
    assert page.data == ()


async def test_an_altered_cursor_is_refused(begin: Begin, read: ReadTx) -> None:
    await some(begin, 2)
    cursor = (await contacts.page(read, Query(limit=1))).next_cursor
    assert cursor
    altered = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(0, len(cursor), 5)]
    for bad in [*altered, cursor[:-4], cursor + "AAAA", "x", "é", "=", "\0", "A" * 100_000]:
        with pytest.raises(InvalidInput) as refused:
            await contacts.page(read, Query(cursor=bad))
        assert [(fault.parameter, fault.code) for fault in refused.value.faults] == [("cursor", "invalid_cursor")]


async def test_deleted_ones_have_a_list_of_their_own_with_the_same_filters(begin: Begin, read: ReadTx) -> None:
    made = await some(begin, 4)
    async with begin() as tx:
        for contact in made[:2]:
            await contacts.delete(tx, contact.id)
    deleted = Query(deleted=True, sort="name", total=True)
    assert [contact.first_name for contact in (await contacts.page(read, deleted)).data] == ["N000", "N001"]
    one = await contacts.page(read, replace(deleted, filter={"first_name": "n001", "deleted_at": {"exists": True}}))
    assert [contact.first_name for contact in one.data] == ["N001"]
    assert one.total == paging.Total(1, exact=True)
    assert len((await contacts.page(read, replace(deleted, q="n0"))).data) == 2
    later = (made[0].created_at + timedelta(days=1)).isoformat()
    assert (await contacts.page(read, replace(deleted, filter={"deleted_at": {"gt": later}}))).data == ()
