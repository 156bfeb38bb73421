"""Scripts: how simulated calls go, as a person writes it; a line for each number, pattern, or call that comes in.

    # What is called                 how it goes                                    what goes wrong
    +61400000001: ring 3s, answer, talk 40s, hang up
    +614000001*: ring 20s, voicemail
    *02: busy                                                        | duplicate
    *03: time out but dial
    *: ring 4s, answer, talk 2m, price 0.08 AUD                      | late 5s, lose ringing
    from +61400000009 after 10s: ring 5s, answer, talk 1m
    faults: reorder

The first line that fits a number counts; `faults:` are those of every call.
"""

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, get_args

from bellbird.core import errors
from bellbird.core.errors import InvalidInput
from bellbird.providers.mock.scenarios import (
    AS_LONG_AS_IT_MAY,
    Arrival,
    Fault,
    FaultKind,
    Rule,
    Scenario,
    Script,
    Told,
)

MAX_LENGTH: Final = 50_000
MAX_STARS: Final = 3
# A call of more than a day is a slip.
LONGEST: Final = 86_400


class ScriptInvalid(InvalidInput):
    """The simulator cannot read this script.

    `errors` names the lines, what in each cannot be read, and what would be right.
    """

    code = "script_invalid"


class Unreadable(ValueError):
    """Something in a line that cannot be read; the message says what would be right."""


def read(text: str) -> Script:
    """A script. Raises ScriptInvalid, which names every line that cannot be read."""
    if len(text) > MAX_LENGTH:
        raise ScriptInvalid(f"The script is longer than {MAX_LENGTH:,} characters.")
    rules: list[Rule] = []
    arrivals: list[Arrival] = []
    common: list[Fault] = []
    faults: list[errors.Fault] = []
    for number, given in enumerate(text.splitlines(), 1):
        line = given.partition("#")[0].strip()
        if not line:
            continue
        try:
            what = _line(line)
        except Unreadable as error:
            faults.append(errors.Fault("invalid_value", str(error), parameter=f"line {number}"))
            continue
        if isinstance(what, Rule):
            rules.append(what)
        elif isinstance(what, Arrival):
            arrivals.append(what)
        else:
            common += what
    if faults:
        raise ScriptInvalid(faults=faults[:20])
    shared = tuple(common)
    return Script(
        tuple(replace(rule, scenario=_with(rule.scenario, shared)) for rule in rules),
        tuple(replace(arrival, scenario=_with(arrival.scenario, shared)) for arrival in arrivals),
        shared,
    )


def _with(scenario: Scenario, faults: tuple[Fault, ...]) -> Scenario:
    return replace(scenario, faults=(*scenario.faults, *faults))


def numbers(text: str) -> str:
    """A number or a pattern of numbers. Raises ScriptInvalid."""
    try:
        return _numbers(text)
    except Unreadable as error:
        raise ScriptInvalid(str(error)) from None


def _line(line: str) -> Rule | Arrival | list[Fault]:
    what, colon, course = line.partition(":")
    if not colon:
        raise Unreadable(
            f"{_quoted(line)} has no colon: write NUMBER: STEPS, such as +61400000001: ring 3s, answer, talk 40s"
        )
    what = what.strip()
    if what == "faults":
        return faults(course)
    steps, _, wrong = course.partition("|")
    scenario = replace(_scenario(steps), faults=tuple(faults(wrong)) if wrong.strip() else ())
    if what.split(maxsplit=1)[:1] == ["from"]:
        return _arrival(what, scenario)
    return Rule(_numbers("*" if what == "otherwise" else what), scenario)


_ARRIVAL: Final = re.compile(r"from (?P<caller>[^a-z]+|withheld)(?: to (?P<called>[^a-z]+))?(?: after (?P<after>\S+))?")


def _arrival(text: str, scenario: Scenario) -> Arrival:
    found = _ARRIVAL.fullmatch(" ".join(text.split()))
    if found is None:
        raise Unreadable(
            f"{_quoted(text)}: write from NUMBER [to NUMBER] [after TIME], such as from +61400000009 after 10s"
        )
    caller, called, after = found["caller"], found["called"], found["after"]
    return Arrival(
        None if caller == "withheld" else _number(caller),
        _number(called) if called else None,
        _seconds(after) if after else 0.0,
        scenario,
    )


