"""Making, changing, suspending and deleting tenants."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, SystemTx
from bellbird.core.errors import Forbidden, InvalidInput, TenantNotFound
from bellbird.core.migrate import tenant_table
from bellbird.core.tenants import CallingHours, Tenant, TenantSettings
from bellbird.features import contacts, tenants
from bellbird.features.tenants import SlugTaken
from tests import make
from tests.conftest import Begin


@pytest.fixture
async def system(engine: Engine) -> AsyncIterator[SystemTx]:
    """The operator's transaction, rolled back at the end."""
    try:
        async with engine.system(Actor.system()) as tx:
            yield tx
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass


async def test_a_tenant_is_made_and_found_by_its_slug_and_its_id(system: SystemTx) -> None:
    made = await tenants.create(system, "acme-nz", name="Acme  (NZ)", settings=TenantSettings(default_region="NZ"))
    assert (made.slug, made.name, made.status, made.settings.default_region) == ("acme-nz", "Acme (NZ)", "active", "NZ")
    assert await tenants.get(system, "acme-nz") == made
    assert await tenants.get(system, made.id) == made
    assert made in await tenants.page(system)
    assert await tenants.page(system, after="acme-nyzz", limit=1) == [made]


@pytest.mark.parametrize("name", [None, "", "  "])
async def test_without_a_name_it_is_called_by_its_slug(system: SystemTx, name: str | None) -> None:
    assert (await tenants.create(system, "acme", name=name)).name == "acme"


