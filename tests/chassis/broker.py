"""The embedded broker as tests use it: topics of their own, plain reading and writing as the administrator."""
from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # ships no types

from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from deploy.embedded.pki import Tls


def context(tls: Tls) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(tls.ca))
    made.load_cert_chain(str(tls.certificate), str(tls.key))
    return made


def connection(addresses: Addresses, principal: str | None = None) -> dict[str, Any]:
    """Arguments of Relay and Consumer."""
    tls = addresses.admin if principal is None else addresses.tls(principal)
    return {"bootstrap": addresses.bootstrap, "ssl_context": context(tls)}


async def make_topic(addresses: Addresses, name: str, partitions: int = 2, **configs: str) -> str:
    topic = admin.TopicSpec(name, partitions, 1, {key.replace("_", "."): value for key, value in configs.items()})

    def make() -> None:
        with admin.connected(addresses.bootstrap, addresses.admin) as kafka:
            kafka.create_topics([topic])

    await asyncio.to_thread(make)
    return name


def client(addresses: Addresses) -> dict[str, Any]:
    return {
        "bootstrap_servers": addresses.bootstrap, "security_protocol": "SSL", "ssl_context": context(addresses.admin),
    }


@asynccontextmanager
async def a_producer(addresses: Addresses, **how: Any) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(**client(addresses), **how)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def everything_on(addresses: Addresses, topic: str) -> list[Any]:
    """All records of a topic, in the order of each partition."""
    consumer = AIOKafkaConsumer(**client(addresses))
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in await _partitions(consumer, topic)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        while any([await consumer.position(partition) < end for partition, end in ends.items()]):
            for several in (await consumer.getmany(timeout_ms=500)).values():
                records += several
        return records
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> Iterable[int]:
    await consumer.topics()
    partitions: set[int] = consumer.partitions_for_topic(topic) or {0}
    cluster = await consumer._client.fetch_all_metadata()
    return sorted(cluster.partitions_for_topic(topic) or partitions)


async def committed(addresses: Addresses, group: str, topic: str) -> dict[int, int]:
    """What a group has committed on a topic; nothing for partitions without."""
    consumer = AIOKafkaConsumer(**client(addresses), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = await _partitions(consumer, topic)
        offsets = {number: await consumer.committed(TopicPartition(topic, number)) for number in partitions}
        return {number: offset for number, offset in offsets.items() if offset is not None}
    finally:
        await consumer.stop()


async def until(condition: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 15.0) -> None:
    """Wait for it; TimeoutError if it does not come true."""
    async with asyncio.timeout(seconds):
        while True:
            answer = condition()
            if answer if isinstance(answer, bool) else await answer:
                return
            await asyncio.sleep(0.02)
