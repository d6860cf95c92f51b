"""When a held lane is tried again, and where it failed first."""

from alembic import op

from chassis.database import chassis_tables

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change the chassis' tables."""
    for statement in chassis_tables("0004"):
        op.execute(statement)
