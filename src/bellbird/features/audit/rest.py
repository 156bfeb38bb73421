"""The audit log over HTTP."""

from collections.abc import Callable
from typing import Any, Final, get_args
from uuid import UUID

from litestar import Request, get

from bellbird.core.actors import Origin
from bellbird.core.engine import ReadTx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.features.audit import queries
from bellbird.features.audit.models import AuditEvent, EventNotFound, Query, Seal
from bellbird.features.audit.queries import LONGEST

TAGS: Final = docs.tag("Audit", "Who did what to which thing, when and in which request; and the seals on it.")

_ANN: Final = "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
_EVENT: Final[dict[str, Any]] = {
    "id": "0192f0c4-35b2-7d1e-9a4f-0c6b7c8d9e10",
    "at": "2024-11-03T12:48:15.282Z",
    "type": "contact.updated",
    "entity_type": "contact",
    "entity_id": _ANN,
    "contact_id": _ANN,
    "actor": "user:0192f0c0-0000-7000-8000-00000000a117",
    "origin": "api",
    "request_id": "4e1c3f0a9b7d4c52",
    "changes": {"company": ["Acme", "Globex"]},
    "data": {"version": 2},
}
_SEAL: Final[dict[str, Any]] = {
    "number": 412,
    "sealed_at": "2026-11-03T12:50:00.012Z",
    "after": 81204,
    "upto": 81377,
    "events": 96,
    "root": "9f2b7c5d3e1a4860b7c5d3e1a48609f2b7c5d3e1a48609f2b7c5d3e1a48609f2",
    "previous": "1a48609f2b7c5d3e1a48609f2b7c5d3e1a48609f2b7c5d3e1a48609f2b7c5d3e",
    "hash": "5d3e1a48609f2b7c5d3e1a48609f2b7c5d3e1a48609f2b7c5d3e1a48609f2b7c",
}

docs.shape(AuditEvent, example=_EVENT)
docs.shape(Seal, example=_SEAL)

_WHEN: Final = "2026-11-01T10:00:00Z"

SEARCHING: Final = docs.About(
    needs="audit:read",
    query={
        "actor": docs.text("Who did it", example="user:0192f0c0-0000-7000-8000-00000000a117", max_length=LONGEST),
        "type": docs.text("What happened: a type, or `contact.*` for all that begin so", max_length=LONGEST),
        "entity_type": docs.text("To what kind of thing", example="contact", max_length=LONGEST),
        "entity_id": docs.text("To which thing", example=_ANN, format="uuid"),
        "contact_id": docs.text("Concerning which contact", example=_ANN, format="uuid"),
        "field": docs.text("Which field was changed", example="phones", max_length=LONGEST),
        "request_id": docs.text("In which request", example="4e1c3f0a9b7d4c52", max_length=LONGEST),
        "origin": docs.choice("By which door", get_args(Origin)),
        "from": docs.text("At this moment or later", example=_WHEN, format="date-time"),
        "to": docs.text("Before this moment", example="2036-11-01T10:00:00Z", format="date-time"),
        **docs.PAGED,
    },
)


@get("/audit/events", tags=TAGS, summary="Search the audit log", about=SEARCHING)
async def search(request: Request[Any, Any, Any], read: ReadTx) -> Page[AuditEvent]:
    """A page of what happened, newest first: all that is given has to be so.

    A page of what is rare may have few events or none and go on all the same: follow `next_cursor` until it is null.
    """
    return await queries.search(read, _query(rest.query(request)))


def _id(given: dict[str, list[str]], name: str) -> UUID | None:
    text = rest.single(given, name)
    try:
        return None if text is None else UUID(text)
    except ValueError:
        raise InvalidInput.at(name, f"must be a UUID, not {str(text)[:60]!r}", code="invalid_id") from None


_TEXTS: Final = ("actor", "type", "entity_type", "field", "request_id", "origin", "cursor")
_READ: Final[dict[str, tuple[str, Callable[[dict[str, list[str]], str], Any]]]] = {
    "entity_id": ("entity_id", _id),
    "contact_id": ("contact_id", _id),
    "from": ("since", rest.moment),
    "to": ("until", rest.moment),
    "limit": ("limit", lambda given, _: rest.size(given)),
}


def _query(given: dict[str, list[str]]) -> Query:
    """The query string as a Query. Raises InvalidInput with every parameter at fault."""
    found: dict[str, Any] = {name: rest.single(given, name) for name in _TEXTS}
    faults: list[Fault] = []
    for name, (field, read) in _READ.items():
        try:
            found[field] = read(given, name)
        except InvalidInput as error:
            faults += error.faults
    if faults:
        raise InvalidInput(faults=faults)
    return Query(**found)


GETTING: Final = docs.About(needs="audit:read", errors=(EventNotFound,))


@get("/audit/events/{id:str}", tags=TAGS, summary="Get an event", about=GETTING)
async def get_(id: str, read: ReadTx) -> AuditEvent:
    """An event of the audit log."""
    return await queries.get(read, rest.id_of(id))


SEALS: Final = docs.About(needs="audit:read", query=docs.PAGED)


@get("/audit/seals", tags=TAGS, summary="List the seals on the log", about=SEALS)
async def seals(request: Request[Any, Any, Any], read: ReadTx) -> Page[Seal]:
    """A page of the seals, newest first. Keep a hash elsewhere, and `bellbird audit verify` can tell by it later that
    the log up to that seal is the same.
    """
    given = rest.query(request)
    return await queries.seals(read, limit=rest.size(given), cursor=rest.single(given, "cursor"))


ROUTES: Final = (search, get_, seals)
