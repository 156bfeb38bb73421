"""A contact's timeline over HTTP."""

from typing import Any, Final

from litestar import Request, get

from bellbird.core.engine import ReadTx
from bellbird.core.paging import Page
from bellbird.core.timeline import Entry, words
from bellbird.entrypoints import docs, rest
from bellbird.features.contacts.models import ContactNotFound
from bellbird.features.timeline import queries

TAGS: Final = docs.tag("Timeline", "All that happened to a contact, whatever kind of thing it was.")

_ENTRY: Final[dict[str, Any]] = {
    "id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
    "at": "2024-11-03T12:48:15.282Z",
    "kind": "event",
    "type": "contact.updated",
    "actor": "user:0192f0c0-0000-7000-8000-00000000a117",
    "changes": {"company": ["Acme", "Globex"]},
    "data": {"version": 2},
}

docs.shape(Entry, example=_ENTRY)

LISTING: Final = docs.About(
    needs="contacts:read",
    query={
        "types": docs.several("Only these: types, `contact.*` for all that begin alike, kinds", words()),
        **docs.PAGED,
    },
    errors=(ContactNotFound,),
)


@get("/contacts/{id:str}/timeline", tags=TAGS, summary="Get a contact's timeline", about=LISTING)
async def timeline(request: Request[Any, Any, Any], id: str, read: ReadTx) -> Page[Entry]:
    """A page of what happened to a contact, newest first. A deleted contact has a timeline until it is purged."""
    given = rest.query(request)
    listed = rest.single(given, "types")
    return await queries.page(
        read,
        rest.id_of(id),
        types=[] if listed is None else [each.strip() for each in listed.split(",")],
        limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
    )


ROUTES: Final = (timeline,)
