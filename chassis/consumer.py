"""Reads a service's topics in batches and lets go of a batch only when what it means is durable.

Built on aiokafka's `getmany` itself: positions may only move for records that somebody has dealt with, and FastStream's
loop gives no hold on that (see the decision on reading without FastStream). A batch fails as a whole and is read again.

Where reading begins says the database that keeps what was heard, never the broker: committed offsets outlive a restore.
They are written all the same, for those who measure lag.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Protocol

from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    ConsumerRebalanceListener,
    ConsumerRecord,
    TopicPartition,
)
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    CorruptRecordException,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnknownTopicOrPartitionError,
    UnsupportedCodecError,
)

from chassis import metrics, telemetry
from chassis.crashpoints import reached
from chassis.envelope import Envelope, Reason, Record, Unreadable, from_record
from chassis.relay import backoff_seconds, client_arguments

BATCH_RECORDS_MAX = 200  # as many as one transaction takes
BUSY_RECORDS = 16  # a batch of so many says that more are coming …
GATHER_SECONDS_MOST = 0.25  # … and they are let come for as long as the last ones took: the busier, the more at once
POLL_MS = 500  # how long one look waits for records; what comes ends it at once
# How long the broker may hold back a fetch that would be empty. What comes ends it at once, but what comes in a
# partition whose last records were still in hand when it was sent waits for its end.
FETCH_WAIT_MS = 100
CARE_SECONDS = 0.03  # between two looks at partitions one by one, which do not wait
# Of one partition in one fetch, as it is sent: one batch is always taken, and may inflate to 250 times its size. So
# what one look unpacks stays below what a process has; of ours it is still more than one transaction takes.
PARTITION_BYTES = 64 * 1024
SESSION_MS, HEARTBEAT_MS = 45_000, 3_000  # a stalled event loop is no dead member
REBALANCE_MS = 60_000  # for the batch in flight while the group waits; the role's statements take seconds
POLL_INTERVAL_MS = 600_000  # we look again after every failed attempt, so this only fires when a batch hangs
LOOK_AGAIN_SECONDS = 30.0  # how soon a topic that was missing is noticed
COMMIT_EVERY_SECONDS = 1.0
COMMIT_SECONDS = 10.0  # aiokafka retries a commit for ever
CONNECT_SECONDS = 30.0
CLOSE_SECONDS = 2.0
STOP_SECONDS = 5.0  # part of the time the platform gives a whole process to stop
BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MOST = 0.2, 2.0  # as the relay's
BRAKE_SECONDS = 0.5  # how soon it goes on when the brake is released
QUIET_LOOKS = 2  # so many empty ones, each longer than the broker holds back a fetch: there was nothing to die of
MISSED_SECONDS_FIRST, MISSED_SECONDS_MOST = 1.0, 60.0
STEADY_SECONDS = 60.0  # a connection that lasted so long was a good one: its end is a first failure
WHOLE_SECONDS = 5.0  # who reads everything for so long is not deaf: one that is put out again and again never does
CAREFUL_SECONDS = 30.0  # after bytes that the library cannot take apart, partitions are read one by one that long

_COMMITTED = {**metrics.MESSAGING, "messaging.operation.name": "commit"}

log = logging.getLogger(__name__)

Take = Callable[[Sequence[Record]], Awaitable[None]]
"""Deals with records in order of each partition; returns when everything is durable, raises to get the same again."""

Missed = Callable[[str, int, int, int], Awaitable[tuple[Sequence[Record], int, bool]]]
"""(topic, partition, offset, after) -> what was on a partition from that offset on, in order, a page behind `after`;
what to give as `after` for the next page; whether there is one. Raises where it is not to be had now.
"""

Standing = Callable[[], Awaitable[Mapping[tuple[str, int], int]]]
"""(topic, partition) -> the next offset, of all that was ever heard; raises where that cannot be said now."""


class Holds(Protocol):
    """What may stop the consumer: while it is on nothing is fetched, and the group does without this member.

    Where it holds some topics only, their partitions are put aside, and the others go on.
    """

    @property
    def on(self) -> bool:
        """Whether nothing may be fetched."""
        ...

    def holds(self, topic: str) -> bool:
        """Whether nothing of this topic may be fetched."""
        ...

    async def sit(self, instance: str) -> None:
        """The consumer is about to join the group; raises ConnectionError."""
        ...

    async def begin(self, instance: str) -> None:
        """The consumer is about to take what lies before it."""
        ...

    async def got_through(self) -> None:
        """It has lived to see what it fetched made durable, or stops in good order."""
        ...


@dataclass
class _Behind:
    """A partition of which the broker no longer has what comes next: `offset` is wanted, `first` is what it has."""

    offset: int
    first: int
    after: int = 0
    attempt: int = 0
    again_at: float = 0.0


class Consumer:
    """The one subscription of a service: `start`, `stop`; `assigned` says whether it has its place in the group."""

    def __init__(  # noqa: PLR0913  # what it reads, from where on, and who takes it, by name
        self,
        *,
        take: Take,
        standing: Standing,
        missed: Missed,
        topics: Sequence[str],
        group: str,
        instance: str,
        bootstrap: str,
        ssl_context: ssl.SSLContext | None,
        brake: Holds,
    ) -> None:
        self._brake, self._instance = brake, instance
        self._take, self._standing, self._missed = take, standing, missed
        self._topics, self._group = list(topics), group
        self._arguments = {
            **client_arguments(bootstrap, ssl_context, f"{group}.{instance}"),
            "group_id": group,
            "group_instance_id": f"{group}.{instance}",  # static membership: a restart moves no partition
            "enable_auto_commit": False,
            "auto_offset_reset": "none",  # where to begin is ours to say: any other word passes over what is gone
            "isolation_level": "read_committed",
            "fetch_max_wait_ms": FETCH_WAIT_MS,
            "max_partition_fetch_bytes": PARTITION_BYTES,
            "max_poll_records": BATCH_RECORDS_MAX,
            "max_poll_interval_ms": POLL_INTERVAL_MS,
            "session_timeout_ms": SESSION_MS,
            "heartbeat_interval_ms": HEARTBEAT_MS,
            "rebalance_timeout_ms": REBALANCE_MS,
        }
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._rebalancing = asyncio.Event()
        self._placed = False
        self._behind: dict[TopicPartition, _Behind] = {}
        self._held: set[TopicPartition] = set()
        self._careful_until = 0.0
        self._reading: AIOKafkaConsumer | None = None
        self._next_offset: dict[TopicPartition, int] = {}
        self._oldest: float | None = None
        self._there: list[str] = []
        self._missing: list[str] = []
        self._look_again = 0.0
        self._heard_up_to: dict[TopicPartition, int] = {}
        self._commit_due = 0.0
        self._deaf_since: float | None = monotonic()
        self._whole_since: float | None = None
        self.assigned = False
        """Whether the group has given this member its partitions (which may be none)."""

    async def start(self) -> None:
        """Begin; returns at once, whether or not the broker can be reached."""
        self._task = asyncio.create_task(self._run(), name="consumer")

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Finish the batch in flight and stop; after `seconds` without it: it is read again by whoever is next."""
        self._stopping.set()
        if self._task is None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        self._task = None
        await self._brake.got_through()

    async def _run(self) -> None:
        attempt, loop = 0, asyncio.get_running_loop()
        while not self._stopping.is_set():
            if self._brake.on:  # the group is left: a member that fetches nothing would be put out of it anyway
                self._deaf_since = None  # on purpose, and whoever pulled it says so
                await self._pause(BRAKE_SECONDS)
                continue
            began = loop.time()
            await self._once()
            attempt = 1 if loop.time() - began > STEADY_SECONDS else attempt + 1
            await self._pause(backoff_seconds(attempt, BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MOST))

    async def _once(self) -> None:
        """One connection, from joining the group until stopped or until it fails."""
        consumer = AIOKafkaConsumer(**self._arguments)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect(consumer)
            self._reading = consumer
            await self._read_until_stopped(consumer)
        except (KafkaError, OSError, TimeoutError) as error:
            told = {"consumer": self._group, "error_class": type(error).__name__}
            log.warning("consumer cannot read its topics", extra=told)
        except Exception:  # a bug must not end in silence: shown with its stack, tried again from where hearing stands
            log.exception("consumer failed, it will start over", extra={"consumer": self._group})
        finally:
            self.assigned, self._reading = False, None
            self._misses_something()
            await _close(consumer)

    async def _connect(self, consumer: AIOKafkaConsumer) -> None:
        """Join the group with those of our topics that can be seen; one that is missing must not stop the others."""
        self._rebalancing.clear()
        self._placed, self._heard_up_to = False, {}
        await consumer.start()
        visible = await consumer.topics()
        self._missing = []
        self._misses(topic for topic in self._topics if topic not in visible)
        self._there = [topic for topic in self._topics if topic in visible]
        if not self._there:
            raise UnknownTopicOrPartitionError
        await self._brake.sit(self._instance)
        if not self._brake.on:
            consumer.subscribe(self._there, listener=_Drain(self, consumer))

    def _misses(self, topics: Iterable[str]) -> None:
        for topic in topics:
            log.error("topic is missing or not ours to read", extra={"consumer": self._group, "topic": topic})
            self._missing.append(topic)
            self._look_again = asyncio.get_running_loop().time() + LOOK_AGAIN_SECONDS

    def _look_for_lost(self, consumer: AIOKafkaConsumer) -> None:
        """A topic that is gone leaves the group without a word, and the library looks for it once in five minutes.

        One answer of a broker that has just come back may be without it: what is there again and ours still is not
        lost. It may be another one by now, so where reading begins is asked again.
        """
        if self._placed:
            ours = {partition.topic for partition in consumer.assignment()}
            back = [topic for topic in self._missing if topic in ours and consumer.partitions_for_topic(topic)]
            if back:
                self._missing = [topic for topic in self._missing if topic not in back]
                self._placed = False
                return
            known = [topic for topic in self._topics if topic not in self._missing]
            self._misses(topic for topic in known if not consumer.partitions_for_topic(topic))

    def _ask_for_new_topics(self, consumer: AIOKafkaConsumer) -> None:
        """Once after joining: a static member that comes back gets its old partitions, whatever it subscribes to now.

        Joining a second time makes the group's leader give out everything anew; from others it changes nothing.
        """
        if self.assigned and self._there:
            consumer.subscribe(self._there, listener=_Drain(self, consumer))
            self._there = []

    async def _has_more(self, consumer: AIOKafkaConsumer) -> bool:
        """Whether a topic that was missing has come; asked now and then, and only while one is missing."""
        now = asyncio.get_running_loop().time()
        if not self._missing or now < self._look_again:
            return False
        self._look_again = now + LOOK_AGAIN_SECONDS
        async with asyncio.timeout(CONNECT_SECONDS):
            visible = await consumer.topics()
        return any(topic in visible for topic in self._missing)

    async def _read_until_stopped(self, consumer: AIOKafkaConsumer) -> None:
        """Batch after batch. Whatever is raised here, the next connection begins where the database says."""
        attempt = quiet = 0
        while not self._stopping.is_set() and not self._brake.on and not await self._has_more(consumer):
            _must_fetch(consumer)
            self._ask_for_new_topics(consumer)
            if self.assigned and not self._placed:
                await self._place(consumer)
            self._look_for_lost(consumer)
            self._hold(consumer)
            await self._catch_up(consumer)
            records = await self._next(consumer)
            self._hold(consumer)  # the brake may have been pulled while we looked
            self._has_looked()
            if self._behind or self._held:
                waits = self._behind.keys() | self._held
                records = [r for r in records if TopicPartition(r.topic, r.partition) not in waits]
            if not records:
                await self._commit(consumer)
            if not records or not self._placed:  # unplaced: read from wherever the library stood; `_place` goes back
                quiet = await self._quiet(quiet)
                continue
            quiet = 0
            self._idle.clear()  # no await since the records came: a rebalance either was before or waits for this batch
            reached("consumer.after_fetch")
            began = monotonic()
            try:
                if await self._durable(records):
                    took = monotonic() - began
                    attempt, self._oldest = 0, None
                    self._next_offset.update(_ends_of(records))
                    reached("consumer.after_commit")
                    self._heard_up_to |= _ends_of(records)
                    if self._commit_due <= asyncio.get_running_loop().time():
                        await self._commit(consumer)
                    await self._brake.got_through()
                    if BUSY_RECORDS <= len(records) < BATCH_RECORDS_MAX:
                        await self._pause(min(took, GATHER_SECONDS_MOST))
                    continue
                attempt += 1
                await self._pause(backoff_seconds(attempt, BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MOST))
                _rewind(consumer, records)
            finally:
                self._idle.set()
        await self._commit(consumer)

    async def _quiet(self, looks: int) -> int:
        """One more look has found nothing; after some there was nothing to die of. Careful ones are too short."""
        if not self._placed or asyncio.get_running_loop().time() < self._careful_until:
            return 0
        if looks + 1 == QUIET_LOOKS:
            await self._brake.got_through()
        return looks + 1

    async def _place(self, consumer: AIOKafkaConsumer) -> None:
        """Go to where the database says hearing stands, in every partition; a rebalance meanwhile has it done again."""
        self._placed, self._behind, self._held = True, {}, set()
        partitions = sorted(consumer.assignment())
        if not partitions:
            return
        standing = await self._ask_standing()
        async with asyncio.timeout(CONNECT_SECONDS):
            firsts = await consumer.beginning_offsets(partitions)
            ends = await consumer.end_offsets(partitions)
        begins = {each: standing.get((each.topic, each.partition), 0) for each in partitions}
        waiting = [each for each in partitions if begins[each] != ends[each]]
        for each in waiting:  # said before it is fetched: if something in it kills, this is the last that is said
            log.info("reading begins here", extra=_told(each, begins[each]))
        if waiting:
            await self._brake.begin(self._instance)  # before anything is unpacked: that may be what kills
        if self._brake.on:
            self._placed = False
        if not self._placed:
            return
        for partition in partitions:
            first, end, offset = firsts[partition], ends[partition], begins[partition]
            if offset > end:
                log.error("topic is shorter than what was heard of it, it is read anew", extra=_told(partition, offset))
                offset = 0
            consumer.resume(partition)
            consumer.seek(partition, max(offset, first))
            self._next_offset[partition] = offset
            if (partition.topic, partition.partition) in standing:
                self._heard_up_to[partition] = offset  # told to the broker, too: who was here before may have died
            if offset < first:
                log.warning("the broker no longer has what comes next", extra=_told(partition, offset))
                consumer.pause(partition)
                self._behind[partition] = _Behind(offset, first)

    def _hold(self, consumer: AIOKafkaConsumer) -> None:
        """Put aside what the brake holds; where it has let go of something, go on from where the database says."""
        held = {partition for partition in consumer.assignment() if self._brake.holds(partition.topic)}
        for partition in held - self._held:
            consumer.pause(partition)
        if self._held - held:
            self._placed = False
        self._held = held

    async def _catch_up(self, consumer: AIOKafkaConsumer) -> None:
        """A page of what the broker no longer has, for each partition that misses something; the others go on between.

        A partition is read on when all that was before has been heard. Where it cannot be had, it waits.
        """
        for partition, behind in list(self._behind.items()):
            if asyncio.get_running_loop().time() < behind.again_at or not self._placed or partition in self._held:
                continue
            self._idle.clear()  # as for a batch: a rebalance waits until the page is durable
            try:
                if await self._hear_missed(partition, behind) and self._behind.pop(partition, None) is not None:
                    consumer.seek(partition, behind.first)
                    consumer.resume(partition)
                    self._next_offset[partition] = self._heard_up_to[partition] = behind.first
                    told = _told(partition, behind.first)
                    log.info("what the broker no longer has is heard, the partition is read on", extra=told)
            finally:
                self._idle.set()

    async def _hear_missed(self, partition: TopicPartition, behind: _Behind) -> bool:
        """Hear the next page; whether that was the last one."""
        try:
            records, last, more = await self._missed(partition.topic, partition.partition, behind.offset, behind.after)
        except Exception as error:  # noqa: BLE001  # weather, a no, or a bug: in each case nothing may be passed over
            told = {**_told(partition, behind.offset), "reason": str(error), "error_class": type(error).__name__}
            log.error("what the broker no longer has is not to be had, the partition waits", extra=told)  # noqa: TRY400  # a reason, no stack
            self._later(behind)
            return False
        before = [record for record in records if record.offset < behind.first]
        if before and not await self._durable(before):
            self._later(behind)
            return False
        behind.after, behind.attempt = last, 0
        return not more or len(before) < len(records)

    @staticmethod
    def _later(behind: _Behind) -> None:
        behind.attempt += 1
        seconds = backoff_seconds(behind.attempt, MISSED_SECONDS_FIRST, MISSED_SECONDS_MOST)
        behind.again_at = asyncio.get_running_loop().time() + seconds

    async def _ask_standing(self) -> Mapping[tuple[str, int], int]:
        try:
            return await self._standing()
        except Exception as error:  # weather or a bug: nobody may read who cannot say from where
            log.warning("nobody says where hearing stands", extra={"consumer": self._group}, exc_info=True)
            raise ConnectionError from error

    async def _next(self, consumer: AIOKafkaConsumer) -> list[Record]:
        """The next records. Where the library cannot take a batch apart, start over and read with care."""
        try:
            if asyncio.get_running_loop().time() < self._careful_until:
                return await self._next_with_care(consumer)
            return await self._next_at_once(consumer)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError):
            self._placed = False
            return []

    async def _next_at_once(self, consumer: AIOKafkaConsumer) -> list[Record]:
        try:
            found = await consumer.getmany(timeout_ms=POLL_MS, max_records=BATCH_RECORDS_MAX)
        except Exception as error:  # what a library raises on the bytes of strangers is an open list
            if _is_weather(error):
                raise
            # What `getmany` had taken from other partitions is lost with the exception, and their positions have moved:
            # only a new connection reads it again.
            self._careful_until = asyncio.get_running_loop().time() + CAREFUL_SECONDS
            raise CorruptRecordException from error
        self._oldest = min((records[0].timestamp / 1000 for records in found.values() if records), default=None)
        return _records(found)

    def lag(self) -> tuple[int, float] | None:
        """Records on our partitions that are not durable here, and the age of the oldest fetched one in seconds.

        What the broker said with the last fetch; None while there is no place in the group.
        """
        if self._reading is None or not self._placed:
            return None
        behind = sum(max(0, end - self._next_offset.get(each, end)) for each, end in self._ends(self._reading))
        return behind, 0.0 if self._oldest is None else max(0.0, time() - self._oldest)

    def deaf_seconds(self) -> float:
        """How long there has been something of our topics that is not read; 0 where everything is, or the brake is on.

        No place in the group, a topic that is missing or not ours, a partition that waits for what is not to be had.
        """
        return 0.0 if self._deaf_since is None else monotonic() - self._deaf_since

    def _has_looked(self) -> None:
        """After a look at the broker that did not fail: whoever has read everything for long enough is not deaf."""
        waits = any(behind.attempt for behind in self._behind.values())  # one that is catching up page by page does not
        if not self._placed or self._missing or waits:
            self._misses_something()
            return
        now = monotonic()
        self._whole_since = now if self._whole_since is None else self._whole_since
        if now - self._whole_since >= WHOLE_SECONDS:
            self._deaf_since = None

    def _misses_something(self) -> None:
        self._whole_since = None
        self._deaf_since = monotonic() if self._deaf_since is None else self._deaf_since

    @staticmethod
    def _ends(consumer: AIOKafkaConsumer) -> Iterable[tuple[TopicPartition, int]]:
        known = ((partition, consumer.highwater(partition)) for partition in consumer.assignment())
        return [(partition, end) for partition, end in known if end is not None]

    async def _next_with_care(self, consumer: AIOKafkaConsumer) -> list[Record]:
        """One look at every partition by itself, so that nothing is lost when one raises."""
        records: list[Record] = []
        for partition in sorted(consumer.assignment()):
            try:
                records += _records(await consumer.getmany(partition, timeout_ms=0, max_records=BATCH_RECORDS_MAX))
            except Exception as error:  # as in `_next`
                if _is_weather(error):
                    raise
                records += await self._one(consumer, partition)
        if not records:
            await self._pause(CARE_SECONDS)
        return records

    async def _one(self, consumer: AIOKafkaConsumer, partition: TopicPartition) -> list[Record]:
        """The record at the position, or, where it is what cannot be taken apart, a note about it."""
        try:
            return _records(await consumer.getmany(partition, timeout_ms=FETCH_WAIT_MS * 2, max_records=1))
        except Exception as error:  # as in `_next`
            if _is_weather(error):
                raise
        offset = await consumer.position(partition)
        consumer.seek(partition, offset + 1)
        told = {"topic": partition.topic, "offset": offset, "reason": Reason.UNDECODABLE}
        log.error("record passed over", extra=told)
        return [Record(Unreadable(Reason.UNDECODABLE), partition.topic, partition.partition, offset, None, (), None)]

    async def _durable(self, records: Sequence[Record]) -> bool:
        created = (record.envelope.traceparent for record in records if isinstance(record.envelope, Envelope))
        received = {"messaging.operation.name": "receive", "messaging.consumer.group.name": self._group}
        metrics.count_by_topic("messaging.client.consumed.messages", (record.topic for record in records), received)
        try:
            with telemetry.receive(self._group, len(records), created):
                await self._take(records)
        except Exception as error:  # weather or a bug: in both cases nothing of the batch may be passed over
            told = {"consumer": self._group, "count": len(records), "error_class": type(error).__name__}
            log.warning("batch is not durable, it will be read again", extra=told, exc_info=True)
            return False
        return True

    async def _commit(self, consumer: AIOKafkaConsumer) -> None:
        """Tell the broker how far hearing has come, for whoever watches from outside; reading begins elsewhere.

        In a flood once a second, else after each batch. Where that fails nothing is lost.
        """
        offsets, self._heard_up_to = self._heard_up_to, {}
        if not offsets:
            return
        self._commit_due = asyncio.get_running_loop().time() + COMMIT_EVERY_SECONDS
        began = monotonic()
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(offsets)
            metrics.measured("messaging.client.operation.duration", monotonic() - began, _COMMITTED)
        except (KafkaError, OSError, TimeoutError) as error:
            told = {"consumer": self._group, "error_class": type(error).__name__}
            log.warning("offsets were not committed", extra=told)
        reached("consumer.after_offset")

    async def _pause(self, seconds: float) -> None:
        """Wait, but not beyond `stop` or a rebalance, which has the batch read again by its next owner."""
        waiting = [asyncio.ensure_future(event.wait()) for event in (self._stopping, self._rebalancing)]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in waiting:
                future.cancel()

    async def drained(self) -> None:
        """Returns when no batch is in flight."""
        self.assigned = self._placed = False
        self._heard_up_to = {}
        self._rebalancing.set()
        reached("consumer.in_revoke")
        await self._idle.wait()

    def joined(self) -> None:
        """The group has given out its partitions."""
        self.assigned = True
        self._rebalancing.clear()


