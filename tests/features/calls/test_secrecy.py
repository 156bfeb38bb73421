"""Whom contacts' numbers are hidden from, is not shown them by what was called either; how many calls, they are."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bellbird.core import events
from bellbird.core.actors import Actor, FieldRules
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import Forbidden
from bellbird.core.events import Logged
from bellbird.core.tenants import Tenant
from bellbird.features import calls, dialling, follow_ups, timeline
from bellbird.features.calls import CallPatch
from bellbird.features.follow_ups import NewFollowUp
from tests import make
from tests.conftest import Begin

BLIND = Actor.user("blind", fields={"contact": FieldRules(hidden=frozenset({"phones"}))})
NUMBER = "+61412345678"


@pytest.mark.parametrize(
    "ask",
    [
        lambda tx, made: calls.get(tx, made.id),
        lambda tx, made: calls.page(tx),
        lambda tx, made: calls.update(tx, made.id, CallPatch(notes="who?")),
        lambda tx, made: calls.cancel(tx, made.id),
        lambda tx, made: calls.hang_up(tx, made.id),
        lambda tx, made: follow_ups.page(tx),
        lambda tx, made: follow_ups.open_for(tx, made.contact_id),
        lambda tx, made: dialling.page(tx),
        lambda tx, made: dialling.opt_outs(tx),
        lambda tx, made: dialling.consents(tx, made.contact_id),
    ],
)
async def test_nothing_tells_a_number(
    engine: Engine, tenant: Tenant, begin: Begin, ask: Callable[[Tx, Any], Awaitable[Any]]
) -> None:
    async with begin() as tx:
        contact = await make.contact(tx, phone=NUMBER)
        made = await make.call(tx, contact_id=contact.id, number=NUMBER)
        due = datetime.now(UTC) + timedelta(days=1)
        await follow_ups.create(tx, NewFollowUp(due_at=due, contact_id=contact.id, number=NUMBER))
        await dialling.opt_out(tx, NUMBER)
    with pytest.raises(Forbidden, match="phones"):
        async with engine.tenant(tenant.id, BLIND) as tx:
            await ask(tx, made)
    async with begin() as tx:
        await ask(tx, made)


async def test_no_event_and_no_timeline_tells_one_either(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        contact = await make.contact(tx, phone=NUMBER)
        made = await make.call(tx, contact_id=contact.id, number=NUMBER)
        await calls.update(tx, made.id, CallPatch(notes="Ann", outcome="do_not_call"))
        logged = await tx.all(f"select {events.COLUMNS} from events where tenant_id = $1", tenant.id)
    told: list[Logged] = [event for event in map(events.from_row, logged) if events.shown(BLIND, event, None)]
    assert {event.entity_type for event in told} - {"tenant"} == {"contact"}
    async with engine.tenant(tenant.id, BLIND) as tx:
        shown = await timeline.page(tx, contact.id)
    assert {entry.kind for entry in shown.data} == {"event"}
    assert NUMBER not in repr(shown)


async def test_how_many_calls_there_were_is_no_secret(engine: Engine, tenant: Tenant, begin: Begin) -> None:
    async with begin() as tx:
        await make.call(tx, number=NUMBER)
    async with engine.tenant(tenant.id, BLIND) as tx:
        assert (await calls.count(tx)).total.calls == 1
