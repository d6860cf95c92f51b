"""What a copy must have been by its facts is what the row that told them made of it, for every row there is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from chassis.transitions import Decided, Remembered, Row, Said
from contracts import consent as said_by_consent
from contracts.codes import Side, Trigger
from contracts.handover import ChannelEvent, HandoverChanged, HandoverEvent, HandoverProposed
from contracts.ids import TransmissionId
from contracts.new_ids import new_id
from services.handover.domain import TABLES, CaseState, Handover, State, baton, memory
from services.handover.domain.commands import CaseClosed, ConsentWithdrawn, FromConsent, Waitlisted
from services.handover.events import WORDS
from tests.handover.builders import (
    JUGENDAMT,
    MUSTERLAND,
    NOW,
    OUR_CASE,
    PERSON,
    a_command,
    a_handover,
    a_known_case,
    decide,
)

# Where a copy comes from nothing its own first fact says all there is to know; those rows have tests of their own.
BEGINNINGS = (State.NONE, State.DRAFT)
HEARD_AS = {event.__name__.removeprefix("Handover"): event for event in WORDS}


def _rows() -> list[Any]:
    return [
        pytest.param(side, row, id=f"{side}-{row.while_}-{row.on.__name__}")
        for side, table in TABLES.items()
        for row in table.rows
        if row.while_ not in BEGINNINGS and _told(side, row) is not None
    ]


def _told(side: Side, row: Row[Handover]) -> tuple[Handover, Any, Decided[Handover]] | None:
    """A copy before the row, the command, and what was decided; None for a row that moves nothing that is told."""
    before, command = a_handover(State(row.while_), side), a_command(row.on)
    decided = decide(before, command)
    if isinstance(decided, Decided) and any(isinstance(tell.fact, HandoverChanged) for tell in decided.tells):
        return before, command, decided
    return None


@pytest.mark.parametrize(("side", "row"), _rows())
def test_the_facts_of_a_row_make_of_a_copy_what_the_row_made_of_it(side: Side, row: Row[Handover]) -> None:
    told = _told(side, row)
    assert told is not None
    before, command, decided = told
    remembered = _remembered(before, decided, _word(before, command))
    made = decided.subject
    assert _compared(remembered.subject) == _compared(made)
    assert set(remembered.deadlines) == set(decided.deadlines)
    assert remembered.frees == decided.frees


def _remembered(before: Handover, decided: Decided[Handover], answers: object) -> Remembered[Handover]:
    last: Remembered[Handover] = Remembered(before)
    for tell in decided.tells:
        said = Said(new_id(), "jobcenter.handover.events", NOW, "", tell.fact, answers)
        last = _line(tell.fact)(last.subject, said)
    return last


def _line(fact: object) -> Callable[[Handover, Said], Remembered[Handover]]:
    if isinstance(fact, HandoverChanged):
        return memory.changed
    return memory.proposed if isinstance(fact, HandoverProposed) else memory.word


def _word(before: Handover, command: Any) -> object:
    """The event that became this command."""
    if isinstance(command, FromConsent):
        ended = isinstance(command, ConsentWithdrawn)
        event = said_by_consent.TransmissionEnded if ended else said_by_consent.TransmissionPermitted
        return event(handover=before.id, transmission=TransmissionId(new_id()), items=command.items)
    event_class = HEARD_AS.get(type(command).__name__)
    if event_class is None:
        return None
    names = [name for name in event_class.model_fields if name != "handover"]
    values = {name: getattr(command, "categories" if name == "asked" else name, None) for name in names}
    made: ChannelEvent = event_class.model_construct(handover=before.id, **values)
    return made


def _compared(handover: Handover) -> Handover:
    return replace(handover, version=0)


def test_a_sender_that_proposed_after_the_backup_holds_the_baton_and_shows_the_case_as_it_is_known() -> None:
    before = Handover(a_handover().id, around=replace(a_handover().around, case=None))
    known = replace(before, around=replace(before.around, case=a_known_case()))
    fact = HandoverProposed.model_construct(
        handover=before.id, case=OUR_CASE, person=PERSON, alliance=MUSTERLAND, recipient=JUGENDAMT,
        kind=a_handover().matter.kind, purpose=a_handover().matter.purpose, items=a_handover().items,
    )
    remembered = memory.proposed(known, _said(fact))
    assert (remembered.subject.lead, remembered.subject.holds_baton) == (True, True)
    assert remembered.holds == (baton(OUR_CASE),)
    assert remembered.lost == ()
    assert remembered.subject.preview is not None
    assert memory.proposed(before, _said(fact)).lost == ("preview",)


def test_what_only_the_other_agency_said_is_not_known_once_it_is_gone() -> None:
    before = a_handover(State.REQUESTED)
    decided = decide(before, a_command(Waitlisted))
    assert isinstance(decided, Decided)
    remembered = _remembered(before, decided, None)
    assert remembered.subject.state is State.WAITLISTED
    assert remembered.subject.review_on is None
    assert remembered.lost == ("review-day",)


def test_a_case_that_closed_is_known_to_have_closed() -> None:
    before = a_handover(State.REQUESTED)
    decided = decide(before, a_command(CaseClosed))
    assert isinstance(decided, Decided)
    (fact,) = [tell.fact for tell in decided.tells if isinstance(tell.fact, HandoverChanged)]
    assert fact.on is Trigger.CASE_CLOSED
    assert memory.case_closed(a_known_case(), _said(fact)).subject.state is CaseState.CLOSED


def _said(fact: HandoverEvent) -> Said:
    return Said(new_id(), "jobcenter.handover.events", NOW, "", fact)
