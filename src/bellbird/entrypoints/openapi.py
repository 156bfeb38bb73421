"""The API's description (OpenAPI 3.1), assembled from the routes and from what their handlers say of themselves."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import cleandoc
from types import NoneType
from typing import Any, Final, get_args, get_origin

from litestar import Litestar, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from bellbird.entrypoints import docs, refusals
from bellbird.entrypoints.refusals import Refusal
from bellbird.entrypoints.schemas import REFERENCE, Schemas, example_of

API: Final = "/api/v1"

# The statuses whose answers say when to try again.
RETRIED: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)

INTRODUCTION: Final = """
Contacts and calls for many tenants.

Send an access token or an API key as `Authorization: Bearer <token>`.
What is refused is answered as problem details (RFC 9457): programs go by `code`, `errors` lists every fault at once.
Every write takes an `Idempotency-Key`: sent again within 24 hours, it has its effect once and gets the same answer.
Lists come in pages, followed by their cursors. Unknown fields and parameters are errors.
"""

PARAMETERS: Final[dict[str, dict[str, Any]]] = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "An id for this request, to find it again in the answer, the log and the events: "
        "up to 64 letters, digits, hyphens and underscores; without it one is made",
        "schema": {"type": "string"},
        "example": "order-4711-1",
    },
    "IdempotencyKey": {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Whatever is new for each thing to be done, such as a UUID: sent again within 24 hours, "
        "the request has its effect once and gets the same answer",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"},
        "example": "5f0c3f0e-6f0b-4c62-9d0a-1b7c7cbb1f0a",
    },
    "IfMatch": {
        "name": "If-Match",
        "in": "header",
        "description": "Do it only if this is still its `ETag`",
        "schema": {"type": "string", "pattern": '^(\\*|(W/)?"?[0-9]{1,9}(-[A-Za-z0-9_-]+)?"?)$'},
        "example": '"3"',
    },
    "IfNoneMatch": {
        "name": "If-None-Match",
        "in": "header",
        "description": "Answer 304 without a body if this is still its `ETag`",
        "schema": {"type": "string"},
        "example": '"3"',
    },
}

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "X-Request-Id": {
        "description": "The request's id, its own or the one that was made",
        "required": True,
        "schema": {"type": "string", "minLength": 1, "maxLength": 64},
    },
    "ETag": {"description": "The version of what was answered, for `If-Match` and `If-None-Match`", "required": True},
    "Location": {
        "description": "Where to find what was made",
        "required": True,
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "RateLimit": {"description": "How much is left of each limit, and when it is whole again"},
    "RateLimit-Policy": {"description": "The limits that count for this request"},
    "Retry-After": {
        "description": "After how many seconds the same request may be worth sending again",
        "schema": {"type": "integer", "minimum": 0},
    },
    "WWW-Authenticate": {"description": "How to sign in", "required": True},
    "Idempotency-Replayed": {
        "description": "`true` on the answer to an `Idempotency-Key` that came before",
        "schema": {"type": "string", "const": "true"},
    },
}


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """The description, as OpenAPI 3.1: within another application, by the path that it is mounted at."""
    servers = [{"url": request.scope["root_path"] or "/", "description": "This server"}]
    return Response({**described(request.app), "servers": servers})


def described(app: Litestar) -> dict[str, Any]:
    """The application's description, made when it is first asked for."""
    if "description" not in app.state:
        app.state["description"] = _Description(app).whole()
    found: dict[str, Any] = app.state["description"]
    return found


def operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Every method, path and handler that is described."""
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in sorted(route.route_handler_map.items()):
                if handler.resolve_include_in_schema():
                    yield method, route.path_format, handler


def operation_id(path: str, handler: HTTPRouteHandler) -> str:
    """`contacts_create`: what it is about, and its handler's name without the underscore of `get_`."""
    verb = handler.handler_name.removesuffix("_")
    return f"{path.removeprefix(API).split('/')[1]}_{verb}" if path.startswith(API) else verb


