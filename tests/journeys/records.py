"""Everything that is on the topics, and whether it is in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.installation import Installation
from deploy.reading import tls_of

READ_MS, FETCH_WAIT_MS = 500, 50


@dataclass(frozen=True, slots=True)
class Said:
    """One record as it lies on a topic."""

    topic: str
    key: bytes
    headers: dict[str, bytes]
    body: bytes
    partition: int = 0
    offset: int = 0

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
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    await consumer.start()
    try:
        cluster = await consumer._client.fetch_all_metadata()
        names = [name for name in cluster.topics() if not name.startswith("__")]
        parts = [TopicPartition(name, number) for name in names for number in cluster.partitions_for_topic(name) or ()]
        consumer.assign(parts)  # first: asked for the ends of topics it does not follow, the client takes seconds
        first = await consumer.beginning_offsets(parts)  # what was before has been deleted, perhaps all
        left = {part: end for part, end in (await consumer.end_offsets(parts)).items() if end > first[part]}
        found: list[Said] = []
        while left:
            for part, records in (await consumer.getmany(timeout_ms=READ_MS)).items():
                for each in records:
                    headers, body = dict(each.headers), each.value or b""
                    found.append(Said(part.topic, each.key or b"", headers, body, part.partition, each.offset))
                if part in left and records[-1].offset + 1 >= left[part]:
                    del left[part]
        return found
    finally:
        await consumer.stop()


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
