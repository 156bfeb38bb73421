"""A tenant sees and changes its own rows only, whatever a statement forgets: the second wall, tried with raw SQL."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import errors, sql

from bellbird.core.actors import Actor
from bellbird.core.connection import Pending
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from tests import make
from tests.conftest import Begin, Server
from tests.rules.test_catalogue import APP_MAY, EVERYTHING, tables_of_tenants

# What is raised for a tenant that was never set, and for one whose transaction is over (the setting is then empty).
NO_TENANT = (errors.UndefinedObject, errors.InvalidTextRepresentation)


@pytest.fixture(autouse=True)
async def rows_of_both(
    begin: Begin, owner: psycopg.Connection[Any], tables: list[str], tenant: Tenant, other_tenant: Tenant
) -> dict[UUID, UUID]:
    """A contact (with its event) of each tenant, and something in every other table."""
    made = {}
    for each in (tenant, other_tenant):
        async with begin(each) as tx:
            made[each.id] = (await make.contact(tx)).id
        for table in tables:
            fill(owner, table, each)
    return made


# A value of each type: `own` passes every check that there is.
VALUES = {
    "uuid": "gen_random_uuid()", "text": "'own'", "timestamp with time zone": "now()", "bytea": "'x'::bytea",
    "text[]": "'{}'", "uuid[]": "'{}'", "jsonb": "'{}'", "integer": "1", "smallint": "1", "bigint": "1",
    "xid8": "'1'", "boolean": "true", "numeric(14,6)": "1", "date": "current_date",
}  # fmt: skip

# And what passes where that does not.
OF_COLUMN = {
    ("calls", "direction"): "'inbound'", ("calls", "status"): "'completed'", ("call_accounts", "status"): "'paused'",
    ("consents", "purpose"): "'research'", ("consents", "expires_at"): "now() + interval '1 day'",
    ("follow_ups", "state"): "'done'", ("call_counts", "kind"): "'day'",
}  # fmt: skip

# Besides names, what only one row of a tenant can have, and another such value.
UNIQUE = {
    ("call_accounts", "identifier"): "'other'", ("call_callbacks", "provider_call_id"): "'other'",
    ("washes", "number"): "'other'", ("call_days", "day"): "current_date - 1",
}  # fmt: skip

COLUMNS = """
select attname, format_type(atttypid, atttypmod) from pg_attribute
where attrelid = %s::regclass and attnum > 0 and not attisdropped and attname <> 'tenant_id'
"""


def fill(connection: psycopg.Connection[Any], table: str, tenant: Tenant) -> None:
    """A row of the tenant, if there is none."""
    there = connection.execute(f"select from {table} where tenant_id = %s".encode(), [tenant.id]).fetchone()
    if there is None:
        columns = connection.execute(COLUMNS, [table]).fetchall()
        names = ", ".join(name for name, _ in columns)
        values = ", ".join(OF_COLUMN.get((table, name), VALUES[kind]) for name, kind in columns)
        connection.execute(f"insert into {table} (tenant_id, {names}) values (%s, {values})".encode(), [tenant.id])


@pytest.fixture
def tables(owner: psycopg.Connection[Any]) -> list[str]:
    """Every table of tenants' rows, partitions left out."""
    return [table for table, partition in tables_of_tenants(owner) if not partition]


def set_tenant(app_role: psycopg.Connection[Any], tenant: Tenant) -> None:
    app_role.execute(f"set local app.tenant_id = '{tenant.id}'".encode())


def test_there_is_something_to_be_kept_apart(tables: list[str]) -> None:
    assert {"contacts", "events"} <= set(tables)


def test_without_a_tenant_a_question_is_an_error_and_not_an_empty_list(
    app_role: psycopg.Connection[Any], tables: list[str], tenant: Tenant
) -> None:
    for table in (*tables, "tenant_contacts", "tenants"):
        with pytest.raises(NO_TENANT):
            app_role.execute(f"select * from {table}".encode())
        with pytest.raises(NO_TENANT):
            app_role.execute(f"select count(*) from {table}".encode())
    with app_role.transaction():
        set_tenant(app_role, tenant)
        app_role.execute("select * from contacts")
    for table in (*tables, "tenant_contacts", "tenants"):
        with pytest.raises(NO_TENANT):
            app_role.execute(f"select * from {table}".encode())


