"""A process that is killed while it sends: what its kernel has not sent by then is never sent."""

from __future__ import annotations

import array
import fcntl
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chassis.test_http_line import PIECES, head

LARGE = b'{"colour": "large"}'
RECEIVE_BYTES = 4096
SECONDS_MAX, STILL_SECONDS = 10.0, 0.3
TCP = Path("/proc/net/tcp")


@pytest.fixture
def sender() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-m", "tests.chassis.streaming"], stdout=subprocess.PIPE) as process:
        yield process
        process.kill()


def unsent(line: socket.socket) -> int:
    """Bytes that the kernel of the other end has and has not been able to send."""
    ours, theirs = (f":{address[1]:04X}" for address in (line.getsockname(), line.getpeername()))
    rows = [row.split() for row in TCP.read_text("ascii").splitlines()]
    (queue,) = (row[4] for row in rows if row[1].endswith(theirs) and row[2].endswith(ours))
    return int(queue.partition(":")[0], 16)


def received(line: socket.socket) -> int:
    """Bytes that have come and were not read."""
    waiting = array.array("i", [0])
    fcntl.ioctl(line.fileno(), termios.FIONREAD, waiting)
    return int(waiting[0])


def stuck(line: socket.socket) -> tuple[int, int]:
    """(received, unsent) once neither changes any more: the reader reads nothing, and its window is full."""
    until, last, since = time.monotonic() + SECONDS_MAX, (0, 0), time.monotonic()
    while time.monotonic() < until:
        found = received(line), unsent(line)
        if found != last:
            last, since = found, time.monotonic()
        elif found[1] and time.monotonic() - since > STILL_SECONDS:
            return found
        time.sleep(0.01)
    raise TimeoutError(last)


def until_reset(line: socket.socket) -> bytes:
    """What is still to be read before the connection turns out to be reset, not closed."""
    got = b""
    while True:
        try:
            part = line.recv(65_536)
        except ConnectionResetError:
            return got
        assert part, f"closed in order after {len(got)} more bytes"
        got += part


def test_of_a_process_that_is_killed_while_it_sends_the_reader_gets_no_more_than_had_come(
    sender: subprocess.Popen[bytes],
) -> None:
    assert sender.stdout is not None
    port, authorization = int(sender.stdout.readline()), sender.stdout.readline().decode().strip()
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        line.settimeout(SECONDS_MAX)
        line.connect(("127.0.0.1", port))
        line.sendall(head(PIECES, f"content-length: {len(LARGE)}", authorization=authorization) + LARGE)
        there, waiting = stuck(line)
        assert waiting > 0
        sender.kill()
        sender.wait()
        assert len(until_reset(line)) <= there
