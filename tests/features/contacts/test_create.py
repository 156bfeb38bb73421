"""Creating contacts: what is kept, what is refused and why, and who counts as a duplicate."""

from dataclasses import replace
from datetime import date
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, TenantSuspended
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, tenants
from bellbird.features.contacts import Address, DuplicateContact, Email, ExternalIdTaken, NewContact, Phone, Url
from tests import make
from tests.conftest import Begin, NewTenant


async def test_everything_that_was_given_is_read_back_as_it_was(begin: Begin, read: ReadTx) -> None:
    owner = uuid4()
    new = NewContact(
        kind="person",
        first_name="Aroha",
        last_name="Ngata",
        display_name="Aroha N.",
        company="Kererū Ltd",
        job_title="Director",
        phones=(
            Phone("021 123 4567", extension="12", label="work", region="NZ", primary=True),
            Phone("(02) 9374 4000", status="opted_out"),
        ),
        emails=(Email("Aroha@Kereru.Example", label="work"), Email("a@b.example", status="invalid")),
        addresses=(Address("1 Queen St", "Auckland", "AUK", "1010", "NZ", "home", True),),
        urls=(Url("https://kereru.example/aroha?x=1", "site"),),
        birthday=date(1990, 2, 28),
        timezone="Pacific/Auckland",
        locale="mi-NZ",
        source="import",
        owner_id=owner,
        tags=("vip", "māori"),
        custom={"size": 3, "nested": {"list": [1, "two", None, True, 1.5]}},
        preferences={"channel": "phone"},
        external_id="crm-1",
    )
    async with begin() as tx:
        made = await contacts.create(tx, new)
    found = await contacts.get(read, made.id)
    assert found == made
    assert found.phones == (
        Phone("+64211234567", "12", "work", "NZ", "mobile", True, "ok", "021 123 4567"),
        Phone("+61293744000", None, None, "AU", "landline", False, "opted_out", "(02) 9374 4000"),
    )
    assert found.emails == (
        Email("Aroha@kereru.example", "work", True, "ok"),
        Email("a@b.example", None, False, "invalid"),
    )
    for name in ("kind", "first_name", "last_name", "display_name", "company", "job_title", "addresses", "urls",
                 "birthday", "timezone", "locale", "source", "owner_id", "tags", "custom", "preferences",
                 "external_id"):  # fmt: skip
        assert getattr(found, name) == getattr(new, name), name
    assert (found.version, found.deleted_at, found.created_at) == (1, None, found.updated_at)


@pytest.mark.parametrize(
    ("given", "called"),
    [
        ({"first_name": "Ann", "last_name": "Lee"}, "Ann Lee"),
        ({"last_name": "Lee"}, "Lee"),
        ({"company": "Acme"}, "Acme"),
        ({"first_name": "Ann", "company": "Acme"}, "Ann"),
        ({"kind": "organisation", "first_name": "Ann", "company": "Acme"}, "Acme"),
        ({"email": "ann@acme.example", "phone": "0412 345 678"}, "ann@acme.example"),
        ({"phone": "0412 345 678"}, "+61412345678"),
        ({"display_name": "Boss", "first_name": "Ann"}, "Boss"),
    ],
)
async def test_a_contact_is_called_by_the_best_name_there_is(tx: Tx, given: dict[str, Any], called: str) -> None:
    assert (await make.contact(tx, **given)).display_name == called


async def test_text_is_trimmed_and_composed(tx: Tx) -> None:
    made = await make.contact(tx, first_name="  Ann \t Marie ", last_name="Lée", tags=(" vip ", "vip", ""))
    assert (made.first_name, made.last_name, made.tags) == ("Ann Marie", "Lée", ("vip",))


async def test_the_first_phone_and_email_are_primary_when_none_is_marked(tx: Tx) -> None:
    made = await make.contact(
        tx,
        phones=(Phone("0412 345 678"), Phone("0412 345 679")),
        emails=(Email("a@b.example"), Email("c@d.example", primary=True)),
    )
    assert [phone.primary for phone in made.phones] == [True, False]
    assert [email.primary for email in made.emails] == [False, True]


