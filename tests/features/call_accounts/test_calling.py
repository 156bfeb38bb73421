"""Which account a call is placed with, and from which number."""

from typing import Any

import pytest

from bellbird.core.connection import Connection, Pending
from bellbird.core.engine import Engine, ReadTx
from bellbird.core.errors import InvalidInput
from bellbird.features import call_accounts
from bellbird.features.call_accounts import CallAccountPatch, Line, NoCallAccount
from tests import people
from tests.conftest import Begin
from tests.features.call_accounts.conftest import SECRET, new
from tests.people import cheap_passwords  # noqa: F401 - a fixture

SYDNEY, PERTH, AUCKLAND = "+61293744000", "+61892240000", "+6493000000"


async def test_the_oldest_active_accounts_first_number_is_called_from(begin: Begin, read: ReadTx) -> None:
    with pytest.raises(NoCallAccount):
        await call_accounts.for_calling(read)
    async with begin() as tx:
        empty = await call_accounts.connect(tx, new("N0"))
    with pytest.raises(NoCallAccount):
        await call_accounts.for_calling(read, SYDNEY)
    async with begin() as tx:
        first = await call_accounts.connect(tx, new("N1", SYDNEY, PERTH))
    async with begin() as tx:
        second = await call_accounts.connect(tx, new("N2", AUCKLAND, PERTH))
    assert await call_accounts.for_calling(read) == (first, SYDNEY)
    assert await call_accounts.for_calling(read, AUCKLAND) == (second, AUCKLAND)
    assert await call_accounts.for_calling(read, PERTH) == (first, PERTH)
    async with begin() as tx:
        assert await call_accounts.for_calling(tx, "(08) 9224 0000") == (first, PERTH)
        first = await call_accounts.change(tx, first.id, CallAccountPatch(status="paused"))
    assert await call_accounts.for_calling(read) == (second, AUCKLAND)
    assert await call_accounts.for_calling(read, PERTH) == (second, PERTH)
    assert empty.numbers == ()


async def test_a_number_that_is_none_of_the_tenants_names_those_that_are(begin: Begin, read: ReadTx) -> None:
    async with begin() as tx:
        lines = [Line(f"+61293744{n:03}", "Desk" if not n else None) for n in range(12)]
        await call_accounts.connect(tx, new("N1", *lines))
    with pytest.raises(InvalidInput) as refused:
        await call_accounts.for_calling(read, PERTH)
    (fault,) = refused.value.faults
    assert fault.pointer == "/from_number"
    assert fault.message.startswith(f"{PERTH} is no number that calls can be placed from; there are {SYDNEY} (Desk), ")
    assert fault.message.endswith("+61293744009 and 2 more")
    with pytest.raises(InvalidInput) as refused:
        await call_accounts.for_calling(read, "12")
    assert refused.value.faults[0].pointer == "/from_number"


async def test_another_tenants_account_is_neither_called_with_nor_opened(
    begin: Begin, engine: Engine, read: ReadTx, other_tenant: Any
) -> None:
    async with begin(other_tenant) as tx:
        theirs = await call_accounts.connect(tx, new("N1", SYDNEY))
    with pytest.raises(NoCallAccount):
        await call_accounts.for_calling(read)
    assert await call_accounts.opened(engine, read, theirs.id) is None


async def test_an_account_is_opened_for_the_worker_paused_or_not(begin: Begin, engine: Engine, read: ReadTx) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new("N1", SYDNEY, options={"edge": "sydney"}))
        await call_accounts.change(tx, made.id, CallAccountPatch(status="paused"))
    opened = await call_accounts.opened(engine, read, made.id)
    assert opened
    assert (opened.id, opened.tenant_id, opened.provider, opened.identifier) == (
        made.id, read.tenant_id, "nobody", "N1",
    )  # fmt: skip
    assert (opened.secret, opened.options) == (SECRET, {"edge": "sydney"})
    assert (opened.callback_url, opened.voice_url) == (made.callback_url, made.voice_url)


async def test_both_are_asked_for_in_one_exchange_with_others(
    begin: Begin, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with begin() as tx:
        made = await call_accounts.connect(tx, new("N1", SYDNEY))
    exchanges = []
    exchange = Connection.exchange

    async def noted(self: Connection, queue: list[Pending]) -> None:
        exchanges.append(len(queue))
        await exchange(self, queue)

    monkeypatch.setattr(Connection, "exchange", noted)
    async with begin() as tx:
        active, secret = call_accounts.ask(tx), call_accounts.ask_to_open(tx, made.id)
        assert (await call_accounts.for_calling(tx, asked=active))[0] == made
        assert await call_accounts.opened(engine, tx, made.id, asked=secret)
        assert len(exchanges) == 1


async def test_a_number_may_be_one_users(begin: Begin) -> None:
    async with begin() as tx:
        ann = await people.user(tx)
        made = await call_accounts.connect(tx, new("N1", Line(SYDNEY, None, ann.id), PERTH))
    async with begin() as tx:
        asked = [call_accounts.ask_for_agent(tx, made.id, number) for number in (SYDNEY, PERTH, AUCKLAND)]
        await tx.flush()
        assert [each.rows for each in asked] == [[(ann.id,)], [], []]
