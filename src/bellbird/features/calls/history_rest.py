"""Calls there were and are, over HTTP: looked up, listed, counted; and what came of one."""

from datetime import date
from typing import Any, Final

from litestar import Request, Response, get, patch, post
from litestar.status_codes import HTTP_201_CREATED

from bellbird.core import filters
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.core.tenants import TenantSettings
from bellbird.entrypoints import docs, etags, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.calls import actions, queries, statistics
from bellbird.features.calls.fields import filterable
from bellbird.features.calls.models import Call, CallHasContact, CallNotFound, CallPatch
from bellbird.features.calls.placing_rest import PLACED, TAGS
from bellbird.features.calls.queries import KeptCallback, Query
from bellbird.features.calls.statistics import GROUPS, Figures, Statistics
from bellbird.features.contacts import Contact, ContactNotFound, DuplicateContact, ExternalIdTaken, NewContact

_OVER: Final[dict[str, Any]] = {
    **PLACED, "status": "completed", "provider_call_id": "CA0123456789abcdef0123456789abcdef", "answered_by": "human",
    "initiated_at": "2026-03-02T09:30:00.5Z", "ringing_at": "2026-03-02T09:30:02Z", "version": 7,
    "answered_at": "2026-03-02T09:30:09Z", "ended_at": "2026-03-02T09:31:44Z", "duration": 95,
    "disposition": "answered", "outcome": "call_back", "notes": "Wants a quote.", "cost": "0.0240", "currency": "AUD",
    "updated_at": "2026-03-02T09:32:10.5Z",
}  # fmt: skip
_KEPT: Final[dict[str, Any]] = {
    "id": "0192f0c0-f1e2-7d3c-8b4a-596877665544", "provider": "twilio",
    "provider_call_id": "CA0123456789abcdef0123456789abcdef", "status": "ringing", "sequence": 1,
    "at": "2026-03-02T09:30:02Z", "update": {"status": "ringing", "sequence": 1}, "verdict": "applied", "times": 2,
    "body": "CallSid=CA0123456789abcdef0123456789abcdef&CallStatus=ringing", "received_at": "2026-03-02T09:30:02.2Z",
}  # fmt: skip
_FIGURES: Final[dict[str, Any]] = {
    "calls": 41, "answered": 24, "answer_rate": 0.5854, "talk_seconds": 3170, "average_seconds": 132.1,
}  # fmt: skip

docs.shape(Call, example=_OVER)
docs.shape(
    CallPatch,
    example={"outcome": "call_back", "follow_up": {"due_at": "2026-03-04T09:00:00+11:00", "note": "The quote"}},
    properties={"notes": docs.lines(actions.MAX_NOTES)},
)
docs.shape(KeptCallback, example=_KEPT)
docs.shape(Figures, example={**_FIGURES, "agent_id": PLACED["agent_id"], "day": "2026-03-02"}, required=tuple(_FIGURES))
docs.shape(
    Statistics,
    example={
        "first": "2026-03-01", "last": "2026-03-31", "timezone": "Australia/Sydney",
        "groups": [{**_FIGURES, "day": "2026-03-02"}], "total": _FIGURES,
    },
)  # fmt: skip

_QUERY: Final = {
    "filter": docs.filters(
        "Call",
        filterable(TenantSettings()),
        example={"and": [{"disposition": "answered"}, {"created_at": {"gte": "2026-01-01"}}]},
    ),
    **docs.PAGED,
}

LISTING: Final = docs.About(needs="calls:read", query=_QUERY)


