"""How far topics reach: where each partition begins and ends, what the broker was told of a group, what lies there.

For whoever must look at the broker before deciding something: that nobody has answered, or that this database still
knows all it has said. One client, made at the first question and thrown away when it fails; it follows nothing, joins
no group and commits nothing.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from chassis.envelope import Record, from_record
from chassis.relay import client_arguments

ASK_SECONDS = 5.0  # for one question; whoever asks has something better to do than to wait for a broker that is away
READ_SECONDS = 30.0  # without a single record, where there must be some
READ_RECORDS_MAX = 500
CLOSE_SECONDS = 2.0


class OutOfSight(ConnectionError):
    """The broker cannot be asked now. Carries an error class, no content."""


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int


class Extent(NamedTuple):
    """What lies in a partition: the first offset that is still there, and the one the next record will get."""

    first: int
    next: int


class Horizon:
    """Looks at topics for one service; `group` is its consumer group, of which it is no member."""

    def __init__(self, *, group: str, bootstrap: str, ssl_context: ssl.SSLContext | None) -> None:
        self._group = group
        self._arguments = client_arguments(bootstrap, ssl_context, f"{group}.horizon")
        self._client: AIOKafkaConsumer | None = None
        self._one_at_a_time = asyncio.Lock()

    async def extents(self, topics: Collection[str]) -> Mapping[Partition, Extent]:
        """Every partition of these topics; a topic that is missing or that we may not see has none."""
        async with self._asking() as client:
            parts = await self._parts(client, topics)
            if not parts:
                return {}
            first, end = await client.beginning_offsets(parts), await client.end_offsets(parts)
        return {Partition(part.topic, part.partition): Extent(first[part], end[part]) for part in parts}

    async def committed(self, partitions: Collection[Partition]) -> Mapping[Partition, int]:
        """The next offset of the group in each of these, as the broker was told; 0 where it has none.

        A sign of a later life of a database that was restored, and no more: it is told late, and outlives a restore.
        What is heard says `heard_up_to`.
        """
        if not partitions:
            return {}
        asked = {TopicPartition(*place): place for place in partitions}
        client = AIOKafkaConsumer(**self._arguments, group_id=self._group, enable_auto_commit=False)
        try:
            async with _in_sight(ASK_SECONDS):
                await client.start()
                coordinator = client._coordinator  # noqa: SLF001  # the public way asks for one partition at a time
                found = await coordinator.fetch_committed_offsets(list(asked))
        finally:
            await _closed(client)
        return {place: max(found[part].offset, 0) if part in found else 0 for part, place in asked.items()}

    async def records(self, spans: Mapping[Partition, Extent]) -> AsyncIterator[list[Record]]:
        """What lies in these spans, batch by batch, in the order of each partition."""
        left = {TopicPartition(*place): span for place, span in spans.items() if span.next > span.first}
        if not left:
            return
        client = AIOKafkaConsumer(**self._arguments, enable_auto_commit=False, auto_offset_reset="earliest")
        try:
            async with _in_sight(READ_SECONDS):
                await client.start()
                client.assign(list(left))
                for part, span in left.items():
                    client.seek(part, span.first)
            while left:
                async with _in_sight(READ_SECONDS):
                    while not (found := await _some(client, left)) and left:
                        pass  # each look waits a while by itself
                yield found
        finally:
            await _closed(client)

    async def close(self) -> None:
        """Let go of the broker."""
        client, self._client = self._client, None
        if client is not None:
            await _closed(client)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[AIOKafkaConsumer]:
        """The client, for one question at a time; raises OutOfSight, and then the next question makes a new one."""
        async with self._one_at_a_time:
            try:
                async with _in_sight(ASK_SECONDS):
                    yield await self._connected()
            except OutOfSight:
                await self.close()
                raise

    async def _connected(self) -> AIOKafkaConsumer:
        if self._client is None:
            self._client = AIOKafkaConsumer(**self._arguments, enable_auto_commit=False)
            await self._client.start()
        return self._client

    @staticmethod
    async def _parts(client: AIOKafkaConsumer, topics: Collection[str]) -> list[TopicPartition]:
        cluster = await client._client.fetch_all_metadata()  # noqa: SLF001  # the public way knows only what it follows
        parts = [
            TopicPartition(topic, number)
            for topic in sorted(topics)
            for number in sorted(cluster.partitions_for_topic(topic) or ())
        ]
        if parts:
            client.assign(parts)  # asked for the ends of topics it does not follow, the client takes seconds
            client.pause(*parts)
        return parts


@asynccontextmanager
async def _in_sight(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except (KafkaError, OSError, TimeoutError) as error:
        raise OutOfSight(type(error).__name__) from error


async def _some(client: AIOKafkaConsumer, left: dict[TopicPartition, Extent]) -> list[Record]:
    """The next records of the spans; a span that is read to its end is taken out of `left`."""
    records: list[Record] = []
    for part, several in (await client.getmany(timeout_ms=500, max_records=READ_RECORDS_MAX)).items():
        records += [
            from_record(raw.topic, raw.partition, raw.offset, raw.key, raw.headers, raw.value)
            for raw in several
            if part in left and raw.offset < left[part].next
        ]
    for part in list(left):
        if await client.position(part) >= left[part].next:
            del left[part]
            client.pause(part)
    return records


async def _closed(client: AIOKafkaConsumer) -> None:
    with suppress(KafkaError, OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.stop()
