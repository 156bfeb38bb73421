"""A key as a row of the table."""

from typing import Any, Final

from bellbird.features.keys.models import ApiKey

READ: Final = "id, name, prefix, scopes, visibility, created_by, created_at, expires_at, last_used_at, revoked_at"


def from_row(row: tuple[Any, ...]) -> ApiKey:
    """A row of READ as a key."""
    id, name, prefix, scopes, *rest = row
    return ApiKey(id, name, prefix, tuple(scopes), *rest)
