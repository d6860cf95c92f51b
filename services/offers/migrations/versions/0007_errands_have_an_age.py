"""Since when an errand has been under way."""

from alembic import op

from chassis.database import chassis_tables

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0007"):
        op.execute(statement)
