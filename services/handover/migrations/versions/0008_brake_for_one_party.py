"""A brake for what one other party says."""

from alembic import op

from chassis.database import chassis_tables

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0008"):
        op.execute(statement)
