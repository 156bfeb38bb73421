"""The API's description is whole: every route is in it, with all that a caller or a client generator needs to know."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx
import pytest
from jsonschema import Draft202012Validator
from litestar.routes import HTTPRoute
from openapi_spec_validator import OpenAPIV31SpecValidator

from bellbird.entrypoints import bodies, docs, openapi, refusals
from bellbird.entrypoints.openapi import API

# What is for people, for machines that read the description, and for the operator's own monitoring.
UNDESCRIBED = {"/docs", "/openapi.json", "/metrics"}

Described = dict[str, Any]


@pytest.fixture(scope="session")
def description(app: Any) -> Described:
    return openapi.described(application(app))


def application(app: Any) -> Any:
    """The Litestar application inside its middleware."""
    while not hasattr(app, "routes"):
        app = app.app
    return app


def operations(description: Described) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in description["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def resolved(description: Described, node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = description
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def parameters(description: Described, operation: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (resolved(description, each) for each in operation["parameters"])}


def responses(description: Described, operation: dict[str, Any]) -> dict[int, dict[str, Any]]:
    return {int(status): resolved(description, each) for status, each in operation["responses"].items()}


def concrete(path: str) -> str:
    """A path with an id of nothing in it."""
    return re.sub(r"{\w+}", str(uuid4()), path)


def test_it_is_valid_openapi(description: Described) -> None:
    OpenAPIV31SpecValidator(description).validate()
    assert json.loads(json.dumps(description)) == description


def test_every_route_is_described(app: Any, description: Described) -> None:
    routes = {
        (method, route.path_format)
        for route in application(app).routes
        if isinstance(route, HTTPRoute) and route.path_format not in UNDESCRIBED
        for method in route.methods - {"OPTIONS"}
    }
    assert {("POST", f"{API}/contacts"), ("GET", "/healthz")} <= routes
    assert {(method, path) for method, path, _ in operations(description)} == routes


def test_every_operation_has_a_name_and_sentences(description: Described) -> None:
    names = [operation["operationId"] for _, _, operation in operations(description)]
    assert len(set(names)) == len(names)
    told = {tag["name"]: tag["description"] for tag in description["tags"]}
    for _, _, operation in operations(description):
        name = operation["operationId"]
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", name)
        assert operation["summary"] and not operation["summary"].endswith("."), name
        assert operation["description"].endswith("."), f"{name}: the handler's docstring is sentences"
        assert operation["tags"], name
        assert all(told[tag].endswith(".") for tag in operation["tags"]), f"{name}: describe its tag by docs.tag()"


def test_every_parameter_says_what_it_means_and_what_it_may_be(description: Described) -> None:
    for _, path, operation in operations(description):
        listed = parameters(description, operation)
        assert len(listed) == len(operation["parameters"])
        assert set(re.findall(r"{(\w+)}", path)) == {name for name, each in listed.items() if each["in"] == "path"}
        for name, each in listed.items():
            assert each["description"] and not each["description"].endswith("."), name
            assert each.get("schema") or each["content"]["application/json"]["schema"], name
            assert name != "id" or each["schema"]["format"] == "uuid"


def statuses(method: str, path: str, operation: dict[str, Any], handler_takes: set[str]) -> set[int]:
    """What an operation of its kind always may answer, besides its own refusals."""
    expected = {400, 414, 422, 500, 503}
    if operation["security"]:
        expected |= {401, 429} | ({403} if method != "GET" else set())
    if "requestBody" in operation:
        expected |= {413, 415}
    if "{" in path and operation["security"]:  # who has no token is not told what there is
        expected |= {404}
    if "Idempotency-Key" in handler_takes:
        expected |= {409}
    if "If-Match" in handler_takes:
        expected |= {412}
    if "If-None-Match" in handler_takes:
        expected |= {304}
    return expected


def test_every_status_that_can_be_answered_is_there(description: Described) -> None:
    for method, path, operation in operations(description):
        name, taken = operation["operationId"], set(parameters(description, operation))
        answered = set(responses(description, operation))
        assert statuses(method, path, operation, taken) - answered == set(), name
        assert any(200 <= status < 300 for status in answered), name
        assert 403 in answered or "Needs the permission" not in operation["description"], name


def test_what_writes_in_the_requests_transaction_takes_an_idempotency_key(app: Any, description: Described) -> None:
    for method, path, handler in openapi.routes(application(app)):
        taken = parameters(description, description["paths"][path][method.lower()])
        keyed = "tx" in handler.parsed_fn_signature.parameters
        assert ("Idempotency-Key" in taken) == keyed, f"{method} {path}: say so by About(idempotency_key=...)"


def test_every_answer_has_its_headers_and_an_example(description: Described) -> None:
    for _, _, operation in operations(description):
        for status, answer in responses(description, operation).items():
            at = f"{operation['operationId']} {status}"
            assert answer["description"].endswith((".", "?")), at
            assert "X-Request-Id" in answer["headers"], at
            assert ("Location" in answer["headers"]) == (status == HTTPStatus.CREATED), at
            if status < 300 and status != HTTPStatus.NO_CONTENT:
                (media,) = answer["content"].values()
                assert "example" in media, f"{at}: give its shape an example by docs.shape()"
            elif status < 400:
                assert "content" not in answer, at


def test_every_refusal_is_a_problem_with_its_codes_and_an_example_of_each(description: Described) -> None:
    known = {each.code: each for each in refusals.every()}
    for _, _, operation in operations(description):
        for status, answer in responses(description, operation).items():
            if status < 400:
                continue
            assert list(answer["content"]) == ["application/problem+json"]
            media = answer["content"]["application/problem+json"]
            kinds = [resolved(description, each) for each in media["schema"].get("oneOf", [media["schema"]])]
            codes = {kind["allOf"][1]["properties"]["code"]["enum"][0] for kind in kinds}
            assert set(media["examples"]) == codes
            assert {known[code].status for code in codes} == {status}


def test_the_refusals_that_come_by_themselves_are_errors_that_there_are() -> None:
    named = {
        code
        for table in ("ALWAYS", "WITH_BODY", "SECURED", "NEEDING", "WRITING", "KEYED", "IF_MATCH")
        for code in getattr(refusals, table)
    }
    assert named <= {each.code for each in refusals.every()}


def test_every_shape_has_a_plain_name_and_says_what_it_is(description: Described) -> None:
    for name, schema in description["components"]["schemas"].items():
        assert re.fullmatch(r"[A-Z][A-Za-z]+", name)
        assert schema["description"].strip().endswith((".", "`")), name


def bodies_sent(description: Described) -> Iterator[tuple[str, dict[str, Any]]]:
    for _, _, operation in operations(description):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            yield operation["operationId"], media


def test_what_is_sent_is_said_exactly(description: Described) -> None:
    seen: set[str] = set()

    def look(node: Any, at: str) -> None:
        if isinstance(node, list):
            for each in node:
                look(each, at)
        if not isinstance(node, dict):
            return
        if reference := node.get("$ref"):
            if reference not in seen:
                seen.add(reference)
                look(resolved(description, node), reference)
            return
        if "properties" in node:
            assert node.get("additionalProperties") is False, f"{at}: unknown fields are refused"
        for name, value in node.items():
            if name not in ("example", "examples"):
                look(value, f"{at}/{name}")

    for name, media in bodies_sent(description):
        assert "$ref" in media["schema"], name
        look(media["schema"], name)
    assert "#/components/schemas/Phone" in seen


def examples(description: Described) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Every example of the description, with the schema that it must be valid by."""
    for name, schema in description["components"]["schemas"].items():
        for example in schema.get("examples", []):
            yield name, {"$ref": f"#/components/schemas/{name}"}, example
    for _, _, operation in operations(description):
        at = operation["operationId"]
        holders = [*parameters(description, operation).values(), *responses(description, operation).values()]
        holders += [operation["requestBody"]] if "requestBody" in operation else []
        for holder in holders:
            for media in (holder, *holder.get("content", {}).values()):
                if "example" in media:
                    yield at, media["schema"], media["example"]
                for each in media.get("examples", {}).values():
                    yield at, media["schema"], resolved(description, each)["value"]


