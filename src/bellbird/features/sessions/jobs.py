"""Periodic jobs: sessions that are over, and what was counted of wrong passwords."""

from typing import Final

from bellbird.core import jobs, sweeps
from bellbird.core.actors import Actor
from bellbird.core.engine import Tx
from bellbird.core.jobs import JobContext
from bellbird.features.sessions.throttling import WINDOW

AT_ONCE: Final = 500

# Tokens first, as whoever refreshes locks them first.
FORGET_TOKENS = f"""
delete from refresh_tokens
where tenant_id = $1 and session_id = any(array(
  select id from sessions where tenant_id = $1 and expires_at <= $2 order by id limit {AT_ONCE}))
"""
FORGET_SESSIONS = f"""
delete from sessions
where tenant_id = $1 and id = any(array(
  select s.id from sessions s where s.tenant_id = $1 and s.expires_at <= $2
    and not exists (select from refresh_tokens t where t.tenant_id = $1 and t.session_id = s.id)
  order by s.id limit {AT_ONCE}))
"""


@jobs.periodic("41 * * * *", "sessions.forget")
async def forget_sessions(context: JobContext) -> None:
    """Delete sessions that have expired, with their refresh tokens."""

    async def batch(tx: Tx) -> bool:
        now = tx.clock.now()
        tx.queue(FORGET_TOKENS, tx.tenant_id, now)
        return await tx.run(FORGET_SESSIONS, tx.tenant_id, now) == AT_ONCE

    await sweeps.sweep(context.engine, "sessions.forget", batch)


FORGET_FAILURES = f"""
delete from sign_in_failures
where key = any(array(
  select key from sign_in_failures where since <= $1 order by since limit {AT_ONCE} for update skip locked))
"""


@jobs.periodic("*/15 * * * *", "sessions.forget_failures")
async def forget_failures(context: JobContext) -> None:
    """Delete what was counted of wrong passwords so long ago that it holds nobody up any more."""
    more = True
    while more:
        async with context.engine.system(Actor.system("sessions.forget_failures", origin="job")) as tx:
            more = await tx.run(FORGET_FAILURES, tx.clock.now() - 2 * WINDOW) == AT_ONCE
