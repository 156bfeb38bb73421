"""Callbacks: what a provider tells of calls, believed only when signed, kept as it came, and made a state of.

There is one way in for all of them, whether they come over the network or from a simulator in this process.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from bellbird.core import ids
from bellbird.core.actors import Actor
from bellbird.core.connection import Pending, Row, bytea
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import InvalidInput, NotSignedIn, TenantSuspended
from bellbird.core.telephony import (
    ENDS,
    RANKS,
    Account,
    Callback,
    CallbackMalformed,
    CallbackRefused,
    CallProvider,
    Reply,
    Update,
)  # fmt: skip
from bellbird.features import call_accounts
from bellbird.features.calls import admitting, inbound, machine, rows
from bellbird.features.calls.machine import Told
from bellbird.features.calls.models import Call
from bellbird.features.calls.placing import HANG_UP
from bellbird.features.calls.rows import Held

log = logging.getLogger(__name__)

Verdict = Literal[
    "applied", "late", "contradictory", "impossible", "in_future", "in_past", "unknown_call", "repeated", "malformed"
]  # fmt: skip

# What this process has heard, by provider and verdict; what it has refused, by why. For the metrics.
HEARD: Final[Counter[tuple[str, Verdict]]] = Counter()
REFUSED: Final[Counter[str]] = Counter()

# Whoever is refused is not told why: that would help only those who try to forge one.
NOT_BELIEVED: Final = "This callback is of no account here, or its provider has not signed it."


async def receive(
    engine: Engine, tenant_id: UUID, account_id: UUID, callback: Callback, *, voice: bool = False
) -> Reply:  # fmt: skip
    """Take a callback to an account; with `voice`, the question what to do with a call that comes in.

    When it returns, what was told is committed. Raises CallbackRefused, CallbackMalformed; Unavailable, after which the
    provider sends it again.
    """
    try:
        account, provider = await _account(engine, tenant_id, account_id)
        updates = _read(provider, account, callback)
    except CallbackRefused as error:
        REFUSED[error.why] += 1
        log.info("a callback was refused", extra={"reason": error.why})
        raise CallbackRefused(NOT_BELIEVED, why=error.why) from None
    agent_id = None
    for number, update in enumerate(updates):
        heard = _Heard(account, callback, update, number, is_question=voice)
        try:
            agent_id = await _hear(engine, heard) or agent_id
        except (NotSignedIn, TenantSuspended):  # it is being deleted
            REFUSED["account"] += 1
            raise CallbackRefused(NOT_BELIEVED, why="account") from None
    return provider.welcome(account, agent_id) if voice else Reply()


async def _account(engine: Engine, tenant_id: UUID, account_id: UUID) -> tuple[Account, CallProvider]:
    """The account, and who it is with. Raises CallbackRefused."""
    reader = engine.reader(tenant_id, Actor.system("callbacks", origin="provider"))
    try:
        account = await call_accounts.opened(engine, reader, account_id)
        if account is not None:
            return account, engine.providers.get(account.provider)
    except (NotSignedIn, InvalidInput):  # there is no such tenant; the package with the provider is gone
        pass
    raise CallbackRefused(why="account")


def _read(provider: CallProvider, account: Account, callback: Callback) -> Sequence[Update]:
    """What a callback tells, which the database can keep. Raises CallbackRefused, CallbackMalformed."""
    try:
        updates = provider.read(account, callback)
        if any(b"\\u0000" in msgspec.json.encode(update) for update in updates):
            raise CallbackMalformed.at("body", "has the NUL character in it")
    except CallbackMalformed:
        HEARD[account.provider, "malformed"] += 1
        raise
    return updates


@dataclass(frozen=True, slots=True)
class _Heard:
    """An update that is signed, with the callback that it came by: the one of this number in it."""

    account: Account
    callback: Callback
    update: Update
    number: int
    is_question: bool

    @property
    def fingerprint(self) -> bytes:
        """By which the same callback is known again: where it went to and what was in it."""
        digest = hashlib.sha256(f"{self.account.id} {self.number} {urlsplit(self.callback.url).query}\n".encode())
        digest.update(self.callback.body)
        return digest.digest()[:16]

    @property
    def is_of_new_call(self) -> bool:
        """Whether it tells of a call that has come in, if it is of none that is known."""
        return self.update.direction == "inbound" or (self.is_question and self.update.direction is None)


async def _hear(engine: Engine, heard: _Heard) -> UUID | None:
    """Keep an update and bring its call up to date; returns the agent whose call it is."""
    account = heard.account
    async with engine.tenant(account.tenant_id, Actor.system(account.provider, origin="provider")) as tx:
        before, kept = await _find(tx, heard)
        if before is None and heard.is_of_new_call:
            before = await _arrive(tx, heard)
        received_at = tx.now()
        is_new = heard.fingerprint not in [fingerprint for _, fingerprint, _, _ in kept]
        if before is None:
            verdict: Verdict = "unknown_call"
            _keep(tx, heard, None, verdict, received_at)
        else:
            told = _told(before.call, kept)
            verdict = _verdict(heard.update, before.call, told, received_at)
            if is_new and verdict != "impossible":
                told.append(_as_told(heard.update, before.call, received_at))
            after = machine.fold(before.call, told, given_up=before.ended_by == "bellbird")
            if before.call.ended_at is None and after.ended_at is not None:
                admitting.freed(tx, after)
            _keep(tx, heard, before.call, verdict, received_at)
            if verdict != "impossible" and any(call_id is None for _, _, call_id, _ in kept):
                tx.queue(ADOPT, tx.tenant_id, before.call.id, heard.update.provider_call_id, account.id)
            _write(tx, before, after, is_end_told=machine.told_end(told) is not None)
    _count(heard, verdict if is_new else "repeated")
    return None if before is None else before.call.agent_id


def _count(heard: _Heard, verdict: Verdict) -> None:
    HEARD[heard.account.provider, verdict] += 1
    if verdict in ("impossible", "unknown_call", "contradictory", "in_future", "in_past"):
        about = {"reason": verdict, "tenant_id": str(heard.account.tenant_id)}
        log.warning("a callback does not fit what is known", extra=about)


# Further back no call is looked for by the provider's id alone: after that the last bill is written.
LATEST: Final = timedelta(days=90)

BY_PROVIDER: Final = f"""{rows.HELD}
from calls
where tenant_id = $1 and provider_call_id = $2 and account_id = $3 and id >= $4
order by id desc
limit 1
for update"""

KEPT: Final = """
select id, fingerprint, call_id, update::text
from call_callbacks
where tenant_id = $1 and provider_call_id = $2 and account_id = $3
order by id
"""


async def _find(tx: Tx, heard: _Heard) -> tuple[Held | None, list[Row]]:
    """The call that an update is of, locked, and all callbacks of it that were kept before; in one round trip.

    What was kept is read behind the lock: whoever had the call before has committed by then.
    """
    update = heard.update
    if update.call_id is not None:
        asked = tx.queue(rows.LOCK, tx.tenant_id, update.call_id)
        kept = _ask_kept(tx, heard)
        await tx.writable(even_suspended=True)
        # A provider's account speaks of its own calls alone.
        if asked.rows and (found := rows.held(asked.rows[0])).call.account_id == heard.account.id:
            return found, _of(found.call, kept)
    return await _find_by_provider(tx, heard)


async def _find_by_provider(tx: Tx, heard: _Heard) -> tuple[Held | None, list[Row]]:
    if heard.is_of_new_call:  # one callback at a time: the first makes the call, the others find it
        digest = hashlib.blake2b(heard.account.id.bytes + heard.update.provider_call_id.encode(), digest_size=8)
        tx.queue(admitting.HOLD, int.from_bytes(digest.digest(), signed=True))
    since = ids.first_at(tx.clock.now() - LATEST)
    asked = tx.queue(BY_PROVIDER, tx.tenant_id, heard.update.provider_call_id, heard.account.id, since)
    kept = _ask_kept(tx, heard)
    await tx.writable(even_suspended=True)
    await tx.flush()
    found = rows.held(asked.rows[0]) if asked.rows else None
    return found, _of(found.call if found else None, kept)


def _ask_kept(tx: Tx, heard: _Heard) -> Pending:
    return tx.queue(KEPT, tx.tenant_id, heard.update.provider_call_id, heard.account.id)


def _of(call: Call | None, kept: Pending) -> list[Row]:
    """Those that are of this call, or were of none that was known."""
    own = {None, call and call.id}
    return [row for row in kept.rows if row[2] in own]


async def _arrive(tx: Tx, heard: _Heard) -> Held | None:
    """The call that has come in; None where the tenant is suspended, and nobody answers."""
    tenant = await tx.tenant()
    if tenant.status != "active":
        return None
    call = await inbound.arrived(tx, heard.account, replace(heard.update, direction="inbound"))
    return Held(call, None, None, None)


_update = msgspec.json.Decoder(Update).decode


def _told(call: Call, kept: list[Row]) -> list[Told]:
    """What was told before, without what cannot be of this call, and what a purge has emptied."""
    read = [(_update(update), ids.made_at(id)) for id, _, _, update in kept if update != "{}"]
    return [_as_told(update, call, at) for update, at in read if not machine.contradicts(update, call)]


def _as_told(update: Update, call: Call, received_at: datetime) -> Told:
    believed = machine.believed(update, call, received_at)
    if _is_forgotten(call):
        update = replace(update, recording_url=None)
    return Told(update if believed else replace(update, at=None), received_at)


def _is_forgotten(call: Call) -> bool:
    """Whether whoever it was with was purged: nothing that tells of them is kept any more."""
    return call.from_number is None and call.to_number is None


def _verdict(update: Update, call: Call, told: list[Told], received_at: datetime) -> Verdict:
    """What a callback is worth, for whoever looks into what a provider does."""
    if machine.contradicts(update, call):
        return "impossible"
    if update.at is not None and not machine.believed(update, call, received_at):
        return "in_future" if update.at > received_at else "in_past"
    if update.status in ENDS:
        others = {each.update.status for each in told if each.update.status in ENDS} - {update.status}
        return "contradictory" if others else "applied"
    is_behind = update.status is not None and RANKS[update.status] < RANKS[call.status]
    return "late" if is_behind else "applied"


# One that comes again is counted. Of two that come at the same moment the second waits for the first.
KEEP: Final = """
insert into call_callbacks as kept
  (tenant_id, id, call_id, account_id, provider, provider_call_id, fingerprint, status, sequence, at, update, body,
   verdict)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
