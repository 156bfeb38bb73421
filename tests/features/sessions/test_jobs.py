"""Periodic jobs: what is over is cleared away, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg

from bellbird.core.engine import Engine
from bellbird.core.jobs import JobContext
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features.sessions import jobs

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]

SESSION = """
insert into sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at) values (%s, %s, %s, %s, %s, %s)
"""
TOKEN = """
insert into refresh_tokens (tenant_id, id, session_id, secret_hash, issued_at, expires_at)
values (%s, %s, %s, '', %s, %s)
"""


async def test_sessions_that_have_expired_go_with_their_tokens(
    engine: Engine, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    now = datetime.now(UTC)

    def session(of: Tenant, ends_in: timedelta) -> UUID:
        id = uuid4()
        owner.execute(SESSION, [of.id, id, uuid4(), now, now, now + ends_in])
        owner.execute(TOKEN, [of.id, uuid4(), id, now, now + ends_in])
        return id

    session(tenant, timedelta(seconds=-1))
    session(other_tenant, timedelta(days=-40))
    owner.execute("update tenants set status = 'suspended' where id = %s", [other_tenant.id])
    left = session(tenant, timedelta(hours=1))
    await jobs.forget_sessions(JobContext(engine, SETTINGS, 1, "sessions.forget"))
    both = [tenant.id, other_tenant.id]
    assert owner.execute("select id from sessions where tenant_id = any(%s)", [both]).fetchall() == [(left,)]
    assert owner.execute("select session_id from refresh_tokens where tenant_id = any(%s)", [both]).fetchall() == [
        (left,)
    ]


async def test_wrong_passwords_are_forgotten_when_they_hold_nobody_up(
    engine: Engine, owner: psycopg.Connection[Any]
) -> None:
    now = datetime.now(UTC)
    old, young = uuid4().bytes, uuid4().bytes
    for key, since in ((old, now - timedelta(minutes=31)), (young, now - timedelta(minutes=29))):
        owner.execute("insert into sign_in_failures values (%s, 3, %s)", [key, since])
    await jobs.forget_failures(JobContext(engine, SETTINGS, 1, "sessions.forget_failures"))
    keys = {key for (key,) in owner.execute("select key from sign_in_failures").fetchall()}
    assert young in keys
    assert old not in keys
