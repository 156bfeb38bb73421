"""Making, renaming, revoking and listing API keys; and what a key lets its bearer do, until it does no more."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import credentials, paging, tenants
from bellbird.core.actors import ROLES, Actor, FieldRules
from bellbird.core.clock import FakeClock
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, NotSignedIn, TenantSuspended
from bellbird.core.principals import Claims, Principals
from bellbird.core.tenants import Tenant
from bellbird.features import keys
from bellbird.features.keys import ApiKey, KeyNotFound, KeyPatch, NewKey
from tests.conftest import Begin, Server

READ, WRITE = "contacts:read", "contacts:write"


def new(*scopes: str, name: str = "robot", **more: Any) -> NewKey:
    return NewKey(name=name, scopes=scopes or (READ,), **more)


def claims(key: ApiKey) -> Claims:
    """What the door makes of a key's text."""
    assert isinstance(key.key, str)
    read = credentials.read("live", key.key)
    return Claims(read.tenant_id, "key", str(read.id), secret_hash=read.hash)


@pytest.fixture
async def other_process(server: Server, database: str) -> AsyncIterator[Principals]:
    """Another process of the same deployment: nobody tells it anything."""
    async with Engine(server.conninfo(database)) as engine:
        principals = Principals(engine)
        yield principals
        await principals.close()


async def test_a_key_is_shown_once_and_then_known_by_its_beginning(tx: Tx, actor: Actor) -> None:
    made = await keys.create(tx, new(WRITE, READ, READ, name=" Website \n form "))
    assert (made.name, made.scopes, made.visibility) == ("Website form", (READ, WRITE), "all")
    assert (made.created_by, made.expires_at, made.last_used_at, made.revoked_at) == (str(actor), None, None, None)
    assert isinstance(made.key, str)
    assert made.key.startswith(made.prefix)
    assert len(made.prefix) == len("bb_live_") + 6
    assert made.key not in repr(made)
    shown = await keys.get(tx, made.id)
    assert shown == ApiKey(made.id, "Website form", made.prefix, (READ, WRITE), "all", str(actor), made.created_at,
                           None, None, None)  # fmt: skip


async def test_what_is_kept_of_a_key_does_not_let_anybody_in(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())
    assert isinstance(made.key, str)
    secret = made.key[len(made.prefix) :]
    for table in ("api_keys", "events"):
        for (row,) in owner.execute(f"select t::text from {table} t where tenant_id = %s".encode(), [tenant.id]):
            assert secret[:27] not in row


async def test_a_key_lets_its_bearer_do_what_its_scopes_say(begin: Begin, engine: Engine) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new(READ, "users:read"))
    bearer = await Principals(engine).actor(claims(made))
    assert (bearer.kind, bearer.id, bearer.permissions) == ("key", str(made.id), {READ, "users:read"})
    assert (bearer.visibility, bearer.fields) == ("all", {})
    with pytest.raises(Forbidden, match="needs the permission contacts:write"):
        bearer.require(WRITE)


@pytest.mark.parametrize(
    ("given", "faults"),
    [
        ({"scopes": ()}, [("/scopes", "invalid_value", "at least one permission")]),
        ({"scopes": ("contact:read",)}, [("/scopes/0", "unknown_permission", "did you mean contacts:read?")]),
        ({"scopes": (READ, "tenants:write")}, [("/scopes/1", "unknown_permission", "is no permission")]),
        ({"scopes": "contacts:read"}, [("/scopes", "invalid_type", "must be a list")]),
        ({"visibility": "mine"}, [("/visibility", "invalid_value", "own, team or all")]),
        ({"name": ""}, [("/name", "invalid_value", "something to be read")]),
        ({"name": "a" * 101}, [("/name", "text_too_long", "101 characters")]),
        ({"name": "a\0"}, [("/name", "text_character", "U+0000")]),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, [("/expires_at", "invalid_value", "in the future")]),
        ({"expires_at": datetime(2999, 1, 1, tzinfo=UTC)}, [("/expires_at", "invalid_value", "within five years")]),
        ({"expires_at": datetime(2999, 1, 1)}, [("/expires_at", "invalid_value", "such as 2999-01-01T00:00:00Z")]),
        ({"expires_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-14)))},
         [("/expires_at", "invalid_value", "within five years")]),
        ({"name": "", "scopes": (), "visibility": "x", "expires_at": datetime.min.replace(tzinfo=UTC)},
         [("/name", "invalid_value", ""), ("/scopes", "invalid_value", ""), ("/visibility", "invalid_value", ""),
          ("/expires_at", "invalid_value", "")]),
    ],
)  # fmt: skip
async def test_whatever_cannot_be_is_told_at_once_and_where_it_is(
    tx: Tx, given: dict[str, Any], faults: list[tuple[str, str, str]]
) -> None:
    with pytest.raises(InvalidInput) as refused:
        await keys.create(tx, NewKey(**{"name": "robot", "scopes": (READ,), **given}))
    for found, (pointer, code, message) in zip(refused.value.faults, faults, strict=True):
        assert (found.pointer, found.code) == (pointer, code)
        assert message in found.message
    assert (await keys.page(tx)).data == ()


