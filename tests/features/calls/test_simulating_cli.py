"""`bellbird calls simulate`: simulated calls go all the way, and whoever sits there sees what happens."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures

ANN, BOB = "+61491570006", "+61491570156"

# Nobody is called outside of the hours, whatever time it is when the tests run.
ANY_TIME = ("--purpose", "service", "--speed", "100")


@pytest.fixture
def connected(acme: Run) -> Run:
    """The command line of a tenant with an account with the simulator."""
    number = "02 5550 1234"
    acme("call-accounts", "connect", "mock", "sim", "--number", number, "--secret-file", "-", input="secret\n")
    return acme


@pytest.fixture
def script(tmp_path: Path) -> Any:
    def write(text: str) -> Path:
        path = tmp_path / "afternoon.calls"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_script_is_played_until_all_is_over(connected: Run, script: Any) -> None:
    played = script(
        f"{ANN}: ring 2s, answer, talk 20s, price 0.08 AUD | duplicate, reorder\n"
        f"{BOB}: busy\n"
        "from +61491570157 after 1s: ring 3s, answer, talk 5s\n"
        "from withheld after 2s: ring 1s, hang up\n"
    )
    ran = connected("calls", "simulate", played, *ANY_TIME, "--json")
    ends = {(call["direction"], call["number"]): (call["status"], call["disposition"]) for call in ran.data}
    assert ends == {
        ("outbound", ANN): ("completed", "answered"),
        ("outbound", BOB): ("busy", "busy"),
        ("inbound", "+61491570157"): ("completed", "answered"),
        ("inbound", None): ("canceled", "missed"),
    }
    assert [call["duration"] for call in ran.data if call["number"] == ANN] == [20]
    assert re.search(rf"to +{re.escape(ANN)} +in_progress +human", ran.err)
    assert re.search(r"from \+61491570157 +ringing", ran.err)
    assert "from withheld" in ran.err


def test_numbers_can_be_named_without_a_script(connected: Run) -> None:
    ran = connected("calls", "simulate", "--to", "0491 570 006", "--inbound", "withheld", "--seed", "3", *ANY_TIME)
    assert ANN in ran.out and "inbound" in ran.out


def test_what_would_never_end_is_hung_up(connected: Run, script: Any) -> None:
    ran = connected("calls", "simulate", script(f"{ANN}: ring forever"), *ANY_TIME)
    assert "Hung up 1 that would not have ended." in ran.err
    assert "canceled" in ran.out


def test_an_order_that_is_refused_ends_the_call(connected: Run, script: Any) -> None:
    ran = connected("calls", "simulate", script(f"{ANN}: refuse 21211"), *ANY_TIME)
    assert f"{ANN}: not dialled here" in ran.err


def test_what_may_not_be_called_is_told(connected: Run, script: Any) -> None:
    ran = connected("calls", "simulate", "--to", "+12025550123", *ANY_TIME, fails=1)
    assert "+12025550123: not placed:" in ran.err


def test_a_script_that_cannot_be_read_is_refused_with_the_line(connected: Run, script: Any) -> None:
    ran = connected("calls", "simulate", script(f"# calls\n{ANN}: rnig 3s\n{BOB} busy"), fails=1)
    assert "line 2: there is no step 'rnig 3s'; did you mean 'ring'?" in ran.err
    assert "line 3:" in ran.err
    assert connected("calls", "simulate", "missing.calls", fails=2).out == ""


def test_somebody_has_to_be_called(connected: Run, script: Any) -> None:
    assert "Say who is called" in connected("calls", "simulate", script("*: busy"), fails=2).err
    assert "--to: " in connected("calls", "simulate", "--to", "12", fails=1).err


def test_it_takes_an_account_with_the_simulator(acme: Run) -> None:
    ran = acme("calls", "simulate", "--to", ANN, fails=1)
    assert "bellbird call-accounts connect mock" in ran.err
