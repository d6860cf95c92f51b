"""Carries what was said from the outbox to the broker: in order per subject, at least once, nothing forgotten.

One relay per database leads at a time; the lock of that lives in the database connection that also remembers what was
published, so whoever has lost the lock can remember nothing. A row leaves the outbox when the broker has acknowledged
it. Dying anywhere repeats records, in order, and never skips one (Channel.tla: `Publish`); the hearer's inbox drops
the repeats.
"""
from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from time import monotonic
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import (  # type: ignore[import-untyped]  # ships no types
    InvalidTimestampError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner  # type: ignore[import-untyped]  # ships no types
from pydantic_core import from_json
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import metrics, telemetry
from chassis.crashpoints import reached
from chassis.database import BIGINTS, INTS, TEXTS, Statement, is_weather
from chassis.envelope import key_of

ROUND_RECORDS_MAX = 500  # one round's rows; more gains nothing (speed), costs memory
BATCH_BYTES = 60 * 1024  # per partition, before compression: a topic's max.message.bytes (64 KB) counts whole batches
BUSY_RECORDS = 16  # a round of so many says that more are being written …
GATHER_SECONDS_MOST = 0.25  # … and they are let come for as long as the last ones took to send
POLL_SECONDS_FIRST, POLL_SECONDS_MOST = 0.2, 5.0  # when nobody wakes us; the service itself looks every second
FOLLOWER_SECONDS = 1.0  # how often a relay that does not lead asks whether it may
DATABASE_SECONDS = 10.0  # longer than the role's statement_timeout: then the connection is dead, not slow
BROKER_SECONDS = 10.0  # for one round's acknowledgements; idempotent batches never expire by themselves
CONNECT_SECONDS = 10.0
DISCARD_SECONDS = 0.5
STOP_SECONDS = 5.0  # part of the time the platform gives a whole process to stop
# Between the end of one attempt and the next, however long what failed was away. One that hangs ends after
# CONNECT_SECONDS, BROKER_SECONDS or DATABASE_SECONDS.
BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MOST = 0.2, 2.0
ASIDE_SECONDS = 10.0  # a topic that is missing or forbidden is left alone that long; others go on
LOCK = 0x6F757462_6F78  # "outbox": advisory locks are per database, and a service has its own

# The broker's word for "never, however often you ask": the record itself is at fault.
HOPELESS = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)
TOPIC_SHUT = (TopicAuthorizationFailedError, UnknownTopicOrPartitionError)

_SENDS = {"messaging.operation.name": "send"}
_SENT = {**metrics.MESSAGING, **_SENDS}

log = logging.getLogger(__name__)


class Place(NamedTuple):
    """Where a record has come to lie. The offset is -1 where the broker had it already and does not say."""

    partition: int
    offset: int


class Row(NamedTuple):
    """A record that waits in the outbox."""

    pos: int
    topic: str
    key: UUID
    headers: list[tuple[str, bytes]]
    payload: bytes


Outcome = Place | Exception | None  # acknowledged, refused or unknown; None: not tried
Stream = tuple[str, UUID]  # what must stay in order: topic and key


def client_arguments(bootstrap: str, ssl_context: ssl.SSLContext | None, client_id: str) -> dict[str, Any]:
    """What every broker client of ours is made with; plain text without `ssl_context`, for one's own machine."""
    return {
        "bootstrap_servers": bootstrap,
        "client_id": client_id,
        "security_protocol": "PLAINTEXT" if ssl_context is None else "SSL",
        "ssl_context": ssl_context,
        "request_timeout_ms": int(BROKER_SECONDS * 1000),
        "retry_backoff_ms": 100,
    }


def backoff_seconds(attempt: int, first: float, most: float) -> float:
    """How long to wait before the attempt after `attempt` (1, 2 …) failed ones: doubling, ± 20 %."""
    doubled: float = first * 2 ** min(attempt - 1, 16)
    return min(most, doubled) * _CHANCE.uniform(0.8, 1.2)


_CHANCE = random.SystemRandom()


class _MadeAnew(Exception):
    """A topic is not the one any more to which we have published."""


