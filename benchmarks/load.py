"""The load: caseworkers at the sender who ask, caseworkers at the receiver who accept as soon as they hear of it.

What the receiver's systems know they know from its own topic, as any system of an agency would. A handover is done when
that topic says that the receiver has heard the confirmation.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from array import array
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]  # ships no types

from benchmarks.flow import NEWS, RECEIVER, SENDER
from benchmarks.ground import Ground, case_of
from benchmarks.line import Line

OUTSTANDING_MAX: Final = 2000
OK: Final = 200
NOT_YET: Final = -1.0


class AnswerError(RuntimeError):
    """A service gave another answer than the flow expects."""


class Load:
    """One run over these handovers; times are seconds of `perf_counter`."""

    def __init__(self, ground: Ground, handovers: Sequence[UUID]) -> None:
        self._ground = ground
        self._paths = [str(handover) for handover in handovers]
        self._bodies = [b'{"case":"%s"}' % str(case_of(ground, handover)).encode() for handover in handovers]
        self._numbers = {path.encode(): n for n, path in enumerate(self._paths)}
        count = len(handovers)
        self.due, self.asked, self.offered, self.accepted, self.done = (array("d", [NOT_YET]) * count for _ in range(5))
        self._requests: deque[int] = deque()
        self._acceptances: deque[int] = deque()
        self._idle: dict[str, list[Line]] = {SENDER: [], RECEIVER: []}
        self._opening: set[asyncio.Future[Line]] = set()
        self._closing = False
        self.resent = 0
        """Requests sent again because the service had hung up on a line."""
        self._at: dict[Line, tuple[str, int]] = {}
        self._room = 0
        self._outstanding = 0
        self._outstanding_max = OUTSTANDING_MAX
        self._left = count
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reading: asyncio.Task[None] | None = None
        self.lag = array("d")
        """How late the load itself was with each request of an open loop."""

    async def open_lines(self, clients: int) -> None:
        """Connect `clients` callers to each of the two services and begin to listen."""
        self._consumer = await self._listen()
        self._reading = asyncio.create_task(self._read())
        self._room = clients
        for agency in (SENDER, RECEIVER):
            url = self._ground.installation.url(agency, "handover")
            tokens = self._ground.tokens(agency, "handover")
            for n in range(clients):
                await self._line(agency, url, tokens[n % len(tokens)])

    async def _line(self, agency: str, url: str, token: str) -> Line:
        """One line; when the service hangs up on it for being quiet, it is opened again."""

        def lost(line: Line, awaited: bool) -> None:  # noqa: FBT001  # the line says so
            if not self._closing:
                if awaited:  # the same key again: that is what keys are for
                    self.resent += 1
                    (self._requests if agency == SENDER else self._acceptances).appendleft(self._at.pop(line)[1])
                    self._room += 1
                    self._outstanding -= agency == SENDER
                else:
                    self._idle[agency].remove(line)
                again = asyncio.ensure_future(self._line(agency, url, token))
                self._opening.add(again)
                again.add_done_callback(self._opening.discard)

        line = await Line.to(url, token, self._answered, lost)
        self._idle[agency].append(line)
        self._pump()
        return line

    async def close(self) -> None:
        """Hang up everywhere."""
        self._closing = True
        for line in itertools.chain(*self._idle.values(), self._at):
            line.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
            await self._consumer.stop()

    async def closed(self, numbers: range) -> None:
        """All of these as fast as they go: at most `clients` requests on the way, a bounded number not done yet."""
        self._begin(len(numbers))
        now = perf_counter()
        for n in numbers:
            self.due[n] = now
        self._requests.extend(numbers)
        self._pump()
        await self._finished

    async def open(self, numbers: range, per_second: float, seed: int) -> None:
        """Each at its own moment of a Poisson process, whatever has become of those before it."""
        self._begin(len(numbers))
        self._outstanding_max = len(numbers)
        chance, at = random.Random(seed), perf_counter() + 0.1  # noqa: S311  # the same arrivals for every contestant
        for n in numbers:
            at += chance.expovariate(per_second)
            self.due[n] = at
        for n in numbers:
            while (wait := self.due[n] - perf_counter()) > 0:  # noqa: ASYNC110  # until its moment, not an event
                await asyncio.sleep(wait)
            self.lag.append(perf_counter() - self.due[n])
            self._requests.append(n)
            self._pump()
        await self._finished

    def _begin(self, count: int) -> None:
        self._left = count
        self._finished = asyncio.get_running_loop().create_future()

    # --- what is sent -------------------------------------------------------------------------------------------------

    def _pump(self) -> None:
        """Use every line that is free; acceptances first, so that what was begun is finished."""
        while self._room:
            if self._acceptances and self._idle[RECEIVER]:
                self._ask(RECEIVER, self._acceptances.popleft())
            elif self._requests and self._idle[SENDER] and self._outstanding < self._outstanding_max:
                self._outstanding += 1
                self._ask(SENDER, self._requests.popleft())
            else:
                return

    def _ask(self, agency: str, n: int) -> None:
        line = self._idle[agency].pop()
        self._room -= 1
        self._at[line] = agency, n
        path = self._paths[n]
        if agency == SENDER:
            line.ask(f"/handovers/{path}/request", f"r-{path}", self._bodies[n])
        else:
            line.ask(f"/handovers/{path}/acceptance", f"a-{path}", b"")

    def _answered(self, line: Line, status: int) -> None:
        agency, n = self._at.pop(line)
        if status != OK:
            self._fail(AnswerError(f"{agency} answered {status}"))
            return
        (self.asked if agency == SENDER else self.accepted)[n] = perf_counter()
        self._idle[agency].append(line)
        self._room += 1
        self._pump()

    def _fail(self, error: Exception) -> None:
        if not self._finished.done():
            self._finished.set_exception(error)

    # --- what is heard ------------------------------------------------------------------------------------------------

    async def _listen(self) -> Any:
        tls = self._ground.addresses.admin
        context = create_ssl_context(cafile=tls.ca, certfile=tls.certificate, keyfile=tls.key)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._ground.addresses.bootstrap,
            security_protocol="SSL",
            ssl_context=context,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        consumer.assign([TopicPartition(NEWS, n) for n in sorted(await self._partitions(consumer))])
        return consumer

    @staticmethod
    async def _partitions(consumer: Any) -> set[int]:
        while not (found := consumer.partitions_for_topic(NEWS)):
            await consumer._client.force_metadata_update()  # noqa: SLF001  # no public way to look again at once
            await consumer.topics()
            await asyncio.sleep(0.05)
        return set(found)

    async def _read(self) -> None:
        try:
            while True:
                for records in (await self._consumer.getmany(timeout_ms=1000, max_records=500)).values():
                    for record in records:
                        self._heard(record.key, record.value)
                self._pump()
        except Exception as error:  # noqa: BLE001  # whatever it is, the run is over
            self._fail(error)

    def _heard(self, key: bytes, body: bytes) -> None:
        n = self._numbers.get(key)
        if n is None:
            return
        if b'"state":"requested"' in body and self.offered[n] == NOT_YET:
            self.offered[n] = perf_counter()
            self._acceptances.append(n)
        elif b'"state":"accepted"' in body and self.done[n] == NOT_YET:
            self.done[n] = perf_counter()
            self._outstanding -= 1
            self._left -= 1
            if self._left == 0 and not self._finished.done():
                self._finished.set_result(None)
