"""The door of the server: who is let in, and who is not."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
import uvloop

from chassis.http import server as module
from chassis.http.server import Server

SECONDS = 5
SHUT_SECONDS = 0.3


class Listener(socket.socket):
    """A listener to whose `accept` these things happen first."""

    def __init__(self, *troubles: int) -> None:
        super().__init__()
        self.troubles = list(troubles)
        self.bind(("127.0.0.1", 0))
        self.listen(module.LISTEN_BACKLOG)

    def accept(self) -> tuple[socket.socket, Any]:
        """Who comes next, once nothing else happens."""
        if self.troubles:
            number = self.troubles.pop(0)
            raise OSError(number, os.strerror(number))
        return super().accept()


@dataclass
class Door:
    """A server, and who stands before it."""

    listener: Listener
    server: Server
    serving: asyncio.Task[None]
    ends: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def inside(self) -> int:
        """How many are."""
        return len(self.server.server_state.connections)

    def knock(self, times: int = 1) -> list[socket.socket]:
        """So many come at once; the kernel has them, the server has not had a round yet."""
        return [self.ends.enter_context(socket.create_connection(self.listener.getsockname())) for _ in range(times)]

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for it."""
        async with asyncio.timeout(SECONDS):
            while not true():  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.01)


async def nobody(_scope: Any, _receive: Any, _send: Any) -> None:
    """Is never asked."""


@contextlib.asynccontextmanager
async def a_door(*troubles: int) -> AsyncIterator[Door]:
    listener = Listener()
    server = Server(uvicorn.Config(nobody, lifespan="off", log_config=None), listener)
    door = Door(listener, server, asyncio.create_task(server.serve()))
    await door.until(lambda: server.started)
    listener.troubles.extend(troubles)
    with listener, door.ends:
        yield door
        server.should_exit = True
        await asyncio.wait_for(door.serving, SECONDS)


async def is_hung_up_on(caller: socket.socket) -> bool:
    """Whether it is, within some time."""
    caller.setblocking(False)
    try:
        async with asyncio.timeout(SECONDS):
            return await asyncio.get_running_loop().sock_recv(caller, 1) == b""
    except ConnectionError:
        return True


Said = Callable[[], list[tuple[int, str]]]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Said:
    """What the server has said so far."""
    caplog.set_level(logging.INFO, module.__name__)
    return lambda: [(each.levelno, each.getMessage()) for each in caplog.records if each.name == module.__name__]


def test_a_rush_is_let_in_within_few_rounds_of_the_loop() -> None:
    """Or whoever is too many would hear so only when the kernel has asked for the fifth time, after half a minute."""

    async def let_in(rush: int, rounds: int) -> int:
        async with a_door() as door:
            door.knock(rush)
            for _ in range(rounds):
                await asyncio.sleep(0)
            return door.inside

    assert uvloop.run(let_in(512, rounds=10)) == 512


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_where_nobody_can_be_let_in_the_door_is_shut_for_a_while_and_opens_again(
    number: int, said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NO_ROOM_SECONDS", SHUT_SECONDS)
    async with a_door(number) as door:
        door.knock(2)
        await door.until(lambda: bool(said()))
        begun = asyncio.get_running_loop().time()
        await door.until(lambda: door.inside == 2)
        assert asyncio.get_running_loop().time() - begun > SHUT_SECONDS / 2
        assert said() == [(logging.ERROR, "nobody can be let in")]


async def test_a_door_that_is_shut_stays_so_where_the_server_stops(
    said: Said, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NO_ROOM_SECONDS", SHUT_SECONDS)
    async with a_door(errno.EMFILE) as door:
        door.knock()
        await door.until(lambda: bool(said()))
        door.server.should_exit = True
        await asyncio.wait_for(door.serving, SECONDS)
        await asyncio.sleep(SHUT_SECONDS)
        assert said() == [(logging.ERROR, "nobody can be let in")]
        assert [each.getMessage() for each in caplog.records if each.name == "asyncio"] == []


async def test_the_trouble_of_one_who_comes_is_not_that_of_the_next(said: Said) -> None:
    async with a_door(errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.EPERM) as door:
        door.knock(2)
        await door.until(lambda: door.inside == 2)
        assert said() == []


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ZeroDivisionError(), (logging.ERROR, "somebody cannot be let in")),
        (ConnectionResetError(), (logging.INFO, "somebody has gone before they were let in")),
    ],
    ids=["a bug", "gone"],
)
async def test_a_bug_that_keeps_somebody_out_is_said_aloud(
    said: Said, monkeypatch: pytest.MonkeyPatch, error: Exception, line: tuple[int, str]
) -> None:
    def fail(_server: Server) -> None:
        raise error

    async with a_door() as door:
        with monkeypatch.context() as broken:
            broken.setattr(Server, "_line", fail)
            (caller,) = door.knock()
            assert await is_hung_up_on(caller)
        assert said() == [line]
        door.knock()
        await door.until(lambda: door.inside == 1)


async def test_who_comes_beyond_what_may_be_open_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or as many as like to be silent would each have a file of the process."""
    monkeypatch.setattr(module, "LINES_MAX", 3)
    async with a_door() as door:
        door.knock(2)
        await door.until(lambda: door.inside == 2)
        third, *others = door.knock(4)
        assert [await is_hung_up_on(each) for each in others] == [True] * 3
        assert door.inside == 3
        third.close()
        await door.until(lambda: door.inside == 2)
        door.knock()
        await door.until(lambda: door.inside == 3)


async def test_of_more_rushes_than_one_nobody_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """While those of one round are still on their way in, others come."""
    monkeypatch.setattr(module, "LINES_MAX", 60)
    async with a_door() as door:
        for _ in range(6):
            door.knock(10)
            await asyncio.sleep(0)
        await door.until(lambda: door.inside == 60)


async def test_who_is_coming_in_when_the_server_stops_is_hung_up_on_too() -> None:
    """Or the stop would wait for them as long as it may."""
    async with a_door() as door:
        (caller,) = door.knock()
        door.server._let_in()
        assert door.server._coming_in
        await asyncio.wait_for(door.server.shutdown(), 1)
        assert await is_hung_up_on(caller)
        door.serving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await door.serving
        door.serving = asyncio.create_task(asyncio.sleep(0))


def test_a_server_that_should_speak_tls_is_none_of_ours() -> None:
    with Listener() as listener, pytest.raises(ValueError, match="TLS"):
        Server(uvicorn.Config(nobody, ssl_certfile="certificate.pem", log_config=None), listener)
