"""What a role hides is left out and cannot be found out; what it may not change stays as it is."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from typing import Any
from uuid import UUID, uuid4

import httpx
import msgspec
import psycopg
import pytest
from msgspec import UNSET

from bellbird.core.actors import PERMISSIONS, SECURABLE, Actor, FieldRules
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import Forbidden, InvalidInput, VersionMismatch
from bellbird.core.paging import Total
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, tenants
from bellbird.features.contacts import (
    Address,
    Contact,
    ContactPatch,
    DuplicateContact,
    Email,
    NewContact,
    Phone,
    Query,
    Url,
)
from tests import make
from tests.conftest import Begin, NewTenant, SignIn

ANN = UUID("0192f0c0-0000-7000-8000-00000000000a")


def with_rules(hidden: str = "", read_only: str = "") -> Actor:
    rules = FieldRules(frozenset(hidden.split()), frozenset(read_only.split()))
    return Actor.user(ANN, fields={"contact": rules})


Acting = Callable[..., ReadTx]


@pytest.fixture
def acting(engine: Engine, tenant: Tenant) -> Acting:
    """`acting("phones emails")`: reads of somebody from whom these fields are hidden."""
    return lambda hidden="", read_only="": ReadTx(engine, tenant.id, with_rules(hidden, read_only), None)


EVERYTHING = NewContact(
    first_name="Aroha",
    last_name="Ngata",
    company="Kereru Ltd",
    job_title="Director",
    phones=(Phone("0412 345 678"),),
    emails=(Email("aroha@kereru.example"),),
    addresses=(Address("1 Queen St", "Auckland"),),
    urls=(Url("https://kereru.example"),),
    birthday=date(1990, 2, 28),
    timezone="Pacific/Auckland",
    locale="mi-NZ",
    source="import",
    owner_id=ANN,
    tags=("vip",),
    custom={"size": 3},
    preferences={"channel": "phone"},
    external_id="crm-1",
)


@pytest.fixture
async def aroha(begin: Begin) -> Contact:
    async with begin() as tx:
        return await contacts.create(tx, EVERYTHING)


def known_by(field: str) -> NewContact:
    """Aroha again, by her external id and a name that is not this field."""
    if field == "first_name":
        return NewContact(external_id="crm-1", company="Kereru Ltd")
    return NewContact(external_id="crm-1", first_name="Aroha")


def test_every_field_but_those_that_tell_records_apart_can_be_hidden() -> None:
    fields = {field for field in Contact.__dataclass_fields__ if field not in
              ("id", "kind", "version", "created_at", "updated_at", "deleted_at", "owner", "duplicates",
               "other_duplicates")}  # fmt: skip
    assert SECURABLE["contact"] == fields


@pytest.mark.parametrize("field", sorted(SECURABLE["contact"]))
async def test_a_hidden_field_is_in_no_answer(
    engine: Engine, tenant: Tenant, aroha: Contact, acting: Acting, field: str
) -> None:
    read = acting(field)
    answers: list[Any] = [
        await contacts.get(read, aroha.id),
        (await contacts.page(read)).data[0],
        *([] if field == "phones" else await contacts.lookup(read, "0412 345 678")),
    ]
    async with engine.tenant(tenant.id, read.actor) as tx:
        other = "source" if field == "job_title" else "job_title"
        answers.append(await contacts.update(tx, aroha.id, ContactPatch()))
        answers.append(await contacts.update(tx, aroha.id, ContactPatch(**{other: "Boss"})))
        with pytest.raises(VersionMismatch) as refused:
            await contacts.update(tx, aroha.id, ContactPatch(), version=7)
        answers.append(refused.value.extra["current"])
        answers.append(await contacts.restore(tx, aroha.id))
        await contacts.delete(tx, aroha.id)
        answers.append(await contacts.restore(tx, aroha.id))
        if field != "external_id":
            upserted = await contacts.upsert(tx, known_by(field), match="external_id")
            answers.append(upserted.contact)
    for answer in answers:
        assert getattr(answer, field) is UNSET
        shown = msgspec.to_builtins(answer)
        missing = {field}
        if field in ("first_name", "last_name"):
            missing.add("display_name")  # it was made up from them
        assert set(shown) == {"id", "kind", "version", "created_at", "updated_at", "deleted_at"} | (
            SECURABLE["contact"] - missing
        )
    kept = await contacts.get(acting(), aroha.id)
    assert getattr(kept, field) == getattr(aroha, field), "what is hidden is kept"


async def test_what_can_never_be_hidden_is_shown_whatever_a_rule_says(aroha: Contact, acting: Acting) -> None:
    read = acting("id kind version created_at updated_at deleted_at nonsense")
    assert await contacts.get(read, aroha.id) == aroha


async def test_without_rules_a_contact_is_the_one_that_was_made(engine: Engine, tenant: Tenant) -> None:
    async with engine.tenant(tenant.id, Actor.user(ANN)) as tx:
        made = await contacts.create(tx, EVERYTHING)
        assert await contacts.get(tx, made.id) == made
        assert contacts.rules.shown(tx.actor, made) is made


MADE_UP: list[tuple[dict[str, Any], str, bool]] = [
    # given, hidden, whether the name is shown
    ({"first_name": "Ann", "last_name": "Lee"}, "first_name", False),
    ({"first_name": "Ann", "last_name": "Lee"}, "last_name", False),
    ({"first_name": "Ann"}, "last_name", True),
    ({"last_name": "Lee"}, "first_name", True),
    ({"first_name": "Ann", "company": "Acme"}, "company", True),
    ({"first_name": "Ann", "display_name": "Boss"}, "first_name last_name", True),
    ({"first_name": "Ann", "display_name": "Ann"}, "first_name", False),
    ({"company": "Acme"}, "company", False),
    ({"company": "Acme", "kind": "organisation", "first_name": "Ann"}, "first_name", True),
    ({"company": "Acme", "kind": "organisation", "first_name": "Ann"}, "company", False),
    ({"email": "Ann@acme.example"}, "emails", False),
    ({"email": "Ann@acme.example"}, "phones", True),
    ({"phone": "0412 345 678"}, "phones", False),
    ({"phone": "0412 345 678", "first_name": "Ann"}, "phones emails company", True),
    ({"phone": "0412 345 678", "display_name": "+61412345678"}, "phones", False),
]


@pytest.mark.parametrize(("given", "hidden", "is_shown"), MADE_UP)
async def test_a_name_that_was_made_up_from_what_is_hidden_is_hidden_too(
    begin: Begin, acting: Acting, given: dict[str, Any], hidden: str, is_shown: bool
) -> None:
    async with begin() as tx:
        made = await make.contact(tx, **given)
        zoe = await make.contact(tx, display_name="Zoe")
        await make.contact(tx, display_name="zoe")
    read = acting(hidden)
    assert ((await contacts.get(read, made.id)).display_name is not UNSET) is is_shown
    by_name = [each.id for each in (await contacts.page(read, Query(sort="name"))).data]
    assert by_name.index(made.id) == (0 if is_shown else 2), "last, where its order tells nothing"
    first = await contacts.page(read, Query(sort="name", limit=2))
    second = await contacts.page(read, Query(sort="name", limit=2, cursor=first.next_cursor))
    assert [each.id for each in (*first.data, *second.data)] == by_name
    back = await contacts.page(read, Query(sort="name", limit=2, cursor=second.previous_cursor))
    assert back.data == first.data
    downwards = await contacts.page(read, Query(sort="-name", limit=1))
    assert downwards.data[0].display_name.lower() == "zoe"
    condition = {"display_name": made.display_name}
    assert bool((await contacts.page(read, Query(filter=condition))).data) is is_shown
    others = (await contacts.page(read, Query(filter={"display_name": {"ne": "Zoe"}}))).data
    assert {each.id for each in others} == {made.id}
    has = (await contacts.page(read, Query(filter={"display_name": {"exists": False}}, total=True))).total
    assert has == Total(0 if is_shown else 1, exact=True)
    if made.display_name.isalpha():
        assert bool((await contacts.page(read, Query(q=made.display_name))).data) is is_shown
    assert (await contacts.page(read, Query(q="zoe"))).data[0].id == zoe.id


FILTERS = {
    "first_name": ["first_name"], "last_name": ["last_name"], "display_name": ["display_name"],
    "company": ["company"], "job_title": ["job_title"], "phones": ["phone"], "emails": ["email", "email_domain"],
    "addresses": ["address_city", "address_region", "address_postcode", "address_country"], "birthday": ["birthday"],
    "timezone": ["timezone"], "locale": ["locale"], "source": ["source"], "owner_id": ["owner_id"], "tags": ["tag"],
    "external_id": ["external_id"],
}  # fmt: skip


def test_every_filter_draws_on_a_field_that_can_be_hidden_or_is_always_shown() -> None:
    all_of_them = set(contacts.fields.filterable(tenants_settings()))
    listed = {each for filters in FILTERS.values() for each in filters}
    assert all_of_them - listed == {"id", "kind", "version", "created_at", "updated_at", "deleted_at"}


def tenants_settings() -> Any:
    from bellbird.core.tenants import TenantSettings

    return TenantSettings()


@pytest.mark.parametrize("field", FILTERS)
async def test_by_a_hidden_field_nothing_is_filtered(acting: Acting, field: str) -> None:
    for name in FILTERS[field]:
        with pytest.raises(InvalidInput) as refused:
            await contacts.page(acting(field), Query(filter={"not": {name: {"exists": True}}}))
        (fault,) = refused.value.faults
        assert (fault.code, fault.parameter) == ("unknown_field", f"filter[not][{name}]")
        assert f" {name}" not in fault.message


async def test_by_a_hidden_name_nothing_is_sorted(acting: Acting) -> None:
    for sort in ("name", "-name"):
        with pytest.raises(InvalidInput, match=r"use one of created_at, -created_at, updated_at, -updated_at$"):
            await contacts.page(acting("display_name"), Query(sort=sort))


# hidden, question: whether Aroha is found (Aroha Ngata, Kereru Ltd, Director, 0412 345 678, aroha@kereru.example)
QUESTIONS: list[tuple[str, str, bool]] = [
    ("birthday", "kereru director", True),
    ("birthday", "+61 412", True),
    ("birthday", "arohx", True),
    ("phones", "aroha", True),
    ("phones", "ngata", True),
    ("phones", "ngata ar", True),
    ("phones", "aroha@kereru.example", True),
    ("phones", "aroha@ker", True),
    ("phones", "kereru@", False),
    ("phones", "0412 345 678", False),
    ("phones", "345678", False),
    ("phones", "kereru", False),
    ("phones", "arohx", False),
    ("company", "kereru ltd", False),
    ("company", "0412 345 678", True),
    ("company", "+61 412 345 678", True),
    ("company", "0412", True),
    ("company", "61412", True),
    ("company", "345 6", True),
    ("emails", "aroha@kereru.example", False),
    ("emails", "aroha@", True),  # as a word of the name
    ("emails", "kereru.example", False),
    ("display_name", "aroha", False),
    ("display_name", "aroha@kereru.example", True),
    ("display_name", "0412 345 678", True),
    ("first_name", "aroha", False),
    ("first_name", "ngata", False),
    ("last_name", "aroha", False),
    ("last_name", "0412345678", True),
    ("birthday", "director aroha@ker", True),
    ("job_title", "director aroha@ker", False),
    ("job_title", "aroha@ker", True),
    ("job_title", "director", False),
    ("job_title", "aroha ngata", True),
]


@pytest.mark.parametrize(("hidden", "q", "is_found"), QUESTIONS)
async def test_a_question_is_answered_by_what_is_shown(
    aroha: Contact, begin: Begin, acting: Acting, hidden: str, q: str, is_found: bool
) -> None:
    page = await contacts.page(acting(hidden), Query(q=q, total=True))
    assert ([each.id for each in page.data], page.total) == ([aroha.id] * is_found, Total(int(is_found), exact=True))


async def test_digits_are_looked_for_in_what_is_shown(begin: Begin, acting: Acting) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", company="Class of 2026", phone="0412 345 678")
    for hidden, is_found in (("birthday", True), ("company", False), ("phones", False), ("emails", False)):
        page = await contacts.page(acting(hidden), Query(q="2026"))
        assert [each.id for each in page.data] == [made.id] * is_found, hidden


async def test_no_cursor_holds_a_name_that_is_hidden(begin: Begin, acting: Acting) -> None:
    async with begin() as tx:
        for number in range(4):
            await make.contact(tx, first_name="Aroha", company="Acme", email=f"a{number}@kereru.example")
    for query in (Query(sort="name"), Query(q="a1@"), Query(q="a")):
        for hidden in ("first_name", "first_name display_name"):
            if "display_name" in hidden and query.sort == "name":
                continue
            page = await contacts.page(acting(hidden), replace(query, limit=1))
            while page.next_cursor:
                payload = base64.urlsafe_b64decode(page.next_cursor + "==")
                assert b"aroha" not in payload.lower()
                page = await contacts.page(acting(hidden), replace(query, limit=1, cursor=page.next_cursor))


async def test_who_is_calling_is_not_told_to_whom_numbers_are_hidden_from(acting: Acting) -> None:
    with pytest.raises(Forbidden, match="needs the field phones of contacts, which is hidden from user:"):
        await contacts.lookup(acting("phones"), "0412 345 678")


WRITES: dict[str, Any] = {
    "first_name": "X", "last_name": "X", "display_name": "X", "company": "X", "job_title": "X",
    "phones": (Phone("0412 000 000"),), "emails": (Email("x@y.example"),), "addresses": (Address("X"),),
    "urls": (Url("https://x.example"),), "birthday": date(2000, 1, 1), "timezone": "Australia/Perth", "locale": "en",
    "source": "X", "owner_id": ANN, "tags": ("x",), "custom": {"x": 1}, "preferences": {"x": 1}, "external_id": "x",
}  # fmt: skip


def test_every_field_that_can_be_kept_from_change_is_tried() -> None:
    assert set(WRITES) == SECURABLE["contact"]


async def faults_of(attempt: Awaitable[Any]) -> dict[str | None, str]:
    with pytest.raises(InvalidInput) as refused:
        await attempt
    return {fault.pointer: fault.code for fault in refused.value.faults}


@pytest.mark.parametrize("how", ["hidden", "read_only"])
@pytest.mark.parametrize("field", sorted(WRITES))
async def test_what_is_hidden_or_read_only_is_not_written(
    engine: Engine, tenant: Tenant, aroha: Contact, acting: Acting, field: str, how: str
) -> None:
    actor = with_rules(**{how: field})
    expected = {f"/{field}": "field_read_only"}
    other = {"job_title" if field != "job_title" else "company": "Boss"}
    async with engine.tenant(tenant.id, actor) as tx:
        given = {"external_id": "crm-1", **other, field: WRITES[field]}
        assert await faults_of(contacts.create(tx, NewContact(**given))) == expected
        assert await faults_of(contacts.upsert(tx, NewContact(**given), match="external_id")) == expected
        for value in (WRITES[field], None):
            assert await faults_of(contacts.update(tx, aroha.id, ContactPatch(**{field: value}))) == expected
        await contacts.update(tx, aroha.id, ContactPatch(**other))
        if field != "external_id":
            await contacts.upsert(tx, replace(known_by(field), **other), match="external_id")
    kept = await contacts.get(acting(), aroha.id)
    assert getattr(kept, field) == getattr(aroha, field)
    assert kept.version == 2


async def test_every_fault_is_told_at_once_and_what_may_not_be_set_is_not_even_read(
    engine: Engine, tenant: Tenant
) -> None:
    async with engine.tenant(tenant.id, with_rules("phones", "custom")) as tx:
        new = NewContact(phones=(Phone("12"),), custom={"n": float("nan")}, emails=(Email("nonsense"),), timezone="X")
        expected = {
            "/phones": "field_read_only", "/custom": "field_read_only",
            "/emails/0/address": "email_invalid", "/timezone": "timezone_unknown",
        }  # fmt: skip
        assert await faults_of(contacts.create(tx, new)) == expected


async def test_a_fault_is_not_found_in_what_the_caller_did_not_send(
    begin: Begin, engine: Engine, tenant: Tenant, acting: Acting
) -> None:
    """A tenant's rules may have become stricter since: what is kept is kept, and no fault tells of it."""
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", phones=(Phone("+64 9 300 0000"), Phone("0412 345 678")))
    async with engine.system(Actor.system()) as system:
        await tenants.set(system, tenant.id, allowed_regions=("AU",), max_phones=1)
    async with engine.tenant(tenant.id, with_rules("phones")) as tx:
        changed = await contacts.update(tx, made.id, ContactPatch(company="Acme"))
    assert (changed.company, changed.phones) == ("Acme", UNSET)
    assert (await contacts.get(acting(), made.id)).phones == made.phones


