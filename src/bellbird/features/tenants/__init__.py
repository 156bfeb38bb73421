"""Tenants: the customers of a deployment, each with its own contacts, settings and status, blind to all others.

Only the operator makes and changes them, through the command line or `Bellbird.system()`.
"""

from bellbird.core.tenants import CallingHours, Tenant, TenantSettings, Week
from bellbird.features.tenants.actions import create, resume, set, suspend
from bellbird.features.tenants.deletion import delete
from bellbird.features.tenants.models import SlugTaken, TenantBusy, TenantDeleting
from bellbird.features.tenants.queries import get, page

__all__ = [
    "CallingHours",
    "SlugTaken",
    "Tenant",
    "TenantBusy",
    "TenantDeleting",
    "TenantSettings",
    "Week",
    "create",
    "delete",
    "get",
    "page",
    "resume",
    "set",
    "suspend",
]
