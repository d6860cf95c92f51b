"""Caseworkers of either side of a handover: they draft, propose, ask, accept, meet, complete."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import UUID

from chassis.transitions import Step
from contracts.codes import END_STATES, CompetenceArea, Kind, Purpose, Service, Side, Urgency
from contracts.codes import HandoverState as S
from contracts.ids import AgencyId, CaseId, HandoverRef, ItemId
from services.handover.domain import Handover, Matter, allowed
from services.handover.domain.commands import Draft
from services.handover.store import HANDOVER
from services.intake.domain.case import Case, State
from services.intake.store import CASE
from tests.simulation.town import AGENCIES, ALLIANCE
from tests.simulation.withdrawals import void
from tests.simulation.words import WORDS, Moment, chosen

if TYPE_CHECKING:
    from tests.simulation.desk import Desk
    from tests.simulation.rooms import Cases, Handovers
    from tests.simulation.world import World

URGENCIES = (Urgency.NORMAL, Urgency.NORMAL, Urgency.URGENT, Urgency.PROTECTION)
COMMON = 2  # of an agreement's purposes: few, so that consents and handovers often meet


def purposes(sender: AgencyId, receiver: AgencyId) -> tuple[Purpose, ...]:
    """For what one may hand over to the other."""
    found = next(a for a in ALLIANCE.agreements if (a.sender, a.receiver) == (sender, receiver))
    return found.purposes[:COMMON]


PURPOSES = {(one, other): purposes(one, other) for one in AGENCIES for other in AGENCIES if one != other}


class Caseworkers:
    """Everybody who works with handovers, in all three agencies."""

    def __init__(self, world: World) -> None:
        self._world = world

    def act(self) -> None:
        """Somebody says something about some handover that has not ended."""
        open_ones = self.open_copies()
        if not open_ones:
            self.draft()
            return
        busy = {handover for _, handover in self._world.releasing}
        if busy and self._world.chance.random() < 0.3:  # people like to act while something is on the wire
            open_ones = [(desk, copy) for desk, copy in open_ones if copy.id in busy] or open_ones
        desk, copy = self._world.chance.choice(open_ones)
        self.speak(desk, copy)

    def open_copies(self) -> list[tuple[Desk, Handover]]:
        """Every copy at which people can still do something."""
        copies = ((desk, rows(desk)[id]) for desk, id in self._world.witness.copies)
        return [(desk, copy) for desk, copy in copies if copy.state not in END_STATES]

    def speak(self, desk: Desk, copy: Handover, name: str | None = None) -> None:
        """One of the things that are allowed now, or this one."""
        at = Moment(self._world.chance, self._world.clock.now, copy)
        name = name or chosen(at, allowed(copy))
        if name == "Void":
            self._world.start(void(self._world, desk, copy.id), desk, "void")
        elif name is not None and (command := WORDS[name].fill(at)) is not None:
            refused = desk.ask(Step(HANDOVER, copy.id, command))
            self._world.say(desk.name, f"{name} {copy.state} {refused.reason if refused else ''}")

    def draft(self) -> None:
        """Begin a handover of some case that is worked on."""
        busy = {copy.case for _, copy in self.open_copies() if copy.side is Side.SENDER}
        found = [
            (agency, case)
            for (agency, service), desk in self._world.desks.items()
            if service is Service.INTAKE
            for case in cast("Cases", desk.rooms.kinds[CASE]).rows.values()
            if case.state is State.ACTIVE and (case.id not in busy or self._world.chance.random() < 0.15)
        ]
        if found:
            self._draft(*self._world.chance.choice(found))

    def _draft(self, agency: AgencyId, case: Case) -> None:
        world, chance = self._world, self._world.chance
        room = cast("Cases", world.desks[agency, Service.INTAKE].rooms.kinds[CASE])
        items = tuple(ItemId(item.id) for item in room.of_case(case.id))
        if not items:
            return
        receiver = chance.choice([other for other in AGENCIES if other != agency])
        purpose = chance.choice(PURPOSES[agency, receiver])
        urgency = chance.choice(URGENCIES)
        matter = Matter(ALLIANCE.id, receiver, Kind.TRANSFER, purpose, urgency, CompetenceArea.OTHER)
        package = tuple(chance.sample(items, chance.randint(1, min(3, len(items)))))
        reference = HandoverRef(world.clock.new_id())
        desk = world.desks[agency, Service.HANDOVER]
        refused = desk.ask(Step(HANDOVER, reference, Draft(CaseId(case.id), matter, package)))
        world.say(desk.name, f"Draft for {receiver} {refused.reason if refused else ''}")

    def draft_onward(self, agency: AgencyId, case: Case) -> tuple[Desk, Handover | None]:
        """Somebody wants to hand over what came by a handover; nothing where it may not be drafted."""
        world = self._world
        room = cast("Cases", world.desks[agency, Service.INTAKE].rooms.kinds[CASE])
        items = tuple(ItemId(item.id) for item in room.received(case.id))
        desk, reference = world.desks[agency, Service.HANDOVER], HandoverRef(world.clock.new_id())
        if items:
            receiver = world.chance.choice([other for other in AGENCIES if other != agency])
            purpose = world.chance.choice(PURPOSES[agency, receiver])
            matter = Matter(ALLIANCE.id, receiver, Kind.TRANSFER, purpose, Urgency.NORMAL, CompetenceArea.OTHER)
            desk.ask(Step(HANDOVER, reference, Draft(CaseId(case.id), matter, items)))
        return desk, rows(desk).get(reference)

    def settle(self) -> None:
        """Whoever has promised something does it: the young person is met or not, questions of undoing are answered."""
        for desk, copy in self.open_copies():
            if copy.side is Side.RECEIVER and (name := self._duty(copy)) is not None:
                self.speak(desk, copy, name)

    def _duty(self, copy: Handover) -> str | None:
        chance = self._world.chance
        match copy.state:
            case S.ACCEPTED:
                return chance.choice(("RecordFirstContact", "RecordFirstContact", "RecordNotReached", "GiveBack"))
            case S.CANCELLING:
                return chance.choice(("ConfirmCancel", "DenyCancel", "RecordFirstContact"))
            case S.REQUESTED if copy.matter.urgency is Urgency.PROTECTION:
                return chance.choice(("Accept", "Reject"))
            case S.WAITLISTED | S.INQUIRY | S.REDIRECTING if copy.matter.urgency is Urgency.PROTECTION:
                return "Reject" if copy.state is not S.REDIRECTING else None
        return None


def rows(desk: Desk) -> dict[UUID, Handover]:
    """A handover service's copies."""
    return cast("Handovers", desk.rooms.kinds[HANDOVER]).rows
