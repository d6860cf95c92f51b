"""What was skipped and by whom, and when the consumer was stopped."""

from alembic import op

from chassis.database import chassis_tables

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0005"):
        op.execute(statement)
