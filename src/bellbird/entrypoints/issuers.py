"""Whose tokens are accepted, and what their claims say: this server's own, and those of outside issuers.

An issuer is trusted with certain algorithms, keys and claims. All of it is fixed here; the token has no say in it.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from bellbird.core.actors import VISIBILITIES
from bellbird.core.clock import Clock
from bellbird.core.errors import NotSignedIn
from bellbird.core.issuers import Issuer, algorithms_of, load_public_key
from bellbird.core.principals import Claims
from bellbird.entrypoints.signing import Keys, OneKey, shared_secret

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


class Payload:
    """What a token says, read claim by claim. Whatever is wrong with one is raised as NotSignedIn."""

    def __init__(self, whose: str, claims: Mapping[str, Any]) -> None:
        self.whose = whose
        self._claims = claims

    def get(self, *paths: str) -> Any:
        """The first of these claims that is there (and not null)."""
        return next((value for path in paths if (value := _find(self._claims, path)) is not None), None)

    def text(self, *paths: str) -> str:
        """A claim that must be a text with something in it."""
        value = self.get(*paths)
        if value is None or value == "":
            raise NotSignedIn(f"{self.whose} has no {paths[0]}.")
        if not isinstance(value, str):
            raise self.wrong(paths[0], "is not a text")
        return value

    def uuid(self, *paths: str) -> UUID:
        """A claim that must be a UUID."""
        value = self.get(*paths)
        if value is None:
            raise NotSignedIn(f"{self.whose} has no {paths[0]}.")
        try:
            return UUID(value)
        except (ValueError, AttributeError, TypeError):
            raise self.wrong(paths[0], "is not a UUID") from None

    def moment(self, name: str) -> float | None:
        """A claim that is a time, in seconds since 1970 (RFC 7519, section 2: NumericDate)."""
        value = self._claims.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
            raise self.wrong(name, "is not a time in seconds since 1970")
        return float(value)

    def words(self, *paths: str, split: bool) -> tuple[str, ...] | None:
        """A claim that is a list of texts, or one text: a single word, or (`split`) several words."""
        value = self.get(*paths)
        if value is None:
            return None
        if isinstance(value, str):
            value = value.split() if split else [value]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(paths[0], "is neither a text nor a list of texts")
        return tuple(dict.fromkeys(value))

    def claims(self, names: "Names", tenant_id: UUID, subject: UUID) -> Claims:
        """All that it says, read by these names."""
        roles = self.words(*names.roles, split=False)
        scopes = self.words(*names.scopes, split=True)
        visibility = self.get(*names.visibility)
        if visibility is not None and visibility not in VISIBILITIES:
            raise self.wrong(names.visibility[0], f"is none of {', '.join(VISIBILITIES)}")
        session_id = None if self.get(*names.session_id) is None else self.uuid(*names.session_id)
        narrowed = None if scopes is None else frozenset(scopes)
        return Claims(tenant_id, "user", str(subject), session_id, roles, narrowed, visibility)

    def wrong(self, name: str, what: str) -> NotSignedIn:
        """The refusal of a claim."""
        return NotSignedIn(f"{self.whose} cannot be used: its {name} {what}.")


@dataclass(frozen=True, slots=True)
class Names:
    """What the claims are called; of several names the first that is there counts, and without one nothing is read."""

    roles: Sequence[str] = ("roles", "role")
    scopes: Sequence[str] = ("scopes", "scope")
    visibility: Sequence[str] = ("visibility",)
    session_id: Sequence[str] = ("sid",)


@dataclass(frozen=True, slots=True)
class Trust:
    """What is believed of one issuer."""

    whose: str
    """Its tokens, as a sentence begins: `The access token of https://id.example.com`."""
    signer: str
    algorithms: Sequence[str]
    keys: Keys
    read: Callable[[Payload], Claims]
    audience: Sequence[str] | None = None
    leeway: float = 0.0

    def times(self, payload: Payload, now: float) -> float:
        """Until when the token is good. Raises NotSignedIn when it is not."""
        expires, starts = payload.moment("exp"), payload.moment("nbf")
        if expires is None:
            raise NotSignedIn(f"{self.whose} has no expiry (exp).")
        if now >= expires + self.leeway:
            raise NotSignedIn(f"{self.whose} has expired.")
        if starts is not None and now < starts - self.leeway:
            raise NotSignedIn(f"{self.whose} is not valid yet (nbf).")
        return expires + self.leeway

    def check_audience(self, payload: Payload) -> None:
        """Raises NotSignedIn when the token was made for somebody else."""
        if self.audience is None:
            return
        named = payload.words("aud", split=False)
        if named is None:
            raise NotSignedIn(f"{self.whose} has no audience (aud); it must be {' or '.join(self.audience)}.")
        if not set(named) & set(self.audience):
            raise NotSignedIn(f"{self.whose} is for another audience (aud); it must be {' or '.join(self.audience)}.")


def ours(secret: bytes) -> Trust:
    """This server's own tokens, and those of a host application that has the secret."""

    def read(payload: Payload) -> Claims:
        return payload.claims(Names(), payload.uuid("tenant_id"), payload.uuid("user_id", "sub"))

    return Trust("The access token", "this server", ("HS256",), OneKey(shared_secret(secret)), read)


def outside(issuer: Issuer, clock: Clock) -> Trust:
    """An outside issuer's tokens, as the setting describes them."""
    # Takes a tenth of a second to import, which whoever has no outside issuers is spared.
    from bellbird.entrypoints import jwks

    namespace = uuid5(NAMESPACE_URL, issuer.issuer)
    claims = issuer.claims
    roles, scopes, visibility = ((name,) if name else () for name in (claims.roles, claims.scopes, claims.visibility))
    # Of their sessions (sid) nothing is known here.
    names = Names(roles, scopes, visibility, session_id=())

    def read(payload: Payload) -> Claims:
        tenant_id = issuer.tenant or payload.uuid(claims.tenant_id)
        return payload.claims(names, tenant_id, _subject(payload, claims.user_id, namespace))

    if issuer.public_key is not None:
        key = load_public_key(issuer.public_key)
        keys: Keys = OneKey(jwks.key_of(key, algorithms_of(key)))
    else:
        keys = jwks.KeySet(issuer.issuer, issuer.jwks_url or "", clock)
    whose = f"The access token of {issuer.issuer}"
    return Trust(whose, issuer.issuer, issuer.algorithms, keys, read, issuer.audience, issuer.leeway)


def _subject(payload: Payload, path: str, namespace: UUID) -> UUID:
    """Who it is: the UUID that the issuer names, or one made of its own name for them, always the same."""
    subject = payload.text(path)
    if _UUID.fullmatch(subject):
        return UUID(subject)
    try:
        return uuid5(namespace, subject)
    except UnicodeEncodeError:
        raise payload.wrong(path, "is not a text that can be encoded") from None


def _find(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, or by the way to it. The name wins: some have dots themselves, as `https://acme.io/tenant`."""
    if path in claims:
        return claims[path]
    for dot in reversed([place for place, letter in enumerate(path) if letter == "."]):
        inner = claims.get(path[:dot])
        if isinstance(inner, Mapping) and (found := _find(inner, path[dot + 1 :])) is not None:
            return found
    return None
