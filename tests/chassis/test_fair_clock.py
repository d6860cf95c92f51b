"""A deadline that rests on somebody's silence, against real Kafka: what was sent before it fell due comes first."""
from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import deadlines
from chassis.deadlines import Deadline, Due
from chassis.executor import Step
from chassis.horizon import Horizon, Partition
from contracts.new_ids import new_id
from deploy.embedded.cluster import Addresses
from tests.chassis.broker import a_producer, client, connection, make_topic

GROUP = "fair.clock"


@pytest.fixture
async def topic(embedded: Addresses) -> str:
    return await make_topic(embedded, f"clock.{new_id()}")


@pytest.fixture
async def horizon(embedded: Addresses) -> AsyncIterator[Horizon]:
    looking = Horizon(group=GROUP, **connection(embedded))
    yield looking
    await looking.close()


class Clock:
    """Deadlines of a kind that waits for `topic`, and of one that waits for nobody."""

    def __init__(self, database: AsyncEngine, topic: str) -> None:
        self._database = database

        async def waits_for(_tx: AsyncConnection, ids: Sequence[UUID]) -> Mapping[UUID, Sequence[str]]:
            return dict.fromkeys(ids, (topic,))

        def step(subject: UUID) -> Step:
            return Step("thing", subject, "end")

        self.kinds = {"end": Deadline(step, waits_for), "remind": Deadline(step)}

    async def strikes(self, *kinds: str) -> list[Due]:
        """These fall due, each for a subject of its own."""
        insert = "INSERT INTO deadline (kind, subject, id, due_at) VALUES (:kind, :subject, :id, clock_timestamp())"
        causes = [Due(kind, new_id(), new_id()) for kind in kinds]
        async with self._database.begin() as tx:
            for cause in causes:
                values = {"kind": cause.kind, "subject": cause.subject, "id": cause.id}
                await tx.execute(sa.text(insert), values)
        return causes

    async def fair(self, causes: Sequence[Due], horizon: Horizon) -> list[Due]:
        """Which of them may fire."""
        return await deadlines.fair(self._database, GROUP, self.kinds, causes, horizon)

    async def hears(self, topic: str, *, partition: int, next_offset: int) -> None:
        """What lies on the topic has been heard, so far."""
        insert = "INSERT INTO heard_up_to VALUES (:group, :topic, :part, :next, clock_timestamp())"
        values = {"group": GROUP, "topic": topic, "part": partition, "next": next_offset}
        async with self._database.begin() as tx:
            await tx.execute(sa.text(insert), values)

    async def waits(self) -> dict[UUID, tuple[str, int]]:
        """What is shown as overdue: subject -> reason and tries."""
        async with self._database.connect() as tx:
            rows = await tx.execute(sa.text("SELECT subject, reason, attempts FROM deadline WHERE attempts > 0"))
            return {row.subject: (row.reason, row.attempts) for row in rows}


@pytest.fixture
def clock(database: AsyncEngine, topic: str) -> Clock:
    return Clock(database, topic)


async def test_silence_ends_something_only_when_everything_sent_has_been_heard(
    embedded: Addresses, topic: str, clock: Clock, horizon: Horizon
) -> None:
    first, second, reminder = await clock.strikes("end", "end", "remind")
    assert await clock.fair([first], horizon) == [first]

    async with a_producer(embedded) as producer:
        await producer.send_and_wait(topic, b"an answer", partition=1)
    assert await clock.fair([second, reminder], horizon) == [reminder]
    assert await clock.waits() == {second.subject: ("channel-unread", 1)}

    await clock.hears(topic, partition=1, next_offset=1)
    assert await clock.fair([second], horizon) == [second]


async def test_what_the_broker_says_was_heard_counts_for_nothing(
    embedded: Addresses, topic: str, clock: Clock, horizon: Horizon
) -> None:
    """It is told once a second, and may be ahead of a database that was restored."""
    async with a_producer(embedded) as producer:
        await producer.send_and_wait(topic, b"an answer", partition=1)
    told = AIOKafkaConsumer(**client(embedded), group_id=GROUP, enable_auto_commit=False)
    await told.start()
    try:
        told.assign([TopicPartition(topic, 1)])
        await told.commit({TopicPartition(topic, 1): 1})
    finally:
        await told.stop()
    assert await horizon.committed([Partition(topic, 1)]) == {Partition(topic, 1): 1}
    (ending,) = await clock.strikes("end")
    assert await clock.fair([ending], horizon) == []
    assert await clock.waits() == {ending.subject: ("channel-unread", 1)}


async def test_what_the_database_has_heard_counts_before_the_broker_is_told(
    embedded: Addresses, topic: str, clock: Clock, horizon: Horizon
) -> None:
    async with a_producer(embedded) as producer:
        await producer.send_and_wait(topic, b"an answer", partition=0)
    await clock.hears(topic, partition=0, next_offset=1)
    (ending,) = await clock.strikes("end")
    assert await clock.fair([ending], horizon) == [ending]
    assert await horizon.committed([Partition(topic, 0)]) == {Partition(topic, 0): 0}


async def test_an_answer_that_was_read_and_is_held_is_no_silence(
    database: AsyncEngine, topic: str, clock: Clock, horizon: Horizon
) -> None:
    held, other = await clock.strikes("end", "end")
    parked = """INSERT INTO parked (consumer, topic, key, seq, event_id, type, partition, "offset", headers, payload,
                                    error_class, reason)
                VALUES (:consumer, :topic, :key, 1, :id, 'test', 0, 0, CAST(:headers AS jsonb), '', 'refused', 'x')"""
    async with database.begin() as tx:
        values = {"consumer": GROUP, "topic": topic, "key": held.subject, "id": new_id(), "headers": json.dumps([])}
        await tx.execute(sa.text(parked), values)
    assert await clock.fair([held, other], horizon) == [other]
    assert await clock.waits() == {held.subject: ("lane-held", 1)}


async def test_where_the_broker_cannot_be_asked_nothing_ends_and_everybody_can_see_why(
    clock: Clock, horizon: Horizon
) -> None:
    blind = Horizon(group=GROUP, bootstrap="127.0.0.1:1", ssl_context=None)
    ending, reminder = await clock.strikes("end", "remind")
    assert await clock.fair([ending, reminder], blind) == [reminder]
    assert await clock.waits() == {ending.subject: ("broker-unreachable", 1)}
    assert await clock.fair([ending], horizon) == [ending]


async def test_a_channel_that_is_not_there_lets_nothing_end(database: AsyncEngine, horizon: Horizon) -> None:
    clock = Clock(database, f"missing.{new_id()}")
    (ending,) = await clock.strikes("end")
    assert await clock.fair([ending], horizon) == []
    assert await clock.waits() == {ending.subject: ("channel-missing", 1)}
