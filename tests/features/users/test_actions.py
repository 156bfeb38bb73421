"""Adding, changing and removing the people of a tenant, by whom, and what nobody can bring about."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import UNSET

from bellbird.core import credentials
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import CannotGrant, Forbidden, InvalidInput, TenantSuspended, VersionMismatch
from bellbird.core.tenants import Tenant
from bellbird.features import roles, teams, tenants, users
from bellbird.features.roles import NewRole
from bellbird.features.teams import NewTeam
from bellbird.features.users import (
    AlreadyJoined,
    AlreadyMember,
    LastOwner,
    Query,
    UserDisabled,
    UserNotFound,
    UserPatch,
)
from tests import people
from tests.conftest import Begin

MANAGING = frozenset({"users:read", "users:write"})


def events_of(owner: psycopg.Connection[Any], tenant: Tenant, *types: str) -> list[tuple[Any, ...]]:
    found = owner.execute(
        "select type, entity_id, changes, data from events where tenant_id = %s order by id", [tenant.id]
    ).fetchall()
    return [row for row in found if row[0] in types or not types]


async def test_a_person_given_a_password_has_joined(tx: Tx) -> None:
    email = people.an_email()
    made = await users.add(tx, people.new_user(email=email.upper().replace("ACME", "acme"), name=" Ann   Lee "))
    assert (made.email.lower(), made.name, made.role, made.visibility) == (email, "Ann Lee", "agent", None)
    assert (made.version, made.team_ids, made.disabled_at, made.invited_until) == (1, (), None, None)
    assert made.joined_at == made.created_at
    assert made.invitation is UNSET
    assert await users.get(tx, made.id) == made
    assert await users.named(tx, [made.id, uuid4()]) == {made.id: ("Ann Lee", made.email)}
    assert await users.named(tx, []) == {}


async def test_a_person_without_a_password_is_invited(tx: Tx) -> None:
    made = await people.invited(tx)
    assert made.joined_at is None
    assert made.invitation
    token = credentials.read("invite", made.invitation.token)
    assert (token.tenant_id, token.id) == (tx.tenant_id, made.id)
    assert (made.invitation.expires_at - made.created_at).days == 7
    assert made.invited_until == made.invitation.expires_at
    assert made.invitation.token not in repr(made)
    assert (await users.get(tx, made.id)).invitation is UNSET, "told once"


async def test_somebody_known_elsewhere_is_invited_and_keeps_their_password(
    begin: Begin, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    email = people.an_email()
    async with begin(other_tenant) as tx:
        there = await people.user(tx, email=email, name="Ann There")
    before = owner.execute("select * from users where id = %s", [there.id]).fetchone()
    with pytest.raises(InvalidInput) as refused:
        async with begin() as tx:
            await people.user(tx, email=email)
    (fault,) = refused.value.faults
    assert (fault.code, fault.pointer) == ("password_kept", "/password")
    async with begin() as tx:
        here = await people.invited(tx, email=email.upper().replace("ACME.EXAMPLE", "acme.example"), name="Ann Here")
    assert here.id == there.id
    assert here.invitation, "a membership alone lets nobody in"
    assert here.name == "Ann Here", "each tenant calls people as it likes"
    assert owner.execute("select * from users where id = %s", [there.id]).fetchone() == before


async def test_a_member_is_not_added_twice(begin: Begin) -> None:
    email = people.an_email()
    async with begin() as tx:
        made = await people.user(tx, email=email)
    for again in ({"email": email}, {"email": email, "password": None}, {"email": email.capitalize()}):
        with pytest.raises(AlreadyMember) as refused:
            async with begin() as tx:
                await people.user(tx, **again)
        assert refused.value.extra == {"user_id": made.id}
    async with begin() as tx:
        await users.remove(tx, made.id)
    with pytest.raises(AlreadyMember):
        async with begin() as tx:
            await people.user(tx, email=email)
    async with begin() as tx:
        assert (await users.update(tx, made.id, UserPatch(disabled=False))).disabled_at is None


async def test_every_fault_is_told_at_once_and_no_password_in_it(tx: Tx) -> None:
    secret = "swordfish"
    with pytest.raises(InvalidInput) as refused:
        await people.user(tx, email="nope", name="\u200b ", visibility="some", password=secret)
    assert {(fault.pointer, fault.code) for fault in refused.value.faults} == {
        ("/email", "email_invalid"), ("/name", "invalid_value"), ("/visibility", "invalid_value"),
        ("/password", "password_too_short"),
    }  # fmt: skip
    assert secret not in str(refused.value)
    assert secret not in repr(people.new_user(password=secret))
    for given, pointer, code in (
        ({"name": "x" * 201}, "/name", "text_too_long"),
        ({"name": "a\0b"}, "/name", "text_character"),
        ({"role": "king"}, "/role", "unknown_role"),
        ({"role": "a\0b"}, "/role", "unknown_role"),
        ({"team_ids": (uuid4(),)}, "/team_ids/0", "unknown_team"),
        ({"team_ids": tuple(uuid4() for _ in range(51))}, "/team_ids", "too_many"),
        ({"password": "ann.lee 1234567"}, "/password", "password_guessable"),
        ({"password": "x" * 257}, "/password", "password_too_long"),
    ):
        with pytest.raises(InvalidInput) as refused:
            await people.user(tx, **given)
        assert [(fault.pointer, fault.code) for fault in refused.value.faults] == [(pointer, code)], given


async def test_teams_and_a_role_of_the_tenants_own(tx: Tx) -> None:
    sales, support = [await teams.create(tx, NewTeam(name=name)) for name in ("Sales", "Support")]
    await roles.create(tx, NewRole(name="temp", permissions=("contacts:read",), visibility="own"))
    made = await people.user(tx, role="temp", team_ids=(sales.id, support.id, sales.id))
    assert (made.role, made.team_ids) == ("temp", (sales.id, support.id))
    assert (await users.update(tx, made.id, UserPatch(team_ids=(support.id,)))).team_ids == (support.id,)
    changed = await users.update(tx, made.id, UserPatch(team_ids=None, role="viewer", visibility="team"))
    assert (changed.team_ids, changed.role, changed.visibility, changed.version) == ((), "viewer", "team", 3)
    assert await users.get(tx, made.id) == changed
    assert (await users.update(tx, made.id, UserPatch(visibility=None))).visibility is None


async def test_what_changes_nothing_is_not_recorded(
    begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await people.user(tx)
    async with begin() as tx:
        same = UserPatch(role="agent", visibility=None, team_ids=(), disabled=False)
        assert await users.update(tx, made.id, same) == made
        assert await users.update(tx, made.id, UserPatch()) == made
    assert [row[0] for row in events_of(owner, tenant, "user.added", "user.updated")] == ["user.added"]


async def test_a_version_that_is_no_longer_the_current_one_is_refused(tx: Tx) -> None:
    made = await people.user(tx)
    changed = await users.update(tx, made.id, UserPatch(role="viewer"), version=1)
    for verb in (users.update(tx, made.id, UserPatch(role="agent"), version=1), users.remove(tx, made.id, version=1)):
        with pytest.raises(VersionMismatch) as refused:
            await verb
        assert refused.value.extra == {"current": changed}


async def test_whoever_is_not_there_is_not_found(tx: Tx) -> None:
    id = uuid4()
    for verb in (
        users.get(tx, id), users.update(tx, id, UserPatch(role="agent")), users.remove(tx, id), users.invite(tx, id),
    ):  # fmt: skip
        with pytest.raises(UserNotFound):
            await verb


async def test_each_verb_needs_its_permission_and_a_tenant_that_may_write(
    engine: Engine, begin: Begin, tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await people.user(tx)
    writes: list[Callable[[Tx], Any]] = [
        lambda tx: people.user(tx), lambda tx: users.update(tx, made.id, UserPatch(role="viewer")),
        lambda tx: users.remove(tx, made.id), lambda tx: users.invite(tx, made.id),
    ]  # fmt: skip
    for verb in writes:
        with pytest.raises(Forbidden, match="users:write"):
            async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"users:read"}))) as tx:
                await verb(tx)
    nobody = engine.reader(tenant.id, Actor.user(uuid4(), permissions=frozenset()))
    for read in (users.get(nobody, made.id), users.page(nobody)):
        with pytest.raises(Forbidden, match="users:read"):
            await read
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    for verb in (writes[0], writes[1], writes[3]):
        with pytest.raises(TenantSuspended):
            async with begin() as tx:
                await verb(tx)
    async with begin() as tx:
        await users.remove(tx, made.id)  # what somebody may do can always be taken away


# Who gives what to whom.


def actor_of(role: str, **more: Any) -> Actor:
    from bellbird.core.actors import ROLES

    found = ROLES[role]
    return Actor("user", str(uuid4()), found.permissions, role=role, **more)


async def test_nobody_gives_more_than_they_have(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        await roles.create(tx, NewRole(name="purger", permissions=("contacts:purge",)))
        agent = await people.user(tx)
    narrow = Actor.user(uuid4(), permissions=MANAGING | actor_of("viewer").permissions, visibility="team")
    for actor, given in (
        (actor_of("admin"), {"role": "owner"}),
        (Actor("key", str(uuid4()), actor_of("owner").permissions, role="owner"), {"role": "owner"}),
        (Actor.user(uuid4(), permissions=MANAGING), {"role": "viewer"}),
        (narrow, {"role": "viewer"}),
        (narrow, {"role": "viewer", "visibility": "all"}),
        (Actor.user(uuid4(), permissions=actor_of("manager").permissions | MANAGING), {"role": "admin"}),
        (Actor.user(uuid4(), permissions=actor_of("agent").permissions | MANAGING), {"role": "purger"}),
    ):
        with pytest.raises(CannotGrant):
            async with engine.tenant(tenant.id, actor) as tx:
                await people.user(tx, **given)
        with pytest.raises(CannotGrant):
            async with engine.tenant(tenant.id, actor) as tx:
                patch = {"visibility": UNSET, **given}
                await users.update(tx, agent.id, UserPatch(**patch))
    async with engine.tenant(tenant.id, narrow) as tx:
        made = await people.user(tx, role="viewer", visibility="own")
        assert (await users.update(tx, made.id, UserPatch(visibility="team"))).visibility == "team"


async def test_nobody_touches_who_has_more_than_they(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        await people.user(tx, role="owner")
        boss = await people.user(tx, role="owner")
        invited = await people.invited(tx, role="owner")
    for actor in (actor_of("admin"), Actor.user(uuid4(), permissions=MANAGING)):
        for verb in (
            lambda tx: users.update(tx, boss.id, UserPatch(role="viewer")),
            lambda tx: users.update(tx, boss.id, UserPatch(visibility="own")),
            lambda tx: users.update(tx, boss.id, UserPatch(disabled=True)),
            lambda tx: users.remove(tx, boss.id),
            # Whoever holds an invitation becomes the person it is for.
            lambda tx: users.invite(tx, invited.id),
        ):
            with pytest.raises(CannotGrant, match="may do or see"):
                async with engine.tenant(tenant.id, actor) as tx:
                    await verb(tx)
    async with engine.tenant(tenant.id, actor_of("owner")) as tx:
        await users.update(tx, boss.id, UserPatch(role="viewer"))
    async with engine.tenant(tenant.id, actor_of("admin")) as tx:
        await users.remove(tx, boss.id)


async def test_one_who_was_ended_is_let_in_again_by_who_has_as_much(
    engine: Engine, tenant: Tenant, begin: Begin
) -> None:
    async with begin() as tx:
        await people.user(tx, role="owner")
        boss = await people.user(tx, role="owner")
        await users.remove(tx, boss.id)
    with pytest.raises(CannotGrant):
        async with engine.tenant(tenant.id, actor_of("admin")) as tx:
            await users.update(tx, boss.id, UserPatch(disabled=False))
    async with engine.tenant(tenant.id, actor_of("owner")) as tx:
        assert (await users.update(tx, boss.id, UserPatch(disabled=False))).disabled_at is None


async def test_nobody_raises_themselves_whatever_their_token_says(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        await roles.create(tx, NewRole(name="clerk", permissions=tuple(MANAGING), visibility="own"))
        me = await people.user(tx, role="clerk")
    by_token = Actor("user", str(me.id), actor_of("owner").permissions, role="owner", user_id=me.id)
    by_key = Actor("key", str(uuid4()), actor_of("owner").permissions, user_id=me.id)
    for actor in (by_token, by_key):
        for patch in (UserPatch(role="admin"), UserPatch(visibility="all"), UserPatch(role="viewer")):
            with pytest.raises(CannotGrant):
                async with engine.tenant(tenant.id, actor) as tx:
                    await users.update(tx, me.id, patch)
    async with engine.tenant(tenant.id, by_token) as tx:
        await users.remove(tx, me.id)


async def test_who_sees_some_records_puts_nobody_in_teams(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    """Or they would see the records of whomever they put in theirs."""
    async with begin() as tx:
        team = await teams.create(tx, NewTeam(name="Sales"))
        mate = await people.user(tx, role="agent", visibility="own")
        member = await people.user(tx, role="agent", visibility="own", team_ids=(team.id,))
    some = actor_of("agent", visibility="team")
    some = Actor("user", some.id, some.permissions | MANAGING, visibility="team")
    for verb in (
        lambda tx: users.update(tx, mate.id, UserPatch(team_ids=(team.id,))),
        lambda tx: people.user(tx, visibility="own", team_ids=(team.id,)),
    ):
        with pytest.raises(CannotGrant, match="puts people in teams"):
            async with engine.tenant(tenant.id, some) as tx:
                await verb(tx)
    async with engine.tenant(tenant.id, some) as tx:
        kept = await users.update(tx, member.id, UserPatch(team_ids=(team.id,), role="viewer"))
        assert kept.team_ids == (team.id,)
        assert (await users.update(tx, member.id, UserPatch(team_ids=()))).team_ids == ()


# The last owner.


async def test_the_last_owner_stays(begin: Begin) -> None:
    async with begin() as tx:
        boss = await people.user(tx, role="owner")
        await people.user(tx, role="admin")
        await users.remove(tx, (await people.user(tx, role="owner")).id)
        for patch in (UserPatch(role="admin"), UserPatch(disabled=True)):
            with pytest.raises(LastOwner):
                await users.update(tx, boss.id, patch)
        with pytest.raises(LastOwner):
            await users.remove(tx, boss.id)
        assert (await users.update(tx, boss.id, UserPatch(visibility="own"))).visibility == "own"


async def test_an_owner_who_has_yet_to_join_is_not_enough(begin: Begin) -> None:
    async with begin() as tx:
        boss = await people.user(tx, role="owner")
        invited = await people.invited(tx, role="owner")
        with pytest.raises(LastOwner, match="who has joined"):
            await users.remove(tx, boss.id)
        await users.remove(tx, invited.id)


async def test_the_last_owner_of_a_tenant_where_nobody_joined_stays_too(begin: Begin) -> None:
    async with begin() as tx:
        one, two = await people.invited(tx, role="owner"), await people.invited(tx, role="owner")
        await users.remove(tx, one.id)
        with pytest.raises(LastOwner):
            await users.remove(tx, two.id)


async def at_once(verbs: list[Callable[[], Any]]) -> list[Any]:
    return await asyncio.gather(*[verb() for verb in verbs], return_exceptions=True)


@pytest.mark.parametrize("number", [2, 6])
async def test_of_owners_who_end_each_other_at_once_one_is_left(
    engine: Engine, tenant: Tenant, begin: Begin, number: int
) -> None:
    async with begin() as tx:
        owners = [(await people.user(tx, role="owner")).id for _ in range(number)]

    def ending(by: UUID, whom: UUID, how: UserPatch) -> Callable[[], Any]:
        async def do() -> None:
            actor = Actor("user", str(by), actor_of("owner").permissions, role="owner", user_id=by)
            async with engine.tenant(tenant.id, actor) as tx:
                await users.update(tx, whom, how)

        return do

    outcomes = await at_once(
        [
            ending(owners[index - 1], id, UserPatch(role="viewer") if index % 2 else UserPatch(disabled=True))
            for index, id in enumerate(owners)
        ]
    )
    assert [type(each) for each in outcomes if each is not None] == [LastOwner], outcomes
    async with begin() as tx:
        assert len((await users.page(tx, Query(role="owner"))).data) == 1


async def test_of_many_who_add_one_person_at_once_one_does(
    engine: Engine, begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    email = people.an_email()

    async def add() -> None:
        async with begin() as tx:
            await people.user(tx, email=email)

    outcomes = await at_once([add] * 20)
    assert sorted(map(type, outcomes), key=str) == sorted([type(None), *[AlreadyMember] * 19], key=str)
    assert owner.execute("select count(*) from users where email_key = %s", [email]).fetchone() == (1,)
    assert len(events_of(owner, tenant, "user.added")) == 1


async def test_of_two_tenants_that_add_one_new_person_at_once_one_gives_the_password(
    begin: Begin, tenant: Tenant, other_tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    for _ in range(5):
        email = people.an_email()

        def adding(of: Tenant, email: str = email) -> Callable[[], Any]:
            async def add() -> None:
                async with begin(of) as tx:
                    await people.user(tx, email=email)

            return add

        outcomes = await at_once([adding(tenant), adding(other_tenant)])
        assert sorted(type(each).__name__ for each in outcomes) == ["InvalidInput", "NoneType"]
        assert owner.execute("select count(*) from users where email_key = %s", [email]).fetchone() == (1,)


# Ending and going on.


async def a_session(owner: psycopg.Connection[Any], of: Tenant, user_id: UUID) -> UUID:
    id = uuid4()
    owner.execute(
        "insert into sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at)"
        " values (%s, %s, %s, now(), now(), now() + interval '1 day')",
        [of.id, id, user_id],
    )
    return id


@pytest.mark.parametrize("how", ["removed", "disabled"])
async def test_with_a_membership_its_sessions_and_its_invitation_end(
    begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant, how: str
) -> None:
    email = people.an_email()
    async with begin(other_tenant) as tx:
        made = await people.user(tx, email=email)
    async with begin() as tx:
        await people.invited(tx, email=email)
        bystander = await people.user(tx)
    sessions = [await a_session(owner, tenant, made.id) for _ in range(2)]
    elsewhere = await a_session(owner, other_tenant, made.id)
    another = await a_session(owner, tenant, bystander.id)
    async with begin() as tx:
        if how == "removed":
            await users.remove(tx, made.id)
            await users.remove(tx, made.id)
        else:
            changed = await users.update(tx, made.id, UserPatch(disabled=True))
            assert changed.invited_until is None
            assert await users.get(tx, made.id) == changed
    rows = owner.execute("select id, ended_because from sessions where id = any(%s)", [[*sessions, elsewhere, another]])
    assert dict(rows.fetchall()) == {**dict.fromkeys(sessions, "membership ended"), elsewhere: None, another: None}
    found = events_of(owner, tenant, "user.removed", "user.updated", "session.ended")
    assert [row[0] for row in found] == [
        "user.removed" if how == "removed" else "user.updated", "session.ended", "session.ended",
    ]  # fmt: skip
    assert {row[1] for row in found[1:]} == set(sessions)
    assert found[1][3] == {"user_id": str(made.id), "because": "membership ended"}
    invitation = owner.execute(
        "select invitation_hash, invited_until from memberships where tenant_id = %s and id = %s", [tenant.id, made.id]
    )
    assert invitation.fetchone() == (None, None)


async def test_a_change_is_known_to_every_process_by_the_tenants_number(
    begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    def number() -> int:
        row = owner.execute("select access_version from tenants where id = %s", [tenant.id]).fetchone()
        assert row
        return int(row[0])

    seen = [number()]
    async with begin() as tx:
        made = await people.user(tx)
    seen.append(number())
    for patch in (UserPatch(role="viewer"), UserPatch(visibility="own"), UserPatch(disabled=True)):
        async with begin() as tx:
            await users.update(tx, made.id, patch)
        seen.append(number())
    assert seen == sorted(set(seen))


# Invitations and lost passwords.


async def test_whoever_has_not_joined_is_invited_again_and_the_invitation_before_is_void(
    begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await people.invited(tx)
    async with begin() as tx:
        again = await users.invite(tx, made.id)
    assert made.invitation and again.token != made.invitation.token
    (kept,) = owner.execute("select invitation_hash from memberships where id = %s", [made.id]).fetchone() or (None,)
    assert kept == credentials.read("invite", again.token).hash
    assert [row[1] for row in events_of(owner, tenant, "user.invited")] == [made.id]
    async with begin() as tx:
        assert (await users.get(tx, made.id)).version == 2
        await users.remove(tx, made.id)
    with pytest.raises(UserDisabled):
        async with begin() as tx:
            await users.invite(tx, made.id)
    async with begin() as tx:
        joined = await people.user(tx)
        with pytest.raises(AlreadyJoined):
            await users.invite(tx, joined.id)


async def test_a_reset_voids_the_password_and_every_session_everywhere(
    engine: Engine, begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await people.user(tx)
    async with begin(other_tenant) as tx:
        await people.invited(tx, email=made.email)
    sessions = [await a_session(owner, tenant, made.id), await a_session(owner, other_tenant, made.id)]
    (before,) = owner.execute("select password_hash from users where id = %s", [made.id]).fetchone() or ("",)
    async with engine.system(Actor.system()) as system:
        reset = await users.reset_password(system, tenant.id, made.id)
    (after,) = owner.execute("select password_hash from users where id = %s", [made.id]).fetchone() or ("",)
    assert after and after != before, "there is one, which nobody knows"
    ended = owner.execute("select distinct ended_because from sessions where id = any(%s)", [sessions]).fetchall()
    assert ended == [("password reset",)]
    assert credentials.read("invite", reset.token).id == made.id
    assert len(events_of(owner, tenant, "user.password_reset")) == 1
    assert events_of(owner, other_tenant, "user.password_reset") == [], "they have not joined it yet"
    assert people.rows_with(owner, reset.token) == []
    with pytest.raises(Forbidden):
        async with engine.system(Actor.user(uuid4())) as system:
            await users.reset_password(system, tenant.id, made.id)
    with pytest.raises(UserNotFound):
        async with engine.system(Actor.system()) as system:
            await users.reset_password(system, tenant.id, uuid4())


async def test_a_reset_of_somebody_without_a_password_is_an_invitation(
    engine: Engine, begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await people.invited(tx)
    async with engine.system(Actor.system()) as system:
        await users.reset_password(system, tenant.id, made.id)
    assert owner.execute("select password_hash from users where id = %s", [made.id]).fetchone() == (None,)
    async with begin() as tx:
        assert (await users.get(tx, made.id)).joined_at is None
    assert [row[0] for row in events_of(owner, tenant)][-1] == "user.invited"


async def test_of_two_resets_the_later_one_is_in_force_whatever_tenant_it_is_in(
    engine: Engine, begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await people.user(tx)
    async with begin(other_tenant) as tx:
        await people.invited(tx, email=made.email)
    for of in (tenant, other_tenant):
        async with engine.system(Actor.system()) as system:
            await users.reset_password(system, of.id, made.id)
    rows = owner.execute("select tenant_id from memberships where id = %s and invitation_hash is not null", [made.id])
    assert rows.fetchall() == [(other_tenant.id,)]


# What is kept, and listed.


async def test_no_secret_is_kept_anywhere(begin: Begin, owner: psycopg.Connection[Any]) -> None:
    async with begin() as tx:
        invited = await people.invited(tx)
        joined = await people.user(tx, password="quokkas dig at noon")
        again = await users.invite(tx, invited.id)
    assert invited.invitation
    secrets = (invited.invitation.token, again.token, "quokkas dig at noon")
    assert people.rows_with(owner, *secrets) == []
    assert people.rows_with(owner, joined.email), "the search finds what there is"
    (kept,) = owner.execute("select password_hash from users where id = %s", [joined.id]).fetchone() or ("",)
    assert kept.startswith("$argon2id$")
    assert people.rows_with(owner, kept) == [f"users has {kept}"], "nor the hash anywhere else"


async def test_the_log_has_what_was_given_and_by_whom(
    begin: Begin, owner: psycopg.Connection[Any], tenant: Tenant, actor: Actor
) -> None:
    async with begin() as tx:
        made = await people.user(tx, visibility="own")
    async with begin() as tx:
        await users.update(tx, made.id, UserPatch(role="viewer", visibility=None))
    (_, id, added, _), (_, _, changed, _) = events_of(owner, tenant, "user.added", "user.updated")
    assert id == made.id
    assert added == {
        "email": [None, made.email], "name": [None, "Ann Lee"], "role": [None, "agent"], "visibility": [None, "own"],
    }  # fmt: skip
    assert changed == {"role": ["agent", "viewer"], "visibility": ["own", None]}


async def test_a_list_is_paged_and_narrowed(tx: Tx) -> None:
    team = await teams.create(tx, NewTeam(name="Sales"))
    made = [await people.user(tx, role=role) for role in ("agent", "agent", "viewer", "viewer", "agent")]
    await users.update(tx, made[1].id, UserPatch(team_ids=(team.id,)))
    await users.remove(tx, made[4].id)

    async def ids(**given: Any) -> list[UUID]:
        return [each.id for each in (await users.page(tx, Query(**given))).data]

    everybody = [each.id for each in made[:4]]
    assert await ids() == everybody
    assert await ids(role="viewer") == everybody[2:]
    assert await ids(team=team.id) == [everybody[1]]
    assert await ids(disabled=True) == [made[4].id]
    assert await ids(role="king") == []
    first = await users.page(tx, Query(limit=3))
    assert first.next_cursor and first.previous_cursor is None
    second = await users.page(tx, Query(limit=3, cursor=first.next_cursor))
    assert [each.id for each in (*first.data, *second.data)] == everybody
    back = await users.page(tx, Query(limit=3, cursor=second.previous_cursor))
    assert back.data == first.data
    for wrong in ({"cursor": "x"}, {"cursor": first.next_cursor, "role": "viewer"}, {"limit": 0}):
        with pytest.raises(InvalidInput):
            await users.page(tx, Query(**wrong))


async def test_another_tenants_users_are_nobodys(
    begin: Begin, read: ReadTx, tenant: Tenant, other_tenant: Tenant
) -> None:
    async with begin(other_tenant) as tx:
        made = await people.user(tx)
    with pytest.raises(UserNotFound):
        await users.get(read, made.id)
    assert (await users.page(read)).data == ()
    assert await users.named(read, [made.id]) == {}
    with pytest.raises(UserNotFound):
        async with begin() as tx:
            await users.remove(tx, made.id)


async def test_the_operator_finds_whom_an_address_belongs_to(engine: Engine, begin: Begin) -> None:
    async with begin() as tx:
        made = await people.user(tx)
    async with engine.system(Actor.system()) as system:
        assert await users.known(system, made.email.upper().replace("ACME.EXAMPLE", "acme.example")) == made.id
        with pytest.raises(UserNotFound):
            await users.known(system, people.an_email())
        with pytest.raises(InvalidInput):
            await users.known(system, "nope")
