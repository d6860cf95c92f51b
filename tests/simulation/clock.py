"""The one clock of a history, and ids that carry its time: chance and time come from the seed alone."""

from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

BEGIN: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # a Monday; the agreements hold until 2035
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)
_APART: Final = 16  # bits between two ids: a decision may use the ids after one it was given


class Clock:
    """`now` for everybody: databases, processes, people. It never goes back."""

    def __init__(self) -> None:
        self.now = BEGIN
        self._made = 0

    def advance(self, by: timedelta) -> None:
        self.now += by

    def new_id(self) -> UUID:
        """A UUIDv7 of this moment, later ones greater."""
        self._made += 1
        milliseconds = (self.now - _EPOCH) // _MILLISECOND
        return UUID(int=milliseconds << 80 | 7 << 76 | 0b10 << 62 | self._made << _APART)
