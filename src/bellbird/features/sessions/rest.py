"""Signing in over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from datetime import timedelta
from typing import Any, Final

from litestar import Request, Response, delete, get, post
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from bellbird.core import passwords
from bellbird.core.emails import MAX_OCTETS
from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import Forbidden, RateLimited
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Access, Body
from bellbird.features.sessions import actions, queries
from bellbird.features.sessions.models import (
    Acceptance,
    Caller,
    InvalidCredentials,
    InvitationInvalid,
    Me,
    NoPassword,
    NoSession,
    PasswordChange,
    PasswordChanged,
    Person,
    Refresh,
    RefreshTokenInvalid,
    RefreshTokenReused,
    Session,
    SessionNotFound,
    SignedIn,
    SignedInTenant,
    SignIn,
    Started,
    TenantNeeded,
    TooManySignIns,
    Withheld,
)
from bellbird.features.users.actions import MAX_NAME

SIGNING_IN: Final = docs.tag("Signing in", "From an e-mail address and a password to tokens, and back out.")
ONESELF: Final = docs.tag("Me", "Who is calling, and where they are signed in.")

_RANDOM: Final = "4fQ9xZ0aB1cD2eF3gH4iJ5kL6mN7oP8qR02h5kR1mJ0dXwYb3TnQ8vLs2h5kR0p7cFuWzE9aGiKtVxB3yD6n"
_PERSON: Final = {"id": "0192f0c0-0000-7000-8000-00000000a117", "email": "ann.lee@acme.com.au", "name": "Ann Lee"}
_TENANT: Final = {
    "id": "0192f0c0-b1b2-7c3d-8e4f-5a6b7c8d9e0f", "slug": "acme", "name": "Acme Pty Ltd", "status": "active",
}  # fmt: skip
_SESSION: Final = {
    "id": "0192f0c0-c1b2-7c3d-8e4f-5a6b7c8d9e0f",
    "user_agent": "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)",
    "created_at": "2026-03-02T09:30:00.125Z",
    "last_used_at": "2026-03-02T10:12:00.5Z",
    "expires_at": "2026-04-01T09:30:00.125Z",
    "current": True,
}
_WITHHELD: Final = {"hidden": ["birthday"], "read_only": ["phones"]}
_PASSWORD: Final = {"format": "password", "maxLength": passwords.MAX_LENGTH}
_NEW_PASSWORD: Final = {**_PASSWORD, "minLength": passwords.MIN_LENGTH}
_TOKEN: Final = {"maxLength": 200}

docs.shape(
    SignIn,
    example={"email": _PERSON["email"], "password": "five plain words will do", "tenant": "acme"},
    properties={
        "email": {"format": "email", "maxLength": MAX_OCTETS},
        "password": _PASSWORD,
        "tenant": {"maxLength": 63, "description": "Its slug."},
    },
)
docs.shape(Refresh, example={"refresh_token": f"bb_refresh_{_RANDOM}"}, properties={"refresh_token": _TOKEN})
docs.shape(
    PasswordChange,
    example={"current_password": "five plain words will do", "new_password": "and so will these others"},
    properties={"current_password": _PASSWORD, "new_password": _NEW_PASSWORD},
)
docs.shape(
    Acceptance,
    example={"token": f"bb_invite_{_RANDOM}", "password": "five plain words will do"},
    properties={"token": _TOKEN, "password": _PASSWORD, "name": docs.line(MAX_NAME)},
)
docs.shape(Person, example=_PERSON, properties={"email": {"format": "email"}})
docs.shape(SignedInTenant, example=_TENANT)
docs.shape(
    SignedIn,
    example={
        "access_token": "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIwMTkyZjBjMCJ9.c2lnbmF0dXJl",
        "token_type": "Bearer", "expires_in": 900, "refresh_token": f"bb_refresh_{_RANDOM}", "user": _PERSON,
        "tenant": _TENANT,
    },
    properties={"expires_in": {"description": "Seconds.", "minimum": 1}},
)  # fmt: skip
docs.shape(Session, example=_SESSION)
docs.shape(Withheld, example=_WITHHELD)
docs.shape(
    Me,
    example={
        "kind": "user", "id": _PERSON["id"], "user": _PERSON, "tenant": _TENANT, "role": "agent",
        "permissions": ["contacts:read", "contacts:write", "teams:read", "users:read"], "visibility": "team",
        "fields": {"contact": _WITHHELD}, "session": _SESSION,
    },
)  # fmt: skip


def _caller(request: Request[Any, Any, Any]) -> Caller:
    scope = request.scope
    client = scope.get("client")
    return Caller(
        address=client[0] if client else None,
        user_agent=rest.header(scope, b"user-agent"),
        request_id=scope["state"]["request_id"],
        origin="api",
    )


async def _counted(request: Request[Any, Any, Any], access: Access) -> Caller:
    """Who is at the door. Raises RateLimited when they knock too often."""
    caller = _caller(request)
    await access.rates.check_address(caller.address, request.scope["state"]["headers"])
    return caller


def _signed_in(access: Access, started: Started) -> Response[SignedIn]:
    life = timedelta(minutes=access.settings.access_token_minutes)
    # No role is in it: the membership is asked, and what is changed there holds within a second.
    token = access.tokens.make(started.tenant.id, started.user.id, valid_for=life, session_id=started.id)
    answer = SignedIn(token, "Bearer", int(life.total_seconds()), started.refresh_token, started.user, started.tenant)
    return Response(answer, status_code=HTTP_200_OK, headers={"Cache-Control": "no-store"})


ENTERING: Final = docs.About(
    public=True, idempotency_key=False, errors=(InvalidCredentials, TenantNeeded, TooManySignIns, RateLimited)
)


@post(
    "/auth/sign-in", dto=Body[SignIn], return_dto=None, status_code=HTTP_200_OK, tags=SIGNING_IN, summary="Sign in",
    about=ENTERING,
)  # fmt: skip
async def sign_in(request: Request[Any, Any, Any], data: SignIn, access: Access) -> Response[SignedIn]:
    """Get an access token and a refresh token for an e-mail address and a password.

    Whoever is a member of several tenants names one; until they do, the answer is `tenant_needed` and lists them.
    The answer to a wrong password is the same whether the person has an account or not.
    """
    caller = await _counted(request, access)
    return _signed_in(access, await actions.sign_in(access.engine, access.settings, data, caller))


REFRESHING: Final = docs.About(
    public=True, idempotency_key=False, errors=(RefreshTokenInvalid, RefreshTokenReused, RateLimited)
)


@post(
    "/auth/refresh", dto=Body[Refresh], return_dto=None, status_code=HTTP_200_OK, tags=SIGNING_IN,
    summary="Exchange a refresh token", about=REFRESHING,
)  # fmt: skip
async def refresh(request: Request[Any, Any, Any], data: Refresh, access: Access) -> Response[SignedIn]:
    """Get the next access token and the next refresh token of a session.

    Each refresh token is good for once. When one comes a second time, two have it: the session is ended at once.
    """
    caller = await _counted(request, access)
    return _signed_in(access, await actions.refresh(access.engine, data.refresh_token, caller))


ACCEPTING: Final = docs.About(
    public=True, idempotency_key=False, errors=(InvitationInvalid, TooManySignIns, RateLimited)
)  # fmt: skip


@post(
    "/auth/invitations/accept", dto=Body[Acceptance], return_dto=None, status_code=HTTP_200_OK, tags=SIGNING_IN,
    summary="Accept an invitation", about=ACCEPTING,
)  # fmt: skip
async def accept(request: Request[Any, Any, Any], data: Acceptance, access: Access) -> Response[SignedIn]:
    """Join a tenant, and sign in to it.

    Who is new to Bellbird, or whose password was reset, chooses the password; everybody else gives the one they have.
    """
    caller = await _counted(request, access)
    return _signed_in(access, await actions.accept(access.engine, access.settings, data, caller))


LEAVING: Final = docs.About(errors=(Forbidden, NoSession))


@post(
    "/auth/sign-out", status_code=HTTP_204_NO_CONTENT, tags=SIGNING_IN, summary="Sign out", about=LEAVING
)  # fmt: skip
async def sign_out(request: Request[Any, Any, Any], tx: Tx, access: Access) -> None:
    """End the session that the token belongs to: within a second its tokens are taken no more."""
    await actions.sign_out(tx, (await access.claims(request.scope)).session_id)


CHANGING: Final = docs.About(idempotency_key=False, errors=(Forbidden, NoPassword, PasswordChanged, TooManySignIns))


@post(
    "/auth/password", dto=Body[PasswordChange], return_dto=None, status_code=HTTP_204_NO_CONTENT, tags=SIGNING_IN,
    summary="Change your password", about=CHANGING,
)  # fmt: skip
async def change_password(request: Request[Any, Any, Any], data: PasswordChange, access: Access) -> None:
    """Put a new password in the present one's place, and end every other session that you have, in whatever tenant."""
    _, actor = await access.enter(request.scope)
    session_id = (await access.claims(request.scope)).session_id
    await actions.change_password(
        access.engine, access.settings, actor, data, session_id=session_id, caller=_caller(request)
    )


