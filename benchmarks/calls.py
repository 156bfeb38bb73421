"""Who is calling, among a million contacts, and statistics of a month with a million calls: `make bench-calls`.

Both in a database of its own, made for the run and thrown away after it, which takes two minutes or so.
What is measured is the database's time, plans shown: `explain (analyze)` of the very statements that the verbs send.
"""

import argparse
import asyncio
import secrets
import statistics as averages
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import psycopg
from psycopg import RawCursor

from bellbird.core import ids, migrate, postgres
from bellbird.core.actors import Actor
from bellbird.core.connection import Connection, Pending
from bellbird.core.engine import Engine
from bellbird.core.telephony import Account, Update
from bellbird.features import contacts, tenants
from bellbird.features.calls import counting, inbound, statistics
from bellbird.features.contacts import NewContact, Phone

MILLION: Final = 1_000_000
INBOUND_MS: Final = 10.0
STATISTICS_MS: Final = 200.0
CALLERS: Final = 100

# A month that is over, so that all of its days can be counted.
FIRST: Final = (datetime.now(UTC).replace(day=1) - timedelta(days=33)).replace(day=1, hour=0, minute=0, second=0)
DAYS: Final = 30

# Contacts like one that the library made, each with a number of their own; every tenth number two of them share.
CONTACTS: Final = """
create temp table model on commit drop as select * from contacts where tenant_id = %(tenant)s limit 1;
insert into contacts
select (jsonb_populate_record(model, jsonb_build_object(
  'id', uuid_in(md5(n::text)::cstring),
  'display_name', 'Contact ' || n,
  'phones', jsonb_build_array(jsonb_build_object('number', called, 'label', null, 'primary', true, 'status', 'ok')),
  'phone_numbers', jsonb_build_array(called),
  'search_text', ' contact ' || n || ' ' || substr(called, 2) || ' '
))).*
from model, generate_series(1, %(many)s) n, lateral (
  select '+614' || lpad((case when n %% 10 = 0 then n - 1 else n end)::text, 8, '0') as called
) numbers
"""

CALLS: Final = """
insert into calls (
  tenant_id, id, direction, status, from_number, to_number, number, contact_id, candidates, agent_id, purpose,
  account_id, provider, created_at, updated_at, ended_at, duration, disposition, outcome, ring_seconds, record,
  detect_machine, created_by, version)
select
  %(tenant)s,
  (lpad(to_hex((extract(epoch from made) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3) || '8'
    || substr(md5(n::text), 4, 15))::uuid,
  case when h %% 5 = 0 then 'inbound' else 'outbound' end,
  case when h %% 10 < 6 then 'completed' else 'no_answer' end,
  '+61255501234', called, called, uuid_in(md5((h %% %(many)s + 1)::text)::cstring), '{}',
  ('22222222-2222-7222-8222-' || lpad((h / 1000 %% 50)::text, 12, '0'))::uuid,
  'telemarketing', '33333333-3333-7333-8333-333333333333', 'mock', made, made, made + interval '1 minute',
  case when h %% 10 < 6 then h %% 600 end,
  case when h %% 10 < 5 then 'answered' when h %% 10 < 6 then 'voicemail' else 'no_answer' end,
  case h / 100000 %% 7 when 0 then 'interested' when 1 then 'not_interested' when 2 then 'call_back' end,
  30, false, false, 'system:bench', 5
from generate_series(1, %(many)s) n, lateral (
  select abs(hashint4(n)) as h, %(first)s::timestamptz + n * %(apart)s::interval as made
) one, lateral (select '+614' || lpad((h %% %(many)s + 1)::text, 8, '0') as called) numbers
"""

