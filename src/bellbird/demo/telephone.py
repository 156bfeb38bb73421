"""The demo tenant's telephones: an account with the simulated telephone company, and what people have said to it."""

from secrets import token_hex
from typing import Final
from uuid import UUID

from bellbird.app import Bellbird
from bellbird.core.paging import MAX_LIMIT
from bellbird.core.telephony import Update
from bellbird.demo import filling
from bellbird.features import call_accounts
from bellbird.features.call_accounts import CallAccount, Line, NewCallAccount
from bellbird.features.calls import receiving, rows
from bellbird.features.calls.models import Call
from bellbird.providers.mock import wire

IDENTIFIER: Final = "demo"

# Numbers that Australia keeps for stories: nobody has them.
LINES: Final = (Line("02 5550 2660", "Sales"), Line("03 7010 4321", "Melbourne"))

# How a call goes is told by the last digit of the number, so that it can be chosen when trying something out.
SCRIPT: Final = """\
*0: busy
*1: no answer
*2: ring 8s, voicemail
*3: fail number not in service
*4: ring 3s, answer, talk 10s, price 0.04 AUD
*5: ring 6s, answer, talk 25s, price 0.04 AUD
*6: ring 4s, answer, talk 45s, price 0.04 AUD
*7: ring 9s, answer, talk 1m10s, price 0.08 AUD
*8: ring 5s, answer, talk 18s, price 0.04 AUD
*9: ring 12s, answer, talk 2m, price 0.08 AUD
"""


async def account(bellbird: Bellbird) -> CallAccount:
    """The account that the demo's people call with, connected if it is missing."""
    async with bellbird.tenant(filling.SLUG, filling.OPERATOR) as tx:
        there = (await call_accounts.page(tx, limit=MAX_LIMIT)).data
        for each in there:
            if (each.provider, each.identifier) == ("mock", IDENTIFIER):
                return each
        new = NewCallAccount(
            provider="mock", identifier=IDENTIFIER, secret=token_hex(16), name="Simulated telephone company",
            numbers=LINES, options={"script": SCRIPT},
        )  # fmt: skip
        return await call_accounts.connect(tx, new)


LIVE: Final = f"select {rows.READ} from calls where tenant_id = $1 and ended_at is null and account_id = $2"


async def end_calls(bellbird: Bellbird, account_id: UUID) -> int:
    """Have the company tell that the calls are over that were under way when it was switched off with the last server;
    returns how many. What has not been dialled yet will be.
    """
    engine = bellbird.engine
    async with bellbird.tenant(filling.SLUG, filling.OPERATOR) as tx:
        opened = await call_accounts.opened(engine, tx, account_id)
        live = [rows.from_row(row) for row in await tx.all(LIVE, tx.tenant_id, account_id)]
        tenant_id = tx.tenant_id
    told = [call for call in live if call.provider_call_id is not None]
    for call in told if opened else ():
        assert opened is not None
        callback = wire.callback(opened, f"{opened.callback_url}?call={call.id}", _end(call, bellbird))
        await receiving.receive(engine, tenant_id, account_id, callback)
    return len(told)


def _end(call: Call, bellbird: Bellbird) -> Update:
    assert call.provider_call_id is not None
    return Update(
        call.provider_call_id, status="completed" if call.answered_at else "canceled",
        at=bellbird.engine.clock.now(), reason="the telephone company was switched off", direction=call.direction,
    )  # fmt: skip
