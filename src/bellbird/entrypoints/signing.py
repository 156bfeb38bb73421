"""What verifies a token's signature: keys, and where they come from."""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

FOR_EVER: Final = float("inf")
NEVER: Final = float("-inf")

Verify = Callable[[str, bytes, bytes], bool]


@dataclass(slots=True, eq=False)
class Key:
    """A key and the algorithms it may be used with: what a token says of itself is never asked.

    `until` is when whoever has the key must be asked again whether it still holds.
    A key without algorithms cannot be used, and `fault` says why.
    """

    kid: str | None
    algorithms: frozenset[str]
    verify: Verify
    public: bytes = b""
    fault: str = ""
    until: float = FOR_EVER

    def verifies(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's."""
        return algorithm in self.algorithms and self.verify(algorithm, signed, signature)

    @property
    def identity(self) -> tuple[str | None, frozenset[str], bytes, str]:
        """Equal for the same key fetched twice."""
        return self.kid, self.algorithms, self.public, self.fault


class Keys(Protocol):
    """Where the keys of an issuer are. `fetches` and `failures` count how often they were asked for, and in vain."""

    fetches: int
    failures: int

    def find(self, kid: str | None, algorithm: str, now: float, *, fetched: bool) -> Sequence[Key]:
        """The keys that a token can have been signed with.

        Raises KeysNeeded when they must be fetched first (never when `fetched`), NotSignedIn when there are none.
        """
        ...

    def doubt(self, now: float) -> None:
        """No key verified a token that names none. Raises KeysNeeded if newer ones may."""
        ...

    def vouches(self, key: Key, now: float) -> bool:
        """Whether a key that was found once still holds."""
        ...

    async def fetch(self, *, again: bool) -> None:
        """Fetch the keys, or wait for whoever is at it. What came of it is told by `find`."""
        ...


class KeysNeeded(Exception):
    """Keys have to be fetched before it can be told whether a token is good; `again`: for one that is not known."""

    def __init__(self, keys: Keys, *, again: bool = False) -> None:
        super().__init__()
        self.keys = keys
        self.again = again


class OneKey:
    """A key that was given once and for all."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self.fetches = 0
        self.failures = 0

    def find(self, kid: str | None, algorithm: str, now: float, *, fetched: bool) -> Sequence[Key]:
        return (self._key,)

    def doubt(self, now: float) -> None:
        """There are no newer ones."""

    def vouches(self, key: Key, now: float) -> bool:
        return True

    async def fetch(self, *, again: bool) -> None:
        """It is here."""


def sign(secret: bytes, signed: bytes) -> bytes:
    """HS256 (RFC 7518, section 3.2)."""
    return hmac.digest(secret, signed, "sha256")


def shared_secret(secret: bytes) -> Key:
    """The key that signs with HS256, and nothing else."""
    return Key(None, frozenset({"HS256"}), lambda _, signed, given: hmac.compare_digest(sign(secret, signed), given))


def shown(given: object) -> str:
    """What a stranger sent, fit for a message: on one line, and not long."""
    text = repr(given)
    return text if len(text) <= 100 else f"{text[:97]}..."
