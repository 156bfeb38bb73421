"""What a request costs in round trips and statements: pinned, so that a slow line is seen when it is written."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
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
from tests.features.calls import telling
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
    # With what each feature keeps of a contact besides.
    ("POST", "/contacts/{ann}/purge", None, "allow"): (2, 12),
    # Whether the contact is seen, its events, those of its follow-ups, its calls: a statement for each source.
    ("GET", "/contacts/{ann}/timeline", None, "allow"): (1, 4),
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
    ("GET", "/call-accounts", None, "allow"): (1, 1),
    ("GET", "/call-accounts/{account}", None, "allow"): (1, 1),
    ("POST", "/call-accounts", "account", "allow"): (2, 3),
    ("PATCH", "/call-accounts/{account}", "paused", "allow"): (2, 4),
    # Besides the row and the tenant: whether calls are under way with it.
    ("DELETE", "/call-accounts/{account}", None, "allow"): (2, 5),
    # The accounts and the tenant; who has the number. Then how much room there is, under the lock, with all that the
    # decision is based on; and the row, its event, the decision and the job.
    ("POST", "/calls", "call", "allow"): (4, 15),
    # The contact comes with the accounts.
    ("POST", "/contacts/{ann}/calls", "calling", "allow"): (3, 15),
    # The row, its event; that its place is free, and who waits for it.
    ("POST", "/calls/{call}/cancel", None, "allow"): (2, 6),
    ("POST", "/calls/{call}/hang-up", None, "allow"): (2, 6),
    ("GET", "/calls", None, "allow"): (1, 1),
    ("GET", "/calls?filter[number]=0412345678", None, "allow"): (1, 1),
    # Whether the contact is seen, and its calls.
    ("GET", "/contacts/{ann}/calls", None, "allow"): (1, 2),
    # Which days are counted; then those, and the calls of the others.
    ("GET", "/calls/statistics?group_by=agent", None, "allow"): (2, 2),
    ("GET", "/calls/{call}", None, "allow"): (1, 1),
    ("GET", "/calls/{call}/callbacks", None, "allow"): (1, 2),
    ("PATCH", "/calls/{call}", "noted", "allow"): (2, 4),
    # The follow-up with its event besides.
    ("PATCH", "/calls/{call}", "called-back", "allow"): (2, 6),
    # The call; then the contact and the call with their events, and the follow-ups that are the contact's now.
    ("POST", "/calls/{stranger}/contact", "nothing", "allow"): (2, 7),
    # The tenant; what is known of the number; the decision and its event.
    ("POST", "/dial-decisions", "decision", "allow"): (3, 7),
    ("GET", "/dial-decisions", None, "allow"): (1, 1),
    ("GET", "/dial-decisions/{decision}", None, "allow"): (1, 1),
    ("POST", "/consents", "consent", "allow"): (2, 4),
    ("GET", "/consents?contact_id={ann}", None, "allow"): (1, 2),
    ("POST", "/consents/{consent}/withdraw", None, "allow"): (2, 4),
    # The tenant; the row, and that of whoever was first; its event.
    ("POST", "/opt-outs", "opt_out", "allow"): (3, 4),
    ("GET", "/opt-outs", None, "allow"): (1, 1),
    ("GET", "/opt-outs/{opt_out}", None, "allow"): (1, 1),
    ("GET", "/consents/{consent}", None, "allow"): (1, 1),
    ("POST", "/opt-outs/{opt_out}/remove", "reason", "allow"): (2, 4),
    ("POST", "/washes", "washes", "allow"): (2, 3),
    ("GET", "/washes?number=0412345678", None, "allow"): (1, 1),
    ("GET", "/follow-ups", None, "allow"): (1, 1),
    ("GET", "/follow-ups/{follow_up}", None, "allow"): (1, 1),
    ("POST", "/follow-ups", "follow_up", "allow"): (2, 3),
    ("PATCH", "/follow-ups/{follow_up}", "follow_up_note", "allow"): (2, 4),
    ("POST", "/follow-ups/{follow_up}/done", None, "allow"): (2, 4),
    ("POST", "/follow-ups/{follow_up}/cancel", None, "allow"): (2, 4),
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

# What call providers ask, who have no token.
CALLING_BACK: dict[tuple[str, str], tuple[int, int]] = {
    # The account, and the tenant for a second; the call's lock, what was told of it before, and the tenant; then the
    # callback, the call and its event.
    ("POST", "/callbacks/{tenant}/{account}"): (3, 7),
    # Nobody else makes the same call; who it may be, and who is talking; then the call and that it came in, the
    # callback, and that it rings.
    ("POST", "/callbacks/{tenant}/{account}/voice"): (4, 12),
}
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()
BODIES: dict[str | None, Any] = {
    "ann": ANN,
    "ben": {"first_name": "Ben", "phones": [{"number": "0412 000 000"}], "emails": [{"address": "ben@acme.example"}]},
    "company": {"company": "Acme"},
    "nothing": {"first_name": "Ann"},
    "role": {"name": "night-shift", "permissions": ["contacts:read"]},
    "own": {"visibility": "own"},
    "team": {"name": "Sales"},
    "key": {"name": "robot", "scopes": ["contacts:read"]},
    "account": {"provider": "twilio", "identifier": "AC" + "01" * 16, "secret": "0123456789abcdef" * 2},
    "paused": {"status": "paused"},
    "call": {"to": "0412 345 678", "purpose": "service"},
    "calling": {"purpose": "service"},
    "stranger": {"to": "0412 000 111", "purpose": "service"},
    "renamed": {"name": "New"},
    "user": {"email": "ann@acme.example", "name": "Ann", "role": "agent"},
    "viewer": {"role": "viewer"},
    "noted": {"notes": "Wants a quote", "outcome": "interested"},
    "called-back": {"outcome": "call_back", "follow_up": {"due_at": TOMORROW}},
    "follow_up": {"number": "0412 345 678", "due_at": TOMORROW},
    "decision": {"number": "0412 345 678"},
    "consent": {"purpose": "research", "source": "web form"},
    "opt_out": {"number": "0412 345 678"},
    "reason": {"reason": "she rang"},
    "washes": {"numbers": [{"number": "0412 345 678", "listed": True}]},
    "follow_up_note": {"note": "About the quote"},
    "operation": {"kind": "contacts.purge_deleted"},
}

# What a path may name besides Ann, and is then made first: where, and what of the answer its path has.
THINGS = {"role": ("/roles", "name"), "team": ("/teams", "id"), "key": ("/keys", "id"), "user": ("/users", "id"),
          "account": ("/call-accounts", "id"), "follow_up": ("/follow-ups", "id"),
          "operation": ("/operations", "id"), "call": ("/calls", "id"),
          "stranger": ("/calls", "id"), "decision": ("/dial-decisions", "id"), "consent": ("/consents", "id"),
          "opt_out": ("/opt-outs", "id")}  # fmt: skip


def body_of(name: str | None, made: dict[str, str]) -> Any:
    """A body, with Ann's id where it is hers."""
    return {**BODIES[name], "contact_id": made["ann"]} if name == "consent" else BODIES.get(name)


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
    if "/calls" in path:
        await api.post("/call-accounts", json={**BODIES["account"], "numbers": [{"number": "+61370101234"}]})
    for name, (collection, field) in THINGS.items():
        if f"{{{name}}}" in path:
            # One person has one e-mail address, in whatever tenant.
            body = {**BODIES[name], "email": people.an_email()} if name == "user" else body_of(name, made)
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
    answer = await api.request(method, path.format(**made), json=body_of(name or None, made), headers=headers)
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


