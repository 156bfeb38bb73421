"""Twilio's signatures: HMAC-SHA1, by the account's auth token, of the address it called and what it sent.

Source: https://www.twilio.com/docs/usage/security#validating-requests.
"""

import base64
import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qs, urlsplit, urlunsplit

Parameters = Sequence[tuple[str, str]]

_PORTS: Final = {"https": 443, "http": 80}


def sign(token: str, url: str, parameters: Parameters = ()) -> str:
    """The signature of a request: of the URL, and each name with its value, sorted, each pair once."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(parameters)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def is_signed(token: str, url: str, parameters: Parameters, signature: str) -> bool:
    """Whether this is the signature of a form that came to this URL.

    Twilio signs some addresses with their port and others without, whichever it called: both count.
    """
    given = signature.encode("utf-8", "replace")
    return any(hmac.compare_digest(sign(token, each, parameters).encode(), given) for each in _variants(url))


def is_body_signed(token: str, url: str, body: bytes, signature: str) -> bool:
    """Whether this is the signature of a body that is no form, whose SHA-256 is in the URL."""
    (*_, said) = parse_qs(urlsplit(url).query).get("bodySHA256", [""])
    has_hash = hmac.compare_digest(sha256(body).hexdigest().encode(), said.encode("utf-8", "replace"))
    return is_signed(token, url, (), signature) and has_hash


def _variants(url: str) -> Sequence[str]:
    """The URL with its port and without."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        return (url,)
    if port is not None:
        return url, urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(f":{port}")))
    default = _PORTS.get(parts.scheme)
    return (url,) if default is None else (url, urlunsplit(parts._replace(netloc=f"{parts.netloc}:{default}")))
