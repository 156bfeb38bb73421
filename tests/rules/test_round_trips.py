"""What a request costs in round trips and statements: pinned, so that a slow line is seen when it is written."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bellbird.core import tenants
from bellbird.core.connection import Connection, Pending
from bellbird.core.tenants import Tenant
from tests.conftest import NewTenant, SignIn

OWN = re.compile(r"begin|commit|rollback|set local")  # what opens and closes a transaction
TENANT_TABLE = re.compile(r"\b(contacts|events|tenant_contacts)\b")


class Traffic:
    """The exchanges with the database, each a list of statements."""

    def __init__(self) -> None:
        self.exchanges: list[list[str]] = []

    @property
    def cost(self) -> tuple[int, int]:
        """Round trips, and statements without those that open and close a transaction."""
        return len(self.exchanges), sum(not OWN.match(sql) for exchange in self.exchanges for sql in exchange)


@pytest.fixture
def traffic(monkeypatch: pytest.MonkeyPatch) -> Traffic:
    seen = Traffic()
    exchange = Connection.exchange

    async def noted(self: Connection, queue: list[Pending]) -> None:
        seen.exchanges.append([pending.sql for pending in queue])
        await exchange(self, queue)

    monkeypatch.setattr(Connection, "exchange", noted)
    # The tenant as it was read last is good for a second; here for as long as a slow machine needs.
    monkeypatch.setattr(tenants, "TTL", 3600)
    return seen


ANN = {"first_name": "Ann", "phones": [{"number": "0412 345 678"}], "emails": [{"address": "ann@acme.example"}]}

# method, path, body, duplicate policy: round trips, statements
COSTS: dict[tuple[str, str, str | None, str], tuple[int, int]] = {
    ("GET", "/contacts/{ann}", None, "allow"): (1, 1),
    ("GET", "/contacts", None, "allow"): (1, 1),
    ("GET", "/contacts?limit=200&filter[company]=acme&sort=name", None, "allow"): (1, 1),
    ("GET", "/contacts?q=ann&total=true", None, "allow"): (1, 2),
    ("GET", "/contacts?q=0412345678", None, "allow"): (1, 1),
    ("GET", "/contacts/lookup?number=0412345678", None, "allow"): (1, 1),
    ("GET", "/contacts/lookup?number=345678", None, "allow"): (1, 1),
    # The tenant; then the row and its event, which go with the COMMIT.
    ("POST", "/contacts", "ann", "allow"): (2, 3),
    # In between, the locks on its number and its address, and who has them.
    ("POST", "/contacts", "ann", "warn"): (3, 6),
    ("POST", "/contacts", "ben", "reject"): (3, 6),
    ("PUT", "/contacts?match=email", "ann", "allow"): (3, 4),
    ("PUT", "/contacts?match=email", "ben", "allow"): (3, 6),
    ("PATCH", "/contacts/{ann}", "company", "allow"): (2, 4),
    ("PATCH", "/contacts/{ann}", "company", "reject"): (2, 4),
    ("PATCH", "/contacts/{ann}", "nothing", "allow"): (2, 2),
    ("DELETE", "/contacts/{ann}", None, "allow"): (2, 4),
    ("POST", "/contacts/{ann}/restore", None, "allow"): (2, 2),
    ("POST", "/contacts/{ann}/purge", None, "allow"): (2, 5),
}
BODIES: dict[str | None, Any] = {
    "ann": ANN,
    "ben": {"first_name": "Ben", "phones": [{"number": "0412 000 000"}], "emails": [{"address": "ben@acme.example"}]},
    "company": {"company": "Acme"},
    "nothing": {"first_name": "Ann"},
}


@pytest.mark.parametrize(("method", "path", "body", "policy"), COSTS)
async def test_a_request_costs_what_it_did(
    sign_in: SignIn, new_tenant: NewTenant, traffic: Traffic, method: str, path: str, body: str | None, policy: str
) -> None:
    api = sign_in(await new_tenant(duplicate_policy=policy))
    ann = (await api.post("/contacts", json=ANN)).json()["id"]
    await api.get("/contacts")
    traffic.exchanges.clear()
    answer = await api.request(method, path.format(ann=ann), json=BODIES.get(body))
    assert answer.status_code < 300, answer.text
    assert traffic.cost == COSTS[method, path, body, policy], traffic.exchanges


async def test_every_route_is_priced(app: Any) -> None:
    priced = {(method, path.partition("?")[0].replace("{ann}", "{id}")) for method, path, _, _ in COSTS}
    known = {
        (method, route.path_format.removeprefix("/api/v1"))
        for route in app.app.routes
        if route.path.startswith("/api/v1")
        for method in route.methods - {"OPTIONS", "HEAD"}
    }
    assert priced == known


async def test_a_read_that_does_not_know_the_tenant_yet_asks_for_it_first(
    api: httpx.AsyncClient, traffic: Traffic
) -> None:
    await api.get("/contacts/" + str(uuid4()))
    assert traffic.cost == (1, 2), "together with the question, where the question does not depend on it"
    traffic.exchanges.clear()
    await api.get("/contacts/" + str(uuid4()))
    assert traffic.cost == (1, 1)


async def test_what_is_refused_without_asking_costs_nothing(api: httpx.AsyncClient, traffic: Traffic) -> None:
    await api.get("/contacts/nobody")
    await api.get("/contacts?limit=0")
    await api.post("/contacts", json={"firstname": "Ann"})
    del api.headers["Authorization"]
    await api.get("/contacts")
    assert traffic.exchanges == []


async def test_every_statement_that_was_sent_names_the_tenant(
    sign_in: SignIn, new_tenant: NewTenant, traffic: Traffic, tenant: Tenant
) -> None:
    for method, path, body, policy in COSTS:
        api = sign_in(await new_tenant(duplicate_policy=policy))
        ann = (await api.post("/contacts", json=ANN)).json()["id"]
        await api.request(method, path.format(ann=ann), json=BODIES.get(body))
    statements = {sql for exchange in traffic.exchanges for sql in exchange if TENANT_TABLE.search(sql)}
    assert len(statements) > 10
    for sql in statements:
        named = "tenant_id = $1" in sql or "(tenant_id, " in sql
        assert named, f"does not name its tenant:\n{sql}"
