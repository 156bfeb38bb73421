"""Whose contacts an actor sees: the same for every verb, and an unseen contact is like none at all."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from msgspec import UNSET

from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Total
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, tenants
from bellbird.features.contacts import (
    AmbiguousMatch,
    Contact,
    ContactNotFound,
    ContactPatch,
    DuplicateContact,
    Email,
    ExternalIdTaken,
    NewContact,
    Phone,
    Query,
)
from tests import make
from tests.conftest import Begin, NewTenant, SignIn

ANN, BEN, CAS = (UUID(f"0192f0c0-0000-7000-8000-00000000000{digit}") for digit in "abc")

OWN = Actor.user(ANN, visibility="own")
TEAM = Actor.user(ANN, visibility="team", team=frozenset({BEN}))
ALL = Actor.user(ANN)
KEY_OF_NOBODY = Actor("key", str(uuid4()), ALL.permissions, visibility="own")

SEES: list[tuple[Actor, str]] = [(OWN, "Ann's"), (TEAM, "Ann's Ben's"), (ALL, "Ann's Ben's Cas's Nobody's"),
                                 (KEY_OF_NOBODY, "")]  # fmt: skip


@pytest.fixture
async def four(begin: Begin) -> dict[str, Contact]:
    """A contact each of Ann, Ben and Cas, and one of nobody; they share a number, and each has a typo of a name."""
    made = {}
    async with begin() as tx:
        for name, owner in (("Ann's", ANN), ("Ben's", BEN), ("Cas's", CAS), ("Nobody's", None)):
            made[name] = await make.contact(
                tx, display_name=name, company="Martin" if owner is None else "Marten", phone="0412 345 678",
                owner_id=owner,
            )  # fmt: skip
    return made


@pytest.fixture
def reading(engine: Engine, tenant: Tenant) -> Callable[[Actor], ReadTx]:
    return lambda actor: ReadTx(engine, tenant.id, actor, None)


def names(found: Any) -> str:
    return " ".join(contact.display_name for contact in found)


@pytest.mark.parametrize(("who", "expected"), SEES)
async def test_every_list_has_what_the_actor_sees(
    four: dict[str, Contact], begin: Begin, reading: Callable[[Actor], ReadTx], who: Actor, expected: str
) -> None:
    read = reading(who)
    many = len(expected.split())
    for query in (
        Query(sort="name", total=True),
        Query(sort="name", filter={"phone": "0412 345 678"}, total=True),
        Query(q="0412 345 678", total=True),
        Query(q="345678", total=True),
        Query(q="marten", total=True),  # with a typo for one of them
    ):
        page = await contacts.page(read, query)
        assert names(page.data) == expected, query
        assert page.total == Total(many, exact=True), query
        paged, cursor = "", None
        for _ in range(many):
            each = await contacts.page(read, replace(query, limit=1, cursor=cursor))
            paged, cursor = f"{paged} {names(each.data)}", each.next_cursor
        assert paged.strip() == expected and cursor is None, query
    assert sorted(names(await contacts.lookup(read, "0412 345 678")).split()) == expected.split()
    assert sorted(names(await contacts.lookup(read, "345 678")).split()) == expected.split()
    async with begin() as tx:
        for contact in four.values():
            await contacts.delete(tx, contact.id)
    assert names((await contacts.page(read, Query(deleted=True, sort="name"))).data) == expected
    assert (await contacts.page(read, Query(total=True))).total == Total(0, exact=True)


async def test_typos_are_forgiven_by_what_is_found_among_those_that_are_seen(
    begin: Begin, reading: Callable[[Actor], ReadTx]
) -> None:
    async with begin() as tx:
        for _ in range(5):
            await make.contact(tx, first_name="Martin", owner_id=BEN)
        await make.contact(tx, first_name="Martyn", owner_id=ANN)
    assert names((await contacts.page(reading(OWN), Query(q="martin"))).data) == "Martyn"
    assert "Martyn" not in names((await contacts.page(reading(TEAM), Query(q="martin"))).data)


Verb = Callable[[Tx, UUID], Awaitable[Any]]

VERBS: dict[str, Verb] = {
    "get": contacts.get,
    "update": lambda tx, id: contacts.update(tx, id, ContactPatch(company="Stolen")),
    "update of a version": lambda tx, id: contacts.update(tx, id, ContactPatch(company="Stolen"), version=7),
    "update that is refused": lambda tx, id: contacts.update(tx, id, ContactPatch(owner_id=None)),
    "delete": contacts.delete,
    "delete of a version": lambda tx, id: contacts.delete(tx, id, version=7),
    "restore": contacts.restore,
    "purge": contacts.purge,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("who", [OWN, TEAM, KEY_OF_NOBODY])
async def test_a_contact_that_is_not_seen_is_like_none_at_all(
    engine: Engine, tenant: Tenant, owner: psycopg.Connection[Any], four: dict[str, Contact], verb: str, who: Actor
) -> None:
    counting = "select count(*), sum(version) from contacts where tenant_id = %s"
    before = owner.execute(counting, [tenant.id]).fetchone()
    for unseen in (four["Cas's"].id, four["Nobody's"].id):
        nobodys = uuid4()
        told = []
        for id in (unseen, nobodys):
            with pytest.raises(ContactNotFound) as refused:
                async with engine.tenant(tenant.id, who) as tx:
                    await VERBS[verb](tx, id)
            told.append((refused.value.detail.replace(str(id), ""), refused.value.extra, refused.value.faults))
        assert told[0] == told[1]
    assert owner.execute(counting, [tenant.id]).fetchone() == before


async def test_what_is_seen_can_be_worked_with(engine: Engine, tenant: Tenant, four: dict[str, Contact]) -> None:
    for id in (four["Ann's"].id, four["Ben's"].id):
        async with engine.tenant(tenant.id, TEAM) as tx:
            assert (await contacts.get(tx, id)).version == 1
            assert (await contacts.update(tx, id, ContactPatch(company="Globex"))).company == "Globex"
            await contacts.delete(tx, id)
            assert (await contacts.restore(tx, id)).version == 4
            await contacts.purge(tx, id)


async def test_what_is_due_to_be_purged_is_told_of_what_is_seen(
    engine: Engine, tenant: Tenant, four: dict[str, Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine.tenant(tenant.id, ALL) as tx:
        for contact in four.values():
            await contacts.delete(tx, contact.id)
    monkeypatch.setattr(engine, "clock", FakeClock(engine.clock.now() + timedelta(days=91)))
    for actor, expected in ((OWN, ["Ann's"]), (ALL, list(four)), (Actor.system(), list(four))):
        async with engine.tenant(tenant.id, actor) as tx:
            assert set(await contacts.expired(tx)) == {four[name].id for name in expected}


async def test_a_contact_is_made_ones_own_by_whoever_does_not_see_all(engine: Engine, tenant: Tenant) -> None:
    for actor, owner in ((OWN, ANN), (TEAM, ANN), (ALL, None)):
        async with engine.tenant(tenant.id, actor) as tx:
            made = await contacts.create(tx, NewContact(first_name="New"))
            assert made.owner_id == owner
            assert await contacts.get(tx, made.id) == made
            put = await contacts.upsert(tx, NewContact(external_id="x", first_name="New"), match="external_id")
            assert put.contact.owner_id == owner
            again = await contacts.upsert(tx, NewContact(external_id="x", company="Acme"), match="external_id")
            assert (again.created, again.contact.owner_id) == (False, owner)
            await contacts.purge(tx, put.contact.id)


async def faults_of(attempt: Awaitable[Any]) -> dict[str | None, tuple[str, str]]:
    with pytest.raises(InvalidInput) as refused:
        await attempt
    return {fault.pointer: (fault.code, fault.message) for fault in refused.value.faults}


@pytest.mark.parametrize(
    ("who", "says"),
    [
        (OWN, f"must be {ANN}: you see your own contacts alone"),
        (TEAM, f"must be a user whose contacts you see: {ANN}, {BEN}"),
        (KEY_OF_NOBODY, f"{KEY_OF_NOBODY} is no user and sees nobody's contacts, so that it can own and give none"),
    ],
)
async def test_a_contact_is_given_to_nobody_whose_contacts_are_not_seen(
    engine: Engine, tenant: Tenant, who: Actor, says: str
) -> None:
    expected = {"/owner_id": ("owner_not_visible", says)}
    async with engine.tenant(tenant.id, who) as tx:
        assert await faults_of(contacts.create(tx, NewContact(first_name="New", owner_id=CAS))) == expected
        new = NewContact(external_id="x", first_name="New", owner_id=CAS)
        assert await faults_of(contacts.upsert(tx, new, match="external_id")) == expected
        if who is KEY_OF_NOBODY:
            assert await faults_of(contacts.create(tx, NewContact(first_name="New"))) == expected
            return
        made = await contacts.create(tx, NewContact(first_name="New"))
        for owner in (CAS, None):
            assert await faults_of(contacts.update(tx, made.id, ContactPatch(owner_id=owner))) == expected
        if who is TEAM:
            assert (await contacts.update(tx, made.id, ContactPatch(owner_id=BEN))).owner_id == BEN
        assert (await contacts.update(tx, made.id, ContactPatch(owner_id=ANN))).owner_id == ANN


async def test_of_a_large_team_twenty_are_named(engine: Engine, tenant: Tenant) -> None:
    large = Actor.user(ANN, visibility="team", team=frozenset(uuid4() for _ in range(22)))
    async with engine.tenant(tenant.id, large) as tx:
        ((_, says),) = (await faults_of(contacts.create(tx, NewContact(first_name="N", owner_id=uuid4())))).values()
    assert says.count(",") == 19
    assert says.endswith(" or 3 others")


async def test_an_owner_who_cannot_be_is_one_fault_among_others(engine: Engine, tenant: Tenant) -> None:
    async with engine.tenant(tenant.id, OWN) as tx:
        found = await faults_of(contacts.create(tx, NewContact(owner_id=CAS, phones=(Phone("12"),), timezone="Mars")))
    assert set(found) == {"/owner_id", "/phones/0/number", "/timezone"}


NUMBERS = {"Ann's": "0412 000 001", "Ben's": "0412 000 002", "Cas's": "0412 000 003", "Nobody's": "0412 000 004"}
SHARED = NewContact(first_name="New", phones=tuple(map(Phone, NUMBERS.values())))


async def one_number_each(begin: Begin, of: Tenant) -> dict[str, Contact]:
    made = {}
    async with begin(of) as tx:
        for name, owner in zip(NUMBERS, (ANN, BEN, CAS, None), strict=True):
            made[name] = await make.contact(tx, display_name=name, phone=NUMBERS[name], owner_id=owner)
    return made


async def test_of_duplicates_those_are_told_that_are_seen_and_the_rest_counted(
    engine: Engine, new_tenant: NewTenant, begin: Begin
) -> None:
    for actor, seen in SEES[:3]:
        warned, strict = await new_tenant(duplicate_policy="warn"), await new_tenant(duplicate_policy="reject")
        others = 4 - len(seen.split())
        had = await one_number_each(begin, warned)
        ids = [had[name].id for name in seen.split()]
        async with engine.tenant(warned.id, actor) as tx:
            made = await contacts.create(tx, SHARED)
            assert (list(made.duplicates or ()), made.other_duplicates or 0) == (ids, others)
            await contacts.delete(tx, made.id)
            back = await contacts.restore(tx, made.id)
            assert (list(back.duplicates or ()), back.other_duplicates or 0) == (ids, others)
            patch = ContactPatch(phones=(*made.phones, Phone("0412 000 005")))
            assert (await contacts.update(tx, made.id, patch)).other_duplicates is UNSET, "no number is new"
        had = await one_number_each(begin, strict)
        ids = [had[name].id for name in seen.split()]
        with pytest.raises(DuplicateContact) as refused:
            async with engine.tenant(strict.id, actor) as tx:
                await contacts.create(tx, SHARED)
        assert refused.value.extra == {"contacts": ids, **({"others": others} if others else {})}
        unseen = f" and {others} that you do not see" if others else ""
        assert refused.value.detail == f"A phone number is shared with {', '.join(map(str, ids))}{unseen}."


async def test_who_sees_none_of_the_duplicates_learns_how_many_there_are(
    engine: Engine, new_tenant: NewTenant, begin: Begin
) -> None:
    strict = await new_tenant(duplicate_policy="reject")
    await one_number_each(begin, strict)
    with pytest.raises(DuplicateContact) as refused:
        async with engine.tenant(strict.id, Actor.user(uuid4(), visibility="own")) as tx:
            await contacts.create(tx, NewContact(phones=SHARED.phones[1:]))
    assert refused.value.detail == "A phone number is shared with 3 that you do not see."
    assert refused.value.extra == {"contacts": [], "others": 3}


async def test_of_more_duplicates_than_are_told_those_that_are_seen_come_first(
    engine: Engine, new_tenant: NewTenant, begin: Begin
) -> None:
    tenant = await new_tenant(duplicate_policy="warn")
    async with begin(tenant) as tx:
        for owner in [BEN] * 15 + [None] * 15 + [ANN]:
            last = await make.contact(tx, phone="0412 345 678", owner_id=owner)
    async with engine.tenant(tenant.id, OWN) as tx:
        made = await make.contact(tx, phone="0412 345 678")
    assert (made.duplicates, made.other_duplicates) == ((last.id,), 30)


MATCHED: dict[str, Any] = {
    "email": NewContact(emails=(Email("cas@acme.example"),), company="Stolen"),
    "phone": NewContact(phones=(Phone("0412 345 678"),), company="Stolen"),
    "external_id": NewContact(external_id="crm-1", company="Stolen"),
}


@pytest.mark.parametrize("match", MATCHED)
async def test_an_upsert_that_matches_an_unseen_contact_neither_changes_it_nor_makes_a_second(
    engine: Engine, tenant: Tenant, begin: Begin, owner: psycopg.Connection[Any], match: Any
) -> None:
    async with begin() as tx:
        cas = await make.contact(
            tx, phone="0412 345 678", email="cas@acme.example", external_id="crm-1", owner_id=CAS, company="Acme"
        )
    error = ExternalIdTaken if match == "external_id" else DuplicateContact
    with pytest.raises(error, match="A contact that you do not see has this") as refused:
        async with engine.tenant(tenant.id, OWN) as tx:
            await contacts.upsert(tx, MATCHED[match], match=match)
    assert str(cas.id) not in f"{refused.value.detail}{refused.value.extra}"
    rows = owner.execute("select company, version from contacts where tenant_id = %s", [tenant.id]).fetchall()
    assert rows == [("Acme", 1)]


async def test_several_matches_are_ambiguous_whoever_sees_them(
    engine: Engine, tenant: Tenant, four: dict[str, Contact]
) -> None:
    new = MATCHED["phone"]
    for actor, seen in SEES:
        with pytest.raises((AmbiguousMatch, InvalidInput)) as refused:
            async with engine.tenant(tenant.id, actor) as tx:
                await contacts.upsert(tx, new, match="phone")
        if actor is KEY_OF_NOBODY:
            continue  # it can make none, so that there is nothing to match
        others = 4 - len(seen.split())
        ids = [four[name].id for name in seen.split()]
        assert refused.value.extra == {"contacts": ids, **({"others": others} if others else {})}
        for name, contact in four.items():
            assert (str(contact.id) in refused.value.detail) is (name in seen)


async def test_an_own_contact_with_what_an_unseen_one_has_is_told_by_the_database(
    engine: Engine, tenant: Tenant, begin: Begin
) -> None:
    async with begin() as tx:
        await make.contact(tx, external_id="crm-1", first_name="Cas", owner_id=CAS)
    with pytest.raises(ExternalIdTaken) as refused:
        async with engine.tenant(tenant.id, OWN) as tx:
            await contacts.create(tx, NewContact(external_id="crm-1", first_name="New"))
    assert refused.value.extra == {}


async def test_who_sees_all_sends_the_same_statements_as_ever(
    engine: Engine, tenant: Tenant, four: dict[str, Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, bool]] = []
    queue = ReadTx.queue

    def noted(self: ReadTx, sql: str, *params: Any, prepared: bool = True) -> Any:
        sent.append((sql, prepared))
        return queue(self, sql, *params, prepared=prepared)

    monkeypatch.setattr(ReadTx, "queue", noted)
    for actor in (ALL, OWN):
        read = ReadTx(engine, tenant.id, actor, None)
        await contacts.get(read, four["Ann's"].id)
        await contacts.page(read)
        await contacts.lookup(read, "0412 345 678")
    assert [("and owner_id" in sql, prepared) for sql, prepared in sent] == [
        (False, True), (False, True), (False, True), (True, True), (True, False), (True, False),
    ]  # fmt: skip
    assert sent[0][0] == contacts.queries.GET


MANY = """
insert into contacts (tenant_id, id, kind, display_name, phones, emails, addresses, urls, tags, custom, preferences,
  created_at, updated_at, phone_numbers, email_addresses, email_domains, name_key, search_text, owner_id)
