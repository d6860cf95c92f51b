"""The same over real connections: what only a server can be asked."""
from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import uvicorn

from chassis.http.limits import HEADERS_BYTES_MAX
from chassis.http.server import Server
from tests.chassis.http_service import STREAM_SECONDS, THING, Site, a_site, as_party, bearer


@dataclass
class Served:
    """The invented service on a port, and raw connections to it."""

    site: Site
    port: int
    server: Server
    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    @property
    def connections(self) -> int:
        """How many the server has open."""
        return len(self.server.server_state.connections)

    async def say(self, *parts: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has said this."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024)
        self.writers.append(writer)
        for part in parts:
            writer.write(part)
        return reader, writer


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    site = a_site()
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(site.app, lifespan="off", ws="none", log_config=None, access_log=False), listener)
    serving = asyncio.create_task(server.serve())
    served = Served(site, listener.getsockname()[1], server)
    yield served
    for writer in served.writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    server.should_exit = True
    await serving


def head(path: str, *lines: str, authorization: str = "") -> bytes:
    said = [
        f"POST {path} HTTP/1.1", "host: things.example", f"authorization: {authorization or bearer()}",
        "content-type: application/json", "idempotency-key: k1", *lines,
    ]
    return "\r\n".join([*said, "", ""]).encode()


PAINT, PIECES = f"/things/{THING}/paint", f"/things/{THING}/pieces"
RED = b'{"colour": "red"}'


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends, whichever way it does."""
    got = bytearray()
    with contextlib.suppress(ConnectionError):
        while part := await asyncio.wait_for(reader.read(65_536), 5):
            got += part
    return bytes(got)


async def test_a_connection_serves_one_request_after_another(served: Served) -> None:
    request = head(PAINT, f"content-length: {len(RED)}") + RED
    reader, _ = await served.say(request, request)
    for _ in range(2):
        assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_headers_without_an_end_tear_the_connection_down(served: Served) -> None:
    reader, writer = await served.say(head(PAINT)[:-2])
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 20 * 1024 * 1024 and not reader.at_eof():
            writer.write(b"x: " + b"a" * 60_000 + b"\r\n")
            await writer.drain()
            await asyncio.sleep(0)
            sent += 60_000
    assert sent < 4 * 1024 * 1024  # what fits into the buffers of both kernels, not the 20 MB
    assert await all_of(reader) == b""
    assert served.site.executor.runs == 0


async def test_headers_just_too_large_get_an_answer_when_they_have_an_end(served: Served) -> None:
    reader, _ = await served.say(head(PAINT, "x: " + "a" * HEADERS_BYTES_MAX, "content-length: 0"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 431")


@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\nhost: x\r\n"], ids=["nothing", "half a request"])
async def test_a_connection_that_does_not_come_to_the_point_is_closed(
    served: Served, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr("chassis.http.line.HEADER_SECONDS_MAX", 0.1)
    reader, _ = await served.say(said)
    assert await all_of(reader) == b""


async def test_who_comes_when_too_many_are_there_is_told_when_to_come_back_and_served_when_they_have_gone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 2)
    others = [await served.say(b"") for _ in range(2)]
    reader, _ = await served.say(head(PAINT, f"content-length: {len(RED)}") + RED)
    refused = await all_of(reader)
    assert refused.startswith(b"HTTP/1.1 503")
    assert b"retry-after: 1\r\n" in refused
    assert b"/problems/http/overloaded" in refused
    for _, writer in others:
        writer.close()
        await writer.wait_closed()
    reader, _ = await served.say(head(PAINT, f"content-length: {len(RED)}") + RED)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")


async def test_of_a_rush_as_many_are_served_as_there_may_be(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or all would be sent away at once, come again at once, and nobody would ever be served."""
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 2)
    rush = [await served.say(b"") for _ in range(5)]
    while served.connections < len(rush):  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.01)
    for _, writer in reversed(rush):
        writer.write(head(PAINT, f"content-length: {len(RED)}") + RED)
    answers = [(await reader.readline()).split()[1] for reader, _ in rush]
    assert sorted(answers) == [b"200"] * 2 + [b"503"] * 3


