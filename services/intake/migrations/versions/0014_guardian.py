"""That the guardian of somebody of 15 to 17 was informed, or why not; and since when a birth date has been known."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Of an older case, and of one that an older process opens meanwhile, the day it was opened counts."""
    for name in ("known_at", "guardian_at"):
        op.add_column("case", sa.Column(name, sa.DateTime(timezone=True)))
    for name in ("by", "channel", "why"):
        op.add_column("case", sa.Column(f"guardian_{name}", sa.Text))