FOLLOW_UPS: Final = """
insert into follow_ups (
  tenant_id, id, contact_id, agent_id, due_at, state, created_by, version, created_at, updated_at)
select
  %(tenant)s, gen_random_uuid(), uuid_in(md5(n::text)::cstring), gen_random_uuid(), now() + n * interval '1 minute',
  'open', 'system:bench', 1, now(), now()
from generate_series(9, %(many)s, 500) n
"""


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 1 when a promise was missed and `--check` given."""
    parser = argparse.ArgumentParser(prog="make bench-calls")
    parser.add_argument("--check", action="store_true", help="fail when a promise is missed")
    parser.add_argument("--many", type=int, default=MILLION, help="how many contacts, and calls")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bb-bench-") as folder:
        Path(folder).chmod(0o711)
        server = postgres.start(Path(folder))
        try:
            kept = asyncio.run(_run(server.conninfo, options.many))
        finally:
            server.release()
    return 1 if options.check and not kept else 0


async def _run(conninfo: Any, many: int) -> bool:
    owner = conninfo(user="postgres", dbname="postgres")
    migrate.upgrade(owner)
    async with Engine(
        conninfo(user="bellbird_app", dbname="postgres"),
        system_conninfo=conninfo(user="bellbird_system", dbname="postgres"),
        secret=secrets.token_urlsafe(48),
    ) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = (await tenants.create(system, "bench")).id
        await _fill(engine, owner, tenant, many)
        with psycopg.connect(conninfo(user="bellbird_app", dbname="postgres")) as plain:
            arriving = await _arrivals(engine, plain, tenant, many)
            counting_ms = await _statistics(engine, plain, owner, tenant)
    print(f"\nPromises: who is calling in {INBOUND_MS:.0f} ms: {arriving:.2f} ms. ", end="")
    print(f"A month's statistics in {STATISTICS_MS:.0f} ms: {counting_ms:.1f} ms.")
    return arriving < INBOUND_MS and counting_ms < STATISTICS_MS


async def _fill(engine: Engine, owner: str, tenant: UUID, many: int) -> None:
    began = time.perf_counter()
    async with engine.tenant(tenant, Actor.system()) as tx:
        await contacts.create(tx, NewContact(first_name="Model", phones=(Phone("+61298765432"),)))
    given = {"tenant": tenant, "many": many, "first": FIRST, "apart": timedelta(days=DAYS) / (many + 1)}
    with psycopg.connect(owner, autocommit=True) as connection:
        cursor = psycopg.ClientCursor(connection)
        cursor.execute("set gin_pending_list_limit = '256MB'; set work_mem = '256MB'; set synchronous_commit = off")
        _months(connection)
        with connection.transaction():
            cursor.execute(CONTACTS, given)
        cursor.execute(CALLS, given)
        cursor.execute(FOLLOW_UPS, given)
        cursor.execute("vacuum analyze")
        cursor.execute("checkpoint")
    print(f"Made {many:,} contacts and {many:,} calls in {time.perf_counter() - began:.0f} s.")


def _months(connection: psycopg.Connection[Any]) -> None:
    """The partition of the month before, which is only made ahead of time."""
    migrate.ensure_months(connection, FIRST)


class Sent:
    """The questions that a verb sends, to be explained afterwards."""

    def __init__(self) -> None:
        self.queries: list[Pending] = []
        self._exchange = Connection.exchange

    def __enter__(self) -> "Sent":
        sent, exchange = self.queries, self._exchange

        async def noted(self: Connection, queue: Sequence[Pending]) -> None:
            sent.extend(pending for pending in queue if pending.params)
            await exchange(self, queue)

        Connection.exchange = noted  # type: ignore[method-assign]
        return self

    def __exit__(self, *exc: object) -> None:
        Connection.exchange = self._exchange  # type: ignore[method-assign]


def _explain(plain: psycopg.Connection[Any], tenant: UUID, query: Pending, *, best_of: int = 1) -> tuple[float, str]:
    """The database's milliseconds for a statement as the application sends it, planning included; and its plan."""
    times, plan = list[float](), ""
    for _ in range(best_of):
        cursor = RawCursor(plain)
        cursor.execute(f"set local app.tenant_id = '{tenant}'")
        explained = f"explain (analyze, costs off, timing off, buffers off) {query.sql}"
        lines = cursor.execute(explained, [_text(value) for value in query.params]).fetchall()
        plan = "\n".join(line for (line,) in lines)
        times.append(
            sum(float(line.split()[2]) for (line,) in lines if line.startswith(("Planning Time", "Execution")))
        )
        plain.rollback()
    return min(times), plan


