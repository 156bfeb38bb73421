"""Consents, opt-outs, washes and dial decisions."""

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    statements: list[str] = []
    for statement in statements:
        op.execute(statement)
