"""What can be wrong with a tenant. The tenant itself is the engine's (core/tenants.py): every transaction needs it."""

from bellbird.core.errors import Conflict, describe_faults, translate_constraint


class SlugTaken(Conflict):
    """Another tenant has this slug."""

    code = "slug_taken"


translate_constraint("tenants_slug_unique", SlugTaken)

describe_faults({
    "slug_invalid": "The slug is not made of small letters, digits and hyphens.",
    "unknown_setting": "A tenant has no setting of this name.",
})  # fmt: skip
