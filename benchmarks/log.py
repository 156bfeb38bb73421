"""What the event log costs a create: `python -m benchmarks.log`, or `make bench-log`.

The same contacts are made with their events and without, in turns of a few seconds, so that what the machine does
besides falls on both. Once as the library makes them, several at a time, and once by pgbench with the statements alone.
"""

import argparse
import asyncio
import os
import platform
import random
import re
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from bellbird.core import events, postgres, settings
from bellbird.core.actors import Actor
from bellbird.core.engine import APP_ROLE, Engine, Tx
from bellbird.core.postgres import PostgresUnusable
from bellbird.features import contacts
from bellbird.features.contacts import Contact, NewContact, actions, rows
from benchmarks import bound, people, recording, report, seed, server, workloads
from benchmarks.cpu import Meter
from benchmarks.recording import Recording, Statement
from benchmarks.report import BenchmarkFailed, Promise
from benchmarks.seed import Dataset

PROMISES: Final = (Promise("create.ratio", at_most=1.25), Promise("create.cpu_ratio", at_most=1.25))

# What an earlier run on the same machine can be held against, and whether less is better.
STEADY: Final = {"ratio": True, "cpu_ratio": True}

PAIRS: Final = 6
AT_ONCE: Final = 8

# Each client of pgbench prepares the statements of each script for itself: of few, or it would measure their planning.
SCRIPTS: Final = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """A create with its event and without; the ratios are medians of the pairs' own. Microseconds each."""

    with_log_us: float
    without_us: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Whole(Figures):
    """The same, with what the CPUs were busy for, of this process and PostgreSQL's."""

    cpu_with_log_us: float
    cpu_without_us: float
    cpu_ratio: float
    db_cpu_with_log_us: float
    db_cpu_without_us: float
    db_cpu_ratio: float


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 1 when a promise was missed and `--check` given, 2 when nothing could be measured."""
    options = _options(arguments)
    try:
        before = report.read(options.compare) if options.compare else None
        results = run(options)
    except (BenchmarkFailed, PostgresUnusable) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Written to {report.write(options.results, 'log', results)}")
    if before:
        print(f"then: {before.get('conditions')}\nnow:  {results['conditions']}")
        report.compare(results, before, STEADY)
    return 0 if report.judge(PROMISES, results) or not options.check else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.log", description=__doc__)
    add = parser.add_argument
    add("--seconds", type=float, help="how long each kind of create is measured, in turns (10; with --small 1)")
    add("--small", action="store_true", help="little data and little time, to try the benchmark itself")
    add("--check", action="store_true", help="exit 1 when a promise is missed")
    add("--compare", type=Path, metavar="FILE", help="show the figures beside those of an earlier run")
    add("--results", type=Path, default=report.RESULTS, metavar="FOLDER", help="where log.json is written")
    for name in ("--soak", "--only"):  # which `make bench` passes on, and are another's
        add(name, nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.seconds = options.seconds or (1 if options.small else 10)
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both. Raises BenchmarkFailed."""
    if sys.platform != "linux":
        raise BenchmarkFailed("CPU time is read from /proc, which only Linux has.")
    database = postgres.start(settings.load().data_dir)
    try:
        data = seed.ensure(database, seed.SMALL if options.small else seed.FULL)
        try:
            return measure(data, options.seconds, small=options.small)
        finally:
            seed.tidy(data.conninfo())
    finally:
        database.release()


def measure(data: Dataset, seconds: float, *, small: bool) -> dict[str, Any]:
    """What a create costs with the log and without, in all and in the database alone."""
    pairs = 2 if small else PAIRS
    print(f"Creates with the log and without, {pairs} turns each ...", flush=True)
    whole = asyncio.run(_creates(data, pairs, seconds / pairs))
    print("Their statements alone, by pgbench ...", flush=True)
    alone = statements(data, pairs, max(1.0, seconds / pairs))
    results = {"conditions": _conditions(seconds, small), "create": asdict(whole), "statements": asdict(alone)}
    _show(whole, alone)
    return results


def _conditions(seconds: float, small: bool) -> str:
    """What an earlier run must share for its figures to be comparable."""
    size = "a trial's data" if small else "20 x 10,000 + 100,000 contacts"
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {size}, {seconds:g} s each, {AT_ONCE} at once"


def _show(whole: Whole, alone: Figures) -> None:
    rows = [
        ["create, as the library does it", whole.with_log_us, whole.without_us, whole.ratio],
        ["its CPU time, PostgreSQL's included", whole.cpu_with_log_us, whole.cpu_without_us, whole.cpu_ratio],
        ["PostgreSQL's CPU time", whole.db_cpu_with_log_us, whole.db_cpu_without_us, whole.db_cpu_ratio],
        ["its statements alone, by pgbench", alone.with_log_us, alone.without_us, alone.ratio],
    ]
    told = [[str(name), *map(report.figure, figures)] for name, *figures in rows]  # type: ignore[arg-type]
    report.table("What the log costs a create", ("", "with, us", "without, us", "ratio"), told)


