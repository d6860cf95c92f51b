"""Takes what is waiting, many subjects at once, and runs it in as few transactions as possible."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import outbox, parking, skips, telemetry
from chassis.brake import Brake, TooManyLanes
from chassis.crashpoints import reached
from chassis.database import is_weather, name_of, sqlstate, transaction
from chassis.envelope import Record
from chassis.errands import Returned
from chassis.executor import positions
from chassis.executor.batch import Batch, Desk, stepped
from chassis.executor.positions import Delivery, Place
from chassis.executor.work import Answer, Bug, Kind, Overloaded, Restored, Unavailable, Work
from chassis.inbox import Heard, Hearing, Redrive, others_on
from chassis.outbox import Addressing
from chassis.parking import LANE_EVENTS_AT_ONCE, LaneKey, Waits, keep_unreadable, parked_in, waiting_in
from chassis.skips import No, Skipping
from chassis.transitions import Step

log = logging.getLogger(__name__)

BATCH_MAX = 200  # items of one transaction: half of batching's gain is had at 50, nearly all at 100; then latency grows
BATCHES = 3  # transactions side by side: fewer than the pool keeps connections
BESIDE_MIN = 100  # items for which a transaction beside another one is begun at once
BESIDE_SECONDS = 0.1  # fewer wait so long for it: longer than a transaction takes unless it waits for a lock
QUEUE_MAX = 2000  # commands that may wait; beyond that a caller is told to come back
EVENTS_MAX = 10_000  # events that may wait where parked ones are tried again: two such calls; the consumer's are few
FREED_LANES_MAX = 10_000  # what does not fit is found again by looking
TRIES_MAX = 5  # times an item is put back for a lock it could not get
RETRIED_MAX = 5000  # parked events that one call tries again: some seconds of work; commands get their turn between
NOT_HAD = ("55P03", "40P01")  # SQLSTATEs: a lock not to be had; two that waited for each other


@dataclass
class Retried:
    """What became of a held lane that was tried again."""

    topic: str
    key: UUID
    done: int = 0
    """Events that went through."""
    stopped_by: Waits | None = None
    """The event that failed again; None where the lane is free or goes on."""
    goes_on: bool = True
    """Whether more events wait that were not tried yet."""

    @property
    def lane(self) -> LaneKey:
        """One subject on one topic."""
        return (self.topic, self.key)

    def after(self, tried: Sequence[UUID], left: Sequence[Waits]) -> None:
        """A round is over: these were tried, and those still wait."""
        still = {waits.event_id for waits in left}
        self.done += sum(event not in still for event in tried)
        first = left[0] if left else None
        self.stopped_by = first if first is not None and (not tried or first.event_id in tried) else None
        self.goes_on = first is not None and self.stopped_by is None


class Executor:
    """Runs work items. One per service process; more processes of a service agree through the database's locks."""

    def __init__(
        self,
        engine: AsyncEngine,
        kinds: Iterable[Kind[Any]],
        *,
        consumer: str,
        source: str,
        hearing: Hearing,
        address: Addressing,
        new_id: Callable[[], UUID],
        seal: bytes,
    ) -> None:
        self._engine, self._consumer, self._hearing, self._seal = engine, consumer, hearing, seal
        self._desk = Desk({kind.name: kind for kind in kinds}, consumer, source, hearing.sources, address, new_id)
        self._commands: deque[Work] = deque()
        self._events: deque[Work] = deque()
        self._busy: set[object] = set()
        self._something = asyncio.Event()
        self._under_way = 0
        self._patience: asyncio.TimerHandle | None = None
        self._impatient = False
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self.shut = False
        """Whether everything is turned away, because this database is not to be decided on."""
        self.after_saying: list[Callable[[], None]] = []
        """Called after a commit that has said something."""
        self.after_sending: list[Callable[[], None]] = []
        """Called after a commit that has sent somebody on an errand."""
        self.after_gap: list[Callable[[], None]] = []
        """Called after a commit that holds a lane for a gap."""
        self.freed_lanes: asyncio.Queue[LaneKey] = asyncio.Queue(FREED_LANES_MAX)
        self.brake = Brake(engine, consumer, others_on(hearing.sources, consumer))

    async def start(self) -> None:
        """Begin to take what is waiting."""
        self._workers = [asyncio.create_task(self._work(), name=f"executor-{n}") for n in range(BATCHES)]

    async def watch(self) -> None:
        """Return when all workers have stopped; raise what stopped one that should go on."""
        stopped, _ = await asyncio.wait(self._workers, return_when=asyncio.FIRST_EXCEPTION)
        for worker in stopped:
            worker.result()

    async def stop(self) -> None:
        """Finish what is waiting, then stop; new work is told to come back."""
        self._stopping = True
        self._something.set()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def run(self, work: Work) -> Answer | None:
        """Run one work item; returns the answer to a command. Raises Overloaded, Unavailable (Restored), Bug."""
        if self.shut:
            raise Restored
        heard = isinstance(work.cause, Heard)
        queue, most = (self._events, EVENTS_MAX) if heard else (self._commands, QUEUE_MAX)
        if self._stopping or len(queue) >= most:
            raise Overloaded
        queue.append(work)
        self._something.set()
        return await work.done

    @property
    def queued(self) -> int:
        """How many items wait for a transaction."""
        return len(self._commands) + len(self._events)

    async def hear(self, records: Sequence[Record]) -> None:
        """Take a batch of records; returns when what they mean, or that they mean nothing, is durable.

        Hearing then stands behind them. Raises Unavailable when the database is away: the same must be given again.
        """
        await self._hear(records, moves=True)

    async def hear_aside(self, records: Sequence[Record]) -> None:
        """The same with records from anywhere: where hearing stands does not move."""
        await self._hear(records, moves=False)

    async def _hear(self, records: Sequence[Record], *, moves: bool) -> None:
        read = [(record, self._read(record)) for record in records]
        await self._keep_unreadable([record for record, heard in read if heard is None])
        works = [_waiting(heard) for _, heard in read if heard is not None]
        delivery = Delivery.of(records if moves else (), len(works))
        for work in works:
            work.delivery = delivery
        if self._stopping:
            raise Unavailable
        self._events.extend(works)
        self._something.set()
        results = await asyncio.gather(*(work.done for work in works), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise Unavailable from result
        await self._write_position(delivery)

    async def standing(self) -> Mapping[Place, int]:
        """The next offset of every partition, as the database says that keeps what was heard. Raises Unavailable."""
        async with self._whatever_the_weather(), self._engine.connect() as tx:
            return await positions.standing(tx, self._consumer)

    async def take_in(self, cause: Returned, step: Step | None, traceparent: str | None) -> None:
        """The result of an errand; without a step the errand is only forgotten."""
        await self.run(Work(cause, () if step is None else (step,), traceparent))

    async def retry_lane(self, topic: str, key: UUID) -> tuple[int, str | None]:
        """Try a held lane again, in order, until the first failure: how many went through, and what stopped it."""
        (retried,) = await self.retry_lanes([(topic, key)])
        return retried.done, None if retried.stopped_by is None else retried.stopped_by.error_class

    async def retry_lanes(self, lanes: Sequence[LaneKey]) -> list[Retried]:
        """Try these held lanes again side by side, each in its order and until its first failure.

        Bounded: where a lane has more than `RETRIED_MAX` events or all lanes together have many, some say they go on.
        """
        found = [Retried(*lane) for lane in lanes]
        going, room = found, RETRIED_MAX
        while going and room > 0:
            room -= await self._retry(going, min(LANE_EVENTS_AT_ONCE, max(1, room // len(going))))
            going = [one for one in going if one.goes_on]
        return found

    async def lanes_of_class(self, error_class: str, before: datetime | None) -> tuple[list[LaneKey], datetime, bool]:
        """See `parking.lanes_of_class`."""
        async with self._engine.connect() as tx:
            return await parking.lanes_of_class(tx, self._consumer, error_class, before)

    def body(self, event_type: str, payload: bytes) -> Any:
        """See `Hearing.body`."""
        return self._hearing.body(event_type, payload)

    async def _retry(self, lanes: Sequence[Retried], most: int) -> int:
        """One round: the first events of each lane, at once; how many were tried. The executor keeps their order."""
        keys = [one.lane for one in lanes]
        async with self._engine.connect() as tx:
            waiting = await parked_in(tx, self._consumer, keys, most)
        asked_in = telemetry.here()
        works: list[Work] = []
        for one in lanes:
            for parked in waiting.get(one.lane, ()):
                heard = self._read(parked.record, Redrive(parked.failed_in, asked_in))
                if heard is None:  # nobody hears this topic any more
                    break
                works.append(_waiting(heard))
        results = await asyncio.gather(*map(self.run, works), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        async with self._engine.connect() as tx:
            still = await waiting_in(tx, self._consumer, keys)
        left = defaultdict(list)
        for waits in still:
            left[waits.topic, waits.key].append(waits)
        for one in lanes:
            one.after([parked.event_id for parked in waiting.get(one.lane, ())], left[one.lane])
        return len(works)

    async def skip(self, wanted: Skipping) -> No | bool:
        """Let go of the first event of a lane, see `skips`; what waits behind it goes on."""
        async with transaction(self._engine) as tx:
            outcome = await skips.skip(tx, self._consumer, self._hearing.sources, wanted)
        if outcome is True:
            self.say_freed(wanted.lane)
        return outcome

    def say_freed(self, lane: LaneKey) -> None:
        """The lane may go on. Where too many wait to be told, it is found again by looking."""
        with suppress(asyncio.QueueFull):
            self.freed_lanes.put_nowait(lane)

    async def free_subject(self, topic: str, key: UUID) -> bool:
        """The relay may try this subject again; whether it was held."""
        async with transaction(self._engine) as tx:
            freed = await outbox.free(tx, topic, key)
        for hook in self.after_saying:
            hook()
        return freed

    def _read(self, record: Record, redrive: Redrive | None = None) -> Heard | None:
        try:
            return self._hearing.read(record, redrive=redrive)
        except Exception as error:  # noqa: BLE001  # whatever bytes do to a parser must not stop the records beside them
            log.error("record cannot be read", extra={"topic": record.topic, "error_class": type(error).__name__})  # noqa: TRY400  # a stack would show the parser, not the cause
            return None

    async def _keep_unreadable(self, records: Sequence[Record]) -> None:
        if not records:
            return
        async with self._whatever_the_weather(), transaction(self._engine) as tx:
            await keep_unreadable(tx, self._consumer, records, self._seal)

    async def _write_position(self, delivery: Delivery) -> None:
        """Where the items were divided among several transactions, or there were none: a transaction of its own."""
        if delivery.written or not delivery.ends:
            return
        async with self._whatever_the_weather(), transaction(self._engine) as tx:
            await positions.write(tx, self._consumer, delivery)

    @asynccontextmanager
    async def _whatever_the_weather(self) -> AsyncIterator[None]:
        """A database that is away is Unavailable, whatever says so."""
        try:
            yield
        except Exception as error:
            if is_weather(error):
                raise Unavailable from error
            raise

    # --- taking -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            batch = self._take()
            if batch:
                self._under_way += 1
                try:
                    await self._run_batch(batch)
                finally:
                    self._under_way -= 1
                    for work in batch:
                        self._busy.difference_update(work.keys)
                    self._something.set()
            elif self._stopping and not self._commands and not self._events:
                return
            else:
                self._something.clear()
                await self._something.wait()

    def _take(self) -> list[Work]:
        """Commands first; while both wait, each gets half of a batch. What is in flight stays apart."""
        if self._holds_back():
            return []
        blocked = set(self._busy)
        batch = _from(self._commands, BATCH_MAX // 2 if self._events else BATCH_MAX, blocked)
        batch += _from(self._events, BATCH_MAX - len(batch), blocked)
        for work in batch:
            self._busy.update(work.keys)
        self._impatient = False
        return batch

    def _holds_back(self) -> bool:
        """Whether what waits is too little for a transaction beside the one under way, which is soon over.

        Two small transactions cost twice what one costs. But one that waits for somebody's lock must hold up nobody.
        """
        few = 0 < len(self._commands) + len(self._events) < BESIDE_MIN
        if self._impatient or not few or not self._under_way:
            return False
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(BESIDE_SECONDS, self._lose_patience)
        return True

    def _lose_patience(self) -> None:
        self._impatient, self._patience = True, None
        self._something.set()

    # --- running ----------------------------------------------------------------------------------------------------

    async def _run_batch(self, works: list[Work]) -> None:
        works = self._without_news(works)
        if not works:
            return
        try:
            async with transaction(self._engine) as tx:
                batch = Batch(self._desk, tx)
                await batch.run(works)
        except Exception as error:  # noqa: BLE001  # rolled back: whatever it was, each neighbour gets its own transaction
            await self._after_failure(works, error)
            return
        self._after_commit(batch, works)
        if batch.deferred:
            await self._run_batch(batch.deferred)

    def _after_commit(self, batch: Batch, works: Sequence[Work]) -> None:
        batch.measure()
        reached("executor.after_commit")
        if batch.parked:
            reached("consumer.after_park")
        for hook in (*(self.after_saying if batch.says else ()), *(self.after_sending if batch.sends else ())):
            hook()
        if batch.pulled is not None:
            self.brake.pull(batch.pulled)
        for hook in self.after_gap if batch.found_gap else ():
            hook()
        for lane in batch.freed:
            self.say_freed(lane)
        put_off = set(map(id, batch.deferred))
        for work in works:
            if id(work) not in put_off:
                work.settle(batch.results[id(work)])
                if work.delivery is not None:
                    work.delivery.left -= 1
        for delivery in batch.delivered:
            delivery.written = True

    def _without_news(self, works: list[Work]) -> list[Work]:
        """What the brake holds and was heard just now is not applied but read again later; all else goes on."""
        if not self.brake.on and not self.brake.unheard:
            return works
        others = []
        for work in works:
            cause = work.cause
            if isinstance(cause, Heard) and cause.redrive is None and self.brake.holds(cause.meta.topic):
                work.settle(Unavailable())
            else:
                others.append(work)
        return others

    async def _after_failure(self, works: list[Work], error: Exception) -> None:
        if len(works) > 1:
            told = {"count": len(works), "error_class": name_of(error)}
            log.info("a transaction failed, its items run again apart", extra=told)
            # Halves, so that whatever is wrong ends up alone and its neighbours soon go through; singly where it was
            # too many lanes at once, so that the brake holds at the first one too many.
            size = 1 if isinstance(error, TooManyLanes) else (len(works) + 1) // 2
            for first in range(0, len(works), size):
                await self._run_batch(works[first : first + size])
            return
        (work,) = works
        if is_weather(error):
            await self._after_weather(work, error)
            return
        log.error("work item failed", exc_info=error, extra={"error_class": name_of(error)})
        if isinstance(work.cause, Heard) and work.cause.trouble is None:
            parked = Work(work.cause.in_trouble(name_of(error)), (), work.traceparent, delivery=work.delivery)
            await self._run_batch([parked])
            work.settle(parked.done.exception() or parked.done.result())
            return
        work.settle(Bug(name_of(error)))

    async def _after_weather(self, work: Work, error: Exception) -> None:
        """A lock that was not to be had is tried again a few times; all else is the caller's to try."""
        work.tries += 1
        if sqlstate(error) not in NOT_HAD or work.tries >= TRIES_MAX:
            work.settle(Unavailable())
            return
        await asyncio.sleep(0.05 * work.tries)
        await self._run_batch([work])


def _waiting(heard: Heard) -> Work:
    """An event as a work item; where its subjects are found by a query, that is asked inside the transaction."""
    return stepped(heard) if heard.query is None else Work(heard, (), heard.meta.traceparent)


def _from(queue: deque[Work], room: int, blocked: set[object]) -> list[Work]:
    """The first items of a queue that nothing in `blocked` is in the way of; nothing may overtake what stays."""
    taken: list[Work] = []
    passed: list[Work] = []
    while queue and len(taken) < room and len(passed) < BATCH_MAX:
        work = queue.popleft()
        keys = set(work.keys)
        if keys & blocked:
            blocked |= keys
            passed.append(work)
        else:
            taken.append(work)
    queue.extendleft(reversed(passed))
    return taken
