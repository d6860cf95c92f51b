"""The maker of new ids: UUIDv7, in whose first 48 bits the time of its making stands."""

import secrets
from datetime import UTC, datetime, timedelta
from threading import Lock
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION = 7
_COUNTER_BITS = 42
_TAIL_BITS = 32


class _Maker:
    """Makes UUIDv7s that increase strictly while their millisecond does not fall (RFC 9562, 6.2, method 1).

    Of the 74 bits beside the time, 42 count within a millisecond and 32 are drawn anew for every id. The counter starts
    at random with its highest bit clear, so it cannot overflow within a millisecond.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._millisecond = -1
        self._counter = 0

    def make(self, millisecond: int, *, never_back: bool) -> UUID:
        """A new id for that millisecond since 1970; `never_back` lifts an earlier one to the latest already used."""
        with self._lock:
            if never_back:
                millisecond = max(millisecond, self._millisecond)
            if millisecond == self._millisecond:
                self._counter += 1
            else:
                self._millisecond, self._counter = millisecond, secrets.randbits(_COUNTER_BITS - 1)
            counter = self._counter
        return _assemble(millisecond, counter, secrets.randbits(_TAIL_BITS))


def _assemble(millisecond: int, counter: int, tail: int) -> UUID:
    """Put the parts where RFC 9562, 5.7 wants them: 48 bits time, version, 12 bits, variant, 62 bits."""
    high, low = counter >> 30, counter & ((1 << 30) - 1)
    return UUID(int=millisecond << 80 | _VERSION << 76 | high << 64 | 0b10 << 62 | low << _TAIL_BITS | tail)


_BY_THE_CLOCK = _Maker()
_AS_TOLD = _Maker()  # of its own, so that a time from the future cannot run ahead of the clock's ids


def new_id(now: datetime | None = None) -> UUID:
    """A new UUIDv7.

    Without `now` the time is the clock's and ids increase strictly within the process, also when the clock is set back.
    With `now` (aware) the id carries exactly that time; ids of the same millisecond made in a row increase.
    """
    if now is None:
        return _BY_THE_CLOCK.make((datetime.now(UTC) - _EPOCH) // _MILLISECOND, never_back=True)
    return _AS_TOLD.make((now - _EPOCH) // _MILLISECOND, never_back=False)