def test_every_example_is_valid(description: Described) -> None:
    count = 0
    for at, schema, example in examples(description):
        whole = {**schema, "components": description["components"]}
        validator = Draft202012Validator(whole, format_checker=Draft202012Validator.FORMAT_CHECKER)
        problems = [f"{at}: {error.json_path} {error.message}" for error in validator.iter_errors(example)]
        assert problems == []
        count += 1
    assert count > 50


def test_every_example_of_a_body_is_accepted_by_what_reads_it(app: Any, description: Described) -> None:
    shown = dict(bodies_sent(description))
    for route in openapi.routes(application(app)):
        if route.body is not None:
            bodies.reader(route.body)(json.dumps(shown[route.name]["example"]).encode())


async def test_a_parameter_that_is_not_described_is_refused_on_every_route(app: Any, api: httpx.AsyncClient) -> None:
    for method, path, handler in openapi.routes(application(app)):
        url = httpx.URL("http://bellbird.test" + concrete(path))
        answer = await api.request(method, url, params={"nonsense": "1"}, json={} if method != "GET" else None)
        assert answer.status_code == 422, f"{method} {path}: {answer.text}"
        assert [error["parameter"] for error in answer.json()["errors"]] == ["nonsense"]
        assert "nonsense" not in docs.about(handler).known


