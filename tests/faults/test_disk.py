"""PostgreSQL's disk is full: first its tables cannot grow, then its log cannot be written and it ends."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.embedded import place, postgres
from tests.faults.callers import Error
from tests.faults.town import Load, Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

ROOM_BYTES = 256 * 1024 * 1024  # beyond what is there: more than the load says before the disk is full
FULL_SECONDS = 20.0
SOON_SECONDS = 5.0  # what we promise: so long after there is room, callers may still see errors
ENDS_SECONDS_MAX = 120.0
LOOK_SECONDS = 0.2
FILL_TRIES_MAX = 100  # somebody takes a part now and then; more is a disk that cannot be filled
NO_ROOM = "No space left on device"
NEXT_SEGMENT = "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'room', 'used')"


@dataclass(frozen=True)
class Disk:
    """A small one, in memory."""

    folder: Path

    @contextmanager
    def full(self) -> Iterator[None]:
        """A file of ours takes all the room there is, and gives it back."""
        file = self.folder / "in-the-way"
        try:
            self._fill(file)
            yield
        finally:
            file.unlink()

    def _fill(self, file: Path) -> None:
        with file.open("wb") as held:
            taken = 0
            for _ in range(FILL_TRIES_MAX):
                left = shutil.disk_usage(self.folder).free
                if not left:
                    return
                with suppress(OSError):  # somebody else has taken a part of it meanwhile
                    os.posix_fallocate(held.fileno(), taken, left)
                    taken += left
        pytest.fail("the disk cannot be filled")


async def test_the_disk_of_postgresql_is_full_and_callers_are_told_to_come_back(town: Town) -> None:
    """As long as only tables cannot grow, PostgreSQL lives and refuses what needs room.

    When its log needs room it ends by itself. Somebody makes room and starts it; nobody does anything to the services.
    """
    async with _small_disk(town) as disk:
        async with town.under_load() as load:
            pids = {principal: server.pid for principal, server in town.system.servers.items()}
            with disk.full():
                await asyncio.sleep(FULL_SECONDS)  # the length of the fault
                refused, lived = _log(town).count(NO_ROOM), not town.system.embedded.exited()
            late = await _goes_on(load)
            await town.baseline()  # what pools and caches need after a fault
            async with _hand(town) as hand:
                with disk.full():
                    ended = await _log_runs_out(town, hand)
                    await asyncio.sleep(FULL_SECONDS)
            await town.system.embedded.start_postgres()
            late += await _goes_on(load)
        broken = await town.judged()
    seen = load.seen
    town.tell(
        "PostgreSQL's disk full", load, f"for {FULL_SECONDS:.0f} s, {refused} times no room",
        f"the log used up, it ended after {ended:.1f} s",
        f"errors of questions asked {SOON_SECONDS:.0f} s after there was room or it was started again: {len(late)}",
    )
    assert refused, "there was room: this has shown nothing"
    assert lived
    assert seen.bad_manners == []
    assert [each for each in seen.errors if not each.what.isdigit()] == []
    assert late == []
    assert {principal: server.pid for principal, server in town.system.servers.items()} == pids
    assert [name for name, server in town.system.servers.items() if not server.runs] == []
    assert broken == []


async def _goes_on(load: Load) -> list[Error]:
    """Callers go on; errors of questions that were asked long after now."""
    now = time.monotonic()
    await load.goes_on(30)
    return load.seen.later_than(now + SOON_SECONDS)


@asynccontextmanager
async def _small_disk(town: Town) -> AsyncIterator[Disk]:
    """PostgreSQL's data move to a small disk, and back at the end; what was not done is not undone."""
    data = place.choose(town.system.data).data
    aside, small = data.with_name("data.aside"), data.with_name("small")
    used = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())

    async def move_back() -> None:
        shutil.rmtree(aside)
        aside.mkdir()
        await _moved(town, small, aside)

    async with AsyncExitStack() as undo:
        small.mkdir()
        undo.callback(small.rmdir)
        mounted = _run("mount", "-t", "tmpfs", "-o", f"size={used + ROOM_BYTES}", "tmpfs", str(small))
        if mounted.returncode:
            pytest.skip(f"a small disk cannot be made here, only root may mount one: {mounted.stderr.strip()}")
        undo.callback(_run, "umount", str(small))
        undo.push_async_callback(town.system.embedded.start_postgres)
        await _moved(town, data, small)
        data.rename(aside)
        undo.callback(aside.rename, data)
        data.symlink_to(small)
        undo.callback(data.unlink)
        undo.push_async_callback(move_back)
        await town.system.embedded.start_postgres()
        yield Disk(small)


async def _moved(town: Town, data: Path, to: Path) -> None:
    """A copy of the data, with owner and rights, of a server of which nothing is left."""
    for server in town.system.embedded.postgres:
        processes = [psutil.Process(server.pid), *psutil.Process(server.pid).children()] if server.runs else []
        await postgres.stop(server)
        _, writing = await asyncio.to_thread(psutil.wait_procs, processes, ENDS_SECONDS_MAX)
        assert writing == [], "it would write into whatever is put in the place of its folder"
    copied = await asyncio.to_thread(_run, "cp", "--archive", f"{data}/.", str(to))
    assert copied.returncode == 0, copied.stderr


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own words


def _log(town: Town) -> str:
    return town.system.addresses.postgres.log.read_text(errors="replace")


@asynccontextmanager
async def _hand(town: Town) -> AsyncIterator[AsyncConnection]:
    """A connection that is there before the disk is full: a new one may be refused then. It ends with the server."""
    dsn = town.system.addresses.postgres.administrator()
    engine = create_async_engine(dsn, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    connection = await engine.connect()
    try:
        yield connection
    finally:
        await connection.invalidate()
        await connection.close()


async def _log_runs_out(town: Town, hand: AsyncConnection) -> float:
    """Seconds until PostgreSQL has ended: it uses up what its log has of room, a little faster than by itself."""
    began = time.monotonic()
    async with asyncio.timeout(ENDS_SECONDS_MAX):
        while not town.system.embedded.exited():
            with suppress(SQLAlchemyError, OSError):
                await hand.execute(sa.text(NEXT_SEGMENT))
            await asyncio.sleep(LOOK_SECONDS)
    return time.monotonic() - began
