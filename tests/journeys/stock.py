"""Handovers that are asked already: made ahead while tests run, because every journey begins alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.journeys.journey import Journey

AHEAD = 3  # more would take the processors from the test that runs
WORKERS = 2


class Stock:
    """`take` one; `resting` while a test breaks what others rest on."""

    def __init__(self, begin: Callable[[], Journey]) -> None:
        self._begin = begin
        self._ready: asyncio.Queue[Journey | Exception] = asyncio.Queue(AHEAD)
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Semaphore(WORKERS)

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep it filled."""
        workers = [asyncio.create_task(self._fill()) for _ in range(WORKERS)]
        try:
            yield
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def take(self) -> Journey:
        """A handover that the receiver's agency has before it; raises what went wrong with it."""
        found = await self._ready.get()
        if isinstance(found, Exception):
            raise found
        return found

    @asynccontextmanager
    async def resting(self) -> AsyncIterator[None]:
        """Nothing is made meanwhile."""
        self._open.clear()
        for _ in range(WORKERS):
            await self._idle.acquire()
        try:
            yield
        finally:
            for _ in range(WORKERS):
                self._idle.release()
            self._open.set()

    async def _fill(self) -> None:
        while True:
            await self._open.wait()
            async with self._idle:
                made = await self._made()
            await self._ready.put(made)

    async def _made(self) -> Journey | Exception:
        journey = self._begin()
        try:
            await journey.until_requested()
        except Exception as error:  # noqa: BLE001  # the test that takes it raises it
            return error
        return journey