async def test_a_key_holds_until_its_time_in_any_zone(tx: Tx) -> None:
    auckland = timezone(timedelta(hours=13))
    expires = (tx.clock.now() + timedelta(days=1)).astimezone(auckland)
    made = await keys.create(tx, new(expires_at=expires))
    assert made.expires_at == expires
    assert made.expires_at.tzinfo is UTC
    assert (await keys.get(tx, made.id)).expires_at == expires
    assert await keys.create(tx, new(expires_at=tx.clock.now() + timedelta(days=1826)))


ADMIN = ROLES["admin"].permissions
WITHHELD = {"contact": FieldRules(frozenset({"birthday"}), frozenset({"phones"}))}


@pytest.mark.parametrize(
    ("maker", "wanted", "said"),
    [
        (Actor.user(uuid4(), permissions=ADMIN - {WRITE, "contacts:purge"}), new(READ, WRITE, "contacts:purge"),
         "does not have: contacts:purge, contacts:write"),
        (Actor.user(uuid4(), permissions=ADMIN, visibility="own"), new(visibility="team"), "the visibility team"),
        (Actor.user(uuid4(), permissions=ADMIN, visibility="team"), new(visibility="all"), "the visibility all"),
        (Actor("key", "k", frozenset({READ, "keys:write"})), new(READ, WRITE), "key:k does not have: contacts:write"),
        (Actor("key", "k", frozenset({READ})), new(READ), "needs the permission keys:write"),
    ],
)  # fmt: skip
async def test_nobody_makes_a_key_that_may_do_more_than_they(
    engine: Engine, tenant: Tenant, maker: Actor, wanted: NewKey, said: str
) -> None:
    with pytest.raises(Forbidden, match=said):
        async with engine.tenant(tenant.id, maker) as tx:
            await keys.create(tx, wanted)


async def test_what_is_withheld_from_its_maker_is_withheld_from_a_key(engine: Engine, tenant: Tenant) -> None:
    maker = Actor.user(uuid4(), permissions=ADMIN, visibility="own", fields=WITHHELD)
    async with engine.tenant(tenant.id, maker) as tx:
        made = await keys.create(tx, new())
    bearer = await Principals(engine).actor(claims(made))
    assert made.visibility == "own"
    assert (bearer.visibility, bearer.owners, bearer.user_id) == ("own", {maker.user_id}, maker.user_id)
    assert bearer.fields == WITHHELD


async def test_a_key_made_by_a_key_stays_with_the_person_behind_it(engine: Engine, tenant: Tenant) -> None:
    person = Actor.user(uuid4(), permissions=ADMIN, visibility="own", fields=WITHHELD)
    async with engine.tenant(tenant.id, person) as tx:
        first = await keys.create(tx, new(READ, "keys:write"))
    principals = Principals(engine)
    async with engine.tenant(tenant.id, await principals.actor(claims(first))) as tx:
        second = await keys.create(tx, new(READ))
    bearer = await principals.actor(claims(second))
    assert second.created_by == f"key:{first.id}"
    assert (bearer.owners, bearer.fields, bearer.permissions) == ({person.user_id}, WITHHELD, {READ})


async def test_a_key_called_owner_makes_no_owners(begin: Begin, engine: Engine) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new(*sorted(ADMIN), name="owner"))
    bearer = await Principals(engine).actor(claims(made))
    assert bearer.may_grant(ROLES["admin"])
    assert not bearer.may_grant(ROLES["owner"])


@pytest.mark.parametrize("visibility", ["own", "team"])
async def test_own_records_need_a_person_whose_they_are(engine: Engine, tenant: Tenant, visibility: Any) -> None:
    for nobody in (Actor.system("cli"), Actor("key", "k", ADMIN)):
        with pytest.raises(InvalidInput, match=f"/visibility: must be all: {visibility} means the records of whoever"):
            async with engine.tenant(tenant.id, nobody) as tx:
                await keys.create(tx, new(visibility=visibility))
        async with engine.tenant(tenant.id, nobody) as tx:
            assert (await keys.create(tx, new())).visibility == "all"


