"""More callers than a service can serve: each asks at once, whatever has become of the others."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from contracts.new_ids import new_id
from tests.every_service.addresses import of
from tests.hostile.target import COMMANDS, Target

SERVICE = "offers"  # the mechanism is everybody's; this one waits for no other
CALLERS = 300  # at 3 000 questions a second still ten for each: far from what one alone may ask
ANSWER_SECONDS_MAX = 60.0
HEAD_END = b"\r\n\r\n"
CREATED = 201


class Told(NamedTuple):
    """What became of one question."""

    key: str
    status: int
    """0 where the line broke."""
    comes_again: bool
    """Whether the answer says when to ask again."""
    id: str
    """Of what has come into being."""
    trouble: str = ""
    """Where the line broke: how."""


class Timed(NamedTuple):
    """When a question was due, and how long after that it was answered."""

    due_at: float
    seconds: float
    told: Told


class Line(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waits: asyncio.Future[tuple[bytes, bytes]] | None = None
        self._transport: asyncio.Transport
        self.open = True

    async def ask(self, question: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer. ConnectionError where there is none."""
        if self._transport.is_closing():  # the other end has hung up, and nobody has told this one yet
            raise ConnectionError
        self._waits = asyncio.get_running_loop().create_future()
        self._transport.write(question)
        return await self._waits

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is open."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer waits in vain."""
        self.open = False
        if self._waits is not None and not self._waits.done():
            self._waits.set_exception(exc or ConnectionError())

    def data_received(self, data: bytes) -> None:
        """Put the answer together."""
        self._buffer += data
        head, end, body = self._buffer.partition(HEAD_END)
        if not end or len(body) < _length(head):
            return
        self._buffer = b""
        self.open = b"connection: close" not in head.lower()
        if self._waits is not None and not self._waits.done():
            self._waits.set_result((head.lower(), body))


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)


@dataclass
class Flood:
    """All callers of one service."""

    target: Target
    service: str = SERVICE
    body: bytes = b""
    """Without one a whole one is made up."""
    met_a_close: int = 0
    """Questions on a line that had rested and was closed at that moment: asked again on a new one, under the same key,
    as clients do (RFC 9112, 9.3.1)."""
    _idle: list[Line] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count()
        route = of(self.service, COMMANDS[self.service])
        self._role, self._path = min(route.allow.roles), route.path
        self._where = urlsplit(self.target.url(self.service))
        self.body = self.body or json.dumps(self.target.body(self.service)).encode()
        self._tokens = [self.a_caller() for _ in range(CALLERS)]

    def question(self, key: str, token: str | None = None) -> bytes:
        """To be sent as it is. `token`: of whom; without it of the next caller."""
        token = token or self._tokens[next(self._numbers) % CALLERS]
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: {self._where.netloc}\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(self.body)}\r\nidempotency-key: {key}"
        )
        return head.encode() + HEAD_END + self.body

    def a_caller(self) -> str:
        """The token of somebody new."""
        return self.target.token(self.service, self._role)

    async def ask(self, key: str = "", token: str | None = None) -> Told:
        """One command, on a line that is free or on a new one."""
        key = key or str(new_id())
        line = self._rested()
        if line is not None:
            try:
                return await self._answered(line, key, token)
            except ConnectionError:
                self.met_a_close += 1
        try:
            return await self._answered(await self._opened(), key, token)
        except (OSError, TimeoutError) as error:
            return Told(key, 0, comes_again=False, id="", trouble=repr(error))

    async def _answered(self, line: Line, key: str, token: str | None) -> Told:
        head, body = await asyncio.wait_for(line.ask(self.question(key, token)), ANSWER_SECONDS_MAX)
        if line.open:
            self._idle.append(line)
        status = int(head[9:12])
        made = json.loads(body)["id"] if status == CREATED else ""
        return Told(key, status, b"\r\nretry-after: " in head, made)

    async def at_once(self, lines: int, token: str | None = None) -> list[Told]:
        """So many at the same moment, each on a line of its own."""
        return await asyncio.gather(*(self.ask(token=token) for _ in range(lines)))

    async def without_pause(self, lines: int, seconds: float) -> Sequence[Timed]:
        """So many ask at a time, each again as soon as it was answered."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds

        async def one() -> list[Timed]:
            found = []
            while loop.time() < until:
                found.append(await self._timed(loop.time()))
            return found

        return [each for found in await asyncio.gather(*(one() for _ in range(lines))) for each in found]

    async def at_their_own_times(
        self, phases: Sequence[tuple[float, float]], chance: random.Random
    ) -> Sequence[Sequence[Timed]]:
        """So many a second for so long, in each phase, whatever becomes of those before: who comes does not know."""
        loop = asyncio.get_running_loop()
        until = loop.time()
        asking: list[list[asyncio.Task[Timed]]] = []
        for per_second, seconds in phases:
            due_at, until = until, until + seconds
            asking.append([])
            while (due_at := due_at + chance.expovariate(per_second)) < until:
                await asyncio.sleep(max(0.0, due_at - loop.time()))
                asking[-1].append(asyncio.create_task(self._timed(due_at)))
        return [await asyncio.gather(*phase) for phase in asking]

    async def _timed(self, due_at: float) -> Timed:
        told = await self.ask()
        return Timed(due_at, asyncio.get_running_loop().time() - due_at, told)

    def hang_up(self) -> None:
        """On every line that is free."""
        for line in self._idle:
            line.close()
        self._idle.clear()

    def _rested(self) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            if line.open:
                return line
        return None

    async def _opened(self) -> Line:
        host, port = self._where.hostname or "", self._where.port or 0
        _, line = await asyncio.get_running_loop().create_connection(Line, host, port)
        return line