on conflict (tenant_id, provider_call_id, fingerprint) do update
set times = kept.times + 1, call_id = coalesce(kept.call_id, excluded.call_id)
"""

ADOPT: Final = """
update call_callbacks
set call_id = $2
where tenant_id = $1 and provider_call_id = $3 and account_id = $4 and call_id is null
"""


def _keep(tx: Tx, heard: _Heard, call: Call | None, verdict: Verdict, received_at: datetime) -> None:
    """Queue the callback's own row."""
    account, update = heard.account, heard.update
    understood, body = msgspec.json.encode(update), heard.callback.body.decode("utf-8", "replace")
    if call is not None and _is_forgotten(call):
        understood, body = b"{}", ""
    tx.queue(
        KEEP, tx.tenant_id, ids.uuid7(received_at), None if call is None else call.id, account.id, account.provider,
        update.provider_call_id, bytea(heard.fingerprint), update.status, update.sequence, update.at, understood,
        body.replace("\0", "\N{REPLACEMENT CHARACTER}"), verdict,
    )  # fmt: skip


def _write(tx: Tx, before: Held, after: Call, *, is_end_told: bool) -> None:
    """Queue the call as it is now, and record each step that it has taken."""
    ended_by = "provider" if is_end_told else before.ended_by
    held = before
    for happened, call in machine.steps(before.call, after):
        following = replace(held, call=replace(call, version=held.call.version), ended_by=ended_by)
        held = replace(following, call=rows.write(tx, held, following, happened=happened))
    if held is before:  # no news: the provider tells the very end that we had given it, or when it took the call on
        rows.write(tx, before, replace(before, call=after, ended_by=ended_by))
    if before.hang_up_at is not None and before.call.provider_call_id is None and after.ended_at is None:
        # It was to be ended before anybody knew which of the provider's calls it is.
        tx.defer(HANG_UP, queueing_lock=f"{HANG_UP} {after.id}", priority=admitting.URGENT, call_id=after.id)
