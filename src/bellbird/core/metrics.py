"""Metrics: counted in plain numbers while requests are answered, and put into Prometheus's words when it asks.

A library's counter costs a microsecond or two each time, and a request would need six. So whoever has something to
count has an `int` of its own, and says here how to read it.

Several processes behind one port share a folder: each writes its numbers there once a second and before it tells any,
and whichever is asked adds them all up. What a process that is gone had counted stays in the sum, or the sum would
fall, which to Prometheus means that everything began anew.
"""

import fcntl
import os
import platform
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

# What several processes have is not added up: they are the same, or the first of them is meant.
NOT_ADDED: Final[Mapping[str, Callable[[float, float], float]]] = {
    "bellbird_build_info": max,
    "python_info": max,
    "process_start_time_seconds": min,
    "bellbird_queue_jobs": max,
    "bellbird_queue_oldest_seconds": max,
    "bellbird_queue_workers": max,
    "bellbird_consumer_lag_seconds": max,
    "bellbird_consumer_failed_events": max,
}

Labels = tuple[str, ...]
Reading = float | Mapping[Labels, float]


class Counted(Protocol):
    """A cache that counts."""

    hits: int
    misses: int


class Metrics:
    """The numbers of one process, and of those that share its `folder`."""

    def __init__(self, version: str, *, folder: Path | None = None) -> None:
        # By method, route, class of status: the seconds altogether, then how many took as long as each bucket says.
        self._requests: dict[tuple[str, str, str], list[float]] = {}
        # The same by what a request has at hand.
        self._found: dict[tuple[str, str, int], list[float]] = {}
        self._readings: list[
            tuple[type[CounterMetricFamily | GaugeMetricFamily], str, str, Labels, Callable[[], Reading]]
        ] = []
        self._caches: dict[str, Counted] = {}
        # What is asked of the database before the numbers are told; none of these raises.
        self.refresh: list[Callable[[], Awaitable[None]]] = []
        self.errors: dict[str, int] = {}
        self._registry = CollectorRegistry()
        self._registry.register(ProcessCollector(registry=None))
        self._registry.register(PlatformCollector(registry=None))
        self._registry.register(_Collector(self._families))
        self._folder = Folder(folder) if folder else None
        built: Mapping[Labels, float] = {(version, platform.python_version()): 1}
        self.gauge("bellbird_build_info", "What runs here.", lambda: built, ("version", "python"))
        self.counter(
            "bellbird_errors", "Problems answered, by their code.",
            lambda: {(code,): count for code, count in self.errors.items()}, ("code",),
        )  # fmt: skip

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered; status 0 stands for one that got no answer."""
        row = self._found.get((method, route, status))
        if row is None:
            row = self._row(method, route, status)
        row[0] += seconds
        row[bisect_left(BUCKETS, seconds) + 1] += 1

    def _row(self, method: str, route: str, status: int) -> list[float]:
        # A method is whatever somebody sends; a route is one of ours.
        known = method if method in METHODS else "other"
        key = (known, route, f"{status // 100}xx" if status else "none")
        row = self._requests.setdefault(key, [0.0] * (len(BUCKETS) + 2))
        if known == method:
            self._found[method, route, status] = row
        return row

    def refused(self, code: str) -> None:
        """Count a problem that was answered."""
        self.errors[code] = self.errors.get(code, 0) + 1

    def cache(self, name: str, cache: Counted) -> None:
        """Tell of a cache that counts its hits and misses."""
        self._caches[name] = cache

    def counter(self, name: str, about: str, read: Callable[[], Reading], labels: Labels = ()) -> None:
        """Tell of something that only rises: a number, or with labels one for each of their values."""
        self._readings.append((CounterMetricFamily, name, about, labels, read))

    def gauge(self, name: str, about: str, read: Callable[[], Reading], labels: Labels = ()) -> None:
        """Tell of something that rises and falls."""
        self._readings.append((GaugeMetricFamily, name, about, labels, read))

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """Everything in the form that is asked for, and its media type."""
        encode, media_type = choose_encoder(accept)
        families = list(self._registry.collect())
        if self._folder:
            # Whoever is asked next reads from the file at least what is told now, even if this process is killed.
            self._folder.write(families)
            families = self._folder.total()
        return encode(_Collector(lambda: families)), media_type

    @property
    def is_shared(self) -> bool:
        """Whether there are other processes whose numbers belong to these."""
        return self._folder is not None

    def publish(self) -> None:
        """Write down this process's numbers for the others that share its folder."""
        if self._folder:
            self._folder.write(list(self._registry.collect()))

    def _families(self) -> Iterator[Metric]:
        names = ["method", "route", "status"]
        total = CounterMetricFamily("bellbird_http_requests", "Requests answered.", labels=names)
        seconds = HistogramMetricFamily("bellbird_http_request_seconds", "How long answers took.", labels=names)
        for key, (sum_value, *counts) in self._requests.items():
            total.add_metric(key, sum(counts))
            seconds.add_metric(key, list(_cumulative(counts)), sum_value)
        yield total
        yield seconds
        caches = CounterMetricFamily(
            "bellbird_cache_requests", "Questions to caches of this process.", labels=["cache", "result"]
        )
        for name, cache in self._caches.items():
            caches.add_metric([name, "hit"], cache.hits)
            caches.add_metric([name, "miss"], cache.misses)
        yield caches
        for kind, name, about, labels, read in self._readings:
            family = kind(name, about, labels=labels)
            found = read()
            for values, value in found.items() if isinstance(found, Mapping) else [((), found)]:
                family.add_metric(values, value)
            yield family


