"""Where hearing stands, in the service's own database."""

from alembic import op

from chassis.database import chassis_tables

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    for statement in chassis_tables("0003"):
        op.execute(statement)
