"""Seals and leaves as they are in the database, and what exactly of an event is sealed."""

import hmac
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

import msgspec

from bellbird.core import proofs
from bellbird.features.audit import merkle
from bellbird.features.audit.models import Seal

SEAL: Final = "number, sealed_at, after::text, upto::text, events, root, previous, hash"


def seal_from_row(row: tuple[Any, ...]) -> Seal:
    """A row of `SEAL`."""
    number, sealed_at, after, upto, events, *hashes = row
    root, previous, hash = (bytes(each).hex() for each in hashes)
    return Seal(number, sealed_at, int(after), int(upto), events, root, previous, hash)


WHOLE: Final = f"{SEAL}, newest, mac, leaves"

# A leaf in the database: the event's id, and its hash.
WIDTH: Final = 48


@dataclass(frozen=True, slots=True)
class Sealed:
    """A seal with all that it takes to check it. `leaves` is None when none of its events is kept any more."""

    number: int
    sealed_at: datetime
    after: int
    upto: int
    events: int
    root: bytes
    previous: bytes
    hash: bytes
    newest: UUID
    mac: bytes
    leaves: bytes | None

    def each_leaf(self) -> Iterator[tuple[UUID, bytes]]:
        """The ids of its events with their leaves, in order."""
        leaves = self.leaves or b""
        for at in range(0, len(leaves) - WIDTH + 1, WIDTH):
            yield UUID(bytes=leaves[at : at + 16]), leaves[at + 16 : at + WIDTH]


def sealed_from_row(row: tuple[Any, ...]) -> Sealed:
    """A row of `WHOLE`."""
    number, sealed_at, after, upto, events, root, previous, hash, newest, mac, leaves = row
    return Sealed(
        number, sealed_at, int(after), int(upto), events, bytes(root), bytes(previous), bytes(hash), newest, bytes(mac),
        None if leaves is None else bytes(leaves),
    )  # fmt: skip


def hash_of(tenant_id: UUID, seal: Sealed) -> bytes:
    """What a seal's hash has to be."""
    told = (
        str(tenant_id), seal.number, seal.sealed_at.astimezone(UTC).isoformat(), str(seal.after), str(seal.upto),
        seal.events, str(seal.newest), seal.root.hex(), seal.previous.hex(),
    )  # fmt: skip
    return sha256(msgspec.json.encode(told)).digest()


def mac_of(key: bytes, hash: bytes) -> bytes:
    """The deployment's signature of a seal. No event is signed alike: what is signed there begins with a bracket."""
    return hmac.digest(key, b"bellbird seal" + hash, "sha256")


# Of an event, its content as it is written. Its `tx` is text: `order by events.tx` means the number, `tx` would not.
EVENT: Final = """id, tx::text, type, entity_type, entity_id, contact_id, actor, origin, request_id,
  changes, data, proof"""


@dataclass(frozen=True, slots=True)
class Written:
    """An event as it is written, to the byte."""

    tenant_id: UUID
    id: UUID
    tx: int
    about: Sequence[Any]
    changes: bytes | None
    data: bytes | None
    proof: bytes | None

    @property
    def contact_id(self) -> UUID | None:
        contact_id: UUID | None = self.about[3]
        return contact_id

    def verdict(self, key: bytes) -> proofs.Verdict:
        """What its own proof says."""
        if self.proof is not None and len(self.proof) != proofs.SIZE:
            return "altered"
        return proofs.check(key, (self.tenant_id, self.id, *self.about), self.changes, self.data, self.proof)

    def leaf(self) -> bytes:
        """What of it is sealed: all but its content and the salt, which a purge takes, and of which the signed
        commitment stays.
        """
        stays = self.proof[proofs.SALT :] if self.proof else sha256(msgspec.json.encode(self.about)).digest()
        return merkle.leaf(self.id.bytes + self.tx.to_bytes(8) + stays)


def written_from_row(tenant_id: UUID, row: tuple[Any, ...]) -> Written:
    """A row of `EVENT`."""
    id, tx, *about, changes, data, proof = row
    return Written(tenant_id, id, int(tx), about, changes, data, None if proof is None else bytes(proof))