async def test_a_name_that_was_made_up_follows_what_it_was_made_from_whoever_sees_it(
    engine: Engine, tenant: Tenant, aroha: Contact, acting: Acting
) -> None:
    async with engine.tenant(tenant.id, with_rules("first_name")) as tx:
        changed = await contacts.update(tx, aroha.id, ContactPatch(last_name="Lee"))
    assert changed.display_name is UNSET
    assert (await contacts.get(acting(), aroha.id)).display_name == "Aroha Lee"


async def test_what_duplicates_share_is_told_if_it_is_shown(
    new_tenant: NewTenant, engine: Engine, begin: Begin
) -> None:
    strict = await new_tenant(duplicate_policy="reject")
    async with begin(strict) as tx:
        gone = await make.contact(tx, phone="0412 345 678")
        await contacts.delete(tx, gone.id)
        there = await make.contact(tx, phone="0412 345 678", first_name="Ann")
    for hidden, says in (("phones", "Something that you do not see"), ("emails", "A phone number")):
        with pytest.raises(DuplicateContact) as refused:
            async with engine.tenant(strict.id, with_rules(hidden)) as tx:
                await contacts.restore(tx, gone.id)
        assert refused.value.detail == f"{says} is shared with {there.id}."


# fields= and include=.


async def test_only_the_fields_that_are_asked_for_are_answered(aroha: Contact, acting: Acting) -> None:
    read = acting()
    for found in (
        await contacts.get(read, aroha.id, fields=["first_name", "phones"]),
        (await contacts.page(read, Query(fields=("first_name", "phones")))).data[0],
        (await contacts.lookup(read, "0412 345 678", fields={"first_name", "phones"}))[0],
        (await contacts.lookup(read, "345 678", fields={"first_name", "phones"}))[0],
    ):
        assert set(msgspec.to_builtins(found)) == {"id", "first_name", "phones"}
    found = (await contacts.lookup(read, "0412 345 678", fields=["id"]))[0]
    assert msgspec.to_builtins(found) == {"id": str(aroha.id)}
    hidden = await contacts.get(acting("phones"), aroha.id, fields=["phones", "display_name"])
    assert msgspec.to_builtins(hidden) == {"id": str(aroha.id), "display_name": "Aroha Ngata"}


