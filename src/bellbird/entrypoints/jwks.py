"""JSON Web Key Sets (RFC 7517): the public keys of an outside issuer, fetched from its address and renewed.

A set is fetched once for all who wait for it. When it is due for renewal, that happens behind the requests' backs;
a key that a renewed set has no more holds no more, and neither does any token it signed.
An issuer that is down, slow or talks nonsense costs a request two seconds at most, and then nobody for ten.
"""

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import httpx
import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm, get_default_algorithms

from bellbird.core.clock import Clock
from bellbird.core.errors import NotSignedIn
from bellbird.core.issuers import algorithms_of, is_loopback
from bellbird.entrypoints.signing import NEVER, Key, KeysNeeded, shown

log = logging.getLogger("bellbird")

DEADLINE: Final = 2.0
MAX_BYTES: Final = 256 * 1024
MAX_KEYS: Final = 100
MAX_REDIRECTS: Final = 3

# How long a set is kept: what its answer says, within these bounds.
KEEP: Final = 300.0
KEEP_LEAST: Final = 60.0
KEEP_MOST: Final = 3600.0

# How long keys are used beyond that when no newer ones can be had.
GRACE: Final = 3600.0
# How long nobody asks after it failed, and how seldom somebody asks for a key that the set does not have.
AFTER_FAILURE: Final = 10.0
BETWEEN_UNKNOWN: Final = 30.0

_VERIFIERS: Final = get_default_algorithms()

# By type of key: how it is read, and the members that are; a private key's others are left alone.
_TYPES: Final[dict[str, tuple[Any, tuple[str, ...]]]] = {
    "RSA": (RSAAlgorithm, ("kty", "n", "e")),
    "EC": (ECAlgorithm, ("kty", "crv", "x", "y")),
    "OKP": (OKPAlgorithm, ("kty", "crv", "x")),
}


class CannotFetch(Exception):
    """The keys could not be had; the message says why, as the end of a sentence."""