async def test_who_asks_and_never_reads_is_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a thousand of them would have all the connections there are, for good."""
    monkeypatch.setattr("chassis.http.line.UNREAD_SECONDS_MAX", 0.2)
    line = socket.create_connection(("127.0.0.1", served.port))
    with line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.setblocking(False)
        asked = b"GET /openapi.json HTTP/1.1\r\nhost: things.example\r\n\r\n"
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(10_000):
                line.send(asked)
                await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while served.connections:  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.01)


async def test_connections_that_only_rest_keep_nobody_out(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or whoever keeps as many of them as there may be would be alone with the service."""
    request = head(PAINT, f"content-length: {len(RED)}") + RED
    resting = [await served.say(request) for _ in range(2)]
    for reader, _ in resting:
        await reader.readuntil(b"}")
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 2)
    reader, _ = await served.say(request)
    assert (await reader.readline()).startswith(b"HTTP/1.1 503"), "who was answered just now may be about to ask again"
    monkeypatch.setattr("chassis.http.line.RESTED_SECONDS_MIN", 0.0)
    reader, _ = await served.say(request)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert await all_of(resting[0][0]) == b""
    resting[1][1].write(request)
    assert (await resting[1][0].readuntil(b"}")).startswith(b"HTTP/1.1 200")


async def test_who_is_too_many_is_hung_up_on_when_the_body_has_come(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 0)
    reader, writer = await served.say(head(PAINT, f"content-length: {len(RED)}"))
    assert (await reader.readuntil(b"}")).startswith(b"HTTP/1.1 503")
    assert not reader.at_eof()
    writer.write(RED)
    assert await all_of(reader) == b""


async def test_who_is_too_many_and_does_not_come_to_an_end_is_hung_up_on_too(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 0)
    monkeypatch.setattr("chassis.http.line.HEADER_SECONDS_MAX", 0.1)
    reader, _ = await served.say(head(PAINT, f"content-length: {len(RED)}"))
    assert (await all_of(reader)).startswith(b"HTTP/1.1 503")


async def test_where_transactions_have_no_room_none_that_rests_is_hung_up_on_for_it(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has gone may have left one behind that is not done; closing a connection does not end any."""
    monkeypatch.setattr("chassis.http.line.RESTED_SECONDS_MIN", 0.0)
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 2)
    request = head(PAINT, f"content-length: {len(RED)}") + RED
    rested, asks_again = await served.say(request)
    await rested.readuntil(b"}")
    left = {asyncio.create_task(asyncio.sleep(1)) for _ in range(3)}
    for each in left:
        each.add_done_callback(served.server.server_state.tasks.discard)
    served.server.server_state.tasks |= left
    reader, _ = await served.say(request)
    assert (await reader.readline()).startswith(b"HTTP/1.1 503")
    served.server.server_state.tasks -= left
    asks_again.write(request)
    assert (await rested.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    for each in left:
        each.cancel()


async def test_whoever_rested_and_has_spoken_is_looked_at_once_and_not_by_everybody_who_comes(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each of a flood would ask the kernel about a thousand connections."""
    asked: list[object] = []

    def has_spoken(transport: object) -> bool:
        asked.append(transport)
        return True

    request = head(PAINT, f"content-length: {len(RED)}") + RED
    for _ in range(2):
        reader, _ = await served.say(request)
        await reader.readuntil(b"}")
    monkeypatch.setattr("chassis.http.line.RESTED_SECONDS_MIN", 0.0)
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 2)
    monkeypatch.setattr("chassis.http.line._has_spoken", has_spoken)
    for _ in range(3):
        reader, _ = await served.say(request)
        assert (await all_of(reader)).startswith(b"HTTP/1.1 503")
    assert len(asked) == len(set(asked)) == 2


async def test_who_is_too_many_and_asks_for_the_head_alone_gets_no_body(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 0)
    reader, _ = await served.say(b"HEAD / HTTP/1.1\r\nhost: things.example\r\n\r\n")
    told = await all_of(reader)
    assert told.startswith(b"HTTP/1.1 503")
    assert told.endswith(b"\r\n\r\n")


