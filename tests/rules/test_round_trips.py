"""What a request costs in round trips and statements: pinned, so that a slow line is seen when it is written."""

import re
from typing import Any
from uuid import uuid4

import httpx
import pytest

from bellbird.app import Bellbird
from bellbird.core import tenants
from bellbird.core.connection import Connection, Pending
from bellbird.core.tenants import Tenant
from tests import people
from tests.conftest import Begin, NewTenant, SignIn, routes
from tests.people import cheap_passwords  # noqa: F401 - a fixture

OWN = re.compile(r"begin|commit|rollback|set local")  # what opens and closes a transaction
TENANT_TABLE = re.compile(r"\b(contacts|events|tenant_contacts|memberships|roles|teams|api_keys)\b")


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
    # With an idempotency key also: lock, look-up; then what is over is cleared away, and the answer kept.
    ("POST", "/contacts", "ann+key", "allow"): (2, 7),
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
    # Whether the contact is seen, and its events; with each source that joins, one more statement.
    ("GET", "/contacts/{ann}/timeline", None, "allow"): (1, 2),
    ("GET", "/audit/events", None, "allow"): (1, 1),
    # What no index finds is looked for in a stretch of the log, whose end is asked for as well.
    ("GET", "/audit/events?field=phones", None, "allow"): (1, 2),
    ("GET", "/audit/events/{event}", None, "allow"): (1, 1),
    ("GET", "/audit/seals", None, "allow"): (1, 1),
    # The contact; what happened since, the last change before, and how far back the log goes.
    ("GET", "/contacts/{ann}?as_of={then}", None, "allow"): (1, 4),
    ("GET", "/roles", None, "allow"): (1, 1),
    ("GET", "/roles/{role}", None, "allow"): (1, 1),
    # Besides the row and its event: that everybody's permissions are to be found out anew.
    ("POST", "/roles", "role", "allow"): (2, 4),
    ("PATCH", "/roles/{role}", "own", "allow"): (2, 5),
    # In between, whether somebody has it.
    ("DELETE", "/roles/{role}", None, "allow"): (3, 6),
    ("GET", "/teams", None, "allow"): (1, 1),
    ("GET", "/teams/{team}", None, "allow"): (1, 1),
    ("POST", "/teams", "team", "allow"): (2, 3),
    ("PATCH", "/teams/{team}", "renamed", "allow"): (2, 4),
    # In between, its members leave: the event says who they were.
    ("DELETE", "/teams/{team}", None, "allow"): (3, 6),
    ("GET", "/keys", None, "allow"): (1, 1),
    ("GET", "/keys/{key}", None, "allow"): (1, 1),
    ("POST", "/keys", "key", "allow"): (2, 3),
    ("PATCH", "/keys/{key}", "renamed", "allow"): (2, 4),
    ("DELETE", "/keys/{key}", None, "allow"): (2, 5),
    ("GET", "/users", None, "allow"): (1, 1),
    ("GET", "/users/{user}", None, "allow"): (1, 1),
    # The tenant; who it is; the row, whether it was there; the event, and that permissions have changed.
    ("POST", "/users", "user", "allow"): (4, 5),
    # Besides: the owners, of whom one has to be left.
    ("PATCH", "/users/{user}", "viewer", "allow"): (3, 5),
    # And the sessions that end.
    ("DELETE", "/users/{user}", None, "allow"): (4, 6),
    ("POST", "/users/{user}/invitation", None, "allow"): (3, 4),
    # What is there already: the last event; a live stream then costs nothing of its own.
    ("GET", "/events/stream?seconds=0", None, "allow"): (1, 1),
    ("GET", "/operations", None, "allow"): (1, 1),
    ("GET", "/operations/{operation}", None, "allow"): (1, 1),
    # The row, its event, and the job that does it.
    ("POST", "/operations", "operation", "allow"): (2, 4),
    ("POST", "/operations/{operation}/cancel", None, "allow"): (2, 4),
    ("POST", "/operations/{operation}/pause", None, "allow"): (2, 4),
    ("POST", "/operations/{operation}/resume", None, "allow"): (2, 2),
    # Both rows, their events, and the job.
    ("POST", "/operations/{canceled}/undo", None, "allow"): (2, 7),
    ("GET", "/me", None, "allow"): (1, 1),
    ("GET", "/me/sessions", None, "allow"): (1, 1),
    ("DELETE", "/me/sessions", None, "allow"): (3, 3),
}

# Signing in, where each step has what the one before answered.
SIGNING_IN: dict[tuple[str, str], tuple[int, int]] = {
    # The address is counted, then the account; then who it is. Behind the password's check: whether it is the password
    # still; the attempt is taken back, and the membership held until the session is there. What is over is cleared up.
    ("POST", "/auth/sign-in"): (6, 14),
    # The tenant is held, the token and its session; then one token is used up, and the next one made.
    ("POST", "/auth/refresh"): (2, 7),
    # Counted like signing in; then every session and every tenant of the person.
    ("POST", "/auth/password"): (8, 10),
    ("DELETE", "/me/sessions/{id}"): (3, 5),
    ("POST", "/auth/invitations/accept"): (6, 10),
    ("POST", "/auth/sign-out"): (3, 5),
}
BODIES: dict[str | None, Any] = {
    "ann": ANN,
    "ben": {"first_name": "Ben", "phones": [{"number": "0412 000 000"}], "emails": [{"address": "ben@acme.example"}]},
    "company": {"company": "Acme"},
    "nothing": {"first_name": "Ann"},
    "role": {"name": "night-shift", "permissions": ["contacts:read"]},
    "own": {"visibility": "own"},
    "team": {"name": "Sales"},
    "key": {"name": "robot", "scopes": ["contacts:read"]},
    "renamed": {"name": "New"},
    "user": {"email": "ann@acme.example", "name": "Ann", "role": "agent"},
    "viewer": {"role": "viewer"},
    "operation": {"kind": "contacts.purge_deleted"},
}

