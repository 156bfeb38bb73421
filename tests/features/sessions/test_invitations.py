"""Accepting an invitation; and the ways in which somebody else might come in with it, none of which lead in."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core import credentials
from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine
from bellbird.core.errors import InvalidInput
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import sessions, tenants, users
from bellbird.features.sessions import (
    Acceptance,
    Caller,
    InvalidCredentials,
    InvitationInvalid,
    PasswordChange,
    SignIn,
    Started,
    TenantNeeded,
    TooManySignIns,
)
from bellbird.features.users import User, UserPatch
from tests import people
from tests.conftest import Begin, NewTenant
from tests.people import OTHER, PASSWORD, Counted

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


async def accept(engine: Engine, of: User | str, password: str = PASSWORD, **more: Any) -> Started:
    assert isinstance(of, str) or of.invitation
    token = of if isinstance(of, str) else of.invitation.token  # type: ignore[union-attr]
    caller = Caller(origin="api", request_id="r-1")
    return await sessions.accept(engine, SETTINGS, Acceptance(token=token, password=password, **more), caller)


async def enter(engine: Engine, who: User, password: str = PASSWORD, tenant: Tenant | None = None) -> Started:
    given = SignIn(email=who.email, password=password, tenant=tenant.slug if tenant else None)
    return await sessions.sign_in(engine, SETTINGS, given)


def faults(refused: Any) -> list[tuple[str, str]]:
    return [(fault.pointer, fault.code) for fault in refused.value.faults]


async def test_an_invitation_is_accepted_once_and_signs_in(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        invited = await people.invited(tx)
    with pytest.raises(InvalidCredentials):
        await enter(engine, invited)
    started = await accept(engine, invited, name=" Annie  Lee")
    assert (started.user.id, started.user.name, started.tenant.id) == (invited.id, "Annie Lee", tenant.id)
    async with begin() as tx:
        joined = await users.get(tx, invited.id)
    assert (joined.name, joined.invited_until, joined.version) == ("Annie Lee", None, 2)
    assert joined.joined_at
    rows = owner.execute(
        "select type, actor, origin, request_id from events where tenant_id = %s and type <> 'user.added' order by id",
        [tenant.id],
    ).fetchall()
    assert rows[1:] == [(type, f"user:{invited.id}", "api", "r-1") for type in ("user.joined", "session.started")]
    assert await enter(engine, invited)
    for password in (PASSWORD, OTHER):
        with pytest.raises(InvitationInvalid, match="accepted already"):
            await accept(engine, invited, password)
    assert invited.invitation
    assert people.rows_with(owner, PASSWORD, invited.invitation.token) == []


async def test_of_many_who_accept_at_once_one_does(engine: Engine, begin: Begin) -> None:
    async with begin() as tx:
        invited = await people.invited(tx)
    passwords = [f"chosen by number {n}" for n in range(8)]
    outcomes = await asyncio.gather(*[accept(engine, invited, each) for each in passwords], return_exceptions=True)
    right = [password for password, each in zip(passwords, outcomes, strict=True) if isinstance(each, Started)]
    assert len(right) == 1
    assert {type(each) for each in outcomes} <= {Started, InvitationInvalid}
    assert await enter(engine, invited, right[0])


async def test_an_invitation_that_is_no_good_says_why(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        replaced, gone, late = [await people.invited(tx) for _ in range(3)]
        await users.invite(tx, replaced.id)
        await users.remove(tx, gone.id)
    assert late.invitation
    owner.execute("update memberships set invited_until = now() where id = %s", [late.id])
    for token, said in (
        (replaced, "another one was made"),
        (gone, "was accepted already|membership was ended"),
        (late, "has expired"),
        (late.invitation.token[:-1], "copied whole"),
        ("", "bb_invite_"),
        (credentials.make("invite", tenant.id, late.id).text, "accepted already"),
        (credentials.make("invite", tenant.id, uuid4()).text, "accepted already"),
        (credentials.make("invite", uuid4(), late.id).text, "accepted already"),
        (credentials.make("refresh", tenant.id, late.id).text, "bb_invite_"),
    ):
        with pytest.raises(InvitationInvalid, match=said) as refused:
            await accept(engine, token)
        assert faults(refused) == [("/token", "invalid_token")]
        assert refused.value.status == 422


async def test_a_password_or_a_name_that_will_not_do_leaves_the_invitation_good(engine: Engine, begin: Begin) -> None:
    async with begin() as tx:
        invited = await people.invited(tx)
    for password, more, pointer in (
        ("short", {}, "/password"),
        ("ann.lee 123456", {}, "/password"),
        (PASSWORD, {"name": "x" * 201}, "/name"),
        (PASSWORD, {"name": "a\0b"}, "/name"),
        ("Annie Oakley 9", {"name": "Annie Oakley"}, "/password"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await accept(engine, invited, password, **more)
        assert [where for where, _ in faults(refused)] == [pointer]
    assert (await accept(engine, invited, name=" ")).user.name == "Ann Lee"


async def test_it_is_good_for_a_week(engine: Engine, begin: Begin) -> None:
    present, engine.clock = engine.clock, FakeClock(engine.clock.now())
    try:
        async with begin() as tx:
            early, late = await people.invited(tx), await people.invited(tx)
        engine.clock.move(timedelta(days=7, seconds=-1))
        assert await accept(engine, early)
        engine.clock.move(timedelta(seconds=1))
        with pytest.raises(InvitationInvalid, match="expired"):
            await accept(engine, late)
    finally:
        engine.clock = present


async def test_people_join_a_suspended_tenant_and_none_that_is_being_deleted(
    engine: Engine, begin: Begin, tenant: Tenant
) -> None:
    async with begin() as tx:
        one, two = await people.invited(tx), await people.invited(tx)
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    assert (await accept(engine, one)).tenant.status == "suspended"
    async with engine.system(Actor.system()) as system:
        await system.run("update tenants set status = 'deleting' where id = $1", tenant.id)
    with pytest.raises(InvitationInvalid):
        await accept(engine, two)


# Who has an account already.


@pytest.fixture
async def known(engine: Engine, begin: Begin, other_tenant: Tenant) -> User:
    """Somebody who chose a password of their own in another tenant."""
    async with begin(other_tenant) as tx:
        invited = await people.invited(tx)
    await accept(engine, invited)
    return invited


async def test_who_has_an_account_joins_with_the_password_they_have(
    engine: Engine, begin: Begin, known: User, tenant: Tenant, owner: psycopg.Connection[Any], verifications: Counted
) -> None:
    before = owner.execute("select password_hash from users where id = %s", [known.id]).fetchone()
    async with begin() as tx:
        here = await people.invited(tx, email=known.email)
    assert (await enter(engine, known)).tenant.id != tenant.id, "not before it is accepted"
    for password in (OTHER, "short", ""):
        with pytest.raises(InvalidInput) as refused:
            await accept(engine, here, password)
        assert faults(refused) == [("/password", "wrong_password")]
    started = await accept(engine, here, name="Ann of Here")
    assert (started.tenant.id, started.user.name) == (tenant.id, "Ann of Here")
    assert owner.execute("select password_hash from users where id = %s", [known.id]).fetchone() == before
    assert (await enter(engine, known, tenant=tenant)).tenant.id == tenant.id


async def test_an_invitation_is_no_way_to_guess_a_password(
    engine: Engine, begin: Begin, known: User, verifications: Counted
) -> None:
    async with begin() as tx:
        here = await people.invited(tx, email=known.email)
    for _ in range(10):
        with pytest.raises(InvalidInput):
            await accept(engine, here, OTHER)
    before = verifications.times
    with pytest.raises(TooManySignIns):
        await accept(engine, here)
    with pytest.raises(TooManySignIns):
        await enter(engine, known)
    assert verifications.times == before


# Somebody else's tenant, in which anybody can be invited.


async def test_who_accepts_an_invitation_in_anothers_name_gets_into_their_own_tenant_alone(
    engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Two tenants invite one person; the other one's administrator accepts their own invitation, and has a password."""
    async with begin() as tx:
        real = await people.invited(tx, role="owner")
    async with begin(other_tenant) as tx:
        bait = await people.invited(tx, email=real.email)
    assert (await accept(engine, bait, "the thief's own words")).tenant.id == other_tenant.id
    assert (await enter(engine, real, "the thief's own words")).tenant.id == other_tenant.id
    with pytest.raises(TenantNeeded):
        await enter(engine, real, "the thief's own words", tenant)
    with pytest.raises(InvalidInput):
        await accept(engine, real, PASSWORD)
    # The operator gives the account to whoever it is.
    async with engine.system(Actor.system()) as system:
        reset = await users.reset_password(system, tenant.id, real.id)
    assert (await accept(engine, reset.token, PASSWORD)).tenant.id == tenant.id
    with pytest.raises(InvalidCredentials):
        await enter(engine, real, "the thief's own words", other_tenant)


