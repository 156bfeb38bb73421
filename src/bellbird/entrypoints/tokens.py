"""Access tokens: JSON Web Tokens (RFC 7519), which say who is calling and for which tenant.

Ours are signed with HS256 and the deployment's secret; outside issuers' with their own keys.
A token is read strictly, and what its header says of its signature decides nothing: its issuer decides which algorithms
and keys will do. So `alg: none`, or a public key passed off as a secret, lead nowhere.
"""

import base64
import json
import re
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from bellbird.core import ids
from bellbird.core.actors import Visibility
from bellbird.core.clock import Clock
from bellbird.core.errors import NotSignedIn
from bellbird.core.issuers import OURS, Issuer
from bellbird.core.principals import Claims
from bellbird.entrypoints.issuers import Payload, Trust, ours, outside
from bellbird.entrypoints.signing import Key, Keys, KeysNeeded, shown, sign

# A token this long is nobody's, and not worth reading.
MAX_LENGTH: Final = 8192
# How many tokens a process remembers having verified.
MAX_VERIFIED: Final = 10_000

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


class Verified(NamedTuple):
    """A token that was found good: until when, what it says, and the key that it stands and falls with."""

    until: float
    claims: Claims
    key: Key
    keys: Keys


class Tokens:
    """Makes our own tokens, and checks those of every issuer that is trusted.

    What was verified once needs no second signature check while it is valid and its key holds: the same text has the
    same signature. `hits` and `misses` count it.
    """

    def __init__(self, secret: str, clock: Clock, issuers: Sequence[Issuer] = ()) -> None:
        self._secret = secret.encode()
        self._clock = clock
        self._trusted: dict[str, Trust] = {OURS: ours(self._secret)}
        self._trusted |= {issuer.issuer: outside(issuer, clock) for issuer in issuers}
        self._verified: OrderedDict[str, Verified] = OrderedDict()
        self.hits = 0
        self.misses = 0

    @property
    def fetches(self) -> tuple[int, int]:
        """How often outside issuers were asked for their keys, and how often in vain."""
        keys = [trust.keys for trust in self._trusted.values()]
        return sum(each.fetches for each in keys), sum(each.failures for each in keys)

    def make(
        self,
        tenant_id: UUID,
        user_id: UUID,
        *,
        valid_for: timedelta,
        roles: Sequence[str] | None = None,
        scopes: Iterable[str] | None = None,
        visibility: Visibility | None = None,
        session_id: UUID | None = None,
    ) -> str:
        """A token for a user of a tenant. Without `roles` the user's membership says what it may do."""
        now = self._clock.now()
        claims: dict[str, Any] = {
            "tenant_id": str(tenant_id),
            "user_id": str(user_id),
            "sub": str(user_id),
            "iat": int(now.timestamp()),
            "exp": int((now + valid_for).timestamp()),
            "jti": str(ids.uuid7(now)),
        }
        if roles is not None:
            claims["roles"] = list(roles)
        if scopes is not None:
            claims["scope"] = " ".join(scopes)
        if visibility is not None:
            claims["visibility"] = visibility
        if session_id is not None:
            claims["sid"] = str(session_id)
        signed = f"{_encode({'alg': 'HS256', 'typ': 'JWT'})}.{_encode(claims)}"
        return f"{signed}.{_base64url(sign(self._secret, signed.encode()))}"

    def claims(self, token: str) -> Claims | None:
        """What a token says; None when keys have to be fetched first: `await fetch_claims(token)`.

        Raises NotSignedIn saying what is wrong with it.
        """
        now = self._clock.now().timestamp()
        if (known := self._verified.get(token)) is not None:
            until, claims, key, _ = known
            if now < until and now < key.until:
                self.hits += 1
                self._verified.move_to_end(token)
                return claims
        try:
            return self._check(token, now, fetched=False)
        except KeysNeeded:
            return None

    async def fetch_claims(self, token: str) -> Claims:
        """What a token says, once the keys it needs are here. Raises NotSignedIn saying what is wrong with it."""
        try:
            return self._check(token, self._clock.now().timestamp(), fetched=False)
        except KeysNeeded as needed:
            await needed.keys.fetch(again=needed.again)
        return self._check(token, self._clock.now().timestamp(), fetched=True)

    def _check(self, token: str, now: float, *, fetched: bool) -> Claims:
        known = self._verified.get(token)
        if known is not None and now < known.until and known.keys.vouches(known.key, now):
            self.hits += 1
            self._verified.move_to_end(token)
            return known.claims
        self._verified.pop(token, None)
        found = self._verify(token, now, fetched=fetched)
        self.misses += 1
        self._verified[token] = found
        if len(self._verified) > MAX_VERIFIED:
            self._verified.popitem(last=False)
        return found.claims

    def _verify(self, token: str, now: float, *, fetched: bool) -> Verified:
        header, claims, signed, signature = _read(token)
        trust = self._trust(claims)
        algorithm = header["alg"]
        if algorithm not in trust.algorithms:
            unsigned = "is not signed (alg none); it " if str(algorithm).lower() == "none" else ""
            raise NotSignedIn(f"{trust.whose} {unsigned}must be signed with {' or '.join(trust.algorithms)}.")
        kid = header.get("kid")
        candidates = trust.keys.find(kid, algorithm, now, fetched=fetched)
        key = next((each for each in candidates if each.verifies(algorithm, signed, signature)), None)
        if key is None:
            if kid is None and not fetched:
                trust.keys.doubt(now)
            raise NotSignedIn(f"The access token was not signed by {trust.signer}.")
        payload = Payload(trust.whose, claims)
        until = trust.times(payload, now)
        trust.check_audience(payload)
        return Verified(until, trust.read(payload), key, trust.keys)

    def _trust(self, claims: Mapping[str, Any]) -> Trust:
        issuer = claims.get("iss", OURS)
        if not isinstance(issuer, str):
            raise NotSignedIn("The access token's issuer (iss) is not a text.")
        trust = self._trusted.get(issuer)
        if trust is None:
            raise NotSignedIn(f"The access token is of an issuer that is not trusted here (iss {shown(issuer)}).")
        return trust


