"""The other half of the lease: a withdrawal is written down first, and answered when no byte can follow the answer.

What forbids in another way is answered no earlier.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.crashpoints import reached
from chassis.database import transaction
from contracts.new_ids import new_id
from services.consent.door.neighbours import Resources
from services.consent.store import leases

ANSWER_SECONDS: Final = 2.2  # by then every lease that saw the older state has ended: its two seconds and 10 %
LOOK_SECONDS: Final = 0.02  # between two looks whether a lease is still open


async def intend(resources: Resources, of: UUID, consent: UUID, grants: Sequence[UUID] | None) -> None:
    """The will is written down first, committed alone: readers then stay out of the way of the withdrawal itself."""
    async with transaction(resources.tools.engine) as tx:
        await leases.intend_withdrawal(tx, new_id(), of, consent, grants)
    reached("withdraw.intent")


Open = Callable[[AsyncConnection, UUID], Awaitable[bool]]


async def settled(resources: Resources, wanted: UUID, still_open: Open | None = None) -> None:
    """Hold the answer "withdrawn" back until no byte can follow it: no open lease, or 2.2 s gone since the commit.

    The time counts from now, which is after the commit, also where the answer is a repeated one.
    """
    end = monotonic() + ANSWER_SECONDS
    while monotonic() < end:
        async with resources.tools.engine.connect() as connection:
            if not await (still_open or leases.leases_open)(connection, wanted):
                return
        await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - monotonic())))
