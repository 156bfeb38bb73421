"""From a credential to an actor: what the database says, how long it is believed, and what another process changes."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import credentials, tenants
from bellbird.core.actors import ROLES, Actor
from bellbird.core.clock import FakeClock
from bellbird.core.connection import Connection
from bellbird.core.engine import Engine
from bellbird.core.errors import Forbidden, NotSignedIn
from bellbird.core.principals import Claims, Principals
from bellbird.core.tenants import Tenant
from tests.conftest import Server

MEMBERSHIP = """
insert into memberships (tenant_id, id, email, name, role, visibility, team_ids, created_at, updated_at)
values (%s, %s, 'ann@acme.example', 'Ann', %s, %s, %s, now(), now())
"""


class Office:
    """The tenant's administration, in another process: it writes and says nothing."""

    def __init__(self, owner: psycopg.Connection[Any], tenant: Tenant) -> None:
        self.owner = owner
        self.tenant = tenant

    def run(self, statement: str, *values: object) -> None:
        with self.owner.transaction():
            self.owner.execute(statement.encode(), [self.tenant.id, *values])
            self.owner.execute("update tenants set access_version = access_version + 1 where id = %s", [self.tenant.id])

    def member(self, role: str = "agent", visibility: str | None = None, teams: list[UUID] | None = None) -> Claims:
        id = uuid4()
        self.run(MEMBERSHIP, id, role, visibility, teams or [])
        return Claims(self.tenant.id, "user", str(id))

    def key(self, *scopes: str, visibility: str = "all", of: Claims | None = None, **times: Any) -> Claims:
        made, id = credentials.make("live", self.tenant.id, uuid4()), None
        id = credentials.read("live", made.text).id
        self.run(
            "insert into api_keys (tenant_id, id, name, prefix, secret_hash, scopes, visibility, user_id, created_by,"
            " created_at, expires_at, revoked_at) values (%s, %s, 'robot', %s, %s, %s, %s, %s, 'test', now(), %s, %s)",
            id, made.prefix, made.hash, list(scopes), visibility, of and UUID(of.subject),
            times.get("expires_at"), times.get("revoked_at"),
        )  # fmt: skip
        return Claims(self.tenant.id, "key", str(id), secret_hash=made.hash)

    def session(self, of: Claims, *, ended: bool = False, valid: timedelta = timedelta(hours=1)) -> Claims:
        id = uuid4()
        self.run(
            "insert into sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at, ended_at)"
            " values (%s, %s, %s, now(), now(), now() + %s, case when %s then now() end)",
            id, UUID(of.subject), valid, ended,
        )  # fmt: skip
        return Claims(self.tenant.id, "user", of.subject, session_id=id)


@pytest.fixture
def office(owner: psycopg.Connection[Any], tenant: Tenant) -> Office:
    return Office(owner, tenant)


@pytest.fixture
def principals(engine: Engine) -> Principals:
    return Principals(engine, token_role="manager")


async def test_a_members_role_decides(principals: Principals, office: Office) -> None:
    for name, role in ROLES.items():
        actor = await principals.actor(office.member(name))
        assert (actor.role, actor.permissions, actor.visibility) == (name, role.permissions, "all")
        assert actor.origin == "api"


async def test_a_custom_role_decides_with_its_rules(principals: Principals, office: Office) -> None:
    office.run(
        "insert into roles (tenant_id, id, name, permissions, visibility, fields, created_at, updated_at)"
        " values (%s, %s, 'temp', '{contacts:read}', 'own',"
        """ '{"contact": {"hidden": ["birthday"], "read_only": ["phones"]}}', now(), now())""",
        uuid4(),
    )
    claims = office.member("temp")
    actor = await principals.actor(claims)
    assert actor.permissions == {"contacts:read"}
    assert (actor.visibility, actor.owners) == ("own", {UUID(claims.subject)})
    assert actor.rules("contact").hidden == {"birthday"}
    assert actor.rules("contact").read_only == {"phones"}
    assert not actor.rules("call")


async def test_a_role_that_is_gone_allows_nothing(principals: Principals, office: Office) -> None:
    actor = await principals.actor(office.member("vanished"))
    assert (actor.permissions, actor.visibility) == (frozenset(), "own")


async def test_under_team_the_owners_are_everybody_in_any_of_the_teams(principals: Principals, office: Office) -> None:
    sales, support = uuid4(), uuid4()
    me = office.member("agent", "team", [sales])
    mates = [office.member("agent", None, [support, sales]), office.member("agent", "own", [sales])]
    office.member("agent", "team", [support])
    actor = await principals.actor(me)
    assert actor.owners == {UUID(each.subject) for each in (me, *mates)}
    assert (await principals.actor(office.member("agent", "team"))).owners != actor.owners


