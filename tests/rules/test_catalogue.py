"""Every table of tenants' rows has its walls: read from PostgreSQL's own catalogue, so that none can be forgotten."""

from typing import Any

import psycopg
import pytest

from tests.conftest import run

Connection = psycopg.Connection[Any]

TABLES = """
select c.oid::regclass::text, c.relispartition
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.relkind in ('r', 'p', 'f', 'm') and c.relnamespace = 'public'::regnamespace
order by 1
"""

KEY = """
select a.attname from pg_constraint k
join pg_attribute a on a.attrelid = k.conrelid and a.attnum = k.conkey[1]
where k.conrelid = %s::regclass and k.contype = 'p'
"""

UNIQUE_WITHOUT_TENANT = """
select i.indexrelid::regclass::text from pg_index i
where i.indrelid = %s::regclass and i.indisunique and not exists (
  select from pg_attribute a where a.attrelid = i.indrelid and a.attnum = any(i.indkey) and a.attname = 'tenant_id')
"""

SECURITY = "select relrowsecurity, relforcerowsecurity, relowner::regrole::text from pg_class where oid = %s::regclass"

POLICIES = """
select policyname, permissive, roles::text[], cmd, qual, with_check from pg_policies
where format('%%I.%%I', schemaname, tablename)::regclass = %s::regclass order by 1
"""

GRANTS = """
select case grantee when 0 then 'public' else grantee::regrole::text end, lower(privilege_type)
from pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner)))
where oid = %s::regclass and grantee <> relowner
"""

OWN = "(tenant_id = (current_setting('app.tenant_id'::text))::uuid)"
WALLS = [
    ("every_tenant", "PERMISSIVE", ["bellbird_system"], "ALL", "true", None),
    ("own_tenant", "PERMISSIVE", ["bellbird_app"], "ALL", OWN, None),
]
EVERYTHING = {"select", "insert", "update", "delete"}
# What the application may do less than everything with.
APP_MAY = {"events": {"select", "insert"}, "idempotency_keys": {"select", "insert", "delete"},
           "parked_events": {"select"}, "operations": {"select", "insert", "update"}, "seals": {"select"},
           "calls": {"select", "insert", "update"}, "call_callbacks": {"select", "insert", "update"},
           "opt_outs": {"select", "insert", "update"}, "washes": {"select", "insert", "update"},
           "dial_decisions": {"select", "insert", "update"}}  # fmt: skip


def tables_of_tenants(connection: Connection) -> list[tuple[str, bool]]:
    """Every table with a tenant_id, and whether it is a partition."""
    return connection.execute(TABLES).fetchall()


def gaps(connection: Connection) -> list[str]:
    """What is missing in the walls, a sentence each."""
    found = []
    for table, partition in tables_of_tenants(connection):
        key = connection.execute(KEY, [table]).fetchone()
        if key != ("tenant_id",):
            found.append(f"{table}: the primary key begins with {key and key[0]}, not tenant_id")
        for (index,) in connection.execute(UNIQUE_WITHOUT_TENANT, [table]).fetchall():
            found.append(f"{table}: the unique index {index} is without tenant_id")
        enabled, forced, owner = connection.execute(SECURITY, [table]).fetchone() or (False, False, "")
        if not (enabled and forced):
            found.append(f"{table}: row-level security is {'not forced' if enabled else 'off'}")
        if owner in ("bellbird_app", "bellbird_system"):
            found.append(f"{table}: belongs to {owner}, which could tear its walls down")
        policies = connection.execute(POLICIES, [table]).fetchall()
        if policies != WALLS:
            found.append(f"{table}: its policies are {policies}")
        found += wrong_grants(connection, table, partition)
    return found


def wrong_grants(connection: Connection, table: str, partition: bool) -> list[str]:
    granted: dict[str, set[str]] = {}
    for role, privilege in connection.execute(GRANTS, [table]).fetchall():
        granted.setdefault(role, set()).add(privilege)
    # A partition is reached through its parent; a right of its own would go past the parent's grants.
    expected = {} if partition else {"bellbird_app": APP_MAY.get(table, EVERYTHING), "bellbird_system": EVERYTHING}
    return [] if granted == expected else [f"{table}: the grants are {granted}"]


def test_every_table_of_tenants_rows_has_its_walls(owner: Connection) -> None:
    names = [table for table, _ in tables_of_tenants(owner)]
    assert {"contacts", "contacts_default", "events", "events_default", "events_default_rest"} <= set(names)
    assert gaps(owner) == []


