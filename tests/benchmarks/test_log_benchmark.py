"""The benchmark of what the log costs, small: what it measures is checked, never how fast it was."""

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bellbird.core import events
from bellbird.features.contacts import actions
from benchmarks import log
from benchmarks.recording import Recording, Statement
from benchmarks.report import BenchmarkFailed


def test_it_compares_creates_with_the_log_and_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform != "linux":
        pytest.skip("CPU time is read from /proc, which only Linux has")
    monkeypatch.setenv("BELLBIRD_DATA_DIR", str(tmp_path / "data"))
    insert = actions._insert

    assert log.main(["--small", "--results", str(tmp_path)]) == 0, capsys.readouterr().err

    assert actions._insert is insert, "the log is written again"
    results = json.loads((tmp_path / "log.json").read_text())
    assert all(value > 0 for part in ("create", "statements") for value in results[part].values())
    assert {promise.path for promise in log.PROMISES} <= {f"create.{name}" for name in results["create"]}
    assert "Promises" in capsys.readouterr().out


def recorded(*sql: str) -> Recording:
    return Recording((tuple(Statement(each, ("x",) * 12) for each in sql),), datetime.now(UTC))


def test_without_the_event_everything_else_is_sent() -> None:
    create = recorded("begin", actions.INSERT, events.APPEND, "commit")
    assert log._without_event(create) == replace(
        create, exchanges=recorded("begin", actions.INSERT, "commit").exchanges
    )
    with pytest.raises(BenchmarkFailed, match="one event"):
        log._without_event(recorded("begin", actions.INSERT, "commit"))


def test_by_pgbench_the_events_entity_is_its_contact_as_well() -> None:
    ((_, appended),) = log._of_one_contact(recorded(actions.INSERT, events.APPEND)).exchanges
    assert "select $1, $2, $3, $4, of.contact, of.contact, $7," in appended.sql


def test_turns_come_in_pairs_and_change_who_is_first() -> None:
    assert list(log._in_turns(3)) == [False, True, True, False, False, True]


def test_the_ratio_is_the_median_of_the_pairs_own() -> None:
    assert log._compared({True: [10.0, 30.0, 24.0], False: [10.0, 20.0, 20.0]}) == (24.0, 20.0, 1.2)