async def test_a_token_that_names_roles_needs_no_membership(principals: Principals, tenant: Tenant) -> None:
    id = str(uuid4())
    actor = await principals.actor(Claims(tenant.id, "user", id, roles=("viewer", "agent")))
    assert actor.permissions == ROLES["agent"].permissions | ROLES["viewer"].permissions
    narrowed = Claims(tenant.id, "user", id, roles=("owner",), scopes=frozenset({"contacts:read", "openid"}))
    assert (await principals.actor(narrowed)).permissions == {"contacts:read"}
    own = await principals.actor(Claims(tenant.id, "user", id, roles=("agent",), visibility="own"))
    assert (own.visibility, own.owners) == ("own", {UUID(id)})
    assert (await principals.actor(Claims(tenant.id, "user", id, roles=()))).permissions == frozenset()
    with pytest.raises(Forbidden, match="names the role 'king'"):
        await principals.actor(Claims(tenant.id, "user", id, roles=("king",)))


async def test_a_tokens_visibility_only_narrows(principals: Principals, office: Office) -> None:
    member = office.member("agent", "own")
    widened = Claims(office.tenant.id, "user", member.subject, visibility="all")
    assert (await principals.actor(widened)).visibility == "own"


async def test_a_token_that_says_nothing_of_somebody_unknown(engine: Engine, tenant: Tenant) -> None:
    claims = Claims(tenant.id, "user", str(uuid4()))
    assert (await Principals(engine, token_role="manager").actor(claims)).role == "manager"
    with pytest.raises(NotSignedIn, match="no member"):
        await Principals(engine).actor(claims)


async def test_whoever_was_a_member_is_refused_whatever_the_token_says(principals: Principals, office: Office) -> None:
    claims = office.member()
    office.run("update memberships set disabled_at = now() where tenant_id = %s and id = %s", UUID(claims.subject))
    for each in (claims, Claims(office.tenant.id, "user", claims.subject, roles=("owner",))):
        with pytest.raises(NotSignedIn, match="was ended"):
            await principals.actor(each)


async def test_a_session_must_be_live_and_the_users_own(principals: Principals, office: Office) -> None:
    member = office.member()
    live = office.session(member)
    assert (await principals.actor(live)).role == "agent"
    for bad in (
        office.session(member, ended=True),
        office.session(member, valid=timedelta(seconds=-1)),
        Claims(office.tenant.id, "user", office.member().subject, session_id=live.session_id),
        Claims(office.tenant.id, "user", member.subject, session_id=uuid4()),
    ):
        with pytest.raises(NotSignedIn, match="session"):
            await principals.actor(bad)


async def test_a_session_of_no_member_is_nothing_even_with_a_role_for_strangers(
    principals: Principals, office: Office
) -> None:
    stranger = Claims(office.tenant.id, "user", str(uuid4()))
    with pytest.raises(NotSignedIn, match="no member"):
        await principals.actor(office.session(stranger))


async def test_a_key_has_its_scopes_and_its_makers_records(principals: Principals, office: Office) -> None:
    maker = office.member()
    actor = await principals.actor(office.key("contacts:read", visibility="own", of=maker))
    assert (actor.kind, actor.permissions, actor.role) == ("key", {"contacts:read"}, "robot")
    assert actor.owners == {UUID(maker.subject)}
    assert (await principals.actor(office.key("contacts:read", visibility="own"))).owners == frozenset()


async def test_a_key_that_is_not_the_one_is_refused(principals: Principals, office: Office) -> None:
    now = office.owner.execute("select now()").fetchone()
    assert now
    good = office.key("contacts:read")
    for bad, said in (
        (Claims(good.tenant_id, "key", good.subject, secret_hash=b"x" * 32), "no such"),
        (Claims(good.tenant_id, "key", str(uuid4()), secret_hash=good.secret_hash), "no such"),
        (office.key("contacts:read", revoked_at=now[0]), "revoked"),
        (office.key("contacts:read", expires_at=now[0]), "expired"),
    ):
        with pytest.raises(NotSignedIn, match=said):
            await principals.actor(bad)


