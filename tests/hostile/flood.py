"""More callers than a service can serve: each asks at once, whatever has become of the others."""

from __future__ import annotations

import asyncio
import json
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


class Line(asyncio.Protocol):
    """One connection, one question at a time."""

    def __init__(self) -> None:
        self._buffer = b""
        self._waits: asyncio.Future[tuple[bytes, bytes]] | None = None
        self._transport: asyncio.Transport
        self.open = True

    async def ask(self, question: bytes) -> tuple[bytes, bytes]:
        """Head and body of the answer. ConnectionError where there is none."""
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
        try:
            line = await self._a_line()
            head, body = await asyncio.wait_for(line.ask(self.question(key, token)), ANSWER_SECONDS_MAX)
        except (OSError, TimeoutError):
            return Told(key, 0, comes_again=False, id="")
        if line.open:
            self._idle.append(line)
        status = int(head[9:12])
        made = json.loads(body)["id"] if status == CREATED else ""
        return Told(key, status, b"\r\nretry-after: " in head, made)

    async def at_once(self, lines: int, token: str | None = None) -> list[Told]:
        """So many at the same moment, each on a line of its own."""
        return await asyncio.gather(*(self.ask(token=token) for _ in range(lines)))

    def hang_up(self) -> None:
        """On every line that is free."""
        for line in self._idle:
            line.close()
        self._idle.clear()

    async def _a_line(self) -> Line:
        while self._idle:
            line = self._idle.pop()
            if line.open:
                return line
        return await self._opened()

    async def _opened(self) -> Line:
        host, port = self._where.hostname or "", self._where.port or 0
        _, line = await asyncio.get_running_loop().create_connection(Line, host, port)
        return line
