"""Going on with a session, ending it, and changing the password; and what becomes of a token that is stolen."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core import credentials
from bellbird.core.actors import ROLES, Actor, FieldRules
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine
from bellbird.core.errors import Forbidden, InvalidInput, NotSignedIn
from bellbird.core.principals import Claims, Principals
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import sessions, users
from bellbird.features.sessions import (
    Caller,
    InvalidCredentials,
    NoPassword,
    NoSession,
    PasswordChange,
    PasswordChanged,
    RefreshTokenInvalid,
    RefreshTokenReused,
    SessionNotFound,
    SignIn,
    Started,
    TooManySignIns,
    Withheld,
)
from bellbird.features.users import User
from tests import people
from tests.conftest import Begin, Server
from tests.people import OTHER, PASSWORD, Counted

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.fixture
async def ann(begin: Begin) -> User:
    async with begin() as tx:
        return await people.user(tx)


@pytest.fixture
async def later(engine: Engine) -> AsyncIterator[FakeClock]:
    """A clock that can be moved."""
    present, engine.clock = engine.clock, FakeClock(engine.clock.now())
    yield engine.clock  # type: ignore[misc]
    engine.clock = present


async def enter(engine: Engine, who: User, password: str = PASSWORD, tenant: Tenant | None = None) -> Started:
    given = SignIn(email=who.email, password=password, tenant=tenant.slug if tenant else None)
    return await sessions.sign_in(engine, SETTINGS, given)


def ended(owner: psycopg.Connection[Any], *of: Started) -> list[str | None]:
    """Why each session was ended."""
    rows = owner.execute("select id, ended_because from sessions where id = any(%s)", [[each.id for each in of]])
    because = dict(rows.fetchall())
    return [because[each.id] for each in of]


def signed_in(who: User) -> Actor:
    return Actor.user(who.id, permissions=frozenset(), origin="api")


# Refreshing.


async def test_a_session_goes_on_from_token_to_token(
    engine: Engine, ann: User, later: FakeClock, owner: psycopg.Connection[Any]
) -> None:
    started = await enter(engine, ann)
    tokens = [started.refresh_token]
    for _ in range(3):
        later.move(timedelta(days=5))
        following = await sessions.refresh(engine, tokens[-1])
        assert (following.id, following.user, following.tenant) == (started.id, started.user, started.tenant)
        tokens.append(following.refresh_token)
    assert len(set(tokens)) == 4
    assert people.rows_with(owner, *tokens) == []
    row = owner.execute("select last_used_at, expires_at - created_at from sessions where id = %s", [started.id])
    assert row.fetchone() == (later.now(), timedelta(days=30))


async def test_a_token_that_comes_twice_ends_the_session(
    engine: Engine, ann: User, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    started, another = await enter(engine, ann), await enter(engine, ann)
    first = await sessions.refresh(engine, started.refresh_token)
    second = await sessions.refresh(engine, first.refresh_token)
    with pytest.raises(RefreshTokenReused) as refused:
        await sessions.refresh(engine, started.refresh_token, Caller(request_id="thief", origin="api"))
    assert (refused.value.status, refused.value.code) == (401, "refresh_token_reused")
    assert ended(owner, started, another) == ["refresh token used twice", None]
    event = owner.execute(
        "select actor, origin, request_id, data from events where type = 'session.ended' and entity_id = %s",
        [started.id],
    ).fetchone()
    because = {"user_id": str(ann.id), "because": "refresh token used twice"}
    assert event == (f"user:{ann.id}", "api", "thief", because)
    for token in (second.refresh_token, first.refresh_token, started.refresh_token):
        with pytest.raises(RefreshTokenInvalid, match="refresh token used twice"):
            await sessions.refresh(engine, token)
    assert await sessions.refresh(engine, another.refresh_token)


@pytest.mark.parametrize("number", [2, 10])
async def test_of_those_who_come_with_one_token_at_once_one_wins_and_the_next_ends_it(
    engine: Engine, ann: User, owner: psycopg.Connection[Any], number: int
) -> None:
    started = await enter(engine, ann)
    outcomes = await asyncio.gather(
        *[sessions.refresh(engine, started.refresh_token) for _ in range(number)], return_exceptions=True
    )
    kinds = sorted(type(each).__name__ for each in outcomes)
    assert kinds == ["RefreshTokenInvalid"] * (number - 2) + ["RefreshTokenReused", "Started"]
    assert ended(owner, started) == ["refresh token used twice"]
    (winner,) = [each for each in outcomes if isinstance(each, Started)]
    with pytest.raises(RefreshTokenInvalid):
        await sessions.refresh(engine, winner.refresh_token)


async def test_a_token_that_is_not_used_for_two_weeks_is_over_and_a_session_after_its_days(
    engine: Engine, ann: User, later: FakeClock
) -> None:
    started = await enter(engine, ann)
    later.move(timedelta(days=14))
    with pytest.raises(RefreshTokenInvalid, match="expired"):
        await sessions.refresh(engine, started.refresh_token)
    started = await enter(engine, ann)
    for _ in range(3):
        later.move(timedelta(days=9))
        started = await sessions.refresh(engine, started.refresh_token)
    later.move(timedelta(days=3, seconds=-1))
    started = await sessions.refresh(engine, started.refresh_token)
    later.move(timedelta(seconds=1))
    with pytest.raises(RefreshTokenInvalid, match="expired"):
        await sessions.refresh(engine, started.refresh_token)


async def test_tokens_that_could_not_be_used_any_more_are_forgotten(
    engine: Engine, ann: User, later: FakeClock, owner: psycopg.Connection[Any]
) -> None:
    started = await enter(engine, ann)
    for _ in range(29):
        later.move(timedelta(days=1))
        started = await sessions.refresh(engine, started.refresh_token)
    kept = owner.execute("select count(*) from refresh_tokens where session_id = %s", [started.id]).fetchone()
    assert kept == (14,)


async def test_a_token_that_is_none_says_what_is_wrong(engine: Engine, begin: Begin, ann: User, tenant: Tenant) -> None:
    started = await enter(engine, ann)
    good = started.refresh_token
    forged = credentials.make("refresh", tenant.id, credentials.read("refresh", good).id).text
    for token, said in (
        ("", "begin with bb_refresh_"),
        (good[:-1], "copied whole"),
        (good.replace("_refresh_", "_live_"), "begin with"),
        (good[:-1] + ("x" if good[-1] != "x" else "y"), "checksum"),
        (good + "\0", "copied whole"),
        (credentials.make("refresh", tenant.id, uuid4()).text, "no such"),
        (forged, "no such"),
        (credentials.make("refresh", uuid4(), uuid4()).text, "tenant that does not exist"),
    ):
        with pytest.raises(RefreshTokenInvalid, match=said):
            await sessions.refresh(engine, token)
    assert await sessions.refresh(engine, good), "nothing of that ended the session"


@pytest.mark.parametrize("what", ["disabled", "deleted row", "signed out"])
async def test_who_is_no_member_or_signed_out_does_not_go_on(
    engine: Engine, begin: Begin, ann: User, owner: psycopg.Connection[Any], what: str
) -> None:
    started = await enter(engine, ann)
    if what == "disabled":
        async with begin() as tx:
            await users.remove(tx, ann.id)
    elif what == "signed out":
        async with begin() as tx:
            tx.actor = signed_in(ann)
            await sessions.sign_out(tx, started.id)
    else:
        owner.execute("delete from memberships where id = %s", [ann.id])
    with pytest.raises(RefreshTokenInvalid):
        await sessions.refresh(engine, started.refresh_token)
    used = owner.execute("select count(*) from refresh_tokens where session_id = %s and used_at is not null",
                         [started.id]).fetchone()  # fmt: skip
    assert used == (0,)


# What ends stops everywhere.


async def test_a_session_that_is_ended_stops_its_tokens_in_another_process_within_a_second(
    engine: Engine, server: Server, database: str, begin: Begin, ann: User, tenant: Tenant
) -> None:
    started, other = await enter(engine, ann), await enter(engine, ann)
    claims = [Claims(tenant.id, "user", str(ann.id), session_id=each.id) for each in (started, other)]
    async with Engine(server.conninfo(database)) as another:
        principals = Principals(another)
        for each in claims:
            assert (await principals.actor(each)).role == "agent"
        async with engine.tenant(tenant.id, signed_in(ann)) as tx:
            await sessions.sign_out(tx, started.id)
        await asyncio.sleep(0.9)
        with pytest.raises(NotSignedIn, match="signed out"):
            await principals.actor(claims[0])
        assert await principals.actor(claims[1])
        async with begin() as tx:
            await users.update(tx, ann.id, users.UserPatch(role="viewer"))
        await asyncio.sleep(0.9)
        assert (await principals.actor(claims[1])).permissions == ROLES["viewer"].permissions


async def test_signing_out_one_by_one_and_all_at_once(
    engine: Engine, begin: Begin, ann: User, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    one, two, three, four = [await enter(engine, ann) for _ in range(4)]
    async with begin() as tx:
        bob = await people.user(tx)
    bobs = await enter(engine, bob)

    async def do(verb: Any, who: User = ann) -> Any:
        async with engine.tenant(tenant.id, signed_in(who)) as tx:
            return await verb(tx)

    assert [each.id for each in await do(lambda tx: sessions.page(tx))] == [each.id for each in (four, three, two, one)]
    await do(lambda tx: sessions.sign_out(tx, one.id))
    await do(lambda tx: sessions.end(tx, two.id))
    seen = await do(lambda tx: sessions.page(tx, session_id=three.id))
    assert [(each.id, each.current) for each in seen] == [(four.id, False), (three.id, True)]
    for id in (two.id, bobs.id, uuid4()):
        with pytest.raises(SessionNotFound):
            await do(lambda tx, id=id: sessions.end(tx, id))
    assert await do(lambda tx: sessions.end_all(tx)) == 2
    assert await do(lambda tx: sessions.end_all(tx)) == 0
    because = [*["signed out"] * 2, *["signed out everywhere"] * 2, None]
    assert ended(owner, one, two, three, four, bobs) == because
    with pytest.raises(NoSession):
        await do(lambda tx: sessions.sign_out(tx, None))
    with pytest.raises(Forbidden, match="users:write"):
        await do(lambda tx: sessions.end_all(tx, bob.id))
    with pytest.raises(Forbidden, match="users:write"):
        await do(lambda tx: sessions.page(tx, bob.id))
    async with begin() as tx:
        assert len(await sessions.page(tx, bob.id)) == 1
        assert await sessions.end_all(tx, bob.id) == 1
    assert ended(owner, bobs) == ["ended by an administrator"]


async def test_a_key_and_the_operator_have_no_sessions(engine: Engine, tenant: Tenant, ann: User) -> None:
    for actor in (Actor("key", str(uuid4()), user_id=ann.id), Actor.system(), Actor.user("not-a-uuid")):
        for verb in (
            lambda tx: sessions.sign_out(tx, uuid4()), lambda tx: sessions.end(tx, uuid4()),
            lambda tx: sessions.end_all(tx), lambda tx: sessions.page(tx),
        ):  # fmt: skip
            with pytest.raises(Forbidden, match="people who sign in"):
                async with engine.tenant(tenant.id, actor) as tx:
                    await verb(tx)
        with pytest.raises(Forbidden):
            change = PasswordChange(current_password=PASSWORD, new_password=OTHER)
            await sessions.change_password(engine, SETTINGS, actor, change)


async def test_many_who_end_one_persons_sessions_at_once_do_not_wait_for_each_other(
    engine: Engine, ann: User, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    started = [await enter(engine, ann) for _ in range(8)]

    async def do(each: Started, number: int) -> int:
        async with engine.tenant(tenant.id, signed_in(ann)) as tx:
            if number % 2:
                return await sessions.end_all(tx)
            await sessions.sign_out(tx, each.id)
            return 0

    await asyncio.gather(*[do(each, number) for number, each in enumerate(started)])
    assert None not in ended(owner, *started)
    counted = owner.execute("select count(*) from events where tenant_id = %s and type = 'session.ended'", [tenant.id])
    assert counted.fetchone() == (8,), "each is told once"


# The password.


async def change(engine: Engine, who: User, current: str, new: str, **more: Any) -> None:
    given = PasswordChange(current_password=current, new_password=new)
    await sessions.change_password(engine, SETTINGS, signed_in(who), given, **more)


async def test_a_new_password_ends_every_other_session_in_whatever_tenant(
    engine: Engine, begin: Begin, ann: User, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    await change(engine, ann, PASSWORD, "chosen by herself")
    async with begin(other_tenant) as tx:
        invited = await people.invited(tx, email=ann.email)
    assert invited.invitation
    acceptance = sessions.Acceptance(token=invited.invitation.token, password="chosen by herself")
    elsewhere = await sessions.accept(engine, SETTINGS, acceptance)
    here, other = [await enter(engine, ann, "chosen by herself", tenant) for _ in range(2)]
    await change(engine, ann, "chosen by herself", OTHER, session_id=here.id, caller=Caller(request_id="r"))
    assert ended(owner, here, other, elsewhere) == [None, "password changed", "password changed"]
    for of in (tenant, other_tenant):
        rows = owner.execute(
            "select actor, request_id from events where tenant_id = %s and type = 'user.password_changed'"
            " order by id desc limit 1", [of.id],
        )  # fmt: skip
        assert rows.fetchone() == (f"user:{ann.id}", "r")
    assert await sessions.refresh(engine, here.refresh_token)
    with pytest.raises(InvalidCredentials):
        await enter(engine, ann, "chosen by herself", tenant)
    assert await enter(engine, ann, OTHER, tenant)
    assert people.rows_with(owner, OTHER, "chosen by herself") == []


async def test_the_present_password_is_asked_for_and_counted(
    engine: Engine, ann: User, verifications: Counted, owner: psycopg.Connection[Any]
) -> None:
    started = await enter(engine, ann)
    for _ in range(10):
        with pytest.raises(InvalidInput) as refused:
            await change(engine, ann, OTHER, "something else entirely")
        assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [
            ("/current_password", "wrong_password")
        ]
    before = verifications.times
    for guess in (lambda: change(engine, ann, PASSWORD, OTHER), lambda: enter(engine, ann)):
        with pytest.raises(TooManySignIns):
            await guess()
    assert verifications.times == before
    assert ended(owner, started) == [None]


async def test_a_new_password_has_to_do_before_the_present_one_is_looked_at(
    engine: Engine, ann: User, verifications: Counted
) -> None:
    for new in ("short", "ann.lee1234567", "x" * 300, "password12345"):
        for _ in range(4):
            with pytest.raises(InvalidInput) as refused:
                await change(engine, ann, PASSWORD, new)
            assert refused.value.faults[0].pointer == "/new_password"
            assert new not in str(refused.value)
    assert verifications.times == 0
    assert await enter(engine, ann), "and it is not counted"


async def test_who_has_no_password_changes_none(engine: Engine, begin: Begin) -> None:
    async with begin() as tx:
        invited = await people.invited(tx)
    for id in (invited.id, uuid4()):
        given = PasswordChange(current_password=PASSWORD, new_password=OTHER)
        with pytest.raises(NoPassword):
            await sessions.change_password(engine, SETTINGS, Actor.user(id), given)


async def test_of_two_changes_at_once_one_is_told_that_the_other_was_faster(
    engine: Engine, ann: User, owner: psycopg.Connection[Any]
) -> None:
    outcomes = await asyncio.gather(
        *[change(engine, ann, PASSWORD, f"new password number {n}") for n in range(5)], return_exceptions=True
    )
    told = [each for each in outcomes if each is not None]
    assert len(told) == 4
    # Whoever came so late that the new password was in force already gave a wrong one.
    assert {type(each) for each in told} <= {PasswordChanged, InvalidInput}


async def test_a_sign_in_with_the_old_password_does_not_outlive_the_change(
    engine: Engine, begin: Begin, owner: psycopg.Connection[Any]
) -> None:
    for _ in range(5):
        async with begin() as tx:
            ann = await people.user(tx)
        outcomes = await asyncio.gather(
            *[enter(engine, ann) for _ in range(4)], change(engine, ann, PASSWORD, OTHER),
            *[enter(engine, ann) for _ in range(4)], return_exceptions=True,
        )  # fmt: skip
        assert outcomes[4] is None
        live = owner.execute("select count(*) from sessions where user_id = %s and ended_at is null", [ann.id])
        assert live.fetchone() == (0,), outcomes


async def test_changes_of_people_who_share_tenants_do_not_wait_for_each_other(
    engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    crowd = []
    for _ in range(6):
        async with begin() as tx:
            crowd.append(await people.user(tx))
        async with begin(other_tenant) as tx:
            await people.invited(tx, email=crowd[-1].email)
        owner.execute("update memberships set joined_at = now() where id = %s", [crowd[-1].id])
        for of in (tenant, other_tenant):
            await enter(engine, crowd[-1], tenant=of)
    outcomes = await asyncio.gather(*[change(engine, each, PASSWORD, OTHER) for each in crowd])
    assert outcomes == [None] * 6


# Oneself.


async def test_who_is_calling_is_told_what_they_may_do(engine: Engine, ann: User, tenant: Tenant) -> None:
    started = await enter(engine, ann)
    rules = {"contact": FieldRules(frozenset({"birthday", "address"}), frozenset({"phones"}))}
    actor = Actor.user(ann.id, permissions=frozenset({"contacts:write", "contacts:read"}), visibility="own",
                       fields=rules)  # fmt: skip
    me = await sessions.me(engine.reader(tenant.id, actor), session_id=started.id)
    assert (me.kind, me.id, me.user, me.tenant) == ("user", str(ann.id), started.user, started.tenant)
    assert (me.permissions, me.visibility) == (("contacts:read", "contacts:write"), "own")
    assert me.fields == {"contact": Withheld(("address", "birthday"), ("phones",))}
    assert me.session and (me.session.id, me.session.current) == (started.id, True)
    assert (me.session.expires_at - me.session.created_at).days == 30


async def test_a_key_and_a_token_of_a_stranger_are_told_too(engine: Engine, ann: User, tenant: Tenant) -> None:
    key = Actor("key", str(uuid4()), frozenset({"contacts:read"}), role="Website form", user_id=ann.id)
    me = await sessions.me(engine.reader(tenant.id, key))
    assert (me.kind, me.id, me.role, me.session) == ("key", key.id, "Website form", None)
    assert me.user and me.user.id == ann.id
    stranger = await sessions.me(engine.reader(tenant.id, Actor.user(uuid4())), session_id=uuid4())
    assert (stranger.user, stranger.session) == (None, None)
