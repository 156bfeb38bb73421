"""How often a wrong password may be tried: counted for the account and for the network address.

Counted is the attempt, before its password is looked at, and taken back when that was right: so of any number of
guesses that are made at once, none is free. An e-mail address that nobody has is counted like any other.
"""

import math
from datetime import timedelta
from hashlib import blake2b
from typing import Final

from bellbird.core.addresses import subscriber
from bellbird.core.connection import bytea
from bellbird.core.engine import SystemTx
from bellbird.core.settings import Settings

WINDOW: Final = timedelta(minutes=15)

COUNT = """
insert into sign_in_failures as f (key, failures, since)
values ($1, 1, $2)
on conflict (key) do update
set failures = case when f.since <= $3 then 1 else f.failures + 1 end,
  since = case when f.since <= $3 then $2 else f.since end
returning failures, since
"""

# What is over is cleared away by those who come after; nobody waits for anybody's row.
CLEAR_AWAY = """
delete from sign_in_failures
where key in (select key from sign_in_failures where since <= $1 order by since limit 20 for update skip locked)
"""


async def count(tx: SystemTx, settings: Settings, email_key: str, address: str | None) -> int | None:
    """Count an attempt; returns after how many seconds another may be made, when this is one too many.

    An address that tries too often is not counted against the account: nobody locks others out for longer.
    """
    now = tx.clock.now()
    tx.queue(CLEAR_AWAY, now - 2 * WINDOW)
    limits = settings.sign_in_address_failures, settings.sign_in_account_failures
    # The address before the account, always: two attempts never wait for each other.
    for limit, key in zip(limits, (_address(address), _account(email_key)), strict=True):
        if limit and key:
            row = await tx.one(COUNT, key, now, now - WINDOW)
            assert row
            failures, since = row
            if failures > limit:
                wait: timedelta = since + WINDOW - now
                return max(1, math.ceil(wait.total_seconds()))
    return None


TAKE_BACK = "update sign_in_failures set failures = greatest(failures - 1, 0) where key = $1"
FORGET = "delete from sign_in_failures where key = $1"


def take_back(tx: SystemTx, email_key: str, address: str | None) -> None:
    """The password was not looked at: the attempt was none."""
    for key in (_address(address), _account(email_key)):
        if key:
            tx.queue(TAKE_BACK, key)


def forgive(tx: SystemTx, email_key: str, address: str | None) -> None:
    """The password was right: the attempt was no failure, and those on the account before it do not count any more."""
    if key := _address(address):
        tx.queue(TAKE_BACK, key)
    tx.queue(FORGET, _account(email_key))


def _account(email_key: str) -> bytes:
    return _key("account", email_key)


def _address(address: str | None) -> bytes | None:
    """Whom an address stands for; a Unix socket has none."""
    return _key("address", subscriber(address)) if address else None


def _key(kind: str, value: str) -> bytes:
    return bytea(blake2b(value.encode(), digest_size=32, person=kind.encode()).digest())
