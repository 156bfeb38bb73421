"""Calls there were, on the command line."""

import asyncio
from uuid import uuid4

import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.features import tenants
from bellbird.features.calls import Call
from tests import make
from tests.command_line import SECRET, Run, acme, cli, cli_settings  # noqa: F401 - fixtures


@pytest.fixture
def made(acme: Run, clone: str) -> list[Call]:
    """Two calls: one that somebody answered, one that is under way."""

    async def make_them() -> list[Call]:
        async with Engine(clone, secret=SECRET) as engine:
            async with engine.system(Actor.system()) as system:
                tenant = await tenants.get(system, "acme")
            async with engine.tenant(tenant.id, Actor.system()) as tx:
                over = await make.call(
                    tx, status="completed", disposition="answered", duration=61, ended_at=tx.clock.now(),
                    decision={"explanation": "Nothing stands against it."},
                )  # fmt: skip
                return [over, await make.call(tx, direction="inbound", number=None)]

    return asyncio.run(make_them())


def test_calls_are_listed_and_shown(acme: Run, made: list[Call]) -> None:
    over, live = made
    table = acme("calls", "list").out
    assert "+61412345678" in table
    assert "withheld" in table
    assert [call["id"] for call in acme("calls", "list", "--live", "--json").data["data"]] == [str(live.id)]
    found = acme("calls", "list", "--number", "0412 345 678", "--status", "completed", "--json").data["data"]
    assert [call["id"] for call in found] == [str(over.id)]
    assert "There is more: --cursor" in acme("calls", "list", "--limit", "1").err
    assert "There is no such call." in acme("calls", "list", "--agent", uuid4()).err
    shown = acme("calls", "show", over.id).out
    assert "Nothing stands against it." in shown
    assert "answered" in shown
    assert acme("calls", "show", over.id, "--json").data["duration"] == 61
    assert "There is no call" in acme("calls", "show", uuid4(), fails=1).err


def test_what_came_of_it_is_said(acme: Run, made: list[Call]) -> None:
    said = acme("calls", "outcome", made[0].id, "interested", "--notes", "Wants a quote").err
    assert f"The call {made[0].id} has the outcome interested." in said
    again = acme("calls", "outcome", made[0].id, "--notes", "Two quotes", "--json").data
    assert (again["outcome"], again["notes"]) == ("interested", "Two quotes")
    assert "outcome: cannot be 'bought'" in acme("calls", "outcome", made[0].id, "bought", fails=1).err


def test_calls_are_counted(acme: Run, made: list[Call]) -> None:
    ran = acme("calls", "stats", "--by", "disposition", "--by", "day")
    assert "Disposition" in ran.out
    assert "50%" in ran.out
    assert "Australia/Sydney" in ran.err
    assert acme("calls", "stats", "--json").data["total"]["talk_seconds"] == 61
    assert "from: must not be after" in acme("calls", "stats", "--from", "2999-01-01", fails=1).err
