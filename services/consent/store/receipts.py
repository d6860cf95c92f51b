"""What a receipt is made from, and the codes of those that were printed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import secret
from contracts.codes import Completeness, DataCategory, LegalBasis, Purpose
from contracts.ids import AgencyId, GrantId, PersonId, ReleaseId
from services.consent.domain.fallen import may_be_asked_back
from services.consent.domain.receipt_codes import code_of, hash_of, ticket_holds, ticket_of
from services.consent.domain.receipts import left
from services.consent.domain.words import Consent, Duty, Notice
from services.consent.store.persons import with_what_left
from services.consent.store.rows import duty_of, or_none
from services.consent.store.tables import duty, receipt_code
from services.consent.store.views import ROWS_MAX, consent_named, notice_named

SECRET: Final = "receipt"  # noqa: S105  # what it is called
SENT_MAX: Final = 50  # releases that one page shows; the next page shows those before


@dataclass(frozen=True, slots=True)
class Sent:
    """One time something left: to whom, when, for what, which categories, on which norms.

    None among the categories or the norms: of something that left so nobody knows it any more.
    """

    release: ReleaseId
    recipient: AgencyId
    at: datetime
    purpose: Purpose
    categories: tuple[DataCategory | None, ...]
    norms: tuple[LegalBasis | None, ...]
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class OnRecord:
    """One consent, whose it is, on which notice; and what became of it, as of the database's `now`.

    `sent`: some of what left, newest first; `older`: whether there is more before it. `to_be_asked`: the grants that
    are over, and by whose taking back somebody would have to answer none the less.
    """

    person: PersonId
    consent: Consent
    notice: Notice | None
    sent: tuple[Sent, ...]
    older: bool
    duties: tuple[Duty, ...]
    to_be_asked: frozenset[GrantId]
    now: datetime


async def on_record(tx: AsyncConnection, wanted: UUID, before: ReleaseId | None = None) -> OnRecord | None:
    """Everything that a receipt, or the page behind its code, says about this consent.

    `before`: of what left only what left earlier than by that release.
    """
    found = await consent_named(tx, wanted)
    if found is None:
        return None
    of, consent = found
    notice = None if consent.notice is None else await notice_named(tx, consent.notice)
    now = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    sent, duties = await _sent(tx, of, wanted, before), await _duties(tx, of, wanted)
    stands = consent.given_at is None or left(consent, now) == consent.grants
    asked = frozenset() if stands else may_be_asked_back(await with_what_left(tx, of), consent, now)
    return OnRecord(PersonId(of), consent, notice, sent[:SENT_MAX], len(sent) > SENT_MAX, duties, asked, now)


async def _sent(tx: AsyncConnection, of: UUID, consent: UUID, before: ReleaseId | None) -> tuple[Sent, ...]:
    """What left on this consent, or may have, newest first; one more than a page shows."""
    asked = {
        "person": of, "consent": consent, "basis": [{"consent": str(consent)}], "before": before, "most": SENT_MAX + 1,
    }
    return tuple(_one(row) for row in await tx.execute(_SENT, asked))


# Of a line without a basis nobody knows any more on what it left (`store.rows.found_lines`). Only a grant to the same
# recipient for the same purpose can have been it.
_SENT = sa.text("""
    SELECT one.id, one.recipient, one.opened_at, one.purpose, one.completeness,
        array_agg(DISTINCT line.category) AS categories, array_agg(DISTINCT basis->>'norm') AS norms
    FROM ledger AS line
    JOIN release AS one ON one.id = line.release
    LEFT JOIN LATERAL jsonb_array_elements(line.bases) AS basis ON true
    WHERE line.person = :person
        AND (line.bases @> :basis OR line.bases = '[]' AND EXISTS (
            SELECT FROM consent_grant AS granted WHERE granted.consent = :consent
            AND granted.recipient = one.recipient AND granted.purpose = one.purpose
        ))
        AND ((one.opened_at, one.id)
            < (SELECT opened_at, id FROM release WHERE release.id = :before AND person = :person)) IS NOT FALSE
    GROUP BY one.id
    ORDER BY one.opened_at DESC, one.id DESC LIMIT :most
""").bindparams(
    sa.bindparam("person", type_=sa.Uuid), sa.bindparam("consent", type_=sa.Uuid),
    sa.bindparam("basis", type_=JSONB), sa.bindparam("before", type_=sa.Uuid),
)  # fmt: skip


def _one(row: Any) -> Sent:
    return Sent(
        ReleaseId(row.id), AgencyId(row.recipient), row.opened_at, Purpose(row.purpose),
        tuple(or_none(DataCategory, each) for each in row.categories),
        tuple(or_none(LegalBasis, each) for each in row.norms), Completeness(row.completeness),
    )


async def _duties(tx: AsyncConnection, of: UUID, consent: UUID) -> tuple[Duty, ...]:
    """The answers that its withdrawal has asked for, the most urgent first."""
    mine = sa.select(duty).where(duty.c.person == of, duty.c.consent == consent)
    query = mine.order_by(duty.c.answer_by, duty.c.id).limit(ROWS_MAX)
    return tuple(duty_of(row) for row in await tx.execute(query))


# --- codes ------------------------------------------------------------------------------------------------------------


async def code_for_print(tx: AsyncConnection, consent: UUID) -> str:
    """The code of this consent's receipt; it opens something from now on."""
    key = await secret(tx, SECRET)
    code = code_of(key, consent)
    printed = {"hash": hash_of(key, code), "consent": consent, "printed_at": sa.func.clock_timestamp()}
    await tx.execute(pg_insert(receipt_code).values(**printed).on_conflict_do_nothing())
    return code


async def consent_of_code(tx: AsyncConnection, typed: str) -> UUID | None:
    """Whose receipt has this code; None for what nobody has printed, be it a code or not."""
    wanted = hash_of(await secret(tx, SECRET), typed)
    query = sa.select(receipt_code.c.consent).where(receipt_code.c.hash == wanted)
    return (await tx.execute(query)).scalar_one_or_none()


async def ticket_for(tx: AsyncConnection, typed: str, now: datetime) -> str:
    """That this code was right; asked for only where it was."""
    return ticket_of(await secret(tx, SECRET), typed, now)


async def was_right(tx: AsyncConnection, typed: str, ticket: str, now: datetime) -> bool:
    """Whether this ticket says so of this code."""
    return ticket_holds(await secret(tx, SECRET), typed, ticket, now)
