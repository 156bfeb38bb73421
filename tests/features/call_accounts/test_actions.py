"""Connecting, changing and disconnecting call accounts, whose secrets nobody is shown."""

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from bellbird.core import ids
from bellbird.core.actors import ROLES, Actor
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput, TenantSuspended, VersionMismatch
from bellbird.core.tenants import Tenant
from bellbird.core.vault import Vault
from bellbird.features import call_accounts, calls, tenants
from bellbird.features.call_accounts import (
    CallAccount,
    CallAccountInUse,
    CallAccountNotFound,
    CallAccountPatch,
    CallAccountTaken,
    Line,
    NoVault,
)
from bellbird.features.calls import rows as call_rows
from tests import people
from tests.conftest import Begin
from tests.features.call_accounts.conftest import SECRET, new
from tests.people import cheap_passwords  # noqa: F401 - a fixture

SYDNEY, PERTH = "+61293744000", "+61892240000"


async def events_of(begin: Begin, id: UUID) -> list[tuple[str, Any, Any]]:
    async with begin() as tx:
        rows = await tx.all(
            "select type, changes::text, data::text from events where tenant_id = $1 and entity_id = $2 order by id",
            tx.tenant_id, id,
        )  # fmt: skip
    return [(type, json.loads(changes), json.loads(data) if data else None) for type, changes, data in rows]


def places(error: InvalidInput) -> set[str | None]:
    return {fault.pointer for fault in error.faults}


async def test_an_account_is_connected_with_its_numbers_as_e164(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        ann = await people.user(tx)
        made = await call_accounts.connect(
            tx,
            new("N1", Line("(02) 9374 4000", " Front \n desk "), Line("+64 9 300 0000", None, ann.id), name=" Main "),
        )
    url = f"{engine.public_url}/api/v1/callbacks/{tenant.id}/{made.id}"
    assert made == CallAccount(
        made.id, "nobody", "N1", "Main", (Line(SYDNEY, "Front desk"), Line("+6493000000", None, ann.id)), {}, "active",
        1, made.created_at, made.created_at, url, f"{url}/voice",
    )  # fmt: skip
    assert ids.made_at(made.id) == made.created_at
    async with begin() as tx:
        assert await call_accounts.get(tx, made.id) == made
        assert (await call_accounts.page(tx)).data == (made,)


async def test_the_secret_is_sealed_in_its_row_and_on_record_nowhere(
    begin: Begin, engine: Engine, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new())
        await call_accounts.change(tx, made.id, CallAccountPatch(secret=SECRET[::-1]))
        other = await call_accounts.connect(tx, new("N2"))
    assert people.rows_with(owner, SECRET, SECRET[::-1]) == []
    assert SECRET not in repr(new()) + repr(made) + repr(CallAccountPatch(secret=SECRET))
    async with begin() as tx:
        opened = await call_accounts.opened(engine, tx, made.id)
        assert opened
        assert opened.secret == SECRET[::-1]
        assert SECRET[::-1] not in repr(opened)
    # What another row has opens nothing.
    owner.execute(
        "update call_accounts set secret = (select secret from call_accounts where id = %s) where id = %s",
        [made.id, other.id],
    )
    async with begin() as tx:
        assert await call_accounts.opened(engine, tx, other.id) is None


async def test_what_happened_is_on_record(begin: Begin) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new("N1", SYDNEY, options={"edge": "sydney"}))
    async with begin() as tx:
        await call_accounts.change(tx, made.id, CallAccountPatch(status="paused", secret="another-secret"))
    async with begin() as tx:
        await call_accounts.disconnect(tx, made.id)
    connected, changed, disconnected = await events_of(begin, made.id)
    lines = [{"number": SYDNEY, "label": None, "agent_id": None}]
    values = {
        "provider": "nobody", "identifier": "N1", "name": "nobody N1", "numbers": lines, "options": {"edge": "sydney"},
    }  # fmt: skip
    given = {name: [None, value] for name, value in values.items()}
    assert connected == ("call_account.connected", given | {"status": [None, "active"]}, {"version": 1})
    status = {"status": ["active", "paused"]}
    assert changed == ("call_account.changed", status, {"version": 2, "secret_changed": True})
    gone = {name: [value, None] for name, value in values.items()} | {"status": ["paused", None]}
    assert disconnected == ("call_account.disconnected", gone, None)


