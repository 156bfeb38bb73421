"""The embedded server's cluster: made once, started, stopped.

Every function here expects that its caller holds the data directory's lock.
"""

import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bellbird.core.postgres_account import Account, account_for
from bellbird.core.postgres_files import (
    ADVICE,
    CLUSTER,
    PORT,
    STARTUP_LOG,
    PostgresUnusable,
    binaries,
    last_words,
    socket_dir,
    write_whole,
)
from bellbird.core.postgres_settings import include_settings, write_settings

START_SECONDS = 60  # recovery after a crash replays up to 2 GB of log
STOP_SECONDS = 60
NO_PROCESS = 2**31 - 1  # a number that no process has

# The shortest question that a server answers: "shall we speak TLS?" (PostgreSQL's protocol, SSLRequest)
SSL_REQUEST = struct.pack("!ii", 8, 80877103)

# The engine's two roles. Both log in without rights of their own; the migrations grant them what they need.
FIRST_STATEMENTS = """\
CREATE ROLE bellbird_app LOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT;
CREATE ROLE bellbird_system LOGIN NOSUPERUSER NOBYPASSRLS NOINHERIT;
CREATE DATABASE bellbird;
"""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A live server, as its own `postmaster.pid` describes it."""

    pid: int  # 0 for a server in another container, which shares the folder and cannot be signalled from here
    socket_dir: Path
    status: str  # starting, ready, stopping, standby

    def answers(self) -> bool:
        """Whether someone speaks at the socket: of a server just killed, the kernel still takes connections."""
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.settimeout(5)
                door.connect(str(self.socket_dir / f".s.PGSQL.{PORT}"))
                door.sendall(SSL_REQUEST)
                return door.recv(1) == b"N"  # there is no TLS on Unix sockets
        except OSError:
            return False


def ensure_running(data_dir: Path) -> Path:
    """Join the cluster's server, or start it (and make the cluster first); the socket's folder."""
    cluster = data_dir / CLUSTER
    until = time.monotonic() + START_SECONDS
    launched = False
    server = None
    while time.monotonic() < until:
        server = find(cluster)
        if server and server.status == "ready" and server.answers():
            return server.socket_dir
        if server is None:
            if launched and not _may_retry(data_dir):
                raise PostgresUnusable(
                    f"The embedded PostgreSQL in {data_dir} does not start. {last_words(data_dir)}\n"
                    f"If its files are damaged, restore a backup or move the folder away to begin anew. {ADVICE}"
                )
            launched = True
            _launch(data_dir, until)
        else:
            time.sleep(0.01)
    if server and server.status == "ready":
        raise PostgresUnusable(
            f"The embedded PostgreSQL in {data_dir} runs (process {server.pid}), but nothing answers in "
            f"{server.socket_dir}: was that folder removed? End the server (kill -INT {server.pid}) and start again."
        )
    raise PostgresUnusable(
        f"The embedded PostgreSQL in {data_dir} was not ready after {START_SECONDS} seconds. If it is recovering from "
        f"a crash, it goes on doing so: try again later. {last_words(data_dir)}"
    )


def find(cluster: Path) -> Postmaster | None:
    """The server that runs on this cluster, if there is one."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
        pid = int(lines[0])
    except (FileNotFoundError, ValueError, IndexError):
        return None
    lines += [""] * 8  # the file grows while the server starts
    server = Postmaster(pid, Path(lines[4]), lines[7].strip() or "starting")
    if _exists(pid) and _works_in(pid, cluster):
        return server
    # Two containers on one volume do not see each other's processes. A second server would ruin the cluster.
    return replace(server, pid=0) if server.answers() else None


def stop(data_dir: Path) -> bool:
    """Shut the server down, disconnecting whoever is connected; False when it did not end in time."""
    cluster = data_dir / CLUSTER
    until = time.monotonic() + STOP_SECONDS
    if server := find(cluster):
        if not server.pid:
            return True
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGINT)
    while time.monotonic() < until:
        if find(cluster) is None:
            return True
        time.sleep(0.01)
    return False


