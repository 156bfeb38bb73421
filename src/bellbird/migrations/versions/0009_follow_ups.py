"""Follow-ups, and what makes statistics of calls fast."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    statements: list[str] = []
    for statement in statements:
        op.execute(statement)
