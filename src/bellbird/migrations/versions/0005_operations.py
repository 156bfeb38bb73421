"""Operations: long work that shows how far it is, and goes on where it was. And nobody is lost with a tenant."""

from alembic import op

from bellbird.core.migrate import tenant_table

revision = "0005"
down_revision = "0004"

# `position` is where the next batch begins, written in the transaction of the batch before it. `acting` is the actor
# who began it, with what they could do then; `owner_id` the user that they are or stand for. `wanted` is what somebody
# has asked of it while it runs, and `failures` how often its next batch has failed.
OPERATIONS = """
  id uuid not null,
  kind text not null,
  state text not null,
  wanted text,
  params jsonb not null,
  position jsonb,
  done bigint not null,
  total bigint,
  errors jsonb not null,
  error_count bigint not null,
  failures integer not null,
  reason text,
  result jsonb,
  undo_of uuid,
  undone_by uuid,
  created_by text not null,
  acting jsonb not null,
  owner_id uuid,
  request_id text,
  version integer not null default 1,
  created_at timestamptz not null,
  started_at timestamptz,
  updated_at timestamptz not null,
  finished_at timestamptz
"""

# What nobody works on any more is looked for across tenants, every minute, among the few that are not finished.
INDEXES = {"operations_unfinished": "(updated_at) where state in ('queued', 'running')"}

# A person whose only tenant is deleted goes with it. Whoever is being added to another tenant at this moment is held,
# so that the deletion sees that they belong to it; whoever has just gone is made anew.
ENSURE_USER = """
create or replace function ensure_user(
  new_id uuid, new_email text, new_email_key text, new_name text, new_password_hash text, new_at timestamptz
) returns table (id uuid, made boolean)
language plpgsql security definer set search_path = pg_catalog, public as $$
begin
  loop
    insert into users (id, email, email_key, name, password_hash, password_given, created_at, updated_at)
    values (
      new_id, new_email, new_email_key, new_name, new_password_hash, new_password_hash is not null, new_at, new_at
    )
    on conflict (email_key) do nothing;
    return query select u.id, u.id = new_id from users u where u.email_key = new_email_key for key share;
    exit when found;
  end loop;
end $$;
"""


def upgrade() -> None:
    for statement in [
        *tenant_table("operations", OPERATIONS, app_may="select, insert, update", indexes=INDEXES),
        ENSURE_USER,
    ]:
        op.execute(statement)