async def test_a_password_that_was_given_by_somebody_does_not_lead_into_other_tenants(
    engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant
) -> None:
    """Whoever made an account knows its password, and would come in with whomever it is for."""
    async with begin(other_tenant) as tx:
        given = await people.user(tx, password="known to the administrator")
    async with begin() as tx:
        here = await people.invited(tx, email=given.email)
    with pytest.raises(InvalidInput) as refused:
        await accept(engine, here, "known to the administrator")
    assert faults(refused) == [("/password", "password_given")]
    there = await enter(engine, given, "known to the administrator")
    change = PasswordChange(current_password="known to the administrator", new_password=PASSWORD)
    await sessions.change_password(engine, SETTINGS, Actor.user(given.id), change, session_id=there.id)
    assert (await accept(engine, here)).tenant.id == tenant.id


async def test_while_a_password_is_reset_no_other_tenant_gives_one(
    engine: Engine, begin: Begin, known: User, new_tenant: NewTenant, other_tenant: Tenant
) -> None:
    async with engine.system(Actor.system()) as system:
        reset = await users.reset_password(system, other_tenant.id, known.id)
    thiefs: Tenant = await new_tenant()
    async with begin(thiefs) as tx:
        bait = await people.invited(tx, email=known.email)
    with pytest.raises(InvalidInput) as refused:
        await accept(engine, bait, "the thief's own words")
    assert faults(refused) == [("/password", "wrong_password")]
    for password in (PASSWORD, "the thief's own words"):
        with pytest.raises(InvalidCredentials):
            await enter(engine, known, password)
    assert (await accept(engine, reset.token, OTHER)).tenant.id == other_tenant.id
    assert await enter(engine, known, OTHER)


