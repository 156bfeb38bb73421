"""How long the log is kept: months ahead, months that nobody keeps dropped, and the log right all the while."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bellbird.core import doctor, ids, migrate, retention
from bellbird.core.actors import Actor
from bellbird.core.events import Event
from bellbird.core.jobs import PERIODIC, JobContext
from bellbird.core.settings import Settings
from bellbird.features import audit, tenants
from bellbird.features.audit import actions, jobs
from tests.features.audit.conftest import OPERATOR, Signed
from tests.rules.test_catalogue import gaps


def months(signed: Signed) -> list[str]:
    return [row[0] for row in signed.run(
        "select inhrelid::regclass::text from pg_inherits where inhparent = 'events_default'::regclass"
        " and inhrelid::regclass::text <> 'events_default_rest' order by 1"
    )]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "kept", "start"),
    [
        (datetime(2026, 11, 22, 21, tzinfo=UTC), 84, datetime(2019, 11, 1, tzinfo=UTC)),
        (datetime(2026, 1, 31, tzinfo=UTC), 1, datetime(2025, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), 12, datetime(2025, 12, 1, tzinfo=UTC)),
        (datetime(2026, 12, 31, tzinfo=UTC), 1200, datetime(1970, 12, 1, tzinfo=UTC)),
    ],
)
def test_what_is_kept_begins_with_a_month(now: datetime, kept: int, start: datetime) -> None:
    assert retention.start(now, kept) == start


async def test_months_are_made_as_the_migration_makes_them(signed: Signed, clone: str) -> None:
    def shape() -> list[Any]:
        return signed.run(
            "select c.oid::regclass::text, pg_get_expr(relpartbound, c.oid), relrowsecurity, relforcerowsecurity,"
            " (select count(*) from pg_index where indrelid = c.oid) from pg_inherits join pg_class c"
            " on c.oid = inhrelid where inhparent = 'events_default'::regclass order by 1"
        )

    before = shape()
    for name in months(signed)[1:]:
        signed.run(f"drop table {name}")
    made = (await audit.maintain(signed.engine, OPERATOR))["made"]
    assert made == months(signed)[1:]
    assert shape() == before
    assert gaps(signed.owner) == []
    assert (await audit.maintain(signed.engine, OPERATOR))["made"] == []
    with psycopg.connect(clone) as connection:
        assert migrate.ensure_months(connection) == []
        assert doctor._partitions(connection).state == "ok"


async def old(signed: Signed, at: datetime, count: int = 3) -> list[UUID]:
    """Events of that time, signed."""
    async with signed.begin() as tx:
        await tx.writable()
        for n in range(count):
            tx.emit(Event("contact.created", tx.tenant_id, changes={"n": (None, n)}, at=at + timedelta(seconds=n)))
    lowest, beyond = ids.first_at(at), ids.first_at(at + timedelta(days=1))
    return [row[0] for row in signed.run("select id from events where id >= %s and id < %s", lowest, beyond)]


def month_of(signed: Signed, at: datetime) -> None:
    following = (at.replace(day=1) + timedelta(days=32)).replace(day=1)
    name = f"events_default_{at:%Y_%m}"
    signed.run(
        f"create table {name} partition of events_default for values from"
        f" ('{ids.first_at(at.replace(day=1))}') to ('{ids.first_at(following)}')"
    )
    for statement in migrate.walls(name):
        signed.run(statement)


NOW = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def ago(count: int) -> datetime:
    return retention.start(NOW, count) + timedelta(days=3)


@pytest.mark.parametrize("sealed", [True, False])
async def test_what_nobody_keeps_is_dropped_and_the_rest_deleted(
    signed: Signed, sealed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "BATCH", 2)
    for count in (30, 10):
        month_of(signed, ago(count))
    if sealed:
        await signed.seal()
    gone = [*await old(signed, ago(30)), *await old(signed, ago(20))]
    if sealed:
        await signed.seal()
    trimmed, kept = await old(signed, ago(10)), await old(signed, ago(3))
    if sealed:
        await signed.seal()
    async with signed.engine.system(OPERATOR) as tx:
        await tenants.set(tx, signed.tenant.id, keep_events_months=24)
        other = await tenants.create(tx, "globex")
        await tenants.set(tx, other.id, keep_events_months=25)
    done = await audit.maintain(signed.engine, OPERATOR)
    assert done["dropped"] == [f"events_default_{ago(30):%Y_%m}"]
    assert done["deleted"] == 0
    assert await signed.verify() == []
    async with signed.engine.system(OPERATOR) as tx:
        await tenants.set(tx, signed.tenant.id, keep_events_months=6)
    done = await audit.maintain(signed.engine, OPERATOR)
    assert (done["dropped"], done["deleted"]) == ([], 6), "another tenant keeps those months"
    assert await signed.verify() == []
    left = {row[0] for row in signed.run("select id from events where tenant_id = %s", signed.tenant.id)}
    assert not left & {*gone, *trimmed}
    assert set(kept) <= left
    said = signed.run("select data->>'before', data->>'events' from events where type = 'log.trimmed' order by id")
    assert [each[1] for each in said] == ["3", "6"]
    assert datetime.fromisoformat(said[1][0]) == retention.start(NOW, 6)
    if sealed:
        assert signed.run("select leaves is null from seals order by number") == [(False,), (True,), (False,)]
        signed.run("delete from events where id = %s", kept[0])
        assert [(each.kind, each.id) for each in await signed.verify()] == [("removed", kept[0])]
    read = signed.engine.reader(signed.tenant.id, Actor.user("x"))
    assert await retention.kept_since(read) == retention.start(NOW, 6)
    assert (await audit.maintain(signed.engine, OPERATOR))["deleted"] == 0
    assert len(signed.run("select id from events where type = 'log.trimmed'")) == 2, "nothing more to say"


async def test_a_worker_seals_and_maintains_by_itself(signed: Signed) -> None:
    settings = Settings(_env_file=None, seal_minutes=7)  # type: ignore[call-arg]
    assert PERIODIC["log.seal"].cron(settings) == "*/7 * * * *"
    assert PERIODIC["log.maintain"].cron(settings) == "17 3 * * *"
    while not signed.run("select id from seals"):
        await jobs.seal(JobContext(signed.engine, settings, 1, "log.seal"))
    await jobs.maintain(JobContext(signed.engine, settings, 2, "log.maintain"))
    assert await signed.verify() == []


async def test_taking_out_what_is_old_by_hand_is_noticed(signed: Signed) -> None:
    gone = await old(signed, ago(30))
    await signed.seal()
    signed.run("delete from events where id = any(%s)", gone)
    assert {(each.kind, each.id) for each in await signed.verify()} == {("removed", id) for id in gone}
    signed.run(
        "insert into events (tenant_id, id, type, entity_type, entity_id, actor, origin, data, proof) values"
        " (%s, gen_random_uuid(), 'log.trimmed', 'log', %s, 'system:worker', 'job',"
        " '{\"before\": \"2030-01-01T00:00:00Z\", \"events\": 3}', %s)",
        signed.tenant.id, signed.tenant.id, bytes(48),
    )  # fmt: skip
    assert {each.id for each in await signed.verify()} >= set(gone), "nor does an announcement that is not Bellbird's"


async def test_whoever_holds_the_log_is_not_waited_for(signed: Signed, clone: str) -> None:
    month_of(signed, ago(100))
    with psycopg.connect(clone) as reader:
        reader.execute("select count(*) from events")
        assert (await audit.maintain(signed.engine, OPERATOR))["dropped"] == []
    assert (await audit.maintain(signed.engine, OPERATOR))["dropped"] == [f"events_default_{ago(100):%Y_%m}"]
