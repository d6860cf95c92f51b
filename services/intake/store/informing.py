"""What persons have still to be told of what came from elsewhere: all of it, and one case's as its letter says it."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

LISTED_MAX: Final = 200

# Art. 14(3) GDPR: within a month (a), and at the latest when one first speaks with the person (b). A month is one of
# the calendar (§ 188(2) BGB); a weekend at its end is not added, for earlier is never wrong.
_DUE_ON = """
    LEAST(
        CAST(CAST(one.stored_at AT TIME ZONE 'Europe/Berlin' AS date) + interval '1 month' AS date),
        (SELECT CAST(min(contact.at) AT TIME ZONE 'Europe/Berlin' AS date) FROM contact
         WHERE contact."case" = one."case" AND contact.reached AND contact.at >= one.stored_at)
    )
"""
_TODAY = "CAST(clock_timestamp() AT TIME ZONE 'Europe/Berlin' AS date)"


async def owed(
    tx: AsyncConnection, *, overdue: bool, contact_person: str | None, limit: int = LISTED_MAX
) -> Sequence[sa.RowMapping]:
    """Releases of which nobody was told yet, the oldest first: ids, numbers and days, nobody's name."""
    wanted = {"overdue": overdue, "contact_person": contact_person, "limit": limit}
    return (await tx.execute(_OWED, wanted)).mappings().all()


async def letter_of(tx: AsyncConnection, case: UUID) -> Any | None:
    """What the letter about a case says, in one row; None where there is no such case.

    `releases`: of which nobody was told yet; `lines`: how many items of a category came by one of them, collected from
    the same, for the same purpose, on the same bases.
    """
    return (await tx.execute(_LETTER, {"case": case})).first()


_OWED = sa.text(f"""
    SELECT owed.*, due_on < {_TODAY} AS overdue FROM (
        SELECT one."case", "case".local_number, "case".contact_person, one.id AS release, one.sender, one.items,
            one.stored_at, one.erased_at, {_DUE_ON} AS due_on
        FROM received_release AS one JOIN "case" ON "case".id = one."case"
        WHERE one.stored_at IS NOT NULL AND one.information_at IS NULL
            AND (CAST(:contact_person AS text) IS NULL OR "case".contact_person = CAST(:contact_person AS text))
    ) AS owed
    WHERE NOT CAST(:overdue AS boolean) OR due_on < {_TODAY}
    ORDER BY stored_at, "case", release LIMIT :limit
""")  # noqa: S608  # put together from constants

_LETTER = sa.text(f"""
    SELECT "case".id, "case".local_number, "case".alliance, "case".age_band, person.given_names, person.family_name,
        person.street, person.postcode, person.place, person.address_protected,
        (SELECT jsonb_agg(owed) FROM (
            SELECT one.id, one.sender, one.items, one.stored_at, one.erased_at, {_DUE_ON} AS due_on
            FROM received_release AS one
            WHERE one."case" = "case".id AND one.stored_at IS NOT NULL AND one.information_at IS NULL
            ORDER BY one.stored_at, one.id
        ) AS owed) AS releases,
        (SELECT jsonb_agg(line) FROM (
            SELECT item.release, item.category, item.collected_from, item.purpose, item.bases, count(*) AS items
            FROM item JOIN received_release AS one ON one."case" = item."case" AND one.id = item.release
            WHERE item."case" = "case".id AND one.information_at IS NULL
            GROUP BY item.release, item.category, item.collected_from, item.purpose, item.bases
            ORDER BY item.release, item.category, item.collected_from, item.purpose, item.bases
        ) AS line) AS lines
    FROM "case" LEFT JOIN person ON person.id = "case".person
    WHERE "case".id = :case
""").bindparams(sa.bindparam("case", type_=sa.Uuid)).columns(releases=JSONB, lines=JSONB)  # noqa: S608  # as above
