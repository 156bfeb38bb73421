"""The bound: how often the database alone can do what a request asks of it, by pgbench and the server's own statements.

Each recorded request becomes a script of its own, an exchange a pipeline, a parameter a variable:
so the statements are prepared, sent and planned as the server has it done.
Only BEGIN, SET LOCAL and COMMIT, which the server sends unprepared, are prepared here as well.
"""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bellbird.core import postgres
from benchmarks.recording import Recording, Statement
from benchmarks.report import BenchmarkFailed

CLIENTS: Final = 8
THREADS: Final = 2

# pgbench takes 128 scripts.
MAX_SCRIPTS: Final = 100

_PLACEHOLDER = re.compile(r"\$(\d+)")


@dataclass(frozen=True, slots=True)
class Bound:
    """What pgbench has measured."""

    tps: float
    transactions: int


class Variables:
    """The parameters' values, each once, under names that pgbench knows them by."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, value: str) -> str:
        """The variable that holds a value."""
        return self._names.setdefault(value, f"v{len(self._names)}")

    def options(self) -> list[str]:
        """What tells pgbench of them."""
        return [word for value, name in self._names.items() for word in ("-D", f"{name}={value}")]


def script(recording: Recording, variables: Variables) -> str:
    """A pgbench script that sends what the server has sent for one request."""
    lines = []
    for exchange in recording.exchanges:
        lines += ["\\startpipeline", *(_command(recording, statement, variables) for statement in exchange)]
        lines.append("\\endpipeline")
    return "\n".join([*lines, ""])


def _command(recording: Recording, statement: Statement, variables: Variables) -> str:
    """The statement's own text; only what cannot be sent as a variable, or not twice, is written into it."""

    def parameter(match: re.Match[str]) -> str:
        value = statement.params[int(match[1]) - 1]
        if value is None:
            return "null"
        # A row can be inserted once; the server makes an id of the same kind, so that it lands in the same place.
        return "uuidv7()" if recording.made_here(value) else f":{variables.name(value)}"

    return _PLACEHOLDER.sub(parameter, statement.sql).strip() + ";"


def run(conninfo: str, recordings: Sequence[Recording], seconds: float) -> Bound:
    """Have pgbench do it for some seconds, a client picking one request after another by chance."""
    program = postgres.binaries() / "pgbench"
    variables = Variables()
    with tempfile.TemporaryDirectory(prefix="bellbird-bench-") as folder:
        files = []
        for number, recording in enumerate(recordings[:MAX_SCRIPTS]):
            path = Path(folder) / f"{number}.sql"
            path.write_text(script(recording, variables), encoding="utf-8")
            files += ["-f", str(path)]
        options = ["-n", "-c", str(CLIENTS), "-j", str(THREADS), "-T", str(max(1, round(seconds))), "-M", "prepared"]
        ran = subprocess.run(
            [str(program), *options, *files, *variables.options(), conninfo],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if ran.returncode != 0:
        raise BenchmarkFailed(f"pgbench failed:\n{ran.stderr[-3000:]}")
    return read(ran.stdout)


def read(output: str) -> Bound:
    """What pgbench printed. Raises BenchmarkFailed when a transaction has failed, or none was done."""
    tps = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
    done = re.search(r"^number of transactions actually processed: (\d+)", output, re.MULTILINE)
    failed = re.search(r"^number of failed transactions: (\d+)", output, re.MULTILINE)
    if not (tps and done and int(done[1])) or (failed and int(failed[1])):
        raise BenchmarkFailed(f"pgbench has not done what it was asked to:\n{output}")
    return Bound(float(tps[1]), int(done[1]))