class KeySet:
    """An issuer's keys from its JWKS address. `fetches` and `failures` count how often it was asked, and in vain."""

    def __init__(self, issuer: str, url: str, clock: Clock) -> None:
        self.issuer = issuer
        self.url = url
        self.fetches = 0
        self.failures = 0
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fresh_until = NEVER
        self._failure = ""
        self._failed_at = NEVER
        self._asked_again_at = NEVER
        self._flight: asyncio.Task[None] | None = None

    def find(self, kid: str | None, algorithm: str, now: float, *, fetched: bool) -> Sequence[Key]:
        """The keys that a token can have been signed with. Raises KeysNeeded (never when `fetched`), NotSignedIn."""
        if not self._usable(now):
            if fetched or self._failed_lately(now):
                raise self._cannot_fetch()
            raise KeysNeeded(self)
        if now >= self._fresh_until:
            self._renew(now)
        named = [key for key in self._keys if kid is None or key.kid == kid]
        fitting = [key for key in named if algorithm in key.algorithms]
        if not named and not fetched:
            self.doubt(now)
        if not named and self._failure:
            raise self._cannot_fetch()
        if not fitting:
            raise NotSignedIn(self._unfit(kid, named, algorithm))
        if kid is None and len(fitting) > 1:
            raise NotSignedIn(f"The access token must name its key (kid): {self.issuer} has several for {algorithm}.")
        return fitting

    def doubt(self, now: float) -> None:
        """The key of a token is not here. Raises KeysNeeded if it is not too soon to ask for newer ones."""
        too_soon = 0 <= now - self._asked_again_at < BETWEEN_UNKNOWN or self._failed_lately(now)
        if self._flying() or not too_soon:
            raise KeysNeeded(self, again=True)

    def vouches(self, key: Key, now: float) -> bool:
        """Whether a key still holds; it does while a newer set is on its way."""
        if key.until == NEVER or not self._usable(now):
            return False
        if now >= self._fresh_until:
            self._renew(now)
        return True

    async def fetch(self, *, again: bool) -> None:
        """Fetch the keys, or wait for whoever is at it."""
        if not self._flying():
            if again:
                self._asked_again_at = self._now()
            self._flight = asyncio.create_task(self._ask())
        assert self._flight
        # One who gives up waiting does not take the others' answer along.
        await asyncio.shield(self._flight)

    def _renew(self, now: float) -> None:
        """Fetch behind the back of a request, which goes on with the keys that are there."""
        if self._flying() or self._failed_lately(now):
            return
        try:
            self._flight = asyncio.get_running_loop().create_task(self._ask())
        except RuntimeError:  # outside a loop: the next one who can wait fetches
            return

    async def _ask(self) -> None:
        self.fetches += 1
        try:
            body, seconds = await download(self.url)
            keys = read(body)
        except CannotFetch as error:
            self.failures += 1
            self._failure, self._failed_at = str(error), self._now()
            kept = "; those that were fetched before are used meanwhile" if self._usable(self._failed_at) else ""
            log.warning("the signing keys of %s cannot be fetched: %s%s", self.issuer, error, kept)
        else:
            self._failure, self._failed_at = "", NEVER
            self._replace(keys, self._now() + seconds)

    def _replace(self, keys: Sequence[Key], fresh_until: float) -> None:
        """Keys that stay are the same objects as before, so that what they verified stays verified."""
        before = {key.identity: key for key in self._keys}
        self._keys = tuple(before.get(key.identity, key) for key in keys)
        self._fresh_until = fresh_until
        for key in before.values():
            key.until = NEVER
        for key in self._keys:
            key.until = fresh_until
            if key.fault and key.identity not in before:
                log.warning("a signing key of %s (kid %s) cannot be used: it %s", self.issuer, key.kid, key.fault)

    def _unfit(self, kid: str | None, named: Sequence[Key], algorithm: str) -> str:
        """Why none of the issuer's keys will do."""
        if kid is None:
            return f"{self.issuer} has no key for {algorithm}, which the access token is signed with."
        if not named:
            return f"The access token is signed with a key that {self.issuer} does not have (kid {shown(kid)})."
        if faults := [key.fault for key in named if key.fault]:
            return f"The key {shown(kid)} of {self.issuer} cannot be used: it {faults[0]}."
        fitting = ", ".join(sorted({name for key in named for name in key.algorithms}))
        return f"The key {shown(kid)} of {self.issuer} is for {fitting}, not for {algorithm}."

    def _cannot_fetch(self) -> NotSignedIn:
        return NotSignedIn(f"The signing keys of {self.issuer} cannot be fetched just now: {self._failure}.")

    def _usable(self, now: float) -> bool:
        return now < self._fresh_until + GRACE

    def _failed_lately(self, now: float) -> bool:
        return 0 <= now - self._failed_at < AFTER_FAILURE

    def _flying(self) -> bool:
        return self._flight is not None and not self._flight.done()

    def _now(self) -> float:
        return self._clock.now().timestamp()


async def download(url: str) -> tuple[bytes, float]:
    """What is at an address, and for how many seconds it may be kept. Raises CannotFetch."""
    try:
        # In a thread: reading the certificates that are trusted takes a twentieth of a second.
        async with asyncio.timeout(DEADLINE), await asyncio.to_thread(_client, url) as client:
            for _ in range(MAX_REDIRECTS + 1):
                # Not compressed: a few bytes could unpack to gigabytes.
                headers = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}
                async with client.stream("GET", url, headers=headers) as answer:
                    if not answer.has_redirect_location:
                        return await _body(answer), lifetime(answer.headers.get("cache-control", ""))
                    url = _next(answer)
            raise CannotFetch("it redirects too often")
    except (TimeoutError, httpx.TimeoutException):
        raise CannotFetch(f"it did not answer in full within {DEADLINE:g} seconds") from None
    except httpx.ConnectError as error:
        log.info("no connection to %s: %s", url, error)
        raise CannotFetch("no connection can be made") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        raise CannotFetch(f"what it answers is not HTTP that can be read ({type(error).__name__})") from None