async def test_who_has_rested_and_asks_again_is_answered_and_not_hung_up_on(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody asks just before for whom there is no other room: what nobody has read has come."""
    monkeypatch.setattr("chassis.http.line.RESTED_SECONDS_MIN", 0.0)
    request = head(PAINT, f"content-length: {len(RED)}") + RED
    rested, asks_again = await served.say(request)
    await rested.readuntil(b"}")
    monkeypatch.setattr("chassis.http.line.CONNECTIONS_MAX", 1)
    new, newcomer = await served.say()
    while served.connections < 2:  # noqa: ASYNC110  # the server tells nobody
        await asyncio.sleep(0.01)
    newcomer.write(request)
    asks_again.write(request)
    assert (await rested.readuntil(b"}")).startswith(b"HTTP/1.1 200")
    assert (await new.readline()).startswith(b"HTTP/1.1 503")


async def test_a_body_of_60_mb_is_refused_by_its_length_and_its_sender_hears_it(served: Served) -> None:
    reader, writer = await served.say(head(PAINT, f"content-length: {60 * 1024 * 1024}"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    for _ in range(60):
        writer.write(b" " * 1024 * 1024)
        await writer.drain()
    writer.write(head(PAINT, f"content-length: {len(RED)}") + RED)
    assert b"HTTP/1.1 200" in await reader.readuntil(b"allowed")


async def test_a_body_without_an_end_is_hung_up_on(served: Served) -> None:
    reader, writer = await served.say(head(PAINT, "transfer-encoding: chunked"))
    sent = 0
    with contextlib.suppress(ConnectionError):
        while sent < 1000:
            writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
            await writer.drain()
            sent += 1
    await all_of(reader)  # the answer, where it was read before the line went down
    assert sent < 1000
    assert served.site.executor.runs == 0


async def test_a_body_that_stops_is_told_so(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.http.limits.BODY_SECONDS_MAX", 0.1)
    reader, _ = await served.say(head(PAINT, "content-length: 17"), b'{"col')
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")


async def test_a_stream_comes_whole(served: Served) -> None:
    reader, _ = await served.say(head(PIECES, "content-length: 17", authorization=as_party()) + RED)
    assert (await reader.readuntil(b"end")).startswith(b"HTTP/1.1 200")
    assert served.site.resources == [True]


@pytest.mark.parametrize("colour", ["slow", "broken"])
async def test_a_stream_that_is_not_done_in_time_ends_without_its_end(
    served: Served, colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = f'{{"colour": "{colour}"}}'.encode()
    reader, _ = await served.say(head(PIECES, f"content-length: {len(body)}", authorization=as_party()) + body)
    got = await all_of(reader)
    assert b"south" in got
    assert not got.endswith(b"0\r\n\r\n")
    assert served.site.resources == [False]
    assert [record.getMessage() for record in caplog.records] == (["stream failed"] if colour == "broken" else [])


async def test_no_byte_leaves_after_the_deadline_of_a_stream_whose_reader_sleeps(served: Served) -> None:
    body = b'{"colour": "large"}'
    reader, _ = await served.say(head(PIECES, f"content-length: {len(body)}", authorization=as_party()) + body)
    await asyncio.sleep(STREAM_SECONDS + 0.2)
    assert served.site.resources == [False]  # given up while most of it was still to be written
    assert len(await all_of(reader)) < 200 * 65_536


@pytest.mark.parametrize("way", ["closed", "reset"])
async def test_a_stream_whose_reader_hangs_up_is_not_complete(served: Served, way: str) -> None:
    body = b'{"colour": "brief"}'
    reader, writer = await served.say(head(PIECES, f"content-length: {len(body)}", authorization=as_party()) + body)
    await reader.readuntil(b"south")
    if way == "reset":
        writer.transport.abort()
    else:
        writer.close()
    await _closed_at_last(served.site)
    assert served.site.resources == [False]


@pytest.mark.parametrize("way", ["closed", "reset"])
async def test_a_stream_whose_reader_has_hung_up_before_it_begins_is_closed_all_the_same(
    served: Served, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    body = b'{"colour": "late"}'
    _, writer = await served.say(head(PIECES, f"content-length: {len(body)}", authorization=as_party()) + body)
    await asyncio.sleep(STREAM_SECONDS / 4)  # it is asked, and nothing of its answer is there
    if way == "reset":
        writer.transport.abort()
    else:
        writer.close()
    await _closed_at_last(served.site)
    assert served.site.resources == [False]
    assert [record.getMessage() for record in caplog.records] == ["stream given up by its reader"]


async def _closed_at_last(site: Site) -> None:
    for _ in range(100):
        if site.resources:
            return
        await asyncio.sleep(0.01)
