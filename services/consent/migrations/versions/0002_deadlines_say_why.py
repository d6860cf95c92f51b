"""Deadlines that cannot fire say what they wait for."""

from alembic import op

from chassis.database import chassis_tables

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0002"):
        op.execute(statement)
