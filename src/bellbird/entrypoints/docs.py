"""How a handler says what its signature cannot: what it needs, what it may refuse, its query, examples of its shapes.

    @get("/contacts", tags=TAGS, summary="List contacts", about=docs.About(needs="contacts:read", query=docs.PAGED))

What is said here is what the description (`openapi.py`) tells, and query parameters that are not said are refused.
"""

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from litestar import Request, Response
from litestar.routes import HTTPRoute

from bellbird.core.errors import BellbirdError, Fault, InvalidInput
from bellbird.core.filters import MAX_CHOICES
from bellbird.core.paging import DEFAULT_LIMIT, MAX_LIMIT
from bellbird.entrypoints import rest

JsonSchema = Mapping[str, Any]

# As JSON writes them: Python's int() would read more.
_INTEGER: Final = re.compile("-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Query:
    """A query parameter: what it means, and what JSON Schema can say of its values."""

    description: str
    schema: JsonSchema
    needed: bool = False
    example: Any = None
    # How a list is written (OpenAPI 3.1, "Style Values").
    style: JsonSchema = field(default_factory=dict)
    # Of a value that is JSON itself: the schemas that `schema` refers to.
    components: Mapping[str, JsonSchema] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a handler's signature does not say of its operation.

    `needs` is the permission, `errors` what it refuses beyond what every operation may, `query` all its query
    parameters, `path` those of its path that are no `id`. `answers` describes each 2xx status where there is more than
    the handler's own, and `body` gives their shapes where the return annotation does not. `etag`: the answers have one,
    so that a GET may answer 304; `if_match`: it takes `If-Match`. `public`: without a token.
    `example` and `answer` replace the shapes' examples, `media` says what the answer is where it is no JSON.
    """

    needs: str | None = None
    errors: tuple[type[BellbirdError], ...] = ()
    query: Mapping[str, Query] = field(default_factory=dict)
    path: Mapping[str, Query] = field(default_factory=dict)
    answers: Mapping[int, str] = field(default_factory=dict)
    body: Mapping[int, Any] = field(default_factory=dict)
    example: Any = None
    answer: Any = None
    media: str = "application/json"
    etag: bool = False
    if_match: bool = False
    public: bool = False
    idempotency_key: bool = True
    # The names in `query`, as a request is checked against them, and those whose values are.
    known: frozenset[str] = field(init=False)
    limits: Mapping[str, "Limit"] = field(init=False)

    def __post_init__(self) -> None:
        limits = {name: Limit.of(query.schema) for name, query in self.query.items()}
        object.__setattr__(self, "known", frozenset(self.query))
        object.__setattr__(self, "limits", {name: limit for name, limit in limits.items() if limit != Limit()})


@dataclass(frozen=True, slots=True)
class Limit:
    """What can be told to be wrong with a parameter without knowing what it is for."""

    filled: bool = False
    longest: int | None = None
    number: str = ""

    @classmethod
    def of(cls, schema: JsonSchema) -> "Limit":
        """The limit that a parameter's schema states."""
        if schema.get("type") == "integer":
            return cls(filled=True, number=f"from {schema['minimum']} to {schema['maximum']}")
        is_word = schema.get("type") != "string" or not schema.keys().isdisjoint(("enum", "format", "minLength"))
        return cls(filled=is_word, longest=schema.get("maxLength"))

    def fault(self, name: str, values: Iterable[str]) -> Fault | None:
        """What is wrong with the values of a parameter."""
        for value in values:
            if self.filled and not value:
                return Fault("invalid_value", "is empty: leave it out", parameter=name)
            if self.number and not _INTEGER.fullmatch(value):
                return Fault("invalid_value", f"must be a number {self.number}, not {value[:40]!r}", parameter=name)
            if self.longest is not None and len(value) > self.longest:
                message = f"has {len(value)} characters; {self.longest} are the most"
                return Fault("text_too_long", message, parameter=name)
        return None


_NOTHING: Final = About()


def about(handler: Any) -> About:
    """What a handler says of itself."""
    said: About = handler.opt.get("about", _NOTHING)
    return said


async def before(request: Request[Any, Any, Any]) -> Response[None] | None:
    """Runs before every handler: tells OPTIONS which methods there are, refuses parameters that are not described or
    are empty where that is no value.

    Raises InvalidInput.
    """
    if request.scope["query_string"] and request.method != "OPTIONS":
        said = about(request.route_handler)
        given = rest.read_query(request.scope["query_string"], said.known)
        request.scope["state"]["query"] = given
        limits = said.limits
        faults = [limits[name].fault(name, values) for name, values in given.items() if name in limits]
        if any(faults):
            raise InvalidInput(faults=[fault for fault in faults if fault])
    if request.method == "OPTIONS":  # Litestar's own answer forgets the methods that were added to a path later
        return Response(None, status_code=204, headers={"Allow": _methods(request)})
    return None


def _methods(request: Request[Any, Any, Any]) -> str:
    template = request.scope["path_template"]
    routes = (route for route in request.app.routes if isinstance(route, HTTPRoute) and route.path_format == template)
    return ", ".join(sorted({method for route in routes for method in route.methods}))


# Query parameters.


def text(description: str, *, needed: bool = False, example: str | None = None, **schema: Any) -> Query:
    """A parameter of text, with limits as JSON Schema has them but in Python's letters: `max_length=200`."""
    return Query(description, {"type": "string", **_camel(schema)}, needed, example)


def _camel(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {re.sub(r"_(\w)", lambda match: match[1].upper(), name): value for name, value in schema.items()}


def integer(description: str, *, minimum: int, maximum: int, default: int | None = None) -> Query:
    """A whole number within limits."""
    more = {} if default is None else {"default": default}
    return Query(description, {"type": "integer", "minimum": minimum, "maximum": maximum, **more})


def flag(description: str) -> Query:
    """true or false; false when it is left out."""
    return Query(description, {"type": "boolean", "default": False})


def choice(description: str, choices: Iterable[str], *, needed: bool = False, default: str | None = None) -> Query:
    """One of several words."""
    more = {} if default is None else {"default": default}
    return Query(description, {"type": "string", "enum": list(choices), **more}, needed)


def several(description: str, choices: Iterable[str]) -> Query:
    """Words of a list, separated by commas."""
    items = {"type": "string", "enum": list(choices)}
    schema = {"type": "array", "items": items, "minItems": 1}
    return Query(description, schema, style={"style": "form", "explode": False})


def fields(shape: type) -> Query:
    """`fields=`: which fields of a shape the answer has; `id` is always among them."""
    return several("Only these fields in the answer, and the id", [each.name for each in dataclasses.fields(shape)])


def filters(of: str, known: Mapping[str, Mapping[str, Any]], *, example: Mapping[str, Any]) -> Query:
    """`filter=`: a condition as JSON on the known fields with their operators, described as `{of}Filter`."""
    reference = {"$ref": f"#/components/schemas/{of}Filter"}
    several_of = {"type": "array", "items": reference, "minItems": 1}
    condition = {
        "type": "object",
        "description": "A condition: all of its members hold. `and`, `or` and `not` nest up to ten levels.",
        "properties": {
            **{name: _comparison(operators) for name, operators in known.items()},
            "and": several_of,
            "or": several_of,
            "not": reference,
        },
        "additionalProperties": False,
        "examples": [example],
    }
    return Query(
        "A condition as JSON; simple ones also as `filter[field]=value` and `filter[field][operator]=value`",
        reference,
        example=example,
        components={f"{of}Filter": condition},
    )


def _comparison(operators: Iterable[str]) -> dict[str, Any]:
    """A field of a condition: a value that it equals, or an object of operators."""
    value = {"type": ["string", "number", "boolean"]}
    special = {
        "in": {"type": "array", "items": value, "minItems": 1, "maxItems": MAX_CHOICES},
        "exists": {"type": "boolean"},
    }
    tests = {name: special.get(name, value) for name in operators}
    compared = {"type": "object", "properties": tests, "additionalProperties": False}
    return {"anyOf": [value, compared]} if "eq" in tests else compared


PAGED: Final[Mapping[str, Query]] = {
    "limit": integer("How many on a page", minimum=1, maximum=MAX_LIMIT, default=DEFAULT_LIMIT),
    "cursor": text("`next_cursor` or `previous_cursor` of another page of the same list", max_length=2000),
}


# Tags and shapes.


TAGS: Final[dict[str, str]] = {}


def tag(name: str, description: str) -> tuple[str]:
    """A tag, described, as handlers take it."""
    TAGS[name] = description
    return (name,)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a dataclass does not say of itself."""

    example: Any
    name: str
    required: tuple[str, ...] | None
    properties: Mapping[str, JsonSchema]
    rule: JsonSchema


SHAPES: Final[dict[type, Shape]] = {}


def shape(
    of: type,
    *,
    example: Any,
    name: str | None = None,
    required: tuple[str, ...] | None = None,
    properties: Mapping[str, JsonSchema] | None = None,
    rule: JsonSchema | None = None,
) -> None:
    """Describe a shape: an example, the limits of its fields, and a `rule` that holds for several fields together.

    `required` names what is there in every answer, where that is less than all of it.
    """
    SHAPES[of] = Shape(example, name or of.__name__, required, properties or {}, rule or {})


# The characters that core/text.py refuses, as far as a regular expression of JSON Schema can name them.
_TEXT: Final = (
    r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ufffe\uffff]*$"
)


def line(max_length: int) -> dict[str, Any]:
    """Text that is kept as one line: spaces and line ends in a row count as one space."""
    return {"maxLength": max_length, "pattern": _TEXT}


lines = line  # of several lines: nothing that JSON Schema could tell apart
