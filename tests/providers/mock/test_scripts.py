"""Scripts of simulated calls: read as people write them, and refused with the line and what would be right."""

from decimal import Decimal
from pathlib import Path

import pytest

from bellbird.providers.mock import Fault, Scenario, ScriptInvalid, scripts
from bellbird.providers.mock.scenarios import AS_LONG_AS_IT_MAY, believable

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "simulating-calls.md"


def scenario(steps: str) -> Scenario:
    return scripts.read(f"*: {steps}").rules[0].scenario


def test_a_script_is_read_line_by_line() -> None:
    read = scripts.read(
        """
        # somebody who answers
        +61 400 000 001: ring 3s, answer, talk 1m30s, hang up
        *02: busy | duplicate, late 5s ringing   # and misbehaves
        from +61400000009 to +61255500001 after 10s: ring 5s, answer, talk 1m
        from withheld: ring 2s, hang up
        otherwise: no answer
        """
    )
    assert [rule.numbers for rule in read.rules] == ["+61400000001", "*02", "*"]
    first, second, last = (rule.scenario for rule in read.rules)
    assert first == Scenario(ring=3.0, answer="human", talk=90.0, end="completed")
    assert second == Scenario(
        ring=0.0, answer=None, end="busy", faults=(Fault("duplicate"), Fault("late", "ringing", seconds=5.0))
    )
    assert last == Scenario(ring=AS_LONG_AS_IT_MAY, answer=None, end="no_answer")
    known, withheld = read.arrivals
    assert (known.from_number, known.to_number, known.after) == ("+61400000009", "+61255500001", 10.0)
    assert (withheld.from_number, withheld.to_number, withheld.after) == (None, None, 0.0)
    assert withheld.scenario == Scenario(ring=2.0, answer=None, end="canceled")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ("answer", Scenario()),
        ("answer machine, talk 20s", Scenario(answer="machine", talk=20.0)),
        ("voicemail", Scenario(answer="machine", talk=20.0)),
        ("wait 2s, ring forever", Scenario(wait=2.0, ring=None, answer=None)),
        ("answer, talk for ever", Scenario(talk=None)),
        ("ring 20s, no answer", Scenario(ring=20.0, answer=None, end="no_answer")),
        ("fail 404", Scenario(ring=0.0, answer=None, end="failed", reason="404")),
        ("answer, talk 5s, fail", Scenario(talk=5.0, end="failed", reason="503")),
        ("refuse 21211", Scenario(placing="refused", refusal="21211", answer=None, end="failed")),
        ("time out", Scenario(placing="unclear", answer=None, end="failed")),
        ("time out but dial", Scenario(placing="unclear_but_dialled")),
        (
            "time out but dial, ring 3s, no answer",
            Scenario(placing="unclear_but_dialled", ring=3.0, answer=None, end="no_answer"),
        ),
        (
            "answer, talk 1h, price 0.08 NZD, record",
            Scenario(talk=3600.0, price=Decimal("0.08"), currency="NZD", record=True),
        ),
    ],
)
def test_steps_make_a_scenario(steps: str, expected: Scenario) -> None:
    assert scenario(steps) == expected


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("duplicate", Fault("duplicate")),
        ("lose 10%", Fault("lose", chance=0.1)),
        ("lose in-progress", Fault("lose", "in_progress")),
        ("late 1m completed", Fault("late", "completed", 60.0)),
        ("numbers backwards", Fault("renumber")),
        ("no numbers", Fault("unnumbered")),
        ("no times", Fault("untimed")),
        ("clock ahead 10m", Fault("clock", seconds=600.0)),
        ("race", Fault("race")),
        ("early", Fault("early")),
        ("reorder", Fault("reorder")),
        ("forge", Fault("forge")),
    ],
)
def test_faults_are_of_one_call_or_of_all(written: str, fault: Fault) -> None:
    assert scenario(f"answer | {written}").faults == (fault,)
    assert scripts.read(f"*: answer\nfaults: {written}").rules[0].scenario.faults == (fault,)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("+61400000001 ring 3s", "has no colon"),
        ("0400000001: answer", "write it with its country, +61400000001"),
        ("+: answer", "is no number"),
        ("*1*1*1*1: answer", "more than 3 times *"),
        ("*: rnig 3s", "there is no step 'rnig 3s'; did you mean 'ring'?"),
        ("*: sing 3s, answer", "did you mean 'ring'?"),
        ("*: xyzzy", "there are wait, ring, answer"),
        ("*: ring 3", "'ring 3': '3' is no time: write 3s, 2m or 1m30s"),
        ("*: ring", "takes one time, such as 3s, or forever"),
        ("*: answer, talk 30h", "more than a day"),
        ("*: talk 3s", "nobody has answered: put answer before it"),
        ("*: answer, busy", "it was answered"),
        ("*: answer, ring 3s", "it was answered already"),
        ("*: ring forever, answer", "it rings for ever"),
        ("*: busy, answer", "'answer' comes after the end of the call"),
        ("*: answer robot", "who answers is human, machine, fax or unknown"),
        ("*: hang up now", "nothing can follow it, such as 'now'"),
        ("*: answer, price 5", "takes an amount and a currency: price 0.08 AUD"),
        ("*: ,", "there is nothing between two commas"),
        ("*:", "name a step"),
        ("*: answer | duplicat", "there is no fault 'duplicat'; did you mean 'duplicate'?"),
        ("*: answer | late", "takes a time, such as 5s"),
        ("*: answer | lose nothing", "neither a callback"),
        ("*: answer | lose,", "a fault is missing"),
        ("from 0400: answer", "is no number"),
        ("from +614*: answer", "has one number, without *"),
        ("from +61400000001 tomorrow: answer", "write from NUMBER [to NUMBER] [after TIME]"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(line: str, message: str) -> None:
    with pytest.raises(ScriptInvalid) as caught:
        scripts.read(f"# fine\n*1: answer\n{line}\n*2: busy")
    (fault,) = caught.value.faults
    assert fault.parameter == "line 3"
    assert message in fault.message


def test_all_faults_of_a_script_are_told_at_once() -> None:
    with pytest.raises(ScriptInvalid) as caught:
        scripts.read("*: rnig\n*: answer\nnonsense")
    assert [fault.parameter for fault in caught.value.faults] == ["line 1", "line 3"]


def test_a_script_can_be_too_long() -> None:
    with pytest.raises(ScriptInvalid, match="longer than 50,000"):
        scripts.read("#" * 50_001)


def test_the_first_rule_that_fits_counts() -> None:
    read = scripts.read("+61400000001: busy\n+614*01: answer\n*01: voicemail\n*5*: fail")
    ends = {number: read.scenario(number) for number in ("+61400000001", "+61411111101", "+6493000001", "+64950")}
    assert [found and (found.answer, found.end) for found in ends.values()] == [
        (None, "busy"), ("human", None), ("machine", None), (None, "failed")
    ]  # fmt: skip
    assert read.scenario("+6493000002") is None


def test_chance_is_the_same_for_the_same_seed() -> None:
    numbers = [f"+6140000{number:04}" for number in range(300)]
    afternoon = [believable(1, number) for number in numbers]
    assert afternoon == [believable(1, number) for number in numbers]
    assert afternoon != [believable(2, number) for number in numbers]
    assert believable(1, numbers[0], 1) != believable(1, numbers[0], 2)
    ends = [(each.answer, each.end) for each in afternoon]
    for what in (("human", None), ("machine", None), (None, None), (None, "busy"), (None, "failed")):
        assert ends.count(what) >= 3
    assert 120 < ends.count(("human", None)) < 190


def test_the_scripts_of_the_guide_can_be_read() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    examples = [block.split("```")[0] for block in text.split("```calls\n")[1:]]
    assert len(examples) >= 2
    for example in examples:
        assert scripts.read(example).rules
