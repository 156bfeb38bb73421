"""A user as a row of the table of memberships."""

from typing import Any, Final

from bellbird.features.users.models import User

READ: Final = """id, email, name, role, visibility, team_ids, invited_until, joined_at, disabled_at,
  version, created_at, updated_at"""


def from_row(row: tuple[Any, ...]) -> User:
    """A row of READ as a user."""
    id, email, name, role, visibility, team_ids, *rest = row
    return User(id, email, name, role, visibility, tuple(team_ids), *rest)
