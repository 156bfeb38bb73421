"""Upserts: found by e-mail, phone or external id, added to and never robbed, one contact however many ask."""

import asyncio
from typing import Any

import psycopg
import pytest

from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.features import contacts
from bellbird.features.contacts import (
    AmbiguousMatch,
    DuplicateContact,
    Email,
    NewContact,
    Phone,
    Query,
)
from tests import make
from tests.conftest import Begin, NewTenant

MATCHES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    ("email", {"email": "Ann@Acme.example"}, {"email": "ann@ACME.example"}),
    ("phone", {"phone": "0412 345 678"}, {"phone": "+61 412 345 678"}),
    ("external_id", {"first_name": "Ann", "external_id": "crm-1"}, {"external_id": "crm-1", "last_name": "Lee"}),
]


@pytest.mark.parametrize(("match", "first", "second"), MATCHES)
async def test_the_first_makes_and_the_second_finds(tx: Tx, match: Any, first: Any, second: Any) -> None:
    made = await contacts.upsert(tx, make.new_contact(**dict(first)), match=match)
    found = await contacts.upsert(tx, make.new_contact(**dict(second), job_title="Boss"), match=match)
    assert (made.created, found.created) == (True, False)
    assert found.contact.id == made.contact.id
    assert (found.contact.job_title, found.contact.version) == ("Boss", 2)
    assert await contacts.get(tx, made.contact.id) == found.contact


async def test_what_is_known_is_added_to_and_never_lost(tx: Tx) -> None:
    old = await make.contact(
        tx, kind="organisation", first_name="Ann", last_name="Lee", company="Acme", phone="0412 345 678",
        email="ann@acme.example", tags=("old",), custom={"a": 1, "b": {"c": 2}},
    )  # fmt: skip
    new = NewContact(
        first_name="Anna",
        phones=(Phone("+61 412 345 678", label="new"), Phone("0412 345 679", primary=True)),
        emails=(Email("ANN@acme.example"), Email("anna@home.example", primary=True)),
        tags=("new",),
        custom={"b": {"d": 3}},
    )
    found = (await contacts.upsert(tx, new, match="email")).contact
    assert (found.kind, found.first_name, found.last_name, found.company) == ("organisation", "Anna", "Lee", "Acme")
    assert found.phones[0] == old.phones[0], "the same number, and what was known of it"
    assert [(phone.number, phone.primary) for phone in found.phones] == [
        ("+61412345678", True), ("+61412345679", False),
    ]  # fmt: skip
    assert [(email.address, email.primary) for email in found.emails] == [
        ("ann@acme.example", True), ("anna@home.example", False),
    ]  # fmt: skip
    assert found.custom == {"a": 1, "b": {"c": 2, "d": 3}}
    assert found.tags == ("new",), "a field that is given replaces what was there"


async def test_an_upsert_that_says_nothing_new_writes_nothing(begin: Begin, owner: psycopg.Connection[Any]) -> None:
    for _ in range(2):
        async with begin() as tx:
            done = await contacts.upsert(tx, make.new_contact(first_name="Ann", email="a@b.example"), match="email")
    assert (done.created, done.contact.version) == (False, 1)
    count = owner.execute("select count(*) from events where contact_id = %s", [done.contact.id]).fetchone()
    assert count == (1,)


async def test_an_added_phone_counts_against_the_limit(tx: Tx) -> None:
    await make.contact(tx, email="a@b.example", phones=tuple(Phone(f"0412 345 6{n:02}") for n in range(10)))
    with pytest.raises(InvalidInput, match="11 phones; a contact may have at most 10"):
        await contacts.upsert(tx, make.new_contact(email="a@b.example", phone="0412 345 699"), match="email")


@pytest.mark.parametrize(("match", "given"), [("email", {"email": "a@b.example"}), ("phone", {"phone": "13 11 14"})])
async def test_two_that_match_are_ambiguous(tx: Tx, match: Any, given: dict[str, Any]) -> None:
    both = [(await make.contact(tx, **dict(given))).id for _ in range(2)]
    with pytest.raises(AmbiguousMatch) as refused:
        await contacts.upsert(tx, make.new_contact(**dict(given)), match=match)
    assert refused.value.extra == {"contacts": both}


@pytest.mark.parametrize("match", ["email", "phone", "external_id"])
async def test_without_anything_to_match_by_it_is_refused(tx: Tx, match: Any) -> None:
    with pytest.raises(InvalidInput, match="has none to match by"):
        await contacts.upsert(tx, NewContact(first_name="Ann"), match=match)


