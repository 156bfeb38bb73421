"""Tenants as jobs see them: every one in turn, in short transactions, a tenant in each; and one that may be gone."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final
from uuid import UUID

from bellbird.core.actors import Actor
from bellbird.core.engine import Engine, Tx
from bellbird.core.errors import NotSignedIn, TenantSuspended

AT_ONCE: Final = 500
FIRST: Final = UUID(int=0)

TENANTS: Final = f"select id from tenants where id > $1 and status <> 'deleting' order by id limit {AT_ONCE}"

log = logging.getLogger(__name__)


async def every_tenant(engine: Engine) -> AsyncIterator[UUID]:
    """The tenants there are, without those that are being deleted; no transaction is open meanwhile."""
    after = FIRST
    while True:
        async with engine.system(Actor.system("sweep", origin="job")) as tx:
            found = [id for (id,) in await tx.all(TENANTS, after)]
        for id in found:
            yield id
        if len(found) < AT_ONCE:
            return
        after = found[-1]


TENANT: Final = "select 1 from tenants where id = $1"


async def is_there(engine: Engine, tenant_id: UUID) -> bool:
    """Whether there is (still) such a tenant."""
    async with engine.system(Actor.system("sweep", origin="job")) as tx:
        return await tx.one(TENANT, tenant_id) is not None


async def sweep(engine: Engine, name: str, batch: Callable[[Tx], Awaitable[bool]]) -> None:
    """Run `batch` for every tenant, a transaction each, and again as long as it says that there is more.

    A tenant that may not be written to is left alone; one that fails does not keep the others from their turn, but
    the first such error is raised in the end.
    """
    who, failed = Actor.system(name, origin="job"), list[Exception]()
    async for tenant_id in every_tenant(engine):
        more = True
        try:
            while more:
                async with engine.tenant(tenant_id, who) as tx:
                    more = await batch(tx)
        except (TenantSuspended, NotSignedIn):
            continue  # or it is gone by now
        except Exception as error:
            log.error("a tenant was not swept", extra={"task": name}, exc_info=error)
            failed.append(error)
    if failed:
        raise failed[0]
