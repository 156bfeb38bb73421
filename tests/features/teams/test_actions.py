"""Making, renaming, deleting and listing teams, and putting somebody in one meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import paging
from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, TenantSuspended, VersionMismatch
from bellbird.core.principals import Claims, Principals
from bellbird.core.tenants import Tenant
from bellbird.features import teams
from bellbird.features.teams import NewTeam, Team, TeamNameTaken, TeamNotFound, TeamPatch
from tests.conftest import Begin

MEMBER = """
insert into memberships (tenant_id, id, email, name, role, visibility, team_ids, disabled_at, created_at, updated_at)
values ($1, $2, 'ann@acme.example', 'Ann', 'agent', 'team', $3, $4, now(), now())
"""


async def member(tx: Tx, in_teams: Sequence[UUID], *, ended: bool = False) -> UUID:
    """Somebody in these teams, as the feature `users` puts them there."""
    await teams.hold(tx, in_teams)
    id = uuid4()
    tx.queue(MEMBER, tx.tenant_id, id, list(in_teams), tx.clock.now() if ended else None)
    return id


async def made(tx: Tx, name: str = "Sales") -> Team:
    return await teams.create(tx, NewTeam(name=name))


async def test_a_team_is_made_read_renamed_and_deleted(tx: Tx) -> None:
    team = await made(tx, "  Sales \t NZ ")
    assert (team.name, team.members, team.version) == ("Sales NZ", 0, 1)
    assert await teams.get(tx, team.id) == team
    renamed = await teams.update(tx, team.id, TeamPatch(name="Sales AU"))
    assert (renamed.name, renamed.version, renamed.id) == ("Sales AU", 2, team.id)
    assert await teams.get(tx, team.id) == renamed
    assert await teams.called(tx, "sales  au") == renamed
    await teams.delete(tx, team.id)
    for reading in (teams.get(tx, team.id), teams.called(tx, "Sales AU")):
        with pytest.raises(TeamNotFound):
            await reading


@pytest.mark.parametrize(
    ("name", "code"),
    [("", "invalid_value"), (" \u200b ", "invalid_value"), ("a" * 101, "text_too_long"), ("a\0b", "text_character"),
     ("a\u202eb", "text_character")],
)  # fmt: skip
async def test_a_name_that_cannot_be_is_refused(tx: Tx, name: str, code: str) -> None:
    team = await made(tx)
    for verb in (made(tx, name), teams.update(tx, team.id, TeamPatch(name=name))):
        with pytest.raises(InvalidInput) as refused:
            await verb
        assert [(fault.code, fault.pointer) for fault in refused.value.faults] == [(code, "/name")]


@pytest.mark.parametrize("other", ["Ventes Été", "VENTES ÉTÉ", "ventes  e\u0301te\u0301"])
async def test_a_name_belongs_to_one_team_in_any_case(begin: Begin, other_tenant: Tenant, other: str) -> None:
    async with begin() as tx:
        await made(tx, "Ventes été")
        second = await made(tx, "Ventes ete")
    with pytest.raises(TeamNameTaken):
        async with begin() as tx:
            await made(tx, other)
    with pytest.raises(TeamNameTaken):
        async with begin() as tx:
            await teams.update(tx, second.id, TeamPatch(name=other))
    async with begin(other_tenant) as tx:
        await made(tx, other)


async def test_a_team_may_change_the_case_of_its_own_name(tx: Tx) -> None:
    team = await made(tx, "sales")
    assert (await teams.update(tx, team.id, TeamPatch(name="SALES"))).version == 2
    assert (await teams.called(tx, "Sales")).name == "SALES"


async def test_a_patch_that_changes_nothing_writes_nothing(tx: Tx) -> None:
    team = await made(tx)
    assert await teams.update(tx, team.id, TeamPatch()) == team
    assert await teams.update(tx, team.id, TeamPatch(name=" Sales ")) == team


async def test_a_change_to_an_older_version_is_refused_with_the_present_one(tx: Tx) -> None:
    team = await made(tx)
    now = await teams.update(tx, team.id, TeamPatch(name="New"), version=1)
    for verb in (teams.update(tx, team.id, TeamPatch(name="X"), version=1), teams.delete(tx, team.id, version=1)):
        with pytest.raises(VersionMismatch) as refused:
            await verb
        assert refused.value.extra["current"] == now
    await teams.delete(tx, team.id, version=2)


async def test_what_is_not_there_is_not_found(tx: Tx) -> None:
    for verb in (teams.get(tx, uuid4()), teams.update(tx, uuid4(), TeamPatch()), teams.delete(tx, uuid4())):
        with pytest.raises(TeamNotFound):
            await verb
    await tx.writable()
    with pytest.raises(TeamNotFound):
        await teams.update(tx, uuid4(), TeamPatch())


async def test_the_members_counted_are_those_who_still_work_there(tx: Tx, begin: Begin, other_tenant: Tenant) -> None:
    sales, support, empty = await made(tx, "Sales"), await made(tx, "Support"), await made(tx, "Empty")
    await member(tx, [sales.id, support.id])
    await member(tx, [sales.id, sales.id])
    await member(tx, [sales.id], ended=True)
    await member(tx, [])
    assert [(await teams.get(tx, team.id)).members for team in (sales, support, empty)] == [2, 1, 0]
    assert [(team.name, team.members) for team in (await teams.page(tx)).data] == [
        ("Empty", 0), ("Sales", 2), ("Support", 1),
    ]  # fmt: skip


async def test_whoever_was_in_a_deleted_team_is_in_it_no_more(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        sales, support = await made(tx, "Sales"), await made(tx, "Support")
        both, one = await member(tx, [sales.id, support.id]), await member(tx, [sales.id], ended=True)
        other = await member(tx, [support.id])
    async with begin() as tx:
        await teams.delete(tx, sales.id)
    asked = "select id, team_ids, version from memberships where tenant_id = %s"
    left = {row[0]: row[1:] for row in owner.execute(asked.encode(), [tenant.id]).fetchall()}
    assert left == {both: ([support.id], 2), one: ([], 2), other: ([support.id], 1)}
    told = "select changes, data from events where tenant_id = %s and type = 'team.deleted'"
    assert owner.execute(told.encode(), [tenant.id]).fetchall() == [
        ({"name": ["Sales", None]}, {"members": [str(id) for id in sorted((both, one))]})
    ]


async def test_whoever_was_in_a_deleted_team_sees_its_records_no_more(
    begin: Begin, tenant: Tenant, engine: Engine
) -> None:
    async with begin() as tx:
        sales = await made(tx)
        me, mate = await member(tx, [sales.id]), await member(tx, [sales.id])
    principals, claims = Principals(engine), Claims(tenant.id, "user", str(me))
    assert (await principals.actor(claims)).owners == {me, mate}
    async with begin() as tx:
        await teams.delete(tx, sales.id)
    assert (await principals.actor(claims)).owners == {me}


async def test_the_log_says_what_became_of_a_team(begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]) -> None:
    async with begin() as tx:
        team = await made(tx)
    async with begin() as tx:
        await teams.update(tx, team.id, TeamPatch(name="New"))
    asked = "select type, entity_id, changes from events where tenant_id = %s and type like 'team.%%' order by id"
    assert owner.execute(asked.encode(), [tenant.id]).fetchall() == [
        ("team.created", team.id, {"name": [None, "Sales"]}),
        ("team.updated", team.id, {"name": ["Sales", "New"]}),
    ]


async def test_who_may_not_is_told_so(engine: Engine, tenant: Tenant) -> None:
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"teams:read"}))) as tx:
        await teams.page(tx)
        for verb in (made(tx), teams.update(tx, uuid4(), TeamPatch()), teams.delete(tx, uuid4())):
            with pytest.raises(Forbidden, match="teams:write"):
                await verb
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"teams:write"}))) as tx:
        for reading in (teams.get(tx, uuid4()), teams.page(tx), teams.called(tx, "x")):
            with pytest.raises(Forbidden, match="teams:read"):
                await reading


async def test_a_suspended_tenant_keeps_its_teams_as_they_are(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        team = await made(tx)
    owner.execute("update tenants set status = 'suspended', version = version + 1 where id = %s", [tenant.id])
    async with begin() as tx:
        for verb in (made(tx, "b"), teams.update(tx, team.id, TeamPatch()), teams.delete(tx, team.id)):
            with pytest.raises(TenantSuspended):
                await verb
        assert await teams.get(tx, team.id) == team


async def test_pages_go_by_name_there_and_back(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        for name in ("beta", "Alpha", "gamma", "Ängste", "delta", "(x)", "7"):
            await made(tx, name)
    names = [team.name for team in (await teams.page(read)).data]
    assert sorted(names) == sorted(["beta", "Alpha", "gamma", "Ängste", "delta", "(x)", "7"])
    assert names.index("Alpha") < names.index("beta") < names.index("delta") < names.index("gamma")
    for size in range(1, 9):
        page = await teams.page(read, limit=size)
        forward = [team.name for team in page.data]
        while page.next_cursor:
            page = await teams.page(read, limit=size, cursor=page.next_cursor)
            forward += [team.name for team in page.data]
        backward = [team.name for team in page.data]
        while page.previous_cursor:
            page = await teams.page(read, limit=size, cursor=page.previous_cursor)
            backward = [team.name for team in page.data] + backward
        assert forward == backward == names, size


@pytest.mark.parametrize("key", [(1,), ("a\0",), (None,)])
async def test_a_cursor_that_was_made_up_is_refused(tenant: Tenant, read: ReadTx, key: tuple[Any]) -> None:
    made_up = paging.encode(paging.Edge(key), paging.fingerprint(tenant.id, "teams"))
    with pytest.raises(InvalidInput, match="cursor"):
        await teams.page(read, cursor=made_up)


async def test_nobody_can_be_put_in_a_team_that_there_is_not(begin: Begin, other_tenant: Tenant) -> None:
    async with begin(other_tenant) as tx:
        theirs = await made(tx)
    async with begin() as tx:
        mine, nobodys = await made(tx), uuid4()
        await teams.hold(tx, [])
        await teams.hold(tx, [mine.id])
        with pytest.raises(InvalidInput) as refused:
            await teams.hold(tx, [theirs.id, mine.id, nobodys])
    told = [(fault.code, fault.pointer, fault.message) for fault in refused.value.faults]
    assert told == [
        ("unknown_team", "/team_ids/0", f"there is no team {theirs.id}"),
        ("unknown_team", "/team_ids/2", f"there is no team {nobodys}"),
    ]


async def test_whoever_is_put_in_a_team_that_is_being_deleted_is_not_left_in_it(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    for joining_first in (True, False):
        async with begin() as tx:
            team = await made(tx)
        async with begin() as first, asyncio.timeout(10):
            await (member(first, [team.id]) if joining_first else teams.delete(first, team.id))
            await first.flush()

            async def second(joining: bool = not joining_first, id: UUID = team.id) -> None:
                async with begin() as tx:
                    await (member(tx, [id]) if joining else teams.delete(tx, id))

            waiting = asyncio.create_task(second())
            await asyncio.sleep(0.1)
            assert not waiting.done(), "it waits for what the other one will do"
            await first.commit()
            if joining_first:
                await waiting
            else:
                with pytest.raises(InvalidInput):
                    await waiting
        asked = "select count(*) from memberships where tenant_id = %s and team_ids @> array[%s]"
        assert owner.execute(asked.encode(), [tenant.id, team.id]).fetchone() == (0,)
