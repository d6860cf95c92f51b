"""A person's duties as a whole: what each is about, and which of them something ends or answers."""

from dataclasses import replace
from typing import Any

from chassis.transitions import Context, Decided
from contracts.events import ITEMS_MAX
from contracts.ids import HandoverRef, ItemId, ReleaseId
from services.consent.domain import commands as c
from services.consent.domain.duties import DUTIES
from services.consent.domain.parts import folded
from services.consent.domain.passing_on import all_answered
from services.consent.domain.words import Disclosed, Duty, DutyState, Person, found


def by_handover(lines: tuple[Disclosed, ...]) -> list[tuple[HandoverRef, list[Disclosed]]]:
    """The same lines, by the handover under which they left."""
    grouped: dict[HandoverRef, list[Disclosed]] = {}
    for line in lines:
        grouped.setdefault(line.handover, []).append(line)
    return sorted(grouped.items())


def releases_of(lines: list[Disclosed]) -> tuple[ReleaseId, ...]:
    """Each release once by which one of these lines has left."""
    return tuple(dict.fromkeys(line.release for line in lines))


def part_of(person: Person, releases: tuple[ReleaseId, ...], lines: list[Disclosed]) -> tuple[ItemId, ...]:
    """Which items of these releases it is about; nothing where it is all that has left by them.

    Nor where they are more than one event can name: then all of it has to go, rather than too little.
    """
    left = {(line.release, line.item) for line in person.ledger if line.release in releases}
    whole = left == {(line.release, line.item) for line in lines} or len(lines) > ITEMS_MAX
    return () if whole else tuple(dict.fromkeys(line.item for line in lines))


def lapsed(decided: Decided[Person], handover: HandoverRef, context: Context) -> Decided[Person]:
    """Nothing is left at the receiver: no duty of this handover is owed any more."""
    person, tells = decided.subject, decided.tells
    for duty in person.duties:
        if duty.handover == handover:
            person, tells = folded(person, tells, DUTIES.decide(duty, c.NothingLeft(duty.id), context))
    return replace(decided, subject=person, tells=tells)


def answered_in_turn(decided: Decided[Person], context: Context) -> Decided[Person]:
    """What was waited for may have come: whose own part is done has answered when everybody has whom it had told."""
    person, tells = decided.subject, decided.tells
    for duty in person.duties:
        if duty.state is DutyState.WAITS and (word := all_answered(person, duty)) is not None:
            person, tells = folded(person, tells, DUTIES.decide(duty, word, context))
    spoken_of = decided.subject.spoken_of
    if isinstance(spoken_of, Duty):
        spoken_of = found(person.duties, spoken_of.id)
    return replace(decided, subject=replace(person, spoken_of=spoken_of), tells=tells)


def received_by_duty(person: Person, duty: Duty) -> tuple[Any, ...]:
    """What is stored here by the releases the duty names."""
    return tuple(
        item
        for reception in person.receptions
        for stored in reception.stored
        for item in stored.items
        if duty.names(stored.release, item)
    )
