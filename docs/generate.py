"""Writes the parts of the documentation that the code knows best: `make docs`; with --check it only looks.

The tables of reference/errors.md come from the exceptions' docstrings and from `core.errors.FAULTS`.
"""

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import bellbird
from bellbird.core.errors import FAULTS
from bellbird.entrypoints import refusals

ERRORS = Path(__file__).parent / "reference" / "errors.md"

BEGIN = "<!-- What follows is written by `make docs` from the code: change it there. -->"


def errors_page(page: str) -> str:
    """The page of errors with its tables renewed; what stands above them is written by hand."""
    import_everything()
    return page.partition(BEGIN)[0] + "\n".join([BEGIN, *_tables(), ""])


def import_everything() -> None:
    """An error is known when its module is."""
    for found in pkgutil.walk_packages(bellbird.__path__, "bellbird."):
        if not re.search(r"__main__|\.migrations", found.name):
            importlib.import_module(found.name)


def _tables() -> Iterator[str]:
    yield from ("", "## Errors", "", "| Code | Status | What it means, and what else the answer has |", "|---|---|---|")
    for each in sorted(refusals.every(), key=lambda each: (each.status, each.code)):
        yield f"| `{each.code}` | {each.status} | {' '.join((each.__doc__ or '').split())} |"
    yield from ("", "## Faults", "", "| Code | What is wrong at the place |", "|---|---|")
    for code, meaning in sorted(FAULTS.items()):
        yield f"| `{code}` | {meaning} |"


def main() -> None:
    """Renew the pages, or say that they are stale."""
    before = ERRORS.read_text(encoding="utf-8")
    after = errors_page(before)
    if "--check" not in sys.argv:
        ERRORS.write_text(after, encoding="utf-8")
    elif before != after:
        sys.exit(f"{ERRORS.name} is not what the code says: run `make docs`")


if __name__ == "__main__":
    main()
