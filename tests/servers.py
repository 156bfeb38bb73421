"""Servers that tests start for themselves: PostgreSQL from any binaries, PgBouncer, Redis, Bellbird itself."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from bellbird.core.postgres_account import Account, account_for

SOURCE = Path(__file__).parents[1] / "src"


def system_binaries() -> Path | None:
    """The machine's own PostgreSQL: Debian's 15 or its newest, or what is on the PATH."""
    installed = {int(folder.parent.name): folder for folder in Path("/usr/lib/postgresql").glob("[0-9]*/bin")}
    usable = {version: folder for version, folder in installed.items() if (folder / "initdb").is_file()}
    if usable:
        return usable[15] if 15 in usable else usable[max(usable)]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def missing(what: str) -> None:
    """Skip a test for want of a program; in CI, where everything is installed, that is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{what} is missing, and CI must not skip its tests", pytrace=False)
    pytest.skip(f"{what} is not installed")


def free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"{what} did not happen within {seconds} seconds"
        time.sleep(0.02)


class Cluster:
    """A PostgreSQL cluster of one test's own, reached through its socket, trusting whoever may enter its folder."""

    def __init__(self, bin_dir: Path, folder: Path) -> None:
        self.bin_dir = bin_dir
        self.folder = folder
        self.data = folder / "data"
        self.sockets = folder / "s"
        self.account: Account = account_for(folder.parent, bin_dir)

    def create(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.sockets.mkdir()
        for each in (self.folder, self.sockets):
            each.chmod(0o700)
            self.account.own(each)
        self._run(
            self.bin_dir / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
            "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.sockets}'\nmax_connections = 100\n"
                "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\njit = off\nshared_buffers = 64MB\n"
                "timezone = 'UTC'\n"
            )

    def start(self) -> None:
        self._run(self.bin_dir / "pg_ctl", "-D", self.data, "-l", self.folder / "log", "-w", "-t", "60", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run(self.bin_dir / "pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "60", "stop")

    @property
    def pid(self) -> int | None:
        with suppress(FileNotFoundError, ValueError, IndexError):
            return int((self.data / "postmaster.pid").read_text().splitlines()[0])
        return None

    def conninfo(self, dbname: str = "postgres", user: str = "postgres") -> str:
        return f"postgresql:///{dbname}?host={self.sockets}&user={user}"

    def _run(self, *command: str | Path) -> None:
        done = self.account.run(*command)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}"


@contextmanager
def running(bin_dir: Path, folder: Path) -> Iterator[Cluster]:
    """A cluster that runs for the length of a block, and is not waited for at its end."""
    made = Cluster(bin_dir, folder)
    made.create()
    made.start()
    try:
        yield made
    finally:
        if made.pid:
            made.stop("immediate")


@contextmanager
def pgbouncer(program: Path, behind: Cluster, folder: Path) -> Iterator[str]:
    """PgBouncer in transaction mode in front of a cluster; yields the `host` and `port` parameters of its socket."""
    port, sockets = free_port(), folder
    config = folder / "pgbouncer.ini"
    # `any` lets everyone in, as the user that the database's line names.
    config.write_text(
        f"[databases]\n* = host={behind.sockets} port=5432 user=postgres\n"
        f"[pgbouncer]\nlisten_addr =\nlisten_port = {port}\nunix_socket_dir = {sockets}\n"
        f"auth_type = any\npool_mode = transaction\nmax_client_conn = 200\ndefault_pool_size = 5\n"
        f"logfile = {folder / 'log'}\npidfile = {folder / 'pid'}\n"
    )
    for each in (folder, config):
        behind.account.own(each)
    with open(folder / "startup.log", "w") as log:
        process = subprocess.Popen(
            [*behind.account.prefix, str(program), str(config)],
            stdout=log, stderr=log, cwd="/", start_new_session=True, **_switch(behind.account),
        )  # fmt: skip
    try:
        door = sockets / f".s.PGSQL.{port}"
        wait_for(lambda: door.exists() or process.poll() is not None, "PgBouncer's start")
        assert process.poll() is None, (folder / "startup.log").read_text()
        yield f"host={sockets}&port={port}"
    finally:
        process.terminate()
        process.wait(10)


class Redis:
    """A Redis of one test's own, which keeps nothing when it stops, at an address that stays."""

    def __init__(self, program: str, folder: Path) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._command = [
            program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--appendonly", "no", "--daemonize", "no", "--logfile", str(folder / "redis.log"),
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        process = subprocess.Popen(self._command, start_new_session=True)
        self._process = process

        def answers() -> bool:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as door:
                door.sendall(b"PING\r\n")
                return door.recv(7) == b"+PONG\r\n"
            assert process.poll() is None, "Redis did not start"
            return False

        wait_for(answers, "Redis's start")

    def kill(self) -> None:
        """End it as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """It accepts connections and questions from now on, and answers none."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    """A Redis that runs for the length of a block, unless the test ends it."""
    program = shutil.which("redis-server")
    if program is None:
        missing("Redis")
    assert program
    made = Redis(program, folder)
    made.start()
    try:
        yield made
    finally:
        made.kill()


def _switch(account: Account) -> dict[str, Any]:
    if account.prefix or account.uid == os.geteuid():
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


class Serving:
    """A Bellbird server process."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self.log = log


@contextmanager
def serving(folder: Path, *, workers: int = 1, **settings: str) -> Iterator[Serving]:
    """uvicorn with Bellbird's application in processes of its own; `settings` are `BELLBIRD_*` in small letters."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BELLBIRD_", "PG"))}
    given = {f"BELLBIRD_{name.upper()}": value for name, value in settings.items()}
    log = folder / "server.log"
    with open(log, "w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "bellbird.app:create_app", "--port", str(port),
             "--workers", str(workers)],
            env={**kept, **given, "PYTHONPATH": os.pathsep.join([str(SOURCE), *filter(None, sys.path)])},
            cwd=folder, stdout=output, stderr=output, text=True, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def alive() -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{url}/healthz").status_code == 200
        return process.poll() is not None

    try:
        wait_for(alive, "the server's start")
        assert process.poll() is None, log.read_text()
        yield Serving(process, url, log)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def ask(conninfo: str, query: str, *params: object) -> list[tuple[object, ...]]:
    """The rows of one statement, on a connection of its own."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        cursor = connection.execute(query.encode(), params)
        return cursor.fetchall() if cursor.description else []
