"""What people and auditors look at; read directly, without the executor."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.codes import AgeBand, ConsentState, Giver
from contracts.ids import PersonId
from services.consent.domain.consents import ADULT
from services.consent.domain.duties import OPEN
from services.consent.domain.words import (
    Consent,
    Duty,
    Notice,
    Person,
    PersonState,
    Reception,
    Restriction,
    Transmission,
    Waiver,
)
from services.consent.store.rows import (
    STATE_OF_DUTY,
    consent_of,
    duty_of,
    notice_of,
    or_none,
    reception_of,
    restriction_of,
    transmission_of,
    waiver_of,
)
from services.consent.store.tables import (
    consent,
    consent_grant,
    decision,
    decision_item,
    duty,
    ledger,
    notice,
    person,
    reception,
    release,
    restriction,
    statutory_basis,
    transmission,
    waiver,
)

ROWS_MAX = 200


async def notices(tx: AsyncConnection, language: str | None) -> list[Notice]:
    """Notice versions, newest first."""
    query = sa.select(notice).order_by(notice.c.valid_from.desc(), notice.c.id).limit(ROWS_MAX)
    if language is not None:
        query = query.where(notice.c.language == language)
    return [notice_of(row) for row in await tx.execute(query)]


async def notice_named(tx: AsyncConnection, wanted: UUID) -> Notice | None:
    """One notice version."""
    row = (await tx.execute(sa.select(notice).where(notice.c.id == wanted))).first()
    return None if row is None else notice_of(row)


async def person_known(tx: AsyncConnection, wanted: UUID) -> bool:
    """Whether anything is known of this person."""
    return (await tx.execute(sa.select(person.c.id).where(person.c.id == wanted))).first() is not None


async def person_named(tx: AsyncConnection, wanted: UUID) -> Person | None:
    """What is known of a person, without their parts."""
    row = (await tx.execute(sa.select(person).where(person.c.id == wanted))).first()
    if row is None:
        return None
    age = or_none(AgeBand, row.age_band)
    return Person(PersonId(row.id), row.version, PersonState(row.state), age, bool(row.insight_noted))


async def restrictions_of(tx: AsyncConnection, of: UUID) -> list[Restriction]:
    """What was ever forbidden for this person, oldest first."""
    query = sa.select(restriction).where(restriction.c.person == of).order_by(restriction.c.id).limit(ROWS_MAX)
    return [restriction_of(row) for row in await tx.execute(query)]


async def waivers_of(tx: AsyncConnection, of: UUID) -> list[Waiver]:
    """Who was ever released from confidentiality about this person, oldest first."""
    query = sa.select(waiver).where(waiver.c.person == of).order_by(waiver.c.id).limit(ROWS_MAX)
    return [waiver_of(row) for row in await tx.execute(query)]


async def renewals(tx: AsyncConnection, after: UUID | None, limit: int) -> Sequence[Any]:
    """A guardian's consents that stand, of those who may declare by now: as `to_be_renewed` has it, oldest first.

    `after`: only those after this consent.
    """
    with_insight = sa.and_(
        person.c.age_band == AgeBand.FROM_15_TO_17, sa.or_(person.c.insight_noted.is_(True), consent.c.insight)
    )
    query = (
        sa.select(
            consent.c.person, consent.c.id.label("consent"), person.c.age_band, consent.c.given_at
        )
        .join(person, person.c.id == consent.c.person)
        .where(
            consent.c.state == ConsentState.GIVEN, consent.c.giver == Giver.GUARDIAN,
            sa.or_(person.c.age_band.in_(sorted(ADULT)), with_insight),
        )
    )
    if after is not None:
        query = query.where(consent.c.id > after)
    return (await tx.execute(query.order_by(consent.c.id).limit(limit))).all()


async def expiring(tx: AsyncConnection, within_days: int, after: UUID | None, limit: int) -> Sequence[Any]:
    """Grants that stand and end within so many days, by the database's clock, the next first.

    `after`: only those after this grant, which may have ended itself meanwhile; one that is gone begins anew.
    """
    now = sa.func.statement_timestamp()  # one instant for all rows; the index is of no use to a clock that goes on
    query = (
        sa.select(
            consent_grant.c.person, consent_grant.c.consent, consent_grant.c.id.label("grant"),
            consent_grant.c.recipient, consent_grant.c.purpose, consent_grant.c.valid_until,
        )
        .join(consent, consent.c.id == consent_grant.c.consent)
        .where(
            consent.c.state == ConsentState.GIVEN, consent_grant.c.withdrawn_at.is_(None),
            consent_grant.c.valid_until > now, consent_grant.c.valid_until <= now + timedelta(days=within_days),
        )
    )
    if after is not None:
        last = consent_grant.alias()
        place = sa.select(last.c.valid_until, last.c.id).where(last.c.id == after).scalar_subquery()
        here = sa.tuple_(consent_grant.c.valid_until, consent_grant.c.id)
        query = query.where((here > place).is_not(sa.false()))
    return (await tx.execute(query.order_by(consent_grant.c.valid_until, consent_grant.c.id).limit(limit))).all()


async def consents_of(tx: AsyncConnection, of: UUID) -> list[Consent]:
    """A person's consents, in the order they were written down."""
    return await _consents(tx, consent.c.person == of)


async def consent_named(tx: AsyncConnection, wanted: UUID) -> tuple[UUID, Consent] | None:
    """One consent with whose it is."""
    found = await _consents(tx, consent.c.id == wanted)
    if not found:
        return None
    of = (await tx.execute(sa.select(consent.c.person).where(consent.c.id == wanted))).scalar_one()
    return of, found[0]