@pytest.mark.parametrize("slug", ["", "-", "A", "a_b", "-a", "a-", "a b", "a" * 64, "ä", "a\n", "a\0"])
async def test_a_slug_is_small_letters_digits_and_hyphens(system: SystemTx, slug: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await tenants.create(system, slug)
    assert refused.value.faults[0].code == "slug_invalid"


@pytest.mark.parametrize("slug", ["a", "1", "a" * 63, "a-b--c", "0-0"])
async def test_other_slugs_are_fine(system: SystemTx, slug: str) -> None:
    assert await tenants.create(system, slug)


async def test_a_slug_belongs_to_one_tenant(engine: Engine, tenant: Tenant) -> None:
    with pytest.raises(SlugTaken):
        async with engine.system(Actor.system()) as tx:
            await tenants.create(tx, tenant.slug)


async def test_who_is_not_there_is_not_found(engine: Engine, system: SystemTx) -> None:
    for verb in (
        tenants.get(system, "nobody"), tenants.get(system, uuid4()), tenants.set(system, uuid4(), name="x"),
        tenants.suspend(system, uuid4()), tenants.delete(engine, Actor.system(), uuid4()),
    ):  # fmt: skip
        with pytest.raises(TenantNotFound):
            await verb


async def test_settings_change_one_by_one(system: SystemTx, tenant: Tenant) -> None:
    changed = await tenants.set(
        system,
        tenant.id,
        name="New",
        max_phones=3,
        allowed_regions=["AU"],
        calling_hours={"nz": {"sunday": "10:00-12:00"}},
    )
    assert (changed.name, changed.version) == ("New", 2)
    assert changed.settings == TenantSettings(
        max_phones=3,
        allowed_regions=("AU",),
        calling_hours=CallingHours(nz=replace(CallingHours().nz, sunday="10:00-12:00")),
    )
    assert await tenants.get(system, tenant.id) == changed
    assert await tenants.set(system, tenant.id, max_phones=3, name=" ") == changed, "nothing new, nothing written"


@pytest.mark.parametrize(
    ("settings", "pointer", "code"),
    [
        ({"max_phone": 3}, "/settings/max_phone", "unknown_setting"),
        ({"max_phones": 0}, "/settings/max_phones", "invalid_value"),
        ({"max_phones": "3"}, "/settings/max_phones", "invalid_value"),
        ({"duplicate_policy": "maybe"}, "/settings/duplicate_policy", "invalid_value"),
        ({"default_region": "XX"}, "/settings/default_region", "invalid_value"),
        ({"allowed_regions": ["NZ"]}, "/settings/default_region", "invalid_value"),
        ({"allowed_regions": ["AU", "Oz"]}, "/settings/allowed_regions", "invalid_value"),
        ({"timezone": "Sydney"}, "/settings/timezone", "invalid_value"),
        ({"calling_hours": {"nz": {"monday": "9-5"}}}, "/settings/calling_hours/nz/monday", "invalid_value"),
        ({"calling_hours": {"nz": {"monday": "18:00-09:00"}}}, "/settings/calling_hours/nz/monday", "invalid_value"),
        ({"calling_hours": {"nz": {"funday": "09:00-17:00"}}}, "/settings/calling_hours/nz/funday", "unknown_setting"),
        ({"keep_deleted_days": -1}, "/settings/keep_deleted_days", "invalid_value"),
    ],
)
async def test_a_setting_that_cannot_be_is_refused_where_it_is(
    system: SystemTx, tenant: Tenant, settings: dict[str, Any], pointer: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await tenants.set(system, tenant.id, **settings)
    assert (refused.value.faults[0].pointer, refused.value.faults[0].code) == (pointer, code)
    assert (await tenants.get(system, tenant.id)).version == 1


async def test_only_the_operator_may(engine: Engine, tenant: Tenant) -> None:
    async with engine.system(Actor.user(uuid4())) as tx:
        for verb in (
            tenants.create(tx, "x"), tenants.set(tx, tenant.id, name="x"), tenants.suspend(tx, tenant.id),
            tenants.resume(tx, tenant.id), tenants.delete(engine, tx.actor, tenant.id),
        ):  # fmt: skip
            with pytest.raises(Forbidden):
                await verb


async def test_suspended_and_resumed_are_told_apart_in_the_log(
    engine: Engine, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    for verb in (tenants.suspend, tenants.suspend, tenants.resume, tenants.resume):
        async with engine.system(Actor.system()) as tx:
            await verb(tx, tenant.id)
    rows = owner.execute("select type, changes, actor from events where tenant_id = %s order by id", [tenant.id])
    (created, given, _), *changed = rows.fetchall()
    assert (created, given["slug"], given["status"]) == ("tenant.created", [None, tenant.slug], [None, "active"])
    assert changed == [
        ("tenant.suspended", {"status": ["active", "suspended"]}, "system:bellbird"),
        ("tenant.resumed", {"status": ["suspended", "active"]}, "system:bellbird"),
    ]


async def test_a_deleted_tenant_leaves_nothing_and_others_everything(
    engine: Engine, begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    for each in (tenant, other_tenant):
        async with begin(each) as tx:
            for _ in range(3):
                await make.contact(tx)
            await contacts.delete(tx, (await make.contact(tx)).id)
    removed = await tenants.delete(engine, Actor.system(), tenant.id)
    assert {table: count for table, count in removed.items() if count} == {"contacts": 4, "events": 7}
    assert {"memberships", "roles", "teams", "api_keys", "sessions", "idempotency_keys", "users"} <= set(removed)
    for table, column, left in (("contacts", "tenant_id", 4), ("events", "tenant_id", 6), ("tenants", "id", 1)):
        query = f"select count(*) from {table} where {column} = %s".encode()
        assert owner.execute(query, [tenant.id]).fetchone() == (0,)
        assert owner.execute(query, [other_tenant.id]).fetchone() == (left,)


async def test_a_table_made_later_is_emptied_too(clone: str) -> None:
    with psycopg.connect(clone, autocommit=True) as owner:
        for statement in tenant_table("notes", "id uuid, words text", partition="list"):
            owner.execute(statement.encode())
    async with Engine(clone) as engine:
        async with engine.system(Actor.system()) as tx:
            tenant = await tenants.create(tx, "acme")
            await tx.run("insert into notes (tenant_id, id, words) values ($1, $1, 'x')", tenant.id)
        assert (await tenants.delete(engine, Actor.system(), tenant.id))["notes"] == 1