def _cumulative(counts: Sequence[float]) -> Iterator[tuple[str, float]]:
    so_far = 0.0
    for bound, count in zip([*map(str, BUCKETS), "+Inf"], counts, strict=True):
        so_far += count
        yield bound, so_far


class _Collector(Collector):
    """What prometheus_client asks for families."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


class Family(msgspec.Struct, array_like=True):
    """A metric as it is written to a file: its samples by name and labels."""

    name: str
    about: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


# Of a process that is gone, what rises and falls counts no more.
RISING: Final = frozenset({"counter", "histogram"})
KINDS: Final = RISING | {"gauge"}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Family]).decode


class Folder:
    """The numbers of several processes: a file of each, and one of those that are gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = path / f"{os.getpid()}.{os.urandom(4).hex()}"
        self._ended = path / "ended"
        path.mkdir(parents=True, exist_ok=True)
        self.total()  # a process that dies again and again should not leave more and more files

    def write(self, families: Iterable[Metric]) -> None:
        """This process's numbers, in place of those before."""
        _replace(self._own, [_written(each) for each in families])

    def total(self) -> list[Metric]:
        """Everybody's numbers."""
        total: dict[str, Family] = {}
        ended: dict[str, Family] = {}
        gone = []
        with open(self._path / "lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                _add(ended, self._ended)
            for file in self._path.glob("[0-9]*.*"):
                if _lives(int(file.name.partition(".")[0])):
                    _add(total, file)
                else:
                    _add(ended, file, kinds=RISING)
                    gone.append(file)
            if gone:
                _replace(self._ended, list(ended.values()))
                for file in gone:
                    file.unlink()
            if ended:
                _add(total, self._ended)
        return [_metric(family) for family in total.values()]


def _written(metric: Metric) -> Family:
    grain = _exactly if metric.type in RISING else float
    samples = [(each.name, each.labels, grain(each.value)) for each in metric.samples]
    return Family(metric.name, metric.documentation, metric.type, samples)


def _exactly(value: float) -> float:
    # To a millionth, in powers of two: such numbers have the same sum in whatever order they are added. Otherwise it
    # could fall by its last digit when a process ends, which is enough to look as if everything began anew.
    return round(value * 2**20) / 2**20


def _replace(file: Path, families: list[Family]) -> None:
    draft = file.with_name(f"new-{file.name}")
    draft.write_bytes(_encode(families))
    draft.replace(file)


def _add(total: dict[str, Family], file: Path, kinds: frozenset[str] = KINDS) -> None:
    """Add what is in a file to the sum."""
    for family in _decode(file.read_bytes()):
        if family.kind not in kinds:
            continue
        join = NOT_ADDED.get(family.name, float.__add__)
        into = total.setdefault(family.name, Family(family.name, family.about, family.kind, []))
        samples = {(name, *labels.items()): (name, labels, value) for name, labels, value in into.samples}
        for name, labels, value in family.samples:
            key = (name, *labels.items())
            samples[key] = (name, labels, join(samples[key][2], value) if key in samples else value)
        into.samples = list(samples.values())


def _metric(family: Family) -> Metric:
    metric = Metric(family.name, family.about, family.kind)
    for name, labels, value in family.samples:
        metric.add_sample(name, labels, value)
    return metric


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's, so it is there
        pass
    return True
