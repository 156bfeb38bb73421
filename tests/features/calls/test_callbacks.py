"""Callbacks: believed when signed, kept as they came, and whatever their order, the call ends in the same state."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.app import Bellbird, create_app
from bellbird.core.engine import Engine
from bellbird.core.settings import Settings
from bellbird.core.telephony import ENDS, RANKS, Account, CallbackMalformed, CallbackRefused, Update
from bellbird.core.tenants import Tenant
from bellbird.features import contacts
from bellbird.features.calls import Call, receiving
from bellbird.providers.mock import wire
from tests import make
from tests.conftest import SECRET, Begin
from tests.features.calls import telling
from tests.features.calls.conftest import Look
from tests.features.calls.telling import OWN, THEIRS, lately, now_of, placed, tell, updates


@pytest.fixture
async def account(engine: Engine, tenant: Tenant) -> Account:
    """An account of the test's tenant."""
    return await telling.connect(engine, tenant)


def verdicts(look: Look, account: Account) -> list[tuple[str, int]]:
    """What the callbacks that were kept are worth, and how often each came."""
    return look("select verdict, times from call_callbacks where tenant_id = %s order by id", account.tenant_id)


def happened(look: Look, call: Call) -> list[str]:
    """The types of a call's events, in order."""
    return [type for (type,) in look("select type from events where entity_id = %s order by tx, id", call.id)]


def versions(look: Look, call: Call) -> list[tuple[int, str]]:
    """The versions of a call and the status of each, as its events have it."""
    sql = "select (data ->> 'version')::int, data ->> 'status' from events where entity_id = %s order by 1"
    return look(sql, call.id)


async def test_a_call_goes_its_way(engine: Engine, account: Account, look: Look) -> None:
    call = await placed(engine, account)
    for update in telling.answered(lately()):
        await tell(engine, account, update, call)
    now = await now_of(engine, account, call.id)
    assert (now.status, now.disposition, now.duration, now.answered_by) == ("completed", "answered", 9, "human")
    assert (now.provider_call_id, str(now.cost), now.currency) == ("CA1", "-0.014000", "AUD")
    steps = ["call.initiated", "call.ringing", "call.answered", "call.completed", "call.updated", "call.updated"]
    assert happened(look, call) == steps
    assert (now.version, verdicts(look, account)) == (7, [("applied", 1)] * 6)
    assert look("select distinct actor, origin from events where entity_id = %s", call.id) == [
        ("system:mock", "provider")
    ]
    assert look("select ended_by from calls where id = %s", call.id) == [("provider",)]


async def test_what_comes_again_is_counted_and_changes_nothing(engine: Engine, account: Account, look: Look) -> None:
    call = await placed(engine, account)
    (ringing,) = updates("ringing", at=lately())
    await tell(engine, account, ringing, call)
    first = await now_of(engine, account, call.id)
    for _ in range(3):
        await tell(engine, account, ringing, call)
    assert await now_of(engine, account, call.id) == first
    assert (verdicts(look, account), happened(look, call)) == ([("applied", 4)], ["call.ringing"])


async def test_what_comes_late_is_kept_and_moves_nothing_back(engine: Engine, account: Account, look: Look) -> None:
    call, at = await placed(engine, account), lately()
    initiated, ringing, busy = updates("initiated", "ringing", "busy", at=at, reason="486")
    await tell(engine, account, busy, call)
    assert (await now_of(engine, account, call.id)).ringing_at is None
    await tell(engine, account, ringing, call)
    await tell(engine, account, initiated, call)
    now = await now_of(engine, account, call.id)
    assert (now.status, now.disposition, now.reason) == ("busy", "busy", "486")
    assert (now.initiated_at, now.ringing_at, now.ended_at) == (initiated.at, ringing.at, busy.at)
    assert verdicts(look, account) == [("applied", 1), ("late", 1), ("late", 1)]
    assert happened(look, call) == ["call.busy", "call.updated", "call.updated"]


async def test_that_it_was_answered_is_told_though_only_the_end_came(
    engine: Engine, account: Account, look: Look
) -> None:
    call = await placed(engine, account)
    (end,) = updates("completed", at=lately(), duration=20)
    await tell(engine, account, end, call)
    assert happened(look, call) == ["call.answered", "call.completed"]
    assert versions(look, call) == [(2, "in_progress"), (3, "completed")]


