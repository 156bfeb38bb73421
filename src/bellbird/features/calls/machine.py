"""What state a call is in: a function of everything that its provider has told of it, in whatever order that came.

Nothing here is added up as callbacks arrive. Each is kept, and the state is made anew from all of them together: so one
that is late, repeated or overtaken by another changes nothing but what it alone knows (ADR 19).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar

from bellbird.core.telephony import ENDS, RANKS, Status, Update
from bellbird.features.calls.models import Call, Disposition

# A provider's clock may be ahead of ours, and our row may be written after its call was begun: no more than by this.
TOLERANCE: Final = timedelta(minutes=5)

# Nobody talks for longer: a number beyond it is a mistake, and one far beyond it would not fit into the row.
LONGEST: Final = timedelta(days=7)
DEAREST: Final = Decimal(1_000_000)

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Told:
    """An update as it was kept, and when it came for the first time.

    Its `at` is None where the provider told no time, or one that is not believed.
    """

    update: Update
    received_at: datetime

    @property
    def moment(self) -> datetime:
        """When it happened, as well as we know."""
        return self.update.at or self.received_at


def fold(call: Call, told: Sequence[Told], *, given_up: bool = False) -> Call:
    """The call as it is by everything told of it; in whatever order `told` is, and however often each is in it.

    `call` says what we know ourselves: that it was placed, or canceled before, or that we have `given_up` on it.
    What a provider tells of a time, an end, a price goes before that; but a status never goes back, and of several ends
    that were told the one counts that is first in the provider's own order.
    """
    ordered = sorted(told, key=_order)
    end = told_end(ordered)
    answered_at = _first_time(ordered, "in_progress")
    known = _Known(ordered)
    duration = known.last(_duration)
    cost = known.last(lambda update: (update.cost, update.currency) if _is_price(update.cost) else None)
    status = _status(call, ordered, end, answered=answered_at is not None, given_up=given_up)
    after = replace(
        call,
        status=status,
        provider_call_id=call.provider_call_id or known.last(lambda update: update.provider_call_id),
        initiated_at=_first_time(ordered, "initiated") or call.initiated_at,
        ringing_at=_first_time(ordered, "ringing") or call.ringing_at,
        # Once its end is told, both may have been made up from that, which another update may have changed.
        answered_at=answered_at if end is not None or answered_at is not None else call.answered_at,
        answered_by=known.last(lambda update: update.answered_by) or call.answered_by,
        duration=duration if end is not None or duration is not None else call.duration,
        recording_url=known.last(lambda update: update.recording_url) or call.recording_url,
        cost=cost[0] if cost else call.cost,
        currency=cost[1] if cost else call.currency,
        waits_until=None if status != "queued" else call.waits_until,
    )
    if end is not None:
        after = replace(after, ended_at=end.moment, reason=_reason(ordered, end))
    return _complete(after, is_told=end is not None)


def told_end(told: Sequence[Told]) -> Told | None:
    """The end that counts of those that were told: the first in the provider's order."""
    ends = [each for each in told if each.update.status in ENDS]
    return min(ends, key=_order) if ends else None


def _order(told: Told) -> tuple[Any, ...]:
    """The provider's order: by its own numbers, then by its clock, then in one that is at least always the same.

    When something reached us is no part of it: that differs from one delivery to the next.
    """
    update = told.update
    unnumbered, undated = update.sequence is None, update.at is None
    rank = RANKS[update.status] if update.status else -1
    # What the numbers leave open, and the clock, a second apart at best: how far the call had come.
    return (unnumbered, update.sequence or 0, undated, update.at.timestamp() if update.at else 0.0, rank, repr(update))


def _status(call: Call, ordered: Sequence[Told], end: Told | None, *, answered: bool, given_up: bool) -> Status:
    if end is not None:
        assert end.update.status is not None
        return end.update.status
    if call.status in ENDS:
        # We gave it up before we knew that somebody had answered; that it is over is still all we know of its end.
        return "completed" if given_up and answered else call.status
    return max((call.status, *(each.update.status for each in ordered if each.update.status)), key=RANKS.__getitem__)


def _first_time(told: Sequence[Told], status: Status) -> datetime | None:
    """When a status was reached: the earliest that the provider's clock says, or else that we heard of it."""
    matching = [each for each in told if each.update.status == status]
    dated = [each.update.at for each in matching if each.update.at is not None]
    return min(dated or [each.received_at for each in matching], default=None)