@pytest.mark.parametrize(
    ("asked", "says"),
    [("firstname", "did you mean first_name?"), ("", "fields are id, kind, "), ("duplicates", "fields are"),
     ("owner", "fields are|did you mean owner_id"), ("tenant_id", "fields are|did you mean"), ("x" * 9999, "fields")],
)  # fmt: skip
async def test_a_field_that_there_is_not_is_a_fault(acting: Acting, asked: str, says: str) -> None:
    read = acting()
    for attempt in (
        contacts.get(read, uuid4(), fields=[asked]),
        contacts.page(read, Query(fields=[asked])),
        contacts.lookup(read, "0412 345 678", fields=[asked, "id"]),
    ):
        with pytest.raises(InvalidInput, match=says) as refused:
            await attempt
        assert [(fault.parameter, fault.code) for fault in refused.value.faults] == [("fields", "unknown_field")]
        assert len(refused.value.detail) < 500


BEN = UUID("0192f0c0-0000-7000-8000-00000000000b")


@pytest.fixture
def ben(owner: psycopg.Connection[Any], tenant: Tenant) -> UUID:
    """A member of the tenant."""
    owner.execute(
        "insert into memberships (tenant_id, id, email, name, role, created_at, updated_at)"
        " values (%s, %s, 'ben@bellbird.example', 'Ben Ngata', 'agent', now(), now())",
        [tenant.id, BEN],
    )
    return BEN


