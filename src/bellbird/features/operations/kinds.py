"""The kinds of operations, and how a feature adds one:

    class Assign(Struct, frozen=True, forbid_unknown_fields=True):
        to: UUID

    @operations.kind("contacts.assign", permission="contacts:write", params=Assign)
    class Assigning(Work[Assign]):
        async def batch(self, tx: Tx, operation: Running[Assign], position: Any) -> Step: ...

A batch is one transaction, in which how far it has come is written too: whatever kills the worker, each batch has its
effect once. So a batch writes through its `tx` alone, and is short: at most some hundred rows, under a second.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, TypeVar
from uuid import UUID

import msgspec

from bellbird.core.engine import Tx
from bellbird.core.errors import BellbirdError, Fault, InvalidInput
from bellbird.features.operations.models import ItemError

Params = TypeVar("Params", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Running(Generic[Params]):
    """An operation as its work sees it. What it writes has its `id` as request id in the event log."""

    id: UUID
    params: Params
    created_at: datetime
    done: int
    total: int | None
    # The operation that is to be undone, when the work is asked to `undo`.
    undo_of: UUID | None


@dataclass(frozen=True, slots=True)
class Step:
    """What a batch came to.

    `position` is what the next batch is given: anything that is JSON; the first batch is given None.
    `done` counts the things this batch has seen to, those of `errors` among them.
    `total`, when it turned out to be another. `result` is what the operation shows when it is finished.
    """

    position: Any
    done: int
    finished: bool = False
    errors: Sequence[ItemError] = ()
    total: int | None = None
    result: Mapping[str, Any] | None = None


class Work(Generic[Params]):
    """What an operation of a kind does; all in the name of who started it, with the rights that they still have."""

    # Whether there is an `undo`.
    undoable: ClassVar[bool] = False

    async def check(self, tx: Tx, params: Params) -> None:
        """Refuse what cannot be, before anything is started. Raises InvalidInput."""

    async def plan(self, tx: Tx, operation: Running[Params]) -> int | None:
        """How many things there are to be done, if that can be known."""
        return None

    async def batch(self, tx: Tx, operation: Running[Params], position: Any) -> Step:
        """Do the next things. What is raised takes the whole batch back, to be tried again."""
        raise NotImplementedError

    async def undo(self, tx: Tx, operation: Running[Params], position: Any) -> Step:
        """Take the next things back that the operation `undo_of` has done."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of operation: the permission that it takes besides operations:write, its parameters, its work."""

    name: str
    permission: str
    params: type[msgspec.Struct]
    work: Work[Any]

    def read(self, given: Mapping[str, Any]) -> Any:
        """The parameters, as the kind has them. Raises InvalidInput."""
        try:
            return msgspec.convert(given, self.params)
        except msgspec.ValidationError as error:
            raise InvalidInput(faults=[_fault(str(error), self.params)]) from None

    def write(self, params: msgspec.Struct) -> dict[str, Any]:
        """Parameters as JSON has them, those that were left out among them."""
        written: dict[str, Any] = msgspec.to_builtins(params)
        return written


# Filled by the features as they are imported.
KINDS: Final[dict[str, Kind]] = {}

_Work = TypeVar("_Work", bound=type[Work[Any]])


def kind(name: str, *, permission: str, params: type[msgspec.Struct]) -> Callable[[_Work], _Work]:
    """Make a class the work of this kind of operation, for which `permission` is needed besides operations:write."""

    def register(work: _Work) -> _Work:
        known = KINDS.get(name)
        # The same module may be loaded twice; two classes of one name are a mistake.
        assert known is None or type(known.work).__qualname__ == work.__qualname__, f"there are two kinds named {name}"
        KINDS[name] = Kind(name, permission, params, work())
        return work

    return register


def find(name: str) -> Kind:
    """A kind by its name. Raises InvalidInput naming the kinds that there are."""
    found = KINDS.get(name)
    if found is None:
        near = difflib.get_close_matches(name, KINDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(KINDS))}"
        message = f"there is no kind of operation {name[:60]!r}; {hint}"
        raise InvalidInput(faults=[Fault("unknown_operation", message, pointer="/kind")])
    return found


def item_error(id: UUID, error: BellbirdError) -> ItemError:
    """Why one thing could not be done, where the others go on: the error's first fault, or itself."""
    code = error.faults[0].code if error.faults else error.code
    return ItemError(id, code, error.detail)


_UNKNOWN: Final = re.compile("Object contains unknown field `(.*)`")
_MISSING: Final = re.compile("Object missing required field `(.*)`")


def _fault(message: str, params: type[msgspec.Struct]) -> Fault:
    """What msgspec says is wrong with parameters, as other bodies' faults are told."""
    message, _, at = message.partition(" - at `$")
    pointer = "/params" + at.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
    if found := _UNKNOWN.match(message):
        known = [field.encode_name for field in msgspec.structs.fields(params)]
        near = difflib.get_close_matches(found[1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}" if known else "there are none"
        return Fault("unknown_field", f"there is no such parameter; {hint}", pointer=f"{pointer}/{found[1]}")
    if found := _MISSING.match(message):
        return Fault("missing_field", "is needed", pointer=f"{pointer}/{found[1]}")
    return Fault("invalid_type", f"{message[:1].lower()}{message[1:]}", pointer=pointer)
