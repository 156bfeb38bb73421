"""The API's description as a page to read, without a script from anywhere."""

import html
import json
from collections.abc import Iterator
from typing import Any

from litestar import MediaType, Request, Response, get

from bellbird.entrypoints import openapi

METHODS = ("get", "post", "put", "patch", "delete")


@get("/docs", include_in_schema=False)
async def page(request: Request[Any, Any, Any]) -> Response[str]:
    """The description as a page."""
    return Response("".join(_page(openapi.described(request.app))), media_type=MediaType.HTML)


def _page(description: dict[str, Any]) -> Iterator[str]:
    info = description["info"]
    yield f"<!doctype html><html lang=en><meta charset=utf-8><title>{_text(info['title'])} API</title>"
    yield f"<meta name=viewport content='width=device-width'><style>{STYLE}</style><main>"
    yield f"<h1>{_text(info['title'])} API <small>{_text(info['version'])}</small></h1>"
    yield f"{_sentences(info['description'])}<p>The same for programs: <a href=openapi.json>openapi.json</a>.</p>"
    operations = [
        (method, path, item[method])
        for path, item in description["paths"].items()
        for method in METHODS
        if method in item
    ]
    # What all of them may refuse is told once: what is left is what an operation is about.
    usual = [
        (status, answer)
        for status, answer in operations[0][2]["responses"].items()
        if all(answer in operation["responses"].values() for _, _, operation in operations)
    ]
    yield "<h2>Every operation</h2><p>may also be answered by one of these.</p>"
    yield from _answers(usual, description["components"])
    for tag in description["tags"]:
        yield f"<h2>{_text(tag['name'])}</h2>{_sentences(tag['description'])}"
        for method, path, operation in operations:
            if tag["name"] in operation["tags"]:
                yield from _operation(method, path, operation, usual, description["components"])
    yield "<h2>Shapes</h2>"
    for name, shape in description["components"]["schemas"].items():
        yield from _shape(name, shape)
    yield "</main></html>"


Answers = list[tuple[str, dict[str, Any]]]


def _operation(
    method: str, path: str, operation: dict[str, Any], usual: Answers, components: dict[str, Any]
) -> Iterator[str]:
    yield f"<section id='{operation['operationId']}'>"
    yield f"<h3 class={method}><b>{method.upper()}</b> <code>{_text(path)}</code></h3>"
    yield f"<p><strong>{_text(operation['summary'])}.</strong></p>{_sentences(operation['description'])}"
    if operation["parameters"]:
        yield "<table><tr><th>Parameter<th>In<th>Values<th>Meaning</tr>"
        for each in operation["parameters"]:
            each = _resolved(each, components)  # noqa: PLW2901
            yield f"<tr><td><code>{_text(each['name'])}</code><td>{each['in']}<td>{_type(_schema(each))}"
            yield f"<td>{_inline(each['description'])}{', needed' if each.get('required') else ''}.</tr>"
        yield "</table>"
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield f"<p>Body: {_type(media['schema'])}</p>{_example(media)}"
    yield from _answers([each for each in operation["responses"].items() if each not in usual], components)
    for status, answer in operation["responses"].items():
        if status < "300":
            yield from (_example(media) for media in answer.get("content", {}).values())
    yield "</section>"


def _answers(answers: Answers, components: dict[str, Any]) -> Iterator[str]:
    yield "<table><tr><th>Answer<th>Shape<th>Meaning</tr>"
    for status, answer in answers:
        found = _resolved(answer, components)
        media = found.get("content", {}).values()
        codes = " ".join(f"<code>{_text(code)}</code>" for each in media for code in each.get("examples", ()))
        shown = codes or " ".join(_type(each["schema"]) for each in media)
        yield f"<tr><td>{status}<td>{shown}<td>{_inline(found['description'])}</tr>"
    yield "</table>"


def _schema(parameter: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = (
        parameter["schema"] if "schema" in parameter else parameter["content"]["application/json"]["schema"]
    )
    return schema


def _resolved(node: dict[str, Any], components: dict[str, Any]) -> dict[str, Any]:
    if reference := node.get("$ref"):
        _, _, kind, name = reference.split("/")
        node = components[kind][name]
    return node


def _shape(name: str, shape: dict[str, Any]) -> Iterator[str]:
    yield f"<section id='{_text(name)}'><h3>{_text(name)}</h3>{_sentences(shape.get('description', ''))}"
    needed, word = shape.get("required", []), "needed" if shape.get("additionalProperties") is False else "always there"
    yield "<table>"
    for field, kind in shape.get("properties", {}).items():
        yield f"<tr><td><code>{_text(field)}</code><td>{_type(kind)}<td>{word if field in needed else ''}"
        yield f"<td>{_inline(kind.get('description', ''))}</tr>"
    yield "</table></section>"


def _type(kind: dict[str, Any]) -> str:
    """A schema in a few words."""
    if reference := kind.get("$ref"):
        name = _text(reference.rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "oneOf" in kind or "anyOf" in kind:
        return " or ".join(_type(each) for each in kind.get("oneOf") or kind["anyOf"])
    if "enum" in kind:
        return " | ".join(f"<code>{_text(json.dumps(value).strip(chr(34)))}</code>" for value in kind["enum"])
    kinds = kind.get("type", "any")
    if isinstance(kinds, list):
        return " or ".join(_type({**kind, "type": each}) if each != "null" else "null" for each in kinds)
    if kinds == "array":
        return f"list of {_type(kind.get('items', {}))}{_limits(kind)}"
    return _text(str(kind.get("format") or kinds)) + _limits(kind)


def _limits(kind: dict[str, Any]) -> str:
    low = next((kind[name] for name in ("minimum", "minLength", "minItems") if name in kind), None)
    high = next((kind[name] for name in ("maximum", "maxLength", "maxItems") if name in kind), None)
    if low is None and high is None:
        return ""
    return (
        f" ({low} to {high})"
        if low is not None and high is not None
        else f" (at most {high})"
        if high
        else f" ({low}+)"
    )


def _example(media: dict[str, Any]) -> str:
    if "example" not in media:
        return ""
    shown = json.dumps(media["example"], indent=2, ensure_ascii=False)
    return f"<details><summary>Example</summary><pre>{_text(shown)}</pre></details>"


def _sentences(text: str) -> str:
    return "".join(f"<p>{_inline(paragraph)}</p>" for paragraph in text.split("\n\n") if paragraph)


def _inline(text: str) -> str:
    """Text, with what stands between backquotes as code."""
    parts = _text(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))


def _text(text: str) -> str:
    return html.escape(text, quote=True)


STYLE = """
:root{color-scheme:light dark;--ink:#1c2733;--faint:#5b6b7b;--line:#d8dfe6;--paper:#fff;--leaf:#2f6f4f}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--faint:#9aa8b5;--line:#33404c;--paper:#12181f;--leaf:#7fc8a0}}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif}
main{max-width:60rem;margin:0 auto;padding:2rem 1rem}h1 small{color:var(--faint);font-weight:400;font-size:1rem}
section{border-top:1px solid var(--line);padding:.5rem 0}h3{font-size:1.1rem}h3 b{color:var(--leaf)}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.2rem .8rem .2rem 0;vertical-align:top}
code,pre{font:.95em ui-monospace,monospace}pre{overflow:auto}a{color:var(--leaf)}th{color:var(--faint);font-weight:500}
"""
