"""The shapes of this feature as the API's documentation shows them."""

from typing import Any, Final

from bellbird.entrypoints import docs
from bellbird.features.dialling.actions import MAX_NOTE, MAX_SOURCE, MAX_WASHES
from bellbird.features.dialling.models import (
    Consent,
    DialDecision,
    NewConsent,
    NewDialDecision,
    NewOptOut,
    NewWashes,
    OptOut,
    OptOutRemoval,
    Wash,
    Washed,
    WashedNumber,
)

_CONTACT: Final = "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
_BY: Final = "user:0192f0c0-0000-7000-8000-00000000a117"
_SOURCE: Final = {**docs.line(MAX_SOURCE), "minLength": 1}

_CONSENT: Final[dict[str, Any]] = {
    "contact_id": _CONTACT,
    "purpose": "telemarketing",
    "number": None,
    "granted_at": "2026-03-02T09:30:00Z",
    "expires_at": "2026-12-31T13:00:00Z",
    "indefinite": False,
    "any_time": False,
    "source": "web form",
    "evidence": "https://acme.example/forms/4711",
}
_REASON: Final = {
    "code": "outside_calling_hours",
    "message": "It is 08:30 on Tuesday in Australia/Perth; hours of telemarketing calls to Australia are 09:00-20:00 "
    "then.",
}
_DECISION: Final[dict[str, Any]] = {
    "id": "0192f0c0-a1b2-7c3d-8e4f-000000000001",
    "allowed": False,
    "number": "+61412345678",
    "contact_id": _CONTACT,
    "purpose": "telemarketing",
    "at": "2026-12-01T00:30:00Z",
    "reasons": [_REASON],
    "warnings": [],
    "next_permitted_at": "2026-12-01T01:00:00Z",
    "evidence": {"number": {"region": "AU", "line_type": "mobile"}, "where": {"known_by": "address"}},
    "explanation": "+61412345678 may not be called on Tuesday 1 December 2026, 08:30 (Australia/Perth). "
    + _REASON["message"],
    "from_number": "+61280001234",
    "call_id": None,
    "created_by": _BY,
}
_OPT_OUT: Final = {
    "id": "0192f0c0-a1b2-7c3d-8e4f-000000000002", "number": "+61412345678", "contact_id": _CONTACT,
    "source": "on the telephone", "note": None, "created_by": _BY, "created_at": "2026-03-02T09:30:00.125Z",
    "removed_at": None, "removed_by": None, "removed_reason": None,
}  # fmt: skip


def describe() -> None:
    """Say what the shapes look like, for the documentation."""
    docs.shape(
        NewDialDecision,
        example={"contact_id": _CONTACT, "purpose": "telemarketing", "at": "2026-12-01T00:30:00Z"},
    )
    docs.shape(DialDecision, example=_DECISION)
    docs.shape(
        NewConsent,
        example=_CONSENT,
        properties={"source": _SOURCE, "evidence": docs.line(MAX_NOTE)},
    )
    docs.shape(
        Consent,
        example={
            "id": "0192f0c0-a1b2-7c3d-8e4f-000000000003", **_CONSENT, "created_by": _BY,
            "created_at": "2026-03-02T09:30:00.125Z", "withdrawn_at": None, "withdrawn_by": None,
        },
    )  # fmt: skip
    docs.shape(
        NewOptOut,
        example={"number": "0412 345 678", "source": "on the telephone"},
        properties={"source": _SOURCE, "note": docs.line(MAX_NOTE)},
    )
    docs.shape(OptOut, example=_OPT_OUT)
    docs.shape(
        OptOutRemoval,
        example={"reason": "Ann rang on 3 March and asked for a quote"},
        properties={"reason": {**docs.line(MAX_NOTE), "minLength": 1}},
    )
    docs.shape(WashedNumber, example={"number": "0412 345 678", "listed": False})
    docs.shape(
        NewWashes,
        example={
            "numbers": [{"number": "0412 345 678", "listed": False}], "washed_at": "2026-03-02T09:30:00Z",
            "source": "donotcall.gov.au",
        },
        properties={"numbers": {"minItems": 1, "maxItems": MAX_WASHES}, "source": _SOURCE},
    )  # fmt: skip
    washed = {"washed_at": "2026-03-02T09:30:00Z"}
    docs.shape(Wash, example={"number": "+61412345678", "listed": False, **washed, "source": "donotcall.gov.au"})
    docs.shape(Washed, example={"numbers": 1, "listed": 0, **washed})
