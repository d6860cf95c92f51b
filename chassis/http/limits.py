"""Limits on everything a caller can make grow: headers, body, time, requests per second, waiting."""
from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TypeVar

from starlette.types import Receive

from chassis.http.problems import Trouble, Turned

Take = Callable[[int], None]
"""Takes room for so many bytes."""

Kept = TypeVar("Kept")

JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"  # the media types of bodies
FORM_BYTES_MAX = 4 * 1024  # what people fill in on a page: some words, percent-encoded
BODY_BYTES_MAX = 256 * 1024  # what is larger travels in parts; no command comes near it
BODY_SECONDS_MAX = 10.0  # a phone on a bad line sends 256 KB in this time; a slow attack does not
HEADERS_BYTES_MAX = 16 * 1024  # a token of 8 KB and what proxies add
REQUESTS_PER_SECOND = 100.0  # per caller; a system that works for a whole office stays below it
CALLERS_MAX = 10_000  # buckets kept; the one unused longest goes first, which only ever gives its caller more
# Read into memory a body takes up to twenty-five times its length (`[{},{},…]`); so all that are worked on take 150 MB
# at most. While they come in they are bytes, and may be slow.
WORKED_ON_BYTES_MAX, WORKED_ON_BYTES_OF_ONE = 6 * 1024 * 1024, 2 * 1024 * 1024
COMING_IN_BYTES_MAX, COMING_IN_BYTES_OF_ONE = 32 * 1024 * 1024, 4 * 1024 * 1024
WAITERS_PER_CALLER = 8  # who asks faster than news travels is told to come back
WAITERS_MAX = 64
WRONG_AT_ONCE, WRONG_AGAIN_SECONDS = 5, 60.0  # who mistypes twice is not stopped, nor long remembered
WRONG_OF_ALL, WRONG_OF_ALL_AGAIN_SECONDS = 100, 1.0
EVERYWHERE = ""  # the line of all who were wrong lately; no place is called so
TURN_SECONDS = 1.0  # between two who stand in line: who guesses gets 3,600 an hour, who is right waits for a moment
IN_LINE_SECONDS_MAX = 10.0  # longer nobody looks at a page that does not come
PLACES_MAX = 10_000  # remembered; the one wrong longest ago goes first, and could be wrong anew


