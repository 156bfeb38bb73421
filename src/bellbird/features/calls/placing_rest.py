"""Placing calls, canceling and ending them, over HTTP."""

from dataclasses import fields, replace
from typing import Any, Final

from litestar import Response, post
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.entrypoints import docs, etags, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.call_accounts import NoCallAccount
from bellbird.features.calls import placing
from bellbird.features.calls.models import (
    Call,
    CallLimitReached,
    CallNotFound,
    CallNotPermitted,
    CallOver,
    NewCall,
)
from bellbird.features.contacts import ContactNotFound

TAGS: Final = docs.tag("Calls", "Calls placed and received: placed, followed, ended, looked up, counted.")

_ANN: Final = "0192f0c0-0000-7000-8000-00000000a117"
_CONTACT: Final = "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
_NEW: Final[dict[str, Any]] = {"contact_id": _CONTACT, "purpose": "service", "wait": True}
_DECISION: Final[dict[str, Any]] = {
    "id": "0192f0c0-d1e2-7f30-8415-263748596a7b", "allowed": True, "at": "2026-03-02T09:30:00.125Z",
    "purpose": "service", "reasons": [], "warnings": [], "explanation": "Nothing stands against it.", "evidence": {},
}  # fmt: skip
PLACED: Final[dict[str, Any]] = {
    **{field.name: None for field in fields(Call)},
    "id": "0192f0c0-c3d4-7e5f-8061-728394a5b6c7", "direction": "outbound", "status": "queued",
    "from_number": "+61370101234", "to_number": "+61412345678", "number": "+61412345678", "contact_id": _CONTACT,
    "candidates": [], "agent_id": _ANN, "purpose": "service", "account_id": "0192f0c0-e1f2-7031-8425-364758697a8b",
    "provider": "twilio", "created_at": "2026-03-02T09:30:00.125Z", "updated_at": "2026-03-02T09:30:00.125Z",
    "decision": _DECISION, "ring_seconds": 30, "record": False, "detect_machine": False,
    "created_by": f"user:{_ANN}", "version": 1,
}  # fmt: skip

docs.shape(NewCall, example=_NEW)

_REFUSALS: Final = (ContactNotFound, NoCallAccount, CallNotPermitted, CallLimitReached)
PLACING: Final = docs.About(needs="calls:write", errors=_REFUSALS, answer=PLACED, etag=True)


@post("/calls", dto=Body[NewCall], return_dto=None, tags=TAGS, summary="Place a call", status_code=HTTP_202_ACCEPTED,
      about=PLACING)  # fmt: skip
async def place(data: NewCall, tx: Tx) -> Response[Call]:
    """Have somebody called, whom the law and the tenant allow to be called now: a worker dials.

    `GET` what `Location` names to see how far the call is, or listen to the stream.
    """
    return _accepted(await placing.place(tx, data))


@post("/contacts/{id:str}/calls", dto=Body[NewCall], return_dto=None, tags=TAGS, summary="Call a contact",
      status_code=HTTP_202_ACCEPTED, about=PLACING)  # fmt: skip
async def place_to(id: str, data: NewCall, tx: Tx) -> Response[Call]:
    """Have a contact called, at its primary number or at the one of its numbers that `to` names."""
    contact_id = rest.id_of(id)
    if data.contact_id not in (None, contact_id):
        message = "is another contact's than the path's; leave it out"
        raise InvalidInput(faults=[Fault("invalid_value", message, pointer="/contact_id")])
    return _accepted(await placing.place(tx, replace(data, contact_id=contact_id)))


def _accepted(call: Call) -> Response[Call]:
    headers = {"Location": f"/api/v1/calls/{call.id}", "ETag": etags.of(call.version)}
    return Response(call, status_code=HTTP_202_ACCEPTED, headers=headers)


CANCELING: Final = docs.About(
    needs="calls:write",
    errors=(CallNotFound, CallOver),
    answer={**PLACED, "status": "canceled", "disposition": "canceled", "ended_at": PLACED["updated_at"], "version": 2},
)


@post("/calls/{id:str}/cancel", tags=TAGS, summary="Cancel a call", status_code=HTTP_200_OK, about=CANCELING)
async def cancel(id: str, tx: Tx) -> Call:
    """Have a call not take place, which nobody has answered yet: at once, or by its provider if it was dialled."""
    return await placing.cancel(tx, rest.id_of(id))


HANGING_UP: Final = docs.About(
    needs="calls:write",
    errors=(CallNotFound, CallOver),
    answer={
        **PLACED, "status": "in_progress", "provider_call_id": "CA0123456789abcdef0123456789abcdef", "version": 5,
        "initiated_at": "2026-03-02T09:30:00.5Z", "ringing_at": "2026-03-02T09:30:02Z",
        "answered_at": "2026-03-02T09:30:09Z",
    },
)  # fmt: skip


@post("/calls/{id:str}/hang-up", tags=TAGS, summary="Hang up", status_code=HTTP_200_OK, about=HANGING_UP)
async def hang_up(id: str, tx: Tx) -> Call:
    """Have a call ended wherever it is. That it has ended is told by its provider a moment later."""
    return await placing.hang_up(tx, rest.id_of(id))


ROUTES: Final = (place, place_to, cancel, hang_up)
