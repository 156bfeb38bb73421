"""Connecting, changing and disconnecting call accounts. The secret is sealed, and on record nowhere."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from bellbird.core import ids
from bellbird.core.connection import bytea
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput, VersionMismatch
from bellbird.core.events import Event
from bellbird.features import users
from bellbird.features.call_accounts import cleaning, rows
from bellbird.features.call_accounts.models import (
    STATUSES,
    CallAccount,
    CallAccountInUse,
    CallAccountNotFound,
    CallAccountPatch,
    Line,
    NewCallAccount,
)
from bellbird.features.call_accounts.rows import READ_ALL

# What an event's `changes` may name: not the secret.
RECORDED: Final = ("provider", "identifier", "name", "numbers", "options", "status")

INSERT = """
insert into call_accounts (tenant_id, id, provider, identifier, name, secret, numbers, options, status, created_at,
  updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'active', $9, $9)
"""


async def connect(tx: Tx, new: NewCallAccount) -> CallAccount:
    """Keep an account with a provider, its secret sealed, and record `call_account.connected`.

    Raises InvalidInput with every fault, those that the provider finds among them; CallAccountTaken; NoVault.
    """
    tx.require("call_accounts:write")
    settings = (await tx.writable()).settings
    known = await users.named(tx, _agents(new.numbers))
    faults = list[Fault]()
    identifier = cleaning.line(new.identifier, "/identifier", cleaning.MAX_IDENTIFIER, faults)
    name = cleaning.line(new.name or f"{new.provider} {identifier}", "/name", cleaning.MAX_NAME, faults)
    secret = cleaning.secret(new.secret, faults)
    numbers = cleaning.numbers(new.numbers, settings, known, faults)
    options = cleaning.options(new.options, faults)
    _check(tx, new.provider, identifier, secret, options, faults)
    now = tx.now()
    id = ids.uuid7(now)
    url = rows.callback_url(tx.engine, tx.tenant_id, id)
    account = CallAccount(
        id, new.provider, identifier, name, numbers, options, "active", 1, now, now, url, f"{url}/voice"
    )  # fmt: skip
    tx.queue(
        INSERT, tx.tenant_id, id, account.provider, identifier, name, _sealed(tx, id, secret),
        msgspec.json.encode(numbers), msgspec.json.encode(options), now,
    )  # fmt: skip
    tx.emit(_event("connected", account, None, now))
    return account


UPDATE = """
update call_accounts
set name = $3, secret = $4, numbers = $5, options = $6, status = $7, version = $8, updated_at = $9
where tenant_id = $1 and id = $2
"""


async def change(tx: Tx, id: UUID, patch: CallAccountPatch, *, version: int | None = None) -> CallAccount:
    """Change an account and record `call_account.changed`; a patch that changes nothing writes nothing.

    That there is another secret is recorded, and not what it is.
    Raises CallAccountNotFound, InvalidInput, NoVault, and VersionMismatch when `version` is given and no longer the
    current one.
    """
    tx.require("call_accounts:write")
    row, account = await _locked(tx, id, version)
    known = await users.named(tx, () if patch.numbers is UNSET else _agents(patch.numbers))
    faults = list[Fault]()
    secret = None if patch.secret is UNSET else cleaning.secret(patch.secret, faults)
    settings = (await tx.tenant()).settings
    changed = replace(
        account,
        name=account.name if patch.name is UNSET else cleaning.line(patch.name, "/name", cleaning.MAX_NAME, faults),
        numbers=account.numbers if patch.numbers is UNSET else cleaning.numbers(patch.numbers, settings, known, faults),
        options=account.options if patch.options is UNSET else cleaning.options(patch.options, faults),
        status=account.status if patch.status is UNSET else _status(patch.status, faults),
    )
    kept = _kept_secret(tx, id, row[10], faults) if secret is None and changed.options != account.options else secret
    if kept is not None:
        _check(tx, account.provider, account.identifier, kept, changed.options, faults)
    if faults:
        raise InvalidInput(faults=faults)
    is_new = secret is not None and secret != _secret(tx, id, row[10])
    if changed == account and not is_new:
        return account
    changed = replace(changed, version=account.version + 1, updated_at=tx.now())
    tx.queue(
        UPDATE, tx.tenant_id, id, changed.name, _sealed(tx, id, secret) if secret and is_new else bytea(row[10]),
        msgspec.json.encode(changed.numbers), msgspec.json.encode(changed.options), changed.status, changed.version,
        changed.updated_at,
    )  # fmt: skip
    tx.emit(_event("changed", changed, account, changed.updated_at, secret_changed=is_new))
    return changed


DELETE = "delete from call_accounts where tenant_id = $1 and id = $2"

# Only the table's name is known here of calls: those under way are few, and an index has them.
LIVE = "select count(*) from calls where tenant_id = $1 and ended_at is null and account_id = $2"


async def disconnect(tx: Tx, id: UUID, *, version: int | None = None) -> None:
    """Forget an account and its secret, and record `call_account.disconnected`; its calls stay.

    Raises CallAccountNotFound, VersionMismatch, and CallAccountInUse while calls are under way with it.
    """
    tx.require("call_accounts:write")
    asked = tx.queue(LIVE, tx.tenant_id, id)
    _, account = await _locked(tx, id, version)
    if live := asked.rows[0][0]:
        raise CallAccountInUse(
            f"{live:,} call{' is' if live == 1 else 's are'} under way with {account.name}: pause it, and disconnect "
            "it when they are over.",
            calls=live,
        )
    tx.queue(DELETE, tx.tenant_id, id)
    tx.emit(Event("call_account.disconnected", id, changes=_changes(account, None)))


LOCK: Final = f"select {READ_ALL} from call_accounts where tenant_id = $1 and id = $2 for update"


async def _locked(tx: Tx, id: UUID, version: int | None) -> tuple[tuple[Any, ...], CallAccount]:
    """The account and its row, in a tenant that may be written to, locked until the transaction ends."""
    asked = tx.queue(LOCK, tx.tenant_id, id)
    await tx.writable()
    if not asked.tag:
        await tx.flush()
    if not asked.rows:
        raise CallAccountNotFound(f"There is no call account {id}.")
    account = rows.from_row(asked.rows[0], tx.engine, tx.tenant_id)
    if version is not None and version != account.version:
        raise VersionMismatch(
            f"The account is at version {account.version}; your change was made to version {version}.", current=account
        )
    return asked.rows[0], account


def _check(
    tx: Tx, provider: str, identifier: str, secret: str, options: Mapping[str, Any], faults: list[Fault]
) -> None:
    """Let the provider look at what it is to work with. Raises InvalidInput with these faults and its own."""
    try:
        found = tx.engine.providers.get(provider)
    except InvalidInput as error:
        faults += [replace(fault, pointer="/provider", parameter=None) for fault in error.faults]
        raise InvalidInput(faults=faults) from None
    known = {fault.pointer for fault in faults}
    try:
        found.check(identifier, secret, options)
    except InvalidInput as error:
        faults += [fault for fault in error.faults if fault.pointer not in known]
    if faults:
        raise InvalidInput(faults=faults)


def _agents(numbers: Sequence[Line]) -> list[UUID]:
    return list({line.agent_id for line in numbers[: cleaning.MAX_NUMBERS] if line.agent_id is not None})


def _status(given: Any, faults: list[Fault]) -> Any:
    if given not in STATUSES:
        faults.append(Fault("invalid_value", f"must be {' or '.join(STATUSES)}", pointer="/status"))
    return given


def _sealed(tx: Tx, id: UUID, secret: str) -> bytes:
    return bytea(rows.seal(tx.engine, tx.tenant_id, id, secret))


def _secret(tx: Tx, id: UUID, sealed: bytes) -> str | None:
    """The secret that there was; None when it was sealed with what this deployment does not have any more."""
    try:
        return rows.unseal(tx.engine, tx.tenant_id, id, sealed)
    except rows.InvalidTag:
        return None


def _kept_secret(tx: Tx, id: UUID, sealed: bytes, faults: list[Fault]) -> str | None:
    secret = _secret(tx, id, sealed)
    if secret is None:
        message = "must be given again: what is kept of it was encrypted with another BELLBIRD_SECRET"
        faults.append(Fault("missing_field", message, pointer="/secret"))
    return secret


def _changes(before: CallAccount | None, after: CallAccount | None) -> dict[str, tuple[Any, Any]]:
    pairs = {name: (before and getattr(before, name), after and getattr(after, name)) for name in RECORDED}
    return {name: (old, new) for name, (old, new) in pairs.items() if old != new and (before or new not in ((), {}))}


def _event(
    happened: str, account: CallAccount, before: CallAccount | None, at: datetime, *, secret_changed: bool = False
) -> Event:
    data = {"version": account.version, **({"secret_changed": True} if secret_changed else {})}
    return Event(f"call_account.{happened}", account.id, changes=_changes(before, account), data=data, at=at)
