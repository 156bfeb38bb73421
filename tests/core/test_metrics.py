"""Numbers for Prometheus: of one process, and of several that share a folder."""

import multiprocessing
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from bellbird.core.metrics import BUCKETS, Metrics, _exactly

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(metrics: Metrics) -> Samples:
    """Everything that is told, by name and labels."""
    text = metrics.exposed("")[0].decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def requests(found: Samples, name: str = "bellbird_http_requests_total", **labels: str) -> float:
    return sum(value for (each, has), value in found.items() if each == name and set(labels.items()) <= set(has))


def test_requests_are_counted_by_method_route_and_class_of_status() -> None:
    metrics = Metrics("1.2.3")
    for status in (200, 201, 204, 404, 500):
        metrics.answered("GET", "/things/{id}", status, 0.003)
    metrics.answered("POST", "/things", 201, 0.2)
    found = samples(metrics)
    assert requests(found, method="GET", route="/things/{id}", status="2xx") == 3
    assert requests(found, status="4xx") == requests(found, status="5xx") == 1
    assert requests(found, method="POST") == 1


@pytest.mark.parametrize("seconds", [0.0, 0.0005, *BUCKETS, 0.0031, 11.0])
def test_a_duration_counts_in_every_bucket_that_it_fits_into(seconds: float) -> None:
    metrics = Metrics("1.2.3")
    metrics.answered("GET", "/x", 200, seconds)
    found = samples(metrics)
    for bound in BUCKETS:
        told = requests(found, "bellbird_http_request_seconds_bucket", le=str(bound))
        assert told == (seconds <= bound), bound
    assert requests(found, "bellbird_http_request_seconds_bucket", le="+Inf") == 1
    assert requests(found, "bellbird_http_request_seconds_count") == 1
    assert requests(found, "bellbird_http_request_seconds_sum") == seconds


def test_nobody_can_make_more_and_more_of_them_by_inventing_methods() -> None:
    metrics = Metrics("1.2.3")
    for number in range(100):
        metrics.answered(f"M{number}", "none", 405, 0.001)
    assert requests(samples(metrics), method="other") == 100
    assert len(metrics._found) == 0


def test_what_others_count_is_read_when_it_is_asked_for() -> None:
    class Cache:
        hits, misses = 0, 0

    metrics, cache, waiting = Metrics("1.2.3"), Cache(), {("app",): 1.0}
    metrics.cache("tenants", cache)
    metrics.counter("bellbird_things", "Things.", lambda: cache.hits * 2)
    metrics.gauge("bellbird_waiting", "Waiting.", lambda: waiting, ("pool",))
    metrics.refused("not_found")
    metrics.refused("not_found")
    cache.hits, cache.misses, waiting["app",] = 3, 1, 7.0
    found = samples(metrics)
    assert requests(found, "bellbird_cache_requests_total", cache="tenants", result="hit") == 3
    assert requests(found, "bellbird_cache_requests_total", cache="tenants", result="miss") == 1
    assert requests(found, "bellbird_things_total") == 6
    assert requests(found, "bellbird_waiting", pool="app") == 7
    assert requests(found, "bellbird_errors_total", code="not_found") == 2
    assert requests(found, "bellbird_build_info", version="1.2.3") == 1
    assert requests(found, "process_resident_memory_bytes") > 1e6


def test_two_of_them_in_a_process_do_not_disturb_each_other() -> None:
    one, other = Metrics("1.2.3"), Metrics("1.2.3")
    one.answered("GET", "/x", 200, 0.1)
    assert requests(samples(other)) == 0


def test_it_is_told_in_the_form_that_is_asked_for() -> None:
    body, kind = Metrics("1.2.3").exposed("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    assert Metrics("1.2.3").exposed("text/html")[1].startswith("text/plain; version=0.0.4")


# Several processes.


def worker(folder: Path, count: int, told: Any) -> None:
    metrics = Metrics("1.2.3", folder=folder)
    metrics.gauge("bellbird_waiting", "Waiting.", lambda: 5)
    for _ in range(count):
        metrics.answered("GET", "/x", 200, 0.1)
    metrics.publish()
    told.set()
    time.sleep(60)


@pytest.fixture
def others(tmp_path: Path) -> Any:
    """Start processes that have answered so many requests each; they live until they are killed."""
    context = multiprocessing.get_context("spawn")
    started: list[Any] = []

    def start(count: int) -> Any:
        told = context.Event()
        process = context.Process(target=worker, args=(tmp_path, count, told))
        process.start()
        started.append(process)
        assert told.wait(30)
        return process

    yield start
    for process in started:
        process.kill()
        process.join(10)


def test_the_numbers_of_all_processes_are_added_up_and_those_of_the_dead_stay(tmp_path: Path, others: Any) -> None:
    metrics = Metrics("1.2.3", folder=tmp_path)
    metrics.gauge("bellbird_waiting", "Waiting.", lambda: 1)
    metrics.answered("GET", "/x", 200, 0.1)
    first, _ = others(10), others(100)
    found = samples(metrics)
    assert requests(found) == 111
    assert requests(found, "bellbird_http_request_seconds_sum") == pytest.approx(11.1)
    assert requests(found, "bellbird_waiting") == 11
    assert requests(found, "bellbird_build_info") == 1, "the same everywhere"
    cpu = requests(found, "process_cpu_seconds_total")

    first.kill()
    first.join(10)
    metrics.answered("GET", "/x", 200, 0.1)
    found = samples(metrics)
    assert requests(found) == 112, "a counter that fell would look like one that began anew"
    assert requests(found, "process_cpu_seconds_total") >= cpu
    assert requests(found, "bellbird_waiting") == 6, "nothing waits in a process that is gone"
    assert requests(samples(metrics)) == 112
    assert requests(found, "bellbird_http_request_seconds_sum") == pytest.approx(11.2)
    assert len(list(tmp_path.glob("[0-9]*.*"))) == 2, "its file is gone as well"
    others(1000)
    assert requests(samples(metrics)) == 1112


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=8), st.data())
def test_a_sum_does_not_fall_when_its_parts_are_added_in_another_order(parts: list[float], data: st.DataObject) -> None:
    exact = [_exactly(part) for part in parts]
    total = 0.0
    for part in exact:
        total += part
    first = data.draw(st.integers(1, len(parts)))
    assert sum(exact[first:]) + sum(exact[:first]) == total
    assert total == pytest.approx(sum(parts), abs=1e-5)


def test_a_process_alone_needs_no_folder(tmp_path: Path) -> None:
    metrics = Metrics("1.2.3")
    assert not metrics.is_shared
    metrics.publish()
    assert list(tmp_path.iterdir()) == []
