"""Contacts over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final, cast, get_args

from litestar import Request, Response, delete, get, patch, post, put
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED
from msgspec import UNSET

from bellbird.core import filters
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, etags, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.contacts import actions, history, queries, rules, schemas
from bellbird.features.contacts.models import (
    AmbiguousMatch,
    Contact,
    ContactNotFound,
    ContactPatch,
    DuplicateContact,
    ExternalIdTaken,
    HistoryGone,
    MatchBy,
    NewContact,
)
from bellbird.features.contacts.queries import Query

TAGS: Final = docs.tag("Contacts", "The people and organisations that a tenant knows, with every way to reach them.")


def _tag(of: Tx | ReadTx, contact: Contact, *, partly: bool = False) -> str:
    return etags.of(contact.version, contact if partly or rules.hidden(of.actor) else None)


def _tagged(tx: Tx, contact: Contact, status: int = HTTP_200_OK, **headers: str) -> Response[Contact]:
    return Response(contact, status_code=status, headers={"ETag": _tag(tx, contact), **headers})


def _located(tx: Tx, contact: Contact) -> Response[Contact]:
    return _tagged(tx, contact, HTTP_201_CREATED, Location=f"/api/v1/contacts/{contact.id}")


LISTING: Final = docs.About(needs="contacts:read", query=schemas.QUERY)


@get("/contacts", tags=TAGS, summary="List, filter and search contacts", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[Contact]:
    """A page of contacts, newest first unless sorted or searched otherwise."""
    return await queries.page(read, _query(rest.query(request)))


def _query(given: dict[str, list[str]]) -> Query:
    """The query string as a Query. Raises InvalidInput naming the parameter."""
    nested = filters.nest({name: values for name, values in given.items() if name.startswith("filter[")})
    whole = rest.single(given, "filter")
    if whole is not None and nested:
        raise InvalidInput.at("filter", "is given as JSON and as filter[field]=value; use one of them")
    return Query(
        filter=whole if whole is not None else nested or None,
        q=rest.single(given, "q"),
        sort=rest.single(given, "sort") or Query().sort,
        limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
        deleted=rest.flag(given, "deleted"),
        total=rest.flag(given, "total"),
        **_wanted(given),
    )


def _wanted(given: dict[str, list[str]]) -> dict[str, Any]:
    """`fields=` and `include=`, as far as they are given."""
    listed = {name: rest.single(given, name) for name in ("fields", "include") if name in given}
    return {name: [each.strip() for each in (names or "").split(",")] for name, names in listed.items()}


CALLING: Final = docs.About(
    needs="contacts:read",
    query={
        "number": docs.text(
            "The number that is calling, in any format, or its last six digits or more",
            needed=True,
            example="0412 345 678",
            format="phone",
        ),
        **schemas.WANTED,
    },
)


@get("/contacts/lookup", tags=TAGS, summary="Who is calling?", about=CALLING)
async def lookup(request: Request[Any, Any, Any], read: ReadTx) -> Page[Contact]:
    """Every contact that may be calling from a number, in any format, likeliest first."""
    given = rest.query(request)
    number = rest.single(given, "number")
    if not number:
        raise InvalidInput.at("number", "is needed: the number that is calling, in any format")
    return Page(await queries.lookup(read, number, **_wanted(given)))


GETTING: Final = docs.About(
    needs="contacts:read",
    query={
        **schemas.WANTED,
        "as_of": docs.text(
            "As it was at this moment, also while it was deleted", example="2026-11-01T10:00:00Z", format="date-time"
        ),
    },
    errors=(ContactNotFound, HistoryGone),
    etag=True,
)


@get("/contacts/{id:str}", tags=TAGS, summary="Get a contact", about=GETTING)
async def get_(request: Request[Any, Any, Any], id: str, read: ReadTx) -> Response[Contact]:
    """A contact by its id; deleted ones are not found, but with `as_of`."""
    given = rest.query(request)
    wanted, at = _wanted(given), rest.moment(given, "as_of")
    fields = wanted.get("fields")
    asked = wanted | {"fields": [*fields, "version"]} if fields else wanted
    if at is None:
        contact = await queries.get(read, rest.id_of(id), **asked)
    elif "include" in wanted:
        raise InvalidInput.at("include", "cannot go with as_of: what is included is there as it is now")
    else:
        contact = await history.as_of(read, rest.id_of(id), at, **asked)
    tag = _tag(read, contact, partly=bool(wanted) or at is not None)
    if fields and "version" not in fields:  # which the ETag needs all the same
        rules.put(contact, "version", UNSET)
    return Response(contact, headers={"ETag": tag})


CREATING: Final = docs.About(needs="contacts:write", errors=(DuplicateContact, ExternalIdTaken), etag=True)


@post("/contacts", dto=Body[NewContact], return_dto=None, tags=TAGS, summary="Create a contact", about=CREATING)
async def create(data: NewContact, tx: Tx) -> Response[Contact]:
    """Add a contact."""
    return _located(tx, await actions.create(tx, data))


UPSERTING: Final = docs.About(
    needs="contacts:write",
    query={"match": docs.choice("What a contact is recognised by", get_args(MatchBy), needed=True)},
    errors=(AmbiguousMatch, DuplicateContact, ExternalIdTaken),
    answers={200: "One matched, and is updated.", 201: "None matched, and one was made."},
    etag=True,
)


@put("/contacts", dto=Body[NewContact], return_dto=None, tags=TAGS, summary="Create or update", about=UPSERTING)
async def upsert(request: Request[Any, Any, Any], data: NewContact, tx: Tx) -> Response[Contact]:
    """Update the contact that matches by e-mail, phone or external id, or create it: never two, however many ask."""
    match = rest.single(rest.query(request), "match")
    if match not in get_args(MatchBy):
        raise InvalidInput.at("match", f"must be {', '.join(get_args(MatchBy))}, not {match!r}")
    upserted = await actions.upsert(tx, data, match=cast(MatchBy, match))
    return _located(tx, upserted.contact) if upserted.created else _tagged(tx, upserted.contact)


UPDATING: Final = docs.About(
    needs="contacts:write",
    errors=(ContactNotFound, DuplicateContact, ExternalIdTaken),
    etag=True,
    if_match=True,
)


@patch(
    "/contacts/{id:str}",
    dto=Body[ContactPatch],
    return_dto=None,
    tags=TAGS,
    summary="Update a contact",
    about=UPDATING,
)
async def update(request: Request[Any, Any, Any], id: str, data: ContactPatch, tx: Tx) -> Response[Contact]:
    """Change a contact by a JSON merge patch (RFC 7396); with If-Match, only if it is still at that version."""
    return _tagged(tx, await actions.update(tx, rest.id_of(id), data, version=rest.version_of(request)))


DELETING: Final = docs.About(needs="contacts:write", errors=(ContactNotFound,), if_match=True)


@delete("/contacts/{id:str}", tags=TAGS, summary="Delete a contact", about=DELETING)
async def delete_(request: Request[Any, Any, Any], id: str, tx: Tx) -> None:
    """Take a contact out of lists and search; it can be restored until it is purged."""
    await actions.delete(tx, rest.id_of(id), version=rest.version_of(request))


RESTORING: Final = docs.About(
    needs="contacts:write", errors=(ContactNotFound, DuplicateContact, ExternalIdTaken), etag=True
)


@post(
    "/contacts/{id:str}/restore",
    status_code=HTTP_200_OK,
    tags=TAGS,
    summary="Restore a deleted contact",
    about=RESTORING,
)
async def restore(id: str, tx: Tx) -> Response[Contact]:
    """Bring a deleted contact back."""
    return _tagged(tx, await actions.restore(tx, rest.id_of(id)))


PURGING: Final = docs.About(needs="contacts:purge", errors=(ContactNotFound,))


@post("/contacts/{id:str}/purge", status_code=204, tags=TAGS, summary="Erase a contact for good", about=PURGING)
async def purge(id: str, tx: Tx) -> None:
    """Erase a contact and every copy of its data at once, deleted before or not. This cannot be undone."""
    await actions.purge(tx, rest.id_of(id))


ROUTES: Final = (page, lookup, get_, create, upsert, update, delete_, restore, purge)