class _Description:
    """Puts the parts together; what several operations refer to is collected on the way."""

    def __init__(self, app: Litestar) -> None:
        self.app = app
        self.schemas = Schemas()
        self.responses: dict[str, dict[str, Any]] = {}
        self.problems: dict[str, dict[str, Any]] = dict(refusals.SCHEMAS)
        self.ids: dict[tuple[str, str], str] = {}
        for method, path, handler in operations(app):
            name = operation_id(path, handler)
            assert name not in self.ids.values(), f"two operations are called {name}"
            self.ids[method, path] = name

    def whole(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        tags: dict[str, None] = {}
        for method, path, handler in sorted(operations(self.app), key=lambda each: each[1]):
            paths.setdefault(path, {})[method.lower()] = self.operation(method, path, handler)
            tags |= dict.fromkeys(handler.resolve_tags())
        assert not self.schemas.components.keys() & self.problems.keys(), "a shape is called like an error"
        return {
            "openapi": "3.1.0",
            "info": {"title": "Bellbird", "version": self.app.state["version"], "description": cleandoc(INTRODUCTION)},
            "servers": [{"url": "/", "description": "This server"}],
            "tags": [{"name": tag, "description": docs.TAGS.get(tag, tag)} for tag in sorted(tags)],
            "paths": paths,
            "components": {
                "schemas": dict(sorted({**self.schemas.components, **self.problems}.items())),
                "responses": dict(sorted(self.responses.items())),
                "parameters": PARAMETERS,
                "headers": {name: {"schema": {"type": "string"}, **header} for name, header in HEADERS.items()},
                "securitySchemes": {
                    "bearer": {
                        "type": "http",
                        "scheme": "bearer",
                        "description": "An access token (JWT), or an API key (`bb_live_...`)",
                    }
                },
            },
        }

    def operation(self, method: str, path: str, handler: HTTPRouteHandler) -> dict[str, Any]:
        about = docs.about(handler)
        for query in about.query.values():
            self.schemas.components.update({name: dict(schema) for name, schema in query.components.items()})
        secured = path.startswith(API) and not about.public
        sentences = [cleandoc(handler.fn.__doc__ or "")]
        if about.needs:
            sentences.append(f"Needs the permission `{about.needs}`.")
        found: dict[str, Any] = {
            "operationId": self.ids[method, path],
            "summary": handler.summary,
            "description": "\n\n".join(sentences),
            "tags": sorted(handler.resolve_tags()),
            "parameters": [*_parameters(method, path, about, keyed=_takes_a_key(method, path, about))],
            "responses": {**self.answers(method, path, handler, about, secured), **self.errors(method, path, handler)},
            "security": [{"bearer": []}] if secured else [],
        }
        if handler.deprecated:
            found["deprecated"] = True
        if data := handler.parsed_fn_signature.parameters.get("data"):
            media: dict[str, Any] = {"schema": self.schemas.of(data.annotation)}
            if (example := about.example or example_of(data.annotation)) is not None:
                media["example"] = example
            found["requestBody"] = {"required": True, "content": {"application/json": media}}
        return found

    def answers(
        self, method: str, path: str, handler: HTTPRouteHandler, about: docs.About, secured: bool
    ) -> dict[str, Any]:
        """What is answered when all goes well."""
        answered: dict[str, Any] = {}
        for status in about.answers or {handler.status_code: ""}:
            hint = about.body.get(status, _answer(handler))
            headers = ["X-Request-Id", *(["RateLimit", "RateLimit-Policy"] if secured else [])]
            headers += ["ETag"] if about.etag else []
            headers += ["Location"] if status == HTTPStatus.CREATED else []
            headers += ["Idempotency-Replayed"] if _takes_a_key(method, path, about) else []
            answer: dict[str, Any] = {
                "description": about.answers.get(status) or f"{HTTPStatus(status).phrase}.",
                "headers": _headers(headers),
            }
            if hint not in (None, NoneType):
                media: dict[str, Any] = {"schema": self.schemas.of(hint)}
                if (example := about.answer or example_of(hint)) is not None:
                    media["example"] = example
                answer["content"] = {"application/json": media}
            if status == HTTPStatus.CREATED and (links := self.links(path)):
                answer["links"] = links
            answered[str(status)] = answer
        if about.etag and method == "GET":
            same = "It is still as `If-None-Match` has it."
            answered["304"] = {"description": same, "headers": _headers(["X-Request-Id", "ETag"])}
        return answered

    def links(self, collection: str) -> dict[str, Any]:
        """What can be done next with what was made in a collection, by what its path names it with."""
        found = {}
        for (_, path), name in self.ids.items():
            if one := re.match(re.escape(collection) + r"/{(\w+)}(?![^/])", path):
                found[name] = {"operationId": name, "parameters": {one[1]: f"$response.body#/{one[1]}"}}
        return found

    def errors(self, method: str, path: str, handler: HTTPRouteHandler) -> dict[str, Any]:
        """What can be refused, by status: references, for most operations refuse much the same."""
        about = docs.about(handler)
        refused = refusals.of_operation(
            about,
            secured=path.startswith(API) and not about.public,
            writes=method != "GET",
            keyed=_takes_a_key(method, path, about),
            has_body="data" in handler.parsed_fn_signature.parameters,
        )
        found = {}
        for status in sorted({each.status for each in refused}):
            same = sorted((each for each in refused if each.status == status), key=lambda each: each.code)
            name = HTTPStatus(status).phrase.title().replace(" ", "") + "".join(f".{each.code}" for each in same)
            if name not in self.responses:
                self.responses[name] = _refused(status, same)
                self.problems |= {each.__name__: refusals.schema(each) for each in same}
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
        return found


_ID: Final = docs.text("Its id", format="uuid")


def _takes_a_key(method: str, path: str, about: docs.About) -> bool:
    return method != "GET" and path.startswith(API) and about.idempotency_key and not about.public


def _parameters(method: str, path: str, about: docs.About, *, keyed: bool) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", path):
        known = about.path.get(name) or (_ID if name == "id" else docs.text(f"Its {name}", min_length=1))
        more = {} if known.example is None else {"example": known.example}
        description, schema = known.description, known.schema
        yield {"name": name, "in": "path", "required": True, "description": description, "schema": schema, **more}
    for name, query in about.query.items():
        more = {} if query.example is None else {"example": query.example}
        value: dict[str, Any] = {"schema": query.schema, **query.style, **more}
        yield {
            "name": name,
            "in": "query",
            "required": query.needed,
            "description": query.description,
            **({"content": {"application/json": value}} if query.components else value),
        }
    names = ["RequestId"]
    names += ["IdempotencyKey"] if keyed else []
    names += ["IfMatch"] if about.if_match else []
    names += ["IfNoneMatch"] if about.etag and method == "GET" else []
    for name in names:
        yield {"$ref": f"#/components/parameters/{name}"}


def _answer(handler: HTTPRouteHandler) -> Any:
    """The shape that a handler answers: of `Response[Contact]` it is Contact."""
    hint = handler.parsed_fn_signature.return_type.annotation
    return get_args(hint)[0] if isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Response) else hint


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _refused(status: int, same: list[Refusal]) -> dict[str, Any]:
    """The problems of one status as one response, told apart by their codes, with an example of each."""
    headers = ["X-Request-Id"]
    headers += ["WWW-Authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
    headers += ["Retry-After"] if status in RETRIED or any(each.retry_after is not None for each in same) else []
    kinds = {each.code: REFERENCE + each.__name__ for each in same}
    schema: dict[str, Any] = {"$ref": kinds[same[0].code]}
    if len(same) > 1:
        references = [{"$ref": reference} for reference in kinds.values()]
        schema = {"oneOf": references, "discriminator": {"propertyName": "code", "mapping": kinds}}
    examples = {each.code: {"value": refusals.example(each)} for each in same}
    return {
        "description": " ".join(each.title() for each in same),
        "headers": _headers(headers),
        "content": {"application/problem+json": {"schema": schema, "examples": examples}},
    }
