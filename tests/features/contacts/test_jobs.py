"""Periodic jobs: deleted contacts are erased when they cannot be restored any more."""

from datetime import timedelta
from typing import Any

import psycopg

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.core.jobs import JobContext
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import contacts, tenants
from bellbird.features.contacts import NewContact, jobs
from tests.conftest import Begin, NewTenant

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]
LEFT = "select first_name from contacts where tenant_id = %s order by 1"
PURGED = "select actor, origin, changes from events where tenant_id = %s and type = 'contact.purged'"


async def test_contacts_that_cannot_be_restored_any_more_are_erased(
    engine: Engine, begin: Begin, tenant: Tenant, new_tenant: NewTenant, owner: psycopg.Connection[Any],
    monkeypatch: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(jobs, "AT_ONCE", 2)
    suspended = await new_tenant()
    for each, names in ((tenant, ("a", "b", "c", "d", "young", "there")), (suspended, ("kept",))):
        async with begin(each) as tx:
            for name in names:
                contact = await contacts.create(tx, NewContact(first_name=name))
                if name != "there":
                    await contacts.delete(tx, contact.id)
    back = timedelta(days=91)
    owner.execute("update contacts set deleted_at = deleted_at - %s where first_name <> 'young'", [back])
    async with engine.system(Actor.system()) as tx:
        await tenants.suspend(tx, suspended.id)
    await jobs.purge_expired(JobContext(engine, SETTINGS, 1, "contacts.purge_expired"))
    assert owner.execute(LEFT, [tenant.id]).fetchall() == [("there",), ("young",)]
    assert owner.execute(LEFT, [suspended.id]).fetchall() == [("kept",)]
    assert owner.execute(PURGED, [tenant.id]).fetchall() == [("system:contacts.purge_expired", "job", None)] * 4
