"""For which reasons it was said of a guardian's consent that it is to be renewed."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """The default stays for this version: a process of the one before still writes rows without this column."""
    op.add_column("consent", sa.Column("renewals_said", ARRAY(sa.Text), nullable=False, server_default="{}"))
