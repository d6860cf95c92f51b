"""The line to a door, with an ear on it: whose dossier is asked for, and how much of each answer has come by when."""

from __future__ import annotations

import array
import asyncio
import fcntl
import re
import socket
import termios
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from deploy.proxy import BUFFER_BYTES, PIECE_BYTES
from tests.crash.history import Passage, Shut

ASKED = re.compile(rb'"handover":\s*"([0-9a-f-]{36})"')
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")


class Door:
    """Stands before the door at `target`; slow, so that answers take a part of a lease's time."""

    def __init__(self, target: tuple[str, int], bytes_per_second: int | None) -> None:
        self._target, self.bytes_per_second = target, bytes_per_second
        self.passages: list[Passage] = []
        self._now: dict[int, socket.socket] = {}
        """Passages under way, with the connection on which bytes may have come that nobody has read yet."""

    def shut(self, why: str, handovers: Iterable[str]) -> list[Shut]:
        """From now on nothing may come about these."""
        wanted = set(handovers)
        arrived = {n: self._arrived(n) for n, passage in enumerate(self.passages) if passage.handover in wanted}
        return [Shut(why, handover, arrived) for handover in sorted(wanted)]

    def _arrived(self, number: int) -> int:
        line = self._now.get(number)
        if line is None or line.fileno() < 0:
            return self.passages[number].read
        waiting = array.array("i", [0])
        fcntl.ioctl(line.fileno(), termios.FIONREAD, waiting)
        return self.passages[number].read + waiting[0]

    @asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        """Accept on this port of the loopback address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)  # what is unsent waits at the door
        line.setblocking(False)
        present: list[int] = []
        asking = None
        try:
            await asyncio.get_running_loop().sock_connect(line, self._target)
            asking = asyncio.create_task(self._ask(reader, line, present))
            await self._answer(line, writer, present)
            writer.close()
        except OSError:
            writer.transport.abort()
        finally:
            for number in present:
                self._now.pop(number, None)
            if asking is not None:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            line.close()

    async def _ask(self, reader: asyncio.StreamReader, line: socket.socket, present: list[int]) -> None:
        heard = b""
        while piece := await reader.read(PIECE_BYTES):
            heard += piece
            if asked := ASKED.search(heard):
                heard = heard[asked.end() :]
                for number in present:
                    self._now.pop(number, None)
                present[:] = [len(self.passages)]
                self._now[present[0]] = line
                self.passages.append(Passage(asked[1].decode()))
            await asyncio.get_running_loop().sock_sendall(line, piece)
        line.shutdown(socket.SHUT_WR)

    async def _answer(self, line: socket.socket, writer: asyncio.StreamWriter, present: list[int]) -> None:
        while piece := await asyncio.get_running_loop().sock_recv(line, PIECE_BYTES):
            if present:
                passage = self.passages[present[0]]
                if passage.status is None and (found := STATUS.match(piece)):
                    passage.status = int(found[1])
                passage.read += len(piece)
            writer.write(piece)
            await writer.drain()
            if self.bytes_per_second:
                await asyncio.sleep(len(piece) / self.bytes_per_second)