async def _consents(tx: AsyncConnection, which: sa.ColumnElement[bool]) -> list[Consent]:
    rows = (await tx.execute(sa.select(consent).where(which).order_by(consent.c.id).limit(ROWS_MAX))).all()
    granted = sa.select(consent_grant).where(consent_grant.c.consent.in_([row.id for row in rows]))
    grants = (await tx.execute(granted.order_by(consent_grant.c.id))).all()
    return [consent_of(row, grants) for row in rows]


async def transmission_of_handover(tx: AsyncConnection, handover: UUID) -> Transmission | None:
    """What is to go under this handover, and what was last decided about it."""
    row = (await tx.execute(sa.select(transmission).where(transmission.c.handover == handover))).first()
    if row is None:
        return None
    stated = await tx.execute(sa.select(statutory_basis).where(statutory_basis.c.transmission == row.id))
    return transmission_of(row, stated.all())


async def reception_of_handover(tx: AsyncConnection, handover: UUID) -> Reception | None:
    """What has come under this handover."""
    row = (await tx.execute(sa.select(reception).where(reception.c.id == handover))).first()
    return None if row is None else reception_of(row)


async def releases_of(tx: AsyncConnection, of: UUID) -> Sequence[Any]:
    """Who was told what about this person, and when: one row per item that left, newest release first."""
    query = (
        sa.select(release, ledger.c.item, ledger.c.category, ledger.c.hash, ledger.c.bases, ledger.c.received_by)
        .join(ledger, ledger.c.release == release.c.id)
        .where(release.c.person == of)
        .order_by(release.c.opened_at.desc(), release.c.id, ledger.c.item)
        .limit(ROWS_MAX * 10)
    )
    return (await tx.execute(query)).all()


async def note_of(tx: AsyncConnection, wanted: UUID) -> Any | None:
    """Everything that the note of one release says, in one row; None where there is no such release.

    `lines`: how many items of a category went on the same bases; `consents`: those the bases name; `tasks`: what was
    stated last for each norm when it left.
    """
    return (await tx.execute(_NOTE, {"release": wanted})).first()


_NOTE = sa.text("""
    SELECT one.id, one.handover, one.alliance, one.alliance_version, one.recipient, one.purpose, one.completeness,
        one.opened_at, one.closed_at, transmission."case",
        (SELECT jsonb_agg(line) FROM (
            SELECT category, bases, count(*) AS items, count(received_by) AS passed_on
            FROM ledger WHERE ledger.release = one.id GROUP BY category, bases ORDER BY category, bases
        ) AS line) AS lines,
        (SELECT jsonb_agg(given) FROM (
            SELECT consent.id, consent.given_at, consent.form, consent.giver FROM consent WHERE consent.id IN (
                SELECT CAST(basis->>'consent' AS uuid) FROM ledger, jsonb_array_elements(ledger.bases) AS basis
                WHERE ledger.release = one.id
            )
        ) AS given) AS consents,
        (SELECT jsonb_agg(said) FROM (
            SELECT DISTINCT ON (norm) norm, categories, necessity, not_endangering, stated_at FROM statutory_basis
            WHERE statutory_basis.transmission = one.transmission AND stated_at <= one.opened_at
            ORDER BY norm, stated_at DESC, statutory_basis.id DESC
        ) AS said) AS tasks
    FROM release AS one LEFT JOIN transmission ON transmission.id = one.transmission
    WHERE one.id = :release
""").bindparams(sa.bindparam("release", type_=sa.Uuid)).columns(lines=JSONB, consents=JSONB, tasks=JSONB)


async def duties(tx: AsyncConnection, states: Sequence[str], *, overdue: bool) -> list[Duty]:
    """Duties in these states (all, where none is named), the most urgent first."""
    query = sa.select(duty).order_by(duty.c.answer_by, duty.c.id).limit(ROWS_MAX)
    if states:
        query = query.where(STATE_OF_DUTY.in_(states))
    if overdue:
        query = query.where(
            duty.c.answered_at.is_(None), duty.c.answer_by < sa.func.clock_timestamp(), duty.c.state.in_(OPEN)
        )
    return [duty_of(row) for row in await tx.execute(query)]


async def timeline(tx: AsyncConnection, handover: UUID) -> list[tuple[datetime, str, UUID, str]]:
    """What happened here about a handover: (when, what, id of it, in which words), oldest first."""
    permits = sa.func.count().filter(decision_item.c.verdict == "permit")
    decided = (
        sa.select(decision.c.at, sa.literal("decided"), decision.c.id,
                  sa.cast(permits, sa.Text) + "/" + sa.cast(sa.func.count(), sa.Text))
        .join(transmission, transmission.c.id == decision.c.transmission)
        .join(decision_item, decision_item.c.decision == decision.c.id)
        .where(transmission.c.handover == handover)
        .group_by(decision.c.id)
    )
    opened = sa.select(release.c.opened_at, sa.literal("release_opened"), release.c.id,
                       sa.cast(release.c["items"], sa.Text)).where(release.c.handover == handover)
    closed = sa.select(release.c.closed_at, sa.literal("release_closed"), release.c.id,
                       release.c.completeness).where(release.c.handover == handover, release.c.closed_at.is_not(None))
    answered = sa.select(duty.c.answered_at, sa.literal("duty_answered"), duty.c.id,
                         duty.c.answer).where(duty.c.handover == handover, duty.c.answered_at.is_not(None))
    rows = await tx.execute(sa.union_all(decided, opened, closed, answered))
    return sorted((row[0], row[1], row[2], row[3]) for row in rows)
