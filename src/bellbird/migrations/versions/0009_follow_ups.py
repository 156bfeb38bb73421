"""Follow-ups, and what makes statistics of calls fast."""

from alembic import op

from bellbird.core.migrate import tenant_table

revision = "0009"
down_revision = "0008"

# Whom to call back: a contact, or a number that is nobody's yet, or both. `call_id` is the call it was agreed in.
FOLLOW_UPS = """
  id uuid not null,
  contact_id uuid,
  number text,
  call_id uuid,
  agent_id uuid,
  due_at timestamptz not null,
  note text,
  state text not null,
  created_by text not null,
  version integer not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  ended_at timestamptz,
  constraint follow_ups_state check (state in ('open', 'done', 'canceled')),
  constraint follow_ups_whom check (contact_id is not null or number is not null),
  constraint follow_ups_end check ((ended_at is null) = (state = 'open'))
"""

INDEXES = {
    # The due list, of everybody and of one agent.
    "follow_ups_due": "(tenant_id, state, due_at, id)",
    "follow_ups_of_agent": "(tenant_id, agent_id, state, due_at, id) where agent_id is not null",
    # Who is calling: the one that is due soonest of each contact who may be.
    "follow_ups_of_contact": "(tenant_id, contact_id, state, due_at) where contact_id is not null",
    "follow_ups_of_call": "(tenant_id, call_id) where call_id is not null",
}


# A day of a tenant's calls, counted once it is over and nothing more happens to them as a rule (ADR 23). `zone` says
# what a day was taken to be: the tenant may have moved since.
CALL_DAYS = """
  id uuid not null,
  day date not null,
  zone text not null,
  begins_at timestamptz not null,
  ends_at timestamptz not null,
  counted_at timestamptz not null
"""

# `kind` says by what: `day` has agent, direction, disposition and outcome; `hour` those but the agent; `agent` the hour
# and the agent alone. So each has few rows, and any two of them can be asked for together.
CALL_COUNTS = """
  id uuid not null,
  day date not null,
  kind text not null,
  hour smallint,
  agent_id uuid,
  direction text,
  disposition text,
  outcome text,
  calls integer not null,
  answered integer not null,
  talked bigint not null,
  constraint call_counts_kind check (kind in ('day', 'hour', 'agent'))
"""

# A call of a day that may have been counted has changed since: that day's counts do not hold any more. What is a day
# old may have been: a day is counted two days after its end, so that no transaction is open by then that has not seen
# this.
CALL_CORRECTIONS = """
  id uuid not null,
  call_at timestamptz not null
"""

COUNT_INDEXES = {"unique call_days_once": "(tenant_id, day)"}
COUNTS_INDEXES = {
    # Read from the index alone: a month is some ten thousand of them.
    "call_counts_of_day": "(tenant_id, kind, day) include (hour, agent_id, direction, disposition, outcome, calls, "
    "answered, talked)",
}


def upgrade() -> None:
    for statement in [
        *tenant_table("follow_ups", FOLLOW_UPS, indexes=INDEXES),
        *tenant_table("call_days", CALL_DAYS, indexes=COUNT_INDEXES),
        *tenant_table("call_counts", CALL_COUNTS, indexes=COUNTS_INDEXES),
        *tenant_table(
            "call_corrections", CALL_CORRECTIONS, indexes={"call_corrections_of_day": "(tenant_id, call_at)"}
        ),
    ]:  # fmt: skip
        op.execute(statement)
