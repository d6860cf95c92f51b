"""The rows behind the door and behind a withdrawal (`models/Lease.tla`): intents, leases, the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import among, insert
from contracts.codes import Completeness, DataCategory, Side
from contracts.ids import AgencyId, ItemId, PersonId, ReleaseId
from services.consent.domain import LOOK_AGAIN
from services.consent.domain.duties import OPEN, REMIND_BEFORE
from services.consent.domain.words import Basis, DutySaid, Transmission
from services.consent.store.rows import bases_kept, kept_state, transmission_of
from services.consent.store.tables import (
    IDS,
    consent,
    consent_grant,
    forbidding_intent,
    ledger,
    person,
    release,
    restriction,
    transmission,
    withdrawal_intent,
)

SWEPT_MAX = 10_000  # looked at in one round: far more than can fail again and again, and hold up what comes after
LOCK_WAIT = "1s"  # a release would rather be refused than wait: its time is running


@dataclass(frozen=True, slots=True)
class Line:
    """One item that is to go, as it will stand in the ledger."""

    item: ItemId
    category: DataCategory
    hash: str
    bases: tuple[Basis, ...]
    received_by: ReleaseId | None
    source_item: ItemId | None


@dataclass(frozen=True, slots=True)
class Lease:
    """A release about to be opened."""

    id: ReleaseId
    person: PersonId
    transmission: Transmission
    alliance_version: int
    completeness: Completeness
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Intent:
    """A withdrawal that was written down; `grants` None: of the whole consent."""

    id: UUID
    person: UUID
    consent: UUID
    grants: tuple[UUID, ...] | None


# --- withdrawal -------------------------------------------------------------------------------------------------------


async def intend_withdrawal(
    tx: AsyncConnection, intent: UUID, of: UUID, wanted: UUID, grants: Sequence[UUID] | None
) -> None:
    """Write down that this consent (or these grants of it) is being withdrawn; nothing where it has ended already.

    Nor where one of the grants is not of this consent: such a withdrawal is going to be refused, and what is written
    down here will be carried out.
    """
    own = sa.select(consent_grant.c.id).where(consent_grant.c.consent == wanted)
    named = sa.literal(list(grants or ()), IDS)
    given = sa.select(
        sa.literal(intent), consent.c.person, consent.c.id,
        sa.literal(None if grants is None else list(grants), withdrawal_intent.c.grants.type),
        sa.func.clock_timestamp(),
    ).where(consent.c.id == wanted, consent.c.person == of, consent.c.state.in_(["requested", "given"]),
            named.op("<@")(sa.func.array(own.scalar_subquery())))
    await tx.execute(sa.insert(withdrawal_intent).from_select(list(withdrawal_intent.c.keys()), given))


async def intend_restriction(tx: AsyncConnection, intent: UUID, of: UUID, recipient: AgencyId | None) -> None:
    """Write down that something is being forbidden toward this recipient, or everybody; of nobody who is not known."""
    await _intend(tx, sa.select(
        sa.literal(intent), person.c.id, sa.literal(recipient, sa.Text), sa.func.clock_timestamp()
    ).where(person.c.id == of))


async def intend_clearance_end(
    tx: AsyncConnection, intent: UUID, of: UUID, wanted: UUID, grants: Sequence[UUID]
) -> None:
    """Write down that clearances of these grants are being taken back; of several recipients toward everybody."""
    one = sa.case((sa.func.count(consent_grant.c.recipient.distinct()) == 1, sa.func.min(consent_grant.c.recipient)))
    await _intend(tx, sa.select(
        sa.literal(intent), consent_grant.c.person, one, sa.func.clock_timestamp()
    ).where(
        consent_grant.c.consent == wanted, consent_grant.c.person == of, among(consent_grant.c.id, grants),
        consent_grant.c.cleared_by.is_not(None), consent_grant.c.clearance_ended_at.is_(None),
    ).group_by(consent_grant.c.person))


async def _intend(tx: AsyncConnection, row: sa.Select[Any]) -> None:
    into = pg_insert(forbidding_intent).from_select(list(forbidding_intent.c.keys()), row)
    await tx.execute(into.on_conflict_do_nothing())


async def forbidding(tx: AsyncConnection) -> Sequence[UUID]:
    """All intents of that kind, oldest first."""
    query = sa.select(forbidding_intent.c.id).order_by(forbidding_intent.c.intended_at).limit(SWEPT_MAX)
    return (await tx.execute(query)).scalars().all()


async def forget_forbidding(tx: AsyncConnection, wanted: Sequence[UUID]) -> None:
    """It is forbidden by now, or was refused, or its process died: readers may come again."""
    await tx.execute(sa.delete(forbidding_intent).where(among(forbidding_intent.c.id, wanted)))


async def leases_open(tx: AsyncConnection, wanted: UUID) -> bool:
    """Whether any release about the person of this consent may still be writing."""
    query = sa.select(release.c.id).join(consent, consent.c.person == release.c.person)
    open_one = query.where(consent.c.id == wanted, release.c.closed_at.is_(None)).limit(1)
    return (await tx.execute(open_one)).first() is not None


async def leases_open_despite(tx: AsyncConnection, wanted: UUID) -> bool:
    """The same of the person for whom this was forbidden."""
    query = sa.select(release.c.id).join(restriction, restriction.c.person == release.c.person)
    open_one = query.where(restriction.c.id == wanted, release.c.closed_at.is_(None)).limit(1)
    return (await tx.execute(open_one)).first() is not None


async def intents(tx: AsyncConnection) -> Sequence[Intent]:
    """Withdrawals that are written down and not carried out yet, oldest first."""
    rows = await tx.execute(sa.select(withdrawal_intent).order_by(withdrawal_intent.c.id).limit(SWEPT_MAX))
    return [Intent(row.id, row.person, row.consent, None if row.grants is None else tuple(row.grants)) for row in rows]


async def intended_age(tx: AsyncConnection) -> float:
    """How long the oldest of these has waited, in seconds; 0 where there is none."""
    return await _age(tx, sa.select(sa.func.min(withdrawal_intent.c.intended_at)))


async def unminded(tx: AsyncConnection) -> Sequence[UUID]:
    """Persons of whom an answer is open that no clock will speak of in time, as `next_word_at` has it.

    A process of the version before minds no answers, and sets the clock without them.
    """
    return (await tx.execute(_UNMINDED, {"most": SWEPT_MAX})).scalars().all()


_UNMINDED = sa.text(f"""
    SELECT DISTINCT person FROM duty
    WHERE answered_at IS NULL AND said <> '{DutySaid.OVERDUE}'
      AND state IN {tuple(sorted({str(kept_state(state)) for state in OPEN}))}
      AND NOT EXISTS (
        SELECT FROM deadline
        WHERE kind = '{LOOK_AGAIN}' AND subject = duty.person AND due_at <= greatest(statement_timestamp(), CASE
            WHEN side = '{Side.RECEIVER}' AND said = '{DutySaid.NOTHING}'
             AND answer_by - interval '{REMIND_BEFORE.days} days' > statement_timestamp()
            THEN answer_by - interval '{REMIND_BEFORE.days} days' ELSE answer_by END)
      )
    ORDER BY person LIMIT :most
