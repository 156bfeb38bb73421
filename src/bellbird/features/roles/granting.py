"""What can be granted: permissions that there are, a way to see, rules for fields that there are.

Each function notes what is wrong and returns the rest; `Actor.require_grant` says whether the grantor has as much.
"""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, cast

from bellbird.core.actors import OPERATORS, PERMISSIONS, SECURABLE, VISIBILITIES, FieldRules, Visibility
from bellbird.core.errors import Fault

# What a tenant's own people can be allowed.
GRANTABLE: Final = PERMISSIONS - OPERATORS

# Longer lists are nobody's: each word that is wrong is compared with all that there are.
MAX_WORDS: Final = 100

LISTS: Final = ("hidden", "read_only")


def permissions(given: Sequence[str], pointer: str, faults: list[Fault]) -> frozenset[str]:
    """Permissions by their names, those of the operator excepted."""
    return _known(given, GRANTABLE, pointer, faults, code="unknown_permission", noun="permission")


def visibility(given: Any, pointer: str, faults: list[Fault]) -> Visibility:
    """Whose records are seen."""
    if given not in VISIBILITIES:
        faults.append(Fault("invalid_value", f"must be own, team or all, not {_shown(given)}", pointer=pointer))
        return "own"
    return cast(Visibility, given)


def rules(given: Mapping[str, Mapping[str, Any]], pointer: str, faults: list[Fault]) -> dict[str, FieldRules]:
    """Rules by kind of record; what is hidden need not be read-only as well, and no rules need no kind."""
    found = {}
    for kind in _known(tuple(given), SECURABLE, pointer, faults, code="unknown_kind", noun="kind of record", keys=True):
        at = f"{pointer}/{kind}"
        _known(tuple(given[kind]), LISTS, at, faults, code="unknown_field", noun="list", keys=True)
        hidden, read_only = (
            _known(given[kind].get(name) or (), SECURABLE[kind], f"{at}/{name}", faults,
                   code="not_securable", noun=f"field of a {kind} that can be withheld")
            for name in LISTS
        )  # fmt: skip
        if found_here := FieldRules(hidden, read_only - hidden):
            found[kind] = found_here
    return found


def _known(
    given: Sequence[Any],
    known: Collection[str],
    pointer: str,
    faults: list[Fault],
    *,
    code: str,
    noun: str,
    keys: bool = False,
) -> frozenset[str]:
    """Those of the words that are known; `keys` says that they are an object's, and no list's."""
    if isinstance(given, str) or not isinstance(given, Sequence | frozenset | set):
        faults.append(Fault("invalid_type", f"must be a list, not {_shown(given)}", pointer=pointer))
        return frozenset()
    if len(given) > MAX_WORDS:
        faults.append(Fault("too_many", f"has {len(given):,} entries; {MAX_WORDS} is the limit", pointer=pointer))
        return frozenset()
    for index, word in enumerate(given):
        if word not in known:
            at = str(word).replace("~", "~0").replace("/", "~1") if keys else index
            near = difflib.get_close_matches(str(word)[:100], sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known)) or 'none'}"
            faults.append(Fault(code, f"{_shown(word)} is no {noun}; {hint}", pointer=f"{pointer}/{at}"))
    return frozenset(word for word in given if word in known)


def _shown(value: Any) -> str:
    return repr(value if not isinstance(value, str) or len(value) <= 60 else value[:60] + "…")[:80]
