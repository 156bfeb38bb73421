"""`Idempotency-Key`: a write that is sent again has its effect once and gets the same bytes."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from bellbird.app import Bellbird, create_app
from bellbird.core.clock import FakeClock
from bellbird.core.connection import Connection
from bellbird.core.settings import Settings
from bellbird.core.tenants import Tenant
from bellbird.entrypoints.idempotency import Vault
from tests.conftest import SECRET, SignIn

ANN = {"first_name": "Ann", "phones": [{"number": "0412 345 678"}]}


def keyed(key: str | None = None) -> dict[str, str]:
    return {"Idempotency-Key": key or uuid4().hex}


async def count(api: httpx.AsyncClient) -> int:
    total: int = (await api.get("/contacts?total=true")).json()["total"]["count"]
    return total


async def test_a_repeated_create_makes_one_contact_and_gets_the_same_bytes(api: httpx.AsyncClient) -> None:
    headers = keyed()
    first = await api.post("/contacts", json=ANN, headers=headers)
    again = await api.post("/contacts", json=ANN, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    for name in ("etag", "location", "content-type"):
        assert first.headers[name] == again.headers[name]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert await count(api) == 1


async def test_a_hundred_at_once_make_one_contact(api: httpx.AsyncClient) -> None:
    headers = keyed()
    answers = await asyncio.gather(*(api.post("/contacts", json=ANN, headers=headers) for _ in range(100)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in made}) == 1
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "idempotency_conflict"
            assert answer.headers["retry-after"] == "1"
    assert await count(api) == 1


async def test_every_kind_of_write_is_repeated_harmlessly(api: httpx.AsyncClient) -> None:
    id = (await api.post("/contacts", json=ANN)).json()["id"]
    for method, url, body in (
        ("PATCH", f"/contacts/{id}", {"company": "Acme"}),
        ("PUT", "/contacts?match=phone", {**ANN, "job_title": "Producer"}),
        ("DELETE", f"/contacts/{id}", None),
        ("POST", f"/contacts/{id}/restore", None),
    ):
        headers = keyed()
        first = await api.request(method, url, json=body, headers=headers)
        again = await api.request(method, url, json=body, headers=headers)
        assert first.status_code < 300, first.text
        assert (first.status_code, first.content) == (again.status_code, again.content), method
        assert again.headers["idempotency-replayed"] == "true"


async def test_a_key_that_comes_with_another_request_is_refused(api: httpx.AsyncClient) -> None:
    headers = keyed()
    await api.post("/contacts", json=ANN, headers=headers)
    for method, url, body in (
        ("POST", "/contacts", {"first_name": "Ben"}),
        ("PUT", "/contacts?match=phone", ANN),
        ("POST", "/contacts", {**ANN, "tags": []}),
    ):
        answer = await api.request(method, url, json=body, headers=headers)
        assert answer.status_code == 422
        assert answer.json()["code"] == "idempotency_key_reused"
    assert await count(api) == 1


async def test_what_was_refused_can_be_corrected_under_the_same_key(api: httpx.AsyncClient) -> None:
    headers = keyed()
    assert (await api.post("/contacts", json={"firstname": "Ann"}, headers=headers)).status_code == 422
    assert (await api.post("/contacts", json={}, headers=headers)).status_code == 422
    assert (await api.post("/contacts", json=ANN, headers=headers)).status_code == 201


async def test_keys_are_each_callers_own(sign_in: SignIn, tenant: Tenant, other_tenant: Tenant) -> None:
    headers, user = keyed(), uuid4()
    callers = [sign_in(tenant), sign_in(tenant, user=user), sign_in(other_tenant, user=user)]
    answers = [await each.post("/contacts", json=ANN, headers=headers) for each in callers]
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert not any("idempotency-replayed" in answer.headers for answer in answers)


@pytest.mark.parametrize("key", ["", " " * 3 + "\t", "x" * 256, "schlüssel".encode()])
async def test_a_key_that_cannot_be_is_refused(api: httpx.AsyncClient, key: Any) -> None:
    answer = await api.post("/contacts", json=ANN, headers={"Idempotency-Key": key})
    assert answer.status_code in (400, 422), answer.text
    assert "Idempotency-Key" in answer.text
    assert await count(api) == 0


async def test_a_read_takes_no_notice_of_a_key(api: httpx.AsyncClient) -> None:
    headers = keyed()
    assert (await api.get("/contacts", headers=headers)).json()["data"] == []
    await api.post("/contacts", json=ANN)
    assert len((await api.get("/contacts", headers=headers)).json()["data"]) == 1


async def test_when_the_commit_fails_nothing_is_kept_and_the_answer_says_so(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange, headers = Connection.exchange, keyed()

    async def lost(self: Connection, queue: Any) -> None:
        if any("insert into contacts" in pending.sql for pending in queue):
            raise psycopg.OperationalError("the server closed the connection unexpectedly")
        await exchange(self, queue)

    monkeypatch.setattr(Connection, "exchange", lost)
    answer = await api.post("/contacts", json=ANN, headers=headers)
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    monkeypatch.undo()
    again = await api.post("/contacts", json=ANN, headers=headers)
    assert (again.status_code, "idempotency-replayed" in again.headers) == (201, False)
    assert await count(api) == 1


async def test_a_constraint_that_only_the_commit_meets_is_still_a_clear_conflict(api: httpx.AsyncClient) -> None:
    await api.post("/contacts", json={**ANN, "external_id": "7"})
    answer = await api.post("/contacts", json={**ANN, "external_id": "7"}, headers=keyed())
    assert (answer.status_code, answer.json()["code"]) == (409, "external_id_taken")


async def test_the_database_keeps_no_answer_that_can_be_read(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    await api.post("/contacts", json=ANN, headers=keyed("my own key 4711"))
    rows = owner.execute("select * from idempotency_keys where tenant_id = %s", [tenant.id]).fetchall()
    assert len(rows) == 1
    told = b"".join(bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode() for value in rows[0])
    for secret in (b"Ann", b"412345678", b"4711"):
        assert secret not in told


async def test_a_purged_contact_leaves_no_answer_behind(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    id = (await api.post("/contacts", json=ANN, headers=keyed())).json()["id"]
    await api.patch(f"/contacts/{id}", json={"company": "Acme"}, headers=keyed())
    await api.post("/contacts", json={"first_name": "Ben"}, headers=keyed())
    kept = "select count(*) from idempotency_keys where tenant_id = %s"
    assert owner.execute(kept.encode(), [tenant.id]).fetchone() == (3,)
    assert (await api.post(f"/contacts/{id}/purge")).status_code == 204
    assert owner.execute(kept.encode(), [tenant.id]).fetchone() == (1,)


async def test_a_suspended_tenant_is_refused_before_anything(
    api: httpx.AsyncClient, owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    owner.execute("update tenants set status = 'suspended' where id = %s", [tenant.id])
    answer = await api.post("/contacts", json=ANN, headers=keyed())
    assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")


@pytest.fixture
async def tomorrow(owner_conninfo: str, tenant: Tenant) -> AsyncIterator[tuple[httpx.AsyncClient, FakeClock]]:
    """The API with a clock of its own."""
    clock = FakeClock()
    settings = Settings(_env_file=None, database_url=owner_conninfo, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings, clock=clock) as bellbird:
        token = bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(days=9), roles=("owner",))
        transport = httpx.ASGITransport(create_app(bellbird), raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://b.test/api/v1", headers=headers) as client:
            yield client, clock


async def test_a_key_is_kept_for_a_day(
    tomorrow: tuple[httpx.AsyncClient, FakeClock], owner: psycopg.Connection[Any], tenant: Tenant
) -> None:
    api, clock = tomorrow
    headers = keyed()
    first = await api.post("/contacts", json=ANN, headers=headers)
    assert first.status_code == 201, first.text
    await api.post("/contacts", json=ANN, headers=keyed())
    clock.move(timedelta(hours=23, minutes=59))
    assert (await api.post("/contacts", json=ANN, headers=headers)).content == first.content
    clock.move(timedelta(minutes=2))
    again = await api.post("/contacts", json=ANN, headers=headers)
    assert again.status_code == 201
    assert again.json()["id"] != first.json()["id"]
    kept = owner.execute("select count(*) from idempotency_keys where tenant_id = %s", [tenant.id]).fetchone()
    assert kept == (1,), "those that are over are cleared away by whoever comes next"


def test_what_is_sealed_opens_for_its_own_row_and_secret_only() -> None:
    from cryptography.exceptions import InvalidTag

    id, vault = uuid4(), Vault("s" * 32)
    sealed = vault.close(id, {"etag": '"1"'}, b"body")
    assert vault.open(id, sealed) == ({"etag": '"1"'}, b"body")
    assert vault.close(id, {}, b"body") != vault.close(id, {}, b"body")
    for other, key in ((Vault("s" * 32), uuid4()), (Vault("t" * 32), id)):
        with pytest.raises(InvalidTag):
            other.open(key, sealed)


async def test_a_client_that_goes_away_leaves_the_connection_to_others(
    api: httpx.AsyncClient, bellbird: Bellbird
) -> None:
    for _ in range(30):
        request = asyncio.create_task(api.post("/contacts", json=ANN, headers=keyed()))
        await asyncio.sleep(0.002)
        request.cancel()
        await asyncio.gather(request, return_exceptions=True)
    assert (await api.post("/contacts", json=ANN, headers=keyed())).status_code == 201
