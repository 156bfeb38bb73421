"""Searching the audit log: by everything, page by page, for what an index finds and for what none does."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import ids, topics
from bellbird.core.actors import Actor, FieldRules
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import Forbidden, InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.features import audit, contacts, teams
from bellbird.features.audit import EventNotFound, Query, queries
from bellbird.features.contacts import ContactPatch
from bellbird.features.teams import NewTeam
from tests import make
from tests.conftest import Begin

START = datetime(2026, 11, 1, tzinfo=UTC)


async def types(read: ReadTx, **asked: Any) -> list[str]:
    return [event.type for event in (await audit.search(read, Query(**asked))).data]


async def test_what_happened_is_found_by_who_what_where_and_when(
    engine: Engine, tenant: Tenant, actor: Actor, read: ReadTx
) -> None:
    async with engine.tenant(tenant.id, actor, request_id="r1") as tx:
        ann = await make.contact(tx, first_name="Ann")
    async with engine.tenant(tenant.id, Actor.user("bob", origin="api"), request_id="r2") as tx:
        await contacts.update(tx, ann.id, ContactPatch(company="Acme"))
        team = await teams.create(tx, NewTeam(name="Sales"))
        await contacts.delete(tx, ann.id)
    assert await types(read) == [
        "contact.deleted", "team.created", "contact.updated", "contact.created", "tenant.created",
    ]  # fmt: skip
    assert await types(read, actor=str(actor)) == ["contact.created"]
    assert await types(read, actor="user:bob", type="contact.*") == ["contact.deleted", "contact.updated"]
    assert await types(read, type="contact.updated") == ["contact.updated"]
    assert await types(read, type="contact.*", origin="library") == ["contact.created"]
    assert await types(read, request_id="r2", entity_type="team") == ["team.created"]
    assert await types(read, entity_id=team.id) == ["team.created"]
    assert await types(read, entity_id=ann.id) == ["contact.deleted", "contact.updated", "contact.created"]
    assert await types(read, entity_id=ann.id, entity_type="team") == []
    assert await types(read, contact_id=ann.id, field="company") == ["contact.updated"]
    assert await types(read, field="company") == ["contact.updated"]
    assert await types(read, field="no_such_field") == []
    (updated,) = (await audit.search(read, Query(field="company"))).data
    assert updated.changes == {"company": (None, "Acme")}
    assert (updated.actor, updated.origin, updated.request_id) == ("user:bob", "api", "r2")
    assert await audit.get(read, updated.id) == updated
    assert await types(read, since=updated.at + timedelta(hours=1)) == []
    assert await types(read, until=updated.at - timedelta(hours=1)) == []
    assert len(await types(read, since=updated.at - timedelta(hours=1), until=updated.at + timedelta(hours=1))) == 5
    with pytest.raises(EventNotFound):
        await audit.get(read, ann.id)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls, as a feature that is yet to come records them."""
    monkeypatch.setattr(topics, "TYPES", topics.TYPES | {"call.made", "call.rare"})


@pytest.fixture
def filled(calls: None, owner: psycopg.Connection[Any], tenant: Tenant) -> Iterator[UUID]:
    """3,000 events, every hundredth of them rare, of three actors; yields one that is in ten of them the entity."""
    thing = uuid4()
    with (
        owner.cursor() as cursor,
        cursor.copy(
            "copy events (tenant_id, id, type, entity_type, entity_id, contact_id, actor, origin, request_id, changes)"
            " from stdin"
        ) as copy,
    ):
        for n in range(3000):
            rare, of_thing = n % 100 == 0, n % 300 == 7
            entity = thing if of_thing else uuid4()
            copy.write_row((
                tenant.id, ids.uuid7(START + timedelta(seconds=n)), "call.rare" if rare else "call.made", "call",
                entity, None, f"user:{n % 3}", "job", f"r{n // 10}", '{"x": [1, 2]}' if rare else None,
            ))  # fmt: skip
    yield thing
    owner.execute("delete from events where tenant_id = %s", [tenant.id])


@pytest.mark.parametrize("examined", [70, 100_000])
@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"since": START, "until": START + timedelta(seconds=3000)}, 3000),
        ({"type": "call.rare"}, 30),
        ({"type": "call.rare", "actor": "user:1"}, 10),
        ({"field": "x", "until": START + timedelta(seconds=1000)}, 10),
        ({"actor": "user:2"}, 1000),
        ({"request_id": "r12"}, 10),
        ({"entity_type": "call", "origin": "api"}, 0),
    ],
)
async def test_pages_lose_nothing_and_repeat_nothing_both_ways(
    filled: UUID, read: ReadTx, asked: Any, count: int, examined: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "EXAMINED", examined)
    pages, cursor = [], None
    while True:
        page = await audit.search(read, Query(**asked, limit=23 if count < 100 else 200, cursor=cursor))
        pages.append([event.id for event in page.data])
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    found = [id for page in pages for id in page]
    assert found == sorted(set(found), reverse=True)
    assert len(found) == count
    back, cursor = [*page.data], page.previous_cursor
    while cursor:
        page = await audit.search(read, Query(**asked, limit=23 if count < 100 else 200, cursor=cursor))
        back = [*page.data, *back]
        cursor = page.previous_cursor
    assert [event.id for event in back] == found


