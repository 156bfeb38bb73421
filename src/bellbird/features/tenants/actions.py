"""Making and changing tenants, as the operator; each change is an event in the tenant's own log."""

import difflib
import re
from dataclasses import asdict, fields, replace
from typing import Any, Final
from uuid import UUID
from zoneinfo import available_timezones

import msgspec

from bellbird.core import phones, text
from bellbird.core.engine import SystemTx
from bellbird.core.errors import Fault, InvalidInput, TenantNotFound
from bellbird.core.events import Event
from bellbird.core.tenants import COLUMNS, CallingHours, Tenant, TenantSettings, from_row

_SLUG = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)")
MAX_NAME: Final = 200

INSERT = """
insert into tenants (id, slug, name, settings, created_at, updated_at)
values ($1, $2, $3, $4, $5, $5)
"""


async def create(tx: SystemTx, slug: str, *, name: str | None = None, settings: TenantSettings | None = None) -> Tenant:
    """Add a tenant and record `tenant.created`. Raises InvalidInput, and SlugTaken when it is committed."""
    tx.require("tenants:write")
    if not _SLUG.fullmatch(slug):
        message = f"must be 1 to 63 small letters, digits and hyphens, such as acme-nz, not {slug[:80]!r}"
        raise InvalidInput(faults=[Fault("slug_invalid", message, pointer="/slug")])
    settings = _checked(settings or TenantSettings())
    now = tx.clock.now()
    tenant = Tenant(tx.new_id(), slug, _name(name or "") or slug, "active", settings, 1, now, now)
    await tx.run(INSERT, tenant.id, slug, tenant.name, msgspec.json.encode(settings), now)
    tx.emit(tenant.id, Event("tenant.created", tenant.id, data={"slug": slug, "name": tenant.name}))
    return tenant


LOCK = f"select {COLUMNS} from tenants where id = $1 for update"

UPDATE = """
update tenants
set name = $2, status = $3, settings = $4, version = version + 1, updated_at = $5
where id = $1
"""


async def set(tx: SystemTx, id: UUID, *, name: str | None = None, **settings: Any) -> Tenant:
    """Change a tenant's name or settings and record `tenant.updated`. Raises TenantNotFound, InvalidInput."""
    tx.require("tenants:write")
    tenant = await _locked(tx, id)
    changed = replace(tenant, name=_name(name or "") or tenant.name, settings=_changed(tenant.settings, settings))
    return await _write(tx, tenant, changed, "tenant.updated")


async def suspend(tx: SystemTx, id: UUID) -> Tenant:
    """Make a tenant read-only and record `tenant.suspended`. Raises TenantNotFound."""
    tx.require("tenants:write")
    return await _set_status(tx, id, "suspended")


async def resume(tx: SystemTx, id: UUID) -> Tenant:
    """Let a suspended tenant write again and record `tenant.resumed`. Raises TenantNotFound."""
    tx.require("tenants:write")
    return await _set_status(tx, id, "active")


async def _set_status(tx: SystemTx, id: UUID, status: Any) -> Tenant:
    tenant = await _locked(tx, id)
    event = "tenant.resumed" if status == "active" else "tenant.suspended"
    return await _write(tx, tenant, replace(tenant, status=status), event)


async def _write(tx: SystemTx, old: Tenant, new: Tenant, event: str) -> Tenant:
    before, after = _flat(old), _flat(new)
    changes = {field: (before[field], value) for field, value in after.items() if before[field] != value}
    if not changes:
        return old
    new = replace(new, version=old.version + 1, updated_at=tx.clock.now())
    await tx.run(UPDATE, new.id, new.name, new.status, msgspec.json.encode(new.settings), new.updated_at)
    tx.emit(new.id, Event(event, new.id, changes=changes))
    tx.engine.snapshots.forget(new.id)
    return new


# Children before parents would matter if there were foreign keys; there are none between tenant tables (decision 7).
TENANT_TABLES = """
select c.oid::regclass::text
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = current_schema()::regnamespace
order by 1
"""


# Whoever is a member of no other tenant goes too.
DELETE_USERS = """
delete from users u
where u.id in (select m.id from memberships m where m.tenant_id = $1)
  and not exists (select from memberships m where m.id = u.id and m.tenant_id <> $1)
"""


