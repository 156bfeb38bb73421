"""No write of a contact carries a NOTIFY, which takes a lock across the whole server at commit (decision 5)."""

from typing import Any

import httpx
import psycopg
import pytest

from bellbird.core.connection import Connection, Pending
from tests.rules.test_round_trips import BODIES, COSTS, things

WRITES = [each for each in COSTS if each[0] != "GET" and each[1].startswith("/contacts")]

TRIGGERS = """
select c.relname, t.tgname
from pg_trigger t
join pg_class c on c.oid = t.tgrelid
where not t.tgisinternal and c.relnamespace = 'public'::regnamespace
"""

# Functions that a statement may call, and rules, can notify as well.
FUNCTIONS = """
select p.proname
from pg_proc p
where p.pronamespace = 'public'::regnamespace and p.prolang <> (select oid from pg_language where lanname = 'c')
  and p.prosrc ~* '\\mnotify\\M|pg_notify'
  and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
"""


def test_the_writes_were_found() -> None:
    assert {method for method, *_ in WRITES} >= {"POST", "PATCH", "DELETE"}


@pytest.mark.parametrize(("method", "path", "body", "policy"), WRITES)
async def test_no_write_of_a_contact_notifies(
    api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, path: str, body: str | None, policy: str
) -> None:
    made = await things(api, path)
    sent: list[str] = []
    exchange = Connection.exchange

    async def noted(self: Connection, queue: list[Pending]) -> None:
        sent.extend(pending.sql for pending in queue)
        await exchange(self, queue)

    monkeypatch.setattr(Connection, "exchange", noted)
    name = (body or "").partition("+")[0]
    answer = await api.request(method, path.format(**made), json=BODIES.get(name or None))
    assert answer.status_code < 300, answer.text
    assert sent
    assert [sql for sql in sent if "notify" in sql.lower()] == []


def test_no_trigger_and_no_function_notifies_behind_our_back(owner: psycopg.Connection[Any]) -> None:
    assert owner.execute(TRIGGERS).fetchall() == []
    assert owner.execute(FUNCTIONS.encode()).fetchall() == []
