"""A line between two that can be spoiled: it accepts and never answers, lets through one way, tears, drips."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import Enum

PIECE_BYTES = 1024


class Way(Enum):
    """How the line is."""

    WHOLE = "everything passes"
    SILENT = "accepts, and nothing passes either way"
    ONE_WAY = "questions pass, answers are swallowed"
    TORN = "an answer is reset in its middle"
    DRIPPING = "an answer comes byte by byte"


SPOILED = (Way.SILENT, Way.ONE_WAY, Way.TORN, Way.DRIPPING)


@dataclass
class Line:
    """Stands before `target`; connections that are open follow a change of `way` at their next piece."""

    target: tuple[str, int]
    way: Way = Way.WHOLE
    torn_after: int = 300
    """Bytes of an answer that pass before it is torn: its head is through by then."""
    drip_seconds: float = 1.0
    """Between two bytes of an answer that drips."""
    met: int = 0
    """Connections that were spoiled."""
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    @contextlib.asynccontextmanager
    async def running(self, port: int) -> AsyncIterator[None]:
        """Accept on this port of the loopback address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._carry(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there: asyncio.StreamWriter | None = None
        try:
            answers, there = await asyncio.open_connection(*self.target)
            asking = asyncio.create_task(self._questions(reader, there))
            try:
                await self._answers(answers, writer)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            writer.close()
        except OSError:
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        finally:
            if there is not None:
                there.transport.abort()

    async def _questions(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        while piece := await reader.read(PIECE_BYTES):
            if self.way is not Way.WHOLE:
                self.met += 1
            if self.way is not Way.SILENT:
                there.write(piece)
                await there.drain()
        there.transport.abort()  # whoever asked has gone; nobody waits for the answer

    async def _answers(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        passed = 0
        while piece := await answers.read(PIECE_BYTES):
            if self.way in (Way.SILENT, Way.ONE_WAY):
                continue
            if self.way is Way.DRIPPING:
                await self._drip(piece, writer)
                continue
            if self.way is Way.TORN and passed + len(piece) > self.torn_after:
                writer.write(piece[: max(0, self.torn_after - passed)])
                await writer.drain()
                writer.transport.abort()
                raise ConnectionResetError
            passed += len(piece)
            writer.write(piece)
            await writer.drain()

    async def _drip(self, piece: bytes, writer: asyncio.StreamWriter) -> None:
        for place in range(len(piece)):
            writer.write(piece[place : place + 1])
            await writer.drain()
            if self.way is not Way.DRIPPING:
                writer.write(piece[place + 1 :])
                return
            await asyncio.sleep(self.drip_seconds)