@get("/calls", tags=TAGS, summary="List and filter calls", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[Call]:
    """A page of calls, newest first; `filter[live]=true` are those under way.

    Whoever sees their own records alone sees the calls they had, those with their contacts, and those still nobody's.
    """
    return await queries.page(read, _query(rest.query(request)))


def _query(given: dict[str, list[str]], **more: Any) -> Query:
    """The query string as a Query. Raises InvalidInput naming the parameter."""
    nested = filters.nest({name: values for name, values in given.items() if name.startswith("filter[")})
    whole = rest.single(given, "filter")
    if whole is not None and nested:
        raise InvalidInput.at("filter", "is given as JSON and as filter[field]=value; use one of them")
    chosen = whole if whole is not None else nested or None
    return Query(filter=chosen, limit=rest.size(given), cursor=rest.single(given, "cursor"), **more)


OF_CONTACT: Final = docs.About(needs="calls:read", query=_QUERY, errors=(ContactNotFound,))


@get("/contacts/{id:str}/calls", tags=TAGS, summary="List a contact's calls", about=OF_CONTACT)
async def page_of(request: Request[Any, Any, Any], id: str, read: ReadTx) -> Page[Call]:
    """A page of the calls with a contact, newest first; a deleted contact has them until it is purged."""
    return await queries.page(read, _query(rest.query(request), contact_id=rest.id_of(id)))


COUNTING: Final = docs.About(
    needs="calls:read",
    query={
        "from": docs.text("The first day; default: 29 days before the last", example="2026-03-01", format="date"),
        "to": docs.text("The last day; default: today", example="2026-03-31", format="date"),
        "group_by": docs.several("By what: one or two", GROUPS),
    },
)


@get("/calls/statistics", tags=TAGS, summary="Count calls", about=COUNTING)
async def count(request: Request[Any, Any, Any], read: ReadTx) -> Statistics:
    """How many calls there were, how many were answered and how long was talked, from one day to another.

    Days and hours are the tenant's; a call is counted on the day on which it was placed or came in. Exact at every
    moment, late corrections included.
    """
    given = rest.query(request)
    wanted = rest.single(given, "group_by")
    return await statistics.count(
        read,
        first=_date(given, "from"),
        last=_date(given, "to"),
        group_by=[] if wanted is None else [each.strip() for each in wanted.split(",")],
    )


def _date(given: dict[str, list[str]], name: str) -> date | None:
    text = rest.single(given, name)
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise InvalidInput.at(name, f"must be a date such as 2026-12-31, not {text!r}") from None


GETTING: Final = docs.About(needs="calls:read", errors=(CallNotFound,), etag=True)


@get("/calls/{id:str}", tags=TAGS, summary="Get a call", about=GETTING)
async def get_(id: str, read: ReadTx) -> Response[Call]:
    """A call as it is now."""
    return _tagged(await queries.get(read, rest.id_of(id)))


def _tagged(call: Call) -> Response[Call]:
    return Response(call, headers={"ETag": etags.of(call.version)})


UPDATING: Final = docs.About(needs="calls:write", errors=(CallNotFound,), etag=True, if_match=True)


@patch("/calls/{id:str}", dto=Body[CallPatch], return_dto=None, tags=TAGS, summary="Say what came of a call",
       about=UPDATING)  # fmt: skip
async def update(request: Request[Any, Any, Any], id: str, data: CallPatch, tx: Tx) -> Response[Call]:
    """Say what came of a call, live or over, by a JSON merge patch (RFC 7396): outcome, notes, who it was, who talked.

    The outcome `do_not_call` opts the number out as well. `follow_up` makes one.
    """
    return _tagged(await actions.update(tx, rest.id_of(id), data, version=rest.version_of(request)))


MAKING: Final = docs.About(
    needs="calls:write", errors=(CallNotFound, CallHasContact, DuplicateContact, ExternalIdTaken), etag=True
)


@post("/calls/{id:str}/contact", dto=Body[NewContact], return_dto=None, tags=TAGS,
      summary="Make a contact of an unknown caller", about=MAKING)  # fmt: skip
async def make_contact(id: str, data: NewContact, tx: Tx) -> Response[Contact]:
    """Make a contact of whom a call was with. It has the call's number, and the call is with it from then on.

    This needs `contacts:write` as well.
    """
    contact = await actions.make_contact(tx, rest.id_of(id), data)
    headers = {"Location": f"/api/v1/contacts/{contact.id}", "ETag": etags.of(contact.version)}
    return Response(contact, status_code=HTTP_201_CREATED, headers=headers)


KEPT: Final = docs.About(needs="audit:read", errors=(CallNotFound,))


@get("/calls/{id:str}/callbacks", tags=TAGS, summary="List what a call's provider said", about=KEPT)
async def callbacks(id: str, read: ReadTx) -> Page[KeptCallback]:
    """What a provider has said of a call, word for word, in the order in which it came: the first 200, for support."""
    return Page(await queries.callbacks(read, rest.id_of(id)))


ROUTES: Final = (page, page_of, count, get_, update, make_contact, callbacks)