async def test_the_same_number_or_address_twice_is_kept_once(tx: Tx) -> None:
    made = await make.contact(
        tx,
        phones=(Phone("0412 345 678"), Phone("+61 412 345 678"), Phone("0412 345 678", extension="5")),
        emails=(Email("Ann@b.example"), Email("ann@B.example")),
    )
    assert [(phone.number, phone.extension) for phone in made.phones] == [("+61412345678", None), ("+61412345678", "5")]
    assert [email.address for email in made.emails] == ["Ann@b.example"]


DEEP: dict[str, Any] = {}
for _ in range(9):
    DEEP = {"in": DEEP}


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"job_title": "Boss"}, "", "contact_needs_identity"),
        ({"first_name": " ", "tags": ("x",)}, "", "contact_needs_identity"),
        ({"kind": "robot"}, "/kind", "invalid_value"),
        ({"first_name": "x" * 10_000}, "/first_name", "text_too_long"),
        ({"first_name": "a\0b"}, "/first_name", "text_character"),
        ({"first_name": "a\ud800b"}, "/first_name", "text_character"),
        ({"first_name": "a\x1bb"}, "/first_name", "text_character"),
        ({"first_name": "a\u202eb"}, "/first_name", "text_character"),
        ({"first_name": 5}, "/first_name", "invalid_type"),
        ({"phones": (Phone("0412 345 67"),)}, "/phones/0/number", "phone_too_short"),
        ({"phones": (Phone("0412 345 678"), Phone("0412 34S 678"))}, "/phones/1/number", "phone_has_letters"),
        ({"phones": (Phone("+1 212 555 0100"),)}, "/phones/0/number", "phone_region_not_allowed"),
        ({"phones": (Phone("0412 345 678", region="XX"),)}, "/phones/0/region", "region_unknown"),
        ({"phones": tuple(Phone(f"0412 345 6{n:02}") for n in range(11))}, "/phones", "too_many"),
        ({"phones": (Phone("0412 345 678", primary=True), Phone("0412 345 679", primary=True))}, "/phones",
         "more_than_one_primary"),
        ({"phones": (Phone("0412 345 678", label="l" * 51),)}, "/phones/0/label", "text_too_long"),
        ({"phones": (Phone("0412 345 678", status="gone"),)}, "/phones/0/status", "invalid_value"),  # type: ignore[arg-type]
        ({"phones": ("0412 345 678",)}, "/phones/0", "invalid_type"),
        ({"phones": (Phone(None),)}, "/phones/0/number", "invalid_type"),  # type: ignore[arg-type]
        ({"phones": "0412 345 678"}, "/phones", "invalid_type"),
        ({"emails": (Email("ann@acme"),)}, "/emails/0/address", "email_domain_invalid"),
        ({"emails": (Email(7),)}, "/emails/0/address", "invalid_type"),  # type: ignore[arg-type]
        ({"emails": tuple(Email(f"a{n}@b.example") for n in range(11))}, "/emails", "too_many"),
        ({"addresses": (Address(country="Atlantis"),)}, "/addresses/0/country", "region_unknown"),
        ({"addresses": tuple(Address("x") for _ in range(11))}, "/addresses", "too_many"),
        ({"urls": (Url("javascript:alert(1)"),)}, "/urls/0/url", "url_invalid"),
        ({"urls": (Url("https://user:pass@evil.example"),)}, "/urls/0/url", "url_invalid"),
        ({"tags": tuple(str(n) for n in range(101))}, "/tags", "too_many"),
        ({"tags": (5,)}, "/tags/0", "invalid_type"),
        ({"birthday": "1990-01-01"}, "/birthday", "invalid_type"),
        ({"birthday": date(1700, 1, 1)}, "/birthday", "invalid_value"),
        ({"timezone": "Sydney"}, "/timezone", "timezone_unknown"),
        ({"locale": "english"}, "/locale", "locale_invalid"),
        ({"owner_id": "me"}, "/owner_id", "invalid_type"),
        ({"custom": DEEP}, "/custom" + "/in" * 8, "object_too_deep"),
        ({"custom": {"a": "x" * 16_385}}, "/custom/a", "text_too_long"),
        ({"custom": {"a": "x" * 9_000, "b": "x" * 9_000}}, "/custom", "object_too_large"),
        ({"custom": {"a": float("inf")}}, "/custom/a", "number_out_of_range"),
        ({"custom": {"a": 10**400}}, "/custom/a", "number_out_of_range"),
        ({"custom": {"a/b": {"~": "\0"}}}, "/custom/a~1b/~0", "text_character"),
        ({"custom": {"a\0": 1}}, "/custom", "text_character"),
        ({"custom": {5: 1}}, "/custom", "invalid_type"),
        ({"custom": {"a": {1, 2}}}, "/custom/a", "invalid_type"),
        ({"custom": [1]}, "/custom", "invalid_type"),
    ],
)  # fmt: skip
async def test_what_cannot_be_kept_is_refused_where_it_is(
    tx: Tx, given: dict[str, Any], pointer: str, code: str
) -> None:
    named = {} if code == "contact_needs_identity" else {"last_name": "Lee"}
    with pytest.raises(InvalidInput) as refused:
        await contacts.create(tx, NewContact(**{**named, **given}))
    assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [(pointer, code)]


