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
from bellbird.core.errors import Fault, InvalidInput
from bellbird.core.events import Event
from bellbird.core.tenants import CallingHours, Tenant, TenantSettings, Week
from bellbird.features.tenants import rows
from bellbird.features.tenants.models import TenantDeleting

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
    given = {"slug": slug, "name": tenant.name, "status": tenant.status, **asdict(settings)}
    changes = {name: (None, value) for name, value in given.items()}
    tx.emit(tenant.id, Event("tenant.created", tenant.id, changes=changes, data={"slug": slug, "name": tenant.name}))
    return tenant


async def set(tx: SystemTx, id: UUID, *, name: str | None = None, **settings: Any) -> Tenant:
    """Change a tenant's name or settings and record `tenant.updated`.

    Raises TenantNotFound, TenantDeleting, InvalidInput.
    """
    tx.require("tenants:write")
    tenant = await _changeable(tx, id)
    changed = replace(tenant, name=_name(name or "") or tenant.name, settings=_changed(tenant.settings, settings))
    return await rows.write(tx, tenant, changed, "tenant.updated")


async def suspend(tx: SystemTx, id: UUID) -> Tenant:
    """Make a tenant read-only and record `tenant.suspended`. Raises TenantNotFound, TenantDeleting."""
    tx.require("tenants:write")
    return await _set_status(tx, id, "suspended")


async def resume(tx: SystemTx, id: UUID) -> Tenant:
    """Let a suspended tenant write again and record `tenant.resumed`. Raises TenantNotFound, TenantDeleting."""
    tx.require("tenants:write")
    return await _set_status(tx, id, "active")


async def _set_status(tx: SystemTx, id: UUID, status: Any) -> Tenant:
    tenant = await _changeable(tx, id)
    event = "tenant.resumed" if status == "active" else "tenant.suspended"
    return await rows.write(tx, tenant, replace(tenant, status=status), event)


async def _changeable(tx: SystemTx, id: UUID) -> Tenant:
    tenant = await rows.locked(tx, id)
    if tenant.status == "deleting":
        raise TenantDeleting(f"The tenant {tenant.slug} is being deleted, which cannot be taken back.")
    return tenant


def _name(name: str) -> str:
    try:
        return text.clean(name, max_length=MAX_NAME)
    except text.InvalidText as error:
        raise InvalidInput(faults=[Fault(error.code, str(error), pointer="/name")]) from None


def _changed(settings: TenantSettings, changes: dict[str, Any]) -> TenantSettings:
    faults = _unknown(changes, TenantSettings, "/settings")
    merged = {**asdict(settings), **changes}
    if isinstance(hours := changes.get("calling_hours"), dict):
        faults += _unknown(hours, CallingHours, "/settings/calling_hours")
        merged["calling_hours"] = weeks = asdict(settings.calling_hours)
        for name, week in hours.items():
            faults += _unknown(week, Week, f"/settings/calling_hours/{name}") if isinstance(week, dict) else []
            weeks[name] = {**weeks.get(name, {}), **week} if isinstance(week, dict) else week
    if faults:
        raise InvalidInput(faults=faults)
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
    for name, week in asdict(settings.calling_hours).items():
        for day, hours in week.items():
            if hours is not None and not (_HOURS.fullmatch(hours) and hours[:5] < hours[6:]):
                fault(f"calling_hours/{name}/{day}", f"must look like 09:00-20:00, not {hours!r}")
    if faults:
        raise InvalidInput(faults=faults)
    return settings
