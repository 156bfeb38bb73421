"""Another tenant's token gets 404 on every route that takes an id: read from the application's own routes."""

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx
from litestar.routes import HTTPRoute

from bellbird.core.tenants import Tenant
from tests import make
from tests.conftest import Begin

API = "/api/v1"


async def a_contact(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await make.contact(tx)).id)


# Where a route's id comes from, by how its path begins. A new kind of thing needs a line here.
THINGS: dict[str, Callable[[Begin, Tenant], Awaitable[str]]] = {f"{API}/contacts/{{id": a_contact}
BODIES: dict[str, Any] = {"PATCH": {}, "PUT": {}}


def routes(app: Any) -> list[tuple[str, str]]:
    """Every method and path of the API that takes an id."""
    return [
        (method, route.path_format)
        for route in app.app.routes
        if isinstance(route, HTTPRoute) and route.path.startswith(API) and route.path_parameters
        for method in sorted(route.methods - {"OPTIONS", "HEAD"})
    ]  # fmt: skip


def test_the_routes_are_found(app: Any) -> None:
    assert ("GET", f"{API}/contacts/{{id}}") in routes(app)
    assert len(routes(app)) >= 5


async def test_another_tenants_token_gets_404_on_every_route_that_takes_an_id(
    app: Any, begin: Begin, tenant: Tenant, api: httpx.AsyncClient, other_api: httpx.AsyncClient
) -> None:
    for method, path in routes(app):
        kinds = [thing for start, thing in THINGS.items() if path.startswith(start)]
        assert len(kinds) == 1, f"{path}: say in THINGS what its id is of"
        id = await kinds[0](begin, tenant)
        url = path.removeprefix(API).replace("{id}", id)
        assert "{" not in url, f"{path}: this test knows ids only"
        body = BODIES.get(method)
        theirs = await other_api.request(method, url, json=body)
        nobodys = await other_api.request(method, url.replace(id, str(uuid4())), json=body)
        assert (theirs.status_code, nobodys.status_code) == (404, 404), f"{method} {path}"
        told = [{**answer.json(), "request_id": "", "detail": ""} for answer in (theirs, nobodys)]
        assert told[0] == told[1], "another's looks like none at all"
        assert theirs.json()["code"].endswith("_not_found")
        own = await api.request(method, url, json=body)
        assert own.status_code < 300, f"{method} {path} works for its owner, so the 404 says something: {own.text}"


async def test_every_route_of_the_api_needs_a_token(app: Any, api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    for route in app.app.routes:
        if not isinstance(route, HTTPRoute) or not route.path.startswith(API):
            continue
        for method in route.methods - {"OPTIONS", "HEAD"}:
            url = route.path_format.removeprefix(API).replace("{id}", str(uuid4()))
            answer = await api.request(method, url, json={"first_name": "Ann"} if method != "GET" else None)
            assert answer.status_code == 401, f"{method} {route.path}: {answer.text}"
