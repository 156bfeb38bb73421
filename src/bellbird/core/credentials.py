"""Secrets that Bellbird hands out and knows again: API keys, refresh tokens, invitations.

    bb_live_<random><id><tenant><checksum>

Each part has a fixed length in base 62, so that a double click selects the whole. The tenant inside lets the row be
looked up behind that tenant's own walls; the checksum (CRC-32) tells a mistyped or cut-off key from a revoked one
without asking the database, and lets scanners of source code recognise a leaked key. The database keeps a SHA-256 of
the text alone: 192 random bits need no slow hash.
"""

import hashlib
import secrets
import string
import zlib
from dataclasses import dataclass
from typing import Final, Literal
from uuid import UUID

Kind = Literal["live", "refresh", "invite"]

_DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)}

# How many digits of base 62 hold 24 random bytes, a UUID, a CRC-32.
_RANDOM, _UUID, _CHECK = 33, 22, 6
_LENGTH: Final = _RANDOM + 2 * _UUID + _CHECK

# How much of a key is kept and shown, to tell it from others.
SHOWN: Final = 6


class NoCredential(ValueError):
    """The text is no secret of this kind; the message says how one can see it."""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret that was read: whose it says it is, and the hash to compare with what is kept."""

    tenant_id: UUID
    id: UUID
    hash: bytes


@dataclass(frozen=True, slots=True)
class NewCredential:
    """A secret just made. `text` is shown once and kept nowhere; `prefix` may be shown ever after."""

    text: str
    prefix: str
    hash: bytes


def make(kind: Kind, tenant_id: UUID, id: UUID) -> NewCredential:
    """A new secret for the row `id` of a tenant."""
    start = f"bb_{kind}_"
    random = _encode(int.from_bytes(secrets.token_bytes(24)), _RANDOM)
    body = random + _encode(id.int, _UUID) + _encode(tenant_id.int, _UUID)
    text = start + body + _encode(zlib.crc32((start + body).encode()), _CHECK)
    return NewCredential(text, start + random[:SHOWN], _hash(text))


def read(kind: Kind, text: str) -> Credential:
    """What a secret says. Raises NoCredential: it may still be revoked or unknown when this succeeds."""
    start = f"bb_{kind}_"
    if not text.startswith(start):
        raise NoCredential(f"does not begin with {start}")
    body = text[len(start) :]
    if len(body) != _LENGTH:
        raise NoCredential(f"has {len(text)} characters instead of {len(start) + _LENGTH}: it was not copied whole")
    if not (body.isascii() and body.isalnum()):
        raise NoCredential("has characters that are neither letters nor digits")
    if zlib.crc32((start + body[:-_CHECK]).encode()) != _decode(body[-_CHECK:]):
        raise NoCredential("has a wrong checksum: it was mistyped or not copied whole")
    id, tenant = _decode(body[_RANDOM : -_UUID - _CHECK]), _decode(body[-_UUID - _CHECK : -_CHECK])
    if max(id, tenant) >= 1 << 128:
        raise NoCredential("is made of parts that Bellbird never makes")
    return Credential(UUID(int=tenant), UUID(int=id), _hash(text))


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _encode(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))


def _decode(text: str) -> int:
    number = 0
    for digit in text:
        number = number * 62 + _VALUES[digit]
    return number
