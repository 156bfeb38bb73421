"""How much CPU time and memory processes have used, from Linux's /proc (proc(5))."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
MB: Final = 1024 * 1024


def used(root: int) -> float:
    """Seconds of CPU, user and system, of a process and of all that came from it, the ended ones included.

    A child that ends and is waited for hands its time to its parent, so the sum never falls.
    """
    family = dict(_family(root))
    # One that ended while it was being read may have been counted twice, or not at all.
    while family.keys() != (again := dict(_family(root))).keys():
        family = again
    return sum(sum(map(int, fields[11:15])) for fields in again.values()) / TICKS


def resident_mb(root: int, *, marked: str) -> list[float]:
    """The resident memory of each process below `root` whose command line has the mark, in MB."""
    return [
        int(fields[21]) * PAGE / MB for pid, fields in _family(root) if pid != root and marked in _command_line(pid)
    ]


def own_mb(pid: int) -> float:
    """The resident memory of one process, in MB."""
    return int(dict(_processes())[pid][21]) * PAGE / MB


class Meter:
    """Reads what processes and theirs use while its block runs; `seconds` has it afterwards, one for each."""

    def __init__(self, *roots: int) -> None:
        self._roots = roots
        self.seconds: tuple[float, ...] = ()

    def __enter__(self) -> "Meter":
        self._before = [used(root) for root in self._roots]
        return self

    def __exit__(self, *exc: object) -> None:
        self.seconds = tuple(used(root) - before for root, before in zip(self._roots, self._before, strict=True))


def _family(root: int) -> Iterator[tuple[int, list[str]]]:
    """A process and its descendants, with their fields of /proc/PID/stat from the third (state) on."""
    every = dict(_processes())
    family = {root}
    # A child may have a smaller number than its parent once numbers have started again, hence the repetition.
    while True:
        children = {pid for pid, fields in every.items() if int(fields[1]) in family} - family
        if not children:
            break
        family |= children
    return ((pid, every[pid]) for pid in sorted(family) if pid in every)


def _processes() -> Iterator[tuple[int, list[str]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has just ended
                continue
            # The command may have spaces and brackets; what follows its last bracket has not.
            yield int(folder.name), line.rpartition(")")[2].split()


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace").replace("\0", " ")
    except OSError:
        return ""
