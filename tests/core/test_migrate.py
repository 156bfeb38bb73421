"""Migrations: from nothing to the latest and again, by several at once, with months ahead for the event log."""

import secrets
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from bellbird.core import ids, migrate
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.features import contacts, tenants
from bellbird.features.contacts import NewContact
from tests.conftest import Server, run
from tests.rules.test_catalogue import gaps
from tests.servers import ask


@pytest.fixture
def empty(server: Server) -> Iterator[str]:
    """An empty database."""
    name = f"empty_{secrets.token_hex(4)}"
    run(server.conninfo("postgres"), f"create database {name}")
    yield server.conninfo(name)
    run(server.conninfo("postgres"), f"drop database {name} with (force)")


def test_an_empty_database_is_brought_to_the_latest_revision_and_stays_there(empty: str) -> None:
    assert migrate.current(empty) is None
    migrate.upgrade(empty)
    assert migrate.current(empty) == migrate.latest()
    migrate.upgrade(empty)
    assert migrate.current(empty) == migrate.latest()
    with psycopg.connect(empty) as connection:
        assert gaps(connection) == []


def test_several_migrators_at_once_take_turns(empty: str) -> None:
    failed: list[Exception] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(empty)
        except Exception as error:  # noqa: BLE001 - the test tells of whatever it was
            failed.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert migrate.current(empty) == migrate.latest()


def partitions(conninfo: str) -> list[str]:
    children = "select inhrelid::regclass::text from pg_inherits where inhparent = 'events_default'::regclass"
    rows = ask(conninfo, f"{children} order by 1")
    return [str(name) for (name,) in rows if not str(name).endswith("_rest")]


def test_the_log_has_partitions_for_a_year_ahead(clone: str) -> None:
    now = datetime.now(UTC)
    made = partitions(clone)
    assert f"events_default_{now:%Y_%m}" in made
    assert len(made) == migrate.MONTHS_AHEAD + 1
    with psycopg.connect(clone, autocommit=True) as connection:
        assert migrate.ensure_months(connection) == []
        later = migrate.ensure_months(connection, now + timedelta(days=62))
        assert 4 <= len(later) <= 6, "the log's and the calls'"
        assert gaps(connection) == [], "the new ones have their walls"


async def test_an_event_goes_to_its_months_partition_or_to_the_rest(clone: str) -> None:
    def where() -> set[Any]:
        return {row[0] for row in ask(clone, "select distinct tableoid::regclass::text from events")}

    async with Engine(clone) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")
        assert where() == {f"events_default_{datetime.now(UTC):%Y_%m}"}
        ask(clone, f"drop table events_default_{datetime.now(UTC):%Y_%m}")
        async with engine.tenant(tenant.id, Actor.system()) as tx:
            await contacts.create(tx, NewContact(first_name="Ann"))
        assert where() == {"events_default_rest"}
    with psycopg.connect(clone, autocommit=True) as connection:
        assert migrate.ensure_months(connection) == [], "a month whose events lie in the rest is left there"


@pytest.mark.parametrize(("month", "following"), [(1, 2), (2, 3), (12, 1)])
def test_a_months_partition_begins_and_ends_with_it(clone: str, month: int, following: int) -> None:
    with psycopg.connect(clone, autocommit=True) as connection:
        made = migrate.ensure_months(connection, datetime(2031, month, 31 if month != 2 else 28, 23, 59, tzinfo=UTC))
    assert made[0] == f"events_default_2031_{month:02}"
    assert made[1] == f"events_default_{2031 + (month == 12)}_{following:02}"
    ((bounds,),) = ask(clone, "select pg_get_expr(relpartbound, oid) from pg_class where relname = %s", made[0])
    assert f"'{ids.first_at(datetime(2031, month, 1, tzinfo=UTC))}'" in str(bounds)
    assert f"'{ids.first_at(datetime(2031 + (month == 12), following, 1, tzinfo=UTC))}'" in str(bounds)
