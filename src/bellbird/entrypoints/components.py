"""What operations share in the description: headers that are sent and answered, and how to sign in."""

from typing import Any, Final

PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "An id for this request, to find it again in the answer, the log and the events: "
        "up to 64 letters, digits, hyphens and underscores; without it one is made",
        "schema": {"type": "string"},
        "example": "order-4711-1",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Whatever is new for each thing to be done, such as a UUID: sent again within 24 hours, "
        "the request has its effect once and gets the same answer",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"},
        "example": "5f0c3f0e-6f0b-4c62-9d0a-1b7c7cbb1f0a",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "Do it only if this is still its `ETag`",
        "schema": {"type": "string", "pattern": '^(\\*|(W/)?"?[0-9]{1,9}(-[A-Za-z0-9_-]+)?"?)$'},
        "example": '"3"',
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Answer 304 without a body if this is still its `ETag`",
        "schema": {"type": "string"},
        "example": '"3"',
    },
}

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "The request's id, its own or the one that was made",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
    "ETag": {"description": "The version of what was answered, for `If-Match` and `If-None-Match`", "required": True},
    "Location": {
        "description": "Where to find what was made",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RateLimit": {"description": "How much is left of each limit, and when it is whole again"},
    "RateLimit-Policy": {"description": "The limits that count for this request"},
    "Retry-After": {
        "description": "After how many seconds the same request may be worth sending again",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to sign in", "required": True},
    "Idempotency-Replayed": {
        "description": "`true` on the answer to an `Idempotency-Key` that came before",
        "schema": {"type": "string", "const": "true"},
    },
}


BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token (JWT), or an API key (`bb_live_...`)",
}
