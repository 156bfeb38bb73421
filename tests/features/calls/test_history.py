"""Reading calls: one, a page of many by every filter, a contact's, and what its provider said of one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from bellbird.core import ids
from bellbird.core.actors import Actor
from bellbird.core.connection import bytea
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Forbidden, InvalidInput
from bellbird.core.tenants import Tenant
from bellbird.features import calls, contacts, timeline
from bellbird.features.calls import CallNotFound, Query
from bellbird.features.contacts import ContactNotFound
from tests import make
from tests.conftest import Begin

NOW = datetime.now(UTC).replace(microsecond=0)
ANN, BEN = UUID(int=11), UUID(int=12)


@pytest.fixture
def own(engine: Engine, tenant: Tenant) -> Callable[..., ReadTx]:
    """Reads of somebody who does not see everybody's records."""

    def open_one(user: UUID, **given: Any) -> ReadTx:
        return ReadTx(engine, tenant.id, Actor.user(user, visibility="own", **given), None)

    return open_one


async def test_a_call_is_read_as_it_was_written(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        call = await make.call(
            tx, decision={"allowed": True, "evidence": {"zone": "Australia/Sydney"}}, candidates=(ANN, BEN), notes="Hm",
            agent_id=ANN, cost=None,
        )  # fmt: skip
    assert await calls.get(read, call.id) == call
    assert (await calls.page(read)).data == (call,)
    with pytest.raises(CallNotFound):
        await calls.get(read, uuid4())


async def test_pages_visit_every_call_once_newest_first(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        made = [await make.call(tx, at=NOW - timedelta(days=11 * day)) for day in range(7)]
    seen, cursor = list[UUID](), None
    while True:
        page = await calls.page(read, Query(limit=3, cursor=cursor))
        seen += [call.id for call in page.data]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == [call.id for call in made]
    assert page.previous_cursor
    before = await calls.page(read, Query(limit=3, cursor=page.previous_cursor))
    assert [call.id for call in before.data] == seen[3:6]


async def test_every_filter_finds_what_it_says(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann")
        talked = await make.call(
            tx, at=NOW - timedelta(days=40), contact_id=ann.id, agent_id=ANN, status="completed", duration=95,
            disposition="answered", outcome="interested", ended_at=NOW, provider_call_id="CA1", answered_by="human",
        )  # fmt: skip
        live = await make.call(tx, at=NOW - timedelta(days=1), direction="inbound", number="+64211234567", purpose=None)
    for filter, found in (
        ({"contact_id": str(ann.id)}, talked),
        ({"contact_id": {"exists": False}}, live),
        ({"agent_id": {"in": [str(ANN), str(BEN)]}}, talked),
        ({"number": "0412 345 678"}, talked),
        ({"number": "+64 21 123 4567"}, live),
        ({"direction": "inbound"}, live),
        ({"status": {"ne": "queued"}}, talked),
        ({"disposition": "answered"}, talked),
        ({"answered_by": "human"}, talked),
        ({"outcome": "interested"}, talked),
        ({"outcome": {"exists": False}}, live),
        ({"purpose": "service"}, talked),
        ({"live": True}, live),
        ({"live": "false"}, talked),
        ({"duration": {"gte": 95}}, talked),
        ({"provider_call_id": "CA1"}, talked),
        ({"created_at": {"lt": (NOW - timedelta(days=30)).isoformat()}}, talked),
        ({"created_at": {"gte": (NOW - timedelta(days=30)).isoformat()}}, live),
        ({"not": {"direction": "inbound"}}, talked),
    ):
        assert (await calls.page(read, Query(filter=filter))).data == (found,), filter


@pytest.mark.parametrize(
    ("filter", "says"),
    [
        ({"state": "done"}, "did you mean status"),
        ({"status": "hung_up"}, "queued"),
        ({"number": "nobody"}, "number"),
        ({"agent_id": "ann"}, "must be a UUID"),
        ({"duration": "long"}, "must be a number of seconds"),
        ({"created_at": {"gte": "lately"}}, "must be a time"),
        ({"live": "perhaps"}, "true or false"),
    ],
)
async def test_a_filter_that_cannot_be_is_named(read: ReadTx, filter: Any, says: str) -> None:
    with pytest.raises(InvalidInput) as error:
        await calls.page(read, Query(filter=filter))
    (fault,) = error.value.faults
    assert (fault.parameter or "").startswith("filter[")
    assert says in fault.message


async def test_whose_calls_are_seen(begin: Begin, own: Callable[..., ReadTx]) -> None:
    async with begin() as tx:
        mine = await make.contact(tx, first_name="Mine", owner_id=ANN)
        other = await make.contact(tx, first_name="Other", owner_id=BEN)
        had = await make.call(tx, contact_id=other.id, agent_id=ANN)
        with_mine = await make.call(tx, contact_id=mine.id, agent_id=BEN)
        nobodys = await make.call(tx)
        others = await make.call(tx, contact_id=other.id, agent_id=BEN)
    ann = own(ANN)
    assert {call.id for call in (await calls.page(ann)).data} == {had.id, with_mine.id, nobodys.id}
    for call in (had, with_mine, nobodys):
        assert await calls.get(ann, call.id) == call
    with pytest.raises(CallNotFound):
        await calls.get(ann, others.id)
    with pytest.raises(Forbidden):
        await calls.page(own(ANN, permissions=frozenset({"contacts:read"})))


async def test_the_calls_of_a_contact(begin: Begin, read: ReadTx, own: Callable[..., ReadTx]) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", owner_id=BEN)
        with_ann = [await make.call(tx, contact_id=ann.id) for _ in range(2)]
        await make.call(tx)
    assert (await calls.page(read, Query(contact_id=ann.id))).data == tuple(reversed(with_ann))
    async with begin() as tx:
        await contacts.delete(tx, ann.id)
    assert len((await calls.page(read, Query(contact_id=ann.id))).data) == 2, "until it is purged"
    for reader, id in ((read, uuid4()), (own(ANN), ann.id)):
        with pytest.raises(ContactNotFound):
            await calls.page(reader, Query(contact_id=id))


async def test_a_purge_takes_out_who_it_may_have_been(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        ann, ben = [await make.contact(tx, phone="0412 345 678") for _ in range(2)]
        call = await make.call(tx, direction="inbound", number="+61412345678", candidates=(ann.id, ben.id))
        await contacts.purge(tx, ann.id)
    left = await calls.get(read, call.id)
    assert (left.candidates, left.contact_id, left.number) == ((ben.id,), None, "+61412345678")
    async with begin() as tx:
        await contacts.purge(tx, ben.id)
    left = await calls.get(read, call.id)
    assert (left.candidates, left.number, left.from_number) == ((), None, None)


async def test_a_purge_takes_out_who_it_was(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann")
        call = await make.call(tx, contact_id=ann.id, notes="Ann is ill", recording_url="https://a.example/1.mp3")
    async with begin() as tx:
        await contacts.purge(tx, ann.id)
    kept = await calls.get(read, call.id)
    assert (kept.number, kept.to_number, kept.notes, kept.recording_url) == (None, None, None, None)


async def keep(tx: Tx, call: calls.Call, n: int, **given: Any) -> None:
    row = {"status": "ringing", "sequence": n, "verdict": "applied", "times": 1} | given
    tx.queue(
        "insert into call_callbacks (tenant_id, id, call_id, account_id, provider, provider_call_id, fingerprint,"
        " status, sequence, at, update, body, verdict, times)"
        " values ($1, $2, $3, $4, 'mock', 'CA1', $5, $6, $7, $8, $9, $10, $11, $12)",
        tx.tenant_id, ids.uuid7(tx.clock.now()), call.id, call.account_id, bytea(bytes([n])), row["status"],
        row["sequence"], NOW, '{"provider_call_id": "CA1"}', f"n={n}", row["verdict"], row["times"],
    )  # fmt: skip


async def test_what_the_provider_said_is_kept_word_for_word(begin: Begin, read: ReadTx, engine: Engine) -> None:
    async with begin() as tx:
        call = await make.call(tx)
        await keep(tx, call, 1)
        await keep(tx, call, 2, status="completed", times=3, verdict="late")
    first, second = await calls.callbacks(read, call.id)
    assert (first.body, first.status, first.update, first.times) == ("n=1", "ringing", {"provider_call_id": "CA1"}, 1)
    assert (second.body, second.verdict, second.times, second.at) == ("n=2", "late", 3, NOW)
    with pytest.raises(CallNotFound):
        await calls.callbacks(read, uuid4())
    agent = Actor.user(ANN, permissions=frozenset({"calls:read"}))
    with pytest.raises(Forbidden):
        await calls.callbacks(ReadTx(engine, read.tenant_id, agent, None), call.id)


async def test_a_call_is_one_thing_on_the_timeline(begin: Begin, read: ReadTx, own: Callable[..., ReadTx]) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, first_name="Ann", owner_id=ANN)
        call = await make.call(tx, contact_id=ann.id, direction="inbound", disposition="missed")
    entry, created = (await timeline.page(read, ann.id)).data
    assert (entry.id, entry.kind, entry.type, entry.at) == (call.id, "call", "call.inbound", call.created_at)
    assert entry.data is not None
    assert (entry.data["disposition"], entry.data["number"]) == ("missed", call.number)
    assert created.type == "contact.created"
    assert [each.id for each in (await timeline.page(read, ann.id, types=["call"])).data] == [call.id]
    assert (await timeline.page(read, ann.id, types=["call.outbound"])).data == ()
    assert len((await timeline.page(own(ANN), ann.id, types=["call.*"])).data) == 1
    silent = own(ANN, permissions=frozenset({"contacts:read"}))
    assert {each.kind for each in (await timeline.page(silent, ann.id)).data} == {"event"}