@get("/me", tags=ONESELF, summary="Who am I?", about=docs.About())
async def me(request: Request[Any, Any, Any], read: ReadTx, access: Access) -> Me:
    """Who is calling, in which tenant, and what they may do: a person or an API key."""
    return await queries.me(read, session_id=(await access.claims(request.scope)).session_id)


OWN: Final = docs.About(errors=(Forbidden,))


@get("/me/sessions", tags=ONESELF, summary="Where am I signed in?", about=OWN)
async def sessions(request: Request[Any, Any, Any], read: ReadTx, access: Access) -> Page[Session]:
    """Your sessions in this tenant that still hold, last used first."""
    return Page(await queries.page(read, session_id=(await access.claims(request.scope)).session_id))


@delete("/me/sessions", tags=ONESELF, summary="Sign out everywhere", about=OWN)
async def end_all(tx: Tx) -> None:
    """End every session that you have in this tenant, this one included."""
    await actions.end_all(tx)


ENDING: Final = docs.About(errors=(Forbidden, SessionNotFound))


@delete("/me/sessions/{id:str}", tags=ONESELF, summary="End one of your sessions", about=ENDING)
async def end(id: str, tx: Tx) -> None:
    """End a session of yours: within a second its tokens are taken no more."""
    await actions.end(tx, rest.id_of(id))


ROUTES: Final = (sign_in, refresh, accept, sign_out, change_password, me, sessions, end_all, end)
