"""The tables of the intake service; personal data of an agency live in these and, as consents, in consent's."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData()
_instant = sa.DateTime(timezone=True)
ALONE_ON_31A = "bases <@ ARRAY['sgb_iii_31a'] AND bases <> '{}'"  # as `limits.rests_on_31a` says it

cases = sa.Table(
    "case",
    metadata,
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
    sa.Column("opened_at", _instant),
    sa.Column("closed_at", _instant),
    sa.Column("dossier", sa.Text, nullable=False),
    sa.Column("dossier_reason", sa.Text),
    sa.Column("has_own", sa.Boolean, nullable=False),
    sa.Column("known_at", _instant),  # NULL: since it was opened
    # § 36(1) SGB I: when the guardian was informed and how, or why not; all NULL: where it is owed, it still is.
    sa.Column("guardian_at", _instant),
    sa.Column("guardian_by", sa.Text),
    sa.Column("guardian_channel", sa.Text),
    sa.Column("guardian_why", sa.Text),
    sa.Index("case_contact_person", "contact_person", "id"),
)

persons = sa.Table(
    "person",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("given_names", sa.Text, nullable=False),
    sa.Column("family_name", sa.Text, nullable=False),
    sa.Column("name_key", sa.Text, nullable=False),  # for the warning of duplicates
    sa.Column("birth_date", sa.Date, nullable=False),
    sa.Column("gender", sa.Text),
    sa.Column("street", sa.Text),
    sa.Column("postcode", sa.Text),
    sa.Column("place", sa.Text),
    sa.Column("address_protected", sa.Boolean, nullable=False),  # § 51 BMG
    sa.Column("phone", sa.Text),
    sa.Column("mail", sa.Text),
    sa.Column("contact_preference", sa.Text),
    sa.Column("language", sa.Text),
    sa.Column("interpreter_needed", sa.Boolean, nullable=False),
    sa.Column("release", sa.Uuid),  # set where all of it came with a dossier
    sa.Index("person_duplicates", "birth_date", "name_key"),
)

needs = sa.Table(
    "need",
    metadata,
    sa.Column("case", sa.Uuid, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("severity", sa.SmallInteger, nullable=False),
    sa.Column("entrusted", sa.Boolean, nullable=False),
    sa.Column("received", sa.Boolean, nullable=False),
    sa.Column("recorded_at", _instant, nullable=False),
)

items = sa.Table(
    "item",
    metadata,
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
    sa.Column("recorded_at", _instant, nullable=False),
    sa.Column("release", sa.Uuid),
    sa.Column("source_item", sa.Uuid),
    sa.Column("source_agency", sa.Text),
    sa.Column("purpose", sa.Text),
    sa.Column("bases", ARRAY(sa.Text)),
    sa.Column("received_at", _instant),
    sa.CheckConstraint('"case" IS NOT NULL OR handover IS NOT NULL', name="item_belongs"),
    sa.Index("item_case", "case"),
    sa.Index("item_handover", "handover"),
    sa.Index("item_time_limit", "case", postgresql_where=sa.text(ALONE_ON_31A)),
)

contacts = sa.Table(
    "contact",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("case", sa.Uuid, nullable=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("place", sa.Text),
    sa.Column("reached", sa.Boolean, nullable=False),
    sa.Index("contact_case", "case", "at"),
)

phase_changes = sa.Table(
    "phase_change",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("case", sa.Uuid, nullable=False),
    sa.Column("at", _instant, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("phase", sa.SmallInteger, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Index("phase_change_case", "case", "id"),
)

releases = sa.Table(
    "received_release",
    metadata,
    sa.Column("case", sa.Uuid, primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("sender", sa.Text, nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("stored_at", _instant),  # NULL: its erasure was demanded before it came
    sa.Column("erased_at", _instant),
    # Art. 14 GDPR: when the person was told of it and how, or on which ground and why not; all NULL: it is still owed.
    sa.Column("information_at", _instant),
    sa.Column("information_by", sa.Text),
    sa.Column("information_channel", sa.Text),
    sa.Column("information_exemption", sa.Text),
    sa.Column("information_why", sa.Text),
    sa.Index(
        "received_release_owed",
        "stored_at",
        postgresql_where=sa.text("stored_at IS NOT NULL AND information_at IS NULL"),
    ),
)

words_written = sa.Table(
    "words",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("written", sa.Integer, nullable=False),
)
