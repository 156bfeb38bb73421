"""What can be wrong with a tenant. The tenant itself is the engine's (core/tenants.py): every transaction needs it."""

from bellbird.core.errors import Conflict, translate_constraint


class SlugTaken(Conflict):
    """Another tenant has this slug."""

    code = "slug_taken"


translate_constraint("tenants_slug_unique", SlugTaken)