async def test_a_second_end_that_is_another_contradicts(engine: Engine, account: Account, look: Look) -> None:
    call, at = await placed(engine, account), lately()
    no_answer, completed = updates("no_answer", "completed", at=at)
    await tell(engine, account, completed, call)
    assert (await now_of(engine, account, call.id)).status == "completed"
    await tell(engine, account, no_answer, call)
    now = await now_of(engine, account, call.id)
    assert (now.status, now.disposition, now.ended_at) == ("no_answer", "no_answer", at), "it was first"
    assert verdicts(look, account) == [("applied", 1), ("contradictory", 1)]


async def test_what_cannot_be_of_the_call_is_kept_and_does_no_harm(
    engine: Engine, account: Account, look: Look
) -> None:
    call, at = await placed(engine, account), lately()
    (ringing,) = updates("ringing", at=at, direction="outbound", from_number=OWN, to_number=THEIRS)
    await tell(engine, account, ringing, call)
    before = await now_of(engine, account, call.id)
    (end,) = updates("completed", at=at + timedelta(seconds=9))
    for strange in (
        replace(end, direction="inbound"),
        replace(end, to_number="+61499999999"),
        replace(end, provider_call_id="CA2"),
    ):
        await tell(engine, account, strange, call)
    assert await now_of(engine, account, call.id) == before
    assert [verdict for verdict, _ in verdicts(look, account)] == ["applied", *["impossible"] * 3]
    await tell(engine, account, end, call)
    assert (await now_of(engine, account, call.id)).status == "completed"


async def test_a_time_in_the_future_is_not_believed(engine: Engine, account: Account, look: Look) -> None:
    call = await placed(engine, account)
    began = datetime.now(UTC) - timedelta(seconds=1)
    (far, *_) = updates("ringing", at=datetime(2199, 1, 1, tzinfo=UTC))
    (before, *_) = updates("in_progress", at=datetime(1999, 1, 1, tzinfo=UTC))
    await tell(engine, account, far, call)
    await tell(engine, account, before, call)
    now = await now_of(engine, account, call.id)
    assert now.ringing_at is not None
    assert now.answered_at is not None
    assert began < now.ringing_at <= now.answered_at < datetime.now(UTC)
    assert verdicts(look, account) == [("in_future", 1), ("in_past", 1)]


async def test_a_call_that_nobody_knows_is_kept_and_counted(
    engine: Engine, account: Account, look: Look, caplog: pytest.LogCaptureFixture
) -> None:
    (ringing,) = updates("ringing", at=lately(), id="CA9", from_number=THEIRS)
    counted = receiving.HEARD["mock", "unknown_call"]
    with caplog.at_level(logging.INFO, "bellbird"):
        await tell(engine, account, ringing)
        await tell(engine, account, ringing)
    assert look("select call_id, times, body from call_callbacks where tenant_id = %s", account.tenant_id) == [
        (None, 2, telling.callback(account, ringing).body.decode())
    ]
    assert receiving.HEARD["mock", "unknown_call"] == counted + 1
    assert THEIRS not in caplog.text


async def test_what_was_kept_of_no_call_counts_once_it_is_known_which(
    engine: Engine, account: Account, look: Look
) -> None:
    call, at = await placed(engine, account), lately()
    ringing, busy = updates("ringing", "busy", at=at)
    await tell(engine, account, busy)
    await tell(engine, account, ringing, call)
    assert (await now_of(engine, account, call.id)).status == "busy"
    assert look("select count(*) from call_callbacks where call_id = %s", call.id) == [(2,)]


async def test_a_call_is_found_by_the_providers_id(engine: Engine, account: Account) -> None:
    call, at = await placed(engine, account), lately()
    ringing, busy = updates("ringing", "busy", at=at)
    await tell(engine, account, ringing, call)
    await tell(engine, account, busy)
    assert (await now_of(engine, account, call.id)).status == "busy"


async def test_an_account_speaks_of_its_own_calls_alone(engine: Engine, account: Account, tenant: Tenant) -> None:
    call = await placed(engine, replace(account, id=uuid4()))
    (ringing,) = updates("ringing", at=lately())
    await tell(engine, account, ringing, call)
    assert (await now_of(engine, account, call.id)).status == "queued"


