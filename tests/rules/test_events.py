"""Every write emits its event in the same transaction: with the connection cut between them, neither is there."""

import importlib
import importlib.util
import inspect
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.connection import Connection, Pending
from bellbird.core.engine import Engine, SystemTx, Tx
from bellbird.core.errors import Unavailable
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.features import (
    FEATURES,
    call_accounts,
    calls,
    contacts,
    dialling,
    follow_ups,
    keys,
    operations,
    roles,
    sessions,
    teams,
    tenants,
    users,
)
from bellbird.features.call_accounts import CallAccountPatch, NewCallAccount
from bellbird.features.calls import CallPatch
from bellbird.features.contacts import ContactPatch, NewContact
from bellbird.features.dialling import NewConsent, NewDialDecision, NewOptOut, NewWashes, WashedNumber
from bellbird.features.follow_ups import FollowUpPatch, NewFollowUp
from bellbird.features.keys import KeyPatch, NewKey
from bellbird.features.operations import NewOperation
from bellbird.features.roles import NewRole, RolePatch
from bellbird.features.sessions import Acceptance, PasswordChange, SignIn, Started
from bellbird.features.teams import NewTeam, TeamPatch
from bellbird.features.users import User, UserPatch
from tests import make, people
from tests.conftest import SECRET
from tests.people import OTHER, PASSWORD, cheap_passwords  # noqa: F401 - a fixture

Doing = Callable[[Engine, Tenant], Awaitable[Any]]


def of_tenant(verb: Callable[[Tx], Awaitable[Any]]) -> Doing:
    async def do(engine: Engine, tenant: Tenant) -> None:
        async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
            await verb(tx)

    return do


def of_operator(verb: Callable[[SystemTx, Tenant], Awaitable[Any]]) -> Doing:
    async def do(engine: Engine, tenant: Tenant) -> None:
        async with engine.system(Actor.system()) as tx:
            await verb(tx, tenant)

    return do


def of_contact(called: str, verb: Callable[[Tx, UUID], Awaitable[Any]]) -> Doing:
    async def do(tx: Tx) -> None:
        asked = "select id from contacts where tenant_id = $1 and display_name = $2"
        ((id,),) = await tx.all(asked, tx.tenant_id, called)
        await verb(tx, id)

    return of_tenant(do)


def of_row(table: str, name: str, verb: Callable[[Tx, UUID], Awaitable[Any]]) -> Doing:
    async def do(tx: Tx) -> None:
        asked = f"select id from {table} where tenant_id = $1 and name = $2"
        ((id,),) = await tx.all(asked, tx.tenant_id, name)
        await verb(tx, id)

    return of_tenant(do)


async def resumed(tx: SystemTx, tenant: Tenant) -> None:
    await tx.run("update tenants set status = 'suspended' where id = $1", tenant.id)
    await tenants.resume(tx, tenant.id)


SETTINGS = Settings(_env_file=None)  # type: ignore[call-arg]


class Signed:
    """Who is signed in to the tenant of the test, with which session, and who is invited."""

    ann: User
    session: Started
    bob: User


def of_ann(verb: Callable[[Tx], Awaitable[Any]]) -> Doing:
    async def do(engine: Engine, tenant: Tenant) -> None:
        async with engine.tenant(tenant.id, Actor.user(Signed.ann.id)) as tx:
            await verb(tx)

    return do


async def signing_in(engine: Engine, tenant: Tenant) -> None:
    await sessions.sign_in(engine, SETTINGS, SignIn(email=Signed.ann.email, password=PASSWORD))


async def used_twice(engine: Engine, tenant: Tenant) -> None:
    with pytest.raises(sessions.RefreshTokenReused):
        await sessions.refresh(engine, Signed.session.refresh_token)


async def joining(engine: Engine, tenant: Tenant) -> None:
    assert Signed.bob.invitation
    await sessions.accept(engine, SETTINGS, Acceptance(token=Signed.bob.invitation.token, password=PASSWORD))


async def changing(engine: Engine, tenant: Tenant) -> None:
    change = PasswordChange(current_password=PASSWORD, new_password=OTHER)
    actor = Actor.user(Signed.ann.id)
    await sessions.change_password(engine, SETTINGS, actor, change, session_id=Signed.session.id)


async def reset(tx: SystemTx, tenant: Tenant) -> None:
    asked = "select id from memberships where tenant_id = $1 and name = 'Cy'"
    ((id,),) = await tx.all(asked, tenant.id)
    await users.reset_password(tx, tenant.id, id)


