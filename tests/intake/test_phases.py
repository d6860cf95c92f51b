"""The rule for the phase and the age band, line by line."""

from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.codes import AgeBand, Phase
from services.intake.domain.phases import (
    SchoolFacts,
    Training,
    age_band,
    age_on,
    is_expected_age,
    is_valid_birth_date,
    next_band_at,
    phase_of,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("facts", "phase"),
    [
        (SchoolFacts(), None),
        (SchoolFacts(grade=6), None),
        (SchoolFacts(grade=7), Phase.ORIENTATION),
        (SchoolFacts(grade=8), Phase.ORIENTATION),
        (SchoolFacts(grade=8, final_year=True), Phase.FINAL_YEAR),
        (SchoolFacts(grade=9), Phase.CONCRETION),
        (SchoolFacts(grade=9, final_year=True), Phase.FINAL_YEAR),
        (SchoolFacts(grade=10), Phase.CONCRETION),
        (SchoolFacts(grade=13, final_year=True), Phase.FINAL_YEAR),
        (SchoolFacts(left_school=True), Phase.TRANSITION),
        (SchoolFacts(grade=9, final_year=True, left_school=True), Phase.TRANSITION),
        (SchoolFacts(left_school=True, training=Training.RUNNING), Phase.TRANSITION),
        (SchoolFacts(left_school=True, training=Training.DROPPED_OUT), Phase.TRANSITION),
        (SchoolFacts(training=Training.DROPPED_OUT), Phase.TRANSITION),
        (SchoolFacts(left_school=True, training=Training.COMPLETED), Phase.AFTER_TRAINING),
        (SchoolFacts(training=Training.COMPLETED), Phase.AFTER_TRAINING),
    ],
)
def test_the_phase_is_the_latest_that_the_school_facts_stand_for(facts: SchoolFacts, phase: Phase | None) -> None:
    assert phase_of(facts) == phase


@pytest.mark.parametrize(
    ("years", "band"),
    [
        (0, AgeBand.UNDER_15),
        (14, AgeBand.UNDER_15),
        (15, AgeBand.FROM_15_TO_17),
        (18, AgeBand.FROM_18_TO_20),
        (21, AgeBand.FROM_21_TO_24),
        (25, AgeBand.FROM_25_TO_27),
        (27, AgeBand.FROM_25_TO_27),
        (28, AgeBand.OVER_27),
        (60, AgeBand.OVER_27),
    ],
)
def test_the_age_band_counts_completed_years(years: int, band: AgeBand) -> None:
    assert age_band(date(2026 - years, 11, 23), NOON) == band


def test_a_birthday_begins_at_midnight_in_germany() -> None:
    born = date(2011, 11, 24)
    due = next_band_at(born, NOON)
    assert due == datetime(2026, 11, 23, 23, 0, tzinfo=UTC)
    assert age_band(born, due - timedelta(seconds=1)) is AgeBand.UNDER_15
    assert age_band(born, due) is AgeBand.FROM_15_TO_17


def test_in_summer_midnight_is_two_hours_earlier() -> None:
    assert next_band_at(date(2009, 7, 1), NOON) == datetime(2027, 6, 30, 22, 0, tzinfo=UTC)


def test_who_was_born_on_29_february_is_15_on_the_first_of_march() -> None:
    born = date(2012, 2, 29)
    assert age_on(born, date(2027, 2, 28)) == 14
    assert age_on(born, date(2027, 3, 1)) == 15
    assert next_band_at(born, NOON) == datetime(2027, 2, 28, 23, 0, tzinfo=UTC)


def test_the_last_age_band_has_no_next() -> None:
    assert next_band_at(date(1990, 1, 1), NOON) is None


@pytest.mark.parametrize(
    ("born", "valid"),
    [(date(2026, 11, 24), False), (date(2026, 11, 23), True), (date(1906, 11, 23), True), (date(1905, 11, 23), False)],
)
def test_a_birth_date_lies_neither_ahead_nor_too_far_back(born: date, *, valid: bool) -> None:
    assert is_valid_birth_date(born, NOON) is valid


@pytest.mark.parametrize(("years", "expected"), [(11, False), (12, True), (27, True), (28, False)])
def test_the_expected_age_is_12_to_27(years: int, *, expected: bool) -> None:
    assert is_expected_age(date(2026 - years, 11, 23), NOON) is expected