async def delete(tx: SystemTx, id: UUID) -> dict[str, int]:
    """Remove a tenant and every row of it, in one transaction; returns how many rows went from each table.

    The tables are found in the catalogue, so none can be forgotten; that nothing is left is verified before the end.
    Raises TenantNotFound.
    """
    tx.require("tenants:write")
    await _locked(tx, id)
    removed = {"users": await tx.run(DELETE_USERS, id)}
    for (table,) in await tx.all(TENANT_TABLES):
        # The name comes from the catalogue, quoted by regclass.
        removed[table] = await tx.run(f"delete from {table} where tenant_id = $1", id)
    for table in removed.keys() - {"users"}:
        left = await tx.one(f"select 1 from {table} where tenant_id = $1 limit 1", id)
        if left is not None:
            raise RuntimeError(f"{table} still has rows of the tenant {id}; nothing was deleted")
    await tx.run("delete from tenants where id = $1", id)
    tx.engine.snapshots.forget(id)
    return removed


async def _locked(tx: SystemTx, id: UUID) -> Tenant:
    row = await tx.one(LOCK, id)
    if row is None:
        raise TenantNotFound(f"There is no tenant {id}.")
    return from_row(row)


def _name(name: str) -> str:
    try:
        return text.clean(name, max_length=MAX_NAME)
    except text.InvalidText as error:
        raise InvalidInput(faults=[Fault(error.code, str(error), pointer="/name")]) from None


def _flat(tenant: Tenant) -> dict[str, Any]:
    return {"name": tenant.name, "status": tenant.status, **asdict(tenant.settings)}


def _changed(settings: TenantSettings, changes: dict[str, Any]) -> TenantSettings:
    hours = changes.get("calling_hours")
    faults = _unknown(changes, TenantSettings, "/settings")
    if isinstance(hours, dict):
        faults += _unknown(hours, CallingHours, "/settings/calling_hours")
    if faults:
        raise InvalidInput(faults=faults)
    merged = {**asdict(settings), **changes}
    if isinstance(hours, dict):
        merged["calling_hours"] = {**asdict(settings.calling_hours), **hours}
    try:
        return _checked(msgspec.convert(merged, TenantSettings, strict=True))
    except msgspec.ValidationError as error:
        message, _, at = str(error).partition(" - at `$")
        pointer = "/settings" + at.rstrip("`").replace(".", "/").replace("[", "/").replace("]", "")
        raise InvalidInput(faults=[Fault("invalid_value", message, pointer=pointer)]) from None


def _unknown(given: dict[str, Any], shape: type, pointer: str) -> list[Fault]:
    """A fault for each name that is none of the shape's."""
    known = [field.name for field in fields(shape)]
    faults = []
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            faults.append(Fault("unknown_setting", f"there is no such setting; {hint}", pointer=f"{pointer}/{name}"))
    return faults


def _checked(settings: TenantSettings) -> TenantSettings:
    """The settings, once everything that their types cannot say is checked too."""
    faults = []

    def fault(name: str, message: str) -> None:
        faults.append(Fault("invalid_value", message, pointer=f"/settings/{name}"))

    regions = phones.regions()
    for name, values in (("default_region", (settings.default_region,)), ("allowed_regions", settings.allowed_regions)):
        for region in values:
            if region not in regions:
                fault(name, f"{region!r} is not a country code (ISO 3166-1) such as AU or NZ")
    if settings.allowed_regions and settings.default_region not in settings.allowed_regions:
        fault("default_region", f"{settings.default_region} is not one of the allowed regions")
    if settings.timezone not in available_timezones():
        fault("timezone", f"{settings.timezone!r} is not a time zone such as Australia/Sydney or Pacific/Auckland")
    for field in fields(CallingHours):
        hours = getattr(settings.calling_hours, field.name)
        if hours is not None and not (_HOURS.fullmatch(hours) and hours[:5] < hours[6:]):
            fault(f"calling_hours/{field.name}", f"must look like 09:00-20:00, not {hours!r}")
    if faults:
        raise InvalidInput(faults=faults)
    return settings
