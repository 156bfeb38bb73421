"""Operations over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.operations import actions, queries
from bellbird.features.operations.models import (
    STATES,
    ItemError,
    NewOperation,
    NotUndoable,
    Operation,
    OperationFinished,
    OperationNotFound,
)

TAGS: Final = docs.tag("Operations", "Long work in the background: started, watched, paused, canceled, undone.")

_ANN: Final = "0192f0c0-0000-7000-8000-00000000a117"
_NEW: Final[dict[str, Any]] = {"kind": "contacts.assign", "params": {"from": None, "to": _ANN}}
_ERROR: Final[dict[str, Any]] = {
    "id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
    "code": "contact_not_found",
    "detail": "There is no contact 0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f.",
}
_CREATED: Final[dict[str, Any]] = {
    "id": "0192f0c0-b3c4-7d5e-8f60-718293a4b5c6",
    "kind": "contacts.assign",
    "state": "queued",
    "wanted": None,
    "params": {"from": None, "to": _ANN},
    "done": 0,
    "total": None,
    "error_count": 0,
    "reason": None,
    "result": None,
    "undo_of": None,
    "undone_by": None,
    "created_by": f"user:{_ANN}",
    "version": 1,
    "created_at": "2026-03-02T09:30:00.125Z",
    "started_at": None,
    "updated_at": "2026-03-02T09:30:00.125Z",
    "finished_at": None,
    "errors": [],
}
_RUNNING: Final[dict[str, Any]] = {
    **_CREATED, "state": "running", "done": 600, "total": 1250, "error_count": 1, "errors": [_ERROR], "version": 5,
    "started_at": "2026-03-02T09:30:00.25Z", "updated_at": "2026-03-02T09:30:01.5Z",
}  # fmt: skip
_REQUIRED: Final = tuple(name for name in _CREATED if name != "errors")

docs.shape(NewOperation, example=_NEW)
docs.shape(ItemError, example=_ERROR)
docs.shape(Operation, example=_RUNNING, required=_REQUIRED)

# What kinds there are is known once all features are; that it is one of them is checked by the verb.
LISTING: Final = docs.About(
    needs="operations:read",
    query={
        "kind": docs.text("Only operations of this kind, such as `contacts.assign`", max_length=100),
        "state": docs.choice("Only operations in this state", STATES),
        **docs.PAGED,
    },
)


@get("/operations", tags=TAGS, summary="List operations", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[Operation]:
    """A page of operations, newest first, without their errors.

    Whoever sees their own records alone sees the operations that they started.
    """
    given = rest.query(request)
    return await queries.page(
        read, kind=rest.single(given, "kind"), state=rest.single(given, "state"), limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
    )  # fmt: skip


GETTING: Final = docs.About(needs="operations:read", errors=(OperationNotFound,))


@get("/operations/{id:str}", tags=TAGS, summary="Get an operation", about=GETTING)
async def get_(id: str, read: ReadTx) -> Operation:
    """How far an operation is, with the first 100 errors."""
    return await queries.get(read, rest.id_of(id))


STARTING: Final = docs.About(needs="operations:write", answer=_CREATED)


@post("/operations", dto=Body[NewOperation], return_dto=None, tags=TAGS, summary="Start an operation",
      status_code=HTTP_202_ACCEPTED, about=STARTING)  # fmt: skip
async def start(data: NewOperation, tx: Tx) -> Response[Operation]:
    """Start long work, which is done in the background with the rights of whoever starts it.

    Besides `operations:write` it takes the permission of its kind. `GET` what `Location` names to see how far it is.
    """
    return _accepted(await actions.start(tx, data))


def _accepted(operation: Operation) -> Response[Operation]:
    headers = {"Location": f"/api/v1/operations/{operation.id}"}
    return Response(operation, status_code=HTTP_202_ACCEPTED, headers=headers)


CANCELING: Final = docs.About(
    needs="operations:write",
    errors=(OperationNotFound, OperationFinished),
    answer={**_RUNNING, "wanted": "cancel", "version": 6},
)


@post("/operations/{id:str}/cancel", tags=TAGS, summary="Cancel an operation", status_code=HTTP_200_OK, about=CANCELING)
async def cancel(id: str, tx: Tx) -> Operation:
    """End an operation where it is; one that runs ends after its present batch. What it has done stays done."""
    return await actions.cancel(tx, rest.id_of(id))


PAUSING: Final = docs.About(
    needs="operations:write",
    errors=(OperationNotFound, OperationFinished),
    answer={**_RUNNING, "wanted": "pause", "version": 6},
)


@post("/operations/{id:str}/pause", tags=TAGS, summary="Pause an operation", status_code=HTTP_200_OK, about=PAUSING)
async def pause(id: str, tx: Tx) -> Operation:
    """Have an operation wait until it is resumed; one that runs pauses after its present batch."""
    return await actions.pause(tx, rest.id_of(id))


RESUMING: Final = docs.About(
    needs="operations:write",
    errors=(OperationNotFound, OperationFinished),
    answer={**_RUNNING, "state": "queued", "version": 8},
)


@post("/operations/{id:str}/resume", tags=TAGS, summary="Resume an operation", status_code=HTTP_200_OK, about=RESUMING)
async def resume(id: str, tx: Tx) -> Operation:
    """Let an operation go on where it was paused, or where it failed. One that goes on anyway stays as it is."""
    return await actions.resume(tx, rest.id_of(id))


UNDOING: Final = docs.About(
    needs="operations:write",
    errors=(OperationNotFound, NotUndoable),
    answer={**_CREATED, "undo_of": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"},
)


@post("/operations/{id:str}/undo", tags=TAGS, summary="Undo an operation", status_code=HTTP_202_ACCEPTED, about=UNDOING)
async def undo(id: str, tx: Tx) -> Response[Operation]:
    """Start an operation that takes back what this one did, as far as nothing else has happened to it since."""
    return _accepted(await actions.undo(tx, rest.id_of(id)))


ROUTES: Final = (page, get_, start, cancel, pause, resume, undo)
