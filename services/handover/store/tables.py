"""The tables of the handover service."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData()
_instant = sa.DateTime(timezone=True)

handovers = sa.Table(
    "handover",
    metadata,
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
    sa.Column("preview", JSONB(none_as_null=True)),
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
    sa.Column("drafted_at", _instant),
    sa.Column("changed_at", _instant),
    sa.Column("requested_at", _instant),
    sa.Column("accepted_at", _instant),
    sa.Column("met_at", _instant),
    sa.Column("ended_at", _instant),
    sa.Index("handover_case", "case"),
    sa.Index("handover_listed", "side", "state", "id"),
    sa.Index("handover_stuck", "id", postgresql_where=sa.text("struck <> '{}' OR awaits_word")),
)

known_cases = sa.Table(
    "known_case",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("person", sa.Uuid),
    sa.Column("phase", sa.SmallInteger),
    sa.Column("age_band", sa.Text),
    sa.Column("needs", ARRAY(sa.Text), nullable=False),
)
