"""Laws: an actor sees what a naive filter of everything would leave it, and what is hidden makes no difference to it.

The second is the stronger: in two tenants that differ in nothing but what is hidden, every question and every attempt
to write has the same outcome, down to the words of a refusal, however one asks.
"""

import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core.actors import SECURABLE, Actor, FieldRules, Visibility
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import BellbirdError
from bellbird.core.tenants import Tenant
from bellbird.features import contacts
from bellbird.features.contacts import Address, Contact, ContactPatch, Email, NewContact, Phone, Query, Url
from tests.conftest import NewTenant

ANN, BEN, CAS = (UUID(f"0192f0c0-0000-7000-8000-00000000000{digit}") for digit in "abc")

FIELDS = sorted(SECURABLE["contact"] - {"owner_id"})

# A rule that hides what nearly every contact has is worth trying more often.
HIDDEN = st.sets(st.sampled_from([*FIELDS, "owner_id", "phones", "emails", "first_name", "company"]), max_size=6)


@dataclass(frozen=True)
class Given:
    """A contact to be made: which fields it has, whose it is, whether it is deleted afterwards."""

    fields: frozenset[str]
    owner: UUID | None
    is_deleted: bool


GIVEN = st.builds(
    Given,
    fields=st.frozensets(st.sampled_from(FIELDS), max_size=12).map(
        lambda some: some if some & {"first_name", "company", "emails", "phones"} else some | {"first_name"}
    ),
    owner=st.sampled_from([ANN, BEN, CAS, None]),
    is_deleted=st.booleans(),
)


def value(field: str, number: int, variant: str) -> Any:
    """What no other contact has in this field, nor in another; two variants of it."""
    word = f"q{field.replace('_', '')}{'abcdefgh'[number]}{variant}"
    match field:
        case "phones":
            return (Phone(f"0412 {'3' if variant == 'x' else '7'}{number}0 1{number}2"),)
        case "emails":
            return (Email(f"{word}@{word}.example"),)
        case "addresses":
            return (Address(word, word, "NSW", "2000", "AU"),)
        case "urls":
            return (Url(f"https://{word}.example"),)
        case "birthday":
            return date(1981 if variant == "x" else 1992, 1 + number, 3)
        case "timezone":
            return ("Australia/Perth", "Pacific/Auckland")[variant == "x"]
        case "locale":
            return ("mi-NZ", "zh-Hant-TW")[variant == "x"]
        case "tags":
            return (word,)
        case "custom" | "preferences":
            return {word: word}
    return word.title()


def markers(field: str, number: int, variant: str) -> list[str]:
    """What in an answer's text would give the value away."""
    match field:
        case "phones":
            (phone,) = value(field, number, variant)
            return [phone.number, "+61" + phone.number[1:].replace(" ", "")]
        case "birthday" | "timezone" | "locale":
            return [str(value(field, number, variant))]
    return [f"q{field.replace('_', '')}{'abcdefgh'[number]}{variant}"]


def new(given: Given, number: int, hidden: frozenset[str], variant: str) -> NewContact:
    """The contact, what is hidden in this variant, the rest as in every."""
    values = {field: value(field, number, variant if field in hidden else "x") for field in given.fields}
    return NewContact(owner_id=given.owner, **values)


@dataclass
class World:
    """A tenant with the contacts in it, as their makers know them, and an actor."""

    engine: Engine
    tenant: Tenant
    actor: Actor
    made: list[Contact]

    @property
    def read(self) -> ReadTx:
        return ReadTx(self.engine, self.tenant.id, self.actor, None)

    def plain(self, answer: Any) -> str:
        """An answer as text, with the contacts' places for their ids, which no two tenants have in common."""
        text: str = msgspec.json.encode(answer).decode()
        for place, contact in enumerate(self.made):
            text = text.replace(str(contact.id), f"id-{place}")
        return text

    async def outcome(self, attempt: Awaitable[Any]) -> str:
        """What came of it: the answer, or the whole of a refusal."""
        try:
            return self.plain(await attempt)
        except BellbirdError as error:
            faults = [(fault.code, fault.message, fault.pointer, fault.parameter) for fault in error.faults]
            return f"{error.code}: {self.plain([error.detail, faults, error.extra])}"

    async def written(self, write: Callable[[Tx], Awaitable[Any]]) -> str:
        """What came of a write, which is then undone; that nothing unseen was changed is seen to."""
        try:
            async with self.engine.tenant(self.tenant.id, self.actor) as tx:
                outcome = await self.outcome(write(tx))
                before = {contact.id: contact for contact in self.made}
                rows = await tx.all("select id, version, owner_id from contacts where tenant_id = $1", tx.tenant_id)
                left = {id: (version, owner) for id, version, owner in rows}
                for id, contact in before.items():
                    if not self.actor.sees(contact.owner_id):
                        assert left.get(id) == (contact.version, contact.owner_id), "changed, and is not seen"
                for id, (_, owner) in left.items():
                    assert id in before or self.actor.sees(owner), "made, and is not seen"
                raise _Undone
        except _Undone:
            return outcome
        except BellbirdError as error:  # what only PostgreSQL sees comes with the next question
            return error.code


