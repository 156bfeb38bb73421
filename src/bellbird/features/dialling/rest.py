"""May I call, consents, opt-outs and washes over HTTP: routes, status codes; what they mean is in the actions."""

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED

from bellbird.core.engine import ReadTx, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.paging import Page
from bellbird.entrypoints import docs, rest
from bellbird.entrypoints.rest import Body
from bellbird.features.contacts import ContactNotFound
from bellbird.features.dialling import actions, examples, queries
from bellbird.features.dialling.models import (
    Consent,
    ConsentNotFound,
    DialDecision,
    DialDecisionNotFound,
    NewConsent,
    NewDialDecision,
    NewOptOut,
    NewWashes,
    NoNumberToCall,
    OptOut,
    OptOutNotFound,
    OptOutRemoval,
    Wash,
    Washed,
)

TAGS: Final = docs.tag("May I call?", "Whether somebody may be called, and what they have said about it.")
examples.describe()

_NUMBER: Final = docs.text("A telephone number, in any format", example="0412 345 678")

ASKING: Final = docs.About(needs="calls:write", errors=(ContactNotFound, NoNumberToCall))


@post(
    "/dial-decisions", dto=Body[NewDialDecision], return_dto=None, tags=TAGS, summary="May somebody be called?",
    about=ASKING,
)  # fmt: skip
async def ask(data: NewDialDecision, tx: Tx) -> Response[DialDecision]:
    """Whether a number may be called, or a contact, at a moment and for a purpose, with every reason against it.

    The answer is kept with its evidence. Every call that is placed asks by itself.
    """
    decided = await actions.ask(tx, data)
    location = f"/api/v1/dial-decisions/{decided.id}"
    return Response(decided, status_code=HTTP_201_CREATED, headers={"Location": location})


LISTING: Final = docs.About(
    needs="consents:read",
    query={
        "contact_id": docs.text("About this contact", format="uuid"),
        "number": _NUMBER,
        "allowed": docs.choice("Those that allowed it, or did not", ("true", "false")),
        **docs.PAGED,
    },
)


@get("/dial-decisions", tags=TAGS, summary="List dial decisions", about=LISTING)
async def page(request: Request[Any, Any, Any], read: ReadTx) -> Page[DialDecision]:
    """A page of what was decided, newest first, for calls and when somebody asked."""
    given = rest.query(request)
    contact_id, allowed = rest.single(given, "contact_id"), rest.single(given, "allowed")
    return await queries.page(
        read,
        contact_id=rest.id_of(contact_id) if contact_id else None,
        number=rest.single(given, "number"),
        allowed=rest.flag(given, "allowed") if allowed else None,
        limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
    )


GETTING: Final = docs.About(needs="consents:read", errors=(DialDecisionNotFound,))


@get("/dial-decisions/{id:str}", tags=TAGS, summary="Get a dial decision", about=GETTING)
async def get_(id: str, read: ReadTx) -> DialDecision:
    """A decision with its evidence, by its id."""
    return await queries.get(read, rest.id_of(id))


GRANTING: Final = docs.About(needs="consents:write", errors=(ContactNotFound,))


@post("/consents", dto=Body[NewConsent], return_dto=None, tags=TAGS, summary="Keep a consent", about=GRANTING)
async def grant(data: NewConsent, tx: Tx) -> Response[Consent]:
    """Keep a contact's word that they may be called for something."""
    granted = await actions.grant(tx, data)
    return Response(granted, status_code=HTTP_201_CREATED, headers={"Location": f"/api/v1/consents/{granted.id}"})


CONSENT: Final = docs.About(needs="consents:read", errors=(ConsentNotFound,))


@get("/consents/{id:str}", tags=TAGS, summary="Get a consent", about=CONSENT)
async def consent(id: str, read: ReadTx) -> Consent:
    """A consent by its id, ended or withdrawn or not."""
    return await queries.consent(read, rest.id_of(id))


CONSENTING: Final = docs.About(
    needs="consents:read",
    errors=(ContactNotFound,),
    query={"contact_id": docs.text("Whose", needed=True, format="uuid"), **docs.PAGED},
)


