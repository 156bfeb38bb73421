"""Finding contacts by what a person remembers: `q=`, and who is calling."""

from dataclasses import replace
from typing import Any

import pytest

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Total
from bellbird.features import contacts
from bellbird.features.contacts import Contact, Email, Phone, Query
from tests import make
from tests.conftest import Begin, NewTenant


async def found(tx: Tx | ReadTx, q: str) -> list[str]:
    return [contact.display_name for contact in (await contacts.page(tx, Query(q=q))).data]


@pytest.fixture
async def people(tx: Tx) -> Tx:
    for given in (
        {"first_name": "Renée", "last_name": "O’Connor-Smith", "company": "Acme Widgets", "job_title": "Engineer"},
        {"first_name": "Māui", "last_name": "Tāmihana", "email": "maui.t@kereru.example"},
        {"first_name": "Søren", "last_name": "Müller"},
        {"first_name": "Ann", "last_name": "Lee", "company": "Renee's Bakery"},
        {"first_name": "Anna", "last_name": "Leigh", "phone": "0412 345 678"},
        {"kind": "organisation", "company": "100% Wool_Works"},
        {"first_name": "王", "last_name": "小明"},
        {"first_name": "Θησέας", "last_name": "Ντίνος"},
    ):
        await make.contact(tx, **given)  # type: ignore[arg-type]
    return tx


RENEE = "Renée O’Connor-Smith"


@pytest.mark.parametrize(
    ("q", "names"),
    [
        ("renee", [RENEE, "Ann Lee"]),
        ("RENÉE", [RENEE, "Ann Lee"]),
        ("ren", [RENEE, "Ann Lee"]),
        ("oconnor", [RENEE]),
        ("o'connor", [RENEE]),
        ("smith renee", [RENEE]),
        ("connor", [RENEE]),
        ("nnor", []),
        ("acme", [RENEE]),
        ("acme wid", [RENEE]),
        ("engineer acme", [RENEE]),
        ("maui", ["Māui Tāmihana"]),
        ("Māui tamihana", ["Māui Tāmihana"]),
        ("kereru", ["Māui Tāmihana"]),
        ("maui.t@kereru.example", ["Māui Tāmihana"]),
        ("MAUI.T@KERERU.EXAMPLE", ["Māui Tāmihana"]),
        ("maui.t@", ["Māui Tāmihana"]),
        ("soren muller", ["Søren Müller"]),
        ("ann", ["Ann Lee", "Anna Leigh"]),
        ("anna", ["Anna Leigh", "Ann Lee"]),
        ("wool", ["100% Wool_Works"]),
        ("works", ["100% Wool_Works"]),
        ("王", ["王 小明"]),
        ("小明", ["王 小明"]),
        ("θησέας", ["Θησέας Ντίνος"]),
        ("θησεας", ["Θησέας Ντίνος"]),
        ("renee lee", ["Ann Lee"]),
        ("nobody", []),
    ],
)
async def test_names_companies_titles_and_addresses_are_found_by_how_they_begin(
    people: Tx, q: str, names: list[str]
) -> None:
    assert await found(people, q) == names


@pytest.mark.parametrize(
    "q",
    ["tamihona", "tmihana", "tamihanna", "atmihana", "tamihnaa", "tamihan", "xtamihana", "maui tamihena"],
)
async def test_one_typo_is_forgiven(people: Tx, q: str) -> None:
    assert await found(people, q) == ["Māui Tāmihana"]


@pytest.mark.parametrize("q", ["tamihoni", "lxe", "%", "_", "\\"])
async def test_two_typos_short_words_and_wildcards_find_nothing(people: Tx, q: str) -> None:
    if q.isalpha():
        assert await found(people, q) == []
    else:
        with pytest.raises(InvalidInput, match="a letter or a digit"):
            await found(people, q)


async def test_the_best_kind_of_match_comes_first(tx: Tx) -> None:
    for given in (
        {"first_name": "Zoe", "company": "Martin & Co"},
        {"first_name": "Bob", "last_name": "Martin"},
        {"first_name": "Martin", "last_name": "Young"},
        {"first_name": "Marten", "last_name": "Adams"},
        {"first_name": "Martina", "last_name": "Adams"},
    ):
        await make.contact(tx, **given)
    assert await found(tx, "martin") == ["Martin Young", "Martina Adams", "Bob Martin", "Zoe", "Marten Adams"]


@pytest.mark.parametrize("as_typed", [4, 5])
async def test_typos_are_forgiven_only_where_little_is_found_as_typed(tx: Tx, as_typed: int) -> None:
    for number in range(as_typed):
        await make.contact(tx, first_name=f"Martin {number}")
    for number in range(3):
        await make.contact(tx, first_name=f"Marten {number}")
    names = [f"Martin {n}" for n in range(as_typed)] + [f"Marten {n}" for n in range(3) if as_typed < 5]
    assert await found(tx, "martin") == names
    total = (await contacts.page(tx, Query(q="martin", limit=1, total=True))).total
    assert total == Total(len(names), exact=True)
    for limit in (1, 2, 5):
        assert [contact.display_name for contact in await pages(tx, Query(q="martin", limit=limit))] == names


