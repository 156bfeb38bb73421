"""What operations may refuse: the errors that come with what an operation is, beside those that its handler names."""

from collections.abc import Iterator
from typing import Any, Final

from bellbird.core.errors import BellbirdError
from bellbird.entrypoints.docs import About

Refusal = type[BellbirdError]


class BadRequest(BellbirdError):
    """The request could not be read.

    A body is missing where one is needed, for example.
    """

    code = "bad_request"
    status = 400


class MethodNotAllowed(BellbirdError):
    """The path exists, and cannot be used with this method."""

    code = "method_not_allowed"
    status = 405


class InternalError(BellbirdError):
    """Something went wrong.

    It is a fault of Bellbird's, logged under the request id.
    """

    code = "internal_error"
    status = 500


# By code: what any operation may refuse, and what comes with a body, with a token, with writing, and so on.
ALWAYS: Final = (
    *("bad_request", "invalid_header", "duplicate_header", "uri_too_long", "invalid_input", "headers_too_large"),
    *("internal_error", "unavailable", "schema_out_of_date", "timeout"),
)
WITH_BODY: Final = ("malformed_body", "body_too_large", "unsupported_media_type")
SECURED: Final = ("not_signed_in", "rate_limited")
NEEDING: Final = ("permission_denied",)
WRITING: Final = ("tenant_suspended",)
KEYED: Final = ("idempotency_conflict", "idempotency_key_reused")
IF_MATCH: Final = ("version_mismatch",)


def every() -> Iterator[Refusal]:
    """Every error there is."""
    waiting: list[Refusal] = [BellbirdError]
    while waiting:
        each = waiting.pop()
        waiting += each.__subclasses__()
        if each is not BellbirdError:
            yield each


def of_operation(about: About, *, secured: bool, writes: bool, keyed: bool, has_body: bool) -> list[Refusal]:
    """All that an operation may refuse."""
    codes = [
        *ALWAYS,
        *(WITH_BODY if has_body else ()),
        *(SECURED if secured else ()),
        *(NEEDING if about.needs else ()),
        *(WRITING if secured and writes else ()),
        *(KEYED if keyed else ()),
        *(IF_MATCH if about.if_match else ()),
    ]
    known = {each.code: each for each in every()}
    return list(dict.fromkeys([*(known[code] for code in codes if code in known), *about.errors]))


PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "description": "What was refused, or went wrong (RFC 9457).",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "The code as a URN.", "pattern": "^urn:bellbird:error:[a-z_]+$"},
        "title": {"type": "string", "description": "What the code means."},
        "status": {"type": "integer", "description": "The HTTP status.", "minimum": 400, "maximum": 599},
        "code": {"type": "string", "description": "For programs: it stays as it is.", "pattern": "^[a-z_]+$"},
        "detail": {"type": "string", "description": "For people: what was wrong here, and what would be right."},
        "request_id": {"type": ["string", "null"], "description": "As in `X-Request-Id`, the log and the events."},
        "errors": {
            "type": "array",
            "description": "Everything that was wrong with the input, at once.",
            "items": {"$ref": "#/components/schemas/Fault"},
        },
    },
}

FAULT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One thing that was wrong: at `pointer` in the body, or with `parameter` of query, path or headers.",
    "required": ["detail", "code"],
    "properties": {
        "pointer": {"type": "string", "description": "A JSON pointer as a URI fragment (RFC 6901).", "pattern": "^#"},
        "parameter": {"type": "string", "description": "The name of a parameter or header."},
        "detail": {"type": "string", "description": "For people: what was wrong, and what would be right."},
        "code": {"type": "string", "description": "For programs: it stays as it is.", "pattern": "^[a-z_]+$"},
    },
}

SCHEMAS: Final = {"Problem": PROBLEM, "Fault": FAULT}


def schema(refusal: Refusal) -> dict[str, Any]:
    """A problem of a kind: what it is told by is its code."""
    return {
        "description": " ".join((refusal.__doc__ or "").split()),
        "allOf": [
            {"$ref": "#/components/schemas/Problem"},
            {
                "type": "object",
                "required": ["code"],
                "properties": {"code": {"type": "string", "enum": [refusal.code]}},
            },
        ],
    }


def example(refusal: Refusal) -> dict[str, Any]:
    """A problem of a kind, as it is answered."""
    return {
        "type": f"urn:bellbird:error:{refusal.code}",
        "title": refusal.title(),
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.title(),
        "request_id": "0192f0c0a1b27c3d8e4f5a6b7c8d9e0f",
    }