ACCOUNT = NewCallAccount(provider="twilio", identifier="AC" + "01" * 16, secret="ab" * 16, name="Main")
PURGING = NewOperation(kind="contacts.purge_deleted")
ASSIGNING = NewOperation(kind="contacts.assign", params={"from": None, "to": "0192f0c0-0000-7000-8000-000000000001"})


def of_operation(state: str, verb: Callable[[Tx, UUID], Awaitable[Any]]) -> Doing:
    async def do(tx: Tx) -> None:
        asked = "select id from operations where tenant_id = $1 and state = $2"
        ((id,),) = await tx.all(asked, tx.tenant_id, state)
        await verb(tx, id)

    return of_tenant(do)


# Every public verb that writes, the events it records, and how it is done here. A new verb needs a line.
def of_first(table: str, verb: Callable[[Tx, UUID], Awaitable[Any]]) -> Doing:
    async def do(tx: Tx) -> None:
        ((id,),) = await tx.all(f"select id from {table} where tenant_id = $1", tx.tenant_id)
        await verb(tx, id)

    return of_tenant(do)


WASHES = NewWashes(numbers=(WashedNumber(number="0412 345 678", listed=True),))


def a_consent(contact_id: UUID) -> NewConsent:
    return NewConsent(contact_id=contact_id, purpose="research", source="web form")


def follow_up(tx: Tx) -> NewFollowUp:
    return NewFollowUp(number="0412 345 678", due_at=tx.clock.now() + timedelta(hours=1))


