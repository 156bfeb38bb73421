"""Signing in: who gets in, what everybody else is told, and how often a wrong password may be tried."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from bellbird.core import passwords
from bellbird.core.actors import Actor
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine
from bellbird.core.errors import InvalidInput, Unavailable
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import sessions, tenants, users
from bellbird.features.sessions import (
    Caller,
    InvalidCredentials,
    SignedInTenant,
    SignIn,
    Started,
    TenantNeeded,
    TooManySignIns,
)
from bellbird.features.users import User
from tests import people
from tests.conftest import Begin
from tests.people import OTHER, PASSWORD, Counted

SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


@pytest.fixture
async def ann(begin: Begin) -> User:
    async with begin() as tx:
        return await people.user(tx)


def an_address() -> str:
    """Somewhere that nobody else calls from."""
    number = uuid4().int
    return f"10.{number % 256}.{(number >> 8) % 256}.{(number >> 16) % 256}"


async def enter(
    engine: Engine, who: User | str, password: str = PASSWORD, *, settings: Settings = SETTINGS,
    address: str | None = None, **more: Any,
) -> Started:  # fmt: skip
    given = SignIn(email=who if isinstance(who, str) else who.email, password=password, **more)
    return await sessions.sign_in(engine, settings, given, Caller(address=address))


async def test_whoever_has_the_password_is_signed_in(
    engine: Engine, ann: User, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    given = SignIn(email=ann.email.capitalize(), password=PASSWORD)
    caller = Caller(address="192.0.2.1", user_agent="Browser\x00 é" + "x" * 300, request_id="r-1", origin="api")
    started = await sessions.sign_in(engine, SETTINGS, given, caller)
    assert (started.user.id, started.user.email, started.user.name) == (ann.id, ann.email, "Ann Lee")
    assert started.tenant == SignedInTenant(tenant.id, tenant.slug, tenant.name, "active")
    row = owner.execute(
        "select tenant_id, user_id, user_agent, expires_at - created_at, ended_at from sessions where id = %s",
        [started.id],
    ).fetchone()
    assert row == (tenant.id, ann.id, ("Browser é" + "x" * 300)[:200], timedelta(days=30), None)
    event = owner.execute(
        "select type, actor, origin, request_id, data from events where entity_id = %s", [started.id]
    ).fetchone()
    assert event == (
        "session.started", f"user:{ann.id}", "api", "r-1", {"user_id": str(ann.id), "address": "192.0.2.1"},
    )  # fmt: skip
    assert PASSWORD not in repr(given)
    assert started.refresh_token not in repr(started)
    assert people.rows_with(owner, started.refresh_token, PASSWORD) == []


async def test_an_answer_does_not_tell_who_has_an_account(
    engine: Engine, begin: Begin, ann: User, verifications: Counted
) -> None:
    async with begin() as tx:
        invited, gone = await people.invited(tx), await people.user(tx)
        await users.remove(tx, gone.id)
    said = []
    for who, password in (
        (ann, OTHER), (ann, ""), (ann, PASSWORD + " "), (ann, "x" * 2000), (ann, "\ud800"), (ann, "a\0b"),
        (people.an_email(), PASSWORD), (invited, PASSWORD), (gone, PASSWORD), (gone, OTHER),
    ):  # fmt: skip
        before = verifications.times
        with pytest.raises(InvalidCredentials) as refused:
            await enter(engine, who, password, settings=SETTINGS.model_copy(update={"sign_in_account_failures": 0}))
        assert verifications.times == before + 1, "as much work for one as for the other"
        said.append((refused.value.code, refused.value.status, refused.value.detail, refused.value.extra))
    assert len(set(map(str, said))) == 1


async def test_letters_may_be_composed_in_any_way(engine: Engine, begin: Begin) -> None:
    async with begin() as tx:
        ann = await people.user(tx, password="Caf\u00e9 au lait \u00e0 midi")
    assert await enter(engine, ann, "Cafe\u0301 au lait a\u0300 midi")


async def test_what_is_no_address_is_told_apart(engine: Engine) -> None:
    with pytest.raises(InvalidInput) as refused:
        await enter(engine, "nope")
    assert refused.value.faults[0].pointer == "/email"


# Several tenants.


@pytest.fixture
async def of_two(engine: Engine, begin: Begin, tenant: Tenant, other_tenant: Tenant, ann: User) -> User:
    """Somebody who has joined two tenants."""
    async with begin(other_tenant) as tx:
        await people.invited(tx, email=ann.email)
        joined = "update memberships set joined_at = now(), invitation_hash = null where tenant_id = $1 and id = $2"
        await tx.run(joined, other_tenant.id, ann.id)
    return ann


async def test_whoever_belongs_to_several_tenants_says_which(
    engine: Engine, of_two: User, tenant: Tenant, other_tenant: Tenant
) -> None:
    for slug in (None, "nobodys", ""):
        with pytest.raises(TenantNeeded) as refused:
            await enter(engine, of_two, tenant=slug)
        assert refused.value.faults[0].pointer == "/tenant"
        assert {each["slug"] for each in refused.value.extra["tenants"]} == {tenant.slug, other_tenant.slug}
    with pytest.raises(InvalidCredentials):
        await enter(engine, of_two, OTHER)
    for each in (tenant, other_tenant):
        assert (await enter(engine, of_two, tenant=each.slug)).tenant.id == each.id


async def test_a_tenant_that_ended_the_membership_or_is_being_deleted_is_none_of_them(
    engine: Engine, begin: Begin, of_two: User, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with begin(other_tenant) as tx:
        await users.remove(tx, of_two.id)
    assert (await enter(engine, of_two)).tenant.id == tenant.id
    async with engine.system(Actor.system()) as system:
        await system.run("update tenants set status = 'deleting' where id = $1", tenant.id)
    with pytest.raises(InvalidCredentials):
        await enter(engine, of_two)


async def test_a_tenant_of_which_somebody_is_no_member_is_not_entered(
    engine: Engine, ann: User, other_tenant: Tenant
) -> None:
    with pytest.raises(TenantNeeded, match="no member"):
        await enter(engine, ann, tenant=other_tenant.slug)


async def test_people_sign_in_to_a_suspended_tenant_to_read(engine: Engine, ann: User, tenant: Tenant) -> None:
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    started = await enter(engine, ann)
    assert started.tenant.status == "suspended"
    assert await sessions.refresh(engine, started.refresh_token)
    async with engine.tenant(tenant.id, Actor.user(ann.id)) as tx:
        await sessions.sign_out(tx, started.id)


# Throttling.


@pytest.fixture
async def later(engine: Engine) -> AsyncIterator[FakeClock]:
    """A clock that can be moved."""
    present, engine.clock = engine.clock, FakeClock(engine.clock.now())
    yield engine.clock  # type: ignore[misc]
    engine.clock = present


async def fail(engine: Engine, who: User | str, times: int, **more: Any) -> None:
    for _ in range(times):
        with pytest.raises(InvalidCredentials):
            await enter(engine, who, OTHER, **more)


async def test_ten_wrong_passwords_are_enough_for_an_account_known_or_not(
    engine: Engine, ann: User, verifications: Counted
) -> None:
    said = []
    for who in (ann, people.an_email()):
        await fail(engine, who, 10)
        before = verifications.times
        for password in (PASSWORD, OTHER):
            with pytest.raises(TooManySignIns) as refused:
                await enter(engine, who, password)
            assert 890 < (refused.value.retry_after or 0) <= 900
        assert verifications.times == before, "no work for what is refused anyway"
        said.append((refused.value.code, refused.value.status, refused.value.title()))
    assert said[0] == said[1]


async def test_after_a_quarter_of_an_hour_it_may_be_tried_again(engine: Engine, ann: User, later: FakeClock) -> None:
    await fail(engine, ann, 10)
    later.move(timedelta(minutes=14, seconds=58))
    with pytest.raises(TooManySignIns) as refused:
        await enter(engine, ann)
    assert refused.value.retry_after == 2
    later.move(timedelta(seconds=2))
    await fail(engine, ann, 9)
    assert await enter(engine, ann)


async def test_a_right_password_makes_the_account_good_again(engine: Engine, ann: User) -> None:
    for _ in range(3):
        await fail(engine, ann, 9)
        assert await enter(engine, ann)


async def test_of_guesses_made_at_once_none_is_free(engine: Engine, ann: User, verifications: Counted) -> None:
    outcomes = await asyncio.gather(*[enter(engine, ann, OTHER) for _ in range(30)], return_exceptions=True)
    kinds = sorted(type(each).__name__ for each in outcomes)
    assert kinds == ["InvalidCredentials"] * 10 + ["TooManySignIns"] * 20
    assert verifications.times == 10


async def test_an_address_that_guesses_many_accounts_is_stopped_and_locks_nobody_out(engine: Engine, ann: User) -> None:
    settings, address = SETTINGS.model_copy(update={"sign_in_address_failures": 3}), an_address()
    for _ in range(3):
        await fail(engine, people.an_email(), 1, settings=settings, address=address)
    for who in [ann] * 12:
        with pytest.raises(TooManySignIns):
            await enter(engine, who, settings=settings, address=address)
    assert await enter(engine, ann, settings=settings, address=an_address()), "the account was not counted against"


async def test_who_signs_in_rightly_does_not_use_up_the_address(engine: Engine, ann: User) -> None:
    settings, address = SETTINGS.model_copy(update={"sign_in_address_failures": 3}), an_address()
    await fail(engine, ann, 2, settings=settings, address=address)
    for _ in range(6):
        assert await enter(engine, ann, settings=settings, address=address)
    await fail(engine, ann, 1, settings=settings, address=address)
    with pytest.raises(TooManySignIns):
        await enter(engine, ann, settings=settings, address=address)


@pytest.mark.parametrize(
    ("addresses", "whose"),
    [
        (("2001:db8:{n}:1::1", "2001:db8:{n}:1:ffff::2", "2001:db8:{n}:1:2:3:4:5"), "one"),
        (("2001:db8:{n}:1::1", "2001:db8:{n}:2::1", "2001:db8:{n}:3::1"), "several"),
        (("::ffff:10.{a}.{b}.1", "10.{a}.{b}.1", "::ffff:10.{a}.{b}.1"), "one"),
        (("some-{n}-host", "some-{n}-host", "some-{n}-host"), "one"),
        ((None, None, None), "several"),
    ],
)
async def test_an_address_stands_for_one_subscriber(
    engine: Engine, addresses: tuple[str | None, ...], whose: str
) -> None:
    settings = SETTINGS.model_copy(update={"sign_in_address_failures": 2})
    number = uuid4().int
    names = {"n": f"{number % 65536:x}", "a": number % 251, "b": (number >> 8) % 251}
    outcomes = []
    for address in addresses:
        with pytest.raises((InvalidCredentials, TooManySignIns)) as refused:
            await enter(
                engine, people.an_email(), settings=settings, address=address.format(**names) if address else None
            )
        outcomes.append(type(refused.value))
    assert outcomes == [InvalidCredentials] * 2 + [TooManySignIns if whose == "one" else InvalidCredentials]


async def test_both_limits_can_be_taken_off(engine: Engine, ann: User) -> None:
    free = SETTINGS.model_copy(update={"sign_in_account_failures": 0, "sign_in_address_failures": 0})
    await fail(engine, ann, 15, settings=free, address=an_address())


async def test_what_is_counted_names_nobody_and_goes_with_time(
    engine: Engine, later: FakeClock, owner: psycopg.Connection[Any]
) -> None:
    email, address = people.an_email(), an_address()
    await fail(engine, email, 1, address=address)
    assert people.rows_with(owner, email, address) == []
    since = later.now()
    later.move(timedelta(minutes=31))
    for _ in range(20):
        await fail(engine, people.an_email(), 1)
    left = owner.execute("select count(*) from sign_in_failures where since <= %s", [since]).fetchone()
    assert left == (0,)


async def test_a_queue_of_people_that_is_too_long_is_not_made_longer(
    engine: Engine, ann: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_waiting", passwords.MAX_WAITING)
    for _ in range(12):
        with pytest.raises(Unavailable) as refused:
            await enter(engine, ann, address=an_address())
        assert refused.value.retry_after
    monkeypatch.setattr(passwords, "_waiting", 0)
    assert await enter(engine, ann), "what was not looked at was not counted"


# What changes meanwhile.


async def test_a_hash_of_other_parameters_is_renewed(
    engine: Engine, ann: User, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = "select password_hash from users where id = %s"
    before = owner.execute(asked, [ann.id]).fetchone()
    stronger = PasswordHash((Argon2Hasher(time_cost=2, memory_cost=16, parallelism=1),))
    monkeypatch.setattr(passwords, "_HASHER", stronger)
    await fail(engine, ann, 1)
    assert owner.execute(asked, [ann.id]).fetchone() == before, "only who knows the password can renew it"
    await enter(engine, ann)
    after = owner.execute(asked, [ann.id]).fetchone()
    assert after and "$m=16,t=2,p=1$" in after[0]
    await enter(engine, ann)
    assert owner.execute(asked, [ann.id]).fetchone() == after


async def test_people_who_sign_in_while_the_hash_is_renewed_are_let_in(
    engine: Engine, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    for strength in range(2, 6):
        async with begin() as tx:
            ann = await people.user(tx)
        stronger = PasswordHash((Argon2Hasher(time_cost=strength, memory_cost=16, parallelism=1),))
        monkeypatch.setattr(passwords, "_HASHER", stronger)
        assert all(await asyncio.gather(*[enter(engine, ann) for _ in range(8)]))


@pytest.mark.parametrize("what", ["password", "membership"])
async def test_what_ends_while_the_password_is_looked_at_lets_nobody_in(
    engine: Engine, begin: Begin, ann: User, owner: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    verify, another = passwords.verify, await passwords.hash(OTHER)

    async def slowly(password: str, kept: str | None) -> passwords.Verdict:
        verdict = await verify(password, kept)
        if what == "password":
            owner.execute("update users set password_hash = %s where id = %s", [another, ann.id])
        else:
            async with begin() as tx:
                await users.remove(tx, ann.id)
        return verdict

    monkeypatch.setattr(passwords, "verify", slowly)
    with pytest.raises(InvalidCredentials):
        await enter(engine, ann)
    assert owner.execute("select count(*) from sessions where user_id = %s", [ann.id]).fetchone() == (0,)


async def test_sessions_that_are_over_are_cleared_away_with_their_tokens(
    engine: Engine, ann: User, later: FakeClock, owner: psycopg.Connection[Any]
) -> None:
    for _ in range(12):
        await enter(engine, ann)
    later.move(timedelta(days=29))
    kept = await enter(engine, ann)
    later.move(timedelta(days=1))
    new = [await enter(engine, ann) for _ in range(2)]
    rows = owner.execute("select id from sessions where user_id = %s", [ann.id]).fetchall()
    assert {row[0] for row in rows} == {kept.id, *(each.id for each in new)}
    tokens = owner.execute("select distinct session_id from refresh_tokens where tenant_id = %s", [new[0].tenant.id])
    assert {row[0] for row in tokens.fetchall()} == {kept.id, *(each.id for each in new)}


async def test_of_a_tenant_that_is_deleted_meanwhile_nothing_is_left(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        members = [await people.user(tx) for _ in range(10)]
    started = [await enter(engine, each) for each in members[:5]]

    outcomes = await asyncio.gather(
        *[enter(engine, each) for each in members],
        *[sessions.refresh(engine, each.refresh_token) for each in started],
        tenants.delete(engine, Actor.system(), tenant.id),
        return_exceptions=True,
    )
    assert isinstance(outcomes[-1], dict), outcomes
    for table in ("sessions", "refresh_tokens", "events", "memberships"):
        left = owner.execute(f"select count(*) from {table} where tenant_id = %s".encode(), [tenant.id]).fetchone()
        assert left == (0,), table


def test_what_is_sent_can_be_shown_without_its_secrets() -> None:
    assert PASSWORD not in repr(replace(SignIn(email="a@b.example", password=PASSWORD), tenant="acme"))
