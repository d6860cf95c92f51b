"""What had come from another agency and was passed on: who is told in turn, and whose answers are waited for."""

from collections.abc import Iterable
from datetime import datetime

from contracts.codes import DutyAnswer, Side
from contracts.ids import HandoverRef, ItemId, ReleaseId
from services.consent.domain import commands as c
from services.consent.domain.duties import OPEN, REMIND_BEFORE
from services.consent.domain.words import Disclosed, Duty, DutySaid, DutyState, PassedOn, Person


def passed_on(
    person: Person, releases: Iterable[ReleaseId], items: tuple[ItemId, ...] = ()
) -> tuple[Disclosed, ...]:
    """Lines of the ledger about what came by these releases (of it these items, by their ids there; none named: all).

    Without those whose recipient has been told already, of whatever end.
    """
    came = frozenset(releases)
    return tuple(
        line
        for line in person.ledger
        if line.received_by in came
        and (not items or line.source_item is None or line.source_item in items)
        and not demanded(person, line)
    )


def untold(person: Person) -> tuple[tuple[Disclosed, ...], datetime | None]:
    """What was passed on of that for which an answer is owed here, and nobody was told of; and when that is due.

    Where the answer was demanded before this service knew whom to tell, or the database has forgotten whom it had told.
    """
    owed = [duty for duty in person.duties if duty.side is Side.RECEIVER and duty.state in OPEN]
    lines = {line: None for duty in owed for line in passed_on(person, duty.releases, duty.items)}
    return tuple(lines), min((duty.answer_by for duty in owed if duty.answer_by is not None), default=None)


def came_by(person: Person, handover: HandoverRef) -> frozenset[ReleaseId]:
    """The releases by which something came under this handover, those included that are not heard of here yet."""
    others = {
        stored.release for reception in person.receptions if reception.id != handover for stored in reception.stored
    }
    return frozenset(line.received_by for line in person.ledger if line.received_by is not None) - others


def onward(person: Person, duty: Duty) -> tuple[Duty, ...]:
    """The duties of those to whom was passed on what this duty is about."""
    lines = tuple(line for line in person.ledger if duty.names(line.received_by, line.source_item))
    return tuple(
        each for each in person.duties
        if each.side is Side.SENDER and any(each.names(line.release, line.item) for line in lines)
    )


def all_answered(person: Person, duty: Duty) -> c.AllAnswered | None:
    """The word that nobody is waited for any more; None while somebody is."""
    others = onward(person, duty)
    if any(each.state is DutyState.AWAITS for each in others):
        return None
    answers = (
        answer
        for each in others
        if each.answer is not None
        for answer in (PassedOn(each.answer, each.norm), *each.passed_on)
    )
    retained_first = sorted(answers, key=lambda answer: answer.answer is DutyAnswer.ERASED)  # there is room for few
    return c.AllAnswered(duty.id, tuple(retained_first))


def word_about(duty: Duty, now: datetime) -> c.RemindOfAnswer | c.MissAnswer | None:
    """What the clock has to say of an open answer at this instant, once."""
    if duty.state not in OPEN or duty.answer_by is None:
        return None
    if now >= duty.answer_by:
        return None if duty.said is DutySaid.OVERDUE else c.MissAnswer(duty.id)
    ours = duty.side is Side.RECEIVER and duty.said is DutySaid.NOTHING
    return c.RemindOfAnswer(duty.id) if ours and now >= duty.answer_by - REMIND_BEFORE else None


def next_word_at(duty: Duty, now: datetime) -> datetime | None:
    """When the clock has something to say next; at once where a demand came later than its answer was due."""
    if duty.state not in OPEN or duty.answer_by is None or duty.said is DutySaid.OVERDUE:
        return None
    remind = duty.answer_by - REMIND_BEFORE
    reminded = duty.side is Side.SENDER or duty.said is DutySaid.DUE or remind <= now
    return max(duty.answer_by, now) if reminded else remind


def demanded(person: Person, line: Disclosed) -> bool:
    """Whether its recipient was told already that it has lost its basis, of whatever end."""
    return any(
        duty.side is Side.SENDER and duty.state is not DutyState.LAPSED and duty.names(line.release, line.item)
        for duty in person.duties
    )
