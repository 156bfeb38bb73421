"""The seals of the event log, and the months that it is kept in."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    statements: list[str] = []
    for statement in statements:
        op.execute(statement)