class _Undone(Exception):
    pass


async def world(
    engine: Engine, tenant: Tenant, actor: Actor, given: list[Given], hidden: frozenset[str], variant: str
) -> World:
    clock = engine.clock
    assert isinstance(clock, FakeClock)
    made = []
    for number, each in enumerate(given):
        clock.move(timedelta(milliseconds=2))
        async with engine.tenant(tenant.id, Actor.system()) as tx:
            contact = await contacts.create(tx, new(each, number, hidden, variant))
            if each.is_deleted:
                await contacts.delete(tx, contact.id)
                contact = replace(contact, version=2, updated_at=clock.now(), deleted_at=clock.now())
            made.append(contact)
    return World(engine, tenant, actor, made)


def naive(contact: Contact, given: Given, hidden: frozenset[str]) -> dict[str, Any]:
    """What is left of a contact."""
    shown: dict[str, Any] = msgspec.to_builtins(contact)
    made_from = {"first_name", "last_name"} & given.fields or next(
        ({field} for field in ("company", "emails", "phones") if field in given.fields), set[str]()
    )
    gone = set(hidden)
    if "display_name" not in given.fields and made_from & hidden:
        gone.add("display_name")
    return {name: value for name, value in shown.items() if name not in gone}


def conditions(field: str, number: int, variant: str) -> list[tuple[str, Any]]:
    """Conditions that draw on a field, which hold for this contact and no other."""
    given = value(field, number, variant)
    match field:
        case "phones":
            return [("phone", given[0].number), ("display_name", markers(field, number, variant)[-1])]
        case "emails":
            domain = given[0].address.partition("@")[2]
            return [("email", given[0].address), ("email_domain", domain), ("display_name", given[0].address)]
        case "addresses":
            return [("address_city", given[0].city)]
        case "tags":
            return [("tag", given[0])]
        case "birthday":
            return [("birthday", given.isoformat()), ("birthday", {"lte": given.isoformat()})]
        case "first_name" | "last_name" | "company":
            return [(field, {"contains": given}), ("display_name", {"contains": given}), ("display_name", given)]
        case "urls" | "custom" | "preferences":
            return []
    return [(field, given), (field, {"exists": True})]


Question = Callable[[World], Awaitable[str]]


def questions(field: str, number: int, variant: str) -> Iterator[Question]:
    """Everything that can be asked about one field of one contact."""
    for text in markers(field, number, variant):
        for q in (text, text[:-1], text[:-1] + "z", text[1:], text[3:]):
            yield lambda world, q=q: world.outcome(contacts.page(world.read, Query(q=q, total=True)))
            yield lambda world, q=q: world.outcome(contacts.page(world.read, Query(q=q, deleted=True)))
        yield lambda world, text=text: world.outcome(contacts.lookup(world.read, text))
    for name, condition in conditions(field, number, variant):
        for each in ({name: condition}, {"not": {name: condition}}):
            yield lambda world, each=each: world.outcome(contacts.page(world.read, Query(filter=each, total=True)))


