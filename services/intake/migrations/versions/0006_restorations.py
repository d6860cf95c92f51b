"""When a database was found older than what it had said."""

from alembic import op

from chassis.database import chassis_tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0006"):
        op.execute(statement)
