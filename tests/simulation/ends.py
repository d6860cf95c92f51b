"""The laws about the end of a history: faults have stopped, everything has arrived, people have done what they owe."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from contracts.codes import END_STATES, Service, Side
from contracts.codes import HandoverState as S
from contracts.ids import AgencyId
from services.consent.domain.words import TransmissionState
from services.handover.domain import CaseState, Handover
from services.handover.store import KNOWN_CASE
from services.intake.domain.case import State as Intake
from services.intake.store import CASE
from services.offers.domain import State as OfferState
from services.offers.store import OFFER
from tests.simulation import laws
from tests.simulation.ends_of_data import erased_is_erased, withdrawals_are_over
from tests.simulation.handovers import rows
from tests.simulation.laws import Broken
from tests.simulation.network import unheard
from tests.simulation.young_people import persons

if TYPE_CHECKING:
    from chassis.envelope import Envelope
    from tests.simulation.desk import Desk
    from tests.simulation.rooms import Cases, KnownCases, Offers
    from tests.simulation.world import World

ALONE = frozenset({S.WITHDRAWN, S.EXPIRED, S.STOPPED, S.VOIDED})
HALTED = frozenset({S.STOPPED, S.VOIDED})
UNDONE = frozenset({S.NOT_REACHED, S.GIVEN_BACK, S.CANCELLED, S.COMPLETED})
WORK = frozenset({S.ACTIVE, S.PAUSED})
NEVER_SENT = frozenset({S.DRAFT, S.WITHDRAWN, S.STOPPED})
NO_BASIS = frozenset({TransmissionState.ENDED, TransmissionState.DENIED})


def judge(world: World) -> None:
    """Every law about the end."""
    everything_is_heard(world)
    for desk, id in world.witness.copies:
        copy = rows(desk)[id]
        clocks_are_deadlines(desk, copy)
        if copy.side is Side.SENDER:
            other = world.desks[copy.matter.counterpart, Service.HANDOVER]
            copies_agree(copy, rows(other).get(copy.id))
            basis_is_followed(world, desk, copy)
    for (_, service), desk in world.desks.items():
        match service:
            case Service.HANDOVER:
                batons_are_back(desk)
                neighbours_know(world, desk)
            case Service.CONSENT:
                withdrawals_are_over(world, desk)
            case Service.INTAKE:
                leads_are_known(world, desk)
                erased_is_erased(world, desk, intake(world, desk.agency))
            case Service.OFFERS:
                catalogues_agree(world, desk)


def intake(world: World, agency: AgencyId) -> Cases:
    """That agency's cases and items."""
    return cast("Cases", world.desks[agency, Service.INTAKE].rooms.kinds[CASE])


# --- facts ------------------------------------------------------------------------------------------------------------


def everything_is_heard(world: World) -> None:
    """Every consumer has had every effect once; nothing waits."""
    for desk in world.desks.values():
        unheard(desk)
        for (topic, _), log in world.network.logs.items():
            source = desk.wired.sources.get(topic)
            if source is None or source.origin == "common":
                continue
            for record in log:
                said = cast("Envelope", record.envelope)
                if said.type in desk.types and (desk.name, said.id) not in world.witness.heard:
                    raise Broken(laws.HEARD, f"{said.type} never had its effect at {desk.name}")


# --- handovers --------------------------------------------------------------------------------------------------------


def copies_agree(sender: Handover, receiver: Handover | None) -> None:
    """Same state, or two ends that crossed, each recorded by the other; ended, or being worked on."""
    if receiver is None:
        if sender.state not in NEVER_SENT:
            raise Broken(laws.WORKED_ON, f"{sender.state}, and the receiver never heard of it")
        return
    s, r = sender.state, receiver.state
    crossed = (s in ALONE and r is S.REJECTED) or (s in HALTED and r in UNDONE)
    recorded = (sender.recorded, receiver.recorded) == (r, s)
    if not (s is r and sender.recorded is receiver.recorded is None) and not (crossed and recorded):
        raise Broken(laws.COPIES_AGREE, f"{s}/{sender.recorded} here and {r}/{receiver.recorded} there")
    if s not in END_STATES | WORK:
        raise Broken(laws.WORKED_ON, f"{s} for good")
    if sender.awaits_word:
        raise Broken(laws.COPIES_AGREE, "the word awaited never came")


