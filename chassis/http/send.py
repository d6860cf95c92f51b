"""Writing answers: whole ones with the headers that all have, streamed ones against a deadline."""
from __future__ import annotations

import array
import asyncio
import fcntl
import logging
import os
import socket
import struct
import termios
from contextlib import aclosing
from time import monotonic
from typing import Any, Protocol

from starlette.types import Scope, Send

from chassis.executor import Answer
from chassis.http.routes import StreamingAnswer

log = logging.getLogger(__name__)

FLUSH_PAUSE_SECONDS = 0.005  # between two looks whether the last bytes have left the process
SEND_BUFFER_BYTES = 16 * 1024  # of the kernel, for one stream: at 100 ms round trip still 256 KB in less than 2 s
LINE = "chassis.line"  # the ASGI extension in which the server's connection stands; see chassis.http.line

SECURITY: tuple[tuple[bytes, bytes], ...] = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)


class Transport(Protocol):
    """A connection as asyncio has it."""

    def abort(self) -> None:
        """Drop what is waiting to be written and tear the connection down."""
        ...

    def is_closing(self) -> bool:
        """Whether nothing that is written from now on will leave."""
        ...

    def get_write_buffer_size(self) -> int:
        """How many bytes are waiting in this process."""
        ...

    def get_extra_info(self, name: str) -> Any:
        """`socket`: something with a `fileno()`."""
        ...


_RESET, _AS_USUAL = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)  # struct linger of socket(7)


class Line:
    """A connection held short: little of an answer lies in the kernel, and what lies there can be taken back.

    A kernel would take a whole answer at once and go on sending it long after this process believed it gone. Raises
    HungUp where the connection is gone already.
    """

    def __init__(self, transport: Transport) -> None:
        if transport.is_closing():  # the number of its socket may be another connection's by now
            raise HungUp
        self._transport = transport
        self._socket = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._linger(_RESET)  # a process that is killed meanwhile would leave what is unsent to the kernel, to send it

    def _linger(self, how: bytes) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, how)

    def unsent(self) -> int:
        """Bytes that are in this process or in its kernel, not yet acknowledged by the other end's."""
        waiting = array.array("i", [0])
        fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, waiting)  # SIOCOUTQ of tcp(7)
        return self._transport.get_write_buffer_size() + int(waiting[0])

    def is_cut(self) -> bool:
        """Whether the other end has hung up; what was unsent then is gone, and counts as unsent no more."""
        return self._transport.is_closing()

    def abort(self) -> None:
        """Drop what is unsent, in the kernel too: as long as the line is held short, it is reset, not closed."""
        self._transport.abort()

    def close(self, *, whole: bool) -> None:
        """Let go of the handle; after a whole answer the connection itself is the server's, as any other."""
        if whole:
            self._linger(_AS_USUAL)
        self._socket.close()


class Aborted(ConnectionError):  # what happened, in the words of the design
    """An answer's time was over before its last byte had left, and there was no line to tear down."""


class HungUp(ConnectionError):  # what happened, in the words of the design
    """The other end has closed its connection before it had all of a streamed answer."""


async def send_answer(answer: Answer, send: Send) -> None:
    """Write a whole answer; what it says about its own security goes before what is said of every one."""
    own = [(name.encode(), value.encode()) for name, value in answer.headers]
    named = {name for name, _ in own}
    length = (b"content-length", str(len(answer.body)).encode())
    headers = [*own, length, *(each for each in SECURITY if each[0] not in named)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def send_stream(answer: StreamingAnswer, scope: Scope, send: Send) -> None:
    """Write an answer piece by piece; at its deadline what has not left this machine never will."""
    transport: Transport | None = scope.get("extensions", {}).get(LINE)
    line: Line | None = None
    complete = False
    try:
        line = None if transport is None else Line(transport)
        async with asyncio.timeout(answer.deadline - monotonic()):
            await _write(answer, line, send)
        complete = True
    except TimeoutError:
        log.info("stream aborted at its deadline")
    except HungUp:
        log.info("stream given up by its reader")
    except Exception as error:  # noqa: BLE001  # half an answer is out: there is no other way left to say that it failed
        log.error("stream failed", extra={"error_class": type(error).__name__})  # noqa: TRY400  # no content in the log
    finally:
        if line is not None:
            if not complete:  # whatever stopped it, a cancellation too: nothing may leave after `closed`
                line.abort()
            line.close(whole=complete)
        await answer.closed(complete)
    if not complete:
        if transport is None:
            raise Aborted
        await asyncio.sleep(0)  # lets the server notice, or it would complain about an answer without an end


async def _write(answer: StreamingAnswer, line: Line | None, send: Send) -> None:
    """All pieces, and the wait until they are where no abort could reach them. Raises TimeoutError, HungUp."""
    headers = [(name.encode(), value.encode()) for name, value in answer.headers]
    async with aclosing(answer.chunks) as chunks:
        await send({"type": "http.response.start", "status": answer.status, "headers": [*headers, *SECURITY]})
        async for chunk in chunks:
            if monotonic() >= answer.deadline:  # a busy loop may come to its timers late
                raise TimeoutError
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        while line is not None and line.unsent():  # noqa: ASYNC110  # nobody is told when it is empty
            await asyncio.sleep(FLUSH_PAUSE_SECONDS)
        if line is not None and line.is_cut():
            raise HungUp
        await send({"type": "http.response.body", "body": b""})
