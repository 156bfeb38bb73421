"""Operations: long work that shows how far it is, and goes on where it was."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    statements: list[str] = []
    for statement in statements:
        op.execute(statement)
