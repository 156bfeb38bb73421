"""A tenant that has a number to call from."""

from typing import Any
from uuid import uuid4

import psycopg
import pytest

from bellbird.core.tenants import Tenant

OWN = "+61280001234"


@pytest.fixture
def account(tenant: Tenant, owner: psycopg.Connection[Any]) -> str:
    """A call account of the test's tenant; its number."""
    owner.execute(
        "insert into call_accounts (tenant_id, id, provider, identifier, name, secret, numbers, options, status,"
        " created_at, updated_at)"
        " values (%s, %s, 'mock', 'AC1', 'Sales', '', jsonb_build_array(jsonb_build_object('number', %s::text)), '{}',"
        " 'active', now(), now())",
        [tenant.id, uuid4(), OWN],
    )
    return OWN