async def test_of_a_thing_that_is_no_contact(filled: UUID, read: ReadTx) -> None:
    page = await audit.search(read, Query(entity_id=filled))
    assert len(page.data) == 10
    assert {event.entity_id for event in page.data} == {filled}


# What an index finds. Of anything else the plan would tell how many rows were read for nothing.
INDEXED: list[dict[str, Any]] = [
    {"actor": "user:1"},
    {"request_id": "r100"},
    {"entity_id": uuid4()},
    {"contact_id": uuid4()},
    {"since": START, "until": START + timedelta(minutes=5)},
]


async def test_each_question_has_its_index(clone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 50,000 events, as the application's own role, whose walls an index has to get through."""
    tenant_id, actor = uuid4(), Actor.user(uuid4())
    with psycopg.connect(clone, autocommit=True) as owner:
        owner.execute(
            "insert into tenants (id, slug, name, created_at, updated_at) values (%s, 'x', 'x', now(), now())",
            [tenant_id],
        )
        with (
            owner.cursor() as cursor,
            cursor.copy(
                "copy events (tenant_id, id, type, entity_type, entity_id, contact_id, actor, origin, request_id)"
                " from stdin"
            ) as copy,
        ):
            for n in range(50_000):
                contact = uuid4() if n % 2 else None
                copy.write_row((
                    tenant_id, ids.uuid7(START + timedelta(seconds=n)), "x.y", "x", contact or uuid4(), contact,
                    f"user:{n % 500}", "job", f"r{n // 5}",
                ))  # fmt: skip
        owner.execute("vacuum analyze events")
    async with Engine(clone) as engine:
        read = ReadTx(engine, tenant_id, actor, None)
        queue = read.queue
        monkeypatch.setattr(
            read, "queue", lambda sql, *params, **more: queue(f"explain analyze {sql}", *params, **more)
        )
        monkeypatch.setattr(queries.paging, "assemble", lambda rows, *_: plans.append(rows) or ([], None, None))
        for asked in INDEXED:
            plans: list[Any] = []
            await audit.search(read, Query(**asked))
            plan = "\n".join(row[0] for row in plans[0])
            assert "Index" in plan, plan
            assert "Rows Removed by Filter" not in plan, plan


@pytest.mark.parametrize(
    ("asked", "parameter"),
    [
        ({"actor": "ann"}, "actor"),
        ({"actor": "user:" + "x" * 300}, "actor"),
        ({"type": "contact"}, "type"),
        ({"type": "contact.made"}, "type"),
        ({"type": "contact.%"}, "type"),
        ({"entity_type": "Contact!"}, "entity_type"),
        ({"field": "custom.plan"}, "field"),
        ({"origin": "nowhere"}, "origin"),
        ({"since": datetime(2026, 1, 1)}, "from"),
        ({"since": START, "until": START}, "to"),
        ({"limit": 0}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
    ],
)
async def test_what_cannot_be_looked_for_is_told(read: ReadTx, asked: Any, parameter: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        await audit.search(read, Query(**asked))
    assert [fault.parameter for fault in raised.value.faults] == [parameter]


async def test_a_cursor_belongs_to_its_question(filled: UUID, read: ReadTx) -> None:
    page = await audit.search(read, Query(actor="user:1", limit=2))
    with pytest.raises(InvalidInput, match="no cursor of this list"):
        await audit.search(read, Query(actor="user:2", limit=2, cursor=page.next_cursor))


async def test_what_a_role_hides_is_not_in_it_and_cannot_be_asked_by(
    engine: Engine, tenant: Tenant, begin: Begin
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", last_name="Lee", phone="0412 345 678", owner_id=uuid4())
    auditor = Actor.user(
        uuid4(), permissions=frozenset({"audit:read"}), visibility="own",
        fields={"contact": FieldRules(hidden=frozenset({"phones", "last_name"}))},
    )  # fmt: skip
    read = ReadTx(engine, tenant.id, auditor, None)
    (event,) = (await audit.search(read, Query(contact_id=ann.id))).data
    assert event.changes is not None
    assert "first_name" in event.changes, "also of somebody else's contact, without contacts:read"
    assert {"phones", "last_name", "display_name"} & set(event.changes) == set()
    assert (await audit.get(read, event.id)).changes == event.changes
    for field in ("phones", "display_name"):  # a name may have been made up from what is hidden
        with pytest.raises(Forbidden, match=field):
            await audit.search(read, Query(field=field))
    nobody = ReadTx(engine, tenant.id, Actor.user(uuid4(), permissions=frozenset({"contacts:read"})), None)
    for question in (audit.search(nobody), audit.get(nobody, event.id), audit.seals(nobody)):
        with pytest.raises(Forbidden, match="audit:read"):
            await question


async def test_of_a_purged_contact_there_is_only_that_it_was(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann")
    async with begin() as tx:
        await contacts.purge(tx, ann.id)
    found = (await audit.search(read, Query(contact_id=ann.id))).data
    assert [(event.type, event.changes, event.data) for event in found] == [
        ("contact.purged", None, None), ("contact.created", None, None),
    ]  # fmt: skip
