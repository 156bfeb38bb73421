"""What the log says, and what it keeps to itself."""

import asyncio
import gc
import io
import json
import logging
import logging.config
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bellbird.core import logs
from bellbird.core.actors import Actor
from bellbird.core.errors import InvalidInput
from bellbird.core.logs import Format
from tests.conftest import run
from tests.small_app import client, raw, small_app

PERSON = ("Aroha", "Ngata", "aroha@kiwi.co.nz", "0412 345 678", "0412345678", "+61412345678")


@contextmanager
def logged(form: Format = "json", *, with_messages: bool = False, level: int = logging.DEBUG) -> Iterator[io.StringIO]:
    """What is written to the log meanwhile."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.formatter(form, with_messages))
    root, access = logging.getLogger(), logging.getLogger(logs.ACCESS)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the caller's, not ours
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(before)
        access.setLevel(logging.NOTSET)
        logging.getLogger("httpx").setLevel(logging.NOTSET)


def lines(written: io.StringIO, logger: str = "") -> list[dict[str, Any]]:
    return [each for each in map(json.loads, written.getvalue().splitlines()) if each["logger"].startswith(logger)]


def says_nothing_of(person: tuple[str, ...], text: str) -> None:
    for word in person:
        assert word not in text


def test_a_line_is_an_object_with_its_time_in_utc() -> None:
    with logged() as written:
        logging.getLogger("bellbird").warning("%s does not answer", "Redis")
    (line,) = lines(written, "bellbird")
    assert list(line) == ["time", "level", "logger", "event"]
    assert line["time"].endswith("Z") and len(line["time"]) == len("2026-12-01T09:00:00.000Z")
    assert (line["level"], line["event"]) == ("warning", "Redis does not answer")


async def test_what_is_logged_during_a_request_says_which_it_was() -> None:
    actor = Actor.user(UUID(int=7))

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        scope["state"] |= {"tenant_id": UUID(int=1), "actor": actor}
        scope["path_template"] = "/things/{id}"
        logging.getLogger("bellbird.somewhere").info("halfway")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    with logged() as written:
        await raw(small_app(through=inner), path="/things/aroha@kiwi.co.nz", headers=[(b"x-request-id", b"trace-7")])
        logging.getLogger("bellbird.somewhere").info("afterwards")
    halfway, afterwards = lines(written, "bellbird.somewhere")
    assert halfway["request_id"] == "trace-7"
    assert (halfway["method"], halfway["route"]) == ("GET", "/things/{id}")
    assert (halfway["tenant_id"], halfway["actor"]) == (str(UUID(int=1)), f"user:{UUID(int=7)}")
    assert "request_id" not in afterwards


async def test_requests_at_the_same_time_are_not_mixed_up() -> None:
    log = logging.getLogger("bellbird.somewhere")

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            log.info("%s", scope["state"]["request_id"])
            await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = small_app(through=inner)
    with logged() as written:
        await asyncio.gather(*(raw(app, headers=[(b"x-request-id", b"r%d" % number)]) for number in range(20)))
    found = lines(written, "bellbird.somewhere")
    assert len(found) == 60
    assert all(line["event"] == line["request_id"] for line in found)


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_fault_is_logged_with_its_place_and_request_but_nobodys_data(form: Format) -> None:
    with logged(form) as written:
        async with client(small_app()) as http:
            answer = await http.get("/fault?q=Aroha", headers={"X-Request-Id": "trace-7", "X-Note": "Ngata"})
    text = written.getvalue()
    assert answer.status_code == 500
    says_nothing_of(PERSON, text)
    assert "trace-7" in text
    assert "ValueError" in text
    assert "tests/small_app.py" in text and " fault" in text, "the place"


async def test_an_error_of_postgresql_is_told_by_its_code_and_constraint(owner: psycopg.Connection[Any]) -> None:
    """Its message quotes the row: `Key (email)=(aroha@kiwi.co.nz) already exists`."""
    owner.execute("create temporary table guests (email text constraint guests_email_unique unique, name text)")
    owner.execute("insert into guests values ('aroha@kiwi.co.nz', 'Aroha Ngata')")
    with logged() as written:
        try:
            try:
                owner.execute("insert into guests values ('aroha@kiwi.co.nz', 'Aroha Ngata')")
            except psycopg.Error as error:
                assert "aroha@kiwi.co.nz" in str(error)
                raise InvalidInput("Aroha Ngata is there already") from error
        except InvalidInput:
            logging.getLogger("bellbird").exception("failed")
    says_nothing_of(PERSON, written.getvalue())
    (line,) = lines(written, "bellbird")
    outer, inner = line["exception"]
    assert (outer["type"], outer["code"]) == ("bellbird.core.errors.InvalidInput", "invalid_input")
    assert inner["type"] == "psycopg.errors.UniqueViolation"
    assert (inner["sqlstate"], inner["table"], inner["constraint"]) == ("23505", "guests", "guests_email_unique")
    assert "test_logs.py" in inner["at"][0]


def test_a_group_of_exceptions_and_one_that_goes_round_in_a_circle_are_told_once_each() -> None:
    one, two = ValueError("Aroha"), KeyError("Ngata")
    one.__cause__, two.__context__ = two, one
    with logged() as written:
        logging.getLogger("bellbird").error("failed", exc_info=ExceptionGroup("Aroha", [one, two]))
    says_nothing_of(PERSON, written.getvalue())
    (line,) = lines(written, "bellbird")
    assert sorted(each["type"] for each in line["exception"]) == ["ExceptionGroup", "KeyError", "ValueError"]


def test_a_very_deep_fault_is_told_by_its_end() -> None:
    def deeper(depth: int) -> None:
        if depth == 0:
            raise ValueError
        deeper(depth - 1)

    with logged() as written:
        try:
            deeper(300)
        except ValueError:
            logging.getLogger("bellbird").exception("failed")
    (line,) = lines(written, "bellbird")
    assert len(line["exception"][0]["at"]) == logs.MAX_FRAMES


def test_whoever_debugs_sees_the_messages() -> None:
    with logged(with_messages=True) as written:
        logging.getLogger("bellbird").error("failed", exc_info=ValueError("Aroha"))
    (line,) = lines(written, "bellbird")
    assert "ValueError: Aroha" in line["exception"]


async def test_a_task_that_nobody_waited_for_is_logged_without_its_message() -> None:
    async def fail() -> None:
        raise ValueError("Aroha Ngata")

    with logged() as written:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()
    says_nothing_of(PERSON, written.getvalue())
    assert [line["event"] for line in lines(written, "asyncio")] == ["Task exception was never retrieved"]


# The line of each request.


async def test_an_answer_that_went_wrong_is_always_logged_and_others_only_when_asked() -> None:
    with logged(level=logging.WARNING) as written:
        async with client(small_app(request_timeout=0.1)) as http:
            for path in ("/plain", "/nowhere", "/fault", "/slow"):
                await http.get(path)
    found = [(line["route"], line["status"], line["level"], line["code"]) for line in lines(written, logs.ACCESS)]
    assert found == [("/fault", 500, "error", "internal_error"), ("/slow", 503, "warning", "timeout")]


async def test_every_request_is_a_line_when_that_is_asked_for() -> None:
    logging.getLogger(logs.ACCESS).setLevel(logging.INFO)
    with logged() as written:
        async with client(small_app()) as http:
            await http.get("/things/aroha@kiwi.co.nz?q=Ngata")
            await http.head("/plain")
            await http.get("/nowhere/0412345678")
    says_nothing_of(PERSON, written.getvalue())
    found = lines(written, logs.ACCESS)
    assert [(line["method"], line["route"], line["status"]) for line in found] == [
        ("GET", "/things/{id}", 200), ("HEAD", "/plain", 200), ("GET", None, 404),
    ]  # fmt: skip
    assert found[2]["code"] == "not_found"
    assert all(0 <= line["duration_ms"] < 1000 and line["request_id"] for line in found)


async def test_a_handler_that_is_told_of_a_broken_row_logs_none_of_it(
    api: Any, owner_conninfo: str, tenant: Any
) -> None:
    """The whole way: a constraint that nobody has translated, violated by a contact."""
    run(
        owner_conninfo, f"alter table contacts_default add constraint nobody_expects check (tenant_id <> '{tenant.id}')"
    )
    try:
        with logged() as written:
            answer = await api.post("/contacts", json={
                "first_name": "Aroha", "last_name": "Ngata", "emails": [{"address": "aroha@kiwi.co.nz"}],
                "phones": [{"number": "0412 345 678"}],
            })  # fmt: skip
    finally:
        run(owner_conninfo, "alter table contacts_default drop constraint nobody_expects")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    says_nothing_of(PERSON, written.getvalue())
    fault = next(line for line in lines(written, "bellbird") if "exception" in line)
    assert fault["request_id"] == answer.headers["x-request-id"]
    assert fault["tenant_id"] == str(tenant.id)
    assert fault["actor"].startswith("user:")
    assert fault["route"] == "/api/v1/contacts"
    assert fault["exception"][0]["constraint"] == "nobody_expects"
    assert any(place.startswith("bellbird/core/engine.py:") for place in fault["exception"][0]["at"])


# As `bellbird serve` sets it up.


@pytest.mark.parametrize(("level", "quieter"), [("debug", "INFO"), ("info", "WARNING"), ("error", "ERROR")])
def test_the_servers_own_comings_and_goings_are_not_logged(level: str, quieter: str) -> None:
    config = logs.config(level, "json", access=False)
    assert config["loggers"]["uvicorn.error"]["level"] == quieter
    assert config["loggers"]["psycopg.pool"]["level"] == quieter, "two lines for each connection lent"
    assert config["loggers"]["uvicorn.access"] == {"handlers": [], "propagate": False}, "it prints query strings"
    assert config["loggers"][logs.ACCESS]["level"] == "WARNING"
    assert logs.config(level, "json", access=True)["loggers"][logs.ACCESS]["level"] == "INFO"


def test_a_websocket_that_is_refused_is_no_error_of_the_servers() -> None:
    """uvicorn says so of every client without a token, which would fill the log at a stranger's will."""
    config = logs.config("info", "json", access=False)
    assert config["loggers"]["uvicorn.error"]["filters"] == ["no fault"]
    passes = logging.config.DictConfigurator(config).configure_filter(dict(config["filters"]["no fault"]))
    said = ("ASGI callable returned without completing handshake.", "Exception in ASGI application")
    records = [logging.makeLogRecord({"msg": each}) for each in said]
    assert [passes(record) for record in records] == [False, True]  # type: ignore[operator]


def test_it_is_json_unless_it_is_read_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    def form(given: Format | None = None) -> str:
        return str(logs.config("info", given, access=False)["formatters"]["bellbird"]["form"])

    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert (form(), form("console")) == ("json", "console")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert (form(), form("json")) == ("console", "json")