async def test_a_call_comes_in_once_however_many_tell_of_it_at_the_same_time(
    engine: Engine, account: Account, begin: Begin, look: Look
) -> None:
    async with begin() as tx:
        ann = await make.contact(tx, phone=THEIRS)
    at = lately()
    inbound = [
        replace(each, direction="inbound", from_number=THEIRS, to_number=OWN)
        for each in updates("ringing", "in_progress", "completed", at=at)
    ]
    await asyncio.gather(*(tell(engine, account, each, voice=each is inbound[0]) for each in inbound))
    ((id,),) = look("select id from calls where tenant_id = %s", account.tenant_id)
    now = await now_of(engine, account, id)
    assert (now.direction, now.status, now.disposition, now.contact_id) == ("inbound", "completed", "answered", ann.id)
    assert (now.ringing_at, now.duration) == (at, 10)
    types = happened(look, now)
    assert (types[0], types.count("call.received"), "call.answered" in types) == ("call.received", 1, True)


async def test_who_asks_what_to_do_with_a_call_is_answered_by_the_provider(engine: Engine, account: Account) -> None:
    (ringing,) = updates("ringing", at=lately(), from_number=THEIRS, to_number=OWN)
    reply = await tell(engine, account, ringing, voice=True)
    assert (reply.body, reply.content_type) == (b'{"connect":null}', "application/json")


async def test_of_a_suspended_tenant_calls_end_and_none_comes_in(
    engine: Engine, account: Account, look: Look, owner: psycopg.Connection[Any]
) -> None:
    call = await placed(engine, account)
    owner.execute("update tenants set status = 'suspended', version = version + 1 where id = %s", [account.tenant_id])
    (busy,) = updates("busy", at=lately())
    await tell(engine, account, busy, call)
    assert (await now_of(engine, account, call.id)).status == "busy"
    await tell(engine, account, replace(busy, provider_call_id="CA2", direction="inbound"))
    assert look("select count(*) from calls where tenant_id = %s", account.tenant_id) == [(1,)]


async def test_a_purge_leaves_nothing_and_nothing_comes_back(
    engine: Engine, account: Account, begin: Begin, look: Look
) -> None:
    at = lately()
    inbound = [
        replace(each, direction="inbound", from_number=THEIRS, to_number=OWN)
        for each in updates("ringing", "in_progress", "completed", at=at)
    ]
    for each in inbound:
        await tell(engine, account, each)
    ((id,),) = look("select id from calls where tenant_id = %s", account.tenant_id)
    async with begin() as tx:  # it becomes known later who it was
        ann = await make.contact(tx, phone=THEIRS)
        await tx.run("update calls set contact_id = $3 where tenant_id = $1 and id = $2", tx.tenant_id, id, ann.id)
    async with begin() as tx:
        await contacts.purge(tx, ann.id)
    recording = Update("CA1", recording_url="https://rec.example/1", sequence=9, from_number=THEIRS)
    await tell(engine, account, recording)
    now = await now_of(engine, account, id)
    assert (now.number, now.recording_url, now.status, now.duration) == (None, None, "completed", 10)
    assert (now.answered_at, now.disposition) == (at + timedelta(seconds=10), "answered")
    for table in ("calls", "call_callbacks", "events"):
        rows = look(f"select row_to_json(t)::text from {table} t where tenant_id = %s", account.tenant_id)
        assert not [text for (text,) in rows if THEIRS in text or "412345678" in text], table


# Who is refused.


@pytest.mark.parametrize("why", ["signature", "missing_signature", "account", "tenant", "byte", "identifier"])
async def test_what_is_not_signed_by_the_account_is_refused(
    engine: Engine, account: Account, look: Look, why: str
) -> None:
    call = await placed(engine, account)
    (busy,) = updates("busy", at=lately())
    given = telling.callback(account, busy, call)
    tenant_id, account_id = account.tenant_id, account.id
    if why == "signature":
        given = wire.callback(account, given.url, busy, forged=True)
    elif why == "missing_signature":
        given = replace(given, headers={})
    elif why == "byte":
        given = replace(given, body=given.body.replace(b"busy", b"ringing"))
    elif why == "identifier":
        given = wire.callback(replace(account, identifier="other"), given.url, busy)
    elif why == "account":
        account_id = uuid4()
    else:
        tenant_id = uuid4()
    counted = {"byte": "signature", "tenant": "account", "identifier": "account"}.get(why, why)
    before = receiving.REFUSED[counted]
    with pytest.raises(CallbackRefused) as refused:
        await receiving.receive(engine, tenant_id, account_id, given)
    assert refused.value.detail == receiving.NOT_BELIEVED
    assert receiving.REFUSED[counted] == before + 1
    assert (await now_of(engine, account, call.id)).status == "queued"
    assert verdicts(look, account) == []


