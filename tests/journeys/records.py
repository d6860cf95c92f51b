"""Everything that is on the topics, and whether it is in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.installation import Installation
from deploy.reading import tls_of

READ_MS = 500


@dataclass(frozen=True, slots=True)
class Said:
    """One record as it lies on a topic."""

    topic: str
    key: bytes
    headers: dict[str, bytes]
    body: bytes

    @property
    def id(self) -> bytes:
        """The event's own."""
        return self.headers["ce_id"]

    @property
    def type(self) -> str:
        """Without the words that all types have."""
        return self.headers["ce_type"].decode().removeprefix("staffel.").removesuffix(".v1")

    @property
    def number(self) -> int:
        """Its place among all that was said of this subject on this topic."""
        return int(self.headers["ce_subjectseq"])

    @property
    def bytes(self) -> bytes:
        """All of it."""
        headers = b"\n".join(name.encode() + b": " + value for name, value in self.headers.items())
        return b"\n".join((self.topic.encode(), self.key, headers, self.body))


async def everything_said(installation: Installation) -> list[Said]:
    """Every record of every topic, those of one partition in their order; only the administrator sees all."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=installation.bootstrap,
        security_protocol="SSL",
        ssl_context=tls_of(installation, "admin"),
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        cluster = await consumer._client.fetch_all_metadata()
        names = [name for name in cluster.topics() if not name.startswith("__")]
        parts = [TopicPartition(name, number) for name in names for number in cluster.partitions_for_topic(name) or ()]
        ends = {part: end for part, end in (await consumer.end_offsets(parts)).items() if end}
        consumer.assign(list(ends))
        await consumer.seek_to_beginning()
        return [said async for said in _read(consumer, ends)]
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> AsyncIterator[Said]:
    while any([await consumer.position(part) < end for part, end in ends.items()]):
        for batch in (await consumer.getmany(timeout_ms=READ_MS)).values():
            for record in batch:
                yield Said(record.topic, record.key or b"", dict(record.headers), record.value or b"")


def disorder(records: Iterable[Said]) -> list[str]:
    """What is wrong: numbers of a subject on a topic that are not 1, 2, 3 …, or two facts with one number.

    A record may lie there twice, with the same id and number: it was sent again because nobody knew whether it had
    arrived. Compacted topics keep the last word only and are passed by.
    """
    lanes: dict[tuple[str, bytes], dict[bytes, int]] = defaultdict(dict)
    for said in records:
        if not said.topic.endswith(".catalogue"):
            lanes[said.topic, said.key].setdefault(said.id, said.number)
    return [
        f"{topic} {key.decode()}: {list(lane.values())}"
        for (topic, key), lane in lanes.items()
        if list(lane.values()) != list(range(1, len(lane) + 1))
    ]