def _text(value: Any) -> str | None:
    """A parameter as it is sent."""
    return None if value is None else bytes(value).decode()


async def _arrivals(engine: Engine, plain: psycopg.Connection[Any], tenant: UUID, many: int) -> float:
    """The database's milliseconds for a call that comes in: who it may be, its row, its event; the 95th percentile."""
    who = Actor.system("mock", origin="provider")
    account, spent, whole = Account(uuid4(), tenant, "mock", "AC1", ""), list[float](), list[float]()
    shown = ""
    for at in range(CALLERS):
        number = f"+614{(at * 7919) % many // 10 * 10 + 9:08}"  # two share it
        update = Update(
            uuid4().hex, status="ringing", direction="inbound", from_number=number, to_number="+61255501234"
        )
        with Sent() as sent:
            began = time.perf_counter()
            async with engine.tenant(tenant, who) as tx:
                call = await inbound.arrived(tx, account, update)
            whole.append((time.perf_counter() - began) * 1000)
        assert len(call.candidates) == 2, call
        total = 0.0
        for query in sent.queries:
            is_insert = query.sql.lstrip().startswith("insert")
            took, plan = _explain(plain, tenant, _again(query) if is_insert else query)
            total += took
            if "tenant_contacts" in query.sql:
                shown = plan
        spent.append(total)
    print(f"\nA call comes in, among {many:,} contacts ({CALLERS} of them):\n{shown}")
    p50, p95 = averages.median(spent), averages.quantiles(spent, n=20)[-1]
    print(f"\nDatabase time of all its statements: p50 {p50:.2f} ms, p95 {p95:.2f} ms; ", end="")
    print(f"the whole request, commit included: p50 {averages.median(whole):.2f} ms.")
    return p95


def _again(query: Pending) -> Pending:
    """An insert with an id that is not there yet."""
    again = Pending(query.sql, (), prepared=False)
    again.params = [query.params[0], str(ids.uuid7(datetime.now(UTC))).encode(), *query.params[2:]]
    return again


async def _statistics(engine: Engine, plain: psycopg.Connection[Any], owner: str, tenant: UUID) -> float:
    """The milliseconds of the slowest question about the month, once its days are counted."""
    first, last = FIRST.date() + timedelta(days=1), FIRST.date() + timedelta(days=DAYS - 2)
    first -= timedelta(days=1)
    questions = [("agent",), ("day",), ("outcome",), ("agent", "day"), ("agent", "outcome"), ("agent", "hour"),
                 ("hour", "outcome")]  # fmt: skip
    uncounted = await _ask(engine, tenant, ("agent",), first, last)
    began, more = time.perf_counter(), True
    while more:
        async with engine.tenant(tenant, Actor.system()) as tx:
            more = await counting.count_days(tx)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("vacuum analyze call_counts")
        ((many,),) = connection.execute("select count(*) from calls")
        ((counts,),) = connection.execute("select count(*) from call_counts")
    print(f"\nStatistics of {many:,} calls in {(last - first).days + 1} days: {counts:,} counts, ", end="")
    print(f"made in {time.perf_counter() - began:.1f} s. Uncounted, by agent: {uncounted:.0f} ms.")
    slowest = 0.0
    for groups in questions:
        with Sent() as sent:
            whole = min([await _ask(engine, tenant, groups, first, last) for _ in range(3)])
        took = sum(_explain(plain, tenant, query, best_of=3)[0] for query in sent.queries[: len(sent.queries) // 3])
        print(f"  by {', '.join(groups)}: {whole:.1f} ms in all, of which the database {took:.1f} ms")
        slowest = max(slowest, whole)
        if groups == ("agent", "day"):
            (counted,) = [query for query in sent.queries if "from call_counts" in query.sql][:1]
            shown = _explain(plain, tenant, counted)[1]
    print(f"\nThe plan by agent and day:\n{shown}")
    return slowest


async def _ask(engine: Engine, tenant: UUID, groups: tuple[str, ...], first: date, last: date) -> float:
    began = time.perf_counter()
    await statistics.count(engine.reader(tenant, Actor.system()), first=first, last=last, group_by=groups)
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
