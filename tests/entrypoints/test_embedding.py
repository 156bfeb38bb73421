"""Bellbird inside a host application, which says itself who is calling."""

import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

import bellbird as library
from bellbird.app import Bellbird, create_app
from bellbird.core.principals import Claims
from bellbird.core.tenants import Tenant

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "embedding.md"


def client(app: Any, user: Any = None) -> httpx.AsyncClient:
    """A client of the host, whose middleware knows the user."""

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "user": user}, receive, send)

    transport = httpx.ASGITransport(host, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://host.test/api/v1")


async def test_the_guides_example_lets_the_hosts_users_in(
    bellbird: Bellbird, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setattr(library, "Bellbird", lambda: bellbird, raising=False)
    names: dict[str, Any] = {}
    exec(compile(example, "embedding.md", "exec"), names)
    async with client(names["api"], {"tenant": str(tenant.id), "id": str(uuid4())}) as api:
        made = await api.post("/contacts", json={"first_name": "Ann"})
        assert made.status_code == 201, made.text
        assert (await api.post(f"/contacts/{made.json()['id']}/purge")).status_code == 403, "an agent may not"
    async with client(names["api"]) as api:
        answer = await api.get("/contacts")
        assert (answer.status_code, answer.json()["code"]) == (401, "not_signed_in")
        assert "does not know who is calling" in answer.json()["detail"]


async def test_what_the_host_keeps_in_the_requests_state_is_not_taken_for_ours(
    bellbird: Bellbird, tenant: Tenant
) -> None:
    app = create_app(bellbird)
    theirs = {"actor": "somebody", "tenant_id": tenant.id, "query": {"limit": ["1"]}, "held": object(), "code": "x"}

    async def host(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": dict(theirs)}, receive, send)

    transport = httpx.ASGITransport(host, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://host.test/api/v1") as api:
        assert (await api.get("/contacts")).status_code == 401
        token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=("owner",))
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "1"}
        assert (await api.post("/contacts", json={"first_name": "Ann"}, headers=headers)).status_code == 201
        assert (await api.get("/contacts?limit=0", headers=headers)).status_code == 422


async def test_it_may_be_an_ordinary_function(bellbird: Bellbird, tenant: Tenant) -> None:
    claims = Claims(tenant.id, "user", str(uuid4()), roles=("viewer",))
    async with client(create_app(bellbird, identify=lambda scope: claims)) as api:
        assert (await api.get("/contacts")).status_code == 200
        assert (await api.post("/contacts", json={"first_name": "Ann"})).status_code == 403


async def test_bellbirds_own_tokens_are_then_not_looked_at(bellbird: Bellbird, tenant: Tenant) -> None:
    token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=1), roles=("owner",))
    async with client(create_app(bellbird, identify=lambda scope: None)) as api:
        assert (await api.get("/contacts", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_when_the_hosts_function_fails_nobody_is_let_in(bellbird: Bellbird) -> None:
    def broken(scope: Any) -> Any:
        raise KeyError("ann@example.com")

    async with client(create_app(bellbird, identify=broken)) as api:
        answer = await api.get("/contacts")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
        assert "ann@example.com" not in answer.text


async def test_whom_the_tenant_does_not_know_is_refused(bellbird: Bellbird) -> None:
    claims = Claims(uuid4(), "user", str(uuid4()), roles=("owner",))
    async with client(create_app(bellbird, identify=lambda scope: claims)) as api:
        assert (await api.get("/contacts")).status_code == 401


async def test_a_subject_that_is_no_uuid_is_said_to_be_none(bellbird: Bellbird, tenant: Tenant) -> None:
    claims = Claims(tenant.id, "user", "ann", roles=("owner",))
    async with client(create_app(bellbird, identify=lambda scope: claims)) as api:
        answer = await api.get("/contacts")
        assert answer.status_code == 401
        assert "UUID" in answer.json()["detail"]