def _reason(ordered: Sequence[Told], end: Told) -> str | None:
    """Why it ended so, by the end that counts, or by another that tells the same."""
    alike = (each.update.reason for each in ordered if each.update.status == end.update.status)
    reason = end.update.reason or next(filter(None, alike), None)
    return reason and reason[:200]


def _duration(update: Update) -> int | None:
    is_sane = update.duration is not None and 0 <= update.duration <= LONGEST.total_seconds()
    return update.duration if is_sane else None


def _is_price(cost: Decimal | None) -> bool:
    return cost is not None and cost.is_finite() and abs(cost) < DEAREST


@dataclass(frozen=True, slots=True)
class _Known:
    """What several updates may tell: the last word counts."""

    ordered: Sequence[Told]

    def last(self, read: Callable[[Update], Value | None]) -> Value | None:
        """What the last update in the provider's order says that says it at all."""
        return next((found for each in reversed(self.ordered) if (found := read(each.update)) is not None), None)


def _complete(call: Call, *, is_told: bool) -> Call:
    """The call with what follows from the rest: when it was answered, how long they talked, what became of it."""
    if call.ended_at is None:
        return call
    answered_at, duration = call.answered_at, call.duration
    if call.status == "completed" and answered_at is None and duration:
        answered_at = call.ended_at - timedelta(seconds=duration)
    # When a call that we gave up was over is not known, and so not how long they talked.
    if duration is None and answered_at is not None and is_told:
        duration = round(max(timedelta(), min(call.ended_at - answered_at, LONGEST)).total_seconds())
    after = replace(call, answered_at=answered_at, duration=duration)
    return replace(after, disposition=disposition(after))


def disposition(call: Call) -> Disposition | None:
    """What became of a call, as the telephone network has it."""
    status = call.status
    if status not in ENDS:
        return None
    if was_answered(call):
        return "voicemail" if call.answered_by in ("machine", "fax") else "answered"
    if call.direction == "inbound":
        return "missed"
    assert status in ("busy", "no_answer", "failed", "canceled")
    return status


def was_answered(call: Call) -> bool:
    """Whether somebody, or something, has answered.

    A call to somebody is completed only if they did; one from somebody may be completed by them hanging up.
    """
    if call.answered_at is not None or call.status == "in_progress":
        return True
    return call.status == "completed" and (call.direction == "outbound" or bool(call.duration))


def believed(update: Update, call: Call, received_at: datetime) -> bool:
    """Whether it can have happened when the provider says: not before the call, and not after we heard of it."""
    return update.at is None or call.created_at - TOLERANCE <= update.at <= received_at + TOLERANCE


def contradicts(update: Update, call: Call) -> bool:
    """Whether an update cannot be of this call: it came in and the call went out, or it has other numbers."""
    if update.direction is not None and update.direction != call.direction:
        return True
    if call.provider_call_id is not None and update.provider_call_id != call.provider_call_id:
        return True
    numbers = ((update.from_number, call.from_number), (update.to_number, call.to_number))
    # A number may be withheld, or not known any more.
    return any(theirs is not None and ours is not None and theirs != ours for theirs, ours in numbers)


def steps(before: Call, after: Call) -> Iterator[tuple[str, Call]]:
    """What has happened between two states: the name of each event and the call as it was by then.

    What was passed is not told of its own, but that it was answered. That the provider's clock has another moment than
    ours for when it took the call on, is no news.
    """
    is_only_more_exact = before.initiated_at is not None and replace(after, initiated_at=before.initiated_at) == before
    if after == before or is_only_more_exact:
        return
    newly_answered = was_answered(after) and not was_answered(before)
    if after.status == "in_progress" != before.status:
        yield "answered", after
        return
    if newly_answered:
        middle = replace(
            before,
            status=before.status if before.status in ENDS else "in_progress",
            provider_call_id=after.provider_call_id, initiated_at=after.initiated_at, ringing_at=after.ringing_at,
            answered_at=after.answered_at, answered_by=after.answered_by, waits_until=after.waits_until,
        )  # fmt: skip
        yield "answered", middle
    yield ("updated" if after.status == before.status else after.status), after
