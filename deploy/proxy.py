"""A small TCP proxy on this machine that can be made slow, and knows how much has come: for the demo and the tests."""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import socket
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

PIECE_BYTES = 1024
BUFFER_BYTES = 4096  # a small window: then what the target could not yet send waits at the target, not in our kernel


@dataclass
class Connection:
    """One connection to the target."""

    line: socket.socket
    read: int = 0

    def arrived(self) -> int:
        """How many bytes have come from the target so far, those included that nobody has read yet."""
        if self.line.fileno() < 0:
            return self.read
        waiting = array.array("i", [0])
        fcntl.ioctl(self.line.fileno(), termios.FIONREAD, waiting)
        return self.read + waiting[0]


@dataclass
class Proxy:
    """Stands before `target`; `bytes_per_second` limits what the target answers, None lets everything pass."""

    target: tuple[str, int]
    bytes_per_second: int | None = None
    connections: list[Connection] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        """Accept on this port of the loopback address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)  # before connecting: it sets the window
        line.setblocking(False)  # noqa: FBT003  # that is how sockets are told
        connection = Connection(line)
        self.connections.append(connection)
        asking = None
        try:
            await asyncio.get_running_loop().sock_connect(line, self.target)
            asking = asyncio.create_task(self._ask(reader, line))
            await self._answer(connection, writer)
            writer.close()
        except OSError:
            writer.transport.abort()  # the client sees the cut as the target made it, not a polite end
        finally:
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            line.close()

    @staticmethod
    async def _ask(reader: asyncio.StreamReader, line: socket.socket) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await asyncio.get_running_loop().sock_sendall(line, piece)
        line.shutdown(socket.SHUT_WR)

    async def _answer(self, connection: Connection, writer: asyncio.StreamWriter) -> None:
        while piece := await asyncio.get_running_loop().sock_recv(connection.line, PIECE_BYTES):
            connection.read += len(piece)
            writer.write(piece)
            await writer.drain()
            if self.bytes_per_second:
                await asyncio.sleep(len(piece) / self.bytes_per_second)
