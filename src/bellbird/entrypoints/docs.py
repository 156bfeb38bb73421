"""The API's description as JSON and as a page to read, without a script from anywhere."""

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, get
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from msgspec import UNSET

METHODS = ("get", "post", "put", "patch", "delete")


class Page(OpenAPIRenderPlugin):
    """The description as a page at /docs."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return "".join(_page(described(request.app))).encode()


@get("/openapi.json", include_in_schema=False)
async def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The description, as OpenAPI 3.1."""
    return described(request.app)


def described(app: Litestar) -> dict[str, Any]:
    """The application's description."""
    schema: dict[str, Any] = _without_unset(app.openapi_schema.to_schema())
    return schema


def _without_unset(node: Any) -> Any:
    """What a field of a patch is when it is left out is nothing that JSON could say."""
    if isinstance(node, dict):
        return {key: _without_unset(value) for key, value in node.items() if value is not UNSET}
    return [_without_unset(value) for value in node] if isinstance(node, list) else node


def parameters(**described: str) -> type[Operation]:
    """An operation with query parameters that its handler reads by itself; a leading `!` marks one that is needed."""
    listed = [
        Parameter(
            name=name,
            param_in="query",
            description=text.removeprefix("!"),
            required=text.startswith("!"),
            schema=Schema(type=OpenAPIType.STRING),
        )
        for name, text in described.items()
    ]

    @dataclass
    class Described(Operation):
        def __post_init__(self) -> None:
            self.parameters = [*(self.parameters or []), *listed]

    return Described


def _page(schema: dict[str, Any]) -> Iterator[str]:
    info = schema["info"]
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(info['title'])} API</title>"
    yield f"<meta name=viewport content='width=device-width'><style>{STYLE}</style><main>"
    yield f"<h1>{_text(info['title'])} API <small>{_text(info['version'])}</small></h1>"
    yield f"<p>{_text(info.get('description', ''))} The same for programs: <a href=/openapi.json>openapi.json</a>.</p>"
    for path, item in sorted(schema["paths"].items()):
        for method in METHODS:
            if method in item:
                yield from _operation(method, path, item[method])
    yield "<h2>Shapes</h2>"
    for name, shape in sorted(schema.get("components", {}).get("schemas", {}).items()):
        yield from _shape(name, shape)
    yield "</main></html>"


def _operation(method: str, path: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"<section><h2 class={method}><b>{method.upper()}</b> <code>{_text(path)}</code></h2>"
    yield f"<p><strong>{_text(operation.get('summary', ''))}.</strong> {_text(operation.get('description', ''))}</p>"
    parameters = operation.get("parameters", [])
    if parameters:
        yield "<table><tr><th>Parameter<th>In<th>Meaning</tr>"
        for each in parameters:
            yield f"<tr><td><code>{_text(each['name'])}</code><td>{each['in']}"
            yield f"<td>{_text(each.get('description', ''))}</tr>"
        yield "</table>"
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield f"<p>Body: {_type(media.get('schema', {}))}</p>"
    answers = (f"{status} {_text(answer.get('description', ''))}" for status, answer in operation["responses"].items())
    yield f"<p>Answers: {' · '.join(answers)}</p></section>"


def _shape(name: str, shape: dict[str, Any]) -> Iterator[str]:
    yield f"<section id='{_text(name)}'><h3>{_text(name)}</h3><p>{_text(shape.get('description', ''))}</p>"
    needed = shape.get("required", [])
    yield "<table>"
    for field, kind in shape.get("properties", {}).items():
        yield f"<tr><td><code>{_text(field)}</code><td>{_type(kind)}<td>{'needed' if field in needed else ''}</tr>"
    yield "</table></section>"


def _type(kind: dict[str, Any]) -> str:
    if reference := kind.get("$ref"):
        name = _text(reference.rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "oneOf" in kind or "anyOf" in kind:
        return " or ".join(_type(each) for each in kind.get("oneOf") or kind["anyOf"])
    if "enum" in kind:
        return " | ".join(f"<code>{_text(str(value))}</code>" for value in kind["enum"])
    if kind.get("type") == "array":
        return f"list of {_type(kind.get('items', {}))}"
    return _text(str(kind.get("format") or kind.get("type") or "any"))


def _text(text: str) -> str:
    return html.escape(text, quote=True)


STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--faint:#5b6b7b;--line:#d8dfe6;--paper:#fff;--leaf:#2f6f4f}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9aa8b5;--line:#33404c;--paper:#12181f;--leaf:#7fc8a0}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:56rem;margin:0 auto;padding:2rem 1rem}h1 small{color:var(--faint);font-weight:400;font-size:1rem}
section{border-top:1px solid var(--line);padding:.5rem 0}h2{font-size:1.1rem}h2 b{color:var(--leaf)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}
code{font:.95em ui-monospace,monospace}a{color:var(--leaf)}th{color:var(--faint);font-weight:500}
"""
