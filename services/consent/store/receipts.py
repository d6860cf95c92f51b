"""What a receipt is made from, and the codes of those that were printed."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as pg_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import secret
from contracts.codes import Completeness, DataCategory, LegalBasis, Purpose
from contracts.ids import AgencyId, PersonId
from services.consent.domain.receipt_codes import code_of, hash_of
from services.consent.domain.words import Consent, Duty, Notice
from services.consent.store.rows import duty_of
from services.consent.store.tables import duty, ledger, receipt_code, release
from services.consent.store.views import ROWS_MAX, consent_named, notice_named

SECRET: Final = "receipt"  # noqa: S105  # what it is called
RELEASES_MAX: Final = 500  # lines of the ledger that one page shows


@dataclass(frozen=True, slots=True)
class Sent:
    """One time something left on this consent: to whom, when, for what, which categories, on which norms."""

    recipient: AgencyId
    at: datetime
    purpose: Purpose
    categories: tuple[DataCategory, ...]
    norms: tuple[LegalBasis, ...]
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class OnRecord:
    """One consent, whose it is, on which notice; and what became of it, as of the database's `now`."""

    person: PersonId
    consent: Consent
    notice: Notice | None
    sent: tuple[Sent, ...]
    duties: tuple[Duty, ...]
    now: datetime


async def on_record(tx: AsyncConnection, wanted: UUID) -> OnRecord | None:
    """Everything that a receipt, or the page behind its code, says about this consent."""
    found = await consent_named(tx, wanted)
    if found is None:
        return None
    of, consent = found
    notice = None if consent.notice is None else await notice_named(tx, consent.notice)
    now = (await tx.execute(sa.select(sa.func.clock_timestamp()))).scalar_one()
    sent, duties = await _sent(tx, of, wanted), await _duties(tx, of, wanted)
    return OnRecord(PersonId(of), consent, notice, sent, duties, now)


async def _sent(tx: AsyncConnection, of: UUID, consent: UUID) -> tuple[Sent, ...]:
    """What left on this consent, newest first; lines of one release together."""
    query = (
        sa.select(release, ledger.c.category, ledger.c.bases)
        .join(ledger, ledger.c.release == release.c.id)
        .where(ledger.c.person == of, ledger.c.bases.contains([{"consent": str(consent)}]))
        .order_by(release.c.opened_at.desc(), release.c.id, ledger.c.item)
        .limit(RELEASES_MAX)
    )
    together: dict[UUID, list[Any]] = {}
    for row in await tx.execute(query):
        together.setdefault(row.id, []).append(row)
    return tuple(_one(lines) for lines in together.values())


def _one(lines: list[Any]) -> Sent:
    first = lines[0]
    return Sent(
        AgencyId(first.recipient), first.opened_at, Purpose(first.purpose),
        tuple(sorted({DataCategory(line.category) for line in lines if line.category is not None})),
        tuple(sorted({LegalBasis(basis["norm"]) for basis in _bases(lines)})), Completeness(first.completeness),
    )


def _bases(lines: Iterable[Any]) -> Iterable[Any]:
    return (basis for line in lines for basis in line.bases)


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