async def test_every_fault_is_reported_at_once(tx: Tx) -> None:
    with pytest.raises(InvalidInput) as refused:
        await make.contact(tx, phones=(Phone("1"), Phone("2")), emails=(Email("x"),), timezone="Mars", locale="?")
    assert [fault.pointer for fault in refused.value.faults] == [
        "/phones/0/number", "/phones/1/number", "/emails/0/address", "/timezone", "/locale",
    ]  # fmt: skip


async def test_the_limits_are_the_tenants_own(new_tenant: NewTenant, begin: Begin) -> None:
    strict = await new_tenant(max_phones=1, max_emails=1, max_addresses=1)
    with pytest.raises(InvalidInput, match="at most 1"):
        async with begin(strict) as tx:
            await make.contact(tx, phones=(Phone("0412 345 678"), Phone("0412 345 679")))
    async with begin(strict) as tx:
        assert await make.contact(tx, phone="0412 345 678")


async def test_numbers_are_read_in_the_tenants_region_and_of_the_regions_it_allows(
    new_tenant: NewTenant, begin: Begin
) -> None:
    kiwi = await new_tenant(default_region="NZ", allowed_regions=("NZ", "US"))
    async with begin(kiwi) as tx:
        assert (await make.contact(tx, phone="021 123 4567")).phones[0].number == "+64211234567"
        assert (await make.contact(tx, phone="+1 212 555 2368")).phones[0].region == "US"
        with pytest.raises(InvalidInput, match="accepted from"):
            await make.contact(tx, phone="+61 412 345 678")
    anyone = await new_tenant(allowed_regions=())
    async with begin(anyone) as tx:
        assert (await make.contact(tx, phone="+49 30 901820")).phones[0].region == "DE"


async def test_without_the_permission_nothing_is_written(engine: Engine, tenant: Tenant) -> None:
    reader = Actor.user(uuid4(), permissions=frozenset({"contacts:read"}))
    async with engine.tenant(tenant.id, reader) as tx:
        with pytest.raises(Forbidden, match="contacts:write"):
            await make.contact(tx)


async def test_a_suspended_tenant_can_only_read(engine: Engine, begin: Begin, tenant: Tenant, read: ReadTx) -> None:
    async with begin() as tx:
        made = await make.contact(tx)
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    with pytest.raises(TenantSuspended):
        async with begin() as tx:
            await make.contact(tx)
    assert await contacts.get(read, made.id) == made


