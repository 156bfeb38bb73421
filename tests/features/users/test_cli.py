"""Users and their sessions on the command line."""

from typing import Any

import httpx
import psycopg
import pytest

from bellbird.app import Bellbird, create_app
from bellbird.core.settings import Settings
from tests.command_line import SECRET, Run, acme, cli, cli_settings  # noqa: F401 - fixtures
from tests.people import OTHER, PASSWORD

ANN = "ann@acme.example"


def add(run: Run, email: str = ANN, *words: str, role: str = "owner") -> Any:
    return run("users", "add", email, "--role", role, *words, "--json").data


def test_the_first_owner_of_a_tenant_is_made_here(acme: Run) -> None:
    ran = acme("users", "add", "Ann.Lee@acme.example", "--role", "owner")
    assert ran.out.startswith("bb_invite_") and len(ran.out.splitlines()) == 1
    assert "Ann.Lee (Ann.Lee@acme.example) is owner" in ran.err
    assert "/auth/invitations/accept" in ran.err
    ran = acme("users", "add", "bob@acme.example", "--role", "agent", "--password-stdin", input=f"{PASSWORD}\n")
    assert ran.out == ""
    assert PASSWORD not in ran.err
    data = acme("users", "list", "--json").data["data"]
    assert [(each["email"], each["joined_at"] is None) for each in data] == [
        ("Ann.Lee@acme.example", True), ("bob@acme.example", False),
    ]  # fmt: skip
    shown = acme("users", "list").out
    assert "invited" in shown and "bob@acme.example" in shown
    assert "is a member already" in acme("users", "add", "BOB@acme.example", "--role", "agent", fails=1).err


def test_what_will_not_do_is_told(acme: Run) -> None:
    said = acme("users", "add", "nope", "--role", "agent", "--password-stdin", input="short\n", fails=1).err
    assert "email: 'nope' has no @" in said and "password: has 5 characters" in said
    assert "'king' is no role" in acme("users", "add", ANN, "--role", "king", fails=1).err
    assert "no team 'Sales'" in acme("users", "add", ANN, "--role", "agent", "--team", "Sales", fails=1).err
    for verb in (("show",), ("set", "--role", "agent"), ("remove", "--yes"), ("reset-password", "--yes")):
        assert f"Nobody has the e-mail address {ANN}" in acme("users", verb[0], ANN, *verb[1:], fails=1).err
    acme("tenants", "create", "other")
    acme("users", "add", ANN, "--role", "agent", "--tenant", "other")
    assert "There is no user" in acme("users", "show", ANN, "--tenant", "acme", fails=1).err


def test_a_user_is_changed_shown_and_removed(acme: Run) -> None:
    acme("teams", "create", "Sales")
    ann = add(acme)
    add(acme, "bob@acme.example")
    changed = acme(
        "users", "set", ANN, "--role", "manager", "--visibility", "team", "--team", "sales", "--json"
    ).data  # fmt: skip
    assert (changed["role"], changed["visibility"], len(changed["team_ids"])) == ("manager", "team", 1)
    assert [each["id"] for each in acme("users", "list", "--team", "Sales", "--json").data["data"]] == [ann["id"]]
    changed = acme("users", "set", ann["id"], "--visibility-of-role", "--no-team", "--json").data
    assert (changed["visibility"], changed["team_ids"]) == (None, [])
    assert "manager" in acme("users", "show", ANN).out
    assert "Say what to change" in acme("users", "set", ANN, fails=1).err
    assert "go without" in acme("users", "set", ANN, "--no-team", "--team", "Sales", fails=2).err
    assert "There is nobody to ask" in acme("users", "remove", ANN, fails=2).err
    acme("users", "remove", ANN, "--yes")
    assert [each["email"] for each in acme("users", "list", "--disabled", "--json").data["data"]] == [ANN]
    assert acme("users", "set", ANN, "--enable", "--json").data["disabled_at"] is None
    assert "is the last owner" in acme("users", "remove", "bob@acme.example", "--yes", fails=1).err
    assert "There is no such user here" in acme("users", "list", "--role", "viewer").err


@pytest.fixture
async def door(clone: str) -> Any:
    """The API over the same database."""
    settings = Settings(_env_file=None, database_url=clone, secret=SECRET)  # type: ignore[call-arg, arg-type]
    async with Bellbird(settings) as bellbird:
        transport = httpx.ASGITransport(create_app(bellbird))
        async with httpx.AsyncClient(transport=transport, base_url="http://bellbird.test/api/v1") as client:
            yield client


async def test_a_lost_password_is_chosen_anew_and_sessions_end(door: httpx.AsyncClient, cli: Run, clone: str) -> None:
    # A command runs its own loop: it is called from another thread.
    import asyncio

    async def run(*words: str, **more: Any) -> Any:
        return await asyncio.to_thread(cli, *words, **more)

    await run("tenants", "create", "acme")
    token = (await run("users", "add", ANN, "--role", "owner")).out.strip()
    accepted = await door.post("/auth/invitations/accept", json={"token": token, "password": PASSWORD})
    assert accepted.status_code == 200
    assert "httpx" in (await run("sessions", "list", ANN)).out
    assert len((await run("sessions", "list", ANN, "--json")).data["data"]) == 1
    assert "Ended 1 session of" in (await run("sessions", "end", ANN)).err
    assert "is not signed in" in (await run("sessions", "list", ANN)).err
    assert "Ended 0 sessions of" in (await run("sessions", "end", ANN)).err

    given = {"email": ANN, "password": PASSWORD}
    session = (await door.post("/auth/sign-in", json=given)).json()
    reset = (await run("users", "reset-password", ANN, "--yes")).out.strip()
    assert reset.startswith("bb_invite_")
    assert (await door.post("/auth/sign-in", json=given)).status_code == 401
    refreshed = await door.post("/auth/refresh", json={"refresh_token": session["refresh_token"]})
    assert refreshed.json()["code"] == "refresh_token_invalid"
    assert (await door.post("/auth/invitations/accept", json={"token": reset, "password": OTHER})).status_code == 200
    assert (await door.post("/auth/sign-in", json={**given, "password": OTHER})).status_code == 200
    with psycopg.connect(clone) as owner:
        actors = owner.execute("select actor, origin from events where type = 'user.password_reset'").fetchall()
    assert actors == [("system:cli", "cli")]