async def test_a_tenant_that_is_being_deleted_takes_no_callbacks(
    engine: Engine, account: Account, owner: psycopg.Connection[Any]
) -> None:
    owner.execute("update tenants set status = 'deleting', version = version + 1 where id = %s", [account.tenant_id])
    with pytest.raises(CallbackRefused):
        await tell(engine, account, Update("CA1", status="busy"))


async def test_what_cannot_be_read_is_told_and_counted(engine: Engine, account: Account) -> None:
    counted = receiving.HEARD["mock", "malformed"]
    with pytest.raises(CallbackMalformed, match="NUL"):
        await tell(engine, account, Update("CA1", status="busy", reason="a\0b"))
    assert receiving.HEARD["mock", "malformed"] == counted + 1


# Whatever a provider does, the end is the same.

Sequenced = Sequence[Update]


async def after_all(engine: Engine, account: Account, told: Sequenced, *, together: bool = False) -> Call:
    """A call of which all this was told, one after the other or at the same time."""
    call = await placed(engine, account)
    id = uuid4().hex
    given = [replace(each, provider_call_id=id) for each in told]
    if together:
        await asyncio.gather(*(tell(engine, account, each, call) for each in given))
    else:
        for each in given:
            await tell(engine, account, each, call)
    return await now_of(engine, account, call.id)


def state(call: Call) -> tuple[Any, ...]:
    """What is told of a call, without what each call has of its own."""
    return (
        call.status, call.disposition, call.initiated_at, call.ringing_at, call.answered_at, call.ended_at,
        call.duration, call.answered_by, call.reason, call.recording_url, call.cost, call.currency,
    )  # fmt: skip


AT = telling.BEGUN - timedelta(seconds=50)
COURSES: list[list[Update]] = [
    telling.answered(AT),
    updates("initiated", "ringing", "busy", at=AT, reason="486"),
    updates("initiated", "ringing", "no_answer", at=AT),
    updates("ringing", "in_progress", "completed", at=AT, answered_by="machine"),
    updates("initiated", "failed", at=AT, reason="603"),
    # No provider should do this.
    [*updates("initiated", "ringing", "busy", at=AT), *updates("in_progress", "completed", at=AT, duration=4)],
    [*updates("canceled", "ringing", at=AT), *updates("in_progress", "in_progress", "no_answer", at=AT, apart=0)],
]


@pytest.fixture
def when_begun(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the courses, which nobody would believe when they are too long ago."""
    monkeypatch.setattr(engine, "clock", telling.Behind())


@pytest.mark.usefixtures("when_begun")
@settings(max_examples=25)
@given(st.sampled_from(COURSES), st.data())
async def test_any_sequence_of_callbacks_ends_in_the_same_state(
    engine: Engine, account: Account, look: Look, course: list[Update], data: st.DataObject
) -> None:
    expected = state(await after_all(engine, account, course))
    again = data.draw(st.lists(st.sampled_from(course), max_size=4), "repeated")
    shuffled = data.draw(st.permutations([*course, *again]), "order")
    together = data.draw(st.booleans(), "at the same time")
    call = await after_all(engine, account, shuffled, together=together)
    assert state(call) == expected
    seen = versions(look, call)
    assert [version for version, _ in seen] == list(range(2, len(seen) + 2)), "each step is recorded once"
    ranks = [RANKS[status] for _, status in seen]  # type: ignore[index]
    assert ranks == sorted(ranks), "no status ever goes back"
    sql = "select count(*), sum(times) from call_callbacks where call_id = %s"
    assert look(sql, call.id) == [(len(set(course)), len(shuffled))], "nothing is lost"


@pytest.mark.usefixtures("when_begun")
@settings(max_examples=8)
@given(st.sampled_from(COURSES[:5]))
async def test_the_end_alone_is_enough(engine: Engine, account: Account, course: list[Update]) -> None:
    whole = await after_all(engine, account, course)
    end = next(each for each in course if each.status in ENDS)
    alone = await after_all(engine, account, [end])
    assert (alone.status, alone.disposition, alone.ended_at) == (whole.status, whole.disposition, whole.ended_at)


@pytest.mark.usefixtures("when_begun")
async def test_many_calls_and_all_their_callbacks_at_once(engine: Engine, account: Account, look: Look) -> None:
    made = [await placed(engine, account) for _ in range(8)]
    told = [
        (call, replace(each, provider_call_id=str(number)))
        for number, call in enumerate(made)
        for each in [*telling.answered(AT), *telling.answered(AT)]
    ]
    await asyncio.gather(*(tell(engine, account, each, call) for call, each in told[::-1]))
    for call in made:
        now = await now_of(engine, account, call.id)
        assert (now.status, now.duration, now.disposition) == ("completed", 9, "answered")
        assert happened(look, call).count("call.completed") == 1


# Over HTTP.


@pytest.fixture
async def caller(app: Any, bellbird: Bellbird, engine: Engine) -> Any:
    """A provider on the network: without a token."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bellbird.test") as client:
        yield client


