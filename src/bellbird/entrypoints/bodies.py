"""Request bodies: JSON into the shapes, with every fault at once and a pointer to each."""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, UnsetType
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12

from bellbird.core.errors import Fault, InvalidInput, MalformedBody

Shape = TypeVar("Shape")

# How many faults one answer lists.
MAX_FAULTS = 50

# What is in such a field is not shown, nor a whole body in which it may be.
_SECRET = re.compile("password|token|secret")


def reader(shape: type[Shape]) -> Callable[[bytes], Shape]:
    """A function from a JSON body to a dataclass; in one with UNSET defaults, what is absent stays UNSET.

    It raises MalformedBody when the body is not JSON, InvalidInput with a pointer to each fault otherwise.
    """
    is_patch = any(field.default is UNSET for field in fields(shape))  # type: ignore[arg-type]
    adapter: TypeAdapter[Any] = TypeAdapter(_present(shape) if is_patch else shape)

    def read(raw: bytes) -> Shape:
        try:
            value = adapter.validate_json(raw)
        except ValidationError as error:
            raise _refusal(error, shape) from None
        return shape(**value) if is_patch else value

    return read


def _present(patch: type) -> Any:
    """A dictionary of those fields of a patch that were sent."""
    hints = get_type_hints(patch)
    kinds = {
        field.name: reduce(or_, (kind for kind in get_args(hints[field.name]) if kind is not UnsetType))
        for field in fields(patch)
    }
    make: Any = TypedDict
    body = make(patch.__name__, kinds, total=False)
    body.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    return body


def _refusal(error: ValidationError, shape: type) -> InvalidInput:
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid":
        message = found[0]["msg"].removeprefix("Invalid JSON: ")
        return MalformedBody(f"The body is not JSON that can be read: {message}.")
    faults = [_fault(each["type"], each["loc"], each["msg"], each["input"], shape) for each in found]
    return InvalidInput(faults=faults[:MAX_FAULTS])


def _fault(kind: str, path: Sequence[str | int], message: str, given: Any, shape: type) -> Fault:
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
    if kind in ("unexpected_keyword_argument", "extra_forbidden"):
        known = _known_at(path[:-1], shape)
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}" if known else ""
        return Fault("unknown_field", f"there is no such field{hint}", pointer=pointer)
    if kind in ("missing", "missing_argument"):
        return Fault("missing_field", "is needed", pointer=pointer)
    message = message.removeprefix("Input should be ").removeprefix("Value error, ")
    if not path or any(_SECRET.search(str(part)) for part in path):
        return Fault("invalid_type", f"must be {message}", pointer=pointer)
    shown = repr(given if not isinstance(given, str) or len(given) <= 60 else given[:60] + "…")
    return Fault("invalid_type", f"must be {message}, not {shown[:80]}", pointer=pointer)


def _known_at(path: Sequence[str | int], shape: Any) -> list[str]:
    """The names of the fields of the object at a path inside a shape."""
    for part in path:
        if isinstance(part, str):
            shape = get_type_hints(shape).get(part) if is_dataclass(shape) else None
        while get_origin(shape) in (UnionType, Union, tuple, list):
            shape = next((each for each in get_args(shape) if _leads_on(each)), None)
    return [field.name for field in fields(shape)] if is_dataclass(shape) else []


def _leads_on(hint: Any) -> bool:
    return is_dataclass(hint) or get_origin(hint) in (tuple, list)


def as_problem(fault: Fault) -> Mapping[str, str]:
    """A fault as the API shows it: where, what, and a code for programs. Pointers are URI fragments (RFC 6901, 6)."""
    where = {"parameter": fault.parameter} if fault.parameter is not None else {"pointer": f"#{fault.pointer}"}
    return {**where, "detail": fault.message, "code": fault.code}
