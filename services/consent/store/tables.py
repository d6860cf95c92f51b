"""The tables of the consent service; the first migration makes the same, and a test compares."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

ID, TEXT, INT, BOOL = sa.Uuid, sa.Text, sa.Integer, sa.Boolean
MOMENT, IDS, TEXTS = sa.DateTime(timezone=True), ARRAY(sa.Uuid), ARRAY(sa.Text)

metadata = sa.MetaData()


def _table(name: str, *columns: "sa.Column[Any] | sa.Index") -> sa.Table:
    return sa.Table(name, metadata, *columns)


def _key(name: str = "id") -> "sa.Column[Any]":
    return sa.Column(name, ID, primary_key=True)


def _column(name: str, kind: Any, *, null: bool = False, default: str | None = None) -> "sa.Column[Any]":
    """`default`: for a process of the version before, which writes rows without this column."""
    return sa.Column(name, kind, nullable=null, server_default=default)


notice = _table(
    "notice", _key(), _column("version", INT), _column("state", TEXT), _column("language", TEXT),
    _column("plain_language", BOOL), _column("text", TEXT), _column("sha256", TEXT), _column("valid_from", MOMENT),
)

person = _table(
    "person", _key(), _column("version", INT), _column("state", TEXT), _column("age_band", TEXT, null=True),
    _column("insight_noted", BOOL, null=True),
)

consent = _table(
    "consent", _key(), _column("person", ID), _column("version", INT), _column("state", TEXT), _column("giver", TEXT),
    _column("insight", BOOL), _column("young_person_heard", BOOL), _column("form", TEXT, null=True),
    _column("notice", ID, null=True),
    _column("given_at", MOMENT, null=True), _column("ended_at", MOMENT, null=True),
    _column("invalid_because", TEXT, null=True), _column("requested_at", MOMENT, null=True),
    _column("renewals_said", TEXTS, default="{}"),
    sa.Index("consent_person", "person"),
)

consent_grant = _table(
    "consent_grant", _key(), _column("person", ID), _column("consent", ID), _column("alliance", TEXT),
    _column("recipient", TEXT), _column("purpose", TEXT), _column("categories", TEXTS),
    _column("entrusted_included", BOOL), _column("valid_from", MOMENT), _column("valid_until", MOMENT),
    _column("withdrawn_at", MOMENT, null=True), _column("cleared_by", TEXT, null=True),
    _column("cleared_form", TEXT, null=True), _column("cleared_at", MOMENT, null=True),
    _column("clearance_ended_at", MOMENT, null=True), sa.Index("consent_grant_person", "person"),
    sa.Index("consent_grant_ends", "valid_until", postgresql_where=sa.text("withdrawn_at IS NULL")),
)

# The codes of printed receipts, as keyed hashes: whoever reads this table can open nothing with it.
receipt_code = _table(
    "receipt_code", sa.Column("hash", sa.LargeBinary, primary_key=True), _column("consent", ID),
    _column("printed_at", MOMENT),
)

# Written first and committed alone: from here on no new lease is opened on what it names (`grants` null: on all of it).
withdrawal_intent = _table(
    "withdrawal_intent", _key(), _column("person", ID), _column("consent", ID), _column("grants", IDS, null=True),
    _column("intended_at", MOMENT), sa.Index("withdrawal_intent_person", "person"),
)

# The same of a restriction that is being declared and of a clearance that is being taken back (`recipient` null: toward
# everybody). It keeps readers away and is not carried out: it may yet be refused, and whoever had no answer asks again.
forbidding_intent = _table(
    "forbidding_intent", _key(), _column("person", ID), _column("recipient", TEXT, null=True),
    _column("intended_at", MOMENT), sa.Index("forbidding_intent_person", "person"),
)

transmission = _table(
    "transmission", _key(), _column("person", ID), _column("handover", ID), _column("version", INT),
    _column("state", TEXT), _column("case", ID), _column("alliance", TEXT), _column("recipient", TEXT),
    _column("purpose", TEXT), _column("proposal", ID), _column("asked", IDS), _column("items", JSONB),
    _column("verdicts", JSONB), _column("handover_state", TEXT, null=True), _column("recorded", TEXT, null=True),
    _column("stored", IDS), sa.Index("transmission_person", "person"),
    sa.Index("transmission_handover", "handover", unique=True),
)

# A statutory task with its necessity, stated by a caseworker for one transmission; what a person or guardian forbids.
statutory_basis = _table(
    "statutory_basis", _key(), _column("person", ID), _column("transmission", ID), _column("norm", TEXT),
    _column("necessity", TEXT), _column("not_endangering", BOOL), _column("stated_by", TEXT),
    _column("stated_at", MOMENT), _column("categories", TEXTS), sa.Index("statutory_basis_person", "person"),
)
restriction = _table(
    "restriction", _key(), _column("person", ID), _column("recipient", TEXT, null=True), _column("categories", TEXTS),
    _column("since", MOMENT), _column("version", INT), _column("state", TEXT), _column("declared_by", TEXT),
    _column("form", TEXT, null=True), _column("ended_at", MOMENT, null=True), sa.Index("restriction_person", "person"),
)

# Who is freed to speak to whom is in words; no decision looks at it.
waiver = _table(
    "waiver", _key(), _column("person", ID), _column("version", INT), _column("state", TEXT), _column("holder", TEXT),
    _column("toward", TEXT), _column("giver", TEXT), _column("form", TEXT), _column("given_at", MOMENT),
    _column("ended_at", MOMENT, null=True), sa.Index("waiver_person", "person"),
)

# Append-only. `release` is set where the door decided.
decision = _table(
    "decision", _key(), _column("person", ID), _column("transmission", ID), _column("release", ID, null=True),
    _column("at", MOMENT), _column("alliance", TEXT), _column("alliance_version", INT),
    sa.Index("decision_transmission", "transmission"),
)
decision_item = _table(
    "decision_item", _key("decision"), _key("item"), _column("verdict", TEXT), _column("reason", TEXT),
    _column("bases", JSONB),
)

# The lease, and what is left of it: a release is committed before its first byte leaves, closed after its last.
release = _table(
    "release", _key(), _column("person", ID), _column("handover", ID), _column("transmission", ID),
    _column("alliance", TEXT), _column("alliance_version", INT), _column("recipient", TEXT), _column("purpose", TEXT),
    _column("items", INT), _column("completeness", TEXT), _column("opened_at", MOMENT),
    _column("closed_at", MOMENT, null=True), _column("told", BOOL), _column("version", INT),
    sa.Index("release_person", "person"), sa.Index("release_handover", "handover"),
    sa.Index("release_untold", "id", postgresql_where=sa.text("NOT told")),
)
# The ledger: who was told what, when, on which bases. `received_by`: the release by which it once came to us;
# `source_item`: the id it had there.
# Category and hash are null where a line is known from the release's fact alone.
ledger = _table(
    "ledger", _key("release"), _key("item"), _column("person", ID), _column("category", TEXT, null=True),
    _column("hash", TEXT, null=True),
    _column("bases", JSONB), _column("received_by", ID, null=True), _column("source_item", ID, null=True),
    sa.Index("ledger_person", "person"),
)

reception = _table(
    "reception", _key(), _column("person", ID), _column("version", INT), _column("state", TEXT),
    _column("sender", TEXT), _column("alliance", TEXT), _column("handover_state", TEXT, null=True),
    _column("recorded", TEXT, null=True), _column("stored", JSONB), sa.Index("reception_person", "person"),
)

duty = _table(
    "duty", _key(), _column("person", ID), _column("version", INT), _column("state", TEXT), _column("side", TEXT),
    _column("handover", ID), _column("counterpart", TEXT), _column("alliance", TEXT), _column("consent", ID, null=True),
    _column("releases", IDS), _column("answer_by", MOMENT), _column("answer", TEXT, null=True),
    _column("norm", TEXT, null=True), _column("answered_at", MOMENT, null=True), _column("items", IDS, default="{}"),
    _column("passed_on", JSONB, default="[]"), _column("said", TEXT, default="nothing"),
    sa.Index("duty_person", "person"),
    sa.Index("duty_open", "answer_by", postgresql_where=sa.text("answered_at IS NULL")),
)
