"""Tenants, contacts and the event log."""

from alembic import op

from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE
from bellbird.core.migrate import tenant_table, tenant_view, walls

revision = "0001"
down_revision = None

# Roles belong to the whole server: another database's migration may have made them a moment ago.
ROLES = f"""
do $$ begin
  if not exists (select from pg_roles where rolname = '{APP_ROLE}') then create role {APP_ROLE} noinherit; end if;
exception when duplicate_object or unique_violation then null; end $$;
do $$ begin
  if not exists (select from pg_roles where rolname = '{SYSTEM_ROLE}') then create role {SYSTEM_ROLE} noinherit; end if;
exception when duplicate_object or unique_violation then null; end $$;
do $$ begin
  if not pg_has_role(current_user, '{APP_ROLE}', 'member') or not pg_has_role(current_user, '{SYSTEM_ROLE}', 'member')
  then execute format('grant {APP_ROLE}, {SYSTEM_ROLE} to %I', current_user); end if;
end $$;
"""

TENANTS = f"""
create table tenants (
  id uuid primary key,
  slug text not null,
  name text not null,
  status text not null default 'active',
  settings jsonb not null default '{{}}',
  version integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint tenants_slug_unique unique (slug),
  constraint tenants_status check (status in ('active', 'suspended', 'deleting'))
);
grant select on tenants to {APP_ROLE};
grant select, insert, update, delete on tenants to {SYSTEM_ROLE};
"""

# The lists live inside the row (decision 3); the arrays beside them are what GIN finds.
# name_key and search_text are folded by the application (core/text.py), the same way a question is.
CONTACTS = """
  id uuid not null,
  kind text not null,
  first_name text,
  last_name text,
  display_name text not null,
  company text,
  job_title text,
  phones jsonb not null,
  emails jsonb not null,
  addresses jsonb not null,
  urls jsonb not null,
  birthday date,
  timezone text,
  locale text,
  source text,
  owner_id uuid,
  tags text[] not null,
  custom jsonb not null,
  preferences jsonb not null,
  external_id text,
  version integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  deleted_at timestamptz,
  phone_numbers text[] not null,
  email_addresses text[] not null,
  email_domains text[] not null,
  name_key text collate "C" not null,
  search_text text not null,
  constraint contacts_kind check (kind in ('person', 'organisation'))
"""

# One GIN index serves lookups, array filters and search: its columns are separate key spaces, and the tenant's own
# keeps a shared domain (gmail.com) or a common name from dragging in other tenants' rows. Every search reads the list
# of pending entries from end to end, so it is kept shorter (512 kB) than the 4 MB that would suit writers alone.
CONTACT_INDEXES = {
    "contacts_find": "using gin (tenant_id, phone_numbers, email_addresses, email_domains, tags,"
    " search_text gin_trgm_ops) with (gin_pending_list_limit = 512) where deleted_at is null",
    "contacts_by_name": "(tenant_id, name_key, id) where deleted_at is null",
    "contacts_by_update": "(tenant_id, updated_at, id) where deleted_at is null",
    "contacts_deleted": "(tenant_id, deleted_at, id) where deleted_at is not null",
    "unique contacts_external_id_unique": "(tenant_id, external_id) where deleted_at is null",
}

EVENTS = """
  id uuid not null,
  tx xid8 not null default pg_current_xact_id(),
  type text not null,
  entity_type text not null,
  entity_id uuid not null,
  contact_id uuid,
  actor text not null,
  origin text not null,
  request_id text,
  changes jsonb,
  data jsonb
"""

EVENT_INDEXES = {"events_of_contact": "(tenant_id, contact_id, id) where contact_id is not null"}

# A purge takes the personal data out of the contact's events. The app role itself cannot alter the log:
# it can only ask for this, of its own tenant.
FORGET = f"""
create function forget_contact(tenant uuid, contact uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
declare forgotten bigint;
begin
  if tenant <> current_setting('app.tenant_id')::uuid then
    raise exception 'forget_contact: not this transaction''s tenant' using errcode = 'insufficient_privilege';
  end if;
  update events set changes = null, data = null where tenant_id = tenant and contact_id = contact;
  get diagnostics forgotten = row_count;
  return forgotten;
end $$;
grant create on schema public to {SYSTEM_ROLE};
alter function forget_contact owner to {SYSTEM_ROLE};
revoke create on schema public from {SYSTEM_ROLE};
revoke all on function forget_contact from public;
grant execute on function forget_contact to {APP_ROLE};
"""


def upgrade() -> None:
    for statement in [
        "create extension if not exists pg_trgm",
        "create extension if not exists btree_gin",
        ROLES,
        TENANTS,
        *walls("tenants", "id = current_setting('app.tenant_id')::uuid"),
        *tenant_table("contacts", CONTACTS, partition="list", indexes=CONTACT_INDEXES),
        *tenant_view("tenant_contacts", "contacts"),
        *tenant_table("events", EVENTS, app_may="select, insert", partition="month", indexes=EVENT_INDEXES),
        FORGET,
    ]:
        op.execute(statement)
