"""Users over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, delete, get, patch, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core import passwords
from bellbird.core.emails import MAX_OCTETS
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import CannotGrant, InvalidInput
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.users import actions, queries
from bellbird.features.users.actions import MAX_NAME, MAX_TEAMS
from bellbird.features.users.models import (
    AlreadyJoined,
    AlreadyMember,
    Invitation,
    LastOwner,
    NewUser,
    User,
    UserDisabled,
    UserNotFound,
    UserPatch,
)
from bellbird.features.users.queries import Query

TAGS: Final = docs.tag("Users", "The people who work in a tenant, each with a role.")

_NEW: Final[dict[str, Any]] = {"email": "ann.lee@acme.com.au", "name": "Ann Lee", "role": "agent", "visibility": "team"}
_TEAM: Final = "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
_INVITATION: Final = {
    "token": "bb_invite_4fQ9xZ0aB1cD2eF3gH4iJ5kL6mN7oP8qR02h5kR1mJ0dXwYb3TnQ8vLs2h5kR0p7cFuWzE9aGiKtVxB3yD6n",
    "expires_at": "2026-03-09T09:30:00.125Z",
}
_SHOWN: Final[dict[str, Any]] = {
    "id": "0192f0c0-0000-7000-8000-00000000a117",
    **_NEW,
    "team_ids": [_TEAM],
    "invited_until": None,
    "joined_at": "2026-03-02T10:12:00.5Z",
    "disabled_at": None,
    "version": 2,
    "created_at": "2026-03-02T09:30:00.125Z",
    "updated_at": "2026-03-02T10:12:00.5Z",
}
_INVITED: Final[dict[str, Any]] = {
    **_SHOWN, "joined_at": None, "invited_until": _INVITATION["expires_at"], "version": 1,
    "updated_at": _SHOWN["created_at"], "invitation": _INVITATION,
}  # fmt: skip

docs.shape(Invitation, example=_INVITATION)
docs.shape(
    User,
    example=_SHOWN,
    required=tuple(_SHOWN),
    properties={"email": {"format": "email"}},
)
docs.shape(
    NewUser,
    example={**_NEW, "team_ids": [_TEAM]},
    properties={
        "email": {"format": "email", "maxLength": MAX_OCTETS},
        "name": {**docs.line(MAX_NAME), "minLength": 1},
        "role": {"maxLength": 50},
        "team_ids": {"maxItems": MAX_TEAMS},
        "password": {
            "format": "password",
            "minLength": passwords.MIN_LENGTH,
            "maxLength": passwords.MAX_LENGTH,
            "description": "For who is new to Bellbird; without it they are invited. Whoever gives it knows it.",
        },
    },
)
docs.shape(
    UserPatch,
    example={"role": "manager", "visibility": None},
    properties={"role": {"maxLength": 50}, "team_ids": {"maxItems": MAX_TEAMS}},
)


def _tagged(user: User, status: int = HTTP_200_OK, **headers: str) -> Response[User]:
    return Response(user, status_code=status, headers={"ETag": f'"{user.version}"', **headers})


LISTING: Final = docs.About(
    needs="users:read",
    query={
        "role": docs.text("Only those who have this role", max_length=50, example="agent"),
        "team": docs.text("Only those who are in this team", format="uuid", example=_TEAM),
        "disabled": docs.flag("Those whose membership was ended instead"),
        **docs.PAGED,
    },
)


@get("/users", tags=TAGS, summary="List users", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[User]:
    """A page of users, whoever Bellbird has known longest first."""
    return await queries.page(read, _query(rest.query(request)))


def _query(given: dict[str, list[str]]) -> Query:
    """The query string as a Query. Raises InvalidInput naming the parameter."""
    return Query(
        role=rest.single(given, "role"),
        team=_team(rest.single(given, "team")),
        disabled=rest.flag(given, "disabled"),
        limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
    )


def _team(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text is not None else None
    except ValueError:
        raise InvalidInput.at("team", f"must be a UUID, not {(text or '')[:60]!r}", code="invalid_id") from None


GETTING: Final = docs.About(needs="users:read", errors=(UserNotFound,), etag=True)


@get("/users/{id:str}", tags=TAGS, summary="Get a user", about=GETTING)
async def get_(id: str, read: ReadTx) -> Response[User]:
    """A user by their id, also one whose membership was ended."""
    return _tagged(await queries.get(read, rest.id_of(id)))


ADDING: Final = docs.About(needs="users:write", errors=(AlreadyMember, CannotGrant), answer=_INVITED, etag=True)


@post("/users", dto=Body[NewUser], return_dto=None, tags=TAGS, summary="Add a user", about=ADDING)
async def add(data: NewUser, tx: Tx) -> Response[User]:
    """Make a person a member of the tenant.

    Who is new to Bellbird and given a password can sign in with it at once. Everybody else is given an invitation:
    send them its token, which is in this answer alone. Nobody gives a role that may do or see more than they.
    """
    user = await actions.add(tx, data)
    return _tagged(user, HTTP_201_CREATED, Location=f"/api/v1/users/{user.id}", **{"Cache-Control": "no-store"})


UPDATING: Final = docs.About(
    needs="users:write", errors=(UserNotFound, LastOwner, CannotGrant), etag=True, if_match=True
)  # fmt: skip


@patch("/users/{id:str}", dto=Body[UserPatch], return_dto=None, tags=TAGS, summary="Change a user", about=UPDATING)
async def update(request: Request[Any, Any, Any], id: str, data: UserPatch, tx: Tx) -> Response[User]:
    """Change what a user may do, see and belong to by a JSON merge patch (RFC 7396): it holds within a second.

    Nobody changes a user who may do or see more than they. With `disabled` true their sessions end as well; false
    lets the membership go on.
    """
    return _tagged(await actions.update(tx, rest.id_of(id), data, version=rest.version_of(request)))


REMOVING: Final = docs.About(needs="users:write", errors=(UserNotFound, LastOwner, CannotGrant), if_match=True)


@delete("/users/{id:str}", tags=TAGS, summary="Remove a user", about=REMOVING)
async def remove(request: Request[Any, Any, Any], id: str, tx: Tx) -> None:
    """End a membership, and every session the user has in the tenant, within a second. What they own stays theirs."""
    await actions.remove(tx, rest.id_of(id), version=rest.version_of(request))


INVITING: Final = docs.About(
    needs="users:write", errors=(UserNotFound, AlreadyJoined, UserDisabled, CannotGrant), answer=_INVITATION
)


@post("/users/{id:str}/invitation", status_code=HTTP_200_OK, tags=TAGS, summary="Invite anew", about=INVITING)
async def invite(id: str, tx: Tx) -> Response[Invitation]:
    """Invite somebody anew who has not joined yet. The token is in this answer alone; the one before it is void."""
    return Response(await actions.invite(tx, rest.id_of(id)), headers={"Cache-Control": "no-store"})


ROUTES: Final = (page, get_, add, update, remove, invite)
