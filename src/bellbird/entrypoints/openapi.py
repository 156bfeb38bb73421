"""The API's description (OpenAPI 3.1), assembled from the routes and from what their handlers say of themselves."""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import cleandoc
from types import NoneType
from typing import Any, Final, NamedTuple, get_args, get_origin

from litestar import Litestar, Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from bellbird.entrypoints import docs, refusals
from bellbird.entrypoints.components import BEARER, HEADERS, PARAMETERS
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


class Route(NamedTuple):
    """What is described as one operation."""

    method: str
    path: str
    handler: HTTPRouteHandler

    @property
    def name(self) -> str:
        """`contacts_create`: what it is about, and its handler's name without the underscore of `get_`."""
        verb = self.handler.handler_name.removesuffix("_")
        about = self.path.removeprefix(API).split("/")[1].replace("-", "_")
        return f"{about}_{verb}" if self.path.startswith(API) else verb

    @property
    def about(self) -> docs.About:
        return docs.about(self.handler)

    @property
    def secured(self) -> bool:
        return self.path.startswith(API) and not self.about.public

    @property
    def keyed(self) -> bool:
        """Whether it takes an Idempotency-Key."""
        return self.method != "GET" and self.secured and self.about.idempotency_key

    @property
    def body(self) -> Any:
        """The shape that is sent; None for no body."""
        data = self.handler.parsed_fn_signature.parameters.get("data")
        return data.annotation if data else None

    @property
    def answer(self) -> Any:
        """The shape that is answered: of `Response[Contact]` it is Contact."""
        hint = self.handler.parsed_fn_signature.return_type.annotation
        wrapped = isinstance(get_origin(hint), type) and issubclass(get_origin(hint), Response)
        return get_args(hint)[0] if wrapped else hint


def routes(app: Litestar) -> list[Route]:
    """Every operation that is described, by path."""
    found = [
        Route(method, route.path_format, handler)
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for method, (handler, _) in sorted(route.route_handler_map.items())
        if handler.resolve_include_in_schema()
    ]
    return sorted(found, key=lambda each: each.path)


