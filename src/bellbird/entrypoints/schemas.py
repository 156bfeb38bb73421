"""Shapes as JSON Schema (2020-12): what their annotations say, with what `docs.shape` adds."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from inspect import cleandoc
from types import NoneType, UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

from msgspec import UNSET, UnsetType
from pydantic import TypeAdapter

from bellbird.entrypoints import docs

REFERENCE: Final = "#/components/schemas/"


class Schemas:
    """Collects the shapes that a description refers to, each under its name."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}
        self._shapes: dict[str, Any] = {}

    def of(self, hint: Any) -> dict[str, Any]:
        """The schema of a type: of a shape a reference to it."""
        origin, args = get_origin(hint) or hint, get_args(hint)
        if is_dataclass(origin):
            return {"$ref": REFERENCE + self._component(hint)}
        if origin in (Union, UnionType):
            return self._union([each for each in args if each is not UnsetType])
        if origin in (tuple, list):
            # A pair of one kind is a list of two: not every tool that reads descriptions knows `prefixItems`.
            size = {"minItems": len(args), "maxItems": len(args)} if len(args) > 1 and ... not in args else {}
            return {"type": "array", "items": self.of(args[0]), **size}
        if origin in (dict, Mapping):
            # Said outright: generated clients take an object without properties for an empty one.
            return {"type": "object", "additionalProperties": True if args[1] is Any else self.of(args[1])}
        if origin is Literal:
            return {"type": "string", "enum": list(args)}
        return {} if hint is Any else TypeAdapter(hint).json_schema()

    def _union(self, hints: list[Any]) -> dict[str, Any]:
        kinds = [self.of(each) for each in hints if each is not NoneType]
        if NoneType not in hints:
            return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if len(kinds) == 1 and isinstance(kinds[0].get("type"), str):
            return nullable(kinds[0])
        return {"anyOf": [*kinds, {"type": "null"}]}

    def _component(self, hint: Any) -> str:
        name = name_of(hint)
        known = self._shapes.setdefault(name, hint)
        assert known == hint, f"two shapes are called {name}: give one another name by docs.shape(name=...)"
        if name not in self.components:
            self.components[name] = {}  # a shape may have itself in it
            self.components[name] = self._object(hint)
        return name

    def _object(self, hint: Any) -> dict[str, Any]:
        shape = get_origin(hint) or hint
        said = docs.SHAPES.get(shape)
        hints = get_type_hints(shape)
        stand_for = dict(zip(getattr(shape, "__parameters__", ()), get_args(hint), strict=True))
        sent = bool(getattr(shape, "__pydantic_config__", None))
        properties, required = {}, []
        for each in fields(shape):
            kind = self.of(_substituted(hints[each.name], stand_for))
            more = said.properties.get(each.name, {}) if said else {}
            properties[each.name] = _with(kind, {**_default(each, sent), **more})
            if each.default is not UNSET and (not sent or _is_needed(each)):
                required.append(each.name)
        found = {
            "type": "object",
            "description": cleandoc(shape.__doc__ or ""),
            "properties": properties,
            **({"additionalProperties": False} if sent else {}),
            **(said.rule if said else {}),
        }
        if said and said.required is not None:
            required = list(said.required)
        if required:
            found["required"] = required
        if (example := example_of(hint)) is not None:
            found["examples"] = [example]
        return found


def name_of(hint: Any) -> str:
    """What a shape is called: `ContactPage` is a `Page[Contact]`."""
    shape = get_origin(hint) or hint
    said = docs.SHAPES.get(shape)
    return "".join(name_of(each) for each in get_args(hint)) + (said.name if said else shape.__name__)


def example_of(hint: Any) -> Any:
    """A shape's example; a page's is a page of its items'."""
    shape, args = get_origin(hint) or hint, get_args(hint)
    if args and is_dataclass(shape):
        item = example_of(args[0])
        return None if item is None else {"data": [item], "next_cursor": None, "previous_cursor": None}
    if shape in (list, tuple) and args:
        item = example_of(args[0])
        return None if item is None else [item]
    said = docs.SHAPES.get(shape) if isinstance(shape, type) else None
    return said.example if said else None


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, or null."""
    widened = {**schema, "type": [schema["type"], "null"]}
    return {**widened, "enum": [*schema["enum"], None]} if "enum" in schema else widened


def _with(kind: dict[str, Any], more: docs.JsonSchema) -> dict[str, Any]:
    """A field's schema with what is said of it: of a list, what is said of its items goes with theirs."""
    if "items" in more and "items" in kind and "$ref" not in kind["items"]:
        more = {**more, "items": {**kind["items"], **more["items"]}}
    return {**kind, **more}


def _default(each: Field[Any], sent: bool) -> dict[str, Any]:
    """What a field that is left out means, in words: generated clients take `default` for what is always there."""
    if not sent or each.default in (MISSING, UNSET, None) or each.default == ():
        return {}
    shown = str(each.default).lower() if isinstance(each.default, bool) else str(each.default)
    return {"description": f"`{shown}` when it is left out."}


def _is_needed(each: Field[Any]) -> bool:
    return each.default is MISSING and each.default_factory is MISSING


def _substituted(hint: Any, stand_for: dict[Any, Any]) -> Any:
    """A hint with a generic shape's variables replaced by what they stand for."""
    if hint in stand_for:
        return stand_for[hint]
    if get_origin(hint) in (tuple, list) and (args := get_args(hint)):
        return get_origin(hint)[tuple(_substituted(each, stand_for) for each in args)]
    return hint