WRITES: dict[str, tuple[str, Doing]] = {
    "contacts.create": ("contact.created", of_tenant(lambda tx: make.contact(tx, first_name="New"))),
    "contacts.update": (
        "contact.updated",
        of_contact("Ann", lambda tx, id: contacts.update(tx, id, ContactPatch(company="X"))),
    ),
    "contacts.delete": ("contact.deleted", of_contact("Ann", lambda tx, id: contacts.delete(tx, id))),
    "contacts.restore": ("contact.restored", of_contact("Deleted", lambda tx, id: contacts.restore(tx, id))),
    "contacts.purge": ("contact.purged", of_contact("Ann", lambda tx, id: contacts.purge(tx, id))),
    "contacts.upsert": (
        "contact.created",
        of_tenant(lambda tx: contacts.upsert(tx, NewContact(first_name="New", external_id="1"), match="external_id")),
    ),
    "roles.create": ("role.created", of_tenant(lambda tx: roles.create(tx, NewRole(name="new", permissions=())))),
    "roles.update": ("role.updated", of_tenant(lambda tx: roles.update(tx, "temp", RolePatch(visibility="own")))),
    "roles.delete": ("role.deleted", of_tenant(lambda tx: roles.delete(tx, "temp"))),
    "teams.create": ("team.created", of_tenant(lambda tx: teams.create(tx, NewTeam(name="New")))),
    "teams.update": (
        "team.updated",
        of_row("teams", "Sales", lambda tx, id: teams.update(tx, id, TeamPatch(name="X"))),
    ),
    "teams.delete": ("team.deleted", of_row("teams", "Sales", lambda tx, id: teams.delete(tx, id))),
    "call_accounts.connect": (
        "call_account.connected",
        of_tenant(lambda tx: call_accounts.connect(tx, replace(ACCOUNT, identifier="AC" + "ef" * 16))),
    ),
    "call_accounts.change": (
        "call_account.changed",
        of_row("call_accounts", "Main", lambda tx, id: call_accounts.change(tx, id, CallAccountPatch(name="X"))),
    ),
    "call_accounts.disconnect": (
        "call_account.disconnected",
        of_row("call_accounts", "Main", lambda tx, id: call_accounts.disconnect(tx, id)),
    ),
    "calls.update": ("call.updated", of_first("calls", lambda tx, id: calls.update(tx, id, CallPatch(notes="X")))),
    "calls.make_contact": (
        "contact.created call.updated",
        of_first("calls", lambda tx, id: calls.make_contact(tx, id, NewContact(first_name="New"))),
    ),
    "dialling.grant": ("consent.granted", of_contact("Ann", lambda tx, id: dialling.grant(tx, a_consent(id)))),
    "dialling.withdraw": ("consent.withdrawn", of_first("consents", dialling.withdraw)),
    "dialling.opt_out": ("opt_out.created", of_tenant(lambda tx: dialling.opt_out(tx, "0412 000 002"))),
    "dialling.create_opt_out": (
        "opt_out.created",
        of_tenant(lambda tx: dialling.create_opt_out(tx, NewOptOut(number="0412 000 003"))),
    ),
    "dialling.remove_opt_out": (
        "opt_out.removed",
        of_first("opt_outs", lambda tx, id: dialling.remove_opt_out(tx, id, "she rang")),
    ),
    "dialling.wash": ("wash.recorded", of_tenant(lambda tx: dialling.wash(tx, WASHES))),
    "dialling.ask": (
        "dial_decision.made",
        of_tenant(lambda tx: dialling.ask(tx, NewDialDecision(number="0412 345 678"))),
    ),
    "follow_ups.create": ("follow_up.created", of_tenant(lambda tx: follow_ups.create(tx, follow_up(tx)))),
    "follow_ups.update": (
        "follow_up.updated",
        of_first("follow_ups", lambda tx, id: follow_ups.update(tx, id, FollowUpPatch(note="X"))),
    ),
    "follow_ups.done": ("follow_up.done", of_first("follow_ups", follow_ups.done)),
    "follow_ups.cancel": ("follow_up.canceled", of_first("follow_ups", follow_ups.cancel)),
    "keys.create": (
        "key.created",
        of_tenant(lambda tx: keys.create(tx, NewKey(name="new", scopes=("contacts:read",)))),
    ),
    "keys.update": (
        "key.updated",
        of_row("api_keys", "robot", lambda tx, id: keys.update(tx, id, KeyPatch(name="X"))),
    ),
    "keys.revoke": ("key.revoked", of_row("api_keys", "robot", lambda tx, id: keys.revoke(tx, id))),
    "operations.start": ("operation.created", of_tenant(lambda tx: operations.start(tx, PURGING))),
    "operations.cancel": ("operation.canceled", of_operation("queued", operations.cancel)),
    "operations.pause": ("operation.paused", of_operation("queued", operations.pause)),
    "operations.resume": ("operation.resumed", of_operation("paused", operations.resume)),
    "operations.undo": ("operation.created operation.updated", of_operation("canceled", operations.undo)),
    "users.add": ("user.added", of_tenant(lambda tx: people.user(tx))),
    "users.update": (
        "user.updated",
        of_row("memberships", "Cy", lambda tx, id: users.update(tx, id, UserPatch(role="viewer"))),
    ),
    "users.remove": ("user.removed", of_row("memberships", "Cy", lambda tx, id: users.remove(tx, id))),
    "users.invite": ("user.invited", of_row("memberships", "Bob", lambda tx, id: users.invite(tx, id))),
    "users.reset_password": ("user.password_reset", of_operator(reset)),
    "sessions.sign_in": ("session.started", signing_in),
    "sessions.refresh": ("session.ended", used_twice),
    "sessions.sign_out": ("session.ended", of_ann(lambda tx: sessions.sign_out(tx, Signed.session.id))),
    "sessions.end": ("session.ended", of_ann(lambda tx: sessions.end(tx, Signed.session.id))),
    "sessions.end_all": ("session.ended", of_ann(lambda tx: sessions.end_all(tx))),
    "sessions.accept": ("user.joined session.started", joining),
    "sessions.change_password": ("user.password_changed", changing),
    "tenants.create": ("tenant.created", of_operator(lambda tx, _: tenants.create(tx, "made-by-the-rule"))),
    "tenants.set": ("tenant.updated", of_operator(lambda tx, tenant: tenants.set(tx, tenant.id, name="New"))),
    "tenants.suspend": ("tenant.suspended", of_operator(lambda tx, tenant: tenants.suspend(tx, tenant.id))),
    "tenants.resume": ("tenant.resumed", of_operator(resumed)),
}

# Public coroutines of actions that write nothing, or to every tenant's log, each in a transaction of its own.
NOT_RECORDED = {"contacts.expired", "audit.seal", "audit.maintain"}

TABLES = (
    "contacts", "roles", "teams", "api_keys", "users", "memberships", "sessions", "refresh_tokens", "tenants",
    "operations", "call_accounts", "calls", "follow_ups", "consents", "opt_outs", "washes",
    "dial_decisions", "events",
)  # fmt: skip
# Where the row is that the first event is about, if not in a table of the feature's name.
ROW_OF = {
    "dialling.grant": "consents", "dialling.withdraw": "consents", "dialling.wash": "washes",
    "dialling.opt_out": "opt_outs", "dialling.create_opt_out": "opt_outs", "dialling.remove_opt_out": "opt_outs",
    "dialling.ask": "dial_decisions","calls.make_contact": "contacts", "keys": "api_keys", "users": "memberships",
          "sessions.accept": "memberships", "sessions.change_password": "users"}  # fmt: skip
ROW_IS_WRITTEN = re.compile(rf"\s*(insert into|update|delete from) ({'|'.join(TABLES[:-1])})\b")
EVENT_IS_WRITTEN = re.compile(r"\s*insert into events\b")