class _Description:
    """Puts the parts together; what several operations refer to is collected on the way."""

    def __init__(self, app: Litestar) -> None:
        self.version: str = app.state["version"]
        self.routes = routes(app)
        self.schemas = Schemas()
        self.responses: dict[str, dict[str, Any]] = {}
        self.problems: dict[str, dict[str, Any]] = dict(refusals.SCHEMAS)

    def whole(self) -> dict[str, Any]:
        paths: dict[str, dict[str, Any]] = {}
        for route in self.routes:
            paths.setdefault(route.path, {})[route.method.lower()] = self.operation(route)
        tags = sorted({tag for route in self.routes for tag in route.handler.resolve_tags()})
        names = [route.name for route in self.routes]
        assert len(set(names)) == len(names), "two operations have the same name"
        assert not self.schemas.components.keys() & self.problems.keys(), "a shape is called like an error"
        return {
            "openapi": "3.1.0",
            "info": {"title": "Bellbird", "version": self.version, "description": cleandoc(INTRODUCTION)},
            "servers": [{"url": "/", "description": "This server"}],
            "tags": [{"name": tag, "description": docs.TAGS.get(tag, tag)} for tag in tags],
            "paths": paths,
            "components": {
                "schemas": dict(sorted({**self.schemas.components, **self.problems}.items())),
                "responses": dict(sorted(self.responses.items())),
                "parameters": PARAMETERS,
                "headers": {name: {"schema": {"type": "string"}, **header} for name, header in HEADERS.items()},
                "securitySchemes": {"bearer": BEARER},
            },
        }

    def operation(self, route: Route) -> dict[str, Any]:
        about = route.about
        for query in about.query.values():
            self.schemas.components.update({name: dict(schema) for name, schema in query.components.items()})
        sentences = [cleandoc(route.handler.fn.__doc__ or "")]
        if about.needs:
            sentences.append(f"Needs the permission `{about.needs}`.")
        found: dict[str, Any] = {
            "operationId": route.name,
            "summary": route.handler.summary,
            "description": "\n\n".join(sentences),
            "tags": sorted(route.handler.resolve_tags()),
            "parameters": list(_parameters(route)),
            "responses": {**self.answers(route), **self.errors(route)},
            "security": [{"bearer": []}] if route.secured else [],
        }
        if route.handler.deprecated:
            found["deprecated"] = True
        if route.body is not None:
            found["requestBody"] = {"required": True, "content": self.json(route.body, about.example)}
        return found

    def json(self, shape: Any, example: Any) -> dict[str, Any]:
        """A body of a shape, with the example that is given or the shape's own."""
        media: dict[str, Any] = {"schema": self.schemas.of(shape)}
        if (example := example or example_of(shape)) is not None:
            media["example"] = example
        return {"application/json": media}

    def answers(self, route: Route) -> dict[str, Any]:
        """What is answered when all goes well."""
        about = route.about
        answered: dict[str, Any] = {}
        for status in about.answers or {route.handler.status_code: ""}:
            made = status == HTTPStatus.CREATED
            headers = ["X-Request-Id", *(["RateLimit", "RateLimit-Policy"] if route.secured else [])]
            headers += ["ETag"] if about.etag else []
            headers += ["Location"] if made else []
            headers += ["Idempotency-Replayed"] if route.keyed else []
            answer: dict[str, Any] = {
                "description": about.answers.get(status) or f"{HTTPStatus(status).phrase}.",
                "headers": _headers(headers),
            }
            shape = about.body.get(status, route.answer)
            if shape not in (None, NoneType):
                answer["content"] = {about.media: self.json(shape, about.answer)["application/json"]}
            if made and (links := self.links(route.path)):
                answer["links"] = links
            answered[str(status)] = answer
        if about.etag and route.method == "GET":
            same = "It is still as `If-None-Match` has it."
            answered["304"] = {"description": same, "headers": _headers(["X-Request-Id", "ETag"])}
        return answered

    def links(self, collection: str) -> dict[str, Any]:
        """What can be done next with what was made in a collection, by what its path names it with."""
        found = {}
        for route in self.routes:
            if one := re.match(re.escape(collection) + r"/{(\w+)}(?![^/])", route.path):
                found[route.name] = {"operationId": route.name, "parameters": {one[1]: f"$response.body#/{one[1]}"}}
        return found

    def errors(self, route: Route) -> dict[str, Any]:
        """What can be refused, by status: references, for most operations refuse much the same."""
        refused = refusals.of_operation(
            route.about,
            secured=route.secured,
            writes=route.method != "GET",
            keyed=route.keyed,
            has_body=route.body is not None,
        )
        found = {}
        for status in sorted({each.status for each in refused}):
            same = sorted((each for each in refused if each.status == status), key=lambda each: each.code)
            name = f"Problem{status}" + "".join(f".{each.code}" for each in same)
            if name not in self.responses:
                self.responses[name] = _refused(status, same)
                self.problems |= {each.__name__: refusals.schema(each) for each in same}
            found[str(status)] = {"$ref": f"#/components/responses/{name}"}
        return found


_ID: Final = docs.text("Its id", format="uuid")


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    about = route.about
    for name in re.findall(r"{(\w+)}", route.path):
        known = about.path.get(name) or (_ID if name == "id" else docs.text(f"Its {name}", min_length=1))
        yield {"name": name, "in": "path", "required": True, "description": known.description, **_value(known)}
    for name, query in about.query.items():
        value = {"content": {"application/json": _value(query)}} if query.components else _value(query)
        yield {"name": name, "in": "query", "required": query.needed, "description": query.description, **value}
    names = ["RequestId"]
    names += ["IdempotencyKey"] if route.keyed else []
    names += ["IfMatch"] if about.if_match else []
    names += ["IfNoneMatch"] if about.etag and route.method == "GET" else []
    for name in names:
        yield {"$ref": f"#/components/parameters/{name}"}


def _value(query: docs.Query) -> dict[str, Any]:
    more = {} if query.example is None else {"example": query.example}
    return {"schema": query.schema, **query.style, **more}


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
