"""What a benchmark tells: a table, a file to keep, how it compares with an earlier one, and which promises it keeps."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parent / "results"

Results = Mapping[str, Any]

# By how much a figure may differ from an earlier run's before it is called better or worse.
NOISE: Final = 0.15


class BenchmarkFailed(Exception):
    """The figures would mean nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Promise:
    """A bound on one figure, given by its path in the results (`workloads.get.app_cpu_us`)."""

    path: str
    at_most: float = math.inf
    at_least: float = -math.inf

    def measured(self, results: Results) -> float | None:
        """The figure, where this run has measured it."""
        return dict(flat(results)).get(self.path)

    def kept(self, results: Results) -> bool | None:
        """Whether it is kept; None when this run cannot tell."""
        figure = self.measured(results)
        return None if figure is None else self.at_least <= figure <= self.at_most

    def __str__(self) -> str:
        return f"{self.path} <= {self.at_most:g}" if self.at_most < math.inf else f"{self.path} >= {self.at_least:g}"


def flat(results: Results, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every figure by its path."""
    for name, value in results.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix + name, value


def write(folder: Path, name: str, results: Results) -> Path:
    """Keep the results as JSON; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return path


def read(path: Path) -> dict[str, Any]:
    """Results kept by an earlier run. Raises BenchmarkFailed."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchmarkFailed(f"{path} cannot be compared with: {error}") from error
    return found


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: words in the first column, figures in the rest."""
    made = Table(title=title, title_justify="left")
    for at, column in enumerate(columns):
        made.add_column(column, justify="right" if at else "left")
    for row in rows:
        made.add_row(*row)
    console().print(made)


def figure(value: float) -> str:
    """A figure with as many digits as mean something: `3,769`, `33.1`, `0.126`."""
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}".rstrip("0").rstrip(".")


def compare(results: Results, before: Results, steady: Mapping[str, bool]) -> None:
    """Print each figure beside an earlier run's.

    `steady` names the figures that say something on a noisy machine, and whether less is better; only they are judged.
    """
    earlier, rows = dict(flat(before)), []
    for path, now in flat(results):
        then, name = earlier.get(path), path.rpartition(".")[2]
        if then is None or not then:
            continue
        rows.append((path, figure(then), figure(now), f"{now / then:.2f}x", _verdict(now / then, steady.get(name))))
    table("Compared with the earlier run", ("figure", "then", "now", "now/then", ""), rows)


def _verdict(ratio: float, less_is_better: bool | None) -> str:
    if less_is_better is None or abs(ratio - 1) <= NOISE:
        return ""
    return "[green]better" if (ratio < 1) is less_is_better else "[red]worse"


def judge(promises: Sequence[Promise], results: Results) -> bool:
    """Print which promises are kept; returns whether none is broken."""
    words = {True: "[green]kept", False: "[red]missed", None: "not measured"}
    rows = []
    for promise in promises:
        measured = promise.measured(results)
        shown = "" if measured is None else figure(measured)
        rows.append((str(promise), shown, words[promise.kept(results)]))
    table("Promises", ("promise", "measured", ""), rows)
    return all(promise.kept(results) is not False for promise in promises)


def console() -> Console:
    """Where it is printed: wide enough for a line of figures, also in a log file."""
    found = Console()
    return found if found.is_terminal else Console(width=140)