select %s, gen_random_uuid(), 'person', n::text, '[]', '[]', '[]', '[]', '{}', '{}', '{}',
  now(), now(), '{}', '{}', '{}', n::text, ' n ', case when n %% 40 = 0 then %s else gen_random_uuid() end
from generate_series(1, 4000) n
"""


async def test_an_index_has_ones_own_contacts_in_order(clone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a database of its own, which can be analysed."""
    async with Engine(clone) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "many")
        with psycopg.connect(clone, autocommit=True) as owner:
            owner.execute(MANY, [tenant.id, ANN])
            owner.execute("analyze contacts_default")
        read = ReadTx(engine, tenant.id, OWN, None)
        queue, sent = read.queue, []

        def noted(sql: str, *params: Any, prepared: bool = True) -> Any:
            sent.append((sql, params))
            return queue(sql, *params, prepared=prepared)

        monkeypatch.setattr(read, "queue", noted)
        first = await contacts.page(read, Query(limit=20))
        await contacts.page(read, Query(limit=20, cursor=first.next_cursor))
        assert len(sent) == 2
        for sql, params in sent[:]:
            explained = queue(f"explain {sql}", *params, prepared=False)
            await read.flush()
            plan = " ".join(row[0] for row in explained.rows)
            assert "Index Scan Backward using contacts_default__contacts_by_owner" in plan
            assert "Sort" not in plan
            assert " Filter:" not in plan.replace("One-Time Filter:", "")