# What a path may name besides Ann, and is then made first: where, and what of the answer its path has.
THINGS = {"role": ("/roles", "name"), "team": ("/teams", "id"), "key": ("/keys", "id"), "user": ("/users", "id"),
          "operation": ("/operations", "id")}  # fmt: skip


async def things(api: httpx.AsyncClient, path: str) -> dict[str, str]:
    """Ann, and what else the path names."""
    ann = (await api.post("/contacts", json=ANN)).json()
    made = {"ann": ann["id"], "then": ann["updated_at"]}
    if "{event}" in path:
        made["event"] = (await api.get("/audit/events")).json()["data"][0]["id"]
    if "{canceled}" in path:
        assigning = {"kind": "contacts.assign", "params": {"from": None, "to": str(uuid4())}}
        made["canceled"] = (await api.post("/operations", json=assigning)).json()["id"]
        await api.post(f"/operations/{made['canceled']}/cancel")
    for name, (collection, field) in THINGS.items():
        if f"{{{name}}}" in path:
            # One person has one e-mail address, in whatever tenant.
            body = {**BODIES[name], "email": people.an_email()} if name == "user" else BODIES[name]
            made[name] = (await api.post(collection, json=body)).json()[field]
    return made


@pytest.mark.parametrize(("method", "path", "body", "policy"), COSTS)
async def test_a_request_costs_what_it_did(
    sign_in: SignIn, new_tenant: NewTenant, traffic: Traffic, method: str, path: str, body: str | None, policy: str
) -> None:
    api = sign_in(await new_tenant(duplicate_policy=policy))
    made = await things(api, path)
    await api.get("/contacts")
    traffic.exchanges.clear()
    name, _, key = (body or "").partition("+")
    headers = {"Idempotency-Key": str(uuid4())} if key else {}
    answer = await api.request(method, path.format(**made), json=BODIES.get(name or None), headers=headers)
    assert answer.status_code < 300, answer.text
    assert traffic.cost == COSTS[method, path, body, policy], traffic.exchanges


async def test_signing_in_costs_what_it_did(
    sign_in: SignIn, new_tenant: NewTenant, begin: Begin, traffic: Traffic
) -> None:
    of: Tenant = await new_tenant()
    async with begin(of) as tx:
        invited = await people.invited(tx)
    assert invited.invitation
    api, found = sign_in(of), dict[tuple[str, str], tuple[int, int]]()
    sessions = []

    async def ask(method: str, path: str, body: Any = None) -> None:
        traffic.exchanges.clear()
        answer = await api.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        if answer.content:
            sessions.append(answer.json())
            api.headers["Authorization"] = f"Bearer {sessions[-1]['access_token']}"
        found[method, path] = traffic.cost

    async def known() -> str:
        """Who is calling is found out; the id of a session of theirs."""
        return str((await api.get("/me/sessions")).json()["data"][-1]["id"])

    await ask("POST", "/auth/invitations/accept", {"token": invited.invitation.token, "password": people.PASSWORD})
    await ask("POST", "/auth/sign-in", {"email": invited.email, "password": people.PASSWORD})
    await ask("POST", "/auth/refresh", {"refresh_token": sessions[-1]["refresh_token"]})
    id = await known()
    await ask("DELETE", f"/me/sessions/{id}")
    found["DELETE", "/me/sessions/{id}"] = found.pop(("DELETE", f"/me/sessions/{id}"))
    await known()
    await ask("POST", "/auth/password", {"current_password": people.PASSWORD, "new_password": people.OTHER})
    await known()
    await ask("POST", "/auth/sign-out")
    assert found == SIGNING_IN


async def test_every_route_is_priced(app: Any) -> None:
    names = {"ann": "{id}", "then": "", "event": "{id}", "canceled": "{id}"}
    names |= {name: f"{{{field}}}" for name, (_, field) in THINGS.items()}
    priced = {(method, path.partition("?")[0].format(**names)) for method, path, _, _ in COSTS} | set(SIGNING_IN)
    known = {(method, path.removeprefix("/api/v1")) for method, path, _ in routes(app)}
    assert priced == known


async def test_who_is_calling_is_asked_once(api: httpx.AsyncClient, traffic: Traffic) -> None:
    await api.get("/contacts/" + str(uuid4()))
    # The tenant, and whoever it is: membership, team. Then the question itself.
    assert traffic.cost == (2, 4)
    traffic.exchanges.clear()
    await api.get("/contacts/" + str(uuid4()))
    assert traffic.cost == (1, 1)


async def test_when_the_moment_is_over_the_tenant_alone_is_asked_for(
    bellbird: Bellbird, tenant: Tenant, api: httpx.AsyncClient, traffic: Traffic
) -> None:
    await api.get("/contacts/" + str(uuid4()))
    bellbird.engine.snapshots.forget(tenant.id)
    traffic.exchanges.clear()
    await api.get("/contacts/" + str(uuid4()))
    assert traffic.cost == (2, 2)


async def test_what_is_refused_without_asking_costs_nothing(api: httpx.AsyncClient, traffic: Traffic) -> None:
    await api.get("/contacts")
    traffic.exchanges.clear()
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
        made = await things(api, path)
        await api.request(method, path.format(**made), json=BODIES.get(body))
    statements = {sql for exchange in traffic.exchanges for sql in exchange if TENANT_TABLE.search(sql)}
    assert len(statements) > 10
    for sql in statements:
        named = "tenant_id = $1" in sql or "(tenant_id, " in sql
        assert named, f"does not name its tenant:\n{sql}"