class _Drain(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Lets the group wait until the batch in flight is finished and committed; heartbeats go on meanwhile.

    What is assigned is fetched when it is known from where on, and no sooner: `_place` resumes it.
    """

    def __init__(self, consumer: Consumer, reading: AIOKafkaConsumer) -> None:
        self._consumer, self._reading = consumer, reading

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002  # aiokafka's form
        await self._consumer.drained()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self._reading.pause(*assigned)
        self._consumer.joined()


def _must_fetch(consumer: AIOKafkaConsumer) -> None:
    """Raise KafkaError where the library's own task that fetches is dead: it tells nobody, and no record ever comes.

    It dies where a group's partitions are given out anew in the moment in which it is told of them.
    """
    if consumer._fetcher._fetch_task.done():  # noqa: SLF001  # there is no public way to see it
        raise KafkaError("nothing is fetched any more")


def _told(partition: TopicPartition, offset: int) -> dict[str, Any]:
    return {"topic": partition.topic, "partition": partition.partition, "offset": offset}


def _is_weather(error: Exception) -> bool:
    """Whether it is the way to the broker that fails, and not the bytes that came over it."""
    bytes_at_fault = isinstance(error, CorruptRecordException | UnsupportedCodecError)
    return isinstance(error, KafkaError | OSError | TimeoutError) and not bytes_at_fault


def _records(found: Mapping[TopicPartition, Sequence[ConsumerRecord[Any, Any]]]) -> list[Record]:
    return [
        from_record(raw.topic, raw.partition, raw.offset, raw.key, raw.headers, raw.value)
        for several in found.values()
        for raw in several
    ]


def _ends_of(records: Iterable[Record]) -> dict[TopicPartition, int]:
    """The offset after the last of these records, in each partition."""
    return {TopicPartition(record.topic, record.partition): record.offset + 1 for record in records}


def _rewind(consumer: AIOKafkaConsumer, records: Iterable[Record]) -> None:
    """Put every partition back to its first record of this batch; the partitions are still ours, a rebalance waits."""
    first: dict[TopicPartition, int] = {}
    for record in records:
        first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
    for partition, offset in first.items():
        consumer.seek(partition, offset)


async def _close(consumer: AIOKafkaConsumer) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await consumer.stop()
