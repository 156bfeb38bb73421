"""Ids: UUID version 7, rising, and telling when they were made."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

from hypothesis import example, given
from hypothesis import strategies as st

from bellbird.core import ids

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MOMENTS = st.integers(0, 8 * 10**12).map(lambda ms: EPOCH + timedelta(milliseconds=ms))


@given(MOMENTS)
@example(EPOCH + timedelta(milliseconds=2180619782357))  # as a float, a millisecond less
@example(EPOCH + timedelta(milliseconds=1094408141616))
def test_an_id_tells_the_millisecond_it_was_made_in(moment: datetime) -> None:
    made = ids.uuid7(moment)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert ids.made_at(made) == moment
    assert ids.first_at(moment) <= made < ids.first_at(moment + timedelta(milliseconds=1))


@given(MOMENTS, st.integers(0, 999))
def test_what_is_below_a_millisecond_is_left_out(moment: datetime, microseconds: int) -> None:
    assert ids.first_at(moment + timedelta(microseconds=microseconds)) == ids.first_at(moment)


def test_ids_of_one_millisecond_rise_in_the_order_they_were_made() -> None:
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    made = [ids.uuid7(moment) for _ in range(20_000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)


def test_ids_of_later_milliseconds_are_greater() -> None:
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    made = [ids.uuid7(moment + timedelta(milliseconds=n)) for n in range(1000)]
    assert made == sorted(made)


def test_a_clock_that_was_set_back_makes_no_id_twice() -> None:
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    made = [ids.uuid7(moment + timedelta(milliseconds=n % 3)) for n in range(3000)]
    assert len(set(made)) == len(made)


def test_threads_make_no_id_twice() -> None:
    moment = datetime(2026, 12, 1, tzinfo=UTC)
    made: list[UUID] = []
    threads = [threading.Thread(target=lambda: made.extend(ids.uuid7(moment) for _ in range(2000))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


def test_a_full_counter_begins_anew() -> None:
    moment = datetime(2026, 12, 1, 1, tzinfo=UTC)
    ids.uuid7(moment)
    ids._last_counter = ids._MAX_COUNTER
    made = ids.uuid7(moment)
    assert ids.made_at(made) == moment
    assert made.version == 7
