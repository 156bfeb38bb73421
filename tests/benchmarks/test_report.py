"""Promises, comparisons and the figures as they are shown."""

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.report import BenchmarkFailed, Promise

RESULTS = {"workloads": {"get": {"app_cpu_us": 400.0, "ratio": 0.12}}, "worker_rss_mb": 74.1, "small": True}


def test_a_promise_is_kept_missed_or_not_measured() -> None:
    assert Promise("workloads.get.app_cpu_us", at_most=600).kept(RESULTS) is True
    assert Promise("workloads.get.app_cpu_us", at_most=300).kept(RESULTS) is False
    assert Promise("workloads.get.ratio", at_least=0.2).kept(RESULTS) is False
    assert Promise("workloads.create.ratio", at_least=0.2).kept(RESULTS) is None


def test_only_a_missed_promise_counts_against_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    kept, unknown = Promise("worker_rss_mb", at_most=150), Promise("worker_growth_mb", at_most=5)

    assert report.judge([kept, unknown], RESULTS)
    assert not report.judge([kept, Promise("worker_rss_mb", at_most=50)], RESULTS)
    assert "missed" in capsys.readouterr().out


def test_results_are_kept_and_read_again(tmp_path: Path) -> None:
    assert report.read(report.write(tmp_path / "results", "api", RESULTS)) == RESULTS


def test_an_earlier_run_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match=r"gone\.json"):
        report.read(tmp_path / "gone.json")


def test_only_steady_figures_are_judged(capsys: pytest.CaptureFixture[str]) -> None:
    now = {"workloads": {"get": {"app_cpu_us": 800.0, "ratio": 0.12}}, "worker_rss_mb": 174.1, "new": 1}

    report.compare(now, RESULTS, {"app_cpu_us": True, "ratio": False})

    lines = {line.split()[1]: line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert "2.00x" in lines["workloads.get.app_cpu_us"]
    assert "worse" in lines["workloads.get.app_cpu_us"]
    assert "worse" not in lines["workloads.get.ratio"] + lines["worker_rss_mb"]
    assert "new" not in lines


@pytest.mark.parametrize(
    ("value", "shown"), [(3769.4, "3,769"), (33.12, "33.1"), (0.1264, "0.126"), (4, "4"), (0.0, "0"), (12345, "12,345")]
)
def test_figures_have_the_digits_that_mean_something(value: float, shown: str) -> None:
    assert report.figure(value) == shown
