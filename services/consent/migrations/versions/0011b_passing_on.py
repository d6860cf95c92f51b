"""What was passed on: which item a line of the ledger had been, what a duty is about, and what was said of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0011b"
down_revision = "0011a"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Defaults stay for this version: a process of the one before still writes rows without these columns."""
    op.add_column("ledger", sa.Column("source_item", sa.Uuid))
    op.add_column("duty", sa.Column("items", ARRAY(sa.Uuid), nullable=False, server_default="{}"))
    op.add_column("duty", sa.Column("passed_on", JSONB, nullable=False, server_default="[]"))
    op.add_column("duty", sa.Column("said", sa.Text, nullable=False, server_default="nothing"))
