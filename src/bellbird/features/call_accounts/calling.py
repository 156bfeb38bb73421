"""What placing a call, and hearing of one, needs of the accounts: which to call with, and one with its secret."""

import logging
from typing import Final
from uuid import UUID

from bellbird.core import phones, telephony
from bellbird.core.connection import Pending
from bellbird.core.engine import Engine, ReadTx, Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.features.call_accounts import rows
from bellbird.features.call_accounts.models import CallAccount, Line, NoCallAccount, NoVault
from bellbird.features.call_accounts.rows import READ, READ_ALL

log = logging.getLogger("bellbird")

# How many of a tenant's numbers a fault names.
NAMED: Final = 10

ACTIVE: Final = f"select {READ} from call_accounts where tenant_id = $1 and status = 'active' order by id"


def ask(tx: Tx | ReadTx) -> Pending:
    """Queue the question for the accounts that calls are placed with, to be given to `for_calling` as `asked`."""
    return tx.queue(ACTIVE, tx.tenant_id)


async def for_calling(
    tx: Tx | ReadTx, from_number: str | None = None, *, asked: Pending | None = None
) -> tuple[CallAccount, str]:
    """The account to call with, and the number to call from: the one given, in any form; or the first there is.

    That is the oldest active account's first. Where several accounts have a number, the oldest of them is called with.
    Raises NoCallAccount, and InvalidInput at `/from_number` when it is none of the tenant's, naming those that are.
    """
    asked = asked or ask(tx)
    settings = (await tx.tenant()).settings
    if not asked.tag:
        await tx.flush()
    there = [rows.from_row(row, tx.engine, tx.tenant_id) for row in asked.rows]
    own = {line.number: account for account in reversed(there) for line in account.numbers}
    if not own:
        raise NoCallAccount()
    if from_number is None:
        account = next(each for each in there if each.numbers)
        return account, account.numbers[0].number
    try:
        number = phones.parse(from_number, default_region=settings.default_region, allowed_regions=None).number
    except phones.InvalidPhone as error:
        raise InvalidInput(faults=[Fault(error.code, error.message, pointer="/from_number")]) from None
    if number not in own:
        raise InvalidInput(faults=[_not_own(number, [line for each in there for line in each.numbers])])
    return own[number], number


def _not_own(number: str, lines: list[Line]) -> Fault:
    named = [f"{line.number} ({line.label})" if line.label else line.number for line in lines[:NAMED]]
    more = f" and {len(lines) - NAMED:,} more" if len(lines) > NAMED else ""
    message = f"{number} is no number that calls can be placed from; there are {', '.join(named)}{more}"
    return Fault("invalid_value", message, pointer="/from_number")


AGENT: Final = """
select (line ->> 'agent_id')::uuid
from call_accounts, jsonb_array_elements(numbers) line
where tenant_id = $1 and id = $2 and line ->> 'number' = $3 and line ->> 'agent_id' is not null
"""


def ask_for_agent(tx: Tx | ReadTx, id: UUID, number: str) -> Pending:
    """Queue the question who is to be connected with whoever calls a number of an account: one row, or none."""
    return tx.queue(AGENT, tx.tenant_id, id, number)


OPEN: Final = f"select {READ_ALL} from call_accounts where tenant_id = $1 and id = $2"


def ask_to_open(tx: Tx | ReadTx, id: UUID) -> Pending:
    """Queue the question for an account, to be given to `opened` as `asked`."""
    return tx.queue(OPEN, tx.tenant_id, id)


async def opened(
    engine: Engine, tx: Tx | ReadTx, id: UUID, *, asked: Pending | None = None
) -> telephony.Account | None:  # fmt: skip
    """An account with its secret, paused or not; None if there is none, or its secret cannot be read any more.

    Calls under way go on while an account is paused, so what is told of them is still heard, and they can be ended.
    Asks for no permission: it is for the worker and for callbacks, and never shown.
    """
    asked = asked or ask_to_open(tx, id)
    if not asked.tag:
        await tx.flush()
    if not asked.rows:
        return None
    try:
        return rows.opened(asked.rows[0], engine, tx.tenant_id)
    except (rows.InvalidTag, NoVault) as error:
        log.error("the secret of a call account cannot be read", extra={"reason": type(error).__name__})
        return None
