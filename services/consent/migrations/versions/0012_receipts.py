"""The codes of printed receipts, and when a form was handed out."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011b"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """When older forms were handed out nobody has written down."""
    op.add_column("consent", sa.Column("requested_at", MOMENT))
    op.create_table(
        "receipt_code",
        sa.Column("hash", sa.LargeBinary, primary_key=True),
        sa.Column("consent", sa.Uuid, nullable=False),
        sa.Column("printed_at", MOMENT, nullable=False),
    )
