"""Access tokens: JSON Web Tokens (RFC 7519) signed with HS256, which say who is calling and for which tenant."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import jwt

from bellbird.core.actors import Actor
from bellbird.core.clock import Clock
from bellbird.core.errors import NotSignedIn

# A token this long is no token of ours, and not worth hashing.
MAX_LENGTH = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a token speaks for."""

    tenant_id: UUID
    actor: Actor


class Tokens:
    """Makes and checks tokens with one secret."""

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock
        # What was verified once needs no second HMAC while it is valid: the same bytes have the same signature.
        self._verified: OrderedDict[str, tuple[float, Caller]] = OrderedDict()

    def make(self, tenant_id: UUID, user_id: UUID, *, valid_for: timedelta) -> str:
        """A token for a user of a tenant."""
        now = self._clock.now()
        claims = {
            "tenant_id": str(tenant_id),
            "user_id": str(user_id),
            "iat": int(now.timestamp()),
            "exp": int((now + valid_for).timestamp()),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def caller(self, authorization: str | None) -> Caller:
        """Who an `Authorization` header speaks for. Raises NotSignedIn saying what is wrong with it."""
        if not authorization:
            raise NotSignedIn("Send an access token: Authorization: Bearer <token>.")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NotSignedIn("The Authorization header must be: Bearer <token>.")
        now = self._clock.now().timestamp()
        if known := self._verified.get(token):
            if now < known[0]:
                return known[1]
            del self._verified[token]
        expires, caller = self._verify(token.strip(), now)
        self._verified[token] = (expires, caller)
        if len(self._verified) > 10_000:
            self._verified.popitem(last=False)
        return caller

    def _verify(self, token: str, now: float) -> tuple[float, Caller]:
        if len(token) > MAX_LENGTH:
            raise NotSignedIn(f"The access token is longer than {MAX_LENGTH} characters.")
        try:
            # The times are checked below, by the engine's own clock.
            claims = jwt.decode(
                token, self._secret, algorithms=["HS256"],
                options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "verify_aud": False},
            )  # fmt: skip
        except jwt.InvalidSignatureError:
            raise NotSignedIn("The access token was not signed by this server.") from None
        except jwt.InvalidAlgorithmError:
            raise NotSignedIn("The access token must be signed with HS256.") from None
        except (jwt.PyJWTError, ValueError) as error:
            raise NotSignedIn(f"The access token cannot be read: {error}.") from None
        expires = claims.get("exp")
        if not isinstance(expires, int | float) or not 0 <= expires < 2**53:  # nor infinite, nor not a number
            raise NotSignedIn("The access token has no expiry (exp).")
        if expires <= now:
            raise NotSignedIn("The access token has expired.")
        if isinstance(starts := claims.get("nbf"), int | float) and starts > now:
            raise NotSignedIn("The access token is not valid yet (nbf).")
        user = Actor.user(_claim(claims, "user_id"), origin="api")
        return float(expires), Caller(_claim(claims, "tenant_id"), user)


def _claim(claims: dict[str, Any], name: str) -> UUID:
    try:
        return UUID(claims[name])
    except KeyError:
        raise NotSignedIn(f"The access token has no {name}.") from None
    except (ValueError, AttributeError, TypeError):
        raise NotSignedIn(f"The access token's {name} is not a UUID.") from None