async def test_the_teams_of_its_maker_are_the_keys(engine: Engine, begin: Begin, tenant: Tenant) -> None:
    team, me, mate = uuid4(), uuid4(), uuid4()
    async with begin() as tx:
        for id in (me, mate):
            tx.queue(
                "insert into memberships (tenant_id, id, email, name, role, team_ids, created_at, updated_at)"
                " values ($1, $2, 'x@acme.example', 'X', 'agent', $3, now(), now())",
                tx.tenant_id, id, [team],
            )  # fmt: skip
    async with engine.tenant(tenant.id, Actor.user(me, permissions=ADMIN, visibility="team")) as tx:
        made = await keys.create(tx, new())
    assert (await Principals(engine).actor(claims(made))).owners == {me, mate}


async def test_a_revoked_key_is_taken_no_more_at_once_here_and_within_a_second_elsewhere(
    begin: Begin, engine: Engine, other_process: Principals
) -> None:
    async with begin() as tx:
        made, other = await keys.create(tx, new()), await keys.create(tx, new())
    here = Principals(engine)
    for principals in (here, other_process):
        for key in (made, other):
            await principals.actor(claims(key))
    async with begin() as tx:
        revoked = await keys.revoke(tx, made.id)
    assert revoked.revoked_at is not None
    with pytest.raises(NotSignedIn, match="was revoked"):
        await here.actor(claims(made))
    await asyncio.sleep(tenants.TTL)
    with pytest.raises(NotSignedIn, match="was revoked"):
        await other_process.actor(claims(made))
    for principals in (here, other_process):
        assert (await principals.actor(claims(other))).permissions == {READ}
        await principals.close()


async def test_revoking_again_changes_nothing(begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())
    async with begin() as tx:
        first = await keys.revoke(tx, made.id)
    async with begin() as tx:
        assert await keys.revoke(tx, made.id) == first
        assert await keys.get(tx, made.id) == first
    asked = "select count(*) from events where tenant_id = %s and type = 'key.revoked'"
    assert owner.execute(asked.encode(), [tenant.id]).fetchone() == (1,)


async def test_of_many_that_revoke_a_key_at_once_one_does(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())

    async def revoke() -> ApiKey:
        async with begin() as tx:
            return await keys.revoke(tx, made.id)

    assert len({key.revoked_at for key in await asyncio.gather(*(revoke() for _ in range(5)))}) == 1
    asked = "select count(*) from events where tenant_id = %s and type = 'key.revoked'"
    assert owner.execute(asked.encode(), [tenant.id]).fetchone() == (1,)


async def test_an_expired_key_is_taken_no_more(server: Server, database: str, tenant: Tenant, actor: Actor) -> None:
    clock = FakeClock(datetime.now(UTC))
    async with Engine(server.conninfo(database), clock=clock) as engine:
        async with engine.tenant(tenant.id, actor) as tx:
            made = await keys.create(tx, new(expires_at=clock.now() + timedelta(days=1)))
        principals = Principals(engine)
        await principals.actor(claims(made))
        clock.move(timedelta(days=1))
        for each in (principals, Principals(engine)):
            with pytest.raises(NotSignedIn, match="has expired"):
                await each.actor(claims(made))
        await principals.close()


async def test_another_secret_with_the_same_id_is_no_key(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())
    forged = credentials.read("live", credentials.make("live", tenant.id, made.id).text)
    principals = Principals(engine)
    for hash in (forged.hash, b"", None):
        with pytest.raises(NotSignedIn, match="no such API key"):
            await principals.actor(Claims(tenant.id, "key", str(made.id), secret_hash=hash))
    await principals.actor(claims(made))


async def test_another_tenants_key_is_none_here(begin: Begin, engine: Engine, other_tenant: Tenant) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())
    moved = Claims(other_tenant.id, "key", str(made.id), secret_hash=claims(made).secret_hash)
    with pytest.raises(NotSignedIn, match="no such API key"):
        await Principals(engine).actor(moved)
    async with begin(other_tenant) as tx:
        for verb in (keys.get(tx, made.id), keys.revoke(tx, made.id), keys.update(tx, made.id, KeyPatch(name="x"))):
            with pytest.raises(KeyNotFound):
                await verb
        assert (await keys.page(tx, revoked=True)).data == ()


async def test_when_a_key_was_used_last_is_written_down(begin: Begin, engine: Engine, read: ReadTx) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())
    principals = Principals(engine)
    await principals.actor(claims(made))
    await principals.close()
    used = (await keys.get(read, made.id)).last_used_at
    assert used is not None
    assert made.created_at <= used <= engine.clock.now()