@pytest.mark.parametrize(
    ("q", "code"),
    [("  ", "invalid_value"), ("!!!", "invalid_value"), ("a\0", "text_character"), ("\ud800", "text_character"),
     ("x" * 101, "text_too_long"), ("a\u202eb", "text_character")],
)  # fmt: skip
async def test_a_question_that_nothing_can_answer_is_refused(read: ReadTx, q: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await contacts.page(read, Query(q=q))
    assert [(fault.parameter, fault.code) for fault in refused.value.faults] == [("q", code)]


# What is typed, its E.164, its kind, and other ways in which people write it.
NUMBERS: list[tuple[str, str, str, str, list[str]]] = [
    ("0412 345 678", "+61412345678", "AU", "mobile", ["0412345678", "+61 412 345 678", "(0412) 345-678",
     "61412345678", "+61 (0)412 345 678", "0011 61 412 345 678", "412 345 678"]),
    ("+61 412 345 679", "+61412345679", "AU", "mobile", ["0412 345 679", "0412.345.679"]),
    ("(02) 9374 4000", "+61293744000", "AU", "landline", ["0293744000", "+61 2 9374 4000", "02-9374-4000"]),
    ("1300 975 707", "+611300975707", "AU", "local_rate", ["1300975707", "+61 1300 975 707", "1300-975-707"]),
    ("13 11 14", "+61131114", "AU", "local_rate", ["131114", "131 114", "+61 13 11 14"]),
    ("0550 000 000", "+61550000000", "AU", "location_independent", ["0550000000", "+61 550 000 000"]),
    ("021 123 4567", "+64211234567", "NZ", "mobile", ["0211234567", "+64 21 123 4567", "64211234567"]),
    ("0800 4 PIZZA", "+64800474992", "NZ", "toll_free", ["0800 474 992", "0800474992", "+64 800 474 992"]),
    ("+64 9 300 0000", "+6493000000", "NZ", "landline", ["09 300 0000", "(09) 300-0000", "093000000"]),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "e164", "region", "line_type", "others"), NUMBERS)
async def test_a_number_is_read_right_and_found_again_by_any_of_its_formats(
    new_tenant: NewTenant, begin: Begin, typed: str, e164: str, region: str, line_type: str, others: list[str]
) -> None:
    # As its own people would type it; both countries are allowed either way.
    tenant = await new_tenant(default_region=region)
    async with begin(tenant) as tx:
        made = await make.contact(tx, first_name="Ann", phone=typed)
        (phone,) = made.phones
        assert (phone.number, phone.region, phone.line_type, phone.raw) == (e164, region, line_type, typed)
        await make.contact(tx, first_name="Bob", phone="+64 3 477 1111")
        await make.contact(tx, first_name="Cas", phone="+61 7 3111 1111")
        for form in (typed, e164, *others):
            assert await contacts.lookup(tx, form) == (made,), f"lookup of {form}"
            assert await found(tx, form) == ["Ann"], f"q={form}"
        assert await contacts.lookup(tx, e164[-6:]) == (made,)
        assert await found(tx, e164[-6:]) == ["Ann"]


@pytest.mark.parametrize(("typed", "e164", "region"), [number[:3] for number in NUMBERS])
async def test_a_number_of_the_other_country_is_read_with_its_region_or_refused_for_a_true_reason(
    new_tenant: NewTenant, begin: Begin, typed: str, e164: str, region: str
) -> None:
    other = "NZ" if region == "AU" else "AU"
    async with begin(await new_tenant(default_region=other)) as tx:
        assert (await make.contact(tx, phones=(Phone(typed, region=region),))).phones[0].number == e164
        assert (await make.contact(tx, phones=(Phone(typed, region=region.lower()),))).phones[0].number == e164
        if typed.startswith("+"):
            assert (await make.contact(tx, phone=typed)).phones[0].number == e164
        elif typed == "021 123 4567":  # 02 1123 4567 would be one of Sydney
            with pytest.raises(InvalidInput, match="is written as a New Zealand mobile"):
                await make.contact(tx, phone=typed)
        elif typed == "(02) 9374 4000":  # 029 374 4000 is a mobile of NZ
            assert (await make.contact(tx, phone=typed)).phones[0].region == other
        else:
            with pytest.raises(InvalidInput) as refused:
                await make.contact(tx, phone=typed)
            (fault,) = refused.value.faults
            assert (fault.pointer, fault.code) == ("/phones/0/number", "phone_invalid")
            assert f"{typed!r} is not a number of {NAMES[other]}, but one of {NAMES[region]}" in fault.message
            assert e164[3:] in fault.message.replace(" ", "").replace("-", ""), "says what to type"
    async with begin(await new_tenant(default_region=other, allowed_regions=(other,))) as tx:
        with pytest.raises(InvalidInput, match=f"is a number of {NAMES[region]}.*accepted from: {NAMES[other]}"):
            await make.contact(tx, phone=e164)


NAMES = {"AU": "Australia", "NZ": "New Zealand"}


