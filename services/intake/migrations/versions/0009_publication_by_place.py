"""What was published, found by where it lies."""

from alembic import op

from chassis.database import chassis_tables

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0009"):
        op.execute(statement)
