"""Every verb that changes a row says what changed, old and new; and no secret of anybody is in the log."""

from typing import Any

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.features import keys, sessions, tenants, users
from bellbird.features.keys import NewKey
from bellbird.features.sessions import Acceptance, SignIn
from tests import people
from tests.conftest import SECRET
from tests.people import PASSWORD, cheap_passwords  # noqa: F401 - a fixture
from tests.rules.test_events import SETTINGS


@pytest.fixture
async def made(clone: str) -> Any:
    async with Engine(clone, secret=SECRET) as engine:
        async with engine.system(Actor.system()) as tx:
            tenant = await tenants.create(tx, "acme")
        with psycopg.connect(clone, autocommit=True) as owner:
            yield engine, tenant, owner


async def test_what_was_given_and_what_ended_is_told(made: Any) -> None:
    engine, tenant, owner = made
    async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
        key = await keys.create(tx, NewKey(name="robot", scopes=("contacts:read",)))
        ann = await people.user(tx, name="Ann", role="owner")
        bob = await people.invited(tx, name="Bob")
        await keys.revoke(tx, key.id)
        again = await users.invite(tx, bob.id)
    started = await sessions.sign_in(engine, SETTINGS, SignIn(email=ann.email, password=PASSWORD))
    await sessions.accept(engine, SETTINGS, Acceptance(token=again.token, password=PASSWORD))
    async with engine.tenant(tenant.id, Actor.user(ann.id)) as tx:
        await sessions.end_all(tx)
    rows = owner.execute("select type, changes, changes::text || coalesce(data::text, '') from events order by id")
    told: dict[str, Any] = {}
    for type, changes, text in rows.fetchall():
        assert changes, type
        told[type] = changes
        for secret in (key.key, started.refresh_token, again.token, bob.invitation.token, PASSWORD, "argon2", "hash"):  # type: ignore[union-attr]
            assert str(secret) not in text, type
    assert told["tenant.created"]["slug"] == [None, "acme"]
    assert told["tenant.created"]["keep_events_months"] == [None, 84]
    assert told["key.revoked"]["revoked_at"][0] is None
    assert told["user.invited"]["invited_until"][1] is not None
    assert told["user.joined"]["joined_at"][1] is not None
    assert told["session.started"]["user_id"][0] is None
    assert told["session.ended"]["ended_because"] == [None, "signed out"] or told["session.ended"]["ended_because"][1]