async def callers(tx: Tx | ReadTx, number: str) -> list[str]:
    return [contact.display_name for contact in await contacts.lookup(tx, number)]


async def test_the_likeliest_caller_comes_first_and_among_equals_the_one_changed_last(tx: Tx) -> None:
    number, other = Phone("0412 345 678"), Phone("0412 000 000")
    likeliest_first: list[tuple[str, tuple[Phone, ...]]] = [
        ("Newer", (number, other)),
        ("Older", (number,)),
        ("Second", (other, number)),
        ("Invalid", (replace(number, status="invalid"),)),
    ]
    for seconds, (name, phones) in enumerate(likeliest_first):
        made = await make.contact(tx, first_name=name, phones=phones)
        # But for the first two, the likelier one was changed longer ago.
        age = {"Newer": 10, "Older": 11}.get(name, 5 - seconds)
        change = "update contacts set updated_at = now() - $3::int * interval '1 s' where tenant_id = $1 and id = $2"
        await tx.run(change, tx.tenant_id, made.id, age)
    assert await callers(tx, "0412 345 678") == [name for name, _ in likeliest_first]


async def test_a_number_that_two_countries_have_finds_both_the_tenants_own_first(tx: Tx) -> None:
    kiwi = await make.contact(tx, first_name="Kiwi", phone="+64 3 477 0000")
    aussie = await make.contact(tx, first_name="Aussie", phone="+61 3 4770 0000")
    assert await contacts.lookup(tx, "03 477 0000") == (kiwi,)
    assert await contacts.lookup(tx, "03 4770 0000") == (aussie,)


async def test_an_ending_finds_numbers_only(tx: Tx) -> None:
    number = await make.contact(tx, first_name="Ann", phone="0412 345 678")
    await make.contact(tx, first_name="Bob345678", email="bob345678@acme.example", company="345678")
    assert await contacts.lookup(tx, "345678") == (number,)
    assert await contacts.lookup(tx, "2 345 678") == (number,)
    assert await contacts.lookup(tx, "345679") == ()


@pytest.mark.parametrize("number", ["", "12345", "abc", "12 34", "1" * 16, "\0" * 8, "\ud800"])
async def test_too_little_to_know_a_caller_by_is_refused(read: ReadTx, number: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await contacts.lookup(read, number)
    assert [(fault.parameter, fault.code) for fault in refused.value.faults] == [("number", "phone_invalid")]


async def test_a_part_of_a_number_of_three_digits_or_more_is_found(tx: Tx) -> None:
    made = await make.contact(tx, first_name="Ann", phone="0412 345 678")
    for part in ("678", "0412", "345 6", "+61 4", "61412"):
        assert await found(tx, part) == ["Ann"], part
    await contacts.update(tx, made.id, contacts.ContactPatch(phones=(Phone("0412 999 999"),), first_name="Ann"))
    assert await found(tx, "345678") == []


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_every_match_of_every_kind_is_on_exactly_one_page_both_ways(tx: Tx, limit: int) -> None:
    for given in (
        *({"first_name": name} for name in ("Marina", "Marin", "Martyn", "Martin B", "Martin A")),
        {"first_name": "Zoe", "last_name": "Martin"},
        {"first_name": "Xenia", "company": "Martini"},
    ):
        await make.contact(tx, **given)
    whole = (await contacts.page(tx, Query(q="martin", limit=200))).data
    assert len(whole) == 7
    assert await pages(tx, Query(q="martin", limit=limit)) == list(whole)


async def test_typos_are_forgiven_only_where_fewer_than_five_match_as_typed(tx: Tx) -> None:
    await make.contact(tx, first_name="Martyn")
    for number in range(5):
        assert "Martyn" in await found(tx, "martin")
        await make.contact(tx, first_name=f"Martin {number}")
    assert "Martyn" not in await found(tx, "martin")


async def pages(tx: Tx, query: Query) -> list[Contact]:
    """Every page forwards, having gone back from the last one to the first and met the same."""
    forwards, page = [], await contacts.page(tx, query)
    assert page.previous_cursor is None
    while True:
        forwards.append(page.data)
        if page.next_cursor is None:
            break
        page = await contacts.page(tx, replace(query, cursor=page.next_cursor))
    backwards = [page.data]
    while page.previous_cursor:
        page = await contacts.page(tx, replace(query, cursor=page.previous_cursor))
        backwards.append(page.data)
    assert backwards[::-1] == forwards
    return [contact for data in forwards for contact in data]


async def test_emails_are_found_whole_before_those_that_only_begin_so(tx: Tx) -> None:
    await make.contact(tx, first_name="A", email="ann@acme.example.com")
    await make.contact(tx, first_name="B", emails=(Email("x@y.example"), Email("Ann@acme.example")))
    assert await found(tx, "ann@acme.example") == ["B", "A"]


async def test_digits_in_names_are_found_too(tx: Tx) -> None:
    made: dict[str, Any] = {"kind": "organisation", "company": "Class of 2026"}
    await make.contact(tx, **made)
    assert await found(tx, "2026") == ["Class of 2026"]
    assert await found(tx, "class 2026") == ["Class of 2026"]
