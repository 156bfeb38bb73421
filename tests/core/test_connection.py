"""The exchange with PostgreSQL: what goes in comes out, statements are kept and forgotten, mishaps pass."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellbird.core import connection as connections
from bellbird.core.connection import ADAPTERS, Connection, Pending, array_literal
from bellbird.core.errors import InvalidInput

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)


@pytest.fixture
async def connection(owner_conninfo: str) -> AsyncIterator[Connection]:
    opened = await Connection.connect(owner_conninfo, autocommit=True, context=ADAPTERS)
    yield opened
    await opened.close()


async def ask(connection: Connection, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    pending = Pending(sql, params)
    await connection.exchange([pending])
    return pending.rows


@given(st.lists(TEXT, max_size=6))
async def test_an_array_of_any_text_comes_back_as_it_went(connection: Connection, items: list[str]) -> None:
    assert await ask(connection, "select $1::text[]", items) == [(items,)]
    assert await ask(connection, "select $1::text[] = $2::text[]", items, tuple(items)) == [(True,)]


@pytest.mark.parametrize(
    "text", ['"', "\\", '\\"', "{}", "{a,b}", ",", "NULL", "null", "", " ", "'", "$1", "👩‍👩‍👧", "\n\t", "é"]
)
async def test_odd_text_comes_back_as_it_went(connection: Connection, text: str) -> None:
    assert await ask(connection, "select $1::text, $2::text[]", text, [text, text]) == [(text, [text, text])]


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "text"), (True, "bool"), (False, "bool"), (0, "int"), (-(2**63), "bigint"), (2**63 - 1, "bigint"),
        (1.5, "float8"), (-1e300, "float8"), (UUID(int=2**128 - 1), "uuid"), (date(1, 1, 1), "date"),
        (datetime(2026, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), "timestamptz"), (b"raw", "text"),
    ],
)  # fmt: skip
async def test_every_kind_of_parameter_is_read_as_it_was_meant(connection: Connection, value: Any, kind: str) -> None:
    ((back,),) = await ask(connection, f"select $1::{kind}", value)
    assert back == (value.decode() if isinstance(value, bytes) else value)


async def test_an_array_of_ids_is_one(connection: Connection) -> None:
    ids = [UUID(int=1), UUID(int=2)]
    assert await ask(connection, "select $1::uuid[]", ids) == [(ids,)]
    assert await ask(connection, "select $1::uuid[]", []) == [([],)]


def test_nul_is_refused_before_it_cuts_a_text_short() -> None:
    with pytest.raises(InvalidInput, match="NUL"):
        Pending("select $1", ["a\0b"])


def test_an_empty_array_has_no_item() -> None:
    assert array_literal([]) == b"{}"
    assert array_literal([""]) == b'{""}'


async def test_json_is_handed_over_as_it_is(connection: Connection) -> None:
    assert await ask(connection, """select '{"a": [1, null]}'::jsonb""") == [(b'{"a": [1, null]}',)]


async def test_every_statement_of_an_exchange_gets_its_own_rows(connection: Connection) -> None:
    queue = [Pending("select $1::int", [n]) for n in range(5)] + [Pending("select 1 where false", [])]
    await connection.exchange(queue)
    assert [pending.rows for pending in queue] == [[(0,)], [(1,)], [(2,)], [(3,)], [(4,)], []]


async def test_the_first_error_is_raised_and_what_follows_is_not_run(connection: Connection) -> None:
    queue = [Pending("select 1", []), Pending("select 1/0", []), Pending("select 2", [])]
    with pytest.raises(psycopg.errors.DivisionByZero):
        await connection.exchange(queue)
    assert (queue[0].rows, queue[2].rows, queue[2].tag) == ([(1,)], [], b"")
    assert await ask(connection, "select 3") == [(3,)]


async def test_it_counts_what_was_written(connection: Connection) -> None:
    queue = [
        Pending("create temp table t (n int)", []),
        Pending("insert into t select generate_series(1, 7)", []),
    ]
    await connection.exchange([queue[0]])
    await connection.exchange([queue[1]])
    assert (queue[0].affected if queue[0].tag[-1:].isdigit() else 0, queue[1].affected) == (0, 7)


async def prepared(connection: Connection) -> list[str]:
    rows = Pending("select statement from pg_prepared_statements order by prepare_time", [], prepared=False)
    await connection.exchange([rows])
    return [row[0] for row in rows.rows]


async def test_a_statement_is_prepared_once(connection: Connection) -> None:
    for _ in range(3):
        await ask(connection, "select $1::int", 1)
    assert await prepared(connection) == ["select $1::int"]


async def test_the_statement_unused_for_longest_is_forgotten_first(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_PREPARED", 3)
    for sql in ("select 1", "select 2", "select 3", "select 1", "select 4"):
        await ask(connection, sql)
    assert sorted(await prepared(connection)) == ["select 1", "select 3", "select 4"]
    for turn in range(20):
        assert await ask(connection, f"select {turn % 5}") == [(turn % 5,)]
    assert len(await prepared(connection)) == 3


async def test_many_new_statements_in_one_exchange_go_beyond_the_limit_of_none(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_PREPARED", 3)
    for _ in range(3):
        queue = [Pending(f"select {n}", []) for n in range(10)]
        await connection.exchange(queue)
        assert [pending.rows for pending in queue] == [[(n,)] for n in range(10)]


async def test_a_statement_that_failed_to_prepare_is_tried_again(connection: Connection) -> None:
    for _ in range(2):
        with pytest.raises(psycopg.errors.UndefinedTable):
            await ask(connection, "select * from pg_temp.later")
    await ask(connection, "create temp table later (n int)")
    assert await ask(connection, "select * from pg_temp.later") == []


async def test_nothing_is_prepared_when_that_is_turned_off(connection: Connection) -> None:
    connection.use_prepared = False
    assert await ask(connection, "select $1::int", 5) == [(5,)]
    assert await prepared(connection) == []


async def test_a_connection_that_the_server_closed_is_known_to_be_lost(
    connection: Connection, owner: psycopg.Connection[Any]
) -> None:
    assert await ask(connection, "select 1") == [(1,)]
    assert not connection.is_lost()
    owner.execute("select pg_terminate_backend(%s, 5000)", [connection.pgconn.backend_pid])
    assert connection.is_lost()
    await connection.close()
    assert connection.is_lost()


async def test_a_cancelled_question_leaves_the_connection_usable_or_closed(connection: Connection) -> None:
    for _ in range(3):
        asked = asyncio.create_task(ask(connection, "select pg_sleep(30)"))
        await asyncio.sleep(0.05)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asked, 5)
        if connection.closed:
            return
        assert await asyncio.wait_for(ask(connection, "select 1"), 5) == [(1,)]