class Relay:
    """The relay of one service: `start`, `wake` after each commit that said something, `stop`.

    The leading one keeps one connection of `engine` for itself. Each time it begins to lead it asks `may_speak`: a
    database that was exchanged for an older one must not say again under the numbers of what was said. Where a topic
    was made anew under it, it tells `made_anew` and leads no more.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        bootstrap: str,
        ssl_context: ssl.SSLContext | None,
        client_id: str,
        may_speak: Callable[[], Awaitable[bool]] | None = None,
        made_anew: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._engine, self._may_speak, self._tell_made_anew = engine, may_speak, made_anew
        self._sender = _Sender(client_arguments(bootstrap, ssl_context, client_id))
        self._wake = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._attempt = 0
        self._singly = False
        self._aside: dict[str, float] = {}
        self._farthest: dict[tuple[str, int], int] = {}
        self.leading = False
        """Whether this replica is the one that publishes."""

    async def start(self) -> None:
        """Begin; returns at once, whether or not database and broker can be reached."""
        self._task = asyncio.create_task(self._run(), name="relay")

    def wake(self) -> None:
        """Something was committed. Cheap, from the event loop of `start`."""
        self._wake.set()

    async def stop(self, seconds: float = STOP_SECONDS) -> None:
        """Finish the round in flight and stop; after `seconds` without it: the next leader repeats what was sent."""
        self._stopping = True
        self._wake.set()
        if self._task is None:
            return
        await asyncio.wait({self._task}, timeout=seconds)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task
        await self._sender.discard()  # the cancel may have come while a producer was being stopped
        self._task = None

    async def _run(self) -> None:
        attempt = 0
        while not self._stopping:
            try:
                led = await self._lead()
            except Exception as error:  # a bug must not end in silence: shown with its stack, tried again slowly
                if is_weather(error):
                    attempt += 1
                    seconds = backoff_seconds(attempt, BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MOST)
                    log.warning("relay lost its database connection", extra={"attempt": attempt}, exc_info=True)
                else:
                    seconds = BACKOFF_SECONDS_MOST
                    log.exception("relay failed, it will start over")
            else:
                attempt, seconds = 0, FOLLOWER_SECONDS if not led else 0.0
            await self._pause(seconds)

    async def _lead(self) -> bool:
        """Try to become the leader and publish until stopped; False if somebody else leads."""
        async with self._engine.connect() as fresh:
            connection = await fresh.execution_options(isolation_level="AUTOCOMMIT")  # every statement is whole
            try:
                async with asyncio.timeout(DATABASE_SECONDS):
                    self.leading = bool(await connection.scalar(_LEAD, {"lock": LOCK}))
                if not self.leading or (self._may_speak is not None and not await self._may_speak()):
                    return False
                log.info("relay leads")
                self._farthest = {}
                async with asyncio.timeout(DATABASE_SECONDS):
                    await connection.execute(_BY_INDEX)
                await self._publish_until_stopped(connection)
            except _MadeAnew:
                return False
            else:
                return True
            finally:
                if self.leading:
                    self.leading = False
                    try:
                        await self._sender.discard()
                    finally:
                        with suppress(SQLAlchemyError, OSError):
                            await connection.invalidate()  # closes it and so frees the lock; not for the pool

    async def _publish_until_stopped(self, connection: AsyncConnection) -> None:
        """Round after round; where one says that nothing follows, wait to be woken, or until the next look."""
        idle, rows = POLL_SECONDS_FIRST, await self._look(connection)
        while not self._stopping:
            if rows:
                reached("relay.after_select")
                idle, rows = POLL_SECONDS_FIRST, await self._round(connection, rows)
            else:
                idle = POLL_SECONDS_FIRST if await self._woken(idle) else min(idle * 2, POLL_SECONDS_MOST)
                rows = await self._look(connection)

    async def _look(self, connection: AsyncConnection) -> list[Row]:
        self._wake.clear()
        return await self._ask(connection, _READ, {})

    async def _ask(self, connection: AsyncConnection, how: Statement, what: Mapping[str, Any]) -> list[Row]:
        """The first rows that wait, as `how` finds them."""
        now = asyncio.get_running_loop().time()
        self._aside = {topic: until for topic, until in self._aside.items() if until > now}
        async with asyncio.timeout(DATABASE_SECONDS):
            asked = {**what, "aside": list(self._aside), "most": ROUND_RECORDS_MAX}
            found = await how.alone(connection, asked)
        return [Row(pos, topic, key, _headers(headers), payload) for pos, topic, key, headers, payload in found]

    async def _round(self, connection: AsyncConnection, rows: Sequence[Row]) -> list[Row]:
        """Publish these rows, remember those acknowledged, decide what the failures mean; returns the next rows.

        What is remembered and what comes next is one statement. In a flood it waits a little, so that the next round
        has many; who dies meanwhile repeats this one.
        """
        following = list[Row]()
        with telemetry.send(len(rows), (_created(row) for row in rows)) as traced:
            began = monotonic()
            outcomes = await self._sender.publish(rows, singly=self._singly)
            metrics.measured("messaging.client.operation.duration", monotonic() - began, _SENT)
            metrics.measured("relay.batch.size", len(rows))
            pairs = zip(rows, outcomes, strict=True)
            failures = [(row, outcome) for row, outcome in pairs if isinstance(outcome, Exception)]
            if failures:
                traced.set("error.type", type(failures[0][1]).__name__)
            published = acknowledged(rows, outcomes)
            if published:
                reached("relay.after_send")
                farthest = await self._must_be_the_same(connection, published)  # at once: who dies tells nobody
                if BUSY_RECORDS <= len(rows) < ROUND_RECORDS_MAX and not failures:
                    await asyncio.sleep(min(monotonic() - began, GATHER_SECONDS_MOST))
                self._wake.clear()
                following = await self._ask(connection, _REMEMBER_AND_READ, published)
                self._farthest |= farthest
                metrics.count_by_topic("messaging.client.sent.messages", published["topics"], _SENDS)
                reached("relay.after_delete")
        if failures:
            await self._sender.discard()  # its sequence numbers may have a hole: a new producer starts a new count
            await self._judge(connection, failures)
            return []  # what comes next depends on what was judged just now
        self._attempt, self._singly = 0, False
        return following

    async def _must_be_the_same(
        self, connection: AsyncConnection, sent: Mapping[str, Sequence[Any]]
    ) -> Mapping[tuple[str, int], int]:
        """Raise where a record lies no farther than one that was published before it: what was there is gone.

        Nothing of this round is remembered then: it goes out again, after what is gone. Else how far it has come.
        """
        come_to: dict[tuple[str, int], int] = {}
        for topic, partition, offset in zip(sent["topics"], sent["partitions"], sent["offsets"], strict=True):
            if (topic, partition) not in self._farthest:
                async with asyncio.timeout(DATABASE_SECONDS):
                    found = await connection.scalar(_FARTHEST, {"topic": topic, "partition": partition})
                self._farthest[topic, partition] = -1 if found is None else found
            farthest = come_to.get((topic, partition), self._farthest[topic, partition])
            if 0 <= offset <= farthest and self._tell_made_anew is not None:
                await self._tell_made_anew(topic)
                raise _MadeAnew
            come_to[topic, partition] = max(offset, farthest)
        return come_to

    async def _judge(self, connection: AsyncConnection, failures: Iterable[tuple[Row, Exception]]) -> None:
        """Shut topics are set aside, a record that is hopeless alone holds its subject, anything else is weather."""
        weather: Exception | None = None
        alone = self._singly
        for row, error in failures:
            if isinstance(error, TOPIC_SHUT):
                self._set_aside(row.topic, error)
            elif not isinstance(error, HOPELESS):
                weather = weather or error
            elif alone:
                await self._hold(connection, row, error)
            else:
                self._singly = True  # the error is a whole batch's; sent alone we see whose it is
        if weather is not None:
            self._attempt += 1
            told = {"attempt": self._attempt, "error_class": type(weather).__name__}
            log.warning("broker did not take a round", extra=told)
            await self._pause(backoff_seconds(self._attempt, BACKOFF_SECONDS_FIRST, BACKOFF_SECONDS_MOST))

    def _set_aside(self, topic: str, error: Exception) -> None:
        if topic not in self._aside:
            self._aside[topic] = asyncio.get_running_loop().time() + ASIDE_SECONDS
            told = {"topic": topic, "error_class": type(error).__name__}
            log.error("topic is missing or not ours to write", extra=told)

    async def _hold(self, connection: AsyncConnection, row: Row, error: Exception) -> None:
        reason = type(error).__name__
        told = {"topic": row.topic, "pos": row.pos, "reason": reason}
        log.error("record can never be sent, its subject is held", extra=told)
        async with asyncio.timeout(DATABASE_SECONDS):
            await connection.execute(_HOLD, {"topic": row.topic, "key": row.key, "reason": reason})

    async def _woken(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._wake.wait()
        return False

    async def _pause(self, seconds: float) -> None:
        """Wait, whatever is committed meanwhile, but not beyond `stop`."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self._stopping and (left := until - loop.time()) > 0:
            self._wake.clear()
            await self._woken(left)