def check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Refuse what no client of ours sends."""
    if sum(map(len, headers)) + sum(map(len, headers.values())) > HEADERS_BYTES_MAX:
        raise Turned(Trouble.HEADERS_TOO_LARGE)


def check_media_type(headers: Mapping[bytes, bytes], wanted: bytes = JSON) -> None:
    """A body is what the address takes, plain: a compressed one could unfold to anything."""
    kind, _, parameters = headers.get(b"content-type", b"").partition(b";")
    charset = parameters.strip().lower().replace(b'"', b"")
    if kind.strip().lower() != wanted or charset not in {b"", b"charset=utf-8"}:
        raise Turned(Trouble.UNSUPPORTED_MEDIA_TYPE)
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Turned(Trouble.UNSUPPORTED_MEDIA_TYPE)


async def read_body(
    receive: Receive, headers: Mapping[bytes, bytes], take: Take, most: int = BODY_BYTES_MAX
) -> bytes:
    """The whole body, as long as it says, in time, and not longer than anybody needs; `take` is told of every piece."""
    announced = _announced(headers, most)
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            body = await _received(receive, take, most)
    except TimeoutError as error:
        raise Turned(Trouble.BODY_TIMEOUT) from error
    if announced is not None and announced != len(body):
        raise Turned(Trouble.BODY_INCOMPLETE)
    return body


def _announced(headers: Mapping[bytes, bytes], most: int) -> int | None:
    length = headers.get(b"content-length")
    if length is None:
        return None
    if not length.isdigit():
        raise Turned(Trouble.BODY_INCOMPLETE)
    if len(length) > len(str(most)) or int(length) > most:
        raise Turned(Trouble.BODY_TOO_LARGE)
    return int(length)


async def _received(receive: Receive, take: Take, most: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Turned(Trouble.BODY_INCOMPLETE)
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise Turned(Trouble.BODY_TOO_LARGE)
        take(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


class Room:
    """So many bytes for all who ask, a part of them for each: many large bodies at once are more than memory holds."""

    def __init__(self, most: int, of_one: int) -> None:
        self._most, self._of_one = most, of_one
        self._held: Counter[str] = Counter()
        self._all = 0

    @contextmanager
    def held(self, caller: str) -> Iterator[Take]:
        """Yields what takes room for this caller until the block ends; it raises Turned where there is none left."""
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            if self._held[caller] + size > self._of_one:
                raise Turned(Trouble.TOO_MANY_REQUESTS)
            if self._all + size > self._most:
                raise Turned(Trouble.OVERLOADED)
            mine += size
            self._all += size
            self._held[caller] += size

        try:
            yield take
        finally:
            self._all -= mine
            self._held[caller] -= mine
            if not self._held[caller]:
                del self._held[caller]


class Buckets:
    """A token bucket per caller: so many requests per second, twice as many at once after a pause."""

    def __init__(self, per_second: float = REQUESTS_PER_SECOND, clock: Callable[[], float] = monotonic) -> None:
        self._per_second, self._burst, self._clock = per_second, per_second * 2, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> None:
        """One request of this caller; Turned when it has none left."""
        now = self._clock()
        left, at = self._left.get(caller, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._per_second)
        enough = left >= 1
        self._left[caller] = (left - 1 if enough else left, now)
        self._left.move_to_end(caller)
        if len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)
        if not enough:
            raise Turned(Trouble.TOO_MANY_REQUESTS)


@dataclass(frozen=True, slots=True)
class Turn:
    """A try at this place, to be made so many seconds from now. `counted`: as wrong there, until it was right."""

    place: str
    in_seconds: float
    counted: bool


class Tries:
    """How often somebody may be wrong about a secret: few times at once, then in line, one after the other.

    A try counts as wrong until it is told to have been right, so that many at once are as many. Nobody is shut out by
    whoever else is wrong at the same place: they take turns, and only where the line is too long is nobody let in.
    While all together are wrong too often, those places that have been wrong lately stand in one line, and one that
    has not is heard at once. What is counted is in this process: where several serve the same address, each gives a
    place as many tries.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._wrong: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._wrong_of_all = (0.0, clock())
        self._next_turn: OrderedDict[str, float] = OrderedDict()

    def begin(self, place: str) -> Turn | None:
        """When one at this place may try; None where the line is too long."""
        now, known = self._clock(), self._wrong_now(place)
        counted = known + 1 <= WRONG_AT_ONCE
        lines = [] if counted else [place]
        if known and self._all(now) >= WRONG_OF_ALL:
            lines.append(EVERYWHERE)
        turn = max([now, *(self._next_turn.get(line, now) for line in lines)])
        if turn - now > IN_LINE_SECONDS_MAX:
            return None
        for line in lines:
            _keep(self._next_turn, line, turn + TURN_SECONDS)
        if counted:
            self._count(place, known + 1, now)
        self._wrong_of_all = (self._all(now) + 1, now)
        return Turn(place, turn - now, counted)

    def right(self, turn: Turn) -> None:
        """That try was right."""
        now = self._clock()
        if turn.counted:
            self._count(turn.place, max(0.0, self._wrong_now(turn.place) - 1), now)
        self._wrong_of_all = (max(0.0, self._all(now) - 1), now)

    def _wrong_now(self, place: str) -> float:
        """Wrong tries of this place that are not forgotten yet."""
        wrong, at = self._wrong.get(place, (0.0, 0.0))
        return max(0.0, wrong - (self._clock() - at) / WRONG_AGAIN_SECONDS)

    def _all(self, now: float) -> float:
        wrong, at = self._wrong_of_all
        return max(0.0, wrong - (now - at) / WRONG_OF_ALL_AGAIN_SECONDS)

    def _count(self, place: str, wrong: float, now: float) -> None:
        if wrong:
            _keep(self._wrong, place, (wrong, now))
        else:
            self._wrong.pop(place, None)


def _keep(of_places: OrderedDict[str, Kept], place: str, what: Kept) -> None:
    of_places[place] = what
    of_places.move_to_end(place)
    if len(of_places) > PLACES_MAX:
        of_places.popitem(last=False)


class Waiters:
    """Who is waiting for news, few at a time: waiting is cheap, but not free."""

    def __init__(self) -> None:
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def wait(self, caller: str) -> Iterator[bool]:
        """Whether there is room for this caller to wait; if so it is taken until the block ends."""
        room = self._waiting.total() < WAITERS_MAX and self._waiting[caller] < WAITERS_PER_CALLER
        if not room:
            yield False
            return
        self._waiting[caller] += 1
        try:
            yield True
        finally:
            self._waiting[caller] -= 1
            if not self._waiting[caller]:
                del self._waiting[caller]
