"""The laws about data at the end of a history: doors are closed, everybody is told, what has to go has gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.codes import DutyAnswer, Service, Side
from contracts.ids import ItemId, ReleaseId
from services.consent.domain.duties import NOTHING_LEFT
from services.consent.domain.words import Duty, DutyState
from services.intake.domain.case import DossierState
from services.intake.domain.items import Item
from tests.simulation import laws
from tests.simulation.handovers import rows
from tests.simulation.laws import Broken
from tests.simulation.young_people import persons

if TYPE_CHECKING:
    from tests.simulation.desk import Desk
    from tests.simulation.rooms import Cases
    from tests.simulation.world import World

SETTLED = frozenset({DutyState.ANSWERED, DutyState.LAPSED})


def withdrawals_are_over(world: World, desk: Desk) -> None:
    """Everything about withdrawals at one consent service."""
    door_is_closed(desk)
    everybody_is_told(world, desk)
    duties_agree(world, desk)


def door_is_closed(desk: Desk) -> None:
    """Nothing is left of any release or withdrawal under way."""
    if persons(desk).untold() or persons(desk).intents:
        raise Broken(laws.DOOR_CLOSED, desk.name)


def everybody_is_told(world: World, desk: Desk) -> None:
    """What left on grants that were all taken back has a duty, unless nothing of it is held there any more.

    So has what was passed on and whose basis has ended where it came from, whatever basis it was passed on.
    """
    taken_back = {each.grant for each in world.notebook.allowed if each.taken_back}
    for person, lines in persons(desk).ledger.items():
        known = persons(desk).rows[person]
        for line in lines:
            came_back = any(
                duty.names(line.received_by, line.source_item)
                for duty in known.duties
                if duty.side is Side.RECEIVER
            )
            if not came_back and any(basis.grant not in taken_back for basis in line.bases):
                continue
            if any(duty.side is Side.SENDER and duty.names(line.release, line.item) for duty in known.duties):
                continue
            of = next(each for each in known.transmissions if each.handover == line.handover)
            if not NOTHING_LEFT & {of.handover_state, of.recorded}:
                raise Broken(laws.EVERYBODY_TOLD, f"{line.recipient} holds an item, handover {of.handover_state}")


def duties_agree(world: World, desk: Desk) -> None:
    """Every duty is answered or no longer owed, on both sides alike."""
    for person in persons(desk).rows.values():
        for duty in person.duties:
            if duty.state not in SETTLED:
                raise Broken(laws.DUTIES_AGREE, f"{duty.side} {duty.state} for good")
            if duty.side is Side.RECEIVER or duty.handover is None:
                continue
            theirs = persons(world.desks[duty.counterpart, Service.CONSENT]).rows[duty.handover]
            other = next((each for each in theirs.duties if each.id == duty.id), None)
            if other is None or (other.state is DutyState.ANSWERED) != (duty.state is DutyState.ANSWERED):
                raise Broken(laws.DUTIES_AGREE, f"{duty.state} here, {other and other.state} there")


def erased_is_erased(world: World, desk: Desk, intake: Cases) -> None:
    """Nothing is held of what has to go; a dossier that is waited for is being fetched."""
    consent, copies = world.desks[desk.agency, Service.CONSENT], rows(world.desks[desk.agency, Service.HANDOVER])
    erased = [
        duty
        for person in persons(consent).rows.values()
        for duty in person.duties
        if duty.side is Side.RECEIVER and duty.answer is DutyAnswer.ERASED
    ]
    for case in intake.rows.values():
        copy = copies.get(case.id)  # a case that came has the id of its handover
        held = intake.received(case.id)
        if copy is not None and held and NOTHING_LEFT & {copy.state, copy.recorded}:
            raise Broken(laws.ERASED, f"{len(held)} items of a handover that is {copy.state}/{copy.recorded}")
        if any(_of(duty, item) for duty in erased for item in held):
            raise Broken(laws.ERASED, "items whose erasure was answered")
        if case.dossier is DossierState.PENDING:
            raise Broken(laws.DOSSIERS, f"case {case.state}, handover {copy and copy.state}")


def _of(duty: Duty, item: Item) -> bool:
    came = item.provenance
    return came is not None and duty.names(ReleaseId(came.release), ItemId(came.source_item))
