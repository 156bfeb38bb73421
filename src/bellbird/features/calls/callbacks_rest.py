"""Where call providers tell what becomes of calls. They have no token: what they send is signed."""

from typing import Any, Final
from uuid import UUID

from litestar import Request, Response, post
from litestar.status_codes import HTTP_200_OK, HTTP_204_NO_CONTENT

from bellbird.core.errors import BodyTooLarge, RateLimited
from bellbird.core.telephony import Callback, CallbackMalformed, CallbackRefused, Reply
from bellbird.entrypoints import docs
from bellbird.entrypoints.rest import Access
from bellbird.features.calls import receiving

TAGS: Final = docs.tag("Callbacks", "What call providers send; their addresses are told to them.")

# What a provider has to say takes a thousandth of it.
MAX_BODY: Final = 65_536

_PATH: Final = {
    "tenant": docs.text("The tenant's id", format="uuid"),
    "account": docs.text("The id of the tenant's account with the provider", format="uuid"),
}
# Their values are looked at once the signature is right.
_QUERY: Final = {
    "call": docs.text("The id of the call that it is about, where Bellbird has placed that"),
    "bodySHA256": docs.text("Of a JSON body, where the provider's signature does not cover that itself"),
}
_ERRORS: Final = (CallbackRefused, CallbackMalformed, BodyTooLarge, RateLimited)

TELLING: Final = docs.About(
    public=True, idempotency_key=False, errors=_ERRORS, path=_PATH, query=_QUERY,
    answers={204: "It was taken."},
)  # fmt: skip


@post(
    "/callbacks/{tenant:str}/{account:str}", status_code=HTTP_204_NO_CONTENT, tags=TAGS,
    summary="Tell what became of a call", about=TELLING, request_max_body_size=MAX_BODY,
)  # fmt: skip
async def tell(request: Request[Any, Any, Any], tenant: str, account: str, access: Access) -> None:
    """For call providers: what has happened to a call, in the provider's own words, signed in the provider's own way.

    It may be sent as often as it takes, and in any order. Whatever is not signed by the account's provider is refused,
    in the same words whether there is such an account or not.
    """
    await _received(request, tenant, account, access)


ASKING: Final = docs.About(
    public=True, idempotency_key=False, errors=_ERRORS, path=_PATH, query=_QUERY,
    answers={200: "What to do, in the provider's own language."}, media="text/xml",
    answer="<Response><Dial><Client>0192f0c0-0000-7000-8000-00000000a117</Client></Dial></Response>",
)  # fmt: skip


@post(
    "/callbacks/{tenant:str}/{account:str}/voice", status_code=HTTP_200_OK, tags=TAGS,
    summary="Ask what to do with a call that comes in", about=ASKING, request_max_body_size=MAX_BODY,
)  # fmt: skip
async def ask(request: Request[Any, Any, Any], tenant: str, account: str, access: Access) -> Response[bytes]:
    """For call providers: somebody calls one of the account's numbers.

    The call is made, with everybody who may be calling, and the answer connects it with an agent.
    """
    reply = await _received(request, tenant, account, access, voice=True)
    return Response(reply.body, status_code=HTTP_200_OK, media_type=reply.content_type)


async def _received(
    request: Request[Any, Any, Any], tenant: str, account: str, access: Access, *, voice: bool = False
) -> Reply:  # fmt: skip
    """Raises RateLimited, BodyTooLarge, CallbackRefused, CallbackMalformed."""
    scope = request.scope
    client = scope.get("client")
    await access.rates.check_caller_back(client[0] if client else None, scope["state"]["headers"])
    # As the provider called it, which it has signed: what a proxy has made of that is of no interest.
    url = f"{access.engine.public_url.rstrip('/')}/api/v1/callbacks/{tenant}/{account}{'/voice' if voice else ''}"
    if scope["query_string"]:
        url += "?" + scope["query_string"].decode("ascii", "replace")
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    callback = Callback(request.method, url, headers, await request.body())
    return await receiving.receive(access.engine, _id(tenant), _id(account), callback, voice=voice)


def _id(text: str) -> UUID:
    """What is no id at all is refused like one that nobody has."""
    try:
        return UUID(text)
    except ValueError:
        return NOBODY


NOBODY: Final = UUID(int=0)

ROUTES: Final = (tell, ask)
