"""Where a young person stands between school and work, and how old: rules over school facts and a birth date."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from contracts.calendar import begin_of, day_of
from contracts.codes import AgeBand, Phase

AGE_YEARS_EXPECTED = range(12, 28)  # who the cooperation is for; others are registered with a warning
AGE_OF_MAJORITY = 18
AGE_YEARS_MAX = 120  # beyond that the birth date is a slip of the pen
GRADE_OF_CONCRETION = 9
GRADE_OF_ORIENTATION = 7

# First completed year of each band, and the band it begins.
BANDS: tuple[tuple[int, AgeBand], ...] = (
    (0, AgeBand.UNDER_15),
    (15, AgeBand.FROM_15_TO_17),
    (18, AgeBand.FROM_18_TO_20),
    (21, AgeBand.FROM_21_TO_24),
    (25, AgeBand.FROM_25_TO_27),
    (28, AgeBand.OVER_27),
)


class Training(StrEnum):
    """What is known about vocational training."""

    NONE = "none"
    RUNNING = "running"
    DROPPED_OUT = "dropped_out"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class SchoolFacts:
    """What the phase is derived from; `grade` is the grade attended now (None: unknown or out of school)."""

    grade: int | None = None
    final_year: bool = False
    left_school: bool = False
    training: Training = Training.NONE


def phase_of(facts: SchoolFacts) -> Phase | None:
    """The phase these facts stand for, the latest that fits; None below grade 7, where no phase has begun.

    A final year wins over its grade (grade 9 may be the last one); after a drop-out a person is in transition again.
    """
    grade = facts.grade or 0
    rules = (
        (facts.training is Training.COMPLETED, Phase.AFTER_TRAINING),
        (facts.left_school or facts.training is not Training.NONE, Phase.TRANSITION),
        (facts.final_year, Phase.FINAL_YEAR),
        (grade >= GRADE_OF_CONCRETION, Phase.CONCRETION),
        (grade >= GRADE_OF_ORIENTATION, Phase.ORIENTATION),
    )
    return next((phase for holds, phase in rules if holds), None)


def age_on(birth_date: date, day: date) -> int:
    """Completed years; who was born on 29 February completes one with the end of 28 February (§ 188(2) BGB)."""
    return day.year - birth_date.year - ((day.month, day.day) < (birth_date.month, birth_date.day))


def age_band(birth_date: date, now: datetime) -> AgeBand:
    """The band of the age in completed years at that moment."""
    age = age_on(birth_date, day_of(now))
    return next(band for first, band in reversed(BANDS) if age >= first or first == 0)


def next_band_at(birth_date: date, now: datetime) -> datetime | None:
    """When (UTC) the age band changes next; None once the last one has begun."""
    age = age_on(birth_date, day_of(now))
    first = next((first for first, _ in BANDS if first > age), None)
    if first is None:
        return None
    return begin_of(_birthday(birth_date, birth_date.year + first))  # § 187(2) BGB: a birthday begins at midnight


def of_age_on(birth_date: date) -> date:
    """The day on which somebody is 18 (§ 2 BGB)."""
    return _birthday(birth_date, birth_date.year + AGE_OF_MAJORITY)


def _birthday(birth_date: date, year: int) -> date:
    try:
        return birth_date.replace(year=year)
    except ValueError:  # 29 February in a year without one
        return date(year, 3, 1)


def is_valid_birth_date(birth_date: date, now: datetime) -> bool:
    """Neither in the future nor longer ago than anybody lives."""
    return 0 <= age_on(birth_date, day_of(now)) <= AGE_YEARS_MAX


def is_expected_age(birth_date: date, now: datetime) -> bool:
    """Whether the age is one the cooperation is made for."""
    return age_on(birth_date, day_of(now)) in AGE_YEARS_EXPECTED