@get("/consents", tags=TAGS, summary="List a contact's consents", about=CONSENTING)
async def consents(request: Request[Any, Any, Any], read: ReadTx) -> Page[Consent]:
    """A page of a contact's consents, newest first, with those that ended or were withdrawn."""
    given = rest.query(request)
    contact_id = rest.single(given, "contact_id")
    if not contact_id:
        raise InvalidInput.at("contact_id", "is needed: whose consents?", code="missing_field")
    cursor = rest.single(given, "cursor")
    return await queries.consents(read, rest.id_of(contact_id), limit=rest.size(given), cursor=cursor)


WITHDRAWING: Final = docs.About(needs="consents:write", errors=(ConsentNotFound,))


@post(
    "/consents/{id:str}/withdraw", tags=TAGS, summary="Withdraw a consent", about=WITHDRAWING, status_code=HTTP_200_OK
)
async def withdraw(id: str, tx: Tx) -> Consent:
    """End a consent from now on. Withdrawing it again changes nothing, and is answered alike."""
    return await actions.withdraw(tx, rest.id_of(id))


OPTING: Final = docs.About(needs="consents:write", errors=(ContactNotFound,))


@post("/opt-outs", dto=Body[NewOptOut], return_dto=None, tags=TAGS, summary="Opt a number out", about=OPTING)
async def opt_out(data: NewOptOut, tx: Tx) -> Response[OptOut]:
    """Have a number never be called again, for whatever, by anybody of the tenant. Nothing overrides it.

    A number that is opted out already is answered with how it was.
    """
    made = await actions.create_opt_out(tx, data)
    return Response(made, status_code=HTTP_201_CREATED, headers={"Location": f"/api/v1/opt-outs/{made.id}"})


OPT_OUT: Final = docs.About(needs="consents:read", errors=(OptOutNotFound,))


@get("/opt-outs/{id:str}", tags=TAGS, summary="Get an opt-out", about=OPT_OUT)
async def opted_out(id: str, read: ReadTx) -> OptOut:
    """An opt-out by its id, taken back or not."""
    return await queries.opted_out(read, rest.id_of(id))


OPTED: Final = docs.About(
    needs="consents:read",
    query={"number": _NUMBER, "removed": docs.flag("Those that were taken back as well"), **docs.PAGED},
)


@get("/opt-outs", tags=TAGS, summary="List opt-outs", about=OPTED)
async def opt_outs(request: Request[Any, Any, Any], read: ReadTx) -> Page[OptOut]:
    """A page of the numbers that are not to be called, newest first."""
    given = rest.query(request)
    return await queries.opt_outs(
        read,
        number=rest.single(given, "number"),
        removed=rest.flag(given, "removed"),
        limit=rest.size(given),
        cursor=rest.single(given, "cursor"),
    )


REMOVING: Final = docs.About(needs="consents:write", errors=(OptOutNotFound,))


@post(
    "/opt-outs/{id:str}/remove", dto=Body[OptOutRemoval], return_dto=None, tags=TAGS, summary="Take an opt-out back",
    about=REMOVING, status_code=HTTP_200_OK,
)  # fmt: skip
async def remove_opt_out(id: str, data: OptOutRemoval, tx: Tx) -> OptOut:
    """Let a number be called again, because its bearer says so; the reason is kept."""
    return await actions.remove_opt_out(tx, rest.id_of(id), data.reason)


WASHING: Final = docs.About(needs="washes:write")


@post(
    "/washes", dto=Body[NewWashes], return_dto=None, tags=TAGS, summary="Bring in washed numbers", about=WASHING,
    status_code=HTTP_200_OK,
)  # fmt: skip
async def wash(data: NewWashes, tx: Tx) -> Washed:
    """Keep what the Do Not Call Register said of up to 1,000 numbers, all or none.

    Of a number that is washed again the later counts; bringing in the same twice changes nothing.
    """
    return await actions.wash(tx, data)


WASHED: Final = docs.About(
    needs="washes:read", query={"number": docs.text("A telephone number", needed=True, example="0412 345 678")}
)


@get("/washes", tags=TAGS, summary="Look up a wash", about=WASHED)
async def washed(request: Request[Any, Any, Any], read: ReadTx) -> Page[Wash]:
    """What the register said last of a number; an empty list for one that was never washed."""
    number = rest.single(rest.query(request), "number")
    if not number:
        raise InvalidInput.at("number", "is needed: what number?", code="missing_field")
    found = await queries.washed(read, number)
    return Page((found,) if found else ())


ROUTES: Final = (
    ask, page, get_, grant, consent, consents, withdraw, opt_out, opted_out, opt_outs, remove_opt_out, wash, washed,
)  # fmt: skip