def test_without_a_tenant_nothing_can_be_written(
    app_role: psycopg.Connection[Any], tables: list[str], owner: psycopg.Connection[Any]
) -> None:
    for table in tables:
        for statement in (f"insert into {table} select * from {table}", f"delete from {table}"):
            with pytest.raises((*NO_TENANT, errors.InsufficientPrivilege)):
                app_role.execute(statement.encode())
    assert owner.execute("select count(*) > 1 from contacts").fetchone() == (True,)


def test_a_question_that_forgets_the_tenant_finds_its_own_rows_only(
    app_role: psycopg.Connection[Any], tables: list[str], tenant: Tenant, other_tenant: Tenant
) -> None:
    for mine, theirs in ((tenant, other_tenant), (other_tenant, tenant)):
        for table in (*tables, "tenant_contacts"):
            with app_role.transaction():
                set_tenant(app_role, mine)
                found = app_role.execute(f"select distinct tenant_id from {table}".encode()).fetchall()
                assert found == [(mine.id,)], table
                asked = f"select count(*) from {table} where tenant_id = %s or true"
                everything = app_role.execute(asked.encode(), [theirs.id]).fetchone()
                own = app_role.execute(f"select count(*) from {table} where tenant_id = %s".encode(), [mine.id])
                assert everything == own.fetchone()
        with app_role.transaction():
            set_tenant(app_role, mine)
            assert app_role.execute("select id from tenants").fetchall() == [(mine.id,)]


def test_a_function_in_a_question_is_shown_no_row_of_another(
    app_role: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    """A cheap function is evaluated first where the planner may: it must not meet what the policy then drops."""
    seen: list[str | None] = []
    app_role.add_notice_handler(lambda notice: seen.append(notice.message_primary))
    with app_role.transaction(force_rollback=True):
        app_role.execute(
            "create function pg_temp.spy(uuid) returns bool language plpgsql cost 0.0000001 as"
            " $$ begin raise notice 'saw %', $1; return true; end $$"
        )
        set_tenant(app_role, tenant)
        app_role.execute("select * from contacts where pg_temp.spy(tenant_id)")
    assert set(seen) == {f"saw {tenant.id}"}


def columns_of(connection: psycopg.Connection[Any], table: str) -> list[str]:
    query = "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0 and not attisdropped"
    return [row[0] for row in connection.execute(query, [table]).fetchall()]


def test_a_row_of_another_tenant_cannot_be_inserted(
    app_role: psycopg.Connection[Any], owner: psycopg.Connection[Any], tables: list[str], tenant: Tenant,
    other_tenant: Tenant,
) -> None:  # fmt: skip
    for table in tables:
        if "insert" not in APP_MAY.get(table, EVERYTHING):
            continue  # not even its own
        rest = [name for name in columns_of(owner, table) if name not in ("tenant_id", "id")]
        another = "gen_random_uuid()::text"  # where a name must be unique
        others = {name: UNIQUE.get((table, name), another if name.startswith("name") else None) for name in rest}
        values = [sql.Identifier(name) if other is None else sql.SQL(other) for name, other in others.items()]
        statement = sql.SQL("insert into {} (tenant_id, id, {}) select {}, {}, {} from {} limit 1").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rest)), sql.Placeholder(), sql.Placeholder(),
            sql.SQL(", ").join(values), sql.Identifier(table),
        )  # fmt: skip
        with app_role.transaction(force_rollback=True):
            set_tenant(app_role, tenant)
            assert app_role.execute(statement, [tenant.id, uuid4()]).rowcount == 1, "its own can be"
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app_role.transaction():
            set_tenant(app_role, tenant)
            app_role.execute(statement, [other_tenant.id, uuid4()])


