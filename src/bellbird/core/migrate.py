"""Migrations: Alembic runs them, they are SQL, and `tenant_table()` gives every tenant's table the same walls."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from bellbird.core import ids
from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE

VERSIONS: Final = Path(__file__).parent.parent / "migrations" / "versions"

# The one policy (decision 4). It is strict: without a tenant the setting is missing, and that is an error.
OWN_TENANT: Final = "tenant_id = current_setting('app.tenant_id')::uuid"

# What is kept by month (decision 7), and how many months ahead of today that has partitions. Rows beyond go to the
# default partition.
BY_MONTH: Final = ("events", "calls")
MONTHS_AHEAD: Final = 12


def latest() -> str:
    """The revision that this version of Bellbird needs."""
    return sorted(path.stem for path in VERSIONS.glob("[0-9]*.py"))[-1].partition("_")[0]


def current(conninfo: str) -> str | None:
    """The revision a database is at; None when Bellbird has never been set up in it."""
    with psycopg.connect(conninfo, connect_timeout=5) as connection:
        found = connection.execute("select to_regclass('alembic_version')").fetchone()
        if found is None or found[0] is None:
            return None
        row = connection.execute("select version_num from alembic_version").fetchone()
        return row[0] if row else None


def upgrade(conninfo: str) -> None:
    """Bring the database to `latest()`, one migrator at a time, and make the months ahead.

    The login needs to own the database (or be superuser) and, the first time, to be able to create roles.
    """
    # Alembic and SQLAlchemy take 20 MB and half a second: only those who migrate pay for them.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtext('bellbird migrations'))")
        config.attributes["conninfo"] = conninfo
        command.upgrade(config, "head")
        connection.execute(f"grant select on alembic_version to {APP_ROLE}, {SYSTEM_ROLE}")
        ensure_months(connection)


def ensure_months(connection: psycopg.Connection[Any], today: datetime | None = None) -> list[str]:
    """Make the monthly partitions of what is kept by month up to MONTHS_AHEAD; returns the names of the new ones."""
    first = (today or datetime.now(UTC)).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return [name for table in BY_MONTH for name in _months_of(table, connection, first)]


def _months_of(table: str, connection: psycopg.Connection[Any], month: datetime) -> list[str]:
    made = []
    for _ in range(MONTHS_AHEAD + 1):
        following = (month + timedelta(days=32)).replace(day=1)
        name = f"{table}_default_{month:%Y_%m}"
        first, beyond = ids.first_at(month), ids.first_at(following)
        # Rows of a month that had no partition in time stay in the default one, where they are found as well.
        is_there = f"select from {table}_default_rest where id >= %s and id < %s"
        needless = connection.execute(
            f"select to_regclass(%s) is not null or exists ({is_there})", [name, first, beyond]
        ).fetchone()
        if needless == (False,):
            bounds = f"from ('{first}') to ('{beyond}')"
            connection.execute(f"create table {name} partition of {table}_default for values {bounds}")
            for statement in walls(name):
                connection.execute(statement)
            made.append(name)
        month = following
    return made


def tenant_table(
    name: str,
    columns: str,
    *,
    app_may: str = "select, insert, update, delete",
    partition: str | None = None,
    indexes: Mapping[str, str] | None = None,
) -> list[str]:
    """The statements that make a table of tenants' rows: keys, row-level security, grants, indexes.

    `columns` is what comes between `tenant_id` and the primary key `(tenant_id, id)`.
    `partition` is `"list"` (by tenant, with a default) or `"month"` (by tenant, and by month of the id below that).
    `indexes` maps a name to what follows `on {table}`; a name that starts with `unique ` makes a unique index.
    """
    default = f"{name}_default"
    by_list = " partition by list (tenant_id)" if partition else ""
    statements = [
        f"create table {name} (tenant_id uuid not null, {columns}, primary key (tenant_id, id)){by_list}",
        *walls(name),
        f"grant {app_may} on {name} to {APP_ROLE}",
        f"grant select, insert, update, delete on {name} to {SYSTEM_ROLE}",
    ]
    if partition:
        by_month = " partition by range (id)" if partition == "month" else ""
        statements += [f"create table {default} partition of {name} default{by_month}", *walls(default)]
    if partition == "month":
        statements += [f"create table {default}_rest partition of {default} default", *walls(f"{default}_rest")]
    for title, definition in (indexes or {}).items():
        statements += index(name, title, definition, partitioned=partition == "list")
    return statements


def index(table: str, title: str, definition: str, *, partitioned: bool = False) -> list[str]:
    """The statements that make an index; `title` is its name, after `unique ` for a unique one.

    The index of a partition is named after its parent's, so that a violation can be told by name.
    """
    unique, _, name = title.rpartition(" ")
    if not partitioned:
        return [f"create {unique} index {name} on {table} {definition}"]
    return [
        f"create {unique} index {name} on only {table} {definition}",
        f"create {unique} index {table}_default__{name} on {table}_default {definition}",
        f"alter index {name} attach partition {table}_default__{name}",
    ]


def walls(table: str, predicate: str = OWN_TENANT) -> list[str]:
    """Row-level security, forced on the owner too: the app sees its own tenant, the system role every one."""
    return [
        f"alter table {table} enable row level security",
        f"alter table {table} force row level security",
        f"create policy own_tenant on {table} to {APP_ROLE} using ({predicate})",
        f"create policy every_tenant on {table} to {SYSTEM_ROLE} using (true)",
    ]


def tenant_view(name: str, table: str) -> list[str]:
    """The statements that make a view of a tenant table through which indexes of any kind can be used.

    Under row-level security PostgreSQL uses an index only for operators marked leakproof,
    and neither `text[] @>` nor `like` is: a lookup would read the whole tenant (ADR 6).
    The view holds the same predicate as the policy, is owned by the system role, and can only be read.
    """
    return [
        f"create view {name} as select * from {table} where {OWN_TENANT}",
        f"grant create on schema public to {SYSTEM_ROLE}",
        f"alter view {name} owner to {SYSTEM_ROLE}",
        f"revoke create on schema public from {SYSTEM_ROLE}",
        f"grant select on {name} to {APP_ROLE}",
    ]
