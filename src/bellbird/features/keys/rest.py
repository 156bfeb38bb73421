"""API keys over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final

from litestar import Request, Response, delete, get, patch, post
from litestar.status_codes import HTTP_201_CREATED

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import CannotGrant
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.keys import actions, queries
from bellbird.features.keys.actions import MAX_NAME
from bellbird.features.keys.models import ApiKey, KeyNotFound, KeyPatch, NewKey
from bellbird.features.roles.granting import GRANTABLE

TAGS: Final = docs.tag("API keys", "How programs sign in to a tenant.")

_NEW: Final[dict[str, Any]] = {"name": "Website form", "scopes": ["contacts:write"], "visibility": "all"}
_NAME: Final = {**docs.line(MAX_NAME), "minLength": 1}
_SHOWN: Final[dict[str, Any]] = {
    "id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f",
    **_NEW,
    "prefix": "bb_live_4fQ9xZ",
    "created_by": "user:0192f0c0-0000-7000-8000-00000000a117",
    "created_at": "2026-03-02T09:30:00.125Z",
    "expires_at": None,
    "last_used_at": "2026-03-02T10:12:00.5Z",
    "revoked_at": None,
}

docs.shape(
    NewKey,
    example=_NEW,
    properties={"name": _NAME, "scopes": {"items": {"enum": sorted(GRANTABLE)}, "minItems": 1}},
)
docs.shape(KeyPatch, example={"name": "Website form (new)"}, properties={"name": _NAME})
docs.shape(ApiKey, example=_SHOWN)

LISTING: Final = docs.About(
    needs="keys:read", query={"revoked": docs.flag("Those that were revoked as well"), **docs.PAGED}
)


@get("/keys", tags=TAGS, summary="List API keys", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[ApiKey]:
    """A page of keys, newest first; the keys themselves are not shown."""
    given = rest.query(request)
    return await queries.page(
        read, revoked=rest.flag(given, "revoked"), limit=rest.size(given), cursor=rest.single(given, "cursor")
    )


GETTING: Final = docs.About(needs="keys:read", errors=(KeyNotFound,))


@get("/keys/{id:str}", tags=TAGS, summary="Get an API key", about=GETTING)
async def get_(id: str, read: ReadTx) -> ApiKey:
    """What is known of a key, revoked or not; the key itself is not shown."""
    return await queries.get(read, rest.id_of(id))


CREATING: Final = docs.About(
    needs="keys:write",
    errors=(CannotGrant,),
    answer={
        **_SHOWN,
        "last_used_at": None,
        "key": "bb_live_4fQ9xZ0aB1cD2eF3gH4iJ5kL6mN7oP8qR02h5kR1mJ0dXwYb3TnQ8vLs2h5kR0p7cFuWzE9aGiKtVxB3yD6n",
    },
)


@post("/keys", dto=Body[NewKey], return_dto=None, tags=TAGS, summary="Make an API key", about=CREATING)
async def create(data: NewKey, tx: Tx) -> Response[ApiKey]:
    """Make a key. Its text is in `key`, in this answer alone: keep it where secrets are kept.

    It can have no permission, see no record and no field that its maker does not.
    """
    key = await actions.create(tx, data)
    headers = {"Location": f"/api/v1/keys/{key.id}", "Cache-Control": "no-store"}
    return Response(key, status_code=HTTP_201_CREATED, headers=headers)


UPDATING: Final = docs.About(needs="keys:write", errors=(KeyNotFound,))


@patch("/keys/{id:str}", dto=Body[KeyPatch], return_dto=None, tags=TAGS, summary="Rename an API key", about=UPDATING)
async def update(id: str, data: KeyPatch, tx: Tx) -> ApiKey:
    """Rename a key by a JSON merge patch (RFC 7396). What it may do stays as it is: make another one for that."""
    return await actions.update(tx, rest.id_of(id), data)


REVOKING: Final = docs.About(needs="keys:write", errors=(KeyNotFound,))


@delete("/keys/{id:str}", tags=TAGS, summary="Revoke an API key", about=REVOKING)
async def revoke(id: str, tx: Tx) -> None:
    """End a key for good: within a second it is taken no more. It can still be read, with when it was revoked.

    Revoking it again changes nothing, and is answered alike.
    """
    await actions.revoke(tx, rest.id_of(id))


ROUTES: Final = (page, get_, create, update, revoke)
