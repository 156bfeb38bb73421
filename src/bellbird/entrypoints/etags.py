"""ETags: which version of a thing an answer shows, and whether a reader has it already (RFC 9110, sections 8.8 and 13).

`"3"` is version 3 in full. Where an answer shows something else than the whole thing, a digest of it follows:
`"3-1f2e3d4c"`. Either goes back in `If-Match`, which goes by the version alone.
"""

from hashlib import blake2b
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def of(version: int, shown: Any = None) -> str:
    """The ETag of a version; `shown` is the answer where it is not the whole thing."""
    if shown is None:
        return f'"{version}"'
    return f'"{version}-{blake2b(_encode(shown), digest_size=4).hexdigest()}"'


def is_current(if_none_match: bytes, etag: bytes) -> bool:
    """Whether `If-None-Match` names this ETag, so that nothing need be sent; strong and weak count alike there."""
    return if_none_match.strip() == b"*" or etag in [
        each.strip().removeprefix(b"W/") for each in if_none_match.split(b",")
    ]
