"""What a database says that is weather, and what is the fault of whoever asked."""
from __future__ import annotations

import asyncpg  # type: ignore[import-untyped]  # ships no types
import pytest

from chassis.database import is_weather


@pytest.mark.parametrize(
    ("error", "weather"),
    [
        (asyncpg.exceptions.CannotConnectNowError("starting up"), True),
        (asyncpg.exceptions.TooManyConnectionsError("full"), True),
        (asyncpg.exceptions.ObjectNotInPrerequisiteStateError("nobody is let in now"), True),
        (asyncpg.exceptions.InvalidPasswordError("not like this"), False),
        (asyncpg.exceptions.UniqueViolationError("not like this"), False),
        (ValueError("a bug"), False),
    ],
)
def test_what_the_driver_raises_while_it_connects_is_judged_by_its_code(error: Exception, weather: bool) -> None:
    assert is_weather(error) is weather
