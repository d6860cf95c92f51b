"""Which process hears as which instance."""

from alembic import op

from chassis.database import chassis_tables

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0010"):
        op.execute(statement)