# The whole of it: the library's own verb.


@contextmanager
def _without_log() -> Iterator[None]:
    """Until the block ends, contacts are made without their events, and nobody works out what would be in them."""
    insert: Final = actions._insert

    def bare(tx: Tx, contact: Contact) -> None:
        tx.queue(actions.INSERT, tx.tenant_id, *rows.to_row(contact))

    actions._insert = bare
    try:
        yield
    finally:
        actions._insert = insert


@dataclass(frozen=True, slots=True)
class _Turn:
    """Microseconds a create: by the clock, of CPU time, and of PostgreSQL's alone."""

    took_us: float
    cpu_us: float
    db_cpu_us: float


async def _creates(data: Dataset, pairs: int, seconds: float) -> Whole:
    given = [(tenant, new) for tenant in data.tenants for new in people.contacts(random.Random(0), 500)]
    random.Random(0).shuffle(given)
    turns: dict[bool, list[_Turn]] = {True: [], False: []}
    async with Engine(data.conninfo(APP_ROLE), secret=server.SECRET, pool_size=AT_ONCE) as engine:
        for logged in (True, False, *_in_turns(pairs)):  # the first two warm up
            with nullcontext() if logged else _without_log():
                turns[logged].append(await _turn(engine, data, cycle(given), seconds))
    figures = list[float]()
    for name in ("took_us", "cpu_us", "db_cpu_us"):
        figures += _compared({logged: [getattr(each, name) for each in turns[logged][1:]] for logged in turns})
    return Whole(*figures)


async def _turn(engine: Engine, data: Dataset, given: Iterator[tuple[UUID, NewContact]], seconds: float) -> _Turn:
    actor = Actor.user(UUID(int=0xA117))
    made, until = 0, time.perf_counter() + seconds

    async def make() -> None:
        nonlocal made
        while time.perf_counter() < until:
            tenant, new = next(given)
            async with engine.tenant(tenant, actor) as tx:
                await contacts.create(tx, new)
            made += 1

    began = time.perf_counter()
    with Meter(os.getpid(), data.postmaster) as meter:
        await asyncio.gather(*(make() for _ in range(AT_ONCE)))
    took = time.perf_counter() - began
    own, database = meter.seconds
    return _Turn(took * 1e6 / made, (own + database) * 1e6 / made, database * 1e6 / made)


def _in_turns(pairs: int) -> Iterator[bool]:
    """With the log and without, in pairs; which comes first changes, so that neither always has the fuller table."""
    for pair in range(pairs):
        yield from (True, False) if pair % 2 else (False, True)


def _compared(turns: dict[bool, list[float]]) -> tuple[float, float, float]:
    """The medians with the log and without, and the median of the pairs' ratios."""
    ratios = [logged / without for logged, without in zip(turns[True], turns[False], strict=True)]
    return (
        round(statistics.median(turns[True]), 1),
        round(statistics.median(turns[False]), 1),
        round(statistics.median(ratios), 3),
    )


# The statements alone: what the server sends, once whole and once without the event.


def statements(data: Dataset, pairs: int, seconds: float) -> Figures:
    """The same turns, by pgbench. Raises BenchmarkFailed."""
    owner, app = data.conninfo(), data.conninfo(APP_ROLE)
    (kind,) = workloads.build(owner, data.tenants, only=["create"])
    whole = asyncio.run(recording.record(app, kind.requests[:SCRIPTS]))
    scripts = {True: [_of_one_contact(each) for each in whole], False: [_without_event(each) for each in whole]}
    turns: dict[bool, list[float]] = {True: [], False: []}
    for logged in _in_turns(pairs):
        turns[logged].append(1e6 / bound.run(app, scripts[logged], seconds).tps)
    return Figures(*_compared(turns))


def _without_event(recorded: Recording) -> Recording:
    kept = [tuple(each for each in exchange if each.sql != events.APPEND) for exchange in recorded.exchanges]
    if sum(map(len, kept)) != recorded.statements - 1:
        raise BenchmarkFailed("A create was to record one event, and did not.")
    return replace(recorded, exchanges=tuple(kept))


# Ids that were made with the request become new ones, each another; but the entity of the event is its contact, which
# the indexes tell apart.
ENTITY: Final = re.compile(r"values \((.*)\$5, \$6(.*)\)", re.DOTALL)
ONE_CONTACT: Final = r"select \1of.contact, of.contact\2 from (select uuidv7() as contact offset 0) as of"


def _of_one_contact(recorded: Recording) -> Recording:
    appended, found = ENTITY.subn(ONE_CONTACT, events.APPEND)
    assert found == 1, "the event's entity and its contact are its fifth and sixth value"

    def changed(each: Statement) -> Statement:
        return replace(each, sql=appended) if each.sql == events.APPEND else each

    return replace(recorded, exchanges=tuple(tuple(map(changed, exchange)) for exchange in recorded.exchanges))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
