"""A small TCP proxy on this machine that can be made slow, and remembers when which byte came: for the demo and the tests."""
from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PIECE_BYTES = 1024
BUFFER_BYTES = 4096  # a small window: what the target has sent is what has come here, not what lies in a kernel


@dataclass
class Proxy:
    """Stands before `target`; `bytes_per_second` limits what the target answers, None lets everything pass."""

    target: tuple[str, int]
    bytes_per_second: int | None = None
    received: list[tuple[float, int]] = field(default_factory=list)
    """(time.monotonic(), bytes) of every piece that came from the target."""

    def received_after(self, moment: float) -> int:
        """How many bytes have come from the target after that moment (time.monotonic())."""
        return sum(count for at, count in self.received if at > moment)

    @contextlib.asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        """Accept on this port of the loopback address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        async with server:
            yield
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)  # before connecting: it sets the window
        connection.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connection, self.target)
            back, forth = await asyncio.open_connection(sock=connection, limit=PIECE_BYTES)
        except OSError:
            connection.close()
            writer.close()
            return
        await asyncio.gather(self._pass(reader, forth), self._answer(back, writer), return_exceptions=True)
        for end in (forth, writer):
            end.close()

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(PIECE_BYTES):
                self.received.append((time.monotonic(), len(piece)))
                writer.write(piece)
                await writer.drain()
                if self.bytes_per_second:
                    await asyncio.sleep(len(piece) / self.bytes_per_second)
            writer.close()
        except ConnectionError:
            writer.transport.abort()  # the client sees the cut as the target made it, not a polite end
