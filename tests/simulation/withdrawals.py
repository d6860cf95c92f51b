"""How a consent ends before its time, as processes: the will is written down first, the answer comes last."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, cast

from chassis.transitions import Refused, Step
from contracts.codes import VoidReason
from contracts.ids import ConsentId, DutyId, GrantId, HandoverRef, PersonId
from services.consent.domain.commands import TellRelease, WithdrawConsent, WithdrawGrants
from services.consent.store.persons import PERSON
from services.handover.domain.commands import Void
from services.handover.store import HANDOVER

if TYPE_CHECKING:
    from tests.simulation.desk import Desk
    from tests.simulation.door import Process
    from tests.simulation.registers import Persons
    from tests.simulation.world import World

ANSWER = timedelta(seconds=2.2)  # by then every lease that saw the older state has ended
ROUND = timedelta(seconds=5)  # between two looks of the sweeper


def withdraw(
    world: World, desk: Desk, person: PersonId, consent: ConsentId, grants: frozenset[GrantId] | None
) -> Process:
    """The young person takes a consent back, whole or in part."""
    persons = cast("Persons", desk.rooms.kinds[PERSON])
    persons.intend(person, consent, grants)
    yield
    flip(world, desk, person, consent, grants)
    flipped = world.clock.now
    while world.clock.now < flipped + ANSWER and persons.leases_open(person):
        yield
    world.notebook.answered(consent, world.clock.now, grants)
    world.witness.seen["answered: withdrawn"] += 1


def flip(world: World, desk: Desk, person: PersonId, consent: ConsentId, grants: frozenset[GrantId] | None) -> None:
    """The withdrawal itself; refused in no state."""
    first = DutyId(world.clock.new_id())
    command = WithdrawGrants(consent, grants, first) if grants else WithdrawConsent(consent, first)
    desk.insist(Step(PERSON, person, command), "withdrawal")
    world.notebook.ended(consent, world.clock.now, grants=grants, taken_back=True)


def void(world: World, desk: Desk, handover: HandoverRef) -> Process:
    """Entered in error; answered when no byte can follow."""
    if isinstance(desk.ask(Step(HANDOVER, handover, Void(VoidReason.WRONG_PERSON))), Refused):
        return
    done = world.clock.now
    while world.clock.now < done + ANSWER:
        yield


def sweep(world: World, desk: Desk) -> Process:
    """What processes that died leave behind; whatever is seen twice is old enough."""
    persons = cast("Persons", desk.rooms.kinds[PERSON])
    releases, intents = set(persons.untold()), list(persons.intents)
    seen = world.clock.now
    while world.clock.now < seen + ROUND:
        yield
    for release in sorted(releases & set(persons.untold())):
        persons.close_lease(release, delivered=False)
        yield
        desk.insist(Step(PERSON, persons.person_of[release], TellRelease(release)), "sweeper")
        world.witness.seen["release swept"] += 1
        yield
    for intent in [each for each in persons.intents if each in intents]:
        flip(world, desk, intent.person, intent.consent, intent.grants)
        persons.forget_intents()  # also where there was nothing left to change
        world.witness.seen["withdrawal carried out by the sweeper"] += 1
        yield
