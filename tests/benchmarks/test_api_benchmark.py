"""The whole benchmark, small: what it measures is checked, never how fast it was."""

import json
import shutil
import sys
from pathlib import Path

import pytest

from benchmarks import api, workloads
from tests.servers import missing

FIGURES = {"rps", "p50_ms", "p99_ms", "app_cpu_us", "db_cpu_us", "bound_tps", "ratio", "statements", "round_trips"}


def test_the_benchmark_measures_every_workload(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shutil.which("wrk") is None:
        missing("wrk")
    if sys.platform != "linux":
        pytest.skip("CPU time is read from /proc, which only Linux has")
    monkeypatch.setenv("BELLBIRD_DATA_DIR", str(tmp_path / "data"))

    assert api.main(["--small", "--results", str(tmp_path)]) == 0, capsys.readouterr().err

    results = json.loads((tmp_path / "api.json").read_text())
    assert set(results["workloads"]) == set(workloads.SHARES)
    for name, figures in results["workloads"].items():
        assert set(figures) == FIGURES
        assert all(value > 0 for value in figures.values()), name
    assert all(results["workloads"][name]["round_trips"] == 1 for name in workloads.SHARES if name != "create")
    assert results["workloads"]["create"]["round_trips"] == 2
    assert 0 < results["worker_rss_mb"] < 1000
    assert set(results["large_tenant"]) == {"first_page", "lookup"}
    assert "Promises" in capsys.readouterr().out
