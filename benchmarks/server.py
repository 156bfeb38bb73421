"""The server that is measured: started on loopback over the benchmark's database, with two workers."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote, urlencode
from uuid import UUID

from psycopg.conninfo import conninfo_to_dict

from bellbird.core import ids
from bellbird.core.clock import SystemClock
from bellbird.entrypoints.tokens import Tokens
from benchmarks import cpu
from benchmarks.report import BenchmarkFailed

WORKERS: Final = 2
SECRET: Final = secrets.token_urlsafe(48)
START_SECONDS: Final = 60

# Requests are counted as ever, but none is one too many.
UNLIMITED: Final = {f"BELLBIRD_RATE_{of}_{kind}": "1000000000/minute" for of in ("CALLER", "TENANT")
                    for kind in ("READ", "WRITE")}  # fmt: skip

# How multiprocessing, and so uvicorn, starts a worker.
WORKER_MARK: Final = "spawn_main"


def command(port: int, workers: int = WORKERS) -> list[str]:
    """How the server is started."""
    return [sys.executable, "-m", "bellbird", "serve", "--port", str(port), "--workers", str(workers)]


@dataclass(frozen=True, slots=True)
class Server:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    port: int

    def cpu_seconds(self) -> float:
        """What all its processes have used so far."""
        return cpu.used(self.process.pid)

    def workers_mb(self) -> list[float]:
        """The resident memory of each worker, in MB; a single one is the server's own process."""
        return cpu.resident_mb(self.process.pid, marked=WORKER_MARK) or [cpu.own_mb(self.process.pid)]


@contextmanager
def running(conninfo: str, workers: int = WORKERS) -> Iterator[Server]:
    """The server over a database, until the block ends. Raises BenchmarkFailed when it does not start."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BELLBIRD_")}
    settings = {"BELLBIRD_DATABASE_URL": url(conninfo), "BELLBIRD_SECRET": SECRET, **UNLIMITED}
    process = subprocess.Popen(command(port, workers), env=kept | settings, start_new_session=True)
    try:
        server = Server(process, port)
        _wait_until_ready(server)
        yield server
    finally:
        _stop(process)


def url(conninfo: str) -> str:
    """A connection string in libpq's `name=value` form as the URL that the settings want."""
    words = conninfo_to_dict(conninfo)
    user, database = quote(str(words.pop("user"))), quote(str(words.pop("dbname")))
    return f"postgresql://{user}@/{database}?{urlencode(words)}"


def tokens(tenants: Iterable[UUID]) -> dict[UUID, str]:
    """An access token for a user of each tenant."""
    clock = SystemClock()
    maker = Tokens(SECRET, clock)
    return {id: maker.make(id, ids.uuid7(clock.now()), valid_for=timedelta(days=1)) for id in tenants}


def _wait_until_ready(server: Server) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if server.process.poll() is not None:
            raise BenchmarkFailed("The server ended while it was starting; what it said is above.")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/readyz", timeout=5):
                return
        except OSError:  # it does not listen yet, or answers 503
            time.sleep(0.1)
    raise BenchmarkFailed(f"The server was not ready after {START_SECONDS} seconds.")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # the session that it leads: its workers, and nobody else
        process.wait()
