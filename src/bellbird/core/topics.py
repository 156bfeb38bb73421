"""The types of events that there are, and which of them somebody wants to hear of: `contact.created`, `contact.*`, `*`.

Core knows no feature: each says what it records when it is imported.
"""

import difflib
from collections.abc import Iterable
from typing import Final

TYPES: Final[set[str]] = set()


def recorded(*types: str) -> None:
    """From now on, events of these types can be asked for."""
    TYPES.update(types)


class Topics:
    """Patterns of types: one type, all of a kind of thing (`contact.*`), or all (`*`)."""

    __slots__ = ("_all", "_begin", "_exactly", "patterns")

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = tuple(patterns)
        self._all = "*" in self.patterns
        self._exactly = frozenset(self.patterns)
        self._begin = tuple(each[:-1] for each in self.patterns if each.endswith(".*"))

    def __contains__(self, type: str) -> bool:
        return self._all or type in self._exactly or type.startswith(self._begin)


def mistake(pattern: str) -> str | None:
    """What is wrong with a pattern, as a sentence that names the nearest ones; None if there are such events."""
    kinds = {f"{each.partition('.')[0]}.*" for each in TYPES}
    if pattern == "*" or pattern in TYPES or pattern in kinds:
        return None
    near = difflib.get_close_matches(pattern, sorted(TYPES | kinds), n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(kinds))} and *."
    return f"There are no events of the type {pattern}; {hint}"
