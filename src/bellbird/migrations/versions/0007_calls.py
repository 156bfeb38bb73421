"""Calls, what providers said of them, and the accounts they are placed with."""

from alembic import op

from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE
from bellbird.core.migrate import OWN_TENANT, tenant_table

revision = "0007"
down_revision = "0006"

# `secret` is encrypted with the deployment's own. The numbers live inside the row, as a contact's do (decision 3).
CALL_ACCOUNTS = """
  id uuid not null,
  provider text not null,
  identifier text not null,
  name text not null,
  secret bytea not null,
  numbers jsonb not null,
  options jsonb not null,
  status text not null,
  version integer not null default 1,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint call_accounts_status check (status in ('active', 'paused'))
"""

# `number` is the other side's, whoever called. A call that waits for its turn has `waits_until`; `claimed_at` is when a
# worker took it on, after which nobody else dials it; `hang_up_at` when somebody wanted it ended.
# `ended_by` says whether the provider told of the end or we gave it up, which a provider may still correct.
CALLS = """
  id uuid not null,
  direction text not null,
  status text not null,
  from_number text,
  to_number text,
  number text,
  contact_id uuid,
  candidates uuid[] not null,
  agent_id uuid,
  purpose text,
  account_id uuid not null,
  provider text not null,
  provider_call_id text,
  answered_by text,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  initiated_at timestamptz,
  ringing_at timestamptz,
  answered_at timestamptz,
  ended_at timestamptz,
  duration integer,
  disposition text,
  reason text,
  outcome text,
  notes text,
  recording_url text,
  cost numeric(14, 6),
  currency text,
  decision jsonb,
  ring_seconds integer not null,
  record boolean not null,
  detect_machine boolean not null,
  created_by text not null,
  version integer not null,
  waits_until timestamptz,
  claimed_at timestamptz,
  hang_up_at timestamptz,
  ended_by text,
  constraint calls_direction check (direction in ('outbound', 'inbound')),
  constraint calls_status check (status in (
    'queued', 'initiated', 'ringing', 'in_progress', 'completed', 'busy', 'no_answer', 'failed', 'canceled')),
  constraint calls_end check (
    (ended_at is not null) = (status in ('completed', 'busy', 'no_answer', 'failed', 'canceled')))
"""

CALL_INDEXES = {
    "calls_of_contact": "(tenant_id, contact_id, id) where contact_id is not null",
    "calls_of_agent": "(tenant_id, agent_id, id) where agent_id is not null",
    "calls_of_number": "(tenant_id, number, id) where number is not null",
    "calls_of_provider": "(tenant_id, provider_call_id) where provider_call_id is not null",
    # With several whom they may have been with: few, until the agent confirms one.
    "calls_unconfirmed": "(tenant_id, id) where candidates <> '{}'",
    # What is under way is little, however many calls there were: limits are counted here, and the reaper looks here.
    "calls_live": "(tenant_id, id) where ended_at is null",
}

# Each callback as it came (`body`) and as it was understood (`update`); one that comes again is counted in `times`.
CALL_CALLBACKS = """
  id uuid not null,
  call_id uuid,
  account_id uuid not null,
  provider text not null,
  provider_call_id text not null,
  fingerprint bytea not null,
  status text,
  sequence integer,
  at timestamptz,
  update jsonb not null,
  body text not null,
  verdict text not null,
  times integer not null default 1
"""

CALLBACK_INDEXES = {
    "unique call_callbacks_once": "(tenant_id, provider_call_id, fingerprint)",
    "call_callbacks_of_call": "(tenant_id, call_id, id) where call_id is not null",
}

# As it was for the event log alone: any table by month now.
MAKE_MONTHS = f"""
drop function make_event_months;
create function make_months(heavy text, ahead integer) returns text[]
language plpgsql security definer set search_path = pg_catalog, public set lock_timeout = '500ms' as $$
declare
  made text[] = '{{}}';
  month timestamp = date_trunc('month', now() at time zone 'UTC');
  name text;
  bounds uuid[];
  needless boolean;
begin
  if heavy not in ('events', 'calls') then
    raise exception 'make_months: % is not kept by month', heavy using errcode = 'invalid_parameter_value';
  end if;
  for step in 0..ahead loop
    name = heavy || '_default_' || to_char(month, 'YYYY_MM');
    select array_agg((lpad(to_hex((extract(epoch from edge) * 1000)::bigint), 12, '0') || '70008000000000000000')::uuid
      order by edge) into bounds from unnest(array[month, month + interval '1 month']) edge;
    needless = to_regclass('public.' || name) is not null;
    if not needless then
      execute format('select exists (select from public.%I where id >= %L and id < %L)',
        heavy || '_default_rest', bounds[1], bounds[2]) into needless;
    end if;
    if not needless then
      execute format('create table public.%I partition of public.%I for values from (%L) to (%L)',
        name, heavy || '_default', bounds[1], bounds[2]);
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
revoke all on function make_months from public;
grant execute on function make_months to {SYSTEM_ROLE};
"""

# As it was, and with it the events of the contact's calls from before it was known whose those were.
FORGET = """
create or replace function forget_contact(tenant uuid, contact uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
declare
  forgotten bigint;
  other bigint;
  theirs uuid[];
begin
  if tenant <> current_setting('app.tenant_id')::uuid then
    raise exception 'forget_contact: not this transaction''s tenant' using errcode = 'insufficient_privilege';
  end if;
  select coalesce(array_agg(id), '{}') into theirs from calls where tenant_id = tenant and contact_id = contact;
  update events
  set changes = null, data = null, proof = overlay(proof placing '\\x00000000000000000000000000000000' from 1 for 16)
  where tenant_id = tenant and contact_id = contact;
  get diagnostics forgotten = row_count;
  update events
  set changes = null, data = null, proof = overlay(proof placing '\\x00000000000000000000000000000000' from 1 for 16)
  where tenant_id = tenant and entity_id = any(theirs) and (contact_id is null or contact_id <> entity_id)
    and contact_id is distinct from contact;
  get diagnostics other = row_count;
  update parked_events set reason = ''
  where tenant_id = tenant and event_id in (
    select id from events where tenant_id = tenant and contact_id = contact
    union all
    select id from events
    where tenant_id = tenant and entity_id = any(theirs) and (contact_id is null or contact_id <> entity_id));
  delete from idempotency_keys where tenant_id = tenant and (contact = any(entities) or entities && theirs);
  return forgotten + other;
end $$;
"""

# Calling hours were one week for all; they are kept by region and purpose now, and were never read before.
FORGET_HOURS = "update tenants set settings = settings - 'calling_hours'"


def upgrade() -> None:
    for statement in [
        *tenant_table(
            "call_accounts",
            CALL_ACCOUNTS,
            indexes={"unique call_accounts_unique": "(tenant_id, provider, identifier)"},
        ),
        *tenant_table(
            "calls", CALLS, app_may="select, insert, update", partition="month", indexes=CALL_INDEXES
        ),
        *tenant_table(
            "call_callbacks", CALL_CALLBACKS, app_may="select, insert, update", indexes=CALLBACK_INDEXES
        ),
        MAKE_MONTHS,
        FORGET,
        FORGET_HOURS,
    ]:  # fmt: skip
        op.execute(statement)
