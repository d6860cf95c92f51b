"""Which guardians have still to be informed: of all cases, and of one."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.alliance import OUTSIDE_SOCIAL_LAW
from services.intake.domain.information import AGE_OF_APPLYING
from services.intake.domain.phases import AGE_OF_MAJORITY

LISTED_MAX: Final = 200


async def owed(tx: AsyncConnection, *, contact_person: str | None, limit: int) -> Sequence[sa.RowMapping]:
    """Cases whose guardian has to be informed, the oldest first: ids, numbers and days, nobody's name or address."""
    wanted = _CONSTANT | {"contact_person": contact_person, "limit": limit}
    return (await tx.execute(_OWED, wanted)).mappings().all()


async def of_case(tx: AsyncConnection, case: UUID) -> Any | None:
    """How it stands in one case; None where there is no such case."""
    return (await tx.execute(_OF_CASE, _CONSTANT | {"case": case})).mappings().first()


_CONSTANT: Final = {"outside": sorted(OUTSIDE_SOCIAL_LAW), "first": AGE_OF_APPLYING, "beyond": AGE_OF_MAJORITY}


def _age_on(moment: str) -> str:
    """Completed years; who was born on 29 February completes one with the end of 28 February, for age() as for us."""
    return f"extract(year FROM age(CAST({moment} AT TIME ZONE 'Europe/Berlin' AS date), person.birth_date))"


_SINCE = """coalesce("case".known_at, "case".opened_at)"""
# The same question as `information.concerns_a_guardian`, by the database's clock.
_CONCERNED = f"""(
    "case".guardian_at IS NULL AND "case".sphere IS NOT NULL AND "case".sphere <> ALL (:outside)
    AND {_age_on("clock_timestamp()")} >= :first AND {_age_on("clock_timestamp()")} < :beyond
    AND {_age_on(_SINCE)} >= :first AND {_age_on(_SINCE)} < :beyond
)"""

_OWED = sa.text(f"""
    SELECT "case".id AS "case", "case".local_number, "case".contact_person, {_SINCE} AS since, person.birth_date
    FROM "case" JOIN person ON person.id = "case".person
    WHERE {_CONCERNED}
        AND (CAST(:contact_person AS text) IS NULL OR "case".contact_person = CAST(:contact_person AS text))
    ORDER BY since, "case".id LIMIT :limit
""").bindparams(sa.bindparam("outside", type_=sa.ARRAY(sa.Text)))  # noqa: S608  # put together from constants

_OF_CASE = sa.text(f"""
    SELECT coalesce({_CONCERNED}, false) AS owed, {_SINCE} AS since, person.birth_date,
        "case".guardian_at, "case".guardian_channel, "case".guardian_why IS NOT NULL AS left_out
    FROM "case" LEFT JOIN person ON person.id = "case".person
    WHERE "case".id = :case
""").bindparams(  # noqa: S608  # as above
    sa.bindparam("case", type_=sa.Uuid), sa.bindparam("outside", type_=sa.ARRAY(sa.Text))
)
