"""Headers: what a request's must be before anything else is looked at, and what every answer has.

All checks together take two microseconds of the usual request: its headers are put into one string that is searched,
and into one dictionary that is as long as they are unless one of them was sent twice.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from bellbird.core.errors import BellbirdError, InvalidInput

# All fields of a request together; its path and query string: a filter may be long, and the router remembers paths.
MAX_HEADERS: Final = 65_536
MAX_TARGET: Final = 16_384

Headers = Sequence[tuple[bytes, bytes]]

# What says one thing: of two that contradict each other, a proxy may go by the one and we by the other.
ONCE: Final = frozenset({
    b"authorization", b"content-encoding", b"content-length", b"content-type", b"host", b"idempotency-key", b"if-match",
    b"x-request-id",
})  # fmt: skip

# What may not be in a field (RFC 9110, section 5.5): control characters except the tab.
_CONTROLS: Final = bytes([*range(9), *range(10, 32), 127])

# `curl -d` says that it sends a form, whatever it sends.
_READ: Final = frozenset({b"application/json", b"application/x-www-form-urlencoded"})
_READ_BY_PATCH: Final = _READ | {b"application/merge-patch+json"}
_UTF_8: Final = {b"charset=utf-8", b'charset="utf-8"'}


class HeadersTooLarge(BellbirdError):
    """The request's headers are too large.

    64 kB altogether are read; a token or a cookie is longer than it should be.
    """

    code = "headers_too_large"
    status = 400


class UriTooLong(BellbirdError):
    """The request's path and query string are too long.

    16 kB altogether are read.
    """

    code = "uri_too_long"
    status = 414


class InvalidHeader(InvalidInput):
    """A header of the request has characters that no header may have.

    `errors` names it.
    """

    code = "invalid_header"
    status = 400


class DuplicateHeader(InvalidInput):
    """A header that says one thing was sent more than once.

    `errors` names it; of two that contradict each other, nobody could say which is meant.
    """

    code = "duplicate_header"
    status = 400


class UnsupportedMediaType(BellbirdError):
    """The body is of a kind, or encoded in a way, that is not read here.

    Send JSON in UTF-8 as `application/json`, without `Content-Encoding`.
    """

    code = "unsupported_media_type"
    status = 415

    def __init__(self, detail: str = "", *, instead: tuple[bytes, bytes] | None = None) -> None:
        super().__init__(detail)
        self.instead = instead


def refusal(scope: Mapping[str, Any], known: Mapping[bytes, bytes]) -> BellbirdError | None:
    """What is wrong with a request's headers; `known` are the same by name."""
    headers: Headers = scope["headers"]
    everything = b"".join(map(b"".join, headers))
    # A token that is too long is refused as a token: with 401, saying how long one may be.
    length = len(everything) - len(known.get(b"authorization", b""))
    if length > MAX_HEADERS:
        return HeadersTooLarge(f"The headers have {length} bytes; {MAX_HEADERS} are read at most.")
    if len(everything.translate(None, _CONTROLS)) != len(everything):
        return _with_control_characters(headers)
    if len(known) != len(headers) and (twice := _sent_twice(headers)):
        return twice
    if (length := len(scope["path"]) + len(scope["query_string"])) > MAX_TARGET:
        return UriTooLong(f"Path and query string have {length} characters; {MAX_TARGET} are read at most.")
    if known.get(b"content-type", b"application/json") in _READ and b"content-encoding" not in known:
        return None
    if known.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in known:
        return None  # it says what no body would be
    return _unreadable(scope["method"], known)


def _with_control_characters(headers: Headers) -> BellbirdError:
    name = next(name for name, value in headers if (name + value).translate(None, _CONTROLS) != name + value)
    return InvalidHeader.at(name.decode("latin-1"), "has control characters in it", code="invalid_header")


def _sent_twice(headers: Headers) -> BellbirdError | None:
    names = [name for name, _ in headers]
    twice = sorted(name.decode() for name in ONCE if names.count(name) > 1)
    return (
        DuplicateHeader.at(twice[0], "is there more than once; send it once", code="duplicate_header")
        if twice
        else None
    )


def _unreadable(method: str, known: Mapping[bytes, bytes]) -> BellbirdError | None:
    """What is wrong with what a body says of itself."""
    encoding = known.get(b"content-encoding", b"").strip().lower()
    if encoding not in (b"", b"identity"):
        shown = encoding[:40].decode("latin-1")
        return UnsupportedMediaType(
            f"A body must be sent as it is, without Content-Encoding ({shown}).",
            instead=(b"accept-encoding", b"identity"),
        )
    kind, *parameters = known.get(b"content-type", b"application/json").lower().split(b";")
    charsets = {each.strip() for each in parameters if each.strip().startswith(b"charset")}
    if kind.strip() in (_READ_BY_PATCH if method == "PATCH" else _READ) and charsets <= _UTF_8:
        return None
    shown = known[b"content-type"][:80].decode("latin-1")
    return UnsupportedMediaType(
        f"A body must be JSON in UTF-8, sent as application/json, not {shown!r}.",
        instead=(b"accept-patch" if method == "PATCH" else b"accept", b"application/json"),
    )


Kind = Literal["api", "sign-in", "page"]

_NEVER_FRAMED: Final = b"default-src 'none'; frame-ancestors 'none'"

# The page at /docs has its style in itself, and no script.
_PAGE: Final = (
    b"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def of_every_answer(kind: Kind, *, https: bool, vary: bytes = b"") -> list[tuple[bytes, bytes]]:
    """The headers of every answer of a kind, where its handler has not set them otherwise."""
    found = [
        (b"cache-control", b"no-store" if kind == "sign-in" else b"private, no-cache"),
        (b"content-security-policy", _PAGE if kind == "page" else _NEVER_FRAMED),
        (b"referrer-policy", b"no-referrer"),
        (b"vary", b"Authorization, Accept-Encoding" + vary),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]
    # A year, for this host alone: what its other names serve is not ours to say.
    return [*found, (b"strict-transport-security", b"max-age=31536000")] if https else found