def _number(text: str) -> str:
    number = _numbers(text)
    if "*" in number:
        raise Unreadable(f"{_quoted(text)}: a call that comes in has one number, without *")
    return number


def _numbers(text: str) -> str:
    number = re.sub(r"[\s()./-]", "", text)
    if not re.fullmatch(r"(\+|\*)[0-9*]*", number) or number == "+":
        raise Unreadable(
            f"{_quoted(text)} is no number: write it with its country, +61400000001, or the digits that it begins "
            "or ends with and *, such as +614* or *01"
        )
    if number.count("*") > MAX_STARS:
        raise Unreadable(f"{_quoted(text)} has more than {MAX_STARS} times *, which takes too long to compare")
    return number


def _seconds(text: str) -> float:
    """`3s`, `1.5s`, `2m`, `1m30s`, `1h`."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?", text)
    if not text or found is None:
        raise Unreadable(f"{_quoted(text)} is no time: write 3s, 2m or 1m30s")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total > LONGEST:
        raise Unreadable(f"{_quoted(text)} is more than a day; `forever` has no end at all")
    return total


def _duration(words: list[str]) -> float | None:
    """One time, or for ever."""
    if words in (["forever"], ["for", "ever"]):
        return None
    if len(words) != 1:
        raise Unreadable("takes one time, such as 3s, or forever")
    return _seconds(words[0])


def _scenario(text: str) -> Scenario:
    """Steps in their order, with commas between."""
    done: dict[str, Any] = {}
    for step in (" ".join(step.split()) for step in text.split(",")):
        if not step:
            raise Unreadable("there is nothing between two commas, or before the first: name a step, such as ring 3s")
        if "end" in done and not step.startswith(("price", "record")):
            raise Unreadable(f"{_quoted(step)} comes after the end of the call")
        verb, words = _verb(step)
        try:
            done |= STEPS[verb](words, done)
        except Unreadable as error:
            raise Unreadable(f"{_quoted(step)}: {error}") from None
    if "answer" not in done and done.keys() - {"placing"}:
        # Nobody was said to answer: it rings, and that is all.
        done = {"answer": None, **done}
    return Scenario(**done)


def _verb(step: str) -> tuple[str, list[str]]:
    """The verb that a step begins with, of one word or several, and what follows."""
    for verb in sorted(STEPS, key=len, reverse=True):
        if step == verb or step.startswith(f"{verb} "):
            return verb, step[len(verb) :].split()
    raise Unreadable(f"there is no step {_quoted(step)}{_instead(step, STEPS)}")


def _instead(said: str, there: Any) -> str:
    first = said.split(maxsplit=1)[0]
    like = difflib.get_close_matches(said, there, 1) or difflib.get_close_matches(first, there, 1)
    return f"; did you mean {_quoted(like[0])}?" if like else f"; there are {', '.join(there)}"


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _nothing(words: list[str]) -> None:
    if words:
        raise Unreadable(f"nothing can follow it, such as {_quoted(' '.join(words))}")


def _ring(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    if "answer" in done:
        raise Unreadable("it was answered already")
    return {"ring": _duration(words)}


def _wait(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    if "ring" in done or "answer" in done:
        raise Unreadable("it comes first, before it rings")
    seconds = _duration(words)
    if seconds is None:
        raise Unreadable("takes a time, such as 3s")
    return {"wait": seconds}


def _answer(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    by = words[0] if words else "human"
    if len(words) > 1 or by not in ("human", "machine", "fax", "unknown"):
        raise Unreadable("who answers is human, machine, fax or unknown")
    if done.get("ring", 0) is None:
        raise Unreadable("it rings for ever")
    return {"answer": by}


def _talk(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    if done.get("answer") is None:
        raise Unreadable("nobody has answered: put answer before it")
    return {"talk": _duration(words)}


def _voicemail(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    _nothing(words)
    return {"answer": "machine", "talk": 20.0}


def _hang_up(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    _nothing(words)
    if done.get("answer") is None:
        return {"answer": None, "end": "canceled"}
    return {"end": "completed"}


def _fail(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    reason = " ".join(words) or "503"
    return {"answer": done.get("answer"), "end": "failed", "reason": reason} | _at_once(done)


def _unanswered(end: str) -> Callable[[list[str], dict[str, Any]], dict[str, Any]]:
    def step(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
        _nothing(words)
        if done.get("answer") is not None:
            raise Unreadable("it was answered")
        rings = {"ring": AS_LONG_AS_IT_MAY} if end == "no_answer" else {"ring": 0.0}
        return {"answer": None, "end": end} | ({} if "ring" in done else rings)

    return step


def _at_once(done: dict[str, Any]) -> dict[str, Any]:
    return {} if "ring" in done or done.get("answer") else {"ring": 0.0}


def _refuse(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    return {"placing": "refused", "refusal": " ".join(words) or "refused", "answer": None, "end": "failed"}


def _time_out(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    _nothing(words)
    return {"placing": "unclear", "answer": None, "end": "failed"}


def _time_out_but_dial(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    _nothing(words)
    return {"placing": "unclear_but_dialled"}


def _price(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    if len(words) != 2 or not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", words[0]) or not re.fullmatch("[A-Z]{3}", words[1]):
        raise Unreadable("takes an amount and a currency: price 0.08 AUD")
    return {"price": Decimal(words[0]), "currency": words[1]}


def _record(words: list[str], done: dict[str, Any]) -> dict[str, Any]:
    _nothing(words)
    return {"record": True}


# What a step adds to the scenario, given its further words and what was said before.
STEPS: Final[dict[str, Callable[[list[str], dict[str, Any]], dict[str, Any]]]] = {
    "wait": _wait,
    "ring": _ring,
    "answer": _answer,
    "talk": _talk,
    "voicemail": _voicemail,
    "hang up": _hang_up,
    "busy": _unanswered("busy"),
    "no answer": _unanswered("no_answer"),
    "fail": _fail,
    "refuse": _refuse,
    "time out": _time_out,
    "time out but dial": _time_out_but_dial,
    "price": _price,
    "record": _record,
}

_TOLD: Final[tuple[str, ...]] = get_args(Told)

# How faults are called in a script; whether they take a time.
FAULTS: Final[dict[str, tuple[FaultKind, bool]]] = {
    "duplicate": ("duplicate", False),
    "late": ("late", True),
    "lose": ("lose", False),
    "reorder": ("reorder", False),
    "race": ("race", False),
    "early": ("early", False),
    "numbers backwards": ("renumber", False),
    "no numbers": ("unnumbered", False),
    "no times": ("untimed", False),
    "clock ahead": ("clock", True),
    "forge": ("forge", False),
}


def faults(text: str) -> list[Fault]:
    """`duplicate, late 5s ringing, lose completed 10%`. Raises Unreadable."""
    return list(_faults(text))


def _faults(text: str) -> Iterator[Fault]:
    for said in (" ".join(part.split()) for part in text.split(",")):
        name = next((name for name in FAULTS if said == name or said.startswith(f"{name} ")), None)
        if name is None:
            nothing = "a fault is missing before or after a comma" if not said else f"there is no fault {_quoted(said)}"
            raise Unreadable(nothing + (_instead(said, FAULTS) if said else f"; there are {', '.join(FAULTS)}"))
        kind, takes_time = FAULTS[name]
        words = said[len(name) :].split()
        try:
            yield _fault(kind, words, takes_time)
        except Unreadable as error:
            raise Unreadable(f"{_quoted(said)}: {error}") from None


def _fault(kind: FaultKind, words: list[str], takes_time: bool) -> Fault:
    fault = Fault(kind)
    for word in words:
        which: Any = word.replace("-", "_")
        if which in _TOLD:
            fault = replace(fault, which=which)
        elif found := re.fullmatch(r"(\d{1,3})%", word):
            fault = replace(fault, chance=min(int(found[1]), 100) / 100)
        elif takes_time:
            fault = replace(fault, seconds=_seconds(word))
        else:
            raise Unreadable(f"{_quoted(word)} is neither a callback ({', '.join(_TOLD)}) nor a chance such as 10%")
    if takes_time and not fault.seconds:
        raise Unreadable("takes a time, such as 5s")
    return fault
