"""Another tenant's token gets 404 on every route that takes an id: read from the application's own routes."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from bellbird.core.tenants import Tenant
from bellbird.features import audit, call_accounts, dialling, follow_ups, keys, operations, roles, teams
from bellbird.features.call_accounts import Line, NewCallAccount
from bellbird.features.dialling import NewConsent, NewDialDecision
from bellbird.features.follow_ups import NewFollowUp
from bellbird.features.keys import NewKey
from bellbird.features.operations import NewOperation
from bellbird.features.roles import NewRole
from bellbird.features.teams import NewTeam
from tests import make, people
from tests.conftest import Begin, routes

API = "/api/v1"


async def a_contact(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await make.contact(tx)).id)


async def a_role(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return (await roles.create(tx, NewRole(name=f"r-{uuid4().hex}", permissions=()))).name


async def a_team(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await teams.create(tx, NewTeam(name=uuid4().hex))).id)


async def a_key(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await keys.create(tx, NewKey(name="robot", scopes=("contacts:read",)))).id)


async def an_account(begin: Begin, of: Tenant) -> str:
    new = NewCallAccount(provider="twilio", identifier=f"AC{uuid4().hex}", secret="0123456789abcdef" * 2)
    async with begin(of) as tx:
        return str((await call_accounts.connect(tx, new)).id)


async def a_callable_contact(begin: Begin, of: Tenant) -> str:
    numbers = (Line(number="+61370101234"),)
    new = NewCallAccount(provider="twilio", identifier=f"AC{uuid4().hex}", secret="ab" * 16, numbers=numbers)
    async with begin(of) as tx:
        await call_accounts.connect(tx, new)
        return str((await make.contact(tx, phone="0412 345 678")).id)


async def a_call(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await make.call(tx)).id)


async def a_follow_up(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        new = NewFollowUp(number="0412 345 678", due_at=tx.clock.now() + timedelta(hours=1))
        return str((await follow_ups.create(tx, new)).id)


async def a_user(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await people.invited(tx)).id)


async def a_decision(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await dialling.ask(tx, NewDialDecision(number="0412 345 678"))).id)


async def a_consent(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        contact = await make.contact(tx)
        return str((await dialling.grant(tx, NewConsent(contact_id=contact.id, purpose="research", source="x"))).id)


async def an_opt_out(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await dialling.opt_out(tx, "0412 345 678")).id)


async def a_session(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        id, now = uuid4(), tx.clock.now()
        made = (
            "insert into sessions (tenant_id, id, user_id, created_at, last_used_at, expires_at)"
            " values ($1, $2, $3, $4, $4, $5)"
        )
        await tx.run(made, of.id, id, uuid4(), now, now + timedelta(days=1))
        return str(id)


async def an_event(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        return str((await audit.search(tx)).data[0].id)


async def an_operation(begin: Begin, of: Tenant) -> str:
    async with begin(of) as tx:
        new = NewOperation(kind="contacts.assign", params={"from": None, "to": str(uuid4())})
        return str((await operations.start(tx, new)).id)


async def a_finished_operation(begin: Begin, of: Tenant) -> str:
    id = await an_operation(begin, of)
    async with begin(of) as tx:
        await operations.cancel(tx, UUID(id))
    return id


# Where a route's id comes from, by how its path begins. A new kind of thing needs a line here.
THINGS: dict[str, Callable[[Begin, Tenant], Awaitable[str]]] = {
    f"{API}/contacts/{{id": a_contact,
    f"{API}/contacts/{{id}}/calls": a_callable_contact,
    f"{API}/roles/{{name": a_role,
    f"{API}/teams/{{id": a_team,
    f"{API}/keys/{{id": a_key,
    f"{API}/call-accounts/{{id": an_account,
    f"{API}/calls/{{id": a_call,
    f"{API}/follow-ups/{{id": a_follow_up,
    f"{API}/dial-decisions/{{id": a_decision,
    f"{API}/consents/{{id": a_consent,
    f"{API}/opt-outs/{{id": an_opt_out,
    f"{API}/users/{{id": a_user,
    f"{API}/me/sessions/{{id": a_session,
    f"{API}/audit/events/{{id": an_event,
    f"{API}/operations/{{id": an_operation,
    f"{API}/operations/{{id}}/undo": a_finished_operation,
}
BODIES: dict[str, Any] = {
    "PATCH": {}, "PUT": {}, f"{API}/calls/{{id}}/contact": {"first_name": "Ann"},
    f"{API}/opt-outs/{{id}}/remove": {"reason": "she rang"}, f"{API}/contacts/{{id}}/calls": {"purpose": "service"},
}  # fmt: skip

# What is one person's own; that it works for them is tried with the feature.
PERSONAL = {f"{API}/me/sessions/{{id}}"}


def with_ids(app: Any) -> list[tuple[str, str]]:
    """Every method and path of the API that takes an id, and a token."""
    found = [(method, path) for method, path, handler in routes(app) if not handler.opt["about"].public]
    return [(method, path) for method, path in found if "{" in path]


def test_the_routes_are_found(app: Any) -> None:
    assert ("GET", f"{API}/contacts/{{id}}") in with_ids(app)
    assert len(with_ids(app)) >= 5


async def test_another_tenants_token_gets_404_on_every_route_that_takes_an_id(
    app: Any, begin: Begin, tenant: Tenant, api: httpx.AsyncClient, other_api: httpx.AsyncClient
) -> None:
    for method, path in with_ids(app):
        kinds = [start for start in THINGS if path.startswith(start)]
        assert kinds, f"{path}: say in THINGS what its id is of"
        id = await THINGS[max(kinds, key=len)](begin, tenant)
        url, names = re.subn(r"{\w+}", id, path.removeprefix(API))
        assert names == 1, f"{path}: this test knows things with one id only"
        body = BODIES.get(path, BODIES.get(method))
        theirs = await other_api.request(method, url, json=body)
        nobodys = await other_api.request(method, url.replace(id, str(uuid4())), json=body)
        assert (theirs.status_code, nobodys.status_code) == (404, 404), f"{method} {path}"
        told = [{**answer.json(), "request_id": "", "detail": ""} for answer in (theirs, nobodys)]
        assert told[0] == told[1], "another's looks like none at all"
        assert theirs.json()["code"].endswith("_not_found")
        own = await api.request(method, url, json=body)
        if path in PERSONAL:
            assert own.status_code == 404, "also to another person of the tenant"
            continue
        assert own.status_code < 300, f"{method} {path} works for its owner, so the 404 says something: {own.text}"
