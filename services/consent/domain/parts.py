"""The parts of a person: each decides by a table of its own, and what it decides is the person's decision."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from chassis.transitions import Decided, Refused, Tell
from contracts.ids import HandoverRef
from services.consent.domain.words import (
    Consent,
    Duty,
    Part,
    Person,
    Reception,
    Release,
    Restriction,
    Transmission,
    Waiver,
    found,
    put,
)

Answer = Decided[Person] | Refused


class MissingRowError(LookupError):
    """A command that only the domain gives has no row in the state it met: a bug, found by the tests of the tables."""


PARTS: Mapping[type[Any], str] = {
    Consent: "consents", Transmission: "transmissions", Reception: "receptions", Duty: "duties", Release: "releases",
    Restriction: "restrictions", Waiver: "waivers",
}


def with_part(person: Person, part: Part) -> Person:
    """The person with this part in its place, spoken of."""
    name = PARTS[type(part)]
    parts = put(getattr(person, name), part)
    changed: dict[str, Any] = {name: parts, "spoken_of": found(parts, part.id)}
    return replace(person, **changed)


def of_person(person: Person, decided: Decided[Part] | Refused) -> Answer:
    """A part's decision as the person's."""
    if isinstance(decided, Refused):
        return decided
    return Decided(with_part(person, decided.subject), decided.tells, decided.deadlines, decided.errands)


def folded(
    person: Person, tells: tuple[Tell, ...], decided: Decided[Part] | Refused
) -> tuple[Person, tuple[Tell, ...]]:
    """Add a part's decision that has a row in every state it is asked in."""
    if isinstance(decided, Refused):
        raise MissingRowError(f"{decided.reason} in {decided.state}")
    return with_part(person, decided.subject), tells + decided.tells


def of_handover(person: Person, handover: HandoverRef) -> Transmission | None:
    """What goes out under that handover, where we are its sender."""
    return next((t for t in person.transmissions if t.handover == handover), None)
