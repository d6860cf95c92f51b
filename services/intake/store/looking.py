"""What views and own consent read: cases, items with their provenance, and what of them may leave."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import among
from contracts.calendar import day_of
from services.intake.domain import law
from services.intake.domain.case import State
from services.intake.domain.items import Part, may_leave
from services.intake.domain.limits import erase_at
from services.intake.domain.persons import Address
from services.intake.store.tables import ALONE_ON_31A, cases, contacts, items, needs, persons, releases

DUPLICATES_MAX: Final = 20  # more of the same name and day are a mistake of another kind
DERIVED_MAX: Final = 1000  # a case has hundreds of records at the most
CONTACTS_MAX: Final = 500  # the latest; older ones stay in the database

Row = dict[str, Any]
_LIST = sa.select(
    cases.c.id,
    cases.c.local_number,
    cases.c.state,
    cases.c.phase,
    cases.c.contact_person,
    persons.c.given_names,
    persons.c.family_name,
).select_from(cases.outerjoin(persons, persons.c.id == cases.c.person))


async def one(tx: AsyncConnection, case: UUID) -> Row | None:
    """A whole case as it is shown, with its person, its open needs, and cases that may be of the same person."""
    row = (await tx.execute(sa.select(cases).where(cases.c.id == case))).mappings().first()
    if row is None:
        return None
    person = (await tx.execute(sa.select(persons).where(persons.c.id == row["person"]))).mappings().first()
    open_needs = await tx.execute(sa.select(needs).where(needs.c.case == case).order_by(needs.c.code))
    return {
        **row,
        "person_id": row["person"],
        "person": None if person is None else dict(person),
        "needs": [dict(need) for need in open_needs.mappings()],
        "allowed": list(law.CASE.allowed(State(row["state"]))),
        "duplicates": [] if person is None else await _same_person(tx, case, person),
    }


async def _same_person(tx: AsyncConnection, case: UUID, person: sa.RowMapping) -> list[UUID]:
    statement = (
        sa.select(cases.c.id)
        .join(persons, persons.c.id == cases.c.person)
        .where(persons.c.birth_date == person["birth_date"], persons.c.name_key == person["name_key"])
        .where(cases.c.id != case)
        .order_by(cases.c.id)
        .limit(DUPLICATES_MAX)
    )
    return list((await tx.execute(statement)).scalars())


async def find(
    tx: AsyncConnection, wanted: Mapping[str, str | None], *, after: UUID | None, limit: int
) -> list[Row]:
    """Cases in which every column named has the value given (None: any), in the order of their ids, after that one."""
    conditions = [cases.c[name] == value for name, value in wanted.items() if value is not None]
    if after is not None:
        conditions.append(cases.c.id > after)
    rows = await tx.execute(_LIST.where(*conditions).order_by(cases.c.id).limit(limit))
    return [dict(row) for row in rows.mappings()]


async def items_of(tx: AsyncConnection, case: UUID) -> list[Row]:
    """Everything kept in a case."""
    rows = await tx.execute(sa.select(items).where(items.c.case == case).order_by(items.c.id))
    return [dict(row) for row in rows.mappings()]


async def contacts_of(tx: AsyncConnection, case: UUID) -> list[Row]:
    """The attempts to reach the young person, the latest first."""
    statement = sa.select(contacts).where(contacts.c.case == case).order_by(contacts.c.at.desc()).limit(CONTACTS_MAX)
    return [dict(row) for row in (await tx.execute(statement)).mappings()]


async def dossier_of(tx: AsyncConnection, case: UUID) -> Row | None:
    """State of the fetching, the releases that came, and how much of them is still here."""
    row = (await tx.execute(sa.select(cases.c.dossier, cases.c.dossier_reason).where(cases.c.id == case))).first()
    if row is None:
        return None
    came = await tx.execute(sa.select(releases).where(releases.c.case == case).order_by(releases.c.stored_at))
    kept = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(sa.func.octet_length(items.c.content)), 0))
    count, size = (await tx.execute(kept.where(items.c.case == case, items.c.release.is_not(None)))).one()
    limited = sa.select(sa.func.min(items.c.received_at)).where(items.c.case == case, sa.text(ALONE_ON_31A))
    first = (await tx.execute(limited)).scalar_one()
    return {
        "state": row.dossier,
        "reason": row.dossier_reason,
        "releases": [dict(release) for release in came.mappings()],
        "received_items": count,
        "received_bytes": size,
        "erased_by": None if first is None else day_of(erase_at(first)),
    }


async def derived_of(tx: AsyncConnection, case: UUID) -> list[Row]:
    """Own records of a case made since something came from another agency, the oldest first."""
    first = sa.select(sa.func.min(releases.c.stored_at)).where(releases.c.case == case)
    since, nothing = first.scalar_subquery(), sa.literal(None)
    own_items = sa.select(
        items.c.id.label("item"), items.c.category, sa.cast(nothing, sa.Text).label("need"), items.c.recorded_at
    ).where(items.c.case == case, items.c.release.is_(None), items.c.recorded_at >= since)
    own_needs = sa.select(
        sa.cast(nothing, sa.Uuid), sa.cast(nothing, sa.Text), needs.c.code, needs.c.recorded_at
    ).where(needs.c.case == case, ~needs.c.received, needs.c.recorded_at >= since)
    rows = await tx.execute(sa.union_all(own_items, own_needs).order_by("recorded_at").limit(DERIVED_MAX))
    return [dict(row) for row in rows.mappings()]


async def flags_of(tx: AsyncConnection, wanted: Sequence[UUID]) -> list[dict[str, JsonValue]]:
    """What the law asks of these items, and by which release they once came; those that may not leave are absent."""
    return [_flags(row) for row in await _leaving(tx, wanted)]


async def contents_of(tx: AsyncConnection, wanted: Sequence[UUID]) -> list[dict[str, JsonValue]]:
    """The same, with what they say and where it was collected."""
    return [
        _flags(row)
        | {
            "content": row.content,
            "collected_from": ":".join(filter(None, (row.collected_from, row.collection_basis))),
        }
        for row in await _leaving(tx, wanted)
    ]


def _flags(row: Any) -> dict[str, JsonValue]:
    return {
        "id": str(row.id),
        "category": row.category,
        "entrusted": row.entrusted,
        "special": row.special,
        "professional_secret": row.professional_secret,
        "entruster": row.entruster,
        "hash": row.hash,
        "person": None if row.person is None else str(row.person),
        "received_by": None if row.release is None else str(row.release),
        "source_item": None if row.source_item is None else str(row.source_item),
    }


async def _leaving(tx: AsyncConnection, wanted: Sequence[UUID]) -> list[Any]:
    """These items, without those that would carry a protected address; words without a case look at the handover's."""
    of_case = cases.c.id == sa.func.coalesce(items.c.case, items.c.handover)
    statement = (
        sa.select(
            items, cases.c.person, persons.c.street, persons.c.postcode, persons.c.place, persons.c.address_protected
        )
        .select_from(items.outerjoin(cases, of_case).outerjoin(persons, persons.c.id == cases.c.person))
        .where(among(items.c.id, wanted))
        .order_by(items.c.id)
    )
    return [row for row in await tx.execute(statement) if may_leave(Part(row.part), row.content, _address(row))]


def _address(row: Any) -> Address | None:
    return row.street and Address(row.street, row.postcode, row.place, bool(row.address_protected))
