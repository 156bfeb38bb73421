"""Call accounts over HTTP: routes, status codes, headers; what they mean is in the actions and queries."""

from typing import Any, Final

from litestar import Request, Response, delete, get, patch, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.paging import Page
from bellbird.core.phones import MAX_LENGTH
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.call_accounts import actions, queries
from bellbird.features.call_accounts.cleaning import MAX_IDENTIFIER, MAX_NAME, MAX_NUMBERS, MAX_SECRET
from bellbird.features.call_accounts.models import (
    CallAccount,
    CallAccountInUse,
    CallAccountNotFound,
    CallAccountPatch,
    CallAccountTaken,
    Line,
    NewCallAccount,
    NoVault,
)

TAGS: Final = docs.tag("Call accounts", "With which provider a tenant calls, and the numbers that it calls from.")

_ID: Final = "0192f0c0-a1b2-7c3d-8e4f-5a6b7c8d9e0f"
_URL: Final = f"https://calls.acme.example/api/v1/callbacks/0192f0c0-0000-7000-8000-0000000ac3e0/{_ID}"
_SID: Final = "AC" + "0123456789abcdef" * 2
_LINE: Final[dict[str, Any]] = {"number": "+61293744000", "label": "Front desk", "agent_id": None}
_NEW: Final[dict[str, Any]] = {
    "provider": "twilio",
    "identifier": _SID,
    "secret": "the auth token of the account",
    "name": "Main",
    "numbers": [_LINE],
    "options": {"edge": "sydney"},
}
_NAME: Final = {**docs.line(MAX_NAME), "minLength": 1}
_SECRET: Final = {"minLength": 1, "maxLength": MAX_SECRET}
_NUMBERS: Final = {"maxItems": MAX_NUMBERS}

docs.shape(
    Line,
    example=_LINE,
    properties={"number": {"maxLength": MAX_LENGTH, "minLength": 1}, "label": docs.line(MAX_NAME)},
)
docs.shape(
    CallAccount,
    example={
        "id": _ID,
        **{name: value for name, value in _NEW.items() if name != "secret"},
        "status": "active",
        "version": 1,
        "created_at": "2026-03-02T09:30:00.125Z",
        "updated_at": "2026-03-02T09:30:00.125Z",
        "callback_url": _URL,
        "voice_url": f"{_URL}/voice",
    },
)
docs.shape(
    NewCallAccount,
    example=_NEW,
    properties={
        "identifier": {**docs.line(MAX_IDENTIFIER), "minLength": 1}, "name": docs.line(MAX_NAME), "secret": _SECRET,
        "numbers": _NUMBERS,
    },
)  # fmt: skip
docs.shape(
    CallAccountPatch, example={"status": "paused"}, properties={"name": _NAME, "secret": _SECRET, "numbers": _NUMBERS}
)


def _tagged(account: CallAccount, status: int = HTTP_200_OK, **headers: str) -> Response[CallAccount]:
    return Response(account, status_code=status, headers={"ETag": f'"{account.version}"', **headers})


LISTING: Final = docs.About(needs="call_accounts:read", query=docs.PAGED)


@get("/call-accounts", tags=TAGS, summary="List call accounts", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[CallAccount]:
    """A page of accounts, oldest first; their secrets are not shown."""
    given = rest.query(request)
    return await queries.page(read, limit=rest.size(given), cursor=rest.single(given, "cursor"))


GETTING: Final = docs.About(needs="call_accounts:read", errors=(CallAccountNotFound,), etag=True)


@get("/call-accounts/{id:str}", tags=TAGS, summary="Get a call account", about=GETTING)
async def get_(id: str, read: ReadTx) -> Response[CallAccount]:
    """An account with its numbers, and with the addresses that its provider calls; its secret is not shown."""
    return _tagged(await queries.get(read, rest.id_of(id)))


CONNECTING: Final = docs.About(needs="call_accounts:write", errors=(CallAccountTaken, NoVault), etag=True)


@post(
    "/call-accounts", dto=Body[NewCallAccount], return_dto=None, tags=TAGS, summary="Connect a call account",
    about=CONNECTING,
)  # fmt: skip
async def connect(data: NewCallAccount, tx: Tx) -> Response[CallAccount]:
    """Keep an account with a provider, its secret encrypted: it is never shown again.

    The provider is not asked: a secret that is wrong is found out by the first call.
    """
    account = await actions.connect(tx, data)
    return _tagged(account, HTTP_201_CREATED, Location=f"/api/v1/call-accounts/{account.id}")


CHANGING: Final = docs.About(
    needs="call_accounts:write", errors=(CallAccountNotFound, NoVault), etag=True, if_match=True
)


@patch(
    "/call-accounts/{id:str}", dto=Body[CallAccountPatch], return_dto=None, tags=TAGS, summary="Change a call account",
    about=CHANGING,
)  # fmt: skip
async def change(
    request: Request[Any, Any, Any], id: str, data: CallAccountPatch, tx: Tx
) -> Response[CallAccount]:  # fmt: skip
    """Change an account by a JSON merge patch (RFC 7396): its numbers, its secret, whether calls are placed with it.

    `numbers` and `options` replace those that there were.
    """
    return _tagged(await actions.change(tx, rest.id_of(id), data, version=rest.version_of(request)))


DISCONNECTING: Final = docs.About(
    needs="call_accounts:write", errors=(CallAccountNotFound, CallAccountInUse), if_match=True
)


@delete("/call-accounts/{id:str}", tags=TAGS, summary="Disconnect a call account", about=DISCONNECTING)
async def disconnect(request: Request[Any, Any, Any], id: str, tx: Tx) -> None:
    """Forget an account and its secret. Its calls stay; while one is under way, it cannot be disconnected."""
    await actions.disconnect(tx, rest.id_of(id), version=rest.version_of(request))


ROUTES: Final = (page, get_, connect, change, disconnect)
