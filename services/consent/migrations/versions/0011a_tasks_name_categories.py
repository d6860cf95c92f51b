"""Which categories a stated task makes necessary."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0011a"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nobody could state a task before: the default is for no row, and goes."""
    op.add_column("statutory_basis", sa.Column("categories", ARRAY(sa.Text), nullable=False, server_default="{}"))
    op.alter_column("statutory_basis", "categories", server_default=None)