def _read(token: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """A token's header, its claims, the bytes that are signed, and the signature. Raises NotSignedIn."""
    if len(token) > MAX_LENGTH:
        raise NotSignedIn(f"The access token is longer than {MAX_LENGTH} characters.")
    parts = token.split(".")
    if len(parts) != 3:
        raise NotSignedIn(
            f"The access token cannot be read: it must have three parts with dots between them, and has {len(parts)}."
        )
    header = _decode(parts[0], "header")
    if not isinstance(header.get("alg"), str):
        raise NotSignedIn("The access token cannot be read: its header names no algorithm (alg).")
    if not isinstance(header.get("kid", ""), str):
        raise NotSignedIn("The access token cannot be read: its key's name (kid) is not a text.")
    if "crit" in header:
        raise NotSignedIn("The access token cannot be read: it needs extensions (crit) that are not known here.")
    claims = _decode(parts[1], "payload")
    return header, claims, f"{parts[0]}.{parts[1]}".encode(), _bytes(parts[2], "signature")


def _decode(part: str, what: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(part, what).decode(), object_pairs_hook=_once)
    except _Twice as error:
        raise NotSignedIn(f"The access token cannot be read: its {what} has {shown(str(error))} twice.") from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotSignedIn(f"The access token cannot be read: its {what} is not a JSON object.")
    return found


class _Twice(Exception):
    """A name is there twice in one object."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two claims of one name, two readers may take different ones (RFC 7519, section 4).
    found = dict(pairs)
    if len(found) < len(pairs):
        ((name, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise _Twice(name)
    return found


def _bytes(part: str, what: str) -> bytes:
    # Strictly: Python's own decoder passes over what is no base64.
    if not _BASE64URL.fullmatch(part) or len(part) % 4 == 1:
        raise NotSignedIn(f"The access token cannot be read: its {what} is not base64url.")
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encode(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")
