"""What a process leaves behind that died, or was of the version before.

Releases that nobody closed, withdrawals that nobody carried out, open answers of which no clock will speak. What was
written down to forbid something and never answered is forgotten.
"""

import asyncio
import logging
from typing import Final
from uuid import UUID

from chassis.database import transaction
from chassis.executor import Bug, Inner, Overloaded, Step, Unavailable, Work
from contracts.ids import ConsentId, DutyId, GrantId
from contracts.new_ids import new_id
from services.consent.domain.commands import LookAgain, WithdrawConsent, WithdrawGrants
from services.consent.door.neighbours import Resources
from services.consent.door.releasing import tell
from services.consent.store import leases
from services.consent.store.persons import PERSON, forget_intents

log = logging.getLogger(__name__)

SWEEP_SECONDS: Final = 5.0  # longer than any lease or withdrawal lasts


async def sweep(resources: Resources) -> None:
    """For ever: close and tell releases and carry out withdrawals whose process died, set clocks that are not set.

    What is seen in two rounds is old enough: the rounds are further apart than any lease or withdrawal lasts, by our
    own clock and not by times in rows, which a clock that is set may contradict. One that fails is logged, tried again
    in the next round, and in nobody's way: without the sweeper there would be no door.
    """
    releases: set[tuple[UUID, UUID]] = set()
    intents: set[leases.Intent] = set()
    forbidding: set[UUID] = set()
    unminded: set[UUID] = set()
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        async with resources.tools.engine.connect() as connection:
            releases_now, intents_now = set(await leases.untold(connection)), set(await leases.intents(connection))
            forbidding_now = set(await leases.forbidding(connection))
            unminded_now = set(await leases.unminded(connection))
        for wanted, of in sorted(releases & releases_now):
            async with transaction(resources.tools.engine) as tx:
                await leases.close_lease(tx, wanted, delivered=False)
            await tell(resources, wanted, of)
        for intent in intents & intents_now:
            await _carry_out(resources, intent)
        if unanswered := sorted(forbidding & forbidding_now):
            async with transaction(resources.tools.engine) as tx:
                await leases.forget_forbidding(tx, unanswered)
        for person in sorted(unminded & unminded_now):
            await _look(resources, person)
        releases, intents = releases_now, intents_now
        forbidding, unminded = forbidding_now, unminded_now


async def _look(resources: Resources, person: UUID) -> None:
    step = Step(PERSON, person, LookAgain(DutyId(new_id())))
    try:
        await resources.tools.executor.run(Work(Inner("unminded"), (step,)))
    except (Overloaded, Unavailable):
        return  # the next round finds it again
    except Bug as error:
        said = {"subject": str(person), "error_class": str(error)}
        log.error("open answers cannot be looked at", extra=said)  # noqa: TRY400  # the executor has logged the stack


async def _carry_out(resources: Resources, intent: leases.Intent) -> None:
    consent, first = ConsentId(intent.consent), DutyId(new_id())
    grants = frozenset(GrantId(grant) for grant in intent.grants or ())
    command = WithdrawGrants(consent, grants, first) if grants else WithdrawConsent(consent, first)
    try:
        await resources.tools.executor.run(Work(Inner("intent"), (Step(PERSON, intent.person, command),)))
    except (Overloaded, Unavailable):
        return  # the next round finds it again
    except Bug as error:
        said = {"subject": str(intent.person), "instance": str(intent.id), "error_class": str(error)}
        log.error("withdrawal cannot be carried out", extra=said)  # noqa: TRY400  # the executor has logged the stack
        return
    async with transaction(resources.tools.engine) as tx:
        await forget_intents(tx, [intent.consent])