async def test_a_deleted_contact_is_not_found_but_made_anew(tx: Tx) -> None:
    old = await make.contact(tx, email="a@b.example")
    await contacts.delete(tx, old.id)
    done = await contacts.upsert(tx, make.new_contact(email="a@b.example"), match="email")
    assert done.created and done.contact.id != old.id


async def test_under_reject_an_upsert_may_not_take_anothers_number(new_tenant: NewTenant, begin: Begin) -> None:
    strict = await new_tenant(duplicate_policy="reject")
    async with begin(strict) as tx:
        await make.contact(tx, phone="0412 345 678")
        await make.contact(tx, email="a@b.example")
    for email in ("a@b.example", "new@b.example"):
        with pytest.raises(DuplicateContact):
            async with begin(strict) as tx:
                await contacts.upsert(tx, make.new_contact(email=email, phone="0412 345 678"), match="email")


@pytest.mark.parametrize(("match", "first", "second"), MATCHES)
async def test_fifty_at_once_make_one(
    engine: Engine, begin: Begin, read: ReadTx, match: Any, first: Any, second: Any
) -> None:
    async def one(number: int) -> bool:
        async with begin() as tx:
            given = dict(first if number % 2 else second)
            return (
                await contacts.upsert(tx, make.new_contact(**given, custom={str(number): True}), match=match)
            ).created

    made = await asyncio.gather(*(one(number) for number in range(50)))
    (contact,) = (await contacts.page(read)).data
    assert sum(made) == 1
    assert contact.version == 50
    assert len(contact.custom) == 50, "no upsert overwrote another's"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"phone": "0412 345 678"}, {"phone": "+61 412 345 678"}),
        ({"email": "Ann@Acme.example"}, {"email": "ann@acme.EXAMPLE"}),
    ],
)
async def test_fifty_creates_at_once_under_reject_admit_one(
    engine: Engine, new_tenant: NewTenant, begin: Begin, first: dict[str, Any], second: dict[str, Any]
) -> None:
    strict = await new_tenant(duplicate_policy="reject")

    async def one(number: int) -> None:
        async with begin(strict) as tx:
            await make.contact(tx, **dict(first if number % 2 else second))

    outcomes = await asyncio.gather(*(one(number) for number in range(50)), return_exceptions=True)
    assert sum(outcome is None for outcome in outcomes) == 1
    assert sum(isinstance(outcome, DuplicateContact) for outcome in outcomes) == 49
    async with begin(strict) as tx:
        assert len((await contacts.page(tx, Query(limit=200))).data) == 1


async def test_upserts_with_crossed_keys_do_not_wait_for_each_other_forever(begin: Begin, read: ReadTx) -> None:
    async def one(number: int) -> None:
        phones = ["0412 345 678", "0412 345 679"]
        given = phones if number % 2 else phones[::-1]
        async with begin() as tx:
            await contacts.upsert(tx, NewContact(phones=tuple(map(Phone, given))), match="phone")

    await asyncio.wait_for(asyncio.gather(*(one(number) for number in range(20))), 20)
    assert len((await contacts.page(read)).data) == 1


async def test_an_upsert_and_a_create_of_the_same_do_not_wait_for_each_other_forever(
    new_tenant: NewTenant, begin: Begin
) -> None:
    """Both hold what the other wants, unless both ask for it in one order: PostgreSQL would end one as a deadlock."""
    careful = await new_tenant(duplicate_policy="warn")

    async def one(number: int, upserting: bool) -> None:
        new = make.new_contact(email=f"a{number}@b.example", phone=f"0412 345 {number:03}")
        async with begin(careful) as tx:
            if upserting:
                await contacts.upsert(tx, new, match="email")
            else:
                await contacts.create(tx, new)

    for numbers in (range(4), range(4, 8), range(8, 12)):
        await asyncio.gather(*(one(number, upserting) for number in numbers for upserting in (True, False)))


async def test_writers_of_one_contact_take_turns(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        made = await make.contact(tx)

    async def one(number: int) -> None:
        async with begin() as tx:
            await contacts.update(tx, made.id, contacts.ContactPatch(custom={str(number): number}))

    await asyncio.gather(*(one(number) for number in range(30)))
    found = await contacts.get(read, made.id)
    assert (len(found.custom), found.version) == (30, 31)
