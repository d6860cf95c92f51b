"""Intents of what forbids in another way than a withdrawal."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A table of its own: a process of the version before would carry out what stands in the other one."""
    op.create_table(
        "forbidding_intent",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("intended_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("forbidding_intent_person", "forbidding_intent", ["person"])