def test_every_public_verb_that_writes_is_tried_here() -> None:
    verbs = set()
    for feature in FEATURES:
        if importlib.util.find_spec(f"bellbird.features.{feature}.actions") is None:
            continue  # one that only reads
        actions = importlib.import_module(f"bellbird.features.{feature}.actions")
        verbs |= {
            f"{feature}.{name}"
            for name, verb in inspect.getmembers(actions, inspect.iscoroutinefunction)
            if not name.startswith("_") and verb.__module__ == actions.__name__
        }
    assert verbs == set(WRITES) | NOT_RECORDED


@pytest.fixture
async def alone(clone: str) -> Any:
    """A database of the test's own with one tenant, a contact and a deleted one, a role, a team, a key and people."""
    async with Engine(clone, secret=SECRET) as engine:
        async with engine.system(Actor.system()) as system:
            tenant = await tenants.create(system, "acme")
        async with engine.tenant(tenant.id, Actor.user("tester")) as tx:
            ann = await make.contact(tx, first_name="Ann")
            await dialling.grant(tx, a_consent(ann.id))
            await dialling.opt_out(tx, "0412 000 001")
            await contacts.delete(tx, (await make.contact(tx, first_name="Deleted")).id)
            await roles.create(tx, NewRole(name="temp", permissions=()))
            await teams.create(tx, NewTeam(name="Sales"))
            await call_accounts.connect(tx, ACCOUNT)
            await operations.start(tx, PURGING)
            await operations.pause(tx, (await operations.start(tx, PURGING)).id)
            await operations.cancel(tx, (await operations.start(tx, ASSIGNING)).id)
            await keys.create(tx, NewKey(name="robot", scopes=("contacts:read",)))
            await make.call(tx, number="+61412000000")
            await follow_ups.create(tx, follow_up(tx))
            Signed.ann = await people.user(tx, name="Ann", role="owner")
            Signed.bob = await people.invited(tx, name="Bob")
            await people.user(tx, name="Cy")
        given = SignIn(email=Signed.ann.email, password=PASSWORD)
        Signed.session = await sessions.sign_in(engine, SETTINGS, given)
        # So that the next to come with it is the second.
        await sessions.refresh(engine, Signed.session.refresh_token)
        yield engine, tenant, clone


def state(conninfo: str) -> list[Any]:
    """Everything there is."""
    with psycopg.connect(conninfo) as connection:
        return [connection.execute(f"select t::text from {table} t order by 1".encode()).fetchall() for table in TABLES]


@pytest.mark.parametrize("verb", WRITES)
async def test_a_write_and_its_event_have_one_transaction(alone: Any, verb: str) -> None:
    engine, tenant, conninfo = alone
    expected, do = WRITES[verb]
    with psycopg.connect(conninfo) as owner:
        (before,) = owner.execute("select count(*) from events").fetchone() or (0,)
    await do(engine, tenant)
    with psycopg.connect(conninfo) as owner:
        new = owner.execute("select type, tx, entity_id from events order by id offset %s", [before]).fetchall()
        assert [row[0] for row in new] == expected.split()
        _, event_tx, entity = new[0]
        feature = verb.partition(".")[0]
        table = ROW_OF.get(verb, ROW_OF.get(feature, feature))
        written = owner.execute(f"select xmin::text from {table} where id = %s".encode(), [entity]).fetchone()
        if verb in ("contacts.purge", "roles.delete", "teams.delete", "call_accounts.disconnect"):
            assert written is None
        else:
            assert written == (str(event_tx),), "by the very same transaction"


@pytest.mark.parametrize("after", [ROW_IS_WRITTEN, EVENT_IS_WRITTEN], ids=["after the row", "after the event"])
@pytest.mark.parametrize("verb", WRITES)
async def test_cut_between_them_neither_is_there(
    alone: Any, verb: str, after: re.Pattern[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, tenant, conninfo = alone
    before = state(conninfo)
    exchange = Connection.exchange
    cut = []

    async def one_by_one(self: Connection, queue: list[Pending]) -> None:
        for pending in queue:
            await exchange(self, [pending])
            if after.match(pending.sql) and not cut:
                cut.append(pending.sql)
                with psycopg.connect(conninfo, autocommit=True) as owner:
                    owner.execute("select pg_terminate_backend(%s, 5000)", [self.pgconn.backend_pid])

    monkeypatch.setattr(Connection, "exchange", one_by_one)
    with pytest.raises(Unavailable):
        await WRITES[verb][1](engine, tenant)
    assert cut, "the connection was cut"
    assert state(conninfo) == before
    monkeypatch.undo()
    await WRITES[verb][1](engine, tenant)
    assert state(conninfo) != before, "and the engine goes on by itself"
