"""The chassis' tables, and everything about cases."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from chassis.database import chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create everything."""
    for statement in chassis_tables("0001"):
        op.execute(statement)
    op.create_table(
        "case",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("sphere", sa.Text),
        sa.Column("person", sa.Uuid, unique=True),
        sa.Column("local_number", sa.Text, unique=True),
        sa.Column("handover", sa.Uuid),
        sa.Column("sender", sa.Text),
        sa.Column("alliance", sa.Text),
        sa.Column("leads", sa.Boolean, nullable=False),
        sa.Column("phase", sa.SmallInteger),
        sa.Column("phase_source", sa.Text),
        sa.Column("school", JSONB(none_as_null=True)),
        sa.Column("age_band", sa.Text),
        sa.Column("no_needs", sa.Boolean, nullable=False),
        sa.Column("target_groups", ARRAY(sa.Text), nullable=False),
        sa.Column("contact_person", sa.Text),
        sa.Column("pause_reason", sa.Text),
        sa.Column("review_on", sa.Date),
        sa.Column("competence_area", sa.Text),
        sa.Column("destination", sa.Text),
        sa.Column("reopen_reason", sa.Text),
        sa.Column("opened_at", sa.DateTime(timezone=True)),
        sa.Column("closed_at", sa.DateTime(timezone=True)),
        sa.Column("dossier", sa.Text, nullable=False),
        sa.Column("dossier_reason", sa.Text),
        sa.Column("has_own", sa.Boolean, nullable=False),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("given_names", sa.Text, nullable=False),
        sa.Column("family_name", sa.Text, nullable=False),
        sa.Column("name_key", sa.Text, nullable=False),
        sa.Column("birth_date", sa.Date, nullable=False),
        sa.Column("gender", sa.Text),
        sa.Column("street", sa.Text),
        sa.Column("postcode", sa.Text),
        sa.Column("place", sa.Text),
        sa.Column("address_protected", sa.Boolean, nullable=False),
        sa.Column("phone", sa.Text),
        sa.Column("mail", sa.Text),
        sa.Column("contact_preference", sa.Text),
        sa.Column("language", sa.Text),
        sa.Column("interpreter_needed", sa.Boolean, nullable=False),
        sa.Column("release", sa.Uuid),
    )
    op.create_table(
        "need",
        sa.Column("case", sa.Uuid, primary_key=True),
        sa.Column("code", sa.Text, primary_key=True),
        sa.Column("severity", sa.SmallInteger, nullable=False),
        sa.Column("entrusted", sa.Boolean, nullable=False),
        sa.Column("received", sa.Boolean, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "item",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("case", sa.Uuid),
        sa.Column("handover", sa.Uuid),
        sa.Column("category", sa.Text, nullable=False),
        sa.Column("part", sa.Text, nullable=False),
        sa.Column("entrusted", sa.Boolean, nullable=False),
        sa.Column("special", sa.Boolean, nullable=False),
        sa.Column("professional_secret", sa.Boolean, nullable=False),
        sa.Column("entruster", sa.Text),
        sa.Column("collected_from", sa.Text, nullable=False),
        sa.Column("collection_basis", sa.Text),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("hash_key", sa.LargeBinary),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release", sa.Uuid),
        sa.Column("source_item", sa.Uuid),
        sa.Column("source_agency", sa.Text),
        sa.Column("purpose", sa.Text),
        sa.Column("bases", ARRAY(sa.Text)),
        sa.Column("received_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint('"case" IS NOT NULL OR handover IS NOT NULL', name="item_belongs"),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("case", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("place", sa.Text),
        sa.Column("reached", sa.Boolean, nullable=False),
    )
    op.create_table(
        "phase_change",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("case", sa.Uuid, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
    )
    op.create_table(
        "received_release",
        sa.Column("case", sa.Uuid, primary_key=True),
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("sender", sa.Text, nullable=False),
        sa.Column("items", sa.Integer, nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True)),
        sa.Column("erased_at", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "words",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("written", sa.Integer, nullable=False),
    )
    op.create_index("case_contact_person", "case", ["contact_person", "id"])
    op.create_index("person_duplicates", "person", ["birth_date", "name_key"])
    op.create_index("item_case", "item", ["case"])
    op.create_index("item_handover", "item", ["handover"])
    op.create_index("contact_case", "contact", ["case", "at"])
    op.create_index("phase_change_case", "phase_change", ["case", "id"])
