"""The server: uvicorn with an accept loop of our own, and without its signal handlers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Generator

import uvicorn

from chassis.http.line import CONNECTIONS_MAX, LineProtocol, Lines

log = logging.getLogger(__name__)

LISTEN_BACKLOG = 1024  # connections the kernel keeps while the process is busy, and that are let in at once afterwards
LINES_MAX = CONNECTIONS_MAX + LISTEN_BACKLOG  # open at once: those too many among them can still be told so
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
NO_ROOM_SECONDS = 1.0  # before another connection is let in, where the process may have no more files


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: several services may share a process, one place hears the signals.

    Whoever waits is let in at once. uvloop itself lets one in with every round of its loop: in a flood rounds are long,
    what waits becomes more than the kernel keeps, and callers would hear nothing, neither an answer nor when to return.
    Raises ValueError where it should speak TLS: it does not.
    """

    def __init__(self, config: uvicorn.Config, listener: socket.socket) -> None:
        if config.is_ssl:
            raise ValueError("this server does not speak TLS")
        super().__init__(config)
        self.server_state = self._lines = Lines()
        self._listener = listener
        self._coming_in: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing is captured."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # uvicorn's form
        """Begin to let callers in."""
        await super().startup([])
        self._listener.settimeout(0)
        self._open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002  # uvicorn's form
        """Let in nobody more; then what uvicorn does."""
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        await asyncio.gather(*self._coming_in)  # or nobody would tell them that it ends
        await super().shutdown([])

    def _open(self) -> None:
        if not self.should_exit:
            asyncio.get_running_loop().add_reader(self._listener, self._let_in)

    def _let_in(self) -> None:
        """All who wait."""
        if self._coming_in:
            return  # until they are counted; who waits still is here with the next round
        loop = asyncio.get_running_loop()
        for _ in range(LISTEN_BACKLOG):
            try:
                connection, _address = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in NO_ROOM:
                    continue  # one who has gone, or the trouble of one: accept(2)
                log.error("nobody can be let in", extra={"error_class": type(error).__name__})  # noqa: TRY400  # that is all there is to say
                loop.remove_reader(self._listener)
                loop.call_later(NO_ROOM_SECONDS, self._open)
                return
            if len(self._lines.connections) + len(self._coming_in) >= LINES_MAX:
                connection.close()
                continue
            connection.settimeout(0)
            coming = loop.create_task(self._come_in(connection))
            self._coming_in.add(coming)
            coming.add_done_callback(self._coming_in.discard)

    async def _come_in(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._line, connection)
        except OSError:
            connection.close()
            log.info("somebody has gone before they were let in")
        except Exception as error:
            connection.close()
            log.exception("somebody cannot be let in", extra={"error_class": type(error).__name__})

    def _line(self) -> LineProtocol:
        return LineProtocol(self.config, self._lines, self.lifespan.state)
