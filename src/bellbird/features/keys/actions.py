"""Making, renaming and revoking API keys. A key can do no more than whoever makes it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import UNSET

from bellbird.core import credentials, ids, text
from bellbird.core.actors import Role, Visibility
from bellbird.core.connection import bytea
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.events import Event
from bellbird.features.keys.models import ApiKey, KeyNotFound, KeyPatch, NewKey
from bellbird.features.keys.rows import READ, from_row
from bellbird.features.roles import granting, rows

MAX_NAME: Final = 100

# Five years, whatever leap days are in them. A key that holds for longer is one that holds until it is revoked.
MAX_LIFE: Final = timedelta(days=5 * 365 + 2)

INSERT = """
insert into api_keys (tenant_id, id, name, prefix, secret_hash, scopes, visibility, fields, user_id, created_by,
  created_at, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""


async def create(tx: Tx, new: NewKey) -> ApiKey:
    """Make a key and record `key.created`; its text is in `key` this once.

    What is withheld from its maker is withheld from it; `own` and `team` mean its maker's records.
    Raises InvalidInput with every fault, CannotGrant naming the scopes that its maker does not have.
    """
    tx.require("keys:write")
    await tx.writable()
    now, actor, faults = tx.clock.now(), tx.actor, list[Fault]()
    name = _name(new.name, faults)
    scopes = granting.permissions(new.scopes, "/scopes", faults)
    if not new.scopes:
        faults.append(Fault("invalid_value", "must name at least one permission", pointer="/scopes"))
    visibility = _visibility(tx, new.visibility or actor.visibility, faults)
    expires_at = _expiry(new.expires_at, now, faults)
    if faults:
        raise InvalidInput(faults=faults)
    actor.require_grant(Role("", scopes, visibility, actor.fields))
    id = ids.uuid7(now)
    secret = credentials.make("live", tx.tenant_id, id)
    key = ApiKey(
        id, name, secret.prefix, tuple(sorted(scopes)), visibility, str(actor), now, expires_at, None, None, secret.text
    )
    withheld = rows.shown(actor.fields)
    tx.queue(
        INSERT, tx.tenant_id, id, name, key.prefix, bytea(secret.hash), key.scopes, visibility,
        msgspec.json.encode(withheld), actor.user_id, key.created_by, now, expires_at,
    )  # fmt: skip
    given = {
        "name": name, "scopes": key.scopes, "visibility": visibility, "fields": withheld, "expires_at": expires_at,
    }  # fmt: skip
    tx.emit(Event("key.created", id, changes={field: (None, value) for field, value in given.items() if value}))
    return key


RENAME = "update api_keys set name = $3 where tenant_id = $1 and id = $2"


async def update(tx: Tx, id: UUID, patch: KeyPatch) -> ApiKey:
    """Rename a key and record `key.updated`; a patch that changes nothing writes nothing.

    Raises KeyNotFound, InvalidInput.
    """
    tx.require("keys:write")
    key, faults = await _locked(tx, id), list[Fault]()
    name = key.name if patch.name is UNSET else _name(patch.name, faults)
    if faults:
        raise InvalidInput(faults=faults)
    if name == key.name:
        return key
    tx.queue(RENAME, tx.tenant_id, id, name)
    tx.emit(Event("key.updated", id, changes={"name": (key.name, name)}))
    return replace(key, name=name)


REVOKE = "update api_keys set revoked_at = $3 where tenant_id = $1 and id = $2"


async def revoke(tx: Tx, id: UUID) -> ApiKey:
    """End a key for good and record `key.revoked`: within a second no process takes it any more.

    A key that was revoked before stays as it is, and nothing is written. Raises KeyNotFound.
    """
    tx.require("keys:write")
    key = await _locked(tx, id, even_suspended=True)
    if key.revoked_at is not None:
        return key
    revoked = replace(key, revoked_at=tx.clock.now())
    tx.queue(REVOKE, tx.tenant_id, id, revoked.revoked_at)
    changes = {"revoked_at": (None, revoked.revoked_at)}
    tx.emit(Event("key.revoked", id, changes=changes, data={"name": key.name, "prefix": key.prefix}))
    tx.access_changed()
    return revoked


LOCK = f"select {READ} from api_keys where tenant_id = $1 and id = $2 for update"


async def _locked(tx: Tx, id: UUID, *, even_suspended: bool = False) -> ApiKey:
    """The key, in a tenant that may be written to, locked until the transaction ends."""
    asked = tx.queue(LOCK, tx.tenant_id, id)
    await tx.writable(even_suspended=even_suspended)
    if not asked.rows:
        await tx.flush()
    if not asked.rows:
        raise KeyNotFound(f"There is no API key {id}.")
    return from_row(asked.rows[0])


def _name(name: str, faults: list[Fault]) -> str:
    try:
        cleaned = text.clean(name, max_length=MAX_NAME)
    except text.InvalidText as error:
        faults.append(Fault(error.code, str(error), pointer="/name"))
        return ""
    if not cleaned:
        faults.append(Fault("invalid_value", "must have something to be read", pointer="/name"))
    return cleaned


def _visibility(tx: Tx, given: Any, faults: list[Fault]) -> Visibility:
    visibility = granting.visibility(given, "/visibility", faults)
    if given in ("own", "team") and tx.actor.user_id is None:
        message = f"must be all: {given} means the records of whoever makes the key, and {tx.actor} is no user"
        faults.append(Fault("invalid_value", message, pointer="/visibility"))
    return visibility


def _expiry(given: datetime | None, now: datetime, faults: list[Fault]) -> datetime | None:
    if given is None:
        return None
    if given.tzinfo is None:
        message = f"must say its offset from UTC, such as {given:%Y-%m-%dT%H:%M:%S}Z"
    elif given <= now:
        message = f"must be in the future, not {given.isoformat()}"
    elif given > now + MAX_LIFE:
        message = "must be within five years; leave it out for a key that holds until it is revoked"
    else:
        return given.astimezone(UTC)
    faults.append(Fault("invalid_value", message, pointer="/expires_at"))
    return None