def attempts(field: str, number: int, variant: str) -> Iterator[Question]:
    """Everything that can be tried with one field of one contact."""
    guess: dict[str, Any] = {field: value(field, number, variant)}
    # To give a contact the name that is hidden from one tells that it was this: that much is not kept from who guesses.
    change = ContactPatch(**(guess if field != "display_name" else {field: "Else"}))
    named = NewContact(**{"job_title": "Boss", "company": "Acme", **guess})

    def on(verb: Callable[..., Awaitable[Any]], *given: Any, **options: Any) -> Question:
        return lambda world: world.written(lambda tx: verb(tx, world.made[number].id, *given, **options))

    yield on(contacts.get)
    yield on(contacts.update, change)
    yield on(contacts.update, replace(change, source="Else"), version=1)
    yield on(contacts.update, ContactPatch(first_name=None, display_name=None, company=None))
    yield on(contacts.update, ContactPatch(owner_id=BEN))
    yield on(contacts.update, ContactPatch(owner_id=None))
    yield on(contacts.update, change, version=9)
    yield on(contacts.delete)
    yield on(contacts.restore)
    yield on(contacts.purge)
    yield lambda world: world.written(lambda tx: contacts.create(tx, named))
    yield lambda world: world.written(lambda tx: contacts.create(tx, replace(named, owner_id=CAS)))
    matches: dict[str, Any] = {"phones": "phone", "emails": "email", "external_id": "external_id"}
    if field in matches:
        yield lambda world: world.written(lambda tx: contacts.upsert(tx, named, match=matches[field]))


@pytest.fixture
def clock(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock(engine.clock.now().replace(microsecond=0))
    monkeypatch.setattr(engine, "clock", clock)
    return clock


async def every_page(world: World, query: Query) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = await contacts.page(world.read, query)
        found += map(msgspec.to_builtins, page.data)
        if page.next_cursor is None:
            return found
        query = replace(query, cursor=page.next_cursor)


@given(
    each=st.lists(GIVEN, min_size=1, max_size=5),
    visibility=st.sampled_from(["own", "team", "all"]),
    hidden=HIDDEN.map(frozenset),
    about=st.lists(st.tuples(st.sampled_from(FIELDS), st.integers(0, 4)), min_size=1, max_size=2),
    policy=st.sampled_from(["allow", "warn", "reject"]),
)
@settings(max_examples=30)
@pytest.mark.usefixtures("clock")
async def test_what_is_not_seen_makes_no_difference_and_the_rest_is_all_there(
    engine: Engine, new_tenant: NewTenant, each: list[Given], visibility: Visibility, hidden: frozenset[str],
    about: list[tuple[str, int]], policy: str,
) -> None:  # fmt: skip
    rules = {"contact": FieldRules(hidden)}
    actor = Actor.user(ANN, visibility=visibility, team=frozenset({BEN}), fields=rules)
    tenants = [await new_tenant(duplicate_policy=policy) for _ in range(2)]
    one, other = [
        await world(engine, tenant, actor, each, hidden, variant) for tenant, variant in zip(tenants, "xy", strict=True)
    ]

    # All that is seen, and nothing else.
    for is_deleted in (False, True):
        seen = [
            naive(contact, given, hidden)
            for contact, given in zip(one.made, each, strict=True)
            if given.is_deleted is is_deleted and actor.sees(given.owner)
        ]
        for sort in ("created_at", "-created_at", "updated_at", "-updated_at"):
            found = await every_page(one, Query(sort=sort, deleted=is_deleted, limit=2))
            assert found == seen if not sort.startswith("-") else found == seen[::-1]
        if "display_name" not in hidden:
            for sort in ("name", "-name"):
                pages = [
                    one_of.plain(await every_page(one_of, Query(sort=sort, deleted=is_deleted, limit=2)))
                    for one_of in (one, other)
                ]
                assert without_times(pages[0]) == without_times(pages[1])
                assert len(msgspec.json.decode(pages[0])) == len(seen)

    # However one asks.
    for field, place in about:
        number = place % len(each)
        for variant in "xy":
            for ask in (*questions(field, number, variant), *attempts(field, number, variant)):
                told = await ask(one), await ask(other)
                assert without_times(told[0]) == without_times(told[1])
                if variant == "y":  # whatever is asked for stands in a refusal as well
                    for secret in secrets(each, hidden):
                        assert secret not in told[0].lower()


def secrets(each: list[Given], hidden: frozenset[str]) -> list[str]:
    """What nothing that the first tenant answers may have in it."""
    return [
        text.lower()
        for number, given in enumerate(each)
        for field in hidden & given.fields
        for text in markers(field, number, "x")
    ]


def without_times(text: str) -> str:
    """Two tenants are made one after the other."""
    return TIME.sub("at", re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}", "id", text))


TIME = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z")