async def test_a_key_is_renamed_and_nothing_else(tx: Tx) -> None:
    made = await keys.create(tx, new())
    renamed = await keys.update(tx, made.id, KeyPatch(name=" Robot  2 "))
    assert renamed.name == "Robot 2"
    assert await keys.get(tx, made.id) == renamed
    assert await keys.update(tx, made.id, KeyPatch()) == renamed
    assert await keys.update(tx, made.id, KeyPatch(name="Robot 2")) == renamed
    with pytest.raises(InvalidInput, match="/name"):
        await keys.update(tx, made.id, KeyPatch(name=" "))


async def test_the_log_says_what_became_of_a_key_and_not_what_it_is(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    async with begin() as tx:
        made = await keys.create(tx, new(expires_at=expires))
    async with begin() as tx:
        await keys.update(tx, made.id, KeyPatch(name="Robot"))
    async with begin() as tx:
        revoked = await keys.revoke(tx, made.id)
    assert revoked.revoked_at
    asked = "select type, changes, data from events where tenant_id = %s and entity_id = %s order by id"
    assert owner.execute(asked.encode(), [tenant.id, made.id]).fetchall() == [
        ("key.created", {"name": [None, "robot"], "scopes": [None, [READ]], "visibility": [None, "all"],
                         "expires_at": [None, f"{expires:%Y-%m-%dT%H:%M:%S}Z"]}, None),
        ("key.updated", {"name": ["robot", "Robot"]}, None),
        ("key.revoked", {"revoked_at": [None, f"{revoked.revoked_at:%Y-%m-%dT%H:%M:%S.%fZ}"]},
         {"name": "Robot", "prefix": made.prefix}),
    ]  # fmt: skip


async def test_pages_have_the_newest_first_there_and_back(begin: Begin, read: ReadTx) -> None:
    made: list[UUID] = []
    for _ in range(7):
        async with begin() as tx:
            made.insert(0, (await keys.create(tx, new())).id)
    async with begin() as tx:
        for id in made[1::3]:
            await keys.revoke(tx, id)
    for revoked, expected in ((True, made), (False, [id for id in made if id not in made[1::3]])):
        for size in range(1, 9):
            page = await keys.page(read, revoked=revoked, limit=size)
            forward = [key.id for key in page.data]
            while page.next_cursor:
                page = await keys.page(read, revoked=revoked, limit=size, cursor=page.next_cursor)
                forward += [key.id for key in page.data]
            backward = [key.id for key in page.data]
            while page.previous_cursor:
                page = await keys.page(read, revoked=revoked, limit=size, cursor=page.previous_cursor)
                backward = [key.id for key in page.data] + backward
            assert forward == backward == expected


@pytest.mark.parametrize("key", [(1,), ("x",), (None,)])
async def test_a_cursor_that_was_made_up_is_refused(tenant: Tenant, read: ReadTx, key: tuple[Any]) -> None:
    made_up = paging.encode(paging.Edge(key), paging.fingerprint(tenant.id, "keys", False))
    with pytest.raises(InvalidInput, match="cursor"):
        await keys.page(read, cursor=made_up)
    with pytest.raises(InvalidInput, match="no cursor of this list"):
        await keys.page(read, revoked=True, cursor=made_up)


async def test_who_may_not_is_told_so(engine: Engine, tenant: Tenant) -> None:
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"keys:read"}))) as tx:
        await keys.page(tx)
        for verb in (keys.create(tx, new()), keys.update(tx, uuid4(), KeyPatch()), keys.revoke(tx, uuid4())):
            with pytest.raises(Forbidden, match="keys:write"):
                await verb
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset({"keys:write"}))) as tx:
        for reading in (keys.get(tx, uuid4()), keys.page(tx)):
            with pytest.raises(Forbidden, match="keys:read"):
                await reading


async def test_in_a_suspended_tenant_no_key_is_made_or_changed_and_any_can_be_revoked(
    begin: Begin, tenant: Tenant, owner: psycopg.Connection[Any]
) -> None:
    async with begin() as tx:
        made = await keys.create(tx, new())
    owner.execute("update tenants set status = 'suspended', version = version + 1 where id = %s", [tenant.id])
    async with begin() as tx:
        for verb in (keys.create(tx, new()), keys.update(tx, made.id, KeyPatch())):
            with pytest.raises(TenantSuspended):
                await verb
        assert (await keys.revoke(tx, made.id)).revoked_at is not None
