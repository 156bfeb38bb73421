"""Contacts over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final, cast, get_args

from litestar import Request, Response, delete, get, patch, post, put
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core import filters
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import DEFAULT_LIMIT, Page, limit
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.contacts import actions, queries
from bellbird.features.contacts.models import Contact, ContactPatch, MatchBy, NewContact
from bellbird.features.contacts.queries import Query

LIST_PARAMETERS: Final = frozenset({"filter", "q", "sort", "limit", "cursor", "deleted", "total"})
TAGS: Final = ("Contacts",)


def _tagged(contact: Contact, status: int = HTTP_200_OK, **headers: str) -> Response[Contact]:
    return Response(contact, status_code=status, headers={"ETag": f'"{contact.version}"', **headers})


def _located(contact: Contact) -> Response[Contact]:
    return _tagged(contact, HTTP_201_CREATED, Location=f"/api/v1/contacts/{contact.id}")


LISTING: Final = docs.parameters(
    q="What a person typed in a search box: names, companies, e-mails, numbers; the best matches come first",
    filter='A condition as JSON, such as {"or": [{"tag": "vip"}, {"created_at": {"gte": "2026-01-01"}}]}; '
    "simple ones also as filter[field]=value and filter[field][operator]=value",
    sort="created_at, updated_at or name; with a minus sign descending (default -created_at)",
    limit="Contacts in a page, 1 to 200 (default 50)",
    cursor="next_cursor or previous_cursor of another page of the same list",
    deleted="true: the deleted contacts that can still be restored instead",
    total="true: also how many there are, exact up to 10,000 and estimated above",
)


@get("/contacts", tags=TAGS, summary="List, filter and search contacts", operation_class=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[Contact]:
    """A page of contacts, newest first unless sorted or searched otherwise."""
    return await queries.page(read, _query(rest.query(request, LIST_PARAMETERS)))


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
        limit=limit(rest.single(given, "limit") or DEFAULT_LIMIT),
        cursor=rest.single(given, "cursor"),
        deleted=_flag(given, "deleted"),
        total=_flag(given, "total"),
    )


def _flag(given: dict[str, list[str]], name: str) -> bool:
    try:
        return filters.read_boolean(rest.single(given, name) or "false")
    except ValueError as error:
        raise InvalidInput.at(name, str(error)) from None


CALLING: Final = docs.parameters(number="!The number that is calling, in any format, or its last six digits or more")


@get("/contacts/lookup", tags=TAGS, summary="Who is calling?", operation_class=CALLING)
async def lookup(request: Request[Any, Any, Any], read: ReadTx) -> Page[Contact]:
    """Every contact that may be calling from a number, in any format, likeliest first."""
    number = rest.single(rest.query(request, frozenset({"number"})), "number")
    if not number:
        raise InvalidInput.at("number", "is needed: the number that is calling, in any format")
    return Page(await queries.lookup(read, number))


@get("/contacts/{id:str}", tags=TAGS, summary="Get a contact")
async def get_(id: str, read: ReadTx) -> Response[Contact]:
    """A contact by its id; deleted ones are not found."""
    return _tagged(await queries.get(read, rest.id_of(id)))


@post("/contacts", dto=Body[NewContact], return_dto=None, tags=TAGS, summary="Create a contact")
async def create(data: NewContact, tx: Tx) -> Response[Contact]:
    """Add a contact."""
    return _located(await actions.create(tx, data))


MATCHING: Final = docs.parameters(match="!What a contact is recognised by: email, phone or external_id")


@put(
    "/contacts", dto=Body[NewContact], return_dto=None, tags=TAGS, summary="Create or update", operation_class=MATCHING
)
async def upsert(request: Request[Any, Any, Any], data: NewContact, tx: Tx) -> Response[Contact]:
    """Update the contact that matches by e-mail, phone or external id, or create it: never two, however many ask."""
    match = rest.single(rest.query(request, frozenset({"match"})), "match")
    if match not in get_args(MatchBy):
        raise InvalidInput.at("match", f"must be {', '.join(get_args(MatchBy))}, not {match!r}")
    upserted = await actions.upsert(tx, data, match=cast(MatchBy, match))
    return _located(upserted.contact) if upserted.created else _tagged(upserted.contact)


@patch("/contacts/{id:str}", dto=Body[ContactPatch], return_dto=None, tags=TAGS, summary="Update a contact")
async def update(request: Request[Any, Any, Any], id: str, data: ContactPatch, tx: Tx) -> Response[Contact]:
    """Change a contact by a JSON merge patch (RFC 7396); with If-Match, only if it is still at that version."""
    return _tagged(await actions.update(tx, rest.id_of(id), data, version=rest.version_of(request)))


@delete("/contacts/{id:str}", tags=TAGS, summary="Delete a contact")
async def delete_(request: Request[Any, Any, Any], id: str, tx: Tx) -> None:
    """Take a contact out of lists and search; it can be restored until it is purged."""
    await actions.delete(tx, rest.id_of(id), version=rest.version_of(request))


@post("/contacts/{id:str}/restore", status_code=HTTP_200_OK, tags=TAGS, summary="Restore a deleted contact")
async def restore(id: str, tx: Tx) -> Response[Contact]:
    """Bring a deleted contact back."""
    return _tagged(await actions.restore(tx, rest.id_of(id)))


@post("/contacts/{id:str}/purge", status_code=204, tags=TAGS, summary="Erase a contact for good")
async def purge(id: str, tx: Tx) -> None:
    """Erase a contact and every copy of its data at once, deleted before or not. This cannot be undone."""
    await actions.purge(tx, rest.id_of(id))


ROUTES: Final = (page, lookup, get_, create, upsert, update, delete_, restore, purge)
