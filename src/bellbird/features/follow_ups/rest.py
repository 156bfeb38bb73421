"""Follow-ups over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, get, patch, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, etags, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.contacts import ContactNotFound
from bellbird.features.follow_ups import actions, queries
from bellbird.features.follow_ups.actions import MAX_NOTE
from bellbird.features.follow_ups.models import (
    STATES,
    FollowUp,
    FollowUpNotFound,
    FollowUpOver,
    FollowUpPatch,
    NewFollowUp,
)
from bellbird.features.follow_ups.queries import Query

TAGS: Final = docs.tag("Follow-ups", "Whom to call back, when, and who does it.")

_NEW: Final[dict[str, Any]] = {
    "due_at": "2026-03-04T22:00:00Z", "contact_id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
    "agent_id": "0192f0c0-0000-7000-8000-00000000a117", "note": "About the quote",
}  # fmt: skip
_MADE: Final[dict[str, Any]] = {
    **_NEW, "id": "0192f0c0-c3d4-7e5f-8061-728394a5b6c7", "number": "+61412345678", "call_id": None, "state": "open",
    "created_by": "user:0192f0c0-0000-7000-8000-00000000a117", "version": 1, "created_at": "2026-03-02T09:32:10.5Z",
    "updated_at": "2026-03-02T09:32:10.5Z", "ended_at": None,
}  # fmt: skip
_ENDED: Final = {"version": 2, "ended_at": "2026-03-04T22:06:01.2Z", "updated_at": "2026-03-04T22:06:01.2Z"}
_NOTE: Final = {"note": docs.lines(MAX_NOTE)}

docs.shape(NewFollowUp, example=_NEW, properties=_NOTE)
docs.shape(FollowUpPatch, example={"due_at": "2026-03-05T22:00:00Z"}, properties=_NOTE)
docs.shape(FollowUp, example=_MADE)


def _tagged(follow_up: FollowUp, status: int = HTTP_200_OK, **headers: str) -> Response[FollowUp]:
    return Response(follow_up, status_code=status, headers={"ETag": etags.of(follow_up.version), **headers})


LISTING: Final = docs.About(
    needs="calls:read",
    query={
        "due": docs.text(
            "Only what is due by then: `now`, `today` (until the tenant's midnight), or a moment",
            max_length=40,
            example="today",
        ),
        "agent_id": docs.text("Only what this user is to do", format="uuid"),
        "contact_id": docs.text("Only what is agreed with this contact", format="uuid"),
        "state": docs.choice("In which state", STATES, default="open"),
        **docs.PAGED,
    },
)


@get("/follow-ups", tags=TAGS, summary="List follow-ups", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[FollowUp]:
    """A page of follow-ups, what is due soonest first: the open ones, unless another state is asked for."""
    given = rest.query(request)
    due = rest.single(given, "due")
    query = Query(
        state=rest.single(given, "state") or Query().state,
        due_before=None if due is None else await queries.due_by(read, due),
        agent_id=_id(given, "agent_id"),
        contact_id=_id(given, "contact_id"),
        limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
    )
    return await queries.page(read, query)


def _id(given: dict[str, list[str]], name: str) -> UUID | None:
    text = rest.single(given, name)
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidInput.at(name, f"must be a UUID, not {text[:60]!r}" if text else "must be a UUID") from None


GETTING: Final = docs.About(needs="calls:read", errors=(FollowUpNotFound,), etag=True)


@get("/follow-ups/{id:str}", tags=TAGS, summary="Get a follow-up", about=GETTING)
async def get_(id: str, read: ReadTx) -> Response[FollowUp]:
    """A follow-up by its id."""
    return _tagged(await queries.get(read, rest.id_of(id)))


CREATING: Final = docs.About(needs="calls:write", errors=(ContactNotFound,), etag=True)


@post("/follow-ups", dto=Body[NewFollowUp], return_dto=None, tags=TAGS, summary="Create a follow-up", about=CREATING)
async def create(data: NewFollowUp, tx: Tx) -> Response[FollowUp]:
    """Write down whom to call back and when: a contact, at one of its numbers, or a number alone."""
    follow_up = await actions.create(tx, data)
    return _tagged(follow_up, HTTP_201_CREATED, Location=f"/api/v1/follow-ups/{follow_up.id}")


UPDATING: Final = docs.About(
    needs="calls:write", errors=(FollowUpNotFound, FollowUpOver), etag=True, if_match=True
)  # fmt: skip


@patch("/follow-ups/{id:str}", dto=Body[FollowUpPatch], return_dto=None, tags=TAGS, summary="Change a follow-up",
       about=UPDATING)  # fmt: skip
async def update(request: Request[Any, Any, Any], id: str, data: FollowUpPatch, tx: Tx) -> Response[FollowUp]:
    """Put a follow-up off, give it to somebody else, change its note, by a JSON merge patch (RFC 7396)."""
    return _tagged(await actions.update(tx, rest.id_of(id), data, version=rest.version_of(request)))


DOING: Final = docs.About(
    needs="calls:write", errors=(FollowUpNotFound, FollowUpOver), etag=True, answer={**_MADE, **_ENDED, "state": "done"}
)


@post("/follow-ups/{id:str}/done", tags=TAGS, summary="Mark a follow-up done", status_code=HTTP_200_OK, about=DOING)
async def done(id: str, tx: Tx) -> Response[FollowUp]:
    """Note that they were called back. Again, nothing changes."""
    return _tagged(await actions.done(tx, rest.id_of(id)))


CANCELING: Final = docs.About(
    needs="calls:write",
    errors=(FollowUpNotFound, FollowUpOver),
    etag=True,
    answer={**_MADE, **_ENDED, "state": "canceled"},
)


@post("/follow-ups/{id:str}/cancel", tags=TAGS, summary="Cancel a follow-up", status_code=HTTP_200_OK,
      about=CANCELING)  # fmt: skip
async def cancel(id: str, tx: Tx) -> Response[FollowUp]:
    """Let a follow-up be: nobody is called back. Again, nothing changes."""
    return _tagged(await actions.cancel(tx, rest.id_of(id)))


ROUTES: Final = (page, get_, create, update, done, cancel)
