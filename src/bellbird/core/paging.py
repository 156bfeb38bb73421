"""Keyset paging: a page starts where the last one ended, however many rows come and go in between.

A cursor is opaque, but no secret: it holds the sort key of the row at the page's edge,
and a checksum that ties it to the tenant and the query it was made for.
"""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from bellbird.core.errors import InvalidInput

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50

# Up to this many rows are counted, beyond it the planner's estimate is given: never a slow COUNT.
EXACT_TO: Final = 10_000

Item = TypeVar("Item")
Row = TypeVar("Row", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Total:
    """How many there are in all: counted up to 10,000, estimated (`exact` false) above."""

    count: int
    exact: bool


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A stretch of a list, with the cursors of the pages after and before it (null at the ends)."""

    data: tuple[Item, ...]
    next_cursor: str | None = None
    previous_cursor: str | None = None
    total: Total | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Edge:
    """Where a page begins: behind the row with this sort key, or (`backward`) before it."""

    key: tuple[Any, ...]
    backward: bool = False


def encode(edge: Edge, fingerprint: bytes) -> str:
    """The cursor for an edge of the query with this fingerprint."""
    payload = msgspec.json.encode([edge.backward, *edge.key])
    return base64.urlsafe_b64encode(_checksum(payload, fingerprint) + payload).decode().rstrip("=")


def decode(cursor: str, fingerprint: bytes, length: int) -> Edge:
    """The edge a cursor stands for, whose key has `length` parts. Raises InvalidInput when it is another query's."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        checksum, payload = raw[:8], raw[8:]
        if checksum != _checksum(payload, fingerprint):
            raise InvalidInput.at(
                "cursor",
                "is no cursor of this list: "
                "use next_cursor or previous_cursor as it is, with the same filter, sort and q",
                code="invalid_cursor",
            )
        backward, *key = msgspec.json.decode(payload)
    except (binascii.Error, ValueError, TypeError, RecursionError, msgspec.DecodeError):
        raise InvalidInput.at(
            "cursor", "is not a cursor: use next_cursor or previous_cursor of a page as it is", code="invalid_cursor"
        ) from None
    if len(key) != length:
        raise InvalidInput.at("cursor", "belongs to another version of this list; start again", code="invalid_cursor")
    return Edge(tuple(key), bool(backward))


def read_id(edge: Edge) -> UUID:
    """The id that a cursor begins with, checked: it comes back from outside. Raises InvalidInput."""
    try:
        return UUID(edge.key[0])
    except (ValueError, TypeError, AttributeError):
        raise InvalidInput.at("cursor", "has been altered; use next_cursor as it is", code="invalid_cursor") from None


def fingerprint(*parts: Any) -> bytes:
    """What a cursor is tied to: the tenant, and everything that decides which rows come in which order."""
    return blake2b(repr(parts).encode(), digest_size=16).digest()


def limit(value: Any) -> int:
    """A page's size. Raises InvalidInput."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput.at("limit", f"must be a number from 1 to {MAX_LIMIT}, not {value!r}") from None
    if not 1 <= number <= MAX_LIMIT:
        raise InvalidInput.at("limit", f"must be from 1 to {MAX_LIMIT}, not {value}")
    return number


def assemble(
    rows: Sequence[Row], limit: int, edge: Edge | None, mark: bytes, key: Callable[[Row], tuple[Any, ...]]
) -> tuple[Sequence[Row], str | None, str | None]:
    """The rows of a page and the cursors after and before it, from up to `limit + 1` rows read from the edge on."""
    more, rows = len(rows) > limit, rows[:limit]
    backward = edge is not None and edge.backward
    if backward:
        rows = rows[::-1]
    if not rows:
        return rows, None, None
    after = more or backward
    before = more if backward else edge is not None
    return (
        rows,
        encode(Edge(key(rows[-1])), mark) if after else None,
        encode(Edge(key(rows[0]), backward=True), mark) if before else None,
    )


def _checksum(payload: bytes, fingerprint: bytes) -> bytes:
    return blake2b(payload, key=fingerprint, digest_size=8).digest()