async def test_after_a_reset_a_new_password_is_told_in_every_tenant(
    engine: Engine, begin: Begin, known: User, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        here = await people.invited(tx, email=known.email)
    await accept(engine, here)
    async with engine.system(Actor.system()) as system:
        reset = await users.reset_password(system, tenant.id, known.id)
    await accept(engine, reset.token, OTHER)
    for of in (tenant, other_tenant):
        rows = owner.execute(
            "select type from events where tenant_id = %s and entity_id = %s order by id desc limit 2",
            [of.id, known.id],
        )
        assert rows.fetchall() == [("user.password_changed",), ("user.password_reset",)]
    with pytest.raises(InvitationInvalid):
        await accept(engine, reset.token, PASSWORD)


async def test_whoever_was_let_in_again_has_to_be_invited_again_if_they_never_joined(
    engine: Engine, begin: Begin
) -> None:
    async with begin() as tx:
        invited = await people.invited(tx)
        await users.remove(tx, invited.id)
        await users.update(tx, invited.id, UserPatch(disabled=False))
    with pytest.raises(InvitationInvalid):
        await accept(engine, invited)
    async with begin() as tx:
        again = await users.invite(tx, invited.id)
    assert await accept(engine, again.token)


def test_what_is_sent_can_be_shown_without_its_secrets() -> None:
    shown = repr(Acceptance(token="bb_invite_x", password=PASSWORD))
    assert PASSWORD not in shown and "bb_invite_x" not in shown
