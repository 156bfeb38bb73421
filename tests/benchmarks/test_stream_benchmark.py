"""The benchmark of the live stream, small: what it measures is checked, never how fast it was."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import stream


def test_the_benchmark_misses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if sys.platform != "linux":
        pytest.skip("memory is read from /proc, which only Linux has")
    monkeypatch.setenv("BELLBIRD_DATA_DIR", str(tmp_path / "data"))

    assert stream.main(["--small", "--results", str(tmp_path)]) == 0, capsys.readouterr().err

    results = json.loads((tmp_path / "stream.json").read_text())
    assert results["deliveries"] == 100
    assert [results[name] for name in ("missed", "twice", "resumed_missed", "resumed_twice")] == [0, 0, 0, 0]
    assert 0 < results["p50_ms"] <= results["p95_ms"] <= results["max_ms"]
    assert 0 < results["worker_rss_mb"] < 1000 and results["notify_p95_ms"] >= 0
    assert "Promises" in capsys.readouterr().out
