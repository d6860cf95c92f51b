"""A line to a service: HTTP/1.1 with one request at a time, as cheap as can be, so that the load costs little."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

Answered = Callable[["Line", int], None]
Lost = Callable[["Line", bool], None]
"""(line, whether an answer was awaited)"""
HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length:"


class Line(asyncio.Protocol):
    """`ask` sends a request; `answered` is called with the status when the whole answer is there."""

    def __init__(self, answered: Answered, lost: Lost) -> None:
        self._answered, self._lost = answered, lost
        self._transport: asyncio.Transport
        self._buffer = b""
        self._head = b""
        self._busy = False

    @classmethod
    async def to(cls, url: str, token: str, answered: Answered, lost: Lost) -> Line:
        """A connection to a service for one caller."""
        where = urlsplit(url)
        port = where.port or 80
        loop = asyncio.get_running_loop()
        _, line = await loop.create_connection(lambda: cls(answered, lost), where.hostname or "", port)
        line._head = (  # noqa: SLF001  # the same for every request
            f" HTTP/1.1\r\nhost: {where.netloc}\r\nauthorization: Bearer {token}\r\n"
            "content-type: application/json\r\nidempotency-key: "
        ).encode()
        return line

    def ask(self, path: str, key: str, body: bytes) -> None:
        """Send one command; only when the one before has been answered."""
        self._busy = True
        asked = (b"POST ", path.encode(), self._head, key.encode(), b"\r\ncontent-length: ", str(len(body)).encode())
        self._transport.write(b"".join((*asked, HEAD_END, body)))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The line is open."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """A service hangs up on a line that was quiet for a while; only wrong while an answer is awaited."""
        self._lost(self, self._busy)

    def data_received(self, data: bytes) -> None:
        """Put the answer together; what is in it does not matter here, only that it is whole."""
        self._buffer += data
        end = self._buffer.find(HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(LENGTH)
        length = int(head[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + len(HEAD_END) + length:
            return
        status = int(self._buffer[9:12])
        self._buffer, self._busy = b"", False
        self._answered(self, status)
