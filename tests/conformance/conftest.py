"""A server of its own for each test here, with a tenant and a token for it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from bellbird.app import Bellbird
from bellbird.core.tenants import Tenant
from tests.conftest import SECRET, NewTenant
from tests.servers import Serving, serving


@dataclass(frozen=True)
class Caller:
    """Who asks: somebody who may do everything that can be done in a tenant."""

    tenant: Tenant
    token: str


# Nobody is as busy as these tests are.
UNLIMITED = dict.fromkeys(
    ("rate_caller_read", "rate_caller_write", "rate_tenant_read", "rate_tenant_write", "rate_address_auth",
     "rate_address_callbacks"),
    "",
)  # fmt: skip


@pytest.fixture
def running(tmp_path: Path, owner_conninfo: str) -> Iterator[Serving]:
    with serving(tmp_path, database_url=owner_conninfo, secret=SECRET, **UNLIMITED) as server:
        yield server


@pytest.fixture
async def caller(bellbird: Bellbird, new_tenant: NewTenant) -> Caller:
    tenant = await new_tenant(allowed_regions=())
    return Caller(tenant, bellbird.tokens.make(tenant.id, uuid4(), valid_for=timedelta(hours=2), roles=("owner",)))
