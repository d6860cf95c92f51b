"""The server's connection: limits on headers before they have come, on how many there are, a handle for deadlines."""
from __future__ import annotations

import array
import asyncio
import fcntl
import termios
from collections.abc import Iterable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from chassis.http.limits import HEADERS_BYTES_MAX
from chassis.http.problems import OF_THE_MECHANISM, Problems, Trouble
from chassis.http.send import LINE, SECURITY

HEADER_SECONDS_MAX = 10.0  # from the connection, or the first byte of a later request, to the end of its headers
UNREAD_SECONDS_MAX = 30.0  # an answer of 512 KB is read in this time on a bad line; who never reads holds a connection
RESTED_SECONDS_MIN = 1.0  # who has just been answered may be about to ask again
CONNECTIONS_MAX = 1000  # each may hold a body of 256 KB; whoever comes later is told to come back, and hung up on

_FULL = Problems(OF_THE_MECHANISM, {}).answer(Trouble.OVERLOADED)


class Lines(ServerState):
    """All connections of one server, and what uvicorn keeps beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.resting: dict[LineProtocol, None] = {}
        """Those on which nothing is asked, the one of the longest rest first."""


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % header for header in headers)


# The answer to whoever is too many, written without the application: it must cost next to nothing.
_STATUS, _BODY = STATUS_LINE[_FULL.status], _FULL.body
_HEADERS = _lines((name.encode(), value.encode()) for name, value in (*_FULL.headers, ("connection", "close")))
_COME_BACK = _HEADERS + _lines([(b"content-length", b"%d" % len(_BODY)), *SECURITY]) + b"\r\n"


def _has_spoken(transport: asyncio.Transport) -> bool:
    """Whether something has come that nobody has read yet: to hang up now would be no answer to a question."""
    waiting = array.array("i", [0])
    fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, waiting)
    return waiting[0] > 0


class LineProtocol(HttpToolsProtocol):
    """uvicorn's protocol; uvicorn itself limits neither the size nor the time of headers with this parser."""

    _header_bytes = 0
    _in_headers = False
    _let_in = True
    _under_way = _turned_away = False
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def __init__(self, config: Config, lines: Lines, app_state: dict[str, Any]) -> None:
        super().__init__(config, lines, app_state)
        self._resting = lines.resting

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """A connection that says nothing is closed."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(0)  # we hear of every byte that the kernel does not take
        self._let_in = len(self.connections) <= CONNECTIONS_MAX
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to watch."""
        self._unwatch()
        self._read()
        self._resting.pop(self, None)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The other end does not read: closing would wait for it, so after a while the line is torn down."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS_MAX, self.transport.abort)

    def resume_writing(self) -> None:
        """Everything has left this process."""
        self._read()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Count what comes before the end of the headers; more than anybody needs tears the connection down."""
        self._header_bytes += len(data)
        super().data_received(data)
        if self._in_headers and self._header_bytes > HEADERS_BYTES_MAX:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """A request begins: its headers are counted and timed, its scope gets the line."""
        super().on_message_begin()
        extensions: dict[str, Any] = {LINE: self.transport}
        self.scope["extensions"] = extensions
        self._in_headers, self._header_bytes = True, 0
        if self._timer is None:
            self._watch()

    def on_headers_complete(self) -> None:
        """The headers have come: the body has limits of its own."""
        self._in_headers = False
        self._unwatch()
        if self._turned_away:
            return
        if self._has_room():
            self._under_way = True
            super().on_headers_complete()
            return
        self._turned_away = True
        body = b"" if self.parser.get_method() == b"HEAD" else _BODY
        self.transport.write(_STATUS + _lines(self.server_state.default_headers) + _COME_BACK + body)
        self._watch()

    def on_body(self, body: bytes) -> None:
        """Of whoever was turned away nothing is taken."""
        if not self._turned_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Whoever was turned away is hung up on now: what would come into a closed line could cost them the answer."""
        if self._turned_away:
            self.transport.close()
        else:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Where nothing else was asked the connection rests."""
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._under_way, self._resting[self] = False, None

    def _unset_keepalive_if_required(self) -> None:
        self._resting.pop(self, None)
        super()._unset_keepalive_if_required()

    def _has_room(self) -> bool:
        """Whether this is one of as many as there may be; those that were there first are, whoever else comes.

        Were all looked at as they ask, a rush of too many would find nobody served, and again when it comes again.
        """
        if self._under_way:
            return True  # asked before the answer came, and answered in its turn
        if len(self.tasks) > CONNECTIONS_MAX:
            return False  # whoever has gone may have left one behind; no connection that rests has one to give
        if not self._let_in:
            self._let_in = len(self.connections) <= CONNECTIONS_MAX or self._somebody_only_rests()
        return self._let_in

    def _somebody_only_rests(self) -> bool:
        """Whether there is a connection on which nothing is asked; the one of the longest rest makes room."""
        soonest = self.loop.time() + self.timeout_keep_alive - RESTED_SECONDS_MIN
        while self._resting:
            each = next(iter(self._resting))
            if each.timeout_keep_alive_task is None or each.timeout_keep_alive_task.when() >= soonest:
                return False
            del self._resting[each]  # who has spoken, too: it is about to be read, and nobody else need look again
            if not each.transport.is_closing() and not _has_spoken(each.transport):
                each.transport.close()
                return True
        return False

    def _watch(self) -> None:
        self._timer = self.loop.call_later(HEADER_SECONDS_MAX, self._too_slow)

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _too_slow(self) -> None:
        self._timer = None
        self.transport.close()
