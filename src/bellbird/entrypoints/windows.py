"""Moving windows, counted in the process's memory: a request counts for as long as the window is, from its own moment.

One that is refused counts nowhere, so a request is counted against all of its limits or against none.
`shared_windows.py` keeps the same lists in Redis. Why not the stores of `limits`: docs/adr/0009-rate-limits.md.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

Key = tuple[object, ...]

# A window of more requests than this tells them apart to a thousandth of its length: they leave it together, with the
# last of them. So it is never exceeded, gives back a little late, and has a thousand and some entries at most.
GRAINS: Final = 1000

# How many callers (or tenants, addresses) are known at once; beyond it the one longest away is forgotten.
MAX_KEYS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Limit:
    """So many requests in any so many seconds. `name` is for the headers, `whose` and `what` are for people."""

    name: str
    whose: str
    what: str
    amount: int
    seconds: int

    @property
    def grain(self) -> float:
        """Requests of the same so many seconds are counted together; 0: each for itself."""
        return self.seconds / GRAINS if self.amount > GRAINS else 0.0


Taken = tuple[bool, list[tuple[int, float]]]
"""Whether a request was admitted, and so counted; and how each of its limits stood before: how many requests fitted in,
and in how many seconds that changes by itself."""


class Window:
    """The requests of one key: when each came (of those counted together, the last), and how many they are."""

    __slots__ = ("counts", "grain_ends", "times", "used")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.counts: list[int] = []
        self.used = 0
        self.grain_ends = float("-inf")


class Windows:
    """The windows of several limits, each with its keys in the order in which they were last counted."""

    def __init__(self, limits: Sequence[Limit]) -> None:
        self._known: dict[str, OrderedDict[Key, Window]] = {limit.name: OrderedDict() for limit in limits}

    def __len__(self) -> int:
        """How many keys are known."""
        return sum(map(len, self._known.values()))

    def take(self, limits: Sequence[Limit], keys: Sequence[Key], now: float) -> Taken:
        """Count a request against its limits, each with its key: against all of them, or none if one is used up."""
        windows = []
        states = []
        admitted = True
        for limit, key in zip(limits, keys, strict=True):
            window = self._known[limit.name].get(key) or Window()
            times = window.times
            edge = now - limit.seconds
            if times and times[0] <= edge:
                gone = bisect_right(times, edge)
                window.used -= sum(window.counts[:gone])
                del times[:gone], window.counts[:gone]
            if window.used >= limit.amount:
                admitted = False
            windows.append(window)
            states.append((limit.amount - window.used, times[0] - edge if times else limit.seconds))
        if admitted:
            for limit, key, window in zip(limits, keys, windows, strict=True):
                self._add(limit, key, window, now)
        return admitted, states

    def _add(self, limit: Limit, key: Key, window: Window, now: float) -> None:
        window.used += 1
        if now < window.grain_ends:
            window.times[-1] = now
            window.counts[-1] += 1
        else:
            window.times.append(now)
            window.counts.append(1)
            if grain := limit.grain:
                window.grain_ends = (now // grain + 1) * grain
        known = self._known[limit.name]
        if len(window.times) == 1:  # perhaps it is new
            known[key] = window
        known.move_to_end(key)
        # Whoever was away for a whole window is forgotten: with each request one at most, as it brings one at most.
        longest_away = next(iter(known))
        times = known[longest_away].times
        if not times or times[-1] <= now - limit.seconds or len(known) > MAX_KEYS:
            del known[longest_away]
