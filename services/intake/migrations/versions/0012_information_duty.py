"""Who was told of what had come from elsewhere, when and how; or why nobody had to be."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

OWED = "stored_at IS NOT NULL AND information_at IS NULL"


def upgrade() -> None:
    """Whatever was stored before is owed, too: nobody has recorded that it was told."""
    op.add_column("received_release", sa.Column("information_at", sa.DateTime(timezone=True)))
    for name in ("by", "channel", "exemption", "why"):
        op.add_column("received_release", sa.Column(f"information_{name}", sa.Text))
    op.create_index("received_release_owed", "received_release", ["stored_at"], postgresql_where=sa.text(OWED))
