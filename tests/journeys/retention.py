"""What a topic's retention does in a month, done at once: records are deleted; whoever judges later is given them."""

from __future__ import annotations

from collections.abc import Collection

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # type: ignore[import-untyped]  # ships no types

from deploy.installation import Installation
from deploy.reading import tls_of
from tests.journeys.records import Said, everything_said


async def trim(installation: Installation, topics: Collection[str]) -> list[Said]:
    """Delete everything that lies on these topics; what that was, in the order of each partition.

    Deleted is what has been read here and nothing that has come since. Compacted topics refuse it.
    """
    said = [each for each in await everything_said(installation) if each.topic in topics]
    ends: dict[TopicPartition, RecordsToDelete] = {}
    for each in said:
        ends[TopicPartition(each.topic, each.partition)] = RecordsToDelete(before_offset=each.offset + 1)
    administrator = AIOKafkaAdminClient(
        bootstrap_servers=installation.bootstrap, security_protocol="SSL", ssl_context=tls_of(installation, "admin")
    )
    await administrator.start()
    try:
        await administrator.delete_records(ends)
    finally:
        await administrator.close()
    return said
