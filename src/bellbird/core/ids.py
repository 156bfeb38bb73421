"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which carry the millisecond they were made in.

Ids are made by the application, so that a row and its event go out together and a retry can reuse them.
"""

import os
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION = 7 << 76
_VARIANT = 2 << 62
_COUNTER_BITS = 74  # rand_a (12) and rand_b (62) together, used as one counter (RFC 9562, section 6.2, method 2)
_MAX_COUNTER = (1 << _COUNTER_BITS) - 1
_HALF_COUNTER = _MAX_COUNTER >> 1

_lock = threading.Lock()
_last_millisecond = -1
_last_counter = 0


def uuid7(at: datetime) -> UUID:
    """A new id for the moment `at`; within a process and a millisecond, ids rise in the order they were made."""
    global _last_millisecond, _last_counter
    millisecond = _millisecond(at)
    with _lock:
        if millisecond == _last_millisecond and _last_counter < _MAX_COUNTER - (1 << 32):
            _last_counter += 1 + int.from_bytes(os.urandom(4))
        else:
            # Starting in the lower half leaves room to count upwards in the same millisecond.
            _last_millisecond, _last_counter = millisecond, int.from_bytes(os.urandom(10)) & _HALF_COUNTER
        counter = _last_counter
    return _assemble(millisecond, counter)


def first_at(moment: datetime) -> UUID:
    """The smallest id of the moment's millisecond: what was made since then is `id >= first_at(moment)`."""
    return _assemble(_millisecond(moment), 0)


def made_at(id: UUID) -> datetime:
    """When an id was made, to the millisecond."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)


def _millisecond(moment: datetime) -> int:
    # In whole numbers: a float's 1.001 seconds times 1000 may come to 1000.99 milliseconds.
    return (moment - _EPOCH) // _MILLISECOND


def _assemble(millisecond: int, counter: int) -> UUID:
    high, low = counter >> 62, counter & ((1 << 62) - 1)
    return UUID(int=(millisecond << 80) | _VERSION | (high << 64) | _VARIANT | low)
