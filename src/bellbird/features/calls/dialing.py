"""What workers do with a call that was placed: dial it, once whatever happens, and hang it up.

A worker claims a call before it dials, and commits that. Whoever finds a call claimed never dials it again: whether the
one before got as far as that, only the provider knows, and is asked.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import InvalidInput
from bellbird.core.telephony import Account, CallProvider, Order, Placed, ProviderRefused, ProviderUnclear
from bellbird.features import call_accounts, dialling
from bellbird.features.calls import admitting, permitting, rows
from bellbird.features.calls.models import Call
from bellbird.features.calls.placing import HANG_UP
from bellbird.features.calls.rows import Held

DIALLER: Final = Actor.system("calls", origin="job")

# How often a provider is asked whether it placed a call, with pauses of about 5, 15 and 45 seconds: after two minutes
# the call is given up, unless a callback has come.
LOOKS: Final = 3

# A decision is made anew whenever a call is dialled; if it took longer than this, the new one is kept with the call.
FRESH: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Line:
    """What it takes to have a call dialled. `claimed_at` is when somebody before had taken it on, None if nobody."""

    provider: CallProvider
    account: Account
    order: Order
    claimed_at: datetime | None


def order(call: Call, account: Account) -> Order:
    """What a provider is asked for, so that it places this call."""
    assert call.from_number is not None
    assert call.to_number is not None
    return Order(
        call_id=call.id, from_number=call.from_number, to_number=call.to_number,
        callback_url=f"{account.callback_url}?call={call.id}", agent_id=call.agent_id, ring_seconds=call.ring_seconds,
        record=call.record, detect_machine=call.detect_machine,
    )  # fmt: skip


async def dial(engine: Engine, tenant_id: UUID, id: UUID) -> None:
    """Dial a call, unless it was dialled, canceled or is not permitted any more.

    Raises ProviderUnclear when it is not known whether it was dialled; to be called again then, which asks for it.
    """
    async with engine.tenant(tenant_id, DIALLER) as tx:
        line = await _claim(tx, id)
    if line is None:
        return
    try:
        placed = await _place(line)
    except ProviderRefused as error:
        async with engine.tenant(tenant_id, DIALLER) as tx:
            await _refused(tx, id, error)
        return
    async with engine.tenant(tenant_id, DIALLER) as tx:
        await _placed(tx, id, placed)


async def _place(line: Line) -> Placed:
    """Raises ProviderRefused when it was not dialled, ProviderUnclear when that is not known."""
    if line.claimed_at is None:
        return await line.provider.place(line.account, line.order)
    try:
        found = await line.provider.find(line.account, line.order, line.claimed_at)
    except ProviderRefused as error:  # it does not tell: that says nothing about the call
        raise ProviderUnclear("The provider does not tell whether it placed the call.") from error
    if found is None:
        raise ProviderUnclear("The provider knows of no such call so far.")
    return found


async def _claim(tx: Tx, id: UUID) -> Line | None:
    """The line to dial a call on, which is claimed; None if it is not to be dialled, or is over by that."""
    asked = tx.queue(rows.LOCK, tx.tenant_id, id)
    tenant = await tx.writable(even_suspended=True)
    before = rows.held(asked.rows[0]) if asked.rows else None
    if before is None or before.call.status != "queued" or before.call.waits_until is not None:
        return None
    call = before.call
    opening = call_accounts.ask_to_open(tx, call.account_id)
    account = await call_accounts.opened(tx.engine, tx, call.account_id, asked=opening)
    provider = _provider(tx.engine, call.provider)
    if before.claimed_at is not None:
        # Whatever else may stand against the call, it may have been dialled: that is to be found out first.
        if account is None or provider is None or call.to_number is None or call.from_number is None:
            return None
        return Line(provider, account, order(call, account), before.claimed_at)
    if before.hang_up_at is not None:
        admitting.end(tx, before, "canceled", None)
    elif tenant.status != "active":
        admitting.end(tx, before, "failed", "tenant_suspended")
    elif account is None:
        admitting.end(tx, before, "failed", "call_account_gone")
    elif provider is None:
        admitting.end(tx, before, "failed", "provider_unknown")
    elif call.to_number is None or call.from_number is None:
        admitting.end(tx, before, "failed", "contact_gone")
    elif (permitted := await _permitted(tx, before)) is not None:
        rows.write(tx, before, replace(before, call=permitted, claimed_at=tx.now()))
        return Line(provider, account, order(call, account), None)
    return None


def _provider(engine: Engine, name: str) -> CallProvider | None:
    try:
        return engine.providers.get(name)
    except InvalidInput:
        return None


async def _permitted(tx: Tx, before: Held) -> Call | None:
    """The call, which may be dialled at this moment; or None, and its end is queued.

    What was decided when it was placed may hold no longer: the call may have waited, somebody may have opted out.
    """
    call = before.call
    assert call.number is not None
    assert call.purpose is not None
    contact = None
    if call.contact_id is not None:
        contact = await permitting.contact(tx, call.contact_id)
        if contact is None:
            admitting.end(tx, before, "failed", "contact_gone")
            return None
    decision = await permitting.decide(tx, call.number, contact, call.from_number, call.purpose)
    if decision.allowed and tx.clock.now() - call.created_at <= FRESH:
        return call
    dialling.record(tx, decision, call_id=call.id)
    decided = replace(call, decision=permitting.kept(decision))
    if decision.allowed:
        return decided
    admitting.end(tx, before, "failed", "not_permitted", decision=decided.decision)
    return None


async def _locked(tx: Tx, id: UUID) -> Held:
    asked = tx.queue(rows.LOCK, tx.tenant_id, id)
    await tx.writable(even_suspended=True)
    return rows.held(asked.rows[0])


async def _placed(tx: Tx, id: UUID, placed: Placed) -> None:
    """Record that the provider has the call, unless its callbacks were faster and have said more."""
    before = await _locked(tx, id)
    call = before.call
    known = replace(call, provider_call_id=call.provider_call_id or placed.provider_call_id)
    if call.status == "queued":
        known = replace(known, status="initiated", initiated_at=tx.now())
        rows.write(tx, before, replace(before, call=known), happened="initiated")
    else:
        rows.write(tx, before, replace(before, call=known), happened="updated")
    if before.hang_up_at is not None and call.ended_at is None:
        tx.defer(HANG_UP, queueing_lock=f"{HANG_UP} {id}", priority=admitting.URGENT, call_id=id)


async def _refused(tx: Tx, id: UUID, error: ProviderRefused) -> None:
    """Record that the provider has not placed the call."""
    before = await _locked(tx, id)
    if before.call.status == "queued":
        admitting.end(tx, before, "failed", (error.reason or error.detail)[:200])


async def hang_up(engine: Engine, tenant_id: UUID, id: UUID) -> None:
    """Have a provider end a call; what becomes of it is told by callback.

    Raises ProviderRefused, ProviderUnclear, also as long as the provider's id for the call is not known.
    """
    async with engine.tenant(tenant_id, DIALLER) as tx:
        row = await tx.one(CALL, tx.tenant_id, id)
        if row is None or row[0] is not None:
            return
        _, name, account_id, provider_call_id = row
        account = await call_accounts.opened(engine, tx, account_id)
    provider = _provider(engine, name)
    if account is None or provider is None:
        return
    if provider_call_id is None:
        raise ProviderUnclear("It is not known yet which of the provider's calls it is.")
    await provider.hang_up(account, provider_call_id)


CALL: Final = "select ended_at, provider, account_id, provider_call_id from calls where tenant_id = $1 and id = $2"
