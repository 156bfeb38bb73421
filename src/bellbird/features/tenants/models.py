"""What can be wrong with a tenant. The tenant itself is the engine's (core/tenants.py): every transaction needs it."""

from bellbird.core import topics
from bellbird.core.errors import Conflict, Unavailable, describe_faults, translate_constraint


class SlugTaken(Conflict):
    """Another tenant has this slug."""

    code = "slug_taken"


class TenantDeleting(Conflict):
    """The tenant is being deleted: it can only be deleted to the end."""

    code = "tenant_deleting"


class TenantBusy(Unavailable):
    """Somebody's transaction stays open, and may still write to the tenant: delete it again when that is over.

    Nobody else can write to it any more; nothing of it is removed yet.
    """

    code = "tenant_busy"


translate_constraint("tenants_slug_unique", SlugTaken)

describe_faults({
    "slug_invalid": "The slug is not made of small letters, digits and hyphens.",
    "unknown_setting": "A tenant has no setting of this name.",
})  # fmt: skip

topics.recorded("tenant.created", "tenant.updated", "tenant.suspended", "tenant.resumed", "tenant.deleting")