async def test_every_fault_is_told_at_once(tx: Tx) -> None:
    lines = (Line("0412"), Line(SYDNEY), Line("02 9374 4000"), Line(PERTH, None, uuid4()))
    with pytest.raises(InvalidInput) as refused:
        await call_accounts.connect(tx, new("X1", *lines, secret="short", options={"speed": 1}, name="\x00"))
    assert places(refused.value) == {
        "/name", "/numbers/0/number", "/numbers/2/number", "/numbers/3/agent_id", "/identifier", "/secret",
        "/options/speed",
    }  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        await call_accounts.connect(tx, new(provider="carrier-pigeon"))
    assert places(refused.value) == {"/provider"}
    assert "nobody" in str(refused.value)
    for secret in ("", " ", "x" * 600, "with\nlines-in-between"):
        with pytest.raises(InvalidInput) as refused:
            await call_accounts.connect(tx, new(secret=secret))
        assert places(refused.value) == {"/secret"}
        assert not secret.strip() or secret not in str(refused.value)
    with pytest.raises(InvalidInput):
        await call_accounts.connect(tx, new(options={"edge": "x" * 5000}))
    with pytest.raises(InvalidInput) as refused:
        await call_accounts.connect(tx, new("N1", *[f"+6129374{n:04}" for n in range(1001)]))
    assert [fault.code for fault in refused.value.faults] == ["too_many"]


async def test_an_account_of_a_provider_is_connected_once(begin: Begin, other_tenant: Tenant) -> None:
    async with begin() as tx:
        await call_accounts.connect(tx, new())
    with pytest.raises(CallAccountTaken):
        async with begin() as tx:
            await call_accounts.connect(tx, new())
    async with begin(other_tenant) as tx:
        await call_accounts.connect(tx, new())


async def test_a_change_keeps_what_it_does_not_name(begin: Begin, engine: Engine) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new("N1", SYDNEY))
    async with begin() as tx:
        changed = await call_accounts.change(tx, made.id, CallAccountPatch(numbers=(Line("08 9224 0000", "Perth"),)))
    assert (changed.numbers, changed.name, changed.version) == ((Line(PERTH, "Perth"),), "nobody N1", 2)
    async with begin() as tx:
        for patch in (CallAccountPatch(), CallAccountPatch(name="nobody N1"), CallAccountPatch(secret=f" {SECRET}\n")):
            assert await call_accounts.change(tx, made.id, patch) == changed
        assert await call_accounts.get(tx, made.id) == changed
    assert len(await events_of(begin, made.id)) == 2
    with pytest.raises(VersionMismatch) as refused:
        async with begin() as tx:
            await call_accounts.change(tx, made.id, CallAccountPatch(name="x"), version=1)
    assert refused.value.extra["current"] == changed
    with pytest.raises(InvalidInput) as faulty:
        async with begin() as tx:
            patch = CallAccountPatch(name=" ", secret="", numbers=(Line("1"),), options={"x": 1})
            await call_accounts.change(tx, made.id, patch)
    assert places(faulty.value) == {"/name", "/secret", "/numbers/0/number", "/options/x"}
    with pytest.raises(InvalidInput) as faulty:
        async with begin() as tx:
            await call_accounts.change(tx, made.id, CallAccountPatch(status="closed"))  # type: ignore[arg-type]
    assert places(faulty.value) == {"/status"}


async def test_with_another_secret_of_the_deployment_the_accounts_is_given_again(
    begin: Begin, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new())
    monkeypatch.setattr(engine, "vault", Vault("another secret of the deployment", "call-accounts"))
    async with begin() as tx:
        assert await call_accounts.opened(engine, tx, made.id) is None
        with pytest.raises(InvalidInput) as refused:
            await call_accounts.change(tx, made.id, CallAccountPatch(options={"edge": "sydney"}))
        assert places(refused.value) == {"/secret"}
        changed = await call_accounts.change(tx, made.id, CallAccountPatch(name="Main"))
        assert changed.name == "Main"
    async with begin() as tx:
        await call_accounts.change(tx, made.id, CallAccountPatch(secret=SECRET))
    async with begin() as tx:
        opened = await call_accounts.opened(engine, tx, made.id)
        assert opened
        assert opened.secret == SECRET


