"""The application as a whole: what it tells of its health and its numbers, and that its conduct is everybody's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bellbird.app import Bellbird, create_app
from bellbird.core.settings import Settings
from tests.conftest import SECRET
from tests.small_app import client


def told(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


@pytest.fixture
async def root(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with client(app) as made:
        yield made


@asynccontextmanager
async def served(conninfo: str, **settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Any]]:
    """The application with settings of the test's own."""
    made = Settings(_env_file=None, database_url=conninfo, secret=SECRET, **settings)  # type: ignore[call-arg, arg-type]
    async with Bellbird(made) as bellbird:
        app = create_app(bellbird)
        async with client(app) as http:
            yield http, app


async def test_requests_are_told_by_route_and_never_by_what_was_asked_for(
    root: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    before = (await root.get("/metrics")).text
    id, route = str(uuid4()), "/api/v1/contacts/{id}"
    assert (await api.get(f"/contacts/{id}")).status_code == 404
    assert (await api.get("/contacts?q=aroha")).status_code == 200
    assert (await root.get(f"/{id}")).status_code == 404
    text = (await root.get("/metrics")).text

    def more(name: str, **labels: str) -> float:
        return told(text, name, **labels) - told(before, name, **labels)

    assert more("bellbird_http_requests_total", method="GET", route=route, status="4xx") == 1
    assert more("bellbird_http_requests_total", method="GET", route="/api/v1/contacts", status="2xx") == 1
    assert more("bellbird_http_requests_total", route="none", status="4xx") == 1
    assert more("bellbird_http_request_seconds_count", route=route) == 1
    assert 0 < more("bellbird_http_request_seconds_sum", route=route) < 5
    assert more("bellbird_errors_total", code="contact_not_found") == 1
    assert more("bellbird_errors_total", code="not_found") == 1
    assert told(text, "bellbird_http_requests_in_flight") == 1, "the question itself"
    assert id not in text
    assert "aroha" not in text


async def test_connections_and_caches_are_told(root: httpx.AsyncClient, api: httpx.AsyncClient) -> None:
    for _ in range(5):
        assert (await api.get("/contacts")).status_code == 200
    text = (await root.get("/metrics")).text
    assert told(text, "bellbird_pool_connections", pool="app") >= 1
    assert told(text, "bellbird_pool_connections", pool="app", state="used") == 0
    assert told(text, "bellbird_pool_connections_max", pool="app") == 10
    assert told(text, "bellbird_pool_waiting", pool="app") == 0
    assert told(text, "bellbird_pool_requests_total", pool="app") >= 5
    for cache in ("tenants", "actors", "tokens"):
        assert told(text, "bellbird_cache_requests_total", cache=cache, result="hit") >= 1, cache
        assert told(text, "bellbird_cache_requests_total", cache=cache, result="miss") >= 1, cache
    assert told(text, "bellbird_build_info") == 1


async def test_metrics_are_no_part_of_the_description(root: httpx.AsyncClient) -> None:
    assert "/metrics" not in (await root.get("/openapi.json")).json()["paths"]


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Bearer", "a secret of sixteen", "Bearer ä"])
async def test_metrics_can_be_kept_for_whoever_has_the_token(owner_conninfo: str, authorization: str | None) -> None:
    async with served(owner_conninfo, metrics_token="a secret of sixteen") as (http, _):
        headers = {} if authorization is None else {"Authorization": authorization.encode()}
        refused = await http.get("/metrics", headers=headers)  # type: ignore[arg-type]
        assert (refused.status_code, refused.json()["code"]) == (401, "not_signed_in")
        answer = await http.get("/metrics", headers={"Authorization": "Bearer a secret of sixteen"})
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_metrics_can_be_turned_off(owner_conninfo: str) -> None:
    async with served(owner_conninfo, metrics=False) as (http, _):
        assert (await http.get("/metrics")).status_code == 404


async def test_it_is_not_ready_any_more_once_it_was_told_to_stop(owner_conninfo: str) -> None:
    async with served(owner_conninfo) as (http, app):
        assert (await http.get("/readyz")).status_code == 200
        app.stopping = True
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        assert (await http.get("/healthz")).status_code == 200


async def test_the_page_has_a_policy_that_lets_its_style_through(root: httpx.AsyncClient) -> None:
    page = await root.get("/docs")
    policy = page.headers["content-security-policy"]
    assert "style-src 'unsafe-inline'" in policy
    assert "<script" not in page.text
    assert " src=" not in page.text
    assert page.headers["content-encoding"] in ("zstd", "gzip")


async def test_what_is_refused_at_the_door_looks_like_what_is_refused_inside(
    root: httpx.AsyncClient, api: httpx.AsyncClient
) -> None:
    inside = (await api.get("/contacts/nonsense")).json()
    door = await api.post("/contacts", content=b"a,b", headers={"Content-Type": "text/csv"})
    assert (door.status_code, door.json()["code"]) == (415, "unsupported_media_type")
    assert {**door.json(), "errors": []}.keys() == inside.keys()
    headed = await api.head("/contacts")
    assert (headed.status_code, headed.content) == (200, b"")
    assert "ratelimit" in headed.headers


@pytest.mark.parametrize("path", ["/contacts", "/teams", "/roles", "/users"])
async def test_whoever_has_an_answer_already_is_told_so_without_it(api: httpx.AsyncClient, path: str) -> None:
    bodies = {
        "/contacts": {"first_name": "Ann"}, "/teams": {"name": "Sales"},
        "/roles": {"name": "helper", "permissions": ["contacts:read"]},
        "/users": {"email": "ann@acme.example", "name": "Ann", "role": "agent"},
    }  # fmt: skip
    made = await api.post(path, json=bodies[path])
    url = made.headers["location"].removeprefix("/api/v1")
    first = await api.get(url)
    etag = first.headers["etag"].removeprefix("W/")
    for names in (etag, f"W/{etag}", f'"0", {etag}', "*"):
        again = await api.get(url, headers={"If-None-Match": names})
        assert (again.status_code, again.content) == (304, b""), names
        assert again.headers["etag"].removeprefix("W/") == first.headers["etag"].removeprefix("W/")
        assert "content-length" not in again.headers
        assert "content-type" not in again.headers
    assert (await api.get(url, headers={"If-None-Match": '"0"'})).status_code == 200
    changed = {"/contacts": {"company": "A"}, "/teams": {"name": "X"}, "/roles": {"visibility": "own"},
               "/users": {"role": "viewer"}}[path]  # fmt: skip
    assert (await api.patch(url, json=changed, headers={"If-None-Match": "*"})).status_code == 200
    assert (await api.get(url, headers={"If-None-Match": etag})).status_code == 200
