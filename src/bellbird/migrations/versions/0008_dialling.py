"""Consents, opt-outs, washes and dial decisions."""

from alembic import op

from bellbird.core.migrate import tenant_table

revision = "0008"
down_revision = "0007"

# Somebody's word that they may be called. `number` is null where it holds for all of theirs; `any_time` where it is for
# hours, too, at which nobody may be called unasked. Without `expires_at` the law says for how long it holds, unless
# they have said themselves that it does until they take it back (`indefinite`).
CONSENTS = """
  id uuid not null,
  contact_id uuid not null,
  number text,
  purpose text not null,
  channel text not null default 'phone',
  granted_at timestamptz not null,
  expires_at timestamptz,
  indefinite boolean not null,
  any_time boolean not null,
  source text not null,
  evidence text,
  created_by text not null,
  created_at timestamptz not null,
  withdrawn_at timestamptz,
  withdrawn_by text,
  constraint consents_purpose check (purpose in ('telemarketing', 'research', 'service')),
  constraint consents_ends_after_it_begins check (expires_at > granted_at)
"""

# Numbers whose bearer does not want to be called. One that was removed stays, with why.
OPT_OUTS = """
  id uuid not null,
  number text not null,
  contact_id uuid,
  source text not null,
  note text,
  created_by text not null,
  created_at timestamptz not null,
  removed_at timestamptz,
  removed_by text,
  removed_reason text
"""

# Whether a number was on the Do Not Call Register when it was asked about last.
WASHES = """
  id uuid not null,
  number text not null,
  listed boolean not null,
  washed_at timestamptz not null,
  source text not null,
  created_at timestamptz not null
"""

# Each answer that was given to "may I call?", with what it was based on. `number` is null once it was purged.
DIAL_DECISIONS = """
  id uuid not null,
  number text,
  contact_id uuid,
  from_number text,
  purpose text not null,
  at timestamptz not null,
  allowed boolean not null,
  reasons jsonb not null,
  warnings jsonb not null,
  next_permitted_at timestamptz,
  evidence jsonb not null,
  explanation text not null,
  call_id uuid,
  created_by text not null
"""


def upgrade() -> None:
    for statement in [
        *tenant_table("consents", CONSENTS, indexes={"consents_of_contact": "(tenant_id, contact_id, id)"}),
        *tenant_table(
            "opt_outs",
            OPT_OUTS,
            app_may="select, insert, update",
            indexes={
                # Decides of two who opt a number out at once; and each decision looks here.
                "unique opt_outs_once": "(tenant_id, number) where removed_at is null",
                "opt_outs_of_contact": "(tenant_id, contact_id) where contact_id is not null",
            },
        ),
        *tenant_table(
            "washes",
            WASHES,
            app_may="select, insert, update",
            indexes={"unique washes_of_number": "(tenant_id, number)"},
        ),
        *tenant_table(
            "dial_decisions",
            DIAL_DECISIONS,
            app_may="select, insert, update",
            indexes={
                "dial_decisions_of_contact": "(tenant_id, contact_id, id) where contact_id is not null",
                "dial_decisions_of_number": "(tenant_id, number, id) where number is not null",
            },
        ),
    ]:
        op.execute(statement)