# Over HTTP: few, for the actions have the many cases.


@pytest.fixture
def ann(sign_in: SignIn, tenant: Tenant) -> httpx.AsyncClient:
    return sign_in(tenant, user=ANN, visibility="own")


async def test_over_http_an_unseen_contact_is_404_and_like_none_at_all(
    ann: httpx.AsyncClient, four: dict[str, Contact]
) -> None:
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/restore"), ("POST", "/purge")):
        told = []
        for id in (four["Cas's"].id, uuid4()):
            answer = await ann.request(method, f"/contacts/{id}{path}", json={} if method == "PATCH" else None)
            assert answer.status_code == 404
            told.append({**answer.json(), "request_id": "", "detail": answer.json()["detail"].replace(str(id), "")})
        assert told[0] == told[1]
    own = four["Ann's"]
    assert (await ann.get(f"/contacts/{own.id}")).status_code == 200
    page = (await ann.get("/contacts?total=true")).json()
    assert ([each["display_name"] for each in page["data"]], page["total"]["count"]) == (["Ann's"], 1)


async def test_over_http_a_contact_is_made_ones_own_and_given_to_nobody_else(ann: httpx.AsyncClient) -> None:
    made = await ann.post("/contacts", json={"first_name": "New"})
    assert (made.status_code, made.json()["owner_id"]) == (201, str(ANN))
    for answer in (
        await ann.post("/contacts", json={"first_name": "New", "owner_id": str(CAS)}),
        await ann.patch(f"/contacts/{made.json()['id']}", json={"owner_id": None}),
    ):
        assert answer.status_code == 422
        assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
            ("#/owner_id", "owner_not_visible")
        ]


async def test_over_http_the_duplicates_that_are_not_seen_are_counted(
    sign_in: SignIn, new_tenant: NewTenant, begin: Begin
) -> None:
    warned = await new_tenant(duplicate_policy="warn")
    had = await one_number_each(begin, warned)
    answer = await sign_in(warned, user=ANN, visibility="own").post(
        "/contacts", json={"phones": [{"number": number} for number in NUMBERS.values()]}
    )
    assert (answer.json()["duplicates"], answer.json()["other_duplicates"]) == ([str(had["Ann's"].id)], 3)