""")  # noqa: S608  # put together from the constants above


# --- release ----------------------------------------------------------------------------------------------------------


async def claimed(tx: AsyncConnection, handover: UUID) -> tuple[PersonId, Transmission] | None:
    """Whose data a claim is about and what was proposed; only for asking around, decided is under the lock."""
    row = (await tx.execute(sa.select(transmission).where(transmission.c.handover == handover))).first()
    return None if row is None else (PersonId(row.person), transmission_of(row, ()))


async def being_withdrawn(tx: AsyncConnection, of: UUID, recipient: AgencyId) -> bool:
    """Whether a withdrawal is under way that concerns this recipient: readers stay out of its way."""
    query = (
        sa.select(withdrawal_intent.c.id)
        .join(consent, sa.and_(consent.c.id == withdrawal_intent.c.consent, consent.c.state == "given"))
        .join(consent_grant, consent_grant.c.consent == consent.c.id)
        .where(
            withdrawal_intent.c.person == of,
            consent_grant.c.recipient == recipient,
            consent_grant.c.withdrawn_at.is_(None),
            sa.or_(withdrawal_intent.c.grants.is_(None), consent_grant.c.id == sa.any_(withdrawal_intent.c.grants)),
        )
        .limit(1)
    )
    return (await tx.execute(query)).first() is not None


async def being_forbidden(tx: AsyncConnection, of: UUID, recipient: AgencyId) -> bool:
    """The same of a restriction, or of the end of a clearance."""
    toward = sa.or_(forbidding_intent.c.recipient.is_(None), forbidding_intent.c.recipient == recipient)
    query = sa.select(forbidding_intent.c.id).where(forbidding_intent.c.person == of, toward).limit(1)
    return (await tx.execute(query)).first() is not None


async def hold_person(tx: AsyncConnection, of: UUID) -> datetime:
    """Lock the row that every withdrawal changes, shared with other releases; the time is the database's, afterwards.

    Nothing weaker closes the race: plain reads, serializable transactions and conditional inserts let releases through
    that became effective after the withdrawal was answered. Raises when the lock is not had within `LOCK_WAIT`.
    """
    await tx.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_WAIT}'"))
    await tx.execute(sa.select(person.c.id).where(person.c.id == of).with_for_update(read=True))
    now: datetime = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    return now


async def open_lease(tx: AsyncConnection, lease: Lease, now: datetime) -> None:
    """The release and its lines of the ledger: committed before the first byte leaves."""
    of = lease.transmission
    await insert(tx, release, [{
        "id": lease.id, "person": lease.person, "handover": of.handover, "transmission": of.id,
        "alliance": of.alliance, "alliance_version": lease.alliance_version, "recipient": of.recipient,
        "purpose": of.purpose, "items": len(lease.lines), "completeness": lease.completeness, "opened_at": now,
        "closed_at": None, "told": False, "version": 1,
    }])
    await insert(tx, ledger, [
        {
            "release": lease.id, "item": line.item, "person": lease.person, "category": line.category,
            "hash": line.hash, "bases": bases_kept(line.bases), "received_by": line.received_by,
            "source_item": line.source_item,
        }
        for line in lease.lines
    ])


async def close_lease(tx: AsyncConnection, wanted: UUID, *, delivered: bool) -> None:
    """No byte of this release will leave any more; where not all have, how much arrived is unknown."""
    closed = sa.update(release).where(release.c.id == wanted, release.c.closed_at.is_(None))
    changes = {"closed_at": sa.func.clock_timestamp(), "version": release.c.version + 1}
    if not delivered:
        changes["completeness"] = sa.literal(Completeness.UNKNOWN.value)
    await tx.execute(closed.values(**changes))


async def untold(tx: AsyncConnection) -> Sequence[tuple[UUID, UUID]]:
    """Releases that nothing was said of yet: (release, person), oldest first."""
    query = sa.select(release.c.id, release.c.person).where(~release.c.told).order_by(release.c.id).limit(SWEPT_MAX)
    return [(row.id, row.person) for row in await tx.execute(query)]


async def untold_age(tx: AsyncConnection) -> float:
    """How long the oldest of these has waited, in seconds; 0 where there is none."""
    return await _age(tx, sa.select(sa.func.min(release.c.opened_at)).where(~release.c.told))


async def _age(tx: AsyncConnection, first: sa.Select[tuple[datetime]]) -> float:
    """By the database's clock, which has written the times."""
    since = sa.extract("epoch", sa.func.clock_timestamp() - first.scalar_subquery())
    return float((await tx.execute(sa.select(sa.func.coalesce(since, 0)))).scalar_one())
