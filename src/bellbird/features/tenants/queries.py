"""Reading tenants, as the operator."""

from uuid import UUID

from bellbird.core.engine import SystemTx
from bellbird.core.errors import TenantNotFound
from bellbird.core.tenants import BY_ID, COLUMNS, Tenant, from_row

BY_SLUG = f"select {COLUMNS} from tenants where slug = $1"


async def get(tx: SystemTx, tenant: str | UUID) -> Tenant:
    """A tenant by its slug or id. Raises TenantNotFound."""
    row = await tx.one(BY_ID if isinstance(tenant, UUID) else BY_SLUG, tenant)
    if row is None:
        raise TenantNotFound(f"There is no tenant {tenant!s}.")
    return from_row(row)


PAGE = f"select {COLUMNS} from tenants where slug > $1 order by slug limit $2"


async def page(tx: SystemTx, *, after: str = "", limit: int = 1000) -> list[Tenant]:
    """The tenants in the order of their slugs, from behind `after` on."""
    return [from_row(row) for row in await tx.all(PAGE, after, limit)]
