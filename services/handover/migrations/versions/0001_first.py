"""The chassis' tables, and what handover remembers."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.database import chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create everything."""
    for statement in chassis_tables("0001"):
        op.execute(statement)
    _handovers()
    _known_cases()


def _handovers() -> None:
    op.create_table(
        "handover",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("counterpart", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("urgency", sa.Text, nullable=False),
        sa.Column("competence_area", sa.Text, nullable=False),
        sa.Column("case", sa.Uuid),
        sa.Column("person", sa.Uuid),
        sa.Column("items", ARRAY(sa.Uuid), nullable=False),
        sa.Column("verdicts", JSONB, nullable=False),
        sa.Column("preview", JSONB),
        sa.Column("lead", sa.Boolean, nullable=False),
        sa.Column("recorded", sa.Text),
        sa.Column("awaits_word", sa.Boolean, nullable=False),
        sa.Column("holds_baton", sa.Boolean, nullable=False),
        sa.Column("asked", ARRAY(sa.Text), nullable=False),
        sa.Column("review_on", sa.Date),
        sa.Column("redirect_to", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("outcome", sa.Text),
        sa.Column("due", JSONB, nullable=False),
        sa.Column("struck", ARRAY(sa.Text), nullable=False),
        sa.Column("drafted_at", MOMENT),
        sa.Column("changed_at", MOMENT),
        sa.Column("requested_at", MOMENT),
        sa.Column("accepted_at", MOMENT),
        sa.Column("met_at", MOMENT),
        sa.Column("ended_at", MOMENT),
    )
    op.create_index("handover_case", "handover", ["case"])
    op.create_index("handover_listed", "handover", ["side", "state", "id"])
    op.create_index("handover_stuck", "handover", ["id"], postgresql_where=sa.text("struck <> '{}' OR awaits_word"))


def _known_cases() -> None:
    op.create_table(
        "known_case",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("person", sa.Uuid),
        sa.Column("phase", sa.SmallInteger),
        sa.Column("age_band", sa.Text),
        sa.Column("needs", ARRAY(sa.Text), nullable=False),
    )
