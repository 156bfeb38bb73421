"""The event log as a feed: signed, kept as it was written, and found by transaction, actor, request and entity."""

from alembic import op

from bellbird.core.engine import SYSTEM_ROLE
from bellbird.core.migrate import index, tenant_table

revision = "0003"
down_revision = "0002"

# JSON rather than JSONB keeps the text as it was written, to the byte: that is what the proof is of (core/proofs.py).
AS_WRITTEN = """
alter table events
  alter column changes type json using changes::text::json,
  alter column data type json using data::text::json,
  add column proof bytea
"""

# How far each consumer of the log has come, by lane: a tenant is always in the same lane of a consumer.
CONSUMERS = f"""
create table consumers (
  name text not null,
  lane smallint not null,
  lanes smallint not null,
  tx xid8 not null,
  id uuid not null,
  moved_at timestamptz not null,
  primary key (name, lane)
);
grant select, insert, update, delete on consumers to {SYSTEM_ROLE};
"""

# What a consumer could not do: tried again at `next_try_at`, or given up at `dead_at`.
PARKED = """
  id uuid not null,
  consumer text not null,
  event_id uuid not null,
  tries integer not null,
  reason text not null,
  parked_at timestamptz not null,
  next_try_at timestamptz,
  dead_at timestamptz
"""

# A purge takes the personal data out of the contact's events, and the salt without which what it was cannot be tried
# out; the proof of everything else stays. Why a consumer failed may tell of it too.
FORGET = """
create or replace function forget_contact(tenant uuid, contact uuid) returns bigint
language plpgsql security definer set search_path = pg_catalog, public as $$
declare forgotten bigint;
begin
  if tenant <> current_setting('app.tenant_id')::uuid then
    raise exception 'forget_contact: not this transaction''s tenant' using errcode = 'insufficient_privilege';
  end if;
  update events
  set changes = null, data = null, proof = overlay(proof placing '\\x00000000000000000000000000000000' from 1 for 16)
  where tenant_id = tenant and contact_id = contact;
  get diagnostics forgotten = row_count;
  update parked_events set reason = ''
  where tenant_id = tenant and event_id in (select id from events where tenant_id = tenant and contact_id = contact);
  delete from idempotency_keys where tenant_id = tenant and contact = any(entities);
  return forgotten;
end $$;
"""

EVENT_INDEXES = {
    # The feed of all tenants, and that of one: in commit order.
    "events_feed": "(tx, id)",
    "events_feed_of_tenant": "(tenant_id, tx, id)",
    # The audit log by who did it, and in which request; by what it is about, where that is no contact.
    "events_of_actor": "(tenant_id, actor, id)",
    "events_of_request": "(tenant_id, request_id, id) where request_id is not null",
    "events_of_entity": "(tenant_id, entity_id, id) where contact_id is null or contact_id <> entity_id",
}


def upgrade() -> None:
    for statement in [
        AS_WRITTEN,
        *(each for name, on in EVENT_INDEXES.items() for each in index("events", name, on, partitioned=True)),
        CONSUMERS,
        *tenant_table(
            "parked_events", PARKED, app_may="select",
            indexes={
                "unique parked_events_once": "(tenant_id, consumer, event_id)",
                "parked_events_due": "(consumer, next_try_at) where next_try_at is not null",
            },
        ),
        FORGET,
    ]:  # fmt: skip
        op.execute(statement)
