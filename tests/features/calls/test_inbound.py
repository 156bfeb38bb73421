"""Somebody calls: who it may be, likeliest first, and who had best talk with them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from bellbird.core.actors import Actor
from bellbird.core.connection import Connection
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.telephony import Account, Update
from bellbird.core.tenants import Tenant
from bellbird.features import call_accounts, contacts, follow_ups
from bellbird.features.call_accounts import Line, NewCallAccount
from bellbird.features.calls import Call, inbound, queries
from bellbird.features.calls import rows as call_rows
from bellbird.features.follow_ups import NewFollowUp
from tests import make, people
from tests.conftest import Begin

NUMBER = "+61412345678"
SOON = datetime.now(UTC) + timedelta(hours=2)
ANN, BEN, CAT = (UUID(int=at) for at in (1, 2, 3))


def account(tenant: Tenant) -> Account:
    return Account(make.ACCOUNT, tenant.id, "mock", "AC1", "secret")


def ringing(**given: Any) -> Update:
    told = {"provider_call_id": uuid4().hex, "status": "ringing", "direction": "inbound", "from_number": NUMBER}
    return Update(**(told | {"to_number": "+61255501234"} | given))


async def arrive(engine: Engine, tenant: Tenant, **given: Any) -> Call:
    async with engine.tenant(tenant.id, Actor.system("mock", origin="provider")) as tx:
        return await inbound.arrived(tx, account(tenant), ringing(**given))


async def received(tx: Tx | ReadTx) -> list[dict[str, Any]]:
    import msgspec

    found = await tx.all("select data from events where tenant_id = $1 and type = 'call.received'", tx.tenant_id)
    return [msgspec.json.decode(data) for (data,) in found]


async def test_a_number_that_one_contact_has_tells_who_calls(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", phone=NUMBER)
        await make.contact(tx, first_name="Ben", phone="+61412999999")
    call = await arrive(engine, tenant)
    assert (call.direction, call.status, call.number, call.to_number) == ("inbound", "queued", NUMBER, "+61255501234")
    assert (call.contact_id, call.candidates, call.agent_id) == (ann.id, (), None)
    async with begin() as tx:
        assert await queries.get(tx, call.id) == call
        (data,) = await received(tx)
    assert [caller["contact_id"] for caller in data["callers"]] == [str(ann.id)]
    assert data["callers"][0]["because"] == "number"
    assert data["direction"] == "inbound"


async def test_nobody_known_calls_and_nobody_at_all(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    unknown = await arrive(engine, tenant, from_number="+64211234567")
    assert (unknown.contact_id, unknown.candidates, unknown.number) == (None, (), "+64211234567")
    withheld = await arrive(engine, tenant, from_number=None)
    assert (withheld.contact_id, withheld.candidates, withheld.number) == (None, (), None)
    async with begin() as tx:
        assert [data["callers"] for data in await received(tx)] == [[], []]


async def test_of_several_the_likeliest_comes_first(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    now = datetime.now(UTC)
    async with begin() as tx:
        plain = await make.contact(tx, first_name="Plain", phone=NUMBER)
        owned = await make.contact(tx, first_name="Owned", phone=NUMBER, owner_id=ANN)
        longer = await make.contact(tx, first_name="Longer ago", phone=NUMBER)
        lately = await make.contact(tx, first_name="Lately", phone=NUMBER, owner_id=ANN)
        later = await make.contact(tx, first_name="Later", phone=NUMBER, owner_id=ANN)
        sooner = await make.contact(tx, first_name="Sooner", phone=NUMBER)
        gone = await make.contact(tx, first_name="Gone", phone=NUMBER)
        await contacts.delete(tx, gone.id)
        await make.call(tx, contact_id=longer.id, agent_id=ANN, at=now - timedelta(days=30))
        await make.call(tx, contact_id=lately.id, agent_id=ANN, at=now - timedelta(days=9))
        await make.call(
            tx, contact_id=lately.id, agent_id=BEN, at=now - timedelta(days=2), status="completed",
            ended_at=now - timedelta(days=2),
        )  # fmt: skip
        await follow_ups.create(tx, NewFollowUp(due_at=SOON + timedelta(days=1), contact_id=later.id, agent_id=ANN))
        due = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=sooner.id, agent_id=CAT))
        over = await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=plain.id, agent_id=CAT))
        await follow_ups.done(tx, over.id)
    call = await arrive(engine, tenant)
    likely = [sooner.id, later.id, lately.id, longer.id, owned.id, plain.id]
    assert call.contact_id is None, "the agent says which of them it is"
    assert list(call.candidates) == likely
    assert call.agent_id == CAT
    async with begin() as tx:
        (data,) = await received(tx)
    assert [caller["because"] for caller in data["callers"]] == [
        "follow_up", "follow_up", "last_call", "last_call", "owner", "number",
    ]  # fmt: skip
    assert [caller["agent_id"] and UUID(caller["agent_id"]) for caller in data["callers"]] == [
        CAT, ANN, BEN, ANN, ANN, None,
    ]  # fmt: skip
    assert data["callers"][0]["follow_up_id"] == str(due.id)


async def test_it_is_for_somebody_who_is_free(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        first = await make.contact(tx, first_name="First", phone=NUMBER, owner_id=ANN)
        await make.contact(tx, first_name="Second", phone=NUMBER, owner_id=BEN)
        await follow_ups.create(tx, NewFollowUp(due_at=SOON, contact_id=first.id, agent_id=ANN))
        await make.call(tx, agent_id=ANN, number="+61412000000")
    assert (await arrive(engine, tenant)).agent_id == BEN
    async with begin() as tx:
        await make.call(tx, agent_id=CAT, number="+61412000001", waits_until=SOON)
    assert (await arrive(engine, tenant)).agent_id is None, "Ben has the call that came first"


async def test_a_line_may_be_somebodys(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        cat = (await people.user(tx)).id
        lines = (Line(number="+61255501234", agent_id=cat), Line(number="+61255501235"))
        known = NewCallAccount(provider="mock", identifier="lines", secret="a-secret-of-sixteen", numbers=lines)
        connected = await call_accounts.connect(tx, known)
    of_line = replace(account(tenant), id=connected.id)

    async def arrives(**given: Any) -> UUID | None:
        async with engine.tenant(tenant.id, Actor.system("mock", origin="provider")) as tx:
            return (await inbound.arrived(tx, of_line, ringing(**given))).agent_id

    assert await arrives(from_number=None) == cat
    assert await arrives(to_number="+61255501235") is None
    async with begin() as tx:
        await make.contact(tx, phone=NUMBER, owner_id=BEN)
    assert await arrives() == BEN, "who looks after whoever is calling goes before"


async def test_more_than_it_can_tell_apart_is_cut_off(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        for _ in range(inbound.MAX_CANDIDATES + 3):
            await make.contact(tx, phone=NUMBER)
    assert len((await arrive(engine, tenant)).candidates) == inbound.MAX_CANDIDATES


async def test_it_sees_no_other_tenant(
    engine: Engine, tenant: Tenant, other_tenant: Tenant, begin: Begin, read: ReadTx
) -> None:
    async with begin(other_tenant) as tx:
        await make.contact(tx, phone=NUMBER)
    call = await arrive(engine, tenant)
    assert (call.contact_id, call.candidates) == (None, ())


async def test_it_costs_two_round_trips(
    engine: Engine, tenant: Tenant, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin() as tx:
        await make.contact(tx, phone=NUMBER)
        await make.contact(tx, phone=NUMBER)
    exchanges = []
    exchange = Connection.exchange

    async def noted(self: Connection, queue: Any) -> None:
        exchanges.append([pending.sql for pending in queue])
        await exchange(self, queue)

    monkeypatch.setattr(Connection, "exchange", noted)
    await arrive(engine, tenant)
    assert len(exchanges) == 2, "who it may be, with the tenant; and the row with its event and the COMMIT"


async def test_the_row_is_what_is_answered(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    call = await arrive(engine, tenant)
    async with begin() as tx:
        assert (await call_rows.lock(tx, call.id)).call == call
