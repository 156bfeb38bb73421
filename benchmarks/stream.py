"""The live stream under load: `python -m benchmarks.stream`, or `make bench-stream`.

Many clients of many tenants follow one server process while contacts are made; measured is the time from a COMMIT to a
client, beside that of a bare LISTEN/NOTIFY client in the same run. Then some are cut off, and go on where they were.
Everything is on this machine: the clients, the server and the writer share its cores.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg

from bellbird.core import postgres, settings
from bellbird.core.actors import Actor
from bellbird.core.engine import APP_ROLE, SYSTEM_ROLE, Engine
from bellbird.features import contacts
from bellbird.features.contacts import NewContact
from benchmarks import report, seed, server
from benchmarks.report import BenchmarkFailed, Promise

PROMISES: Final = (
    Promise("p95_ms", at_most=100),
    Promise("worker_rss_mb", at_most=400),
    Promise("missed", at_most=0),
    Promise("twice", at_most=0),
    Promise("resumed_missed", at_most=0),
)

CHANNEL: Final = "bellbird_bench"
WRITER: Final = Actor.system("benchmark")

# How long the last events may take before they count as missed.
LAST_SECONDS: Final = 10.0


@dataclass(slots=True)
class Client:
    """One client, and when it was told of which contact (by the number in its name)."""

    tenant: UUID
    headers: str
    told: dict[int, float] = field(default_factory=dict)
    twice: int = 0
    last_id: str = ""
    task: "asyncio.Task[None] | None" = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, port: int) -> None:
        """Read until cancelled: by hand, for a thousand HTTP libraries would be what is measured."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        try:
            after = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            writer.write(f"GET /api/v1/events/stream HTTP/1.1\r\n{self.headers}{after}\r\n".encode())
            status = await reader.readline()
            if b" 200 " not in status:
                raise BenchmarkFailed(f"A client was refused: {status.decode()}{(await reader.read(2000)).decode()}")
            async for line in reader:
                self._take(line)
        finally:
            writer.close()

    def _take(self, line: bytes) -> None:
        if line.startswith(b"id: "):
            self.last_id = line[4:].strip().decode()
        elif line.startswith(b"retry:"):
            self.ready.set()
        elif line.startswith(b"data: "):
            at, event = time.perf_counter(), json.loads(line[6:])
            if event.get("code"):
                raise BenchmarkFailed(f"A client was sent away: {event['code']}")
            number = int(event["changes"]["first_name"][1])
            self.twice += number in self.told
            self.told[number] = at

    def start(self, port: int) -> None:
        self.ready.clear()
        self.task = asyncio.create_task(self.follow(port))

    async def cut(self) -> None:
        """Hang up."""
        assert self.task
        self.task.cancel()
        await asyncio.wait({self.task})


@dataclass(slots=True)
class Written:
    """What was written: when the COMMIT was there, by the contact's number, and of which tenant it is."""

    committed: dict[int, float] = field(default_factory=dict)
    tenant: dict[int, UUID] = field(default_factory=dict)
    notified: list[float] = field(default_factory=list)


