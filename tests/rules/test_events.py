"""Every write emits its event in the same transaction: with the connection cut between them, neither is there."""

import importlib
import inspect
import re
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.connection import Connection, Pending
from bellbird.core.engine import Engine, SystemTx, Tx
from bellbird.core.errors import Unavailable
from bellbird.core.tenants import Tenant
from bellbird.features import FEATURES, contacts, tenants
from bellbird.features.contacts import ContactPatch, NewContact
from tests import make

Doing = Callable[[Engine, Tenant], Awaitable[Any]]


def of_tenant(verb: Callable[[Tx], Awaitable[Any]]) -> Doing:
    async def do(engine: Engine, tenant: Tenant) -> None:
        async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
            await verb(tx)

    return do


def of_operator(verb: Callable[[SystemTx, Tenant], Awaitable[Any]]) -> Doing:
    async def do(engine: Engine, tenant: Tenant) -> None:
        async with engine.system(Actor.system()) as tx:
            await verb(tx, tenant)

    return do


def of_contact(called: str, verb: Callable[[Tx, UUID], Awaitable[Any]]) -> Doing:
    async def do(tx: Tx) -> None:
        asked = "select id from contacts where tenant_id = $1 and display_name = $2"
        ((id,),) = await tx.all(asked, tx.tenant_id, called)
        await verb(tx, id)

    return of_tenant(do)


async def resumed(tx: SystemTx, tenant: Tenant) -> None:
    await tx.run("update tenants set status = 'suspended' where id = $1", tenant.id)
    await tenants.resume(tx, tenant.id)


# Every public verb that writes, the event it records, and how it is done here. A new verb needs a line.
WRITES: dict[str, tuple[str, Doing]] = {
    "contacts.create": ("contact.created", of_tenant(lambda tx: make.contact(tx, first_name="New"))),
    "contacts.update": (
        "contact.updated",
        of_contact("Ann", lambda tx, id: contacts.update(tx, id, ContactPatch(company="X"))),
    ),
    "contacts.delete": ("contact.deleted", of_contact("Ann", lambda tx, id: contacts.delete(tx, id))),
    "contacts.restore": ("contact.restored", of_contact("Deleted", lambda tx, id: contacts.restore(tx, id))),
    "contacts.purge": ("contact.purged", of_contact("Ann", lambda tx, id: contacts.purge(tx, id))),
    "contacts.upsert": (
        "contact.created",
        of_tenant(lambda tx: contacts.upsert(tx, NewContact(first_name="New", external_id="1"), match="external_id")),
    ),
    "tenants.create": ("tenant.created", of_operator(lambda tx, _: tenants.create(tx, "made-by-the-rule"))),
    "tenants.set": ("tenant.updated", of_operator(lambda tx, tenant: tenants.set(tx, tenant.id, name="New"))),
    "tenants.suspend": ("tenant.suspended", of_operator(lambda tx, tenant: tenants.suspend(tx, tenant.id))),
    "tenants.resume": ("tenant.resumed", of_operator(resumed)),
}

# Public coroutines of actions that write nothing, or after which there is no log left to write to.
NOT_RECORDED = {"contacts.expired", "tenants.delete"}

ROW_IS_WRITTEN = re.compile(r"\s*(insert into|update|delete from) (contacts|tenants)\b")
EVENT_IS_WRITTEN = re.compile(r"\s*insert into events\b")


def test_every_public_verb_that_writes_is_tried_here() -> None:
    verbs = set()
    for feature in FEATURES:
        actions = importlib.import_module(f"bellbird.features.{feature}.actions")
        verbs |= {
            f"{feature}.{name}"
            for name, verb in inspect.getmembers(actions, inspect.iscoroutinefunction)
            if not name.startswith("_") and verb.__module__ == actions.__name__
        }
    assert verbs == set(WRITES) | NOT_RECORDED


@pytest.fixture
async def alone(clone: str) -> Any:
    """A database of the test's own with one tenant, a contact and a deleted one."""
    async with Engine(clone) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")
        async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
            await make.contact(tx, first_name="Ann")
            await contacts.delete(tx, (await make.contact(tx, first_name="Deleted")).id)
        yield engine, tenant, clone


def state(conninfo: str) -> list[Any]:
    """Everything there is."""
    with psycopg.connect(conninfo) as connection:
        return [
            connection.execute(f"select t::text from {table} t order by 1".encode()).fetchall()
            for table in ("contacts", "tenants", "events")
        ]


@pytest.mark.parametrize("verb", WRITES)
async def test_a_write_and_its_event_have_one_transaction(alone: Any, verb: str) -> None:
    engine, tenant, conninfo = alone
    expected, do = WRITES[verb]
    with psycopg.connect(conninfo) as owner:
        (before,) = owner.execute("select count(*) from events").fetchone() or (0,)
    await do(engine, tenant)
    with psycopg.connect(conninfo) as owner:
        new = owner.execute("select type, tx, entity_id from events order by id offset %s", [before]).fetchall()
        assert [row[0] for row in new] == [expected]
        _, event_tx, entity = new[0]
        table = "tenants" if verb.startswith("tenants") else "contacts"
        written = owner.execute(f"select xmin::text from {table} where id = %s".encode(), [entity]).fetchone()
        if verb == "contacts.purge":
            assert written is None
        else:
            assert written == (str(event_tx),), "by the very same transaction"


@pytest.mark.parametrize("after", [ROW_IS_WRITTEN, EVENT_IS_WRITTEN], ids=["after the row", "after the event"])
@pytest.mark.parametrize("verb", WRITES)
async def test_cut_between_them_neither_is_there(
    alone: Any, verb: str, after: re.Pattern[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, tenant, conninfo = alone
    before = state(conninfo)
    exchange = Connection.exchange
    cut = []

    async def one_by_one(self: Connection, queue: list[Pending]) -> None:
        for pending in queue:
            await exchange(self, [pending])
            if after.match(pending.sql) and not cut:
                cut.append(pending.sql)
                with psycopg.connect(conninfo, autocommit=True) as owner:
                    owner.execute("select pg_terminate_backend(%s, 5000)", [self.pgconn.backend_pid])

    monkeypatch.setattr(Connection, "exchange", one_by_one)
    with pytest.raises(Unavailable):
        await WRITES[verb][1](engine, tenant)
    assert cut, "the connection was cut"
    assert state(conninfo) == before
    monkeypatch.undo()
    await WRITES[verb][1](engine, tenant)
    assert state(conninfo) != before, "and the engine goes on by itself"
