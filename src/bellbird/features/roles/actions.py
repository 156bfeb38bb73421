"""Making, changing and deleting a tenant's own roles: nobody makes one that could do more than they can."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import msgspec
from msgspec import UNSET

from bellbird.core import ids
from bellbird.core.actors import ROLES, Role
from bellbird.core.connection import Pending
from bellbird.core.engine import Tx
from bellbird.core.errors import Fault, InvalidInput, VersionMismatch
from bellbird.core.events import Event
from bellbird.features.roles import granting
from bellbird.features.roles.models import (
    NewRole,
    RoleBuiltIn,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    RolePatch,
    Rules,
    RulesPatch,
    TenantRole,
)
from bellbird.features.roles.rows import READ, effective, from_row, shown

_NAME: Final = re.compile(r"[a-z0-9_-]{1,50}")

RECORDED: Final = ("permissions", "visibility", "fields")

INSERT = """
insert into roles (tenant_id, id, name, permissions, visibility, fields, created_at, updated_at)
values ($1, $2, $3, $4, $5, $6, $7, $7)
"""


async def create(tx: Tx, new: NewRole) -> TenantRole:
    """Add a role and record `role.created`.

    Raises InvalidInput with every fault, CannotGrant for more than the actor has, RoleNameTaken.
    """
    tx.require("roles:write")
    await tx.writable()
    faults: list[Fault] = []
    if not _NAME.fullmatch(new.name):
        message = "must be 1 to 50 small letters, digits, hyphens and underscores, such as night-shift"
        faults.append(Fault("role_name_invalid", f"{message}, not {new.name[:60]!r}", pointer="/name"))
    given = {kind: asdict(rules) for kind, rules in new.fields.items()}
    wanted = Role(
        new.name,
        granting.permissions(new.permissions, "/permissions", faults),
        granting.visibility(new.visibility, "/visibility", faults),
        granting.rules(given, "/fields", faults),
    )
    if faults:
        raise InvalidInput(faults=faults)
    if new.name in ROLES:
        raise RoleNameTaken(f"The role {new.name} is built in.")
    tx.actor.require_grant(wanted)
    now = tx.clock.now()
    role = TenantRole(
        ids.uuid7(now), new.name, False, tuple(sorted(wanted.permissions)), wanted.visibility, shown(wanted.fields),
        1, now, now,
    )  # fmt: skip
    fields = msgspec.json.encode(role.fields)
    tx.queue(INSERT, tx.tenant_id, role.id, role.name, role.permissions, role.visibility, fields, now)
    _emit(tx, "role.created", role, {"name": (None, role.name), **_difference(None, role)})
    return role


UPDATE = """
update roles
set permissions = $3, visibility = $4, fields = $5, version = version + 1, updated_at = $6
where tenant_id = $1 and id = $2
"""


async def update(tx: Tx, name: str, patch: RolePatch, *, version: int | None = None) -> TenantRole:
    """Change a role and record `role.updated`; a patch that changes nothing writes nothing.

    Whoever has the role is held to it within a second. Only who could give both the role as it was and as it is then
    may change it. Raises RoleNotFound, RoleBuiltIn, InvalidInput, CannotGrant, and VersionMismatch when `version` is
    given and no longer the current one.
    """
    tx.require("roles:write")
    role = await _locked(tx, name, version)
    wanted = _patched(role, patch)
    changed = replace(
        role, permissions=tuple(sorted(wanted.permissions)), visibility=wanted.visibility, fields=shown(wanted.fields)
    )
    if changed == role:
        return role
    for each in (effective(role), wanted):
        tx.actor.require_grant(each)
    changed = replace(changed, version=role.version + 1, updated_at=tx.clock.now())
    fields = msgspec.json.encode(changed.fields)
    tx.queue(UPDATE, tx.tenant_id, role.id, changed.permissions, changed.visibility, fields, changed.updated_at)
    _emit(tx, "role.updated", changed, _difference(role, changed))
    return changed


DELETE = "delete from roles where tenant_id = $1 and id = $2"

# After the lock: who gives the role to somebody holds it until that is committed.
HAVING = "select count(*) from memberships where tenant_id = $1 and role = $2"


async def delete(tx: Tx, name: str, *, version: int | None = None) -> None:
    """Delete a role and record `role.deleted`. Raises RoleNotFound, RoleBuiltIn, RoleInUse, VersionMismatch."""
    tx.require("roles:write")
    role = await _locked(tx, name, version)
    row = await tx.one(HAVING, tx.tenant_id, name)
    if members := row[0] if row else 0:
        have = "1 member has" if members == 1 else f"{members:,} members have"
        raise RoleInUse(f"{have} the role {name}: give them another one first.", members=members)
    tx.queue(DELETE, tx.tenant_id, role.id)
    _emit(tx, "role.deleted", role, {"name": (name, None)})


LOCK = f"select {READ} from roles where tenant_id = $1 and name = $2 for update"


async def _locked(tx: Tx, name: str, version: int | None) -> TenantRole:
    """A role of the tenant's own, which may be written to, locked until the transaction ends."""
    # A name that cannot be one is not asked for: PostgreSQL's text knows no NUL.
    asked: Pending | None = tx.queue(LOCK, tx.tenant_id, name) if _NAME.fullmatch(name) and name not in ROLES else None
    await tx.writable()
    if name in ROLES:
        raise RoleBuiltIn(f"The role {name} is built in: it can be neither changed nor deleted.")
    if asked and not asked.rows:
        await tx.flush()
    if not asked or not asked.rows:
        raise RoleNotFound(f"There is no role {name[:60]!r}.")
    role = from_row(asked.rows[0])
    if version is not None and version != role.version:
        raise VersionMismatch(
            f"The role is at version {role.version}; your change was made to version {version}.", current=role
        )
    return role


def _patched(role: TenantRole, patch: RolePatch) -> Role:
    """The role as the patch has it. Raises InvalidInput with every fault in what was sent."""
    wanted, faults = effective(role), list[Fault]()
    if patch.permissions is not UNSET:
        wanted = replace(wanted, permissions=granting.permissions(patch.permissions, "/permissions", faults))
    if patch.visibility is not UNSET:
        wanted = replace(wanted, visibility=granting.visibility(patch.visibility, "/visibility", faults))
    if patch.fields is not UNSET:
        wanted = replace(wanted, fields=granting.rules(_merged(role.fields, patch.fields), "/fields", faults))
    if faults:
        raise InvalidInput(faults=faults)
    return wanted


def _merged(
    before: Mapping[str, Rules], patch: Mapping[str, RulesPatch | None] | None
) -> Mapping[str, Mapping[str, Any]]:
    """Rules after a merge patch (RFC 7396)."""
    merged: dict[str, dict[str, Any]] = {kind: asdict(rules) for kind, rules in before.items()}
    for kind, rules in (dict.fromkeys(merged) if patch is None else patch).items():
        if rules is None:
            merged.pop(kind, None)
        else:
            merged[kind] = {**merged.get(kind, {}), **rules}
    return merged


def _difference(old: TenantRole | None, new: TenantRole) -> dict[str, tuple[Any, Any]]:
    """`{field: [old, new]}` of what differs."""
    changes = {name: (getattr(old, name) if old else None, getattr(new, name)) for name in RECORDED}
    return {name: (before, after) for name, (before, after) in changes.items() if before != after}


def _emit(tx: Tx, type: str, role: TenantRole, changes: Mapping[str, tuple[Any, Any]]) -> None:
    assert role.id, "what is built in is neither made nor changed"
    tx.emit(Event(type, role.id, changes=changes, data={"name": role.name}))
    tx.access_changed()
