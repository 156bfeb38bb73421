"""The benchmark's database: tenants full of contacts, made once and used again as long as it fits.

The rows are what the application writes: `cleaning.make` and `rows.to_row` made them, only COPY brings them in.
"""

import asyncio
import hashlib
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from bellbird.core import ids, migrate
from bellbird.core.actors import Actor
from bellbird.core.connection import Pending
from bellbird.core.engine import Engine
from bellbird.core.postgres import EmbeddedServer
from bellbird.core.postgres_cluster import find
from bellbird.core.postgres_files import CLUSTER
from bellbird.core.tenants import TenantSettings
from bellbird.features import tenants
from bellbird.features.contacts import actions, cleaning, rows
from benchmarks import people

# Raise it when people.py makes other contacts, so that databases made before are not used any more.
VERSION: Final = 1

# The contacts were made evenly over these two years; whatever is newer, a run has made.
FIRST: Final = datetime(2024, 1, 1, tzinfo=UTC)
LAST: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is: so many tenants of one size, and a single large one."""

    tenants: int = 20
    contacts: int = 10_000
    large: int = 100_000

    def sizes(self) -> dict[str, int]:
        """Contacts by the tenant's slug."""
        return {f"bench-{at:02}": self.contacts for at in range(1, self.tenants + 1)} | {"bench-large": self.large}


FULL: Final = Scale()
SMALL: Final = Scale(tenants=2, contacts=200, large=1_000)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A database ready to be measured."""

    server: EmbeddedServer
    database: str
    tenants: tuple[UUID, ...]
    large: UUID

    @property
    def postmaster(self) -> int:
        """The process that all of PostgreSQL's descend from."""
        found = find(self.server.data_dir / CLUSTER)
        assert found is not None, "the server runs as long as this process holds it"
        return found.pid

    def conninfo(self, user: str = "postgres") -> str:
        """How to reach it, as its owner or as one of the engine's roles."""
        return self.server.conninfo(user=user, dbname=self.database)


def ensure(server: EmbeddedServer, scale: Scale = FULL) -> Dataset:
    """The database of this scale, made anew unless the one that is there fits."""
    database = "bellbird_bench" if scale == FULL else f"bellbird_bench_{sum(scale.sizes().values())}"
    owner = server.conninfo(dbname=database)
    found = _find(server, database, scale)
    if not found:
        print(f"Filling {database} with {sum(scale.sizes().values()):,} contacts; it is kept for the next time.")
        found = _make(server, database, scale)
    tidy(owner)
    _warm(owner)
    *small, large = found
    return Dataset(server, database, tuple(small), large)


def tidy(owner: str) -> None:
    """Remove what an earlier run has created, and leave the tables as they were: vacuumed, with fresh statistics."""
    with psycopg.connect(owner, autocommit=True) as connection:
        made = connection.execute("delete from contacts where id >= %s", [ids.first_at(LAST)]).rowcount
        if made:
            connection.execute("truncate events")
            connection.execute("vacuum analyze contacts")


def _warm(owner: str) -> None:
    """Bring the contacts into PostgreSQL's cache: a server that has just started would be measured reading its disk."""
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("create extension if not exists pg_prewarm")
        connection.execute("select pg_prewarm('contacts_default')")
        connection.execute("select pg_prewarm(indexrelid) from pg_index where indrelid = 'contacts_default'::regclass")


def _find(server: EmbeddedServer, database: str, scale: Scale) -> list[UUID]:
    """The ids of the tenants of a database that fits; none when it has to be made."""
    try:
        with psycopg.connect(server.conninfo(dbname=database)) as connection:
            row = connection.execute("select fingerprint from benchmark_seed").fetchone()
            if row != (_fingerprint(scale),):
                return []
            return [id for (id,) in connection.execute("select id from tenants order by slug")]
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
        return []


def _fingerprint(scale: Scale) -> str:
    """What a database was made from: the scale, the schema and how a contact becomes a row."""
    texts = [path.read_bytes() for path in sorted(migrate.VERSIONS.glob("[0-9]*.py"))]
    plan = {"version": VERSION, **asdict(scale), "schema": hashlib.sha256(b"".join(texts)).hexdigest()[:16]}
    return json.dumps(plan | {"columns": f"{rows.COLUMNS}, {rows.DERIVED}"})


def _make(server: EmbeddedServer, database: str, scale: Scale) -> list[UUID]:
    with psycopg.connect(server.conninfo(dbname="postgres"), autocommit=True) as connection:
        connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database)))
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
    owner = server.conninfo(dbname=database)
    migrate.upgrade(owner)
    made = asyncio.run(_make_tenants(owner, list(scale.sizes())))
    # The large tenant first, so that both processes are busy to the end.
    jobs = sorted(zip(made, scale.sizes().values(), strict=True), key=lambda job: -job[1])
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_fill, owner, id, size, seed) for seed, (id, size) in enumerate(jobs, 1)]:
            done.result()
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
        connection.execute("create table benchmark_seed (fingerprint text not null)")
        connection.execute("insert into benchmark_seed values (%s)", [_fingerprint(scale)])
    return made


async def _make_tenants(owner: str, slugs: list[str]) -> list[UUID]:
    async with Engine(owner) as engine, engine.system(Actor.system()) as tx:
        return [(await tenants.create(tx, slug)).id for slug in slugs]


def _fill(owner: str, tenant: UUID, count: int, seed: int) -> None:
    """One tenant's contacts, in the order in which they were made. Runs in a process of its own."""
    rng, settings = random.Random(seed), TenantSettings()
    columns = f"tenant_id, {rows.COLUMNS}, {rows.DERIVED}"
    with psycopg.connect(owner) as connection, connection.cursor() as cursor:
        # Many rows at once cost the GIN index less when their keys are sorted in one go.
        cursor.execute("set gin_pending_list_limit = '256MB'; set work_mem = '256MB'")
        with cursor.copy(f"copy contacts ({columns}) from stdin".encode()) as copy:
            for at, new in enumerate(people.contacts(rng, count)):
                now = FIRST + (LAST - FIRST) * at / count
                id = UUID(int=ids.first_at(now).int | rng.getrandbits(62))
                now -= timedelta(microseconds=now.microsecond % 1000)
                copy.write_row(_texts(tenant, *rows.to_row(cleaning.make(new, settings, id=id, now=now))))


def _texts(*row: Any) -> list[str | None]:
    """A row in the very form in which the application sends it."""
    return [None if value is None else value.decode() for value in Pending(actions.INSERT, row).params]
