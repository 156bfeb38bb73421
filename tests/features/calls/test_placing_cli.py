"""Placing calls on the command line."""

import asyncio
from uuid import uuid4

import psycopg
import pytest

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine
from bellbird.features import tenants
from tests.command_line import SECRET, Run, acme, cli, cli_settings  # noqa: F401 - fixtures
from tests.features.calls.carrier import OTHER, Carrier, connect

NUMBER = "+61412345678"


@pytest.fixture
def calling(acme: Run, clone: str) -> Run:
    """The command line of a tenant with a call account."""

    async def connected() -> None:
        async with Engine(clone, secret=SECRET) as engine:
            async with engine.system(Actor.system()) as tx:
                tenant = await tenants.get(tx, "acme")
            await connect(engine, tenant, Carrier())

    asyncio.run(connected())
    return acme


def test_a_number_is_called_and_the_call_canceled(calling: Run) -> None:
    ran = calling("calls", "place", "0412 345 678", "--purpose", "service", "--from", OTHER, "--notes", "The boat")
    id = ran.out.strip()
    assert f"The call to {NUMBER} is queued." in ran.err
    ran = calling("calls", "cancel", id, "--json")
    assert (ran.data["status"], ran.data["from_number"], ran.data["notes"]) == ("canceled", OTHER, "The boat")
    assert f"The call to {NUMBER} is over: canceled." in calling("calls", "hang-up", id).err
    assert "is over: canceled." in calling("calls", "watch", id, fails=1).err


def test_a_contact_is_called_and_the_call_watched(calling: Run, clone: str) -> None:
    ann = calling("contacts", "add", "--first-name", "Ann", "--phone", NUMBER, "--phone", "0412 000 001").out.strip()
    call = calling("calls", "place", ann, "--to", "0412 000 001", "--purpose", "service", "--json").data
    assert (call["contact_id"], call["number"]) == (ann, "+61412000001")
    waiting = calling("calls", "place", "0412 000 001", "--purpose", "service", "--wait", "--wait-seconds", "60")
    assert "waits for its turn, until" in waiting.err
    with psycopg.connect(clone, autocommit=True) as owner:
        owner.execute("update calls set status = 'in_progress', claimed_at = now() where id = %s", [call["id"]])
        assert "Its provider is asked to end it." in calling("calls", "hang-up", call["id"]).err
        owner.execute(
            "update calls set status = 'completed', ended_at = now(), duration = 61, disposition = 'answered'"
            " where id = %s", [call["id"]],
        )  # fmt: skip
    assert "is over after 61 s: answered." in calling("calls", "watch", call["id"]).err


def test_mistakes_are_told(calling: Run) -> None:
    assert "to: '12'" in calling("calls", "place", "12", fails=1).err
    assert "There is no contact" in calling("calls", "place", uuid4(), fails=1).err
    assert "--to says which" in calling("calls", "place", NUMBER, "--to", NUMBER, fails=2).err
    assert "There is no call" in calling("calls", "cancel", uuid4(), fails=1).err
    calling("calls", "place", NUMBER, "--purpose", "service")
    refused = calling("calls", "place", NUMBER, "--purpose", "service", fails=1).err
    assert f"A call with {NUMBER} is under way or waiting already." in refused
