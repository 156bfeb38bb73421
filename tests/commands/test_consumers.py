"""`bellbird consumers`, on what a consumer left behind."""

import asyncio
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from bellbird.core.consumers import Consumer, Consumers
from bellbird.core.engine import Engine
from bellbird.core.events import Logged
from tests.command_line import Run, acme, cli, cli_settings  # noqa: F401 - fixtures
from tests.core.test_consumers import until


@pytest.fixture
def failed(acme: Run, clone: str) -> Run:
    """A consumer that gave up one event of acme and has another one to try again."""
    for name in ("Ann", "Bo"):
        acme("contacts", "add", "--first-name", name)
    asyncio.run(fail(clone))
    with psycopg.connect(clone, autocommit=True) as owner:
        owner.execute(
            "update parked_events set dead_at = next_try_at, next_try_at = null"
            " where event_id = (select min(event_id::text)::uuid from parked_events)"
        )
    return acme


async def fail(conninfo: str) -> None:
    count = 0

    async def handle(events: Sequence[Logged]) -> None:
        nonlocal count
        count += 1
        raise LookupError("the shop is closed")

    consumer = Consumer("hook:shop", ("contact.*",), handle, lanes=1, start="beginning", singly=True)
    async with Engine(conninfo) as engine:
        stop = asyncio.Event()
        task = asyncio.create_task(Consumers(engine, [consumer], poll=0.05).run(stop))
        await until(lambda: count == 2)
        stop.set()
        await task


def test_they_are_listed_with_what_failed(failed: Run) -> None:
    (lane,) = failed("consumers", "list", "--json").data["data"]
    assert (lane["consumer"], lane["lane"], lane["parked"], lane["dead"]) == ("hook:shop", 0, 1, 1)
    assert "hook:shop" in failed("consumers", "list").out
    (dead,) = failed("consumers", "dead", "hook:shop", "--json").data["data"]
    assert (dead["tenant"], dead["type"], dead["tries"]) == ("acme", "contact.created", 1)
    assert dead["reason"] == "LookupError: the shop is closed"
    assert len(failed("consumers", "dead", "hook:shop", "--waiting", "--json").data["data"]) == 2
    assert "the shop is closed" in failed("consumers", "dead", "hook:shop").out


def test_what_was_given_up_is_tried_again_or_forgotten(failed: Run) -> None:
    (dead,) = failed("consumers", "dead", "hook:shop", "--json").data["data"]
    assert "will try 1 events again" in failed("consumers", "retry", "hook:shop", dead["event_id"]).err
    assert "has given up nothing" in failed("consumers", "dead", "hook:shop").err
    assert "will try 2 events again" in failed("consumers", "retry", "hook:shop").err
    unknown = "00000000-0000-7000-8000-000000000000"
    assert "1 of the events named are neither" in failed("consumers", "retry", "hook:shop", unknown).err
    assert "add --yes" in failed("consumers", "drop", "hook:shop", fails=2).err
    failed("consumers", "drop", "hook:shop", "--yes", "--dead-only")
    assert len(failed("consumers", "list", "--json").data["data"]) == 1
    assert "2 events" in failed("consumers", "drop", "hook:shop", "--yes").err
    assert failed("consumers", "list", "--json").data["data"] == []


@pytest.mark.parametrize("words", [("dead",), ("retry",), ("drop", "--yes")])
def test_an_unknown_one_is_refused_with_those_that_there_are(failed: Run, words: Any) -> None:
    assert "no consumer hook:shopp; did you mean hook:shop?" in failed("consumers", *words, "hook:shopp", fails=1).err
    assert "there are: hook:shop." in failed("consumers", *words, "x", fails=1).err


def test_without_any_it_says_what_runs_them(cli: Run) -> None:
    assert "run by a worker" in cli("consumers", "list").err
    assert "none, until a worker has run" in cli("consumers", "dead", "x", fails=1).err


def test_one_that_runs_cannot_be_dropped(failed: Run, clone: str) -> None:
    from bellbird.core.cursors import key

    with psycopg.connect(clone, autocommit=True) as other:
        other.execute("select pg_advisory_lock_shared(%s::bigint)", [key("hook:shop")])
        assert "hook:shop is running" in failed("consumers", "drop", "hook:shop", "--yes", fails=1).err
    failed("consumers", "drop", "hook:shop", "--yes")
