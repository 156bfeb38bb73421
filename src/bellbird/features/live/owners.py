"""Whose contacts are: what the live stream has to know to show an event to those who see the contact."""

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from bellbird.core.engine import ReadTx

OWNERS: Final = "select id, owner_id from tenant_contacts where tenant_id = $1 and id = any($2::uuid[])"


async def find(read: ReadTx, ids: Collection[UUID]) -> Mapping[UUID, UUID | None]:
    """The owners of contacts, deleted ones included; those that were purged are left out."""
    return dict(await read.all(OWNERS, read.tenant_id, sorted(ids)))