async def test_owners_are_included_by_one_statement_more(
    begin: Begin, acting: Acting, ben: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin() as tx:
        his = [await make.contact(tx, phone="0412 345 678", owner_id=ben) for _ in range(3)]
        gone = await make.contact(tx, phone="0412 345 678", owner_id=uuid4())
        nobodys = await make.contact(tx, phone="0412 345 678")
    read = acting()
    owner = contacts.Owner(ben, "Ben Ngata", "ben@bellbird.example")
    expected = {**{each.id: owner for each in his}, gone.id: None, nobodys.id: None}
    queue, sent = read.queue, []

    def noted(sql: str, *params: Any, prepared: bool = True) -> Any:
        sent.append(sql)
        return queue(sql, *params, prepared=prepared)

    monkeypatch.setattr(read, "queue", noted)
    page = await contacts.page(read, Query(include=["owner"]))
    assert {each.id: each.owner for each in page.data} == expected
    assert len(sent) == 2, "for the whole page"
    called = await contacts.lookup(read, "0412 345 678", include=["owner"], fields=["first_name"])
    assert {each.id: each.owner for each in called} == expected
    assert called[0].owner_id is UNSET
    for id, theirs in expected.items():
        assert (await contacts.get(read, id, include=["owner"])).owner == theirs
    assert page.data[0].owner_id is None and (await contacts.get(read, nobodys.id)).owner is UNSET


async def test_owners_are_included_for_those_who_may_know_them(
    engine: Engine, tenant: Tenant, begin: Begin, acting: Acting, ben: UUID
) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", owner_id=ben)
    hidden = await contacts.get(acting("owner_id"), made.id, include=["owner"])
    assert (hidden.owner, hidden.owner_id) == (UNSET, UNSET)
    alone = Actor.user(ANN, permissions=frozenset({"contacts:read"}))
    with pytest.raises(Forbidden, match="users:read"):
        await contacts.get(ReadTx(engine, tenant.id, alone, None), made.id, include=["owner"])


async def test_what_cannot_be_included_is_a_fault(acting: Acting) -> None:
    for attempt in (
        contacts.get(acting(), uuid4(), include=["calls"]),
        contacts.page(acting(), Query(include=["owner", "calls"])),
        contacts.lookup(acting(), "0412 345 678", include=["calls"]),
    ):
        with pytest.raises(InvalidInput, match="cannot be 'calls'; there is owner") as refused:
            await attempt
        assert [(fault.parameter, fault.code) for fault in refused.value.faults] == [("include", "unknown_include")]


# Over HTTP.


async def test_over_http_fields_and_include_shape_the_answers(
    api: httpx.AsyncClient, aroha: Contact, begin: Begin, ben: UUID
) -> None:
    async with begin() as tx:
        await contacts.update(tx, aroha.id, ContactPatch(owner_id=ben))
    owner = {"id": str(ben), "name": "Ben Ngata", "email": "ben@bellbird.example"}
    expected = {"id": str(aroha.id), "first_name": "Aroha", "owner": owner}
    asked = "fields=first_name, id&include=owner"
    assert (await api.get(f"/contacts/{aroha.id}?{asked}")).json() == expected
    assert (await api.get(f"/contacts?{asked}")).json()["data"] == [expected]
    assert (await api.get(f"/contacts/lookup?number=0412345678&{asked}")).json()["data"] == [expected]
    for query, parameter in (("fields=firstname", "fields"), ("fields=", "fields"), ("include=x", "include"),
                             ("include=", "include"), ("fields=id&fields=id", "fields")):  # fmt: skip
        answer = await api.get(f"/contacts/{aroha.id}?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (422, parameter)


async def test_over_http_what_is_still_the_same_is_not_sent_again(
    api: httpx.AsyncClient, aroha: Contact, owner: psycopg.Connection[Any], ben: UUID, begin: Begin
) -> None:
    async with begin() as tx:
        await contacts.update(tx, aroha.id, ContactPatch(owner_id=ben))
    path = f"/contacts/{aroha.id}"
    # A compressed answer has a weak one.
    whole, some, owned = [
        (await api.get(path + query)).headers["etag"].removeprefix("W/")
        for query in ("", "?fields=first_name", "?include=owner")
    ]
    assert whole == '"2"'
    assert len({whole, some, owned}) == 3
    assert some.startswith('"2-') and len(some) == len('"2-12345678"')
    for tag, query in ((whole, ""), (some, "?fields=first_name"), (owned, "?include=owner")):
        for sent in (tag, f"W/{tag}", f'"1", {tag},"x"', f'"1",W/{tag}', "*"):
            answer = await api.get(path + query, headers={"If-None-Match": sent})
            assert (answer.status_code, answer.content, answer.headers["etag"].removeprefix("W/")) == (304, b"", tag)
            assert "content-type" not in answer.headers and answer.headers.get("content-length", "0") == "0"
        for sent in ('"1"', tag.strip('"'), '"22"', "", "x" * 3000, '"*"', some if tag != some else whole):
            assert (await api.get(path + query, headers={"If-None-Match": sent})).status_code == 200, sent
    owner.execute("update memberships set name = 'Ben Lee' where tenant_id = %s", [aroha_tenant(owner, aroha)])
    answer = await api.get(f"{path}?include=owner", headers={"If-None-Match": owned})
    assert (answer.status_code, answer.json()["owner"]["name"]) == (200, "Ben Lee"), "an owner's name is a part of it"
    changed = await api.patch(path, json={"company": "Acme"}, headers={"If-Match": some})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"3"')
    assert (await api.patch(path, json={"company": "X"}, headers={"If-Match": some})).status_code == 412


def aroha_tenant(owner: psycopg.Connection[Any], aroha: Contact) -> Any:
    row = owner.execute("select tenant_id from contacts where id = %s", [aroha.id]).fetchone()
    assert row
    return row[0]


@pytest.fixture
async def careful(sign_in: SignIn, tenant: Tenant, owner: psycopg.Connection[Any]) -> httpx.AsyncClient:
    """Somebody whose role hides phones and e-mails, and keeps the company from change."""
    owner.execute(
        "insert into roles (tenant_id, id, name, permissions, visibility, fields, created_at, updated_at)"
        " values (%s, %s, 'careful', %s, 'all', %s, now(), now())",
        [tenant.id, uuid4(), sorted(PERMISSIONS - {"tenants:write"}),
         '{"contact": {"hidden": ["phones", "emails"], "read_only": ["company"]}}'],
    )  # fmt: skip
    return sign_in(tenant, roles=("careful",))


async def test_over_http_a_role_hides_fields_and_keeps_others_from_change(
    careful: httpx.AsyncClient, api: httpx.AsyncClient, aroha: Contact
) -> None:
    path = f"/contacts/{aroha.id}"
    answer = await careful.get(path)
    assert answer.status_code == 200
    assert "phones" not in answer.json() and "emails" not in answer.json()
    tag = answer.headers["etag"]
    assert tag.startswith('"1-'), "another representation than everybody's"
    assert (await careful.get(path, headers={"If-None-Match": '"1"'})).status_code == 200
    assert (await careful.get(path, headers={"If-None-Match": tag})).status_code == 304
    assert (await api.get(path, headers={"If-None-Match": tag})).status_code == 200
    answer = await careful.patch(path, json={"phones": [], "company": "X", "job_title": "Boss"})
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
        ("#/company", "field_read_only"), ("#/phones", "field_read_only"),
    ]  # fmt: skip
    answer = await careful.patch(path, json={"job_title": "Boss"}, headers={"If-Match": tag})
    assert (answer.status_code, answer.headers["etag"].removeprefix("W/")[:3]) == (200, '"2-')
    assert answer.headers["etag"] == (await careful.get(path)).headers["etag"]
    answer = await careful.patch(path, json={"job_title": "Boss"}, headers={"If-Match": tag})
    assert (answer.status_code, "phones" in answer.json()["current"]) == (412, False)
    assert (await careful.get("/contacts/lookup?number=0412345678")).status_code == 403
    answer = await careful.get("/contacts?filter[phone]=0412345678")
    assert answer.json()["errors"][0]["code"] == "unknown_field"
