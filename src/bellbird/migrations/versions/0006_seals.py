"""The seals of the event log, and the months that it is kept in."""

from alembic import op

from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE
from bellbird.core.migrate import OWN_TENANT, tenant_table

revision = "0006"
down_revision = "0005"

# A seal is of the tenant's events with `after <= tx < upto`, in the order of the log. `leaves` is 48 bytes for each:
# its id and its leaf in the tree of which `root` is the root; null once all of them are older than the log is kept.
# `newest` is the greatest id among them.
SEALS = """
  id uuid not null,
  number integer not null,
  sealed_at timestamptz not null,
  after xid8 not null,
  upto xid8 not null,
  events integer not null,
  newest uuid not null,
  root bytea not null,
  previous bytea not null,
  hash bytea not null,
  mac bytea not null,
  leaves bytea
"""

# Hashes cannot be made smaller: nobody is to try.
AS_THEY_ARE = "alter table seals alter column leaves set storage external"

# The months of the log are partitions, and only their owner makes and drops those. The system role may have it done.
# It hardly waits for anybody: whoever waits for this lock is waited for by everybody else.
MAKE_MONTHS = f"""
create function make_event_months(ahead integer) returns text[]
language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '500ms' as $$
declare
  made text[] = '{{}}';
  month timestamp = date_trunc('month', now() at time zone 'UTC');
  name text;
  bounds uuid[];
begin
  for step in 0..ahead loop
    name = 'events_default_' || to_char(month, 'YYYY_MM');
    select array_agg((lpad(to_hex((extract(epoch from edge) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
      order by edge) into bounds from unnest(array[month, month + interval '1 month']) edge;
    if to_regclass('public.' || name) is null
      and not exists (select from events_default_rest where id >= bounds[1] and id < bounds[2])
    then
      execute format('create table public.%I partition of public.events_default for values from (%L) to (%L)',
        name, bounds[1], bounds[2]);
      execute format('alter table public.%I enable row level security', name);
      execute format('alter table public.%I force row level security', name);
      execute format('create policy own_tenant on public.%I to {APP_ROLE} using (%s)', name,
        $policy${OWN_TENANT}$policy$);
      execute format('create policy every_tenant on public.%I to {SYSTEM_ROLE} using (true)', name);
      made = made || name;
    end if;
    month = month + interval '1 month';
  end loop;
  return made;
end $$;
"""

DROP_MONTHS = """
create function drop_event_months(before timestamptz) returns text[]
language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '500ms' as $$
declare
  dropped text[] = '{}';
  name text;
begin
  for name in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'public.events_default'::regclass and c.relname ~ '^events_default_[0-9]{4}_[0-9]{2}$'
      and to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month' <= before at time zone 'UTC'
    order by 1
  loop
    execute format('drop table public.%I', name);
    dropped = dropped || name;
  end loop;
  return dropped;
end $$;
"""

GRANTS = f"""
revoke all on function make_event_months, drop_event_months from public;
grant execute on function make_event_months, drop_event_months to {SYSTEM_ROLE};
"""


def upgrade() -> None:
    for statement in [
        *tenant_table(
            "seals", SEALS, app_may="select", indexes={"unique seals_number_unique": "(tenant_id, number)"}
        ),
        AS_THEY_ARE,
        MAKE_MONTHS,
        DROP_MONTHS,
        GRANTS,
    ]:  # fmt: skip
        op.execute(statement)
