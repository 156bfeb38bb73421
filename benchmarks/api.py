"""The API under load, beside what the database alone could do: `python -m benchmarks.api`, or `make bench-api`.

For each workload: pgbench with the statements that the server sends (the bound), then wrk against the server.
"""

import argparse
import asyncio
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from bellbird.core import postgres, settings
from bellbird.core.engine import APP_ROLE
from benchmarks import bound, load, recording, report, scaling, seed, server, workloads
from benchmarks.bench import Bench
from benchmarks.report import BenchmarkFailed, Promise
from benchmarks.seed import Dataset
from benchmarks.workloads import Workload

PROMISES: Final = (
    Promise("workloads.get.app_cpu_us", at_most=600),
    Promise("workloads.list.app_cpu_us", at_most=1050),
    Promise("workloads.create.app_cpu_us", at_most=800),
    Promise("workloads.list.ratio", at_least=0.4),
    Promise("workloads.create.ratio", at_least=0.2),
    Promise("workloads.get.ratio", at_least=0.05),
    Promise("large_tenant.first_page.cpu_ratio", at_most=1.3),
    Promise("large_tenant.first_page.execution_ratio", at_most=1.3),
    Promise("large_tenant.lookup.cpu_ratio", at_most=1.3),
    Promise("large_tenant.lookup.execution_ratio", at_most=1.3),
    Promise("worker_rss_mb", at_most=150),
    # What a heap moves by when nothing leaks.
    Promise("worker_growth_mb", at_most=5),
)

# What an earlier run on the same machine can be held against, and whether less is better.
STEADY: Final = {"app_cpu_us": True, "db_cpu_us": True, "ratio": False, "statements": True, "round_trips": True,
                 "worker_rss_mb": True, "cpu_ratio": True}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figures:
    """What one workload came to. CPU is per request; statements count BEGIN, SET LOCAL and COMMIT."""

    rps: float
    p50_ms: float
    p99_ms: float
    app_cpu_us: float
    db_cpu_us: float
    bound_tps: float
    ratio: float
    statements: int
    round_trips: int


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 1 when a promise was missed and `--check` given, 2 when nothing could be measured."""
    options = _options(arguments)
    try:
        before = report.read(options.compare) if options.compare else None
        results = run(options)
    except (BenchmarkFailed, postgres.PostgresUnusable) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Written to {report.write(options.results, 'api', results)}")
    if before:
        print(f"then: {before.get('conditions')}\nnow:  {results['conditions']}")
        report.compare(results, before, STEADY)
    return 0 if report.judge(PROMISES, results) or not options.check else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.api", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, help="how long each workload is measured (10; with --small 1)")
    add("--soak", type=int, metavar="N", help="requests after which the workers' memory is compared (10,000)")
    add("--small", action="store_true", help="little data and little time, to try the benchmark itself")
    add("--only", nargs="+", metavar="NAME", choices=list(workloads.SHARES), help="only these workloads, nothing else")
    add("--check", action="store_true", help="exit 1 when a promise is missed")
    add("--compare", type=Path, metavar="FILE", help="show the figures beside those of an earlier run")
    add("--results", type=Path, default=report.RESULTS, metavar="FOLDER", help="where api.json is written")
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (1 if options.small else 10)
    options.soak = (500 if options.small else 10_000) if options.soak is None else options.soak
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything. Raises BenchmarkFailed."""
    load.program()
    if sys.platform != "linux":
        raise BenchmarkFailed("CPU time and memory are read from /proc, which only Linux has.")
    database = postgres.start(settings.load().data_dir)
    try:
        data = seed.ensure(database, seed.SMALL if options.small else seed.FULL)
        try:
            return _run(data, options)
        finally:
            seed.tidy(data.conninfo())
    finally:
        database.release()


