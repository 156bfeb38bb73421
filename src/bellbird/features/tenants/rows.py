"""A tenant's row: held, and written together with the event that says what of it is new."""

from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

import msgspec

from bellbird.core.engine import SystemTx
from bellbird.core.errors import TenantNotFound
from bellbird.core.events import Event
from bellbird.core.tenants import COLUMNS, Tenant, from_row

LOCK = f"select {COLUMNS} from tenants where id = $1 for update"


async def locked(tx: SystemTx, id: UUID) -> Tenant:
    """A tenant, held until the transaction ends. Raises TenantNotFound."""
    row = await tx.one(LOCK, id)
    if row is None:
        raise TenantNotFound(f"There is no tenant {id}.")
    return from_row(row)


UPDATE = """
update tenants
set name = $2, status = $3, settings = $4, version = version + 1, updated_at = $5
where id = $1
"""


async def write(tx: SystemTx, old: Tenant, new: Tenant, event: str) -> Tenant:
    """Write what of a tenant is new, and record it; nothing if nothing is. Returns it with its new version."""
    before, after = _flat(old), _flat(new)
    changes = {field: (before[field], value) for field, value in after.items() if before[field] != value}
    if not changes:
        return old
    new = replace(new, version=old.version + 1, updated_at=tx.clock.now())
    await tx.run(UPDATE, new.id, new.name, new.status, msgspec.json.encode(new.settings), new.updated_at)
    tx.emit(new.id, Event(event, new.id, changes=changes))
    tx.engine.snapshots.forget(new.id)
    return new


def _flat(tenant: Tenant) -> dict[str, Any]:
    return {"name": tenant.name, "status": tenant.status, **asdict(tenant.settings)}
