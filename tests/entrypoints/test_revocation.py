"""What is revoked stops on every worker within a second: tried against two real processes."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bellbird.core.actors import Actor
from bellbird.core.clock import SystemClock
from bellbird.core.engine import Engine
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.tokens import Tokens
from bellbird.features import tenants
from tests.conftest import SECRET
from tests.servers import Cluster, Serving, serving

# Enough requests, each on a connection of its own, that both workers get some.
SEVERAL = 30


@pytest.fixture(scope="module")
def process(own_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Two workers over a PostgreSQL of their own."""
    settings = {"database_url": own_cluster.conninfo("bellbird"), "secret": SECRET}
    with serving(tmp_path_factory.mktemp("serving"), workers=2, **settings) as served:
        yield served


@pytest.fixture
async def acme(own_cluster: Cluster) -> Tenant:
    async with Engine(own_cluster.conninfo("bellbird")) as engine, engine.system(Actor.system()) as system:
        return await tenants.create(system, f"t-{uuid4().hex}")


def token(acme: Tenant, user: Any = None, roles: tuple[str, ...] | None = ("owner",)) -> str:
    return Tokens(SECRET, SystemClock()).make(acme.id, user or uuid4(), valid_for=timedelta(hours=1), roles=roles)


@pytest.fixture
def admin(process: Serving, acme: Tenant) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {token(acme)}"}
    with httpx.Client(base_url=f"{process.url}/api/v1", headers=headers, timeout=15) as client:
        yield client


def statuses(process: Serving, credential: str, method: str = "GET", body: Any = None) -> set[int]:
    """What it gets, asked on many connections."""
    headers = {"Authorization": f"Bearer {credential}"}
    url = f"{process.url}/api/v1/contacts"
    return {httpx.request(method, url, headers=headers, json=body).status_code for _ in range(SEVERAL)}


def a_second_passes() -> None:
    time.sleep(1)


def test_a_revoked_key_stops_on_every_worker_within_a_second(process: Serving, admin: httpx.Client) -> None:
    made = admin.post("/keys", json={"name": "robot", "scopes": ["contacts:read"]}).json()
    assert statuses(process, made["key"]) == {200}
    assert statuses(process, made["key"], "POST", {"first_name": "Ann"}) == {403}
    assert admin.delete(f"/keys/{made['id']}").status_code == 204
    a_second_passes()
    assert statuses(process, made["key"]) == {401}


def test_a_changed_role_holds_on_every_worker_within_a_second(
    process: Serving, admin: httpx.Client, acme: Tenant
) -> None:
    email = f"{uuid4().hex}@acme.example"
    user = admin.post("/users", json={"email": email, "name": "Ben", "role": "agent"}).json()
    member = token(acme, user["id"], None)
    assert statuses(process, member, "POST", {"first_name": "Ann"}) == {201}
    assert admin.patch(f"/users/{user['id']}", json={"role": "viewer"}).status_code == 200
    a_second_passes()
    assert statuses(process, member, "POST", {"first_name": "Ann"}) == {403}
    assert statuses(process, member) == {200}
    assert admin.patch(f"/users/{user['id']}", json={"visibility": "own"}).status_code == 200
    a_second_passes()
    shown = httpx.get(f"{process.url}/api/v1/contacts", headers={"Authorization": f"Bearer {member}"}).json()
    assert shown["data"] == []
    assert admin.delete(f"/users/{user['id']}").status_code == 204
    a_second_passes()
    assert statuses(process, member) == {401}


def test_a_permission_taken_from_a_custom_role_is_gone_within_a_second(
    process: Serving, admin: httpx.Client, acme: Tenant
) -> None:
    role = {"name": "helper", "permissions": ["contacts:read", "contacts:write"]}
    assert admin.post("/roles", json=role).status_code == 201
    bearer = token(acme, roles=("helper",))
    assert statuses(process, bearer, "POST", {"first_name": "Ann"}) == {201}
    assert admin.patch("/roles/helper", json={"permissions": ["contacts:read"]}).status_code == 200
    a_second_passes()
    assert statuses(process, bearer, "POST", {"first_name": "Ann"}) == {403}
    assert admin.delete("/roles/helper").status_code == 204
    a_second_passes()
    assert statuses(process, bearer) == {403}


def test_a_session_that_was_signed_out_is_over_on_every_worker_within_a_second(
    process: Serving, admin: httpx.Client
) -> None:
    email, password = f"{uuid4().hex}@acme.example", "correct horse battery"
    assert admin.post(
        "/users", json={"email": email, "name": "Cy", "role": "agent", "password": password}
    ).status_code == 201  # fmt: skip
    url = f"{process.url}/api/v1/auth"
    session = httpx.post(f"{url}/sign-in", json={"email": email, "password": password}).json()
    assert statuses(process, session["access_token"]) == {200}
    headers = {"Authorization": f"Bearer {session['access_token']}"}
    assert httpx.post(f"{url}/sign-out", headers=headers).status_code == 204
    a_second_passes()
    assert statuses(process, session["access_token"]) == {401}