async def test_calling_back_costs_what_it_did(app: Any, bellbird: Bellbird, tenant: Tenant, traffic: Traffic) -> None:
    account = await telling.connect(bellbird.engine, tenant)
    call = await telling.placed(bellbird.engine, account)
    (ringing,) = telling.updates("ringing", at=telling.lately(), from_number=telling.THEIRS)
    found = {}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=bellbird.engine.public_url) as provider:
        for about, path in ((call, "/callbacks/{tenant}/{account}"), (None, "/callbacks/{tenant}/{account}/voice")):
            update = replace(ringing, from_number=None) if about else replace(ringing, provider_call_id="CA2")
            given = telling.callback(account, update, about, voice=about is None)
            traffic.exchanges.clear()
            answer = await provider.post(given.url, content=given.body, headers=dict(given.headers))
            assert answer.status_code < 300, answer.text
            found["POST", path] = traffic.cost
    assert found == CALLING_BACK, traffic.exchanges


async def test_every_route_is_priced(app: Any) -> None:
    names = {"ann": "{id}", "then": "", "event": "{id}", "canceled": "{id}"}
    names |= {name: f"{{{field}}}" for name, (_, field) in THINGS.items()}
    priced = {(method, path.partition("?")[0].format(**names)) for method, path, _, _ in COSTS} | set(SIGNING_IN)
    priced |= set(CALLING_BACK)
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
        await api.request(method, path.format(**made), json=body_of(body, made))
    statements = {sql for exchange in traffic.exchanges for sql in exchange if TENANT_TABLE.search(sql)}
    assert len(statements) > 10
    for sql in statements:
        named = "tenant_id = $1" in sql or "(tenant_id, " in sql
        assert named, f"does not name its tenant:\n{sql}"
