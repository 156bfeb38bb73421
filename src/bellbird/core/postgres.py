"""The embedded PostgreSQL: a real server that the engine starts for itself when it was given no other.

Processes share it. Each one holds a shared file lock while it uses the server, which the kernel drops even when the
process is killed; the last one to leave finds that it can have the lock alone, and stops the server. A killed process
leaves the server running: the next one joins it, and stops it in the end. A second lock makes starting and stopping
one at a time.

    server = start()
    psycopg.connect(server.conninfo())
    server.release()
"""

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bellbird.core.postgres_cluster import START_SECONDS, ensure_running, stop
from bellbird.core.postgres_files import (
    PORT,
    PostgresUnusable,
    binaries,
    default_data_dir,
    make_data_dir,
    unusable,
)

__all__ = ["EmbeddedServer", "PostgresUnusable", "binaries", "default_data_dir", "start"]

LOCK_SECONDS = START_SECONDS + 30  # whoever has the lock may be waiting for a server to recover

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A running server, which stays up at least until `release`."""

    socket_dir: Path
    data_dir: Path
    _token: object = field(default_factory=object, repr=False, compare=False)

    def conninfo(self, *, user: str = "postgres", dbname: str = "bellbird") -> str:
        """The libpq connection string for the server's socket."""
        words = {"host": str(self.socket_dir), "port": str(PORT), "user": user, "dbname": dbname}
        return " ".join(f"{name}={_quoted(value)}" for name, value in words.items())

    def release(self) -> None:
        """Give up the hold on the server; the last holder of all processes stops it. May be called twice."""
        with _guard:
            hold = _holds.get(self.data_dir)
            if hold is None or self._token not in hold.tokens:
                return
            hold.tokens.discard(self._token)
            if not hold.tokens:
                del _holds[self.data_dir]
                _leave(self.data_dir, hold)


@dataclass(slots=True)
class _Hold:
    """This process's share in one server, however often it was started here."""

    file: int
    tokens: set[object] = field(default_factory=set)


_guard = threading.RLock()
_holds: dict[Path, _Hold] = {}


def start(data_dir: Path | None = None) -> EmbeddedServer:
    """Start the embedded server, or join the one that runs already.

    Takes 0.2 seconds, and 1.5 the first time, when the cluster is made. Raises PostgresUnusable.
    """
    if sys.platform == "win32":
        raise PostgresUnusable("There is no embedded PostgreSQL on Windows: set BELLBIRD_DATABASE_URL.")
    folder = Path(os.path.realpath((data_dir or default_data_dir()).expanduser()))
    with _guard:
        hold = _holds.get(folder)
        try:
            make_data_dir(folder)
            with _alone(folder):
                joined = hold or _Hold(_share(folder))
                try:
                    sockets = ensure_running(folder)
                except BaseException:
                    if hold is None:
                        os.close(joined.file)
                    raise
        except OSError as error:
            raise unusable(folder, error) from error
        server = EmbeddedServer(sockets, folder)
        joined.tokens.add(server._token)
        _holds[folder] = joined
    return server


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep every other process from starting or stopping this server meanwhile."""
    import fcntl  # not at the top: there is none on Windows, where this module can still be imported

    until = time.monotonic() + LOCK_SECONDS
    file = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise PostgresUnusable(
                        f"Another process has been starting or stopping the server in {folder} for {LOCK_SECONDS} "
                        f"seconds. Find it (lsof {folder / 'lock'}) and end it, then start again."
                    ) from None
            time.sleep(0.01)
        yield
        fcntl.flock(file, fcntl.LOCK_UN)
    finally:
        os.close(file)


def _share(folder: Path) -> int:
    import fcntl

    file = os.open(folder / "in-use", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    fcntl.flock(file, fcntl.LOCK_SH)  # never waits: it is held exclusively only by a leaver that has the other lock
    return file


def _leave(folder: Path, hold: _Hold) -> None:
    import fcntl

    try:
        with _alone(folder):
            fcntl.flock(hold.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not stop(folder):
                log.warning("The embedded PostgreSQL in %s still shuts down; the next start waits for it.", folder)
    except BlockingIOError:
        pass  # others still use the server
    except (OSError, PostgresUnusable) as error:  # the folder was deleted, say: the server then ends by itself
        log.warning("The embedded PostgreSQL in %s could not be stopped: %s", folder, error)
    finally:
        os.close(hold.file)


@atexit.register
def _leave_everything() -> None:
    with _guard:
        while _holds:
            _leave(*_holds.popitem())


def _start_afresh_in_child() -> None:
    """Forget the parent's holds: a lock belongs to the open file that both share, so close it but do not unlock it."""
    global _guard
    _guard = threading.RLock()
    for hold in _holds.values():
        os.close(hold.file)
    _holds.clear()


if hasattr(os, "register_at_fork"):
    # No fork in the middle of another thread's start or stop: the child would inherit a lock that nobody gives back.
    os.register_at_fork(
        before=lambda: _guard.acquire(),
        after_in_parent=lambda: _guard.release(),
        after_in_child=_start_afresh_in_child,
    )


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
