"""Moving windows in memory, against the definition: so many in any so many seconds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellbird.entrypoints import windows
from bellbird.entrypoints.windows import GRAINS, Key, Limit, Windows

ANN: Key = (1, "user", "ann")
BEN: Key = (1, "user", "ben")


def limit(amount: int, seconds: int = 60, name: str = "caller-read") -> Limit:
    return Limit(name, "caller", "read", amount, seconds)


class Counting:
    """Takes from one limit, on its own clock."""

    def __init__(self, of: Limit) -> None:
        self.limit = of
        self.windows = Windows([of])
        self.now = 1000.0

    def take(self, key: Key = ANN) -> bool:
        admitted, _ = self.windows.take([self.limit], [key], self.now)
        return admitted

    def stand(self, key: Key = ANN) -> tuple[int, float]:
        """How many fit in before this request, and until when; counts it, if it fits."""
        _, ((left, wait),) = self.windows.take([self.limit], [key], self.now)
        return left, wait


def test_as_many_as_the_limit_are_admitted_and_no_more() -> None:
    counting = Counting(limit(100))
    assert sum(counting.take() for _ in range(500)) == 100


def test_the_window_moves_with_the_time() -> None:
    counting = Counting(limit(4))
    assert [counting.take() for _ in range(3)] == [True] * 3
    counting.now += 59
    assert [counting.take() for _ in range(3)] == [True, False, False], "no new quota where a minute of the clock ends"
    counting.now += 1
    assert [counting.take() for _ in range(4)] == [True, True, True, False], "what came a minute ago is gone"
    counting.now += 59
    assert [counting.take() for _ in range(2)] == [True, False], "and what came 59 seconds later, 59 seconds later"


def test_a_refused_request_does_not_count() -> None:
    counting = Counting(limit(1))
    assert counting.take()
    for _ in range(59):
        counting.now += 1
        assert not counting.take()
    counting.now += 1
    assert counting.take()


def test_what_is_left_and_when_it_changes_are_told() -> None:
    counting = Counting(limit(3))
    assert counting.stand() == (3, 60)
    counting.now += 10
    assert counting.stand() == (2, 50)
    assert counting.stand() == (1, 50)
    assert counting.stand() == (0, 50)
    counting.now += 50
    assert counting.stand() == (1, 10)


def test_each_key_has_a_window_of_its_own() -> None:
    counting = Counting(limit(2))
    assert [counting.take(key) for key in (ANN, ANN, ANN, BEN, BEN, BEN)] == [True, True, False] * 2


def test_what_one_limit_refuses_counts_against_none() -> None:
    caller, tenant = limit(2), limit(3, name="tenant-read")
    both = Windows([caller, tenant])

    def take(key: Key) -> tuple[bool, int, int]:
        admitted, ((left, _), (left_of_tenant, _)) = both.take([caller, tenant], [key, (1,)], 0.0)
        return admitted, left, left_of_tenant

    assert [take(ANN)[0] for _ in range(50)] == [True, True] + [False] * 48
    assert take(BEN) == (True, 2, 1), "one is left to the tenant, whatever Ann was refused"
    assert take(BEN) == (False, 1, 0)
    assert take(BEN) == (False, 1, 0), "what the tenant is refused, Ben has not spent"


steps = st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 4)), max_size=40)


@given(steps=steps, amount=st.integers(1, 6))
def test_a_request_is_admitted_exactly_if_fewer_were_in_the_window_before_it(
    steps: list[tuple[int, int]], amount: int
) -> None:
    counting = Counting(limit(amount))
    admitted: list[float] = []
    for gap, burst in steps:
        counting.now += gap / 1000
        for _ in range(burst):
            before = [time for time in admitted if time > counting.now - 60]
            assert counting.take() == (len(before) < amount)
            if len(before) < amount:
                admitted.append(counting.now)


@given(steps=st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 700)), max_size=25))
def test_counted_together_they_never_exceed_the_limit_and_are_given_back_a_thousandth_late_at_most(
    steps: list[tuple[int, int]],
) -> None:
    amount = GRAINS + 500
    counting = Counting(limit(amount))
    admitted: list[tuple[float, int]] = []
    for gap, burst in steps:
        counting.now += gap / 1000
        in_window = sum(count for time, count in admitted if time > counting.now - 60)
        and_just_before = sum(count for time, count in admitted if time > counting.now - 60 - 60 / GRAINS)
        let_in = sum(counting.take() for _ in range(burst))
        assert min(burst, amount - and_just_before) <= let_in <= min(burst, amount - in_window)
        admitted.append((counting.now, let_in))


def test_a_window_of_many_requests_takes_little_memory() -> None:
    counting = Counting(limit(1_000_000))
    for _ in range(60_000):
        counting.now += 0.001
        assert counting.take()
    (window,) = counting.windows._known["caller-read"].values()
    assert window.used == 60_000
    assert len(window.times) <= GRAINS + 1


def test_who_has_been_away_for_a_window_is_forgotten() -> None:
    counting = Counting(limit(1000))
    for number in range(1000):
        counting.now += 0.01
        counting.take((number,))
    assert len(counting.windows) == 1000
    counting.now += 60
    for _ in range(1000):
        counting.now += 0.001
        counting.take(ANN)
    assert len(counting.windows) == 1


def test_who_was_refused_by_another_limit_meanwhile_is_forgotten_too() -> None:
    caller, tenant = limit(5), limit(1, name="tenant-read")
    both = Windows([caller, tenant])
    both.take([caller, tenant], [ANN, (1,)], 0.0)
    both.take([caller, tenant], [BEN, (1,)], 61.0)
    assert not both.take([caller, tenant], [ANN, (1,)], 62.0)[0], "Ann's window is there and empty"
    assert both.take([caller, tenant], [BEN, (1,)], 122.0)[0]
    assert len(both) == 2


def test_no_flood_of_addresses_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "MAX_KEYS", 100)
    counting = Counting(limit(1))
    for number in range(1000):
        counting.take((number,))
    assert len(counting.windows) == 100
    assert not counting.take((999,))
