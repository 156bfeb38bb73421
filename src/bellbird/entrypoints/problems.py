"""Errors as problem details (RFC 9457): the one place that words a refusal over HTTP."""

import logging
from http import HTTPStatus
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import HTTPResponseStartEvent, Scope, Send

from bellbird.core.errors import BellbirdError, BodyTooLarge, NotSignedIn
from bellbird.entrypoints import bodies
from bellbird.entrypoints.idempotency import Replayed

log = logging.getLogger("bellbird")

PROBLEM: Final = "application/problem+json"

_encode = msgspec.json.Encoder().encode


def problem(request: Request[Any, Any, Any], error: BellbirdError) -> Response[Any]:
    """An error as the answer to a request."""
    body = _body(request.scope, error)
    return Response(body, status_code=error.status, media_type=PROBLEM, headers=_headers(error))


async def refuse(error: Exception, scope: Scope, send: Send) -> None:
    """The same, sent by a middleware that has no request."""
    status, body, more = 500, None, {}
    if isinstance(error, BellbirdError):
        status, body, more = error.status, _body(scope, error), _headers(error)
    encoded = _encode(body or _internal(scope, error))
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", b"%d" % len(encoded))]
    headers += [(name.lower().encode(), value.encode()) for name, value in more.items()]
    start: HTTPResponseStartEvent = {"type": "http.response.start", "status": status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": encoded, "more_body": False})


def http_problem(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What the framework refuses (no such route, wrong method, body too large), as a problem like any other."""
    if error.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return problem(request, BodyTooLarge())
    status = HTTPStatus(error.status_code)
    body = _details(request.scope, status, status.name.lower(), status.phrase, error.detail)
    return Response(body, status_code=status, media_type=PROBLEM, headers=dict(error.headers or {}))


def internal_problem(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """A fault of ours: logged in full, told in one sentence."""
    return Response(_internal(request.scope, error), status_code=500, media_type=PROBLEM)


def replayed(request: Request[Any, Any, Any], answered: Replayed) -> Response[bytes]:
    """The answer that a request got before."""
    return answered.response


def _body(scope: Scope, error: BellbirdError) -> dict[str, Any]:
    more: dict[str, Any] = {"errors": [bodies.as_problem(fault) for fault in error.faults]} if error.faults else {}
    return _details(scope, error.status, error.code, error.title(), error.detail, **more, **error.extra)


def _internal(scope: Scope, error: Exception) -> dict[str, Any]:
    log.error("request %s failed", scope["state"].get("request_id"), exc_info=error)
    detail = "Something went wrong on our side; it was logged under this request id."
    return _details(scope, 500, "internal_error", BellbirdError.title(), detail)


def _headers(error: BellbirdError) -> dict[str, str]:
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="bellbird", error="invalid_token"'
    return headers


def _details(scope: Scope, status: int, code: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    scope["state"]["code"] = code  # for the metrics and the log
    return {
        "type": f"urn:bellbird:error:{code}",
        "title": title,
        "status": int(status),
        "code": code,
        "detail": detail,
        "request_id": scope["state"].get("request_id"),
        **more,
    }


EXCEPTION_HANDLERS: Final[Any] = {
    Replayed: replayed,
    BellbirdError: problem,
    HTTPException: http_problem,
    Exception: internal_problem,
}
