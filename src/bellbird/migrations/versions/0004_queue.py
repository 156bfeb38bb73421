"""The queue: Procrastinate's own schema, and the one way in which a tenant's transaction defers a job."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    statements: list[str] = []
    for statement in statements:
        op.execute(statement)
