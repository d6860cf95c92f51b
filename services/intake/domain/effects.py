"""What a command changes about a case, one function per command: pure, from a case to a case."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from chassis.transitions import Context, Reservation
from contracts.codes import AgeBand
from services.intake.domain import commands as asked
from services.intake.domain.case import (
    Case,
    DossierState,
    HeldItem,
    PhaseChange,
    PhaseSource,
    ReceivedRelease,
    RecordedNeed,
    Warned,
    Writes,
)
from services.intake.domain.persons import Person
from services.intake.domain.phases import SchoolFacts, age_band, is_expected_age, phase_of

NUMBER_BITS = 40  # of the id's random tail: eight characters, short enough to say on the phone
_SIGNS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32: none of them is taken for another


def made_number(case: Any, *, bits: int = NUMBER_BITS) -> str:
    """A local number made from a case's id, for agencies that bring none."""
    tail = case.int & ((1 << bits) - 1)
    signs = [_SIGNS[(tail >> shift) & 31] for shift in range(bits - 5, -1, -5)]
    return "".join(signs)