def clocks_are_deadlines(desk: Desk, copy: Handover) -> None:
    """What a copy shows as due is what will strike."""
    armed = {kind: due for (kind, subject), due in desk.deadlines.items() if subject == copy.id}
    if armed != {str(clock): due for clock, due in copy.due.items()}:
        raise Broken(laws.CLOCKS, f"{sorted(armed)} armed, {sorted(copy.due)} shown in {copy.state}")


def batons_are_back(desk: Desk) -> None:
    """Whoever holds a baton needs it; whoever needs one holds it."""
    held = {holder: reservation for reservation, holder in desk.reservations.items() if reservation.name == "baton"}
    for copy in rows(desk).values():
        if not copy.holds_baton == (held.get(copy.id) == copy.baton) == _needs_baton(copy):
            raise Broken(laws.BATON_BACK, f"{copy.side} {copy.state}: holds {copy.holds_baton}, row {copy.id in held}")


def _needs_baton(copy: Handover) -> bool:
    """A sender's as long as its word may still move the lead, for good once it has; a receiver's until it leads."""
    if copy.side is Side.RECEIVER:
        return not copy.lead and not copy.ended
    return not copy.lead or copy.awaits_word or not (copy.ended or copy.state is S.DRAFT)


# --- neighbours -------------------------------------------------------------------------------------------------------


def leads_are_known(world: World, desk: Desk) -> None:
    """Who is in charge of a case says handover; intake has heard it."""
    copies = rows(world.desks[desk.agency, Service.HANDOVER])
    gone = {copy.case for copy in copies.values() if copy.side is Side.SENDER and not copy.lead}
    for case in intake(world, desk.agency).rows.values():
        came = copies.get(case.id)  # a case that came has the id of its handover
        here = (came is None or came.lead) and case.id not in gone
        if case.leads != here or (case.id in gone) != (case.state is Intake.HANDED_OVER):
            raise Broken(laws.LEAD_KNOWN, f"{case.state} leads {case.leads}, handover says {here}")


def neighbours_know(world: World, desk: Desk) -> None:
    """Handover knows the states of intake's cases, consent those of the handovers."""
    known = cast("KnownCases", desk.rooms.kinds[KNOWN_CASE]).rows
    for case in intake(world, desk.agency).rows.values():
        if known[case.id].state != CaseState(case.state.value):
            raise Broken(laws.NEIGHBOURS_KNOW, f"a case is {case.state}, handover believes {known[case.id].state}")
    for person in persons(world.desks[desk.agency, Service.CONSENT]).rows.values():
        noted = [(each.handover, each.handover_state, each.recorded) for each in person.transmissions]
        noted += [(each.id, each.handover_state, each.recorded) for each in person.receptions]
        for handover, state, recorded in noted:
            copy = rows(desk)[handover]
            if (state, recorded) != (copy.state, copy.recorded):
                raise Broken(laws.NEIGHBOURS_KNOW, f"a handover is {copy.state}, consent believes {state}")


def basis_is_followed(world: World, desk: Desk, copy: Handover) -> None:
    """A handover that was sent and has not ended still has a basis for something."""
    if copy.person is None or copy.state not in WORK:
        return
    person = persons(world.desks[desk.agency, Service.CONSENT]).rows[copy.person]
    found = next(each for each in person.transmissions if each.handover == copy.id)
    if found.state in NO_BASIS:
        raise Broken(laws.WORKED_ON, f"{copy.state} although its transmission is {found.state}")


def catalogues_agree(world: World, desk: Desk) -> None:
    """Copies say what their owner says."""
    for offer in cast("Offers", desk.rooms.kinds[OFFER]).rows.values():
        if offer.state is OfferState.COPIED and offer.owner is not None:
            theirs = cast("Offers", world.desks[offer.owner, Service.OFFERS].rooms.kinds[OFFER]).rows[offer.id]
            if theirs.content != offer.content:
                raise Broken(laws.CATALOGUE, f"{offer.content.status} instead of {theirs.content.status}")
