"""The state of a call as a function of what was told of it: pure, and the same in whatever order that came."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bellbird.core.telephony import ENDS, RANKS, STATUSES, Update
from bellbird.features.calls import Call, machine
from bellbird.features.calls.machine import Told
from tests.features.calls import telling

AT = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
NOBODY = UUID(int=0)


def a_call(**given: Any) -> Call:
    made: dict[str, Any] = {
        "id": NOBODY, "direction": "outbound", "status": "queued", "from_number": telling.OWN,
        "to_number": telling.THEIRS, "number": telling.THEIRS, "contact_id": None, "candidates": (), "agent_id": None,
        "purpose": "service", "account_id": NOBODY, "provider": "mock", "provider_call_id": None, "answered_by": None,
        "created_at": AT, "updated_at": AT,
    }  # fmt: skip
    return Call(**(made | given))


def told(updates: Sequence[Update], *, delay: float = 1.0) -> list[Told]:
    """The updates as they came, each so many seconds after it had happened."""
    return [Told(each, (each.at or AT) + timedelta(seconds=delay)) for each in updates]


def after(*statuses: Any, call: Call | None = None, **last: Any) -> Call:
    return machine.fold(call or a_call(), told(telling.updates(*statuses, at=AT, **last)))


def test_a_call_that_somebody_answers() -> None:
    call = machine.fold(a_call(), told(telling.answered(AT)))
    assert (call.status, call.disposition, call.answered_by, call.reason) == ("completed", "answered", "human", None)
    times = (call.initiated_at, call.ringing_at, call.answered_at, call.ended_at)
    assert times == tuple(AT + timedelta(seconds=seconds) for seconds in (0, 10, 20, 30))
    assert (call.duration, call.provider_call_id, call.recording_url) == (9, "CA1", "https://rec.example/1")
    assert (call.cost, call.currency) == (Decimal("-0.0140"), "AUD")


@pytest.mark.parametrize(
    ("direction", "statuses", "last", "disposition"),
    [
        ("outbound", ("ringing", "in_progress", "completed"), {}, "answered"),
        ("outbound", ("ringing", "in_progress", "completed"), {"answered_by": "unknown"}, "answered"),
        ("outbound", ("ringing", "in_progress", "completed"), {"answered_by": "machine"}, "voicemail"),
        ("outbound", ("ringing", "in_progress", "completed"), {"answered_by": "fax"}, "voicemail"),
        ("outbound", ("completed",), {}, "answered"),
        ("outbound", ("ringing", "busy"), {}, "busy"),
        ("outbound", ("ringing", "no_answer"), {}, "no_answer"),
        ("outbound", ("failed",), {}, "failed"),
        ("outbound", ("ringing", "canceled"), {}, "canceled"),
        ("outbound", ("in_progress", "failed"), {}, "answered"),
        ("inbound", ("ringing", "in_progress", "completed"), {}, "answered"),
        ("inbound", ("ringing", "completed"), {"duration": 12}, "answered"),
        ("inbound", ("ringing", "completed"), {}, "missed"),
        ("inbound", ("ringing", "no_answer"), {}, "missed"),
        ("inbound", ("ringing", "busy"), {}, "missed"),
        ("inbound", ("ringing", "canceled"), {}, "missed"),
        ("outbound", ("ringing", "in_progress"), {}, None),
    ],
)
def test_what_became_of_a_call(direction: Any, statuses: Any, last: Any, disposition: str | None) -> None:
    assert after(*statuses, call=a_call(direction=direction), **last).disposition == disposition


def test_how_long_they_talked_is_told_or_made_up_from_the_times() -> None:
    assert after("ringing", "in_progress", "completed").duration == 10
    assert after("ringing", "in_progress", "completed", duration=7).duration == 7
    assert after("ringing", "no_answer").duration is None
    lost = after("completed", duration=7)
    assert (lost.answered_at, lost.ended_at) == (AT - timedelta(seconds=7), AT)


def test_of_several_ends_the_first_in_the_providers_order_counts() -> None:
    ends = telling.updates("busy", "completed", "failed", at=AT, reason="late")
    for order in permutations(told(ends)):
        call = machine.fold(a_call(), order)
        assert (call.status, call.ended_at, call.reason, call.disposition) == ("busy", AT, None, "busy")


def test_what_only_a_later_update_knows_is_added_and_the_last_word_counts() -> None:
    first = after("in_progress", "completed")
    assert first.cost is None
    prices = [Update("CA1", cost=Decimal(cost), currency="AUD", at=AT, sequence=9 + int(cost)) for cost in ("1", "2")]
    for order in permutations(told([*telling.updates("in_progress", "completed", at=AT), *prices])):
        assert machine.fold(first, order) == replace(first, cost=Decimal(2), currency="AUD")


def test_an_end_that_we_gave_is_corrected_by_the_providers() -> None:
    given_up = a_call(status="failed", ended_at=AT, reason="never_ended", disposition="failed")
    call = machine.fold(given_up, told(telling.answered(AT)), given_up=True)
    assert (call.status, call.disposition, call.reason, call.duration) == ("completed", "answered", None, 9)
    assert call.ended_at == AT + timedelta(seconds=30)


def test_a_call_that_we_gave_up_does_not_come_back_to_life() -> None:
    given_up = a_call(status="failed", ended_at=AT, reason="never_ended", disposition="failed")
    ringing = machine.fold(given_up, told(telling.updates("initiated", "ringing", at=AT)), given_up=True)
    assert (ringing.status, ringing.disposition, ringing.reason) == ("failed", "failed", "never_ended")
    talking = machine.fold(given_up, told(telling.updates("ringing", "in_progress", at=AT)), given_up=True)
    # How long they talked nobody knows.
    assert (talking.status, talking.disposition, talking.duration) == ("completed", "answered", None)


def test_numbers_that_cannot_be_are_not_taken_over() -> None:
    call = after("in_progress", "completed", duration=10**10, cost=Decimal("1e20"), currency="AUD")
    assert (call.duration, call.cost) == (10, None)
    assert after("completed", cost=Decimal("NaN"), currency="AUD").cost is None


def test_a_time_that_cannot_be_is_not_believed() -> None:
    def believed(seconds: float) -> bool:
        return machine.believed(Update("CA1", at=AT + timedelta(seconds=seconds)), a_call(), AT + timedelta(minutes=1))

    assert believed(0)
    assert believed(-299)
    assert believed(359)
    assert not believed(-301)
    assert not believed(361)
    assert machine.believed(Update("CA1"), a_call(), AT)
    assert Told(Update("CA1"), AT).moment == AT


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ({}, False),
        ({"direction": "outbound", "from_number": telling.OWN, "to_number": telling.THEIRS}, False),
        ({"direction": "inbound"}, True),
        ({"from_number": "+61499999999"}, True),
        ({"to_number": "+61499999999"}, True),
    ],
)
def test_an_update_of_another_call_is_known(update: Any, expected: bool) -> None:
    assert machine.contradicts(Update("CA1", **update), a_call()) is expected
    assert machine.contradicts(Update("CA1", **update), a_call(provider_call_id="CA2"))
    assert not machine.contradicts(Update("CA1", **update), a_call(from_number=None, to_number=None)) or (
        update.get("direction") == "inbound"
    )


def test_each_step_is_told_and_that_it_was_answered_is_never_passed_over() -> None:
    def steps(before: Call, *statuses: Any, **last: Any) -> list[tuple[str, str]]:
        return [(name, call.status) for name, call in machine.steps(before, after(*statuses, call=before, **last))]

    assert steps(a_call(), "initiated") == [("initiated", "initiated")]
    assert steps(a_call(), "initiated", "ringing") == [("ringing", "ringing")]
    assert steps(a_call(), "in_progress") == [("answered", "in_progress")]
    assert steps(a_call(), "completed") == [("answered", "in_progress"), ("completed", "completed")]
    assert steps(a_call(), "ringing", "busy") == [("busy", "busy")]
    talking = after("in_progress")
    assert steps(talking, "in_progress", "completed") == [("completed", "completed")]
    done = after("in_progress", "completed")
    assert steps(done, "in_progress", "completed") == []
    assert steps(done, "in_progress", "completed", recording_url="https://rec.example/1") == [("updated", "completed")]
    given_up = a_call(status="failed", ended_at=AT, disposition="failed")
    assert steps(given_up, "in_progress", "completed") == [("answered", "failed"), ("completed", "completed")]


# Whatever a provider may say, sensible or not, with few moments and numbers so that they often clash.
MOMENTS = st.none() | st.integers(0, 4).map(lambda minutes: AT + timedelta(minutes=minutes))
ANY_UPDATE = st.builds(
    Update, st.just("CA1"), status=st.none() | st.sampled_from(STATUSES), at=MOMENTS,
    sequence=st.none() | st.integers(0, 4), duration=st.none() | st.integers(-1, 60),
    answered_by=st.none() | st.sampled_from(["human", "machine"]), reason=st.none() | st.sampled_from(["486", "603"]),
    cost=st.none() | st.sampled_from([Decimal(1), Decimal(2)]),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(ANY_UPDATE, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_ends_in_the_same_state(updates: list[Update], chance: Any) -> None:
    kept = [Told(each, each.at or AT) for each in updates]
    expected = machine.fold(a_call(), kept)
    shuffled = [*kept, *chance.sample(kept, chance.randrange(len(kept)))]
    chance.shuffle(shuffled)
    state, sofar = a_call(), list[Told]()
    for each in shuffled:
        sofar.append(each)
        following = machine.fold(state, sofar)
        assert RANKS[following.status] >= RANKS[state.status], "no status ever goes back"
        assert (following.status in ENDS) == (following.ended_at is not None)
        state = following
    assert state == expected


@settings(max_examples=100)
@given(
    st.sampled_from(["completed", "busy", "no_answer", "failed", "canceled"]),
    st.lists(st.sampled_from(["initiated", "ringing", "in_progress"]), unique=True),
)
def test_the_end_alone_says_how_a_call_ended(end: str, lost: list[str]) -> None:
    steps = ["initiated", "ringing", *(["in_progress"] if end == "completed" else []), end]
    everything = telling.updates(*steps, at=AT, **({"duration": 10} if end == "completed" else {}))
    whole = machine.fold(a_call(), told(everything))
    part = machine.fold(a_call(), told([each for each in everything if each.status not in lost]))
    names = ("status", "disposition", "ended_at", "duration", "answered_at")
    assert [getattr(part, name) for name in names] == [getattr(whole, name) for name in names]
