"""Since when a postponed deadline has been due."""

from alembic import op

from chassis.database import chassis_tables

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0011"):
        op.execute(statement)