@pytest.mark.parametrize(
    ("making", "complaint"),
    [
        ("create table notes (tenant_id uuid, id uuid, primary key (tenant_id, id))", "row-level security is off"),
        ("create table notes (tenant_id uuid, id uuid, primary key (id, tenant_id))", "begins with id"),
        ("create table notes (tenant_id uuid, id uuid)", "begins with None"),
        ("create table notes (tenant_id uuid)", "policies are []"),
        ("create table notes (tenant_id uuid)", "notes: the grants are {}"),
        ("alter table contacts no force row level security", "contacts: row-level security is not forced"),
        ("alter table contacts_default disable row level security", "contacts_default: row-level security is off"),
        ("create policy mine on contacts to bellbird_app using (true)", "contacts: its policies"),
        ("alter policy own_tenant on events using (true)", "events: its policies"),
        ("alter policy own_tenant on events to public", "events: its policies"),
        ("alter policy own_tenant on contacts with check (true)", "contacts: its policies"),
        ("grant update on events to bellbird_app", "events: the grants"),
        ("grant select on contacts_default to bellbird_app", "contacts_default: the grants"),
        ("grant select on contacts to public", "contacts: the grants"),
        ("grant truncate on contacts to bellbird_app", "contacts: the grants"),
        ("create unique index one_name on contacts_default (id)", "one_name is without tenant_id"),
        ("create table events_mine partition of events for values in "
         "('0192f0c0-0000-7000-8000-000000000001')", "events_mine: row-level security is off"),
    ],
)  # fmt: skip
def test_a_table_made_by_hand_without_them_is_caught(clone: str, making: str, complaint: str) -> None:
    run(clone, making)
    with psycopg.connect(clone) as connection:
        assert complaint in "\n".join(gaps(connection))


def test_the_tenants_table_shows_each_tenant_itself(owner: Connection) -> None:
    assert owner.execute(SECURITY, ["tenants"]).fetchone() == (True, True, "postgres")
    own = "(id = (current_setting('app.tenant_id'::text))::uuid)"
    assert owner.execute(POLICIES, ["tenants"]).fetchall() == [WALLS[0], (*WALLS[1][:4], own, None)]
    granted = set(owner.execute(GRANTS, ["tenants"]).fetchall())
    columns = (
        "select attname, attacl::text[] from pg_attribute where attrelid = 'tenants'::regclass and attacl is not null"
    )
    assert owner.execute(columns.encode()).fetchall() == [("access_version", ["bellbird_app=w/postgres"])]
    assert {right for role, right in granted if role == "bellbird_app"} == {"select"}
    assert {role for role, _ in granted} == {"bellbird_app", "bellbird_system"}


def test_the_roles_have_no_power_of_their_own(owner: Connection) -> None:
    powers = "rolsuper, rolbypassrls, rolcreatedb, rolcreaterole, rolreplication, rolinherit"
    rows = owner.execute(f"select rolname, {powers} from pg_roles where rolname like 'bellbird%%'".encode()).fetchall()
    assert sorted(rows) == [(role, *[False] * 6) for role in ("bellbird_app", "bellbird_system")]
    assert owner.execute("select pg_has_role('bellbird_app', 'bellbird_system', 'member')").fetchone() == (False,)
    for role in ("bellbird_app", "bellbird_system"):
        assert owner.execute("select has_schema_privilege(%s, 'public', 'create')", [role]).fetchone() == (False,)


def test_views_hold_the_policys_predicate_and_can_only_be_read(owner: Connection) -> None:
    """A view is asked with its owner's rights, and the system role sees every tenant (ADR 6)."""
    views = owner.execute(
        "select c.oid::regclass::text, c.relowner::regrole::text, pg_get_viewdef(c.oid) from pg_class c"
        " where c.relkind = 'v' and c.relnamespace = 'public'::regnamespace"
    ).fetchall()
    assert [view for view, _, _ in views] == ["tenant_contacts"]
    for view, belongs_to, definition in views:
        assert belongs_to == "bellbird_system"
        plain = " ".join(definition.replace("contacts.", "").split())  # PostgreSQL 15 qualifies every column
        assert plain.endswith(f"FROM contacts WHERE {OWN};"), view
        assert set(owner.execute(GRANTS, [view]).fetchall()) == {("bellbird_app", "select")}


def test_functions_with_anothers_rights_are_few_and_closed(owner: Connection) -> None:
    rows = owner.execute(
        "select proname, proowner::regrole::text, proconfig, proacl::text[] from pg_proc"
        " where prosecdef and pronamespace = 'public'::regnamespace"
    ).fetchall()
    closed = ["bellbird_system=X/bellbird_system", "bellbird_app=X/bellbird_system"]
    # The log's months are made and dropped by the tables' owner, for the system role, who hardly waits.
    path, months = "search_path=pg_catalog, public", ["postgres=X/postgres", "bellbird_system=X/postgres"]
    of_owner = {name: (name, "postgres", [path, "lock_timeout=500ms"], months)
                for name in ("drop_event_months", "make_months")}  # fmt: skip
    assert [row for row in sorted(rows) if row[0] in of_owner] == list(of_owner.values())
    assert [row for row in sorted(rows) if row[0] not in of_owner] == [
        (name, "bellbird_system", ["search_path=pg_catalog, public"], closed)
        for name in ("defer_job", "ensure_user", "forget_contact")
    ]


def test_the_application_sees_no_person_outside_its_tenant(owner: Connection) -> None:
    """People and their passwords, and who failed to sign in, are of no tenant: the system role's alone."""
    for table in ("users", "sign_in_failures"):
        assert {role for role, _ in owner.execute(GRANTS, [table]).fetchall()} == {"bellbird_system"}
