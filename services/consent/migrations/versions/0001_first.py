"""The chassis' tables, and what consent remembers."""

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
    _people_and_consents()
    _transmissions()
    _releases_and_duties()


def _people_and_consents() -> None:
    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("plain_language", sa.Boolean, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("valid_from", MOMENT, nullable=False),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("age_band", sa.Text),
    )
    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("giver", sa.Text, nullable=False),
        sa.Column("insight", sa.Boolean, nullable=False),
        sa.Column("young_person_heard", sa.Boolean, nullable=False),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("notice", sa.Uuid, nullable=False),
        sa.Column("given_at", MOMENT),
        sa.Column("ended_at", MOMENT),
        sa.Column("invalid_because", sa.Text),
    )
    op.create_index("consent_person", "consent", ["person"])
    op.create_table(
        "consent_grant",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("consent", sa.Uuid, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("categories", ARRAY(sa.Text), nullable=False),
        sa.Column("entrusted_included", sa.Boolean, nullable=False),
        sa.Column("valid_from", MOMENT, nullable=False),
        sa.Column("valid_until", MOMENT, nullable=False),
        sa.Column("withdrawn_at", MOMENT),
    )
    op.create_index("consent_grant_person", "consent_grant", ["person"])
    op.create_table(
        "withdrawal_intent",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("consent", sa.Uuid, nullable=False),
        sa.Column("grants", ARRAY(sa.Uuid)),
        sa.Column("intended_at", MOMENT, nullable=False),
    )
    op.create_index("withdrawal_intent_person", "withdrawal_intent", ["person"])


def _transmissions() -> None:
    op.create_table(
        "transmission",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("handover", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("case", sa.Uuid, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("proposal", sa.Uuid, nullable=False),
        sa.Column("asked", ARRAY(sa.Uuid), nullable=False),
        sa.Column("items", JSONB, nullable=False),
        sa.Column("verdicts", JSONB, nullable=False),
        sa.Column("handover_state", sa.Text),
        sa.Column("recorded", sa.Text),
        sa.Column("stored", ARRAY(sa.Uuid), nullable=False),
    )
    op.create_index("transmission_handover", "transmission", ["handover"], unique=True)
    op.create_index("transmission_person", "transmission", ["person"])
    op.create_table(
        "statutory_basis",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("transmission", sa.Uuid, nullable=False),
        sa.Column("norm", sa.Text, nullable=False),
        sa.Column("necessity", sa.Text, nullable=False),
        sa.Column("not_endangering", sa.Boolean, nullable=False),
        sa.Column("stated_by", sa.Text, nullable=False),
        sa.Column("stated_at", MOMENT, nullable=False),
    )
    op.create_index("statutory_basis_person", "statutory_basis", ["person"])
    op.create_table(
        "restriction",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("categories", ARRAY(sa.Text), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
    )
    op.create_index("restriction_person", "restriction", ["person"])
    op.create_table(
        "decision",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("transmission", sa.Uuid, nullable=False),
        sa.Column("release", sa.Uuid),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("alliance_version", sa.Integer, nullable=False),
    )
    op.create_index("decision_transmission", "decision", ["transmission"])
    op.create_table(
        "decision_item",
        sa.Column("decision", sa.Uuid, primary_key=True),
        sa.Column("item", sa.Uuid, primary_key=True),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("bases", JSONB, nullable=False),
    )


def _releases_and_duties() -> None:
    op.create_table(
        "release",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("handover", sa.Uuid, nullable=False),
        sa.Column("transmission", sa.Uuid, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("alliance_version", sa.Integer, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("purpose", sa.Text, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("completeness", sa.Text, nullable=False),
        sa.Column("opened_at", MOMENT, nullable=False),
        sa.Column("closed_at", MOMENT),
        sa.Column("told", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
    )
    op.create_index("release_handover", "release", ["handover"])
    op.create_index("release_person", "release", ["person"])
    op.create_index("release_untold", "release", ["id"], postgresql_where=sa.text("NOT told"))
    op.create_table(
        "ledger",
        sa.Column("release", sa.Uuid, primary_key=True),
        sa.Column("item", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("bases", JSONB, nullable=False),
        sa.Column("received_by", sa.Uuid),
    )
    op.create_index("ledger_person", "ledger", ["person"])
    op.create_table(
        "reception",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("handover_state", sa.Text),
        sa.Column("recorded", sa.Text),
        sa.Column("stored", JSONB, nullable=False),
    )
    op.create_index("reception_person", "reception", ["person"])
    op.create_table(
        "duty",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("person", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("side", sa.Text, nullable=False),
        sa.Column("handover", sa.Uuid, nullable=False),
        sa.Column("counterpart", sa.Text, nullable=False),
        sa.Column("alliance", sa.Text, nullable=False),
        sa.Column("consent", sa.Uuid),
        sa.Column("releases", ARRAY(sa.Uuid), nullable=False),
        sa.Column("answer_by", MOMENT, nullable=False),
        sa.Column("answer", sa.Text),
        sa.Column("norm", sa.Text),
        sa.Column("answered_at", MOMENT),
    )
    op.create_index("duty_open", "duty", ["answer_by"], postgresql_where=sa.text("answered_at IS NULL"))
    op.create_index("duty_person", "duty", ["person"])