async def test_what_a_parameter_may_be_at_least_and_at_most_is_held_to(app: Any, api: httpx.AsyncClient) -> None:
    tried = set()
    for method, path, handler in openapi.routes(application(app)):
        for name, limit in docs.about(handler).limits.items():
            wrong = [*([""] if limit.filled else []), *(["x" * (limit.longest + 1)] if limit.longest else [])]
            for value in [*wrong, *(["1_0", "٣"] if limit.number else [])]:
                url = httpx.URL("http://bellbird.test" + concrete(path))
                answer = await api.request(method, url, params={name: value}, json={} if method != "GET" else None)
                assert answer.status_code == 422, f"{method} {path}?{name}={value}: {answer.text}"
                assert name in [error["parameter"] for error in answer.json()["errors"]]
                tried.add(name)
    assert {"limit", "sort", "match", "number", "q"} <= tried


async def test_options_tells_the_methods_there_are(app: Any, api: httpx.AsyncClient) -> None:
    for path in {path for _, path, _ in openapi.routes(application(app))}:
        answer = await api.options(httpx.URL("http://bellbird.test" + concrete(path)))
        methods = {method for method, each, _ in openapi.routes(application(app)) if each == path}
        methods |= {"HEAD"} if "GET" in methods else set()
        assert set(answer.headers["allow"].split(", ")) == methods | {"OPTIONS"}, path


async def test_a_host_application_is_told_where_it_has_mounted_the_api(app: Any) -> None:
    transport = httpx.ASGITransport(app, root_path="/crm")
    async with httpx.AsyncClient(transport=transport, base_url="http://bellbird.test") as client:
        told = (await client.get("/crm/openapi.json")).json()
    assert [server["url"] for server in told["servers"]] == ["/crm"]


async def test_the_page_shows_every_operation_and_shape(description: Described, api: httpx.AsyncClient) -> None:
    page = (await api.get(httpx.URL("http://bellbird.test/docs"))).text
    for _, _, operation in operations(description):
        assert f"<section id='{operation['operationId']}'>" in page
    for name in description["components"]["schemas"]:
        assert f"<section id='{name}'>" in page
    assert "<script" not in page
