"""Cross-origin requests (the Fetch standard, "CORS protocol"): which pages may call the API from a browser.

Litestar's own middleware stands inside `Conduct`, so a page could not read what is refused there (a 400, a 503 after
a timeout). Credentials are not allowed: a token travels in `Authorization`, which a page sets by itself.
"""

import re
from typing import Final

Headers = list[tuple[bytes, bytes]]

METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE: Final = b"7200"  # no browser keeps it longer

# What a page may read beside what it always may.
EXPOSED: Final = (
    b"Bellbird-Version, Deprecation, ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, "
    b"Sunset, WWW-Authenticate, X-Request-Id"
)

_NAMES: Final = re.compile(rb"[A-Za-z0-9-]+(\s*,\s*[A-Za-z0-9-]+)*")


class Cors:
    """The rules for pages of some origins, or of all of them (`*`)."""

    def __init__(self, origins: str) -> None:
        self._origins = frozenset(origin.strip().encode() for origin in origins.split(","))
        self._all = b"*" in self._origins
        # The answer differs by origin, also for whoever sends none: a cache must know.
        self.vary = b"" if self._all else b", Origin"

    def headers(self, origin: bytes) -> Headers:
        """What is added to an answer for a page of this origin."""
        if not self._allows(origin):
            return []
        return [(b"access-control-allow-origin", self._name(origin)), (b"access-control-expose-headers", EXPOSED)]

    def preflight(self, origin: bytes, wanted: bytes) -> Headers:
        """What is added when a browser asks beforehand whether a page may send the `wanted` headers."""
        if not self._allows(origin):
            return []
        names = wanted if len(wanted) < 1000 and _NAMES.fullmatch(wanted) else b"authorization, content-type"
        return [
            (b"access-control-allow-methods", METHODS),
            (b"access-control-allow-headers", names),
            (b"access-control-max-age", MAX_AGE),
        ]

    def _allows(self, origin: bytes) -> bool:
        return self._all or origin in self._origins

    def _name(self, origin: bytes) -> bytes:
        return b"*" if self._all else origin
