"""What a simulated call does, and how its callbacks go wrong; as data."""

import math
import random
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from bellbird.core.telephony import AnsweredBy, Status

# Whether an order is taken on. `unclear` ones are answered by silence: nothing was dialled, or it was all the same.
Placing = Literal["taken", "refused", "unclear", "unclear_but_dialled"]

# What can be told in a callback, and so go wrong.
Told = Literal[
    "initiated", "ringing", "in_progress", "completed", "busy", "no_answer", "failed", "canceled", "price", "recording"
]  # fmt: skip

FaultKind = Literal[
    "duplicate", "late", "lose", "reorder", "race", "early", "renumber", "unnumbered", "untimed", "clock", "forge"
]  # fmt: skip

# Rings until the order's own time is over.
AS_LONG_AS_IT_MAY: Final = math.inf


@dataclass(frozen=True, slots=True)
class Fault:
    """How callbacks misbehave: all of a call's or those of one kind (`which`), always or by `chance` (0 to 1).

    - `duplicate`: comes twice. `late`: `seconds` after its time. `lose`: never.
    - `reorder`: each is told after the one that follows it. `race`: all come at once when the call ends.
    - `early`: the first comes before the order is answered.
    - `renumber`: sequence numbers run backwards. `unnumbered`: there are none. `untimed`: no times either.
    - `clock`: the provider's clock is `seconds` ahead of ours. `forge`: signed with another secret.
    """

    kind: FaultKind
    which: Told | None = None
    seconds: float = 0.0
    chance: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The course of a call. Times are in seconds; None is for ever.

    It rings `wait` seconds after the order, for `ring` seconds, but no longer than the order allows unless that is for
    ever. `answer` is who answers, None for nobody; `talk` how long they then talk. `end` is its last status; left out,
    it is `completed` for one that was answered and `no_answer` for another; `reason` what the provider says to it.
    `price` and a recording (`record`, or if the order wants one) are told `settled` seconds after the end.
    `refusal` is the reason of an order that is refused.
    """

    placing: Placing = "taken"
    refusal: str = "refused"
    wait: float = 0.5
    ring: float | None = 2.0
    answer: AnsweredBy | None = "human"
    talk: float | None = 30.0
    end: Status | None = None
    reason: str | None = None
    price: Decimal | None = None
    currency: str = "AUD"
    record: bool = False
    settled: float = 2.0
    faults: tuple[Fault, ...] = ()

    def has(self, kind: FaultKind) -> Fault | None:
        """The fault of this kind, if it has one."""
        return next((fault for fault in self.faults if fault.kind == kind), None)


ANSWERED: Final = Scenario()
VOICEMAIL: Final = Scenario(ring=15.0, answer="machine", talk=20.0)
BUSY: Final = Scenario(ring=0.0, answer=None, end="busy")
NO_ANSWER: Final = Scenario(ring=AS_LONG_AS_IT_MAY, answer=None)
FAILED: Final = Scenario(ring=0.0, answer=None, end="failed", reason="404")
RINGS_FOREVER: Final = Scenario(ring=None, answer=None)
TALKS_FOREVER: Final = Scenario(talk=None)
REFUSED: Final = Scenario(placing="refused")
UNCLEAR: Final = Scenario(placing="unclear")
UNCLEAR_BUT_DIALLED: Final = Scenario(placing="unclear_but_dialled")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which numbers' calls go so: an E.164 number, or one with `*` for any digits (`+614*`, `*01`, `*`)."""

    numbers: str
    scenario: Scenario

    def fits(self, number: str) -> bool:
        """Whether a number is one of them."""
        pattern = "".join(".*" if part == "*" else re.escape(part) for part in self.numbers)
        return re.fullmatch(pattern, number) is not None


@dataclass(frozen=True, slots=True)
class Arrival:
    """A call that comes in: from which number (None: withheld), to which of ours (None: the first), when (seconds)."""

    from_number: str | None
    to_number: str | None
    after: float
    scenario: Scenario


@dataclass(frozen=True, slots=True)
class Script:
    """What a simulator is to do: the first rule that fits a number counts; and calls that come in by themselves."""

    rules: tuple[Rule, ...] = ()
    arrivals: tuple[Arrival, ...] = ()
    faults: tuple[Fault, ...] = field(default=())

    def scenario(self, number: str) -> Scenario | None:
        """How a call to a number goes, None if the script says nothing of it."""
        return next((rule.scenario for rule in self.rules if rule.fits(number)), None)


def believable(seed: int | str, number: str, times: int = 1) -> Scenario:
    """What might happen when a number is called for the nth time: the same for the same seed.

    As call centres know it: half are answered, by and large; a fifth by a machine; talks are mostly brief and
    sometimes long (their length is log-normal).
    """
    dice = random.Random(f"{seed}/{number}/{times}")  # noqa: S311 - nothing secret hangs on it
    ring = round(dice.uniform(2, 18), 1)
    wait = round(dice.uniform(0.4, 2.0), 1)
    talk = round(min(dice.lognormvariate(4.3, 0.9), 1800.0), 1)
    what = dice.random()
    if what < 0.52:
        return Scenario(wait=wait, ring=ring, talk=talk, price=_price(talk))
    if what < 0.72:
        return Scenario(wait=wait, ring=ring + 10, answer="machine", talk=min(talk, 45.0), price=_price(45))
    if what < 0.90:
        return Scenario(wait=wait, ring=AS_LONG_AS_IT_MAY, answer=None)
    if what < 0.96:
        return Scenario(wait=wait, ring=0.0, answer=None, end="busy")
    return Scenario(wait=wait, ring=0.0, answer=None, end="failed", reason=dice.choice(("404", "480", "503")))


def _price(seconds: float) -> Decimal:
    """Four cents for each minute begun."""
    return Decimal("0.04") * max(1, math.ceil(seconds / 60))