def acknowledged(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> dict[str, list[Any]] | None:
    """Per stream everything before its first row without an acknowledgement, as columns; None if that is nothing."""
    stuck: set[Stream] = set()
    columns: dict[str, list[Any]] = {"topics": [], "positions": [], "partitions": [], "offsets": []}
    for row, outcome in zip(rows, outcomes, strict=True):
        if not isinstance(outcome, Place):
            stuck.add((row.topic, row.key))
        elif (row.topic, row.key) not in stuck:
            columns["topics"].append(row.topic)
            columns["positions"].append(row.pos)
            columns["partitions"].append(outcome.partition)
            columns["offsets"].append(outcome.offset)
    return columns if columns["topics"] else None


class _Sender:
    """One idempotent producer at a time; whoever doubts it discards it."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._arguments = arguments
        self._producer: AIOKafkaProducer | None = None
        self._given_up: AIOKafkaProducer | None = None
        self._partitions: dict[str, list[int]] = {}

    async def publish(self, rows: Sequence[Row], *, singly: bool) -> list[Outcome]:
        """Send in order and wait for the acknowledgements; one outcome per row. `singly`: up to the first failure."""
        outcomes: list[Outcome] = [None] * len(rows)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                producer = await self._connected()
                await self._ask_partitions(producer, {row.topic for row in rows})
        except (KafkaError, OSError, TimeoutError) as error:
            return [error] * len(rows)
        open_rows = []
        for index, row in enumerate(rows):
            if row.topic in self._partitions:
                open_rows.append(index)
            else:
                outcomes[index] = UnknownTopicOrPartitionError()
        if not open_rows:
            return outcomes
        batches = [[index] for index in open_rows] if singly else [open_rows]
        for indices in batches:
            await self._send(producer, rows, indices, outcomes)
            if any(isinstance(outcomes[index], Exception) for index in indices):
                break
        return outcomes

    async def discard(self) -> None:
        """End the producer; what it has not delivered by now it never will."""
        self._given_up, self._producer, self._partitions = self._producer or self._given_up, None, {}
        if self._given_up is not None:
            await _end(self._given_up)
            self._given_up = None  # not before: whoever is cancelled above leaves the rest to the next call

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._arguments,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,  # a round is complete before the first batch is handed over; waiting would only cost time
                max_batch_size=BATCH_BYTES,
                compression_type="lz4",
            )
            self._producer = producer  # kept from here on: one that could not start must be stopped as well
            try:
                await producer.start()
            except BaseException:
                await self.discard()
                raise
        return self._producer

    async def _ask_partitions(self, producer: AIOKafkaProducer, topics: set[str]) -> None:
        """Learn how many partitions each topic has; one that we may not see or that is missing stays unknown."""
        unknown = topics - self._partitions.keys()
        if not unknown:
            return
        cluster = await producer.client.fetch_all_metadata()
        for topic in unknown:
            partitions = cluster.partitions_for_topic(topic)
            if partitions:
                self._partitions[topic] = sorted(partitions)

    async def _send(
        self, producer: AIOKafkaProducer, rows: Sequence[Row], indices: Sequence[int], outcomes: list[Outcome]
    ) -> None:
        """Group by partition in order, hand the batches over, wait; writes the outcomes of `indices`."""
        sent: list[tuple[list[int], int, asyncio.Future[Any]]] = []
        try:
            async with asyncio.timeout(BROKER_SECONDS):
                for (topic, partition), group in self._by_partition(rows, indices).items():
                    for batch, builder in _batches(producer, rows, group):
                        sent.append((batch, partition, await producer.send_batch(builder, topic, partition=partition)))
                        reached("relay.mid_batch")
                await asyncio.wait([future for _, _, future in sent])
        except (KafkaError, OSError, TimeoutError) as error:
            for index in indices:
                outcomes[index] = error
        for batch, partition, future in sent:
            _write_outcomes(batch, partition, future, outcomes)

    def _by_partition(self, rows: Sequence[Row], indices: Iterable[int]) -> Mapping[tuple[str, int], list[int]]:
        groups: dict[tuple[str, int], list[int]] = {}
        for index in indices:
            row = rows[index]
            partitions = self._partitions[row.topic]
            groups.setdefault((row.topic, partitions[_place(row.key, len(partitions))]), []).append(index)
        return groups


_PARTITIONER = DefaultPartitioner()


@lru_cache(maxsize=10_000)  # murmur2 in Python takes as long as all else for a record; most subjects say several things
def _place(key: UUID, partitions: int) -> int:
    """Where this key lies among so many partitions, as every Kafka client has it."""
    places = list(range(partitions))
    found: int = _PARTITIONER(key_of(key), places, places)
    return found


def _batches(producer: AIOKafkaProducer, rows: Sequence[Row], group: Sequence[int]) -> Iterable[tuple[list[int], Any]]:
    """Fill record batches one after the other; yields each with the rows in it. The first record always fits."""
    builder: Any = producer.create_batch()
    batch: list[int] = []
    for index in group:
        row = rows[index]
        arguments = {"timestamp": None, "key": key_of(row.key), "value": row.payload, "headers": row.headers}
        if builder.append(**arguments) is None:
            yield batch, builder
            builder, batch = producer.create_batch(), []
            builder.append(**arguments)
        batch.append(index)
    yield batch, builder


def _write_outcomes(batch: Sequence[int], partition: int, future: asyncio.Future[Any], outcomes: list[Outcome]) -> None:
    if not future.done():
        future.cancel()  # nobody looks at it any more; the batch itself ends with its producer
    try:
        base = future.result().offset
    except (KafkaError, OSError, TimeoutError, asyncio.CancelledError) as error:
        for index in batch:
            outcomes[index] = error if isinstance(error, Exception) else TimeoutError()
        return
    for place, index in enumerate(batch):
        outcomes[index] = Place(partition, base + place if base >= 0 else -1)


async def _end(producer: AIOKafkaProducer) -> None:
    """Stop it without flushing: idempotent batches never expire, so a flush could wait, and send, for ever.

    There is no public way. Connections first, so that nothing is in flight, then the task that sends; what waits is
    dropped with the object, which then counts as closed.
    """
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            await producer.client.close()
            await producer._sender.close()  # noqa: SLF001
    producer._closed = True  # noqa: SLF001


def _headers(text: str) -> list[tuple[str, bytes]]:
    return [(name, value.encode()) for name, value in from_json(text)]


def _created(row: Row) -> str | None:
    return next((value.decode() for name, value in row.headers if name == "traceparent"), None)


_LEAD = sa.text("SELECT pg_try_advisory_lock(:lock)").bindparams(sa.bindparam("lock", type_=sa.BigInteger))

# For the relay's own connection. A prepared statement keeps the plan it was given while the tables were small, and a
# log that was small once would be read whole for every round.
_BY_INDEX = sa.text("SET enable_seqscan = off")

# The rows first, then the bytes of each by its position.
_FIRST = """
    SELECT waiting.pos, waiting.topic, waiting.key, said.headers, said.payload
    FROM (
        SELECT pos, topic, key FROM outbox
        WHERE topic <> ALL (:aside)
          AND NOT EXISTS (SELECT FROM outbox_hold AS held WHERE held.topic = outbox.topic AND held.key = outbox.key)
          {but}
        ORDER BY pos LIMIT :most
    ) AS waiting CROSS JOIN LATERAL (
        SELECT headers::text, payload FROM event_log WHERE event_log.pos = waiting.pos OFFSET 0
    ) AS said
    ORDER BY waiting.pos
"""
_READ = Statement(_FIRST.format(but=""), aside=TEXTS)

# One statement, so one transaction. What another leader has deleted meanwhile is not numbered a second time. What comes
# next is read as of the beginning of the statement: what goes in it is still there.
_REMEMBER_AND_READ = Statement(  # put together from the constants above
    f"""
    WITH sent AS (
        SELECT * FROM unnest(:topics, :positions, :partitions, :offsets)
            WITH ORDINALITY AS sent (topic, pos, partition, "offset", place)
    ), gone AS (
        DELETE FROM outbox WHERE pos = ANY (:positions) RETURNING pos
    ), heads AS (
        SELECT topic, coalesce((SELECT max(number) FROM publication WHERE publication.topic = topics.topic), 0) AS last
        FROM (SELECT DISTINCT topic FROM sent) AS topics
    ), remembered AS (
        INSERT INTO publication (topic, number, pos, partition, "offset")
        SELECT sent.topic, heads.last + row_number() OVER (PARTITION BY sent.topic ORDER BY sent.place),
               sent.pos, sent.partition, sent."offset"
        FROM sent JOIN gone USING (pos) JOIN heads ON heads.topic = sent.topic
    )
    {_FIRST.format(but="AND pos <> ALL (:positions)")}
""",  # noqa: S608
    aside=TEXTS, topics=TEXTS, positions=BIGINTS, partitions=INTS, offsets=BIGINTS,
)

_FARTHEST = sa.text("""
    SELECT max("offset") FROM publication WHERE topic = :topic AND partition = :partition
""")

_HOLD = sa.text("""
    INSERT INTO outbox_hold (topic, key, reason) VALUES (:topic, :key, :reason) ON CONFLICT DO NOTHING
""").bindparams(sa.bindparam("key", type_=PG_UUID(as_uuid=True)))
