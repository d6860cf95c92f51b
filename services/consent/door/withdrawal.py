"""The other half of the lease: a withdrawal is written down first, and answered when no byte can follow the answer.

What forbids in another way is written down first too, so that readers keep out of its way, and answered no earlier.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.crashpoints import reached
from chassis.database import transaction
from chassis.executor import Inner, Step, Work
from contracts.ids import AgencyId, ConsentId, DutyId, GrantId, PersonId
from contracts.new_ids import new_id
from services.consent.domain.commands import WithdrawConsent, WithdrawGrants
from services.consent.door.neighbours import Resources
from services.consent.store import leases
from services.consent.store.persons import PERSON

ANSWER_SECONDS: Final = 2.2  # by then every lease that saw the older state has ended: its two seconds and 10 %
LOOK_SECONDS: Final = 0.02  # between two looks whether a lease is still open

Open = Callable[[AsyncConnection, UUID], Awaitable[bool]]
"""Whether any lease that this one must wait for may still be writing."""


async def intend(resources: Resources, of: UUID, consent: UUID, grants: Sequence[UUID] | None) -> None:
    """The will is written down first, committed alone: readers then stay out of the way of the withdrawal itself."""
    async with transaction(resources.tools.engine) as tx:
        await leases.intend_withdrawal(tx, new_id(), of, consent, grants)
    reached("withdraw.intent")


async def intend_restriction(resources: Resources, intent: UUID, of: UUID, recipient: AgencyId | None) -> None:
    """The same before something is forbidden. Unlike a withdrawal it is not carried out where its process dies.

    Nobody has been told that it is in force, and it may be refused: the sweeper forgets it, and whoever had no answer
    asks again.
    """
    async with transaction(resources.tools.engine) as tx:
        await leases.intend_restriction(tx, intent, of, recipient)


async def intend_clearance_end(
    resources: Resources, intent: UUID, of: UUID, consent: UUID, grants: Sequence[UUID]
) -> None:
    """The same before clearances end."""
    async with transaction(resources.tools.engine) as tx:
        await leases.intend_clearance_end(tx, intent, of, consent, grants)


async def no_longer_intended(resources: Resources, intent: UUID) -> None:
    """It was carried out or refused: readers may come again, and meet what is forbidden by now."""
    async with transaction(resources.tools.engine) as tx:
        await leases.forget_forbidding(tx, [intent])


async def withdraw(resources: Resources, of: PersonId, consent: ConsentId, grant: GrantId | None) -> None:
    """A withdrawal from beginning to end, whole or of one grant, for whoever sends no command.

    Raises Overloaded, Unavailable and Bug: the will is written down all the same, and the sweeper carries it out. Not
    where the consent is over: by that one nothing leaves any more, and who got no answer asks again.
    """
    await intend(resources, of, consent, None if grant is None else [grant])
    first = DutyId(new_id())
    whole = WithdrawConsent(consent, first)
    command = whole if grant is None else WithdrawGrants(consent, frozenset({grant}), first)
    await resources.tools.executor.run(Work(Inner("withdrawal"), (Step(PERSON, of, command),)))
    await settled(resources, consent)


async def settled(resources: Resources, wanted: UUID, still_open: Open | None = None) -> None:
    """Hold the answer "withdrawn" back until no byte can follow it: no open lease, or 2.2 s gone since the commit.

    The time counts from now, which is after the commit, also where the answer is a repeated one.
    """
    reached("withdraw.flip")
    end = monotonic() + ANSWER_SECONDS
    while monotonic() < end:
        if not await _one_writes(resources, wanted, still_open or leases.leases_open):
            break
        await asyncio.sleep(min(LOOK_SECONDS, max(0.0, end - monotonic())))
    reached("withdraw.ack")


async def _one_writes(resources: Resources, wanted: UUID, still_open: Open) -> bool:
    async with resources.tools.engine.connect() as connection:
        return await still_open(connection, wanted)
