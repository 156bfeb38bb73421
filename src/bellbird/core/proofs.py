"""The proof that an event was written by Bellbird and is as it was written.

48 bytes beside each event: a salt, a commitment to its content (HMAC-SHA256 of `changes` and `data` under the salt),
and a signature of everything else and the commitment (HMAC-SHA256 under the deployment's secret), 16 bytes each.
A purge takes the content and the salt: what is left can still be checked, and tells nothing of what it was
(a commitment without its salt cannot be tried out). HMAC: RFC 2104; cut to 128 bits, as its section 5 allows.
"""

import hmac
import os
from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec

SALT: Final = 16
SIZE: Final = 48
ERASED: Final = bytes(SALT)

Verdict = Literal["right", "erased", "unsigned", "altered"]


def key(secret: str) -> bytes:
    """The key that events are signed with, of the deployment's secret."""
    return hmac.digest(secret.encode(), b"bellbird event log", "sha256")


def make(key: bytes, about: Sequence[Any], changes: bytes | None, data: bytes | None) -> bytes:
    """The proof of an event, in PostgreSQL's notation; `about` is all but its content, in the order of the log."""
    salt = os.urandom(SALT)
    commitment = _commit(salt, changes, data)
    return b"\\x" + (salt + commitment + _sign(key, about, commitment)).hex().encode()


def check(key: bytes, about: Sequence[Any], changes: bytes | None, data: bytes | None, proof: bytes | None) -> Verdict:
    """What a proof says of an event as it is now."""
    if proof is None:
        return "unsigned"
    salt, commitment, signature = proof[:SALT], proof[SALT : 2 * SALT], proof[2 * SALT :]
    if not hmac.compare_digest(signature, _sign(key, about, commitment)):
        return "altered"
    if salt == ERASED and changes is None and data is None:
        return "erased"
    return "right" if hmac.compare_digest(commitment, _commit(salt, changes, data)) else "altered"


def _commit(salt: bytes, changes: bytes | None, data: bytes | None) -> bytes:
    # There is no NUL in JSON: what is joined by one can be taken apart one way only.
    return hmac.digest(salt, (changes or b"") + b"\x00" + (data or b""), "sha256")[:16]


def _sign(key: bytes, about: Sequence[Any], commitment: bytes) -> bytes:
    return hmac.digest(key, msgspec.json.encode(about) + commitment, "sha256")[:16]