def _run(data: Dataset, options: argparse.Namespace) -> dict[str, Any]:
    kinds = workloads.build(data.conninfo(), data.tenants, only=options.only)
    results: dict[str, Any] = {"conditions": _conditions(options), "workloads": {}}
    with server.running(data.conninfo(APP_ROLE)) as running:
        bench = Bench(data, running, options.seconds)
        if not options.only:
            # Before anything is written: what waits to be merged into the GIN index is read by every lookup.
            results["large_tenant"] = _scaling(bench, kinds)
        for kind in kinds:
            results["workloads"][kind.name] = asdict(measure(bench, kind))
        if not options.only:
            results |= soak(bench, kinds, options.soak)
    _show(kinds, results)
    return results


def _conditions(options: argparse.Namespace) -> str:
    """What an earlier run must share for its figures to be comparable."""
    size = "a trial's data" if options.small else "20 x 10,000 + 100,000 contacts"
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {size}, {options.seconds:g} s a workload"


def measure(bench: Bench, kind: Workload) -> Figures:
    """One workload: its bound, then the server under load."""
    print(f"{kind.title} ...", flush=True)
    conninfo = bench.data.conninfo(APP_ROLE)
    recordings = asyncio.run(recording.record(conninfo, kind.requests[: bound.MAX_SCRIPTS]))
    limit = bound.run(conninfo, recordings, bench.seconds / 2)
    bench.warm_up(kind.requests)
    measured = bench.measure(kind.requests)
    return Figures(
        rps=round(measured.load.rps, 1),
        p50_ms=round(measured.load.p50_ms, 2),
        p99_ms=round(measured.load.p99_ms, 2),
        app_cpu_us=round(measured.app_us, 1),
        db_cpu_us=round(measured.db_us, 1),
        bound_tps=round(limit.tps, 1),
        ratio=round(measured.load.rps / limit.tps, 3),
        statements=recording.most_common([each.statements for each in recordings]),
        round_trips=recording.most_common([len(each.exchanges) for each in recordings]),
    )


def soak(bench: Bench, kinds: Sequence[Workload], requests: int) -> dict[str, float]:
    """The workers' memory, and how much it grows over so many requests of all kinds."""
    print(f"{requests:,} requests of all kinds ...", flush=True)
    stream, done = workloads.mixed(kinds), 0
    before = bench.server.workers_mb()
    while done < requests:
        done += bench.load(stream).requests
    after = bench.server.workers_mb()
    growth = max(now - then for now, then in zip(after, before, strict=True))
    return {"soak_requests": done, "worker_rss_mb": round(max(after), 1), "worker_growth_mb": round(growth, 1)}


def _show(kinds: Sequence[Workload], results: dict[str, Any]) -> None:
    columns = ("", "req/s", "p50 ms", "p99 ms", "app CPU us", "db CPU us", "bound tps", "ratio", "statements", "trips")
    rows = [[kind.title, *map(report.figure, results["workloads"][kind.name].values())] for kind in kinds]
    report.table("The API under load; statements include BEGIN, SET LOCAL and COMMIT", columns, rows)
    if "worker_rss_mb" in results:
        print(
            f"A worker has {results['worker_rss_mb']} MB resident, {results['worker_growth_mb']:+} MB "
            f"after {results['soak_requests']:,} requests."
        )


def _scaling(bench: Bench, kinds: Sequence[Workload]) -> dict[str, dict[str, float]]:
    print("The same requests in a large tenant ...", flush=True)
    for kind in kinds:  # by all tenants, so that the connections' plans are not made for one of them
        if kind.name in scaling.WATCHED:
            bench.warm_up(kind.requests)
    found = {name: scaling.measure(bench, name) for name in scaling.WATCHED}
    for name, each in found.items():
        for size, plan in zip(("an ordinary", "the large"), each.plans, strict=True):
            print(f"\n{name} in {size} tenant:\n{plan}")
    columns = ("in the database", "CPU us", "large", "ratio", "execution us", "large", "ratio")
    rows = [[name, *map(report.figure, each.figures().values())] for name, each in found.items()]
    report.table("The same request in a tenant ten times as large", columns, rows)
    return {name: each.figures() for name, each in found.items()}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