@pytest.mark.parametrize("shared", [{"phone": "0412 345 678"}, {"email": "ann@acme.example"}])
async def test_under_allow_a_duplicate_is_simply_made(begin: Begin, shared: dict[str, Any]) -> None:
    async with begin() as tx:
        await make.contact(tx, **shared)
        assert not (await make.contact(tx, **shared)).duplicates


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"phone": "0412 345 678"}, {"phone": "+61 412 345 678"}),
        ({"email": "Ann@Acme.example"}, {"email": "ann@acme.EXAMPLE"}),
    ],
)
async def test_under_warn_a_duplicate_is_made_and_the_others_are_named(
    new_tenant: NewTenant, begin: Begin, first: dict[str, Any], second: dict[str, Any]
) -> None:
    warned = await new_tenant(duplicate_policy="warn")
    async with begin(warned) as tx:
        one = await make.contact(tx, **first)
        two = await make.contact(tx, **second)
        assert not one.duplicates
        assert two.duplicates == (one.id,)
        assert await contacts.get(tx, two.id) == replace(two, duplicates=one.duplicates)


@pytest.mark.parametrize(
    ("first", "second", "what"),
    [
        ({"phone": "0412 345 678"}, {"phone": "+61 412 345 678"}, "A phone number is shared"),
        ({"email": "Ann@Acme.example"}, {"email": "ann@acme.EXAMPLE"}, "An e-mail address is shared"),
    ],
)
async def test_under_reject_a_duplicate_is_refused_by_name(
    new_tenant: NewTenant, begin: Begin, first: dict[str, Any], second: dict[str, Any], what: str
) -> None:
    strict = await new_tenant(duplicate_policy="reject")
    async with begin(strict) as tx:
        one = await make.contact(tx, **first)
    with pytest.raises(DuplicateContact, match=what) as refused:
        async with begin(strict) as tx:
            await make.contact(tx, **second)
    assert refused.value.extra == {"contacts": [one.id]}
    async with begin(strict) as tx:
        await contacts.delete(tx, one.id)
    async with begin(strict) as tx:
        assert await make.contact(tx, **second), "a deleted contact does not block another"


async def test_an_external_id_belongs_to_one_contact(begin: Begin) -> None:
    async with begin() as tx:
        one = await make.contact(tx, first_name="One", external_id="crm-1")
    with pytest.raises(ExternalIdTaken):
        async with begin() as tx:
            await make.contact(tx, first_name="Two", external_id="crm-1")
    async with begin() as tx:
        await contacts.delete(tx, one.id)
    async with begin() as tx:
        assert await make.contact(tx, first_name="Two", external_id="crm-1")


async def test_the_same_external_id_in_another_tenant_is_another_matter(begin: Begin, other_tenant: Tenant) -> None:
    for of in ((), (other_tenant,)):
        async with begin(*of) as tx:
            await make.contact(tx, first_name="One", external_id="crm-1")


async def test_the_event_tells_what_the_contact_has(begin: Begin, owner: psycopg.Connection[Any]) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", email="ann@acme.example")
        actor = str(tx.actor)
    rows = owner.execute(
        "select type, entity_type, entity_id, actor, origin, changes from events where contact_id = %s", [made.id]
    ).fetchall()
    assert rows == [("contact.created", "contact", made.id, actor, "library", {
        "kind": [None, "person"],
        "first_name": [None, "Ann"],
        "display_name": [None, "Ann"],
        "emails": [None, [{"address": "ann@acme.example", "label": None, "primary": True, "status": "ok"}]],
    })]  # fmt: skip


async def test_what_one_contact_was_not_given_is_not_shared_with_another(tx: Tx) -> None:
    first = await make.contact(tx, first_name="Ann")
    first.custom["seen"] = True
    first.preferences["language"] = "mi"
    second = await make.contact(tx, first_name="Ben")
    assert (second.custom, second.preferences) == ({}, {})


async def test_a_suspended_tenant_can_be_read_in_a_transaction_too(
    engine: Engine, tenant: Tenant, begin: Begin
) -> None:
    async with begin() as tx:
        made = await make.contact(tx, first_name="Ann", phone="0412 345 678")
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    async with begin() as tx:
        assert [each.id for each in (await contacts.page(tx)).data] == [made.id]
        assert [each.id for each in await contacts.lookup(tx, "0412 345 678")] == [made.id]
        with pytest.raises(TenantSuspended):
            await contacts.delete(tx, made.id)
