"""When a database was found older than what it had said."""

from alembic import op

from chassis.database import chassis_tables

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

UNKNOWABLE = {"consent": ("form", "notice"), "ledger": ("category", "hash")}  # on no topic


def upgrade() -> None:
    """Change the chassis' tables; let what only facts say be kept without what they do not say."""
    for statement in chassis_tables("0006"):
        op.execute(statement)
    for table, columns in UNKNOWABLE.items():
        for column in columns:
            op.alter_column(table, column, nullable=True)