async def test_a_key_ends_at_its_time_although_it_is_known(server: Server, database: str, office: Office) -> None:
    row = office.owner.execute("select now()").fetchone()
    assert row
    clock = FakeClock(row[0])
    async with Engine(server.conninfo(database), clock=clock) as engine:
        principals = Principals(engine)
        claims = office.key("contacts:read", expires_at=row[0] + timedelta(hours=1))
        await principals.actor(claims)
        clock.move(timedelta(minutes=59))
        await principals.actor(claims)
        clock.move(timedelta(minutes=1))
        with pytest.raises(NotSignedIn, match="expired"):
            await principals.actor(claims)
        await principals.close()


async def test_a_keys_last_use_is_written_down(principals: Principals, office: Office) -> None:
    claims = office.key("contacts:read")
    await principals.actor(claims)
    await principals.close()
    used = "select last_used_at > now() - interval '1 minute' from api_keys where id = %s"
    assert office.owner.execute(used.encode(), [UUID(claims.subject)]).fetchone() == (True,)


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many statements each exchange with the database had."""
    seen: list[int] = []
    exchange = Connection.exchange

    async def noted(self: Connection, queue: Any) -> None:
        seen.append(len(queue))
        await exchange(self, queue)

    monkeypatch.setattr(Connection, "exchange", noted)
    return seen


async def test_whoever_is_known_costs_no_question(
    principals: Principals, office: Office, exchanges: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "TTL", 3600)
    claims = office.member()
    await principals.actor(claims)
    assert len(exchanges) == 1
    for _ in range(10):
        assert principals.known(claims) is not None
        await principals.actor(claims)
    assert len(exchanges) == 1
    assert principals.hits >= 20


async def test_when_the_moment_is_over_only_the_number_is_asked_for(
    principals: Principals, office: Office, exchanges: list[int], engine: Engine
) -> None:
    claims = office.member()
    await principals.actor(claims)
    engine.snapshots.forget(office.tenant.id)
    exchanges.clear()
    await principals.actor(claims)
    (statements,) = exchanges
    assert statements <= 5, "begin, role, tenant, the tenant's row, commit"


async def test_what_another_process_changed_holds_within_a_second(principals: Principals, office: Office) -> None:
    member, key, removed = office.member("admin"), office.key("contacts:read"), office.member()
    session = office.session(member)
    for claims in (member, key, removed, session):
        await principals.actor(claims)
    office.run("update memberships set role = 'viewer' where tenant_id = %s and id = %s", UUID(member.subject))
    office.run("update api_keys set revoked_at = now() where tenant_id = %s and id = %s", UUID(key.subject))
    office.run("update memberships set disabled_at = now() where tenant_id = %s and id = %s", UUID(removed.subject))
    office.run("update sessions set ended_at = now() where tenant_id = %s and id = %s", session.session_id)
    await asyncio.sleep(tenants.TTL)
    assert (await principals.actor(member)).role == "viewer"
    for claims in (key, removed, session):
        with pytest.raises(NotSignedIn):
            await principals.actor(claims)


async def test_a_change_of_this_process_holds_at_once(engine: Engine, principals: Principals, office: Office) -> None:
    claims = office.member("admin")
    await principals.actor(claims)
    async with engine.tenant(office.tenant.id, Actor.system()) as tx:
        await tx.writable()
        tx.queue(
            "update memberships set role = 'viewer' where tenant_id = $1 and id = $2", tx.tenant_id,
            UUID(claims.subject),
        )  # fmt: skip
        tx.access_changed()
    assert (await principals.actor(claims)).role == "viewer"


class Shelf:
    """A cache as several processes share it."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.kept.get(key)

    async def set(self, key: str, value: bytes, ttl_seconds: int) -> None:
        self.kept[key] = value


async def test_what_is_shared_between_processes_is_the_same_and_never_out_of_date(
    engine: Engine, office: Office, exchanges: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenants, "TTL", 3600)
    shelf, claims = Shelf(), office.member("agent", "own")
    async with engine.reader(office.tenant.id, Actor.system()) as read:
        await read.tenant()
    first = await Principals(engine, shared=shelf).actor(claims)
    assert len(shelf.kept) == 1
    exchanges.clear()
    assert await Principals(engine, shared=shelf).actor(claims) == first
    assert exchanges == []
    office.run("update memberships set role = 'viewer' where tenant_id = %s and id = %s", UUID(claims.subject))
    engine.snapshots.forget(office.tenant.id)
    assert (await Principals(engine, shared=shelf).actor(claims)).role == "viewer"
    assert not any(claims.subject in key for key in shelf.kept)


async def test_a_tenant_that_is_gone_has_nobody(principals: Principals) -> None:
    with pytest.raises(NotSignedIn, match="does not exist"):
        await principals.actor(Claims(uuid4(), "user", str(uuid4())))