def _exists(pid: int) -> bool:
    """Whether this is a process that we may signal, if only a dead one that nobody has buried yet."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _works_in(pid: int, cluster: Path) -> bool:
    """Whether this process has the cluster as its working directory, as every PostgreSQL server has."""
    try:
        return os.path.samefile(f"/proc/{pid}/cwd", cluster)
    except FileNotFoundError:  # a dead process; or a system without /proc, where we trust the number
        return not os.path.exists("/proc/self/cwd")
    except PermissionError:  # root in a container without ptrace rights sees less of other users' processes
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "postgres"


def _launch(data_dir: Path, until: float) -> None:
    """Start the server and wait until it has claimed the cluster, or has given up."""
    bin_dir = binaries()
    account = account_for(data_dir, bin_dir)
    cluster = data_dir / CLUSTER
    version = _major_version(bin_dir)
    _sweep(data_dir)
    if not cluster.is_dir() or not any(cluster.iterdir()):
        write_settings(data_dir, _users(account))
        _create(cluster, bin_dir, account)
    _check_version(cluster, version)
    write_settings(data_dir, _users(account))
    sockets = socket_dir(data_dir, account.uid, account.gid)
    _forget_reused_numbers(account, cluster / "postmaster.pid", sockets / f".s.PGSQL.{PORT}.lock")
    log = data_dir / STARTUP_LOG
    log.unlink(missing_ok=True)
    with open(log, "x", encoding="utf-8") as stderr:
        log.chmod(0o600)
        # The shell lets go of the server at once: as our own child it would stay a zombie after a crash, and a
        # zombie looks alive to the next start.
        shell = account.run(
            "/bin/sh", "-c", '"$@" >&2 & echo $!', "sh",
            bin_dir / "postgres", "-D", cluster, "-k", sockets, "-p", str(PORT),
            stderr=stderr,
        )  # fmt: skip
    pid = int(shell.stdout)
    while find(cluster) is None and _is_alive(pid) and time.monotonic() < until:
        time.sleep(0.005)


def _is_alive(pid: int) -> bool:
    with suppress(OSError):
        return _exists(pid) and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return _exists(pid)


def _forget_reused_numbers(account: Account, *files: Path) -> None:
    """Replace a dead server's number in its lock files where it is now another process's.

    That happens when the machine or its container restarts (or where nobody buries dead processes), and PostgreSQL
    would refuse to start because of it. The files stay: by them it finds survivors and clears the old memory.
    """
    for file in files:
        with suppress(FileNotFoundError, ValueError):
            number, rest = file.read_text(encoding="utf-8", errors="surrogateescape").split("\n", 1)
            if _exists(int(number)):
                write_whole(file, f"{NO_PROCESS}\n{rest}", mode=0o600)
                account.own(file)


def _may_retry(data_dir: Path) -> bool:
    """After a kill -9 the server's children hold its memory until their queries end, and a new one refuses to start."""
    said = (data_dir / STARTUP_LOG).read_text(encoding="utf-8", errors="replace")
    if "still in use" not in said:
        return False
    time.sleep(0.2)
    return True


def _create(cluster: Path, bin_dir: Path, account: Account) -> None:
    """Make the cluster beside its place and move it there when it is whole: a killed start leaves nothing half made."""
    draft = Path(tempfile.mkdtemp(prefix=f"{CLUSTER}.new-", dir=cluster.parent))
    account.own(draft)
    made = account.run(
        bin_dir / "initdb", "-D", draft, "--username=postgres", "--encoding=UTF8", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--data-checksums",
        "--auth-local=trust", "--auth-host=reject",
    )  # fmt: skip
    if made.returncode == 0:
        include_settings(draft)
        made = account.run(
            bin_dir / "postgres", "--single", "-D", draft, "-c", "exit_on_error=on", "-c", "logging_collector=off",
            "template1", stdin=FIRST_STATEMENTS,
        )  # fmt: skip
    if made.returncode != 0:
        shutil.rmtree(draft, ignore_errors=True)
        raise PostgresUnusable(_creation_failed(cluster.parent, made))
    draft.rename(cluster)


def _creation_failed(data_dir: Path, made: subprocess.CompletedProcess[str]) -> str:
    said = made.stdout.strip().splitlines()[-8:]
    hint = ADVICE
    if any("could not look up effective user ID" in line for line in said):
        hint = f"PostgreSQL needs a user with a name: add one for this number to /etc/passwd. {ADVICE}"
    elif any("No space left" in line for line in said):
        hint = f"Free some space on the disk. {ADVICE}"
    words = "\n".join(f"  {line}" for line in said)
    return f"The embedded PostgreSQL could not be set up in {data_dir}:\n{words}\n{hint}"


def _sweep(data_dir: Path) -> None:
    """Remove what a killed start left behind."""
    for leftover in data_dir.glob(f"{CLUSTER}.new-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _major_version(bin_dir: Path) -> str:
    """`18` of `postgres (PostgreSQL) 18.6`."""
    said = subprocess.run([bin_dir / "postgres", "--version"], capture_output=True, text=True, check=False).stdout
    return said.split()[-1].split(".")[0] if said else "?"


def _check_version(cluster: Path, version: str) -> None:
    try:
        made_by = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise PostgresUnusable(
            f"{cluster} is not a PostgreSQL cluster: it has no PG_VERSION. Restore a backup, or move the folder away "
            f"to begin anew. {ADVICE}"
        ) from None
    if made_by != version:
        raise PostgresUnusable(
            f"The data in {cluster} was made by PostgreSQL {made_by}, and this is PostgreSQL {version}, which cannot "
            f"read it. Dump it with version {made_by} (pg_dumpall) and restore the dump into a new folder. {ADVICE}"
        )


def _users(account: Account) -> list[str]:
    """Who may connect; empty where the socket's folder decides alone.

    A server that root started may read more than its user can, and other services run as `nobody` too: so only root
    gets in, and the owner of a cluster that root visits.
    """
    if os.geteuid() != 0:
        return []
    import pwd

    try:
        names = {0: pwd.getpwuid(0).pw_name, account.uid: pwd.getpwuid(account.uid).pw_name}
    except KeyError:  # PostgreSQL compares names, and there are none
        return []
    return [name for name in names.values() if name != "nobody"]
