"""Roles over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final
from zlib import crc32

import msgspec
from litestar import Request, Response, delete, get, patch, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core.actors import ROLES
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import CannotGrant
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.roles import actions, queries
from bellbird.features.roles.granting import GRANTABLE
from bellbird.features.roles.models import (
    NewRole,
    RoleBuiltIn,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    RolePatch,
    Rules,
    TenantRole,
)

TAGS: Final = docs.tag("Roles", "What somebody may do, whose records they see, and what is withheld from them.")

_RULES: Final = {"hidden": ["birthday"], "read_only": ["phones"]}
_NEW: Final[dict[str, Any]] = {
    "name": "night-shift",
    "permissions": ["contacts:read", "contacts:write"],
    "visibility": "team",
    "fields": {"contact": _RULES},
}
_PERMISSIONS: Final = {"items": {"enum": sorted(GRANTABLE)}}

docs.shape(Rules, example=_RULES)
docs.shape(
    TenantRole,
    name="Role",
    example={
        "id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f", "built_in": False, **_NEW, "version": 1,
        "created_at": "2026-03-02T09:30:00.125Z", "updated_at": "2026-03-02T09:30:00.125Z",
    },
)  # fmt: skip
docs.shape(
    NewRole,
    example=_NEW,
    properties={
        "name": {"pattern": "^[a-z0-9_-]{1,50}$", "not": {"enum": list(ROLES)}},
        "permissions": _PERMISSIONS,
    },
)
docs.shape(RolePatch, example={"visibility": "own"}, properties={"permissions": _PERMISSIONS})


_NAMED: Final = {"name": docs.text("Its name", example="night-shift", pattern="^[a-z0-9_-]{1,50}$")}


def _tagged(role: TenantRole, status: int = HTTP_200_OK, **headers: str) -> Response[TenantRole]:
    tag = str(role.version)
    if role.built_in:  # changes with Bellbird itself, and counts no versions
        tag += f"-{crc32(msgspec.json.encode(role)):x}"
    return Response(role, status_code=status, headers={"ETag": f'"{tag}"', **headers})


LISTING: Final = docs.About(needs="roles:read", query=docs.PAGED)


@get("/roles", tags=TAGS, summary="List roles", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[TenantRole]:
    """A page of roles: first those that are built in, then the tenant's own by name."""
    given = rest.query(request)
    return await queries.page(read, limit=rest.size(given), cursor=rest.single(given, "cursor"))


GETTING: Final = docs.About(needs="roles:read", path=_NAMED, errors=(RoleNotFound,), etag=True)


@get("/roles/{name:str}", tags=TAGS, summary="Get a role", about=GETTING)
async def get_(name: str, read: ReadTx) -> Response[TenantRole]:
    """A role by its name."""
    return _tagged(await queries.get(read, name))


CREATING: Final = docs.About(needs="roles:write", errors=(CannotGrant, RoleNameTaken), etag=True)


@post("/roles", dto=Body[NewRole], return_dto=None, tags=TAGS, summary="Create a role", about=CREATING)
async def create(data: NewRole, tx: Tx) -> Response[TenantRole]:
    """Add a role. It can have no permission, see no record and no field that its maker does not."""
    role = await actions.create(tx, data)
    return _tagged(role, HTTP_201_CREATED, Location=f"/api/v1/roles/{role.name}")


UPDATING: Final = docs.About(
    needs="roles:write", path=_NAMED, errors=(CannotGrant, RoleNotFound, RoleBuiltIn), etag=True, if_match=True
)


@patch(
    "/roles/{name:str}", dto=Body[RolePatch], return_dto=None, tags=TAGS, summary="Change a role", about=UPDATING
)  # fmt: skip
async def update(request: Request[Any, Any, Any], name: str, data: RolePatch, tx: Tx) -> Response[TenantRole]:
    """Change what a role may do, for everybody who has it, within a second.

    A JSON merge patch (RFC 7396). Only who could give both the role as it was and as it is then may change it.
    """
    return _tagged(await actions.update(tx, name, data, version=rest.version_of(request)))


DELETING: Final = docs.About(
    needs="roles:write", path=_NAMED, errors=(RoleNotFound, RoleBuiltIn, RoleInUse), if_match=True
)


@delete("/roles/{name:str}", tags=TAGS, summary="Delete a role", about=DELETING)
async def delete_(request: Request[Any, Any, Any], name: str, tx: Tx) -> None:
    """Delete a role that nobody has."""
    await actions.delete(tx, name, version=rest.version_of(request))


ROUTES: Final = (page, get_, create, update, delete_)
