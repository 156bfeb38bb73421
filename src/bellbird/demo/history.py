"""The demo tenant's calls of the last 90 days: what is there stays, what is missing is added."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any, Final

from bellbird.app import Bellbird
from bellbird.core import ids
from bellbird.core.engine import Tx
from bellbird.demo import calls, filling, people
from bellbird.demo.calls import Office, Past
from bellbird.features import contacts, dialling
from bellbird.features.calls import rows
from bellbird.features.calls.models import Call
from bellbird.features.contacts import Contact, Query
from bellbird.features.follow_ups import FollowUp
from bellbird.features.follow_ups import rows as follow_ups
from bellbird.features.follow_ups.models import State

DAYS: Final = 90
BATCH: Final = 400

# For so long something may have been forgotten.
OVERDUE: Final = timedelta(days=3)

# So many of the contacts are called; of a million, the rest never were.
CALLED: Final = 2000


async def callable_contacts(bellbird: Bellbird, count: int) -> list[Contact]:
    """Those of the first `count` demo contacts that can be called, in the order in which they were made up."""
    found: list[Contact] = []
    for start in range(0, min(count, CALLED), filling.BATCH):
        names = [people.external_id(number) for number in range(start, min(start + filling.BATCH, count, CALLED))]
        async with bellbird.reader(filling.SLUG, filling.OPERATOR) as tx:
            page = await contacts.page(tx, Query(filter={"external_id": {"in": names}}, limit=filling.BATCH))
        found += sorted(page.data, key=lambda contact: contact.external_id or "")
    return [contact for contact in found if calls.number_of(contact)]


THERE: Final = "select id from calls where tenant_id = $1 and id >= $2"


async def fill(bellbird: Bellbird, office: Office, done: Callable[[int], None]) -> int:
    """See that the calls of the last 90 days up to now are there; returns how many are new.

    `done` is told how many days it has seen to. Each batch is a transaction, so a run that is killed can be repeated.
    """
    now = bellbird.engine.clock.now()
    today = now.astimezone(calls.ZONE).date()
    first = today - timedelta(days=DAYS)
    async with bellbird.reader(filling.SLUG, filling.OPERATOR) as reading:
        start = ids.first_at(now - timedelta(days=DAYS + 2))
        there = {row[0] for row in await reading.all(THERE, reading.tenant_id, start)}
    waiting: list[Past] = []
    added = 0
    for day in range(DAYS + 1):
        made = calls.of_day(first + timedelta(days=day), office)
        waiting += [past for past in made if past.call.id not in there and past.call.updated_at < now]
        if len(waiting) >= BATCH or day == DAYS:
            await _keep(bellbird, waiting, now)
            added += len(waiting)
            waiting = []
        done(1)
    return added


async def _keep(bellbird: Bellbird, past: Sequence[Past], now: datetime) -> None:
    """Add calls, what happened in them, and what was promised."""
    async with bellbird.tenant(filling.SLUG, filling.OPERATOR) as tx:
        await tx.writable()
        for each in past:
            _add(tx, each.call)
            if each.call_back_at is not None:
                _add_follow_up(tx, each.call, each.call_back_at, now)
        for call in (each.call for each in past if each.call.outcome == "do_not_call"):
            await dialling.opt_out(tx, call.number or "", contact_id=call.contact_id, source=f"call:{call.id}")


def _add(tx: Tx, call: Call) -> None:
    """Queue a call's row and its events, each at its own time."""
    before = None
    for type, step in _steps(call):
        tx.emit(rows.event(type, step, before))
        before = step
    assert before is not None
    rows.insert(tx, before)


# What a call does not have before it is answered, and what before it ends.
_FINALLY: Final = ("status", "disposition", "ended_at", "duration", "reason", "cost", "currency", "answered_by")
_WRITTEN: Final = ("outcome", "notes")
_EMPTY: Final[dict[str, Any]] = {field.name: field.default for field in fields(Call)}


def _steps(call: Call) -> Iterator[tuple[str, Call]]:
    """What happened to a call that is over, in order, and the call as it was then."""
    spoken = replace(call, **{name: _EMPTY[name] for name in _WRITTEN}, updated_at=call.ended_at or call.updated_at)
    unfinished: dict[str, Any] = dict.fromkeys(_FINALLY)
    going = replace(spoken, **unfinished | {"status": "in_progress"})
    unheard = {"initiated_at": None, "ringing_at": None, "answered_at": None, "provider_call_id": None}
    begun: dict[str, Any] = unheard | {"status": "queued", "updated_at": call.created_at}
    yield f"call.{'placed' if call.direction == 'outbound' else 'received'}", replace(going, **begun)
    version = 1
    if call.answered_at is not None:
        version += 1
        yield "call.answered", replace(going, version=version, updated_at=call.answered_at)
    version += 1
    yield f"call.{call.status}", replace(spoken, version=version)
    if call.outcome is not None:
        yield "call.updated", replace(call, version=version + 1)


def _add_follow_up(tx: Tx, call: Call, due_at: datetime, now: datetime) -> None:
    """Queue what an agent promised: what is long past is done, or nearly all of it; of the last days some is not."""
    chance = Random(str(call.id))  # noqa: S311
    made = FollowUp(
        ids.uuid7(call.updated_at), call.contact_id, None if call.contact_id else call.number, call.id, call.agent_id,
        due_at, call.notes, "open", call.created_by, 1, call.updated_at, call.updated_at,
    )  # fmt: skip
    tx.emit(follow_ups.event("created", made))
    ended_at = due_at + timedelta(minutes=chance.randint(2, 90))
    if ended_at < now - OVERDUE or (ended_at < now and chance.random() < 0.7):
        state: State = "done" if chance.random() < 0.93 else "canceled"
        before, made = made, replace(made, state=state, ended_at=ended_at, updated_at=ended_at, version=2)
        tx.emit(follow_ups.event(state, made, before))
    tx.queue(follow_ups.INSERT, tx.tenant_id, *follow_ups.to_row(made))
