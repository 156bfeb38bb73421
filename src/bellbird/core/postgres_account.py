"""Whose rights the embedded server runs with.

PostgreSQL refuses to run as root. Started by root, it runs as the cluster's owner, at first `nobody`: that user exists
everywhere, so nothing has to be added to the system.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bellbird.core.postgres_files import ADVICE, CLUSTER, PostgresUnusable

NOBODY = 65534  # its number on Linux, for images without a password file

# Prints the first of the paths that cannot be entered or executed.
PROBE = 'for p; do [ -x "$p" ] || { printf %s "$p"; exit 1; }; done'


@dataclass(frozen=True, slots=True)
class Account:
    """A user, and how to run a program as that user."""

    uid: int
    gid: int
    prefix: tuple[str, ...] = ()  # the words in front of a command

    def run(
        self, *command: str | Path, stdin: str = "", stderr: IO[Any] | int = subprocess.STDOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, in a session of its own: Ctrl-C is for us, not for the server."""
        switch: dict[str, Any] = {}
        if self.uid != os.geteuid() and not self.prefix:
            switch = {"user": self.uid, "group": self.gid, "extra_groups": []}
        return subprocess.run(  # noqa: PLW1510
            [*self.prefix, *map(str, command)],
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            errors="replace",
            cwd="/",  # the caller's own folder may be one that this user cannot enter
            env=_environment(),
            start_new_session=True,
            **switch,
        )

    def own(self, path: Path) -> None:
        """Give a file or folder of root's to this user."""
        if self.uid != os.geteuid():
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def account_for(data_dir: Path, bin_dir: Path) -> Account:
    """The account to run the server with: one's own, or for root another one that can reach all folders."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    uid, gid = _owner(data_dir / CLUSTER)
    plain = Account(uid, gid)
    paths = list(_on_the_way([bin_dir / "postgres", data_dir]))
    try:
        blocked = _blocked(plain, paths)
        if blocked is None:
            return plain
        capable = Account(uid, gid, passing_all_folders(uid, gid))
        still_blocked = _blocked(capable, paths) if capable.prefix else ""
        if still_blocked is None:
            return capable
    except PermissionError as error:
        raise PostgresUnusable(
            f"PostgreSQL does not run as root, and this process may not switch to user {uid} ({error.strerror}). "
            "Start Bellbird as an ordinary user, or set BELLBIRD_DATABASE_URL to use your own PostgreSQL server."
        ) from error
    raise PostgresUnusable(
        f"PostgreSQL does not run as root, and user {uid}, which it would run as, cannot enter or run "
        f"{still_blocked or blocked}. Start Bellbird as the owner of that path, or move it where everyone may enter, "
        f"or open it (chmod o+x). {ADVICE}"
    )


def _owner(cluster: Path) -> tuple[int, int]:
    """Who owns the cluster, or who shall: a root that visits a user's data leaves it the user's."""
    if cluster.is_dir() and cluster.stat().st_uid != 0:
        return cluster.stat().st_uid, cluster.stat().st_gid
    import pwd  # not at the top: there is none on Windows, where this module can still be imported

    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return NOBODY, NOBODY
    return nobody.pw_uid, nobody.pw_gid


def passing_all_folders(uid: int, gid: int) -> tuple[str, ...]:
    """The words that run a command as `uid` with the one right to pass and read every folder (Linux).

    A clone in /root or a private temporary folder then works, and nobody's folder has its permissions changed. The
    secure bit is for access(2), which `postgres` asks about its own file: without it the kernel answers as if the
    capability were not there. No new privileges, so that the bit can do no harm in a set-uid program.
    """
    setpriv = shutil.which("setpriv")
    if not setpriv:
        return ()
    right = "+dac_read_search"
    return (
        setpriv, f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs",
        "--securebits=+no_setuid_fixup", f"--inh-caps={right}", f"--ambient-caps={right}", "--",
    )  # fmt: skip


def _blocked(account: Account, paths: list[Path]) -> str | None:
    """The first path that the account cannot enter or execute; "" when the program could not even be asked.

    Asked for real: mode bits are not all there is.
    """
    asked = account.run("/bin/sh", "-c", PROBE, "sh", *paths, stderr=subprocess.DEVNULL)
    return None if asked.returncode == 0 else asked.stdout


def _on_the_way(targets: Iterable[Path]) -> Iterator[Path]:
    for target in targets:
        yield from reversed(target.parents)
        yield target


def _environment() -> dict[str, str]:
    """Ours without PGDATA, PGPORT and the like, which belong to another server, and with messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return kept | {"LC_ALL": "C"}
