"""Days that count between agencies: agreements, rows of the matrix, reviews and birthdays hold for days in Germany.

A day begins and ends at midnight there (§§ 187, 188 BGB), whatever the clock of a machine says.
"""

from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

GERMANY: Final = ZoneInfo("Europe/Berlin")


def day_of(moment: datetime) -> date:
    """The day it is in Germany at that moment."""
    return moment.astimezone(GERMANY).date()


def begin_of(day: date) -> datetime:
    """The first instant of that day, in UTC."""
    return datetime.combine(day, time(), GERMANY).astimezone(UTC)


def end_of(day: date) -> datetime:
    """The first instant that is no longer that day, in UTC."""
    return begin_of(day + timedelta(days=1))