def _client(url: str) -> httpx.AsyncClient:
    # This machine is not reached through a proxy, which a client without a transport of its own may look for.
    transport = httpx.AsyncHTTPTransport() if is_loopback(httpx.URL(url).host) else None
    return httpx.AsyncClient(timeout=DEADLINE, transport=transport)


async def _body(answer: httpx.Response) -> bytes:
    if answer.status_code != httpx.codes.OK:
        raise CannotFetch(f"it answered {answer.status_code} instead of 200")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise CannotFetch("it answered in a compressed form that was not asked for")
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > MAX_BYTES:
            raise CannotFetch(f"it answered more than {MAX_BYTES // 1024} kB")
    return bytes(body)


def _next(answer: httpx.Response) -> str:
    """Where a redirection leads: nowhere but to the same host, or one could be led to any."""
    here, there = answer.url, answer.url.join(answer.headers["location"])
    if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
        raise CannotFetch("it redirects to another host, which is not followed")
    return str(there)


def lifetime(cache_control: str) -> float:
    """For how many seconds an answer may be kept."""
    if re.search(r"\bno-(store|cache)\b", cache_control, re.IGNORECASE):
        return KEEP_LEAST
    found = re.search(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})", cache_control, re.IGNORECASE)
    return min(max(float(found[1]), KEEP_LEAST), KEEP_MOST) if found else KEEP


def read(body: bytes) -> list[Key]:
    """The keys of a set; those that cannot be used say why. Raises CannotFetch if it is no key set."""
    try:
        document = json.loads(body.decode())
    except (ValueError, RecursionError):
        raise CannotFetch("what it answers is not JSON") from None
    jwks = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(jwks, list):
        raise CannotFetch('what it answers is no key set: {"keys": [...]}')
    if len(jwks) > MAX_KEYS:
        raise CannotFetch(f"it has {len(jwks)} keys, and at most {MAX_KEYS} are read")
    return [_read_one(jwk) for jwk in jwks if isinstance(jwk, dict) and isinstance(jwk.get("kid", ""), str)]


def key_of(material: Any, algorithms: frozenset[str], kid: str | None = None) -> Key:
    """A public key as it is used here."""
    public = material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return Key(kid, algorithms, partial(_verify, material), public)


def _read_one(jwk: dict[str, Any]) -> Key:
    try:
        material = _material(jwk)
        algorithms = algorithms_of(material)
        if (jwk.get("use") or "sig") != "sig" or "verify" not in (jwk.get("key_ops") or ["verify"]):
            raise ValueError("is not meant to verify signatures (use, key_ops)")
        if (alg := jwk.get("alg")) is not None:
            algorithms = algorithms & {alg}
        if not algorithms:
            raise ValueError(f"says that it is for alg {shown(alg)}, which is not one of its type")
        return key_of(material, algorithms, jwk.get("kid"))
    except TypeError:  # a list where a word belongs, and the like
        fault = "has a member of the wrong type"
    except ValueError as error:
        fault = str(error)
    return Key(jwk.get("kid"), frozenset(), lambda *_: False, fault=fault)


def _material(jwk: dict[str, Any]) -> Any:
    kty = jwk.get("kty")
    if not isinstance(kty, str) or kty not in _TYPES:
        raise ValueError(f"is of a type that is not used here (kty {shown(kty)})")
    reader, members = _TYPES[kty]
    given = {name: jwk.get(name) for name in members}
    if not all(isinstance(value, str) for value in given.values()):
        raise ValueError(f"lacks one of its members {', '.join(members[1:])}")
    try:
        return reader.from_jwk(given)
    except (jwt.PyJWTError, ValueError, UnsupportedAlgorithm):
        raise ValueError(f"is no {kty} key that can be read") from None


def _verify(material: Any, algorithm: str, signed: bytes, signature: bytes) -> bool:
    return bool(_VERIFIERS[algorithm].verify(signed, material, signature))