def test_rows_of_another_tenant_can_be_neither_changed_nor_deleted(
    app_role: psycopg.Connection[Any], owner: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    for statement in (
        "update contacts set display_name = 'stolen'",
        "delete from contacts",
    ):
        with app_role.transaction():
            set_tenant(app_role, tenant)
            other = [other_tenant.id]
            assert app_role.execute(f"{statement} where tenant_id = %s".encode(), other).rowcount == 0
            assert app_role.execute(statement.encode()).rowcount == 1
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"), app_role.transaction():
        set_tenant(app_role, other_tenant)
        app_role.execute("update contacts set tenant_id = %s", [tenant.id])
    left = owner.execute("select tenant_id, display_name from contacts where tenant_id in (%s, %s)",
                         [tenant.id, other_tenant.id])  # fmt: skip
    assert left.fetchall() == [(other_tenant.id, "Ann")]


def test_the_log_can_only_be_added_to(app_role: psycopg.Connection[Any], tenant: Tenant) -> None:
    for statement in ("update events set type = 'x'", "delete from events", "truncate events"):
        with pytest.raises(errors.InsufficientPrivilege), app_role.transaction():
            set_tenant(app_role, tenant)
            app_role.execute(statement.encode())


def test_tenants_and_the_view_can_only_be_read(app_role: psycopg.Connection[Any], tenant: Tenant) -> None:
    for statement in (
        "update tenants set name = 'x'", "delete from tenants", "insert into tenants select * from tenants",
        "update tenant_contacts set display_name = 'x'", "delete from tenant_contacts",
        "insert into tenant_contacts select * from tenant_contacts",
    ):  # fmt: skip
        with pytest.raises(errors.InsufficientPrivilege), app_role.transaction():
            set_tenant(app_role, tenant)
            app_role.execute(statement.encode())


def test_a_purge_forgets_contacts_of_its_own_tenant_only(
    app_role: psycopg.Connection[Any], owner: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant,
    rows_of_both: dict[UUID, UUID],
) -> None:  # fmt: skip
    theirs = rows_of_both[other_tenant.id]
    with pytest.raises(errors.InsufficientPrivilege, match="not this transaction's tenant"), app_role.transaction():
        set_tenant(app_role, tenant)
        app_role.execute("select forget_contact(%s, %s)", [other_tenant.id, theirs])
    with app_role.transaction():
        set_tenant(app_role, tenant)
        assert app_role.execute("select forget_contact(%s, %s)", [tenant.id, theirs]).fetchone() == (0,)
        assert app_role.execute("select forget_contact(null, %s)", [theirs]).fetchone() == (0,)
    with pytest.raises(NO_TENANT):
        app_role.execute("select forget_contact(%s, %s)", [other_tenant.id, theirs])
    kept = owner.execute("select changes is not null from events where contact_id = %s", [theirs]).fetchall()
    assert kept == [(True,)]


def test_the_application_cannot_become_the_operator(app_role: psycopg.Connection[Any], server: Server) -> None:
    if server.logs_in_as_app:  # elsewhere the login itself is a superuser
        with pytest.raises(errors.InsufficientPrivilege):
            app_role.execute("set role bellbird_system")
        with pytest.raises(errors.InsufficientPrivilege):
            app_role.execute("set role postgres")
    with pytest.raises(errors.InsufficientPrivilege):
        app_role.execute("create table public.mine (id int)")
    with pytest.raises(errors.InsufficientPrivilege):
        app_role.execute("alter table contacts disable row level security")


@pytest.fixture(params=["own role", "set role"])
async def one_connection(request: pytest.FixtureRequest, server: Server, database: str) -> AsyncIterator[Engine]:
    """An engine with a single connection, so that the next transaction has the one before's."""
    if request.param == "own role" and not server.logs_in_as_app:
        pytest.skip("bellbird_app cannot log in to this server, so the engine always becomes it")
    user = "bellbird_app" if request.param == "own role" else "postgres"
    async with Engine(server.conninfo(database, user), pool_size=1) as engine:
        yield engine


async def left_behind(engine: Engine) -> tuple[Any, ...]:
    asked = Pending("select current_setting('app.tenant_id', true), current_user = session_user", ())
    connection = await engine._app.take()
    try:
        await connection.exchange([asked])
    finally:
        await engine._app.give_back(connection)
    return asked.rows[0]


async def test_no_tenant_and_no_role_stays_on_a_pooled_connection(
    one_connection: Engine, tenant: Tenant, other_tenant: Tenant, actor: Actor
) -> None:
    engine = one_connection

    async def finished() -> None:
        async with engine.tenant(tenant.id, actor) as tx:
            await make.contact(tx)

    async def raised() -> None:
        async with engine.tenant(tenant.id, actor) as tx:
            await make.contact(tx)
            await tx.flush()
            raise LookupError

    async def failed() -> None:
        async with engine.tenant(tenant.id, actor) as tx:
            await tx.all("select 1/0")

    async def read() -> None:
        await engine.reader(tenant.id, actor).all("select count(*) from contacts where tenant_id = $1", tenant.id)

    async def failed_to_read() -> None:
        await engine.reader(tenant.id, actor).all("select 1/0")

    for use in (finished, raised, failed, read, failed_to_read):
        try:
            await use()
        except (LookupError, psycopg.Error):
            assert use not in (finished, read)
        setting, own_role = await left_behind(engine)
        assert not setting, use
        assert own_role, use
        rows = await engine.reader(other_tenant.id, actor).all("select distinct tenant_id from contacts")
        assert rows == [(other_tenant.id,)], use
