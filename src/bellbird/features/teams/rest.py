"""Teams over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final

from litestar import Request, Response, delete, get, patch, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.teams import actions, queries
from bellbird.features.teams.models import NewTeam, Team, TeamNameTaken, TeamNotFound, TeamPatch
from bellbird.features.teams.naming import MAX_NAME

TAGS: Final = docs.tag("Teams", "Who works together. Who is in a team is said of each user, as `team_ids`.")

_NEW: Final = {"name": "Sales"}
_NAME: Final = {"name": {**docs.line(MAX_NAME), "minLength": 1}}

docs.shape(NewTeam, example=_NEW, properties=_NAME)
docs.shape(TeamPatch, example={"name": "Sales NZ"}, properties=_NAME)
docs.shape(
    Team,
    example={
        "id": "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f", **_NEW, "members": 3, "version": 1,
        "created_at": "2026-03-02T09:30:00.125Z", "updated_at": "2026-03-02T09:30:00.125Z",
    },
)  # fmt: skip


def _tagged(team: Team, status: int = HTTP_200_OK, **headers: str) -> Response[Team]:
    # The members come and go without the team being changed.
    tag = f'"{team.version}-{team.members}"'
    return Response(team, status_code=status, headers={"ETag": tag, **headers})


LISTING: Final = docs.About(needs="teams:read", query=docs.PAGED)


@get("/teams", tags=TAGS, summary="List teams", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[Team]:
    """A page of teams by name, with how many members each has."""
    given = rest.query(request)
    return await queries.page(read, limit=rest.size(given), cursor=rest.single(given, "cursor"))


GETTING: Final = docs.About(needs="teams:read", errors=(TeamNotFound,), etag=True)


@get("/teams/{id:str}", tags=TAGS, summary="Get a team", about=GETTING)
async def get_(id: str, read: ReadTx) -> Response[Team]:
    """A team by its id."""
    return _tagged(await queries.get(read, rest.id_of(id)))


CREATING: Final = docs.About(needs="teams:write", errors=(TeamNameTaken,), etag=True)


@post("/teams", dto=Body[NewTeam], return_dto=None, tags=TAGS, summary="Create a team", about=CREATING)
async def create(data: NewTeam, tx: Tx) -> Response[Team]:
    """Add a team, with nobody in it yet."""
    team = await actions.create(tx, data)
    return _tagged(team, HTTP_201_CREATED, Location=f"/api/v1/teams/{team.id}")


UPDATING: Final = docs.About(needs="teams:write", errors=(TeamNotFound, TeamNameTaken), etag=True, if_match=True)


@patch("/teams/{id:str}", dto=Body[TeamPatch], return_dto=None, tags=TAGS, summary="Rename a team", about=UPDATING)
async def update(request: Request[Any, Any, Any], id: str, data: TeamPatch, tx: Tx) -> Response[Team]:
    """Rename a team by a JSON merge patch (RFC 7396); with If-Match, only if it is still at that version."""
    return _tagged(await actions.update(tx, rest.id_of(id), data, version=rest.version_of(request)))


DELETING: Final = docs.About(needs="teams:write", errors=(TeamNotFound,), if_match=True)


@delete("/teams/{id:str}", tags=TAGS, summary="Delete a team", about=DELETING)
async def delete_(request: Request[Any, Any, Any], id: str, tx: Tx) -> None:
    """Delete a team and take everybody out of it: within a second they see each other's records no more."""
    await actions.delete(tx, rest.id_of(id), version=rest.version_of(request))


ROUTES: Final = (page, get_, create, update, delete_)
