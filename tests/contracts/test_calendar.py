"""A day that counts is one in Germany, also where a night has an hour more or less."""

from datetime import UTC, date, datetime, timedelta

import pytest

from contracts.calendar import begin_of, day_of, end_of

HOURS = {date(2026, 3, 28): 24, date(2026, 3, 29): 23, date(2026, 7, 1): 24, date(2026, 10, 25): 25}


@pytest.mark.parametrize(("day", "hours"), HOURS.items(), ids=str)
def test_a_day_is_every_instant_from_midnight_to_midnight_and_no_other(day: date, hours: int) -> None:
    instant = timedelta(microseconds=1)
    assert end_of(day) - begin_of(day) == timedelta(hours=hours)
    assert {day_of(begin_of(day)), day_of(end_of(day) - instant)} == {day}
    assert day not in {day_of(begin_of(day) - instant), day_of(end_of(day))}


def test_it_begins_before_that_of_machines() -> None:
    assert begin_of(date(2026, 1, 1)) == datetime(2025, 12, 31, 23, tzinfo=UTC)
    assert begin_of(date(2026, 7, 1)) == datetime(2026, 6, 30, 22, tzinfo=UTC)