async def test_without_a_secret_of_the_deployment_none_is_kept(
    begin: Begin, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new())
    monkeypatch.setattr(engine, "vault", None)
    async with begin() as tx:
        with pytest.raises(NoVault):
            await call_accounts.connect(tx, new("N2"))
        assert await call_accounts.opened(engine, tx, made.id) is None


async def a_call(tx: Tx, account: CallAccount, **more: Any) -> calls.Call:
    now = tx.now()
    values = {
        "direction": "outbound", "status": "queued", "from_number": SYDNEY, "to_number": PERTH, "number": PERTH,
        "contact_id": None, "candidates": (), "agent_id": None, "purpose": "service", "provider": account.provider,
        "provider_call_id": None, "answered_by": None, **more,
    }  # fmt: skip
    call = calls.Call(id=ids.uuid7(now), account_id=account.id, created_at=now, updated_at=now, **values)
    call_rows.insert(tx, call)
    return call


async def test_an_account_is_not_disconnected_under_a_call(begin: Begin) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new())
        other = await call_accounts.connect(tx, new("N2"))
        await a_call(tx, made)
        await a_call(tx, other, status="completed", ended_at=tx.now())
    with pytest.raises(CallAccountInUse) as refused:
        async with begin() as tx:
            await call_accounts.disconnect(tx, made.id)
    assert refused.value.extra["calls"] == 1
    async with begin() as tx:
        await call_accounts.disconnect(tx, other.id)
    async with begin() as tx:
        assert [each.id for each in (await call_accounts.page(tx)).data] == [made.id]
        with pytest.raises(CallAccountNotFound):
            await call_accounts.get(tx, other.id)
        for verb in (call_accounts.disconnect(tx, other.id), call_accounts.change(tx, other.id, CallAccountPatch())):
            with pytest.raises(CallAccountNotFound):
                await verb


async def test_accounts_are_paged_oldest_first(begin: Begin, read: ReadTx) -> None:
    made = []
    for number in range(5):
        async with begin() as tx:
            made.append((await call_accounts.connect(tx, new(f"N{number}"))).id)
    made.sort()
    first = await call_accounts.page(read, limit=2)
    second = await call_accounts.page(read, limit=2, cursor=first.next_cursor)
    third = await call_accounts.page(read, limit=2, cursor=second.next_cursor)
    assert [each.id for page in (first, second, third) for each in page.data] == made
    assert third.next_cursor is None
    assert await call_accounts.page(read, limit=2, cursor=third.previous_cursor) == second
    with pytest.raises(InvalidInput):
        await call_accounts.page(read, cursor="AAAA")


async def test_agents_may_see_the_numbers_and_managers_alone_change_them(
    begin: Begin, engine: Engine, tenant: Tenant
) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new())
    agent = Actor.user(uuid4(), permissions=ROLES["agent"].permissions)
    async with engine.tenant(tenant.id, agent) as tx:
        assert (await call_accounts.get(tx, made.id)).id == made.id
        for verb in (
            call_accounts.connect(tx, new("N2")),
            call_accounts.change(tx, made.id, CallAccountPatch(name="x")),
            call_accounts.disconnect(tx, made.id),
        ):
            with pytest.raises(Forbidden):
                await verb
    async with engine.tenant(tenant.id, Actor.user(uuid4(), permissions=frozenset())) as tx:
        for verb in (call_accounts.get(tx, made.id), call_accounts.page(tx)):  # type: ignore[assignment]
            with pytest.raises(Forbidden):
                await verb


async def test_a_suspended_tenant_keeps_its_accounts_as_they_are(begin: Begin, engine: Engine, tenant: Tenant) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new())
    async with engine.system(Actor.system()) as system:
        await tenants.suspend(system, tenant.id)
    async with begin() as tx:
        for verb in (call_accounts.connect(tx, new("N2")), call_accounts.disconnect(tx, made.id)):
            with pytest.raises(TenantSuspended):
                await verb
