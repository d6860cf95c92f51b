"""Finds what may be kept for a time and has no deadline: stored by a version, or restored from one, that armed none."""

import asyncio
from typing import Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import transaction
from chassis.service import Tools
from services.intake.domain.facts import TIME_LIMIT
from services.intake.domain.limits import MONTHS_OF_31A
from services.intake.store.tables import ALONE_ON_31A

LOOK_SECONDS: Final = 86_400.0  # a day is as nothing in six months
AGE_OF_A_NEIGHBOUR: Final = "1 hour"  # before that no deadline falls due that the older version beside us cannot read


async def look_after_time_limits(tools: Tools) -> None:
    """For ever: at the start and once a day."""
    while True:
        async with transaction(tools.engine) as tx:
            await arm(tx)
        await asyncio.sleep(LOOK_SECONDS)


async def arm(tx: AsyncConnection) -> None:
    """Give a deadline to every case that needs one and has none. What is due is decided when it fires."""
    await tx.execute(_ARM, {"kind": TIME_LIMIT, "months": MONTHS_OF_31A, "neighbour": AGE_OF_A_NEIGHBOUR})


# The same day as `limits.erase_at`: PostgreSQL, too, takes the last day of a month that has no such day.
_ARM = sa.text(f"""
    INSERT INTO deadline (kind, subject, id, due_at)
    SELECT CAST(:kind AS text), "case", gen_random_uuid(), greatest(
        min((CAST(received_at AT TIME ZONE 'Europe/Berlin' AS date) + make_interval(months => :months))
            AT TIME ZONE 'Europe/Berlin'),
        clock_timestamp() + CAST(CAST(:neighbour AS text) AS interval)
    )
    FROM item WHERE {ALONE_ON_31A} AND "case" IS NOT NULL
    GROUP BY "case" ORDER BY "case"
    ON CONFLICT (kind, subject) DO NOTHING
""")  # noqa: S608  # put together from constants