async def sent(
    caller: httpx.AsyncClient, account: Account, update: Update, call: Call | None = None, **given: Any
) -> Any:
    made = telling.callback(account, update, call, **given)
    path = made.url.removeprefix("http://127.0.0.1:8000")
    return await caller.post(path, content=made.body, headers=dict(made.headers))


async def test_a_callback_over_http(caller: httpx.AsyncClient, engine: Engine, account: Account) -> None:
    call = await placed(engine, account)
    (busy,) = updates("busy", at=lately())
    answer = await sent(caller, account, busy, call)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await now_of(engine, account, call.id)).status == "busy"
    asked = await sent(caller, account, Update("CA2", status="ringing", from_number=THEIRS), voice=True)
    assert (asked.status_code, asked.text, asked.headers["content-type"]) == (
        200, '{"connect":null}', "application/json",
    )  # fmt: skip


async def test_every_refusal_looks_the_same(caller: httpx.AsyncClient, engine: Engine, account: Account) -> None:
    given = telling.callback(account, Update("CA1", status="busy"))
    path = f"/api/v1/callbacks/{account.tenant_id}/{account.id}"
    nobody = f"/api/v1/callbacks/{account.tenant_id}/{uuid4()}"
    nowhere = f"/api/v1/callbacks/{uuid4()}/{account.id}"
    answers = [
        await caller.post(path, content=given.body),
        await caller.post(path, content=given.body, headers={wire.SIGNATURE: "0" * 64}),
        await caller.post(path, content=given.body + b" ", headers=dict(given.headers)),
        await caller.post(f"{path}?call={uuid4()}", content=given.body, headers=dict(given.headers)),
        await caller.post(nobody, content=given.body, headers=dict(given.headers)),
        await caller.post(nowhere, content=given.body, headers=dict(given.headers)),
        await caller.post("/api/v1/callbacks/a/b", content=given.body, headers=dict(given.headers)),
        await caller.post(f"{path}/voice", content=given.body),
    ]
    told = [answer.json() | {"request_id": ""} for answer in answers]
    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert all(each == told[0] for each in told)
    assert told[0]["code"] == "callback_refused"


async def test_nobody_reads_a_gigabyte(caller: httpx.AsyncClient, account: Account) -> None:
    read = 0

    async def gigabyte() -> Any:
        nonlocal read
        for _ in range(16_000):
            read += 1
            yield b"x" * 65_536

    path = f"/api/v1/callbacks/{account.tenant_id}/{account.id}"
    answers = [
        await caller.post(path, content=b"x" * 65_537),
        await caller.post(path, content=gigabyte(), headers={"content-length": "1048576000"}),
        await caller.post(path, content=gigabyte(), headers={"transfer-encoding": "chunked"}),
        await caller.post(f"{path}/voice", content=gigabyte(), headers={"transfer-encoding": "chunked"}),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(413, "body_too_large")] * 4
    assert read < 20


async def test_an_address_may_not_call_back_without_end(owner_conninfo: str, engine: Engine, account: Account) -> None:
    rates: dict[str, Any] = {"rate_address_callbacks": "2/minute", "database_url": owner_conninfo, "secret": SECRET}
    async with Bellbird(Settings(_env_file=None, **rates)) as bellbird:  # type: ignore[call-arg]
        bellbird.engine.providers.add(engine.providers.get("mock"))
        transport = httpx.ASGITransport(create_app(bellbird), client=("192.0.2.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://bellbird.test") as client:
            answers = [await sent(client, account, Update("CA1", status="busy")) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [204, 204, 429]
    assert "retry-after" in answers[2].headers


async def test_callbacks_are_counted_for_the_metrics(
    bellbird: Bellbird, caller: httpx.AsyncClient, engine: Engine, account: Account
) -> None:
    await sent(caller, account, Update("CA1", status="busy"))
    await caller.post(f"/api/v1/callbacks/{account.tenant_id}/{account.id}", content=b"{}")
    text = (await caller.get("/metrics")).text
    assert 'bellbird_call_callbacks_total{provider="mock",verdict="unknown_call"}' in text
    assert 'bellbird_call_callbacks_refused_total{why="missing_signature"}' in text