def main(arguments: Sequence[str]) -> int:
    """Run it; returns 1 when a promise was missed and `--check` given, 2 when nothing could be measured."""
    options = _options(arguments)
    try:
        results = run(options)
    except (BenchmarkFailed, postgres.PostgresUnusable) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"Written to {report.write(options.results, 'stream', results)}")
    return 0 if report.judge(PROMISES, results) or not options.check else 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    add = parser.add_argument
    add("--clients", type=int, help="how many clients follow (1,000; with --small 20)")
    add("--rate", type=float, default=50, help="how many contacts are made in a second, in all (50)")
    add("--seconds", type=float, help="how long (30; with --small 2)")
    add("--cut", type=float, help="for how many seconds a tenth of the clients is cut off then (60; with --small 1)")
    add("--small", action="store_true", help="few clients and little time, to try the benchmark itself")
    add("--check", action="store_true", help="exit 1 when a promise is missed")
    add("--results", type=Path, default=report.RESULTS, metavar="FOLDER", help="where stream.json is written")
    # The options of the other benchmarks, which `make bench` passes to all.
    options, _ = parser.parse_known_args(arguments)
    options.clients = options.clients or (20 if options.small else 1_000)
    options.seconds = options.seconds or (2 if options.small else 30)
    options.cut = (1 if options.small else 60) if options.cut is None else options.cut
    return options


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure everything. Raises BenchmarkFailed."""
    if sys.platform != "linux":
        raise BenchmarkFailed("Memory is read from /proc, which only Linux has.")
    database = postgres.start(settings.load().data_dir)
    try:
        # As many tenants as ever, but their contacts are of no matter here.
        data = seed.ensure(database, seed.Scale(tenants=20, contacts=10, large=10))
        # Logged in as the owner, for it becomes the role that reads the log of all tenants.
        with server.running(data.conninfo(), workers=1) as running:
            return asyncio.run(_run(data, running, options))
    finally:
        database.release()


async def _run(data: seed.Dataset, running: server.Server, options: argparse.Namespace) -> dict[str, Any]:
    tokens = server.tokens(data.tenants)
    clients = [
        Client(tenant, f"Host: 127.0.0.1\r\nAuthorization: Bearer {tokens[tenant]}\r\n")
        for tenant in (data.tenants[at % len(data.tenants)] for at in range(options.clients))
    ]
    written = Written()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(
            Engine(data.conninfo(APP_ROLE), system_conninfo=data.conninfo(SYSTEM_ROLE))
        )
        print(f"{len(clients):,} clients of {len(data.tenants)} tenants ...", flush=True)
        await _connect(clients, running.port)
        bare = asyncio.create_task(_listen(data.conninfo(), written))
        print(f"{options.rate:g} contacts a second for {options.seconds:g} s ...", flush=True)
        await _write(engine, data, written, options.rate, options.seconds)
        await _all_told(clients, written)
        measured = _measured(clients, written) | {"worker_rss_mb": round(max(running.workers_mb()), 1)}
        measured |= await _resumed(clients, engine, data, written, running.port, options)
        bare.cancel()
        for client in clients:
            await client.cut()
    measured["conditions"] = (
        f"Python {platform.python_version()}, {os.cpu_count()} cores, {len(clients):,} clients of "
        f"{len(data.tenants)} tenants, {options.rate:g} events/s for {options.seconds:g} s"
    )
    _show(measured)
    return measured


async def _connect(clients: Sequence[Client], port: int) -> None:
    for start in range(0, len(clients), 50):
        some = clients[start : start + 50]
        for client in some:
            client.start(port)
        await _ready(some)


async def _ready(clients: Sequence[Client]) -> None:
    for client in clients:
        assert client.task
        ready = asyncio.create_task(client.ready.wait())
        await asyncio.wait({ready, client.task}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        if client.task.done():
            client.task.result()
        if not ready.done():
            ready.cancel()
            raise BenchmarkFailed("A client was not answered within 30 seconds.")


async def _listen(conninfo: str, written: Written) -> None:
    """A client of PostgreSQL itself, which is told by NOTIFY: as quickly as it can be."""
    async with (
        await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as listening,
        await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as telling,
    ):
        await listening.execute(f"listen {CHANNEL}")
        sent: dict[str, float] = {}

        async def tell() -> None:
            number = 0
            while True:
                number += 1
                await telling.execute(f"notify {CHANNEL}, '{number}'")
                sent[str(number)] = time.perf_counter()
                await asyncio.sleep(0.1)

        talking = asyncio.create_task(tell())
        try:
            async for notice in listening.notifies():
                at = time.perf_counter()
                # It may be here before the statement has ended there.
                written.notified.append(max(0.0, at - sent.get(notice.payload, at)) * 1000)
        finally:
            talking.cancel()


async def _write(engine: Engine, data: seed.Dataset, written: Written, rate: float, seconds: float) -> None:
    """Make contacts at an even rate, each in a transaction of its own, in one tenant after another."""
    began, first = time.perf_counter(), len(written.tenant)
    writing: set[asyncio.Task[None]] = set()
    for at in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, began + at / rate - time.perf_counter()))
        number = first + at
        tenant = written.tenant[number] = data.tenants[number % len(data.tenants)]
        task = asyncio.create_task(_create(engine, tenant, number, written))
        writing.add(task)
        task.add_done_callback(writing.discard)
    await asyncio.gather(*writing)


async def _create(engine: Engine, tenant: UUID, number: int, written: Written) -> None:
    async with engine.tenant(tenant, WRITER) as tx:
        await contacts.create(tx, NewContact(first_name=str(number), last_name="Bench", company="Acme"))
    written.committed[number] = time.perf_counter()


def _missed(clients: Sequence[Client], written: Written) -> int:
    """How many events their clients were not told of."""
    expected: dict[UUID, set[int]] = {}
    for number, tenant in written.tenant.items():
        expected.setdefault(tenant, set()).add(number)
    return sum(len(expected.get(client.tenant, set()) - client.told.keys()) for client in clients)


async def _all_told(clients: Sequence[Client], written: Written) -> None:
    until = time.perf_counter() + LAST_SECONDS
    while time.perf_counter() < until and _missed(clients, written):  # noqa: ASYNC110 - an event of each would be measured
        await asyncio.sleep(0.1)


def _measured(clients: Sequence[Client], written: Written) -> dict[str, Any]:
    took = sorted(
        max(0.0, at - written.committed[number]) * 1000 for client in clients for number, at in client.told.items()
    )
    bare = sorted(written.notified)
    if not took or not bare:
        raise BenchmarkFailed("Nobody was told anything.")
    return {
        "deliveries": len(took),
        **{f"p{of}_ms": round(_percentile(took, of), 2) for of in (50, 95, 99)},
        "max_ms": round(took[-1], 2),
        "notify_p50_ms": round(_percentile(bare, 50), 2),
        "notify_p95_ms": round(_percentile(bare, 95), 2),
        "missed": _missed(clients, written),
        "twice": sum(client.twice for client in clients),
    }


async def _resumed(
    clients: Sequence[Client], engine: Engine, data: seed.Dataset, written: Written, port: int,
    options: argparse.Namespace,
) -> dict[str, Any]:  # fmt: skip
    """Cut off a tenth of the clients for a while in which things go on happening."""
    some = clients[:: max(1, len(clients) // max(1, len(clients) // 10))]
    print(f"{len(some)} clients are cut off for {options.cut:g} s ...", flush=True)
    for client in some:
        await client.cut()
    await _write(engine, data, written, options.rate, options.cut)
    began = time.perf_counter()
    for client in some:
        client.start(port)
    await _all_told(some, written)
    return {
        "cut_off": len(some),
        "resumed_seconds": round(time.perf_counter() - began, 2),
        "resumed_missed": _missed(clients, written),
        "resumed_twice": sum(client.twice for client in clients),
    }


def _percentile(values: Sequence[float], of: int) -> float:
    return values[min(len(values) - 1, len(values) * of // 100)]


def _show(measured: dict[str, Any]) -> None:
    columns = ("from COMMIT to client", "p50 ms", "p95 ms", "p99 ms", "max ms", "deliveries")
    stream = [report.figure(measured[name]) for name in ("p50_ms", "p95_ms", "p99_ms", "max_ms", "deliveries")]
    bare = [report.figure(measured[name]) for name in ("notify_p50_ms", "notify_p95_ms")]
    report.table(measured["conditions"], columns, [["live stream", *stream], ["bare NOTIFY", *bare, "", "", ""]])
    print(
        f"{measured['missed']} missed, {measured['twice']} twice; "
        f"the worker has {measured['worker_rss_mb']} MB resident.\n"
        f"{measured['cut_off']} were cut off and complete again {measured['resumed_seconds']} s after they were back: "
        f"{measured['resumed_missed']} missed, {measured['resumed_twice']} twice."
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
