"""A database that is older than what it has said, on real Kafka: noticed before it speaks; a crash is no restore."""
from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock

import pytest
import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import horizon, relay
from chassis.envelope import Envelope, to_headers
from chassis.horizon import Extent, Horizon, OutOfSight, Partition
from chassis.recovery import Guard, Standing
from chassis.recovery.guard import history
from chassis.recovery.noticing import Topics
from chassis.relay import Outcome, Place, Relay, Row
from contracts.new_ids import new_id
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from tests.chassis.broker import client, connection, everything_on, make_topic, until

GROUP = "noticing.restores"


@pytest.fixture
async def topic(embedded: Addresses) -> str:
    return await make_topic(embedded, f"restores.{new_id()}", partitions=1)


class Service:
    """What of a service speaks: its database, its one topic, its guard and its relay."""

    def __init__(self, addresses: Addresses, database: AsyncEngine, topic: str) -> None:
        self.addresses, self.database, self.topic = addresses, database, topic
        self.heard: tuple[str, ...] = ()
        self.horizons: list[Horizon] = []

    def guard(self, **changed: Any) -> Guard:
        """A guard that knows nothing yet, as at a start."""
        self.horizons.append(Horizon(group=GROUP, **connection(self.addresses) | changed))
        return Guard(self.database, self.horizons[-1], Topics(GROUP, (self.topic,), self.heard))

    async def run(self, statement: str, **values: Any) -> list[Any]:
        """Change or ask the database."""
        async with self.database.begin() as tx:
            found = await tx.execute(sa.text(statement), values)
            return list(found) if found.returns_rows else []

    async def say(self, count: int) -> None:
        """Decide so much, and have it published."""
        await self.decide(count)
        await self.publish(self.guard())

    async def decide(self, count: int) -> None:
        """What is decided waits to be published."""
        for _ in range(count):
            key = new_id()
            envelope = Envelope(
                id=new_id(), type="test.ball.thrown.v1", source="urn:tests:balls", subject=f"balls/{key}",
                time=datetime.now(UTC), dataschema="", subjectseq=1, extensions={}, traceparent=None,
            )
            headers = json.dumps([[name, value.decode()] for name, value in to_headers(envelope)])
            await self.run(
                """WITH said AS (INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload)
                                 VALUES (:id, :topic, :key, 1, :type, CAST(:headers AS jsonb), '{}') RETURNING *)
                   INSERT INTO outbox (pos, topic, key) SELECT pos, topic, key FROM said""",
                id=envelope.id, topic=self.topic, key=key, type=envelope.type, headers=headers,
            )

    async def publish(self, guard: Guard) -> None:
        """Let a relay work until nothing waits, or until it has been told that it may not speak."""
        one = Relay(self.database, **connection(self.addresses), client_id="balls", may_speak=guard.may_speak)
        await one.start()

        async def done() -> bool:
            return guard.standing is Standing.RESTORED or not await self.run("SELECT pos FROM outbox")

        await until(done)
        await one.stop()

    async def forget(self, count: int) -> None:
        """What a backup from before the last `count` facts does not have."""
        last = "SELECT pos FROM event_log ORDER BY pos DESC LIMIT :count"
        for table in ("publication", "event_log"):
            await self.run(f"DELETE FROM {table} WHERE pos IN ({last})", count=count)  # noqa: S608  # our own names

    async def findings(self) -> list[tuple[str, int, int]]:
        """(kind, first, next) of what was found at last."""
        async with self.database.connect() as tx:
            found = await history(tx)
        return [(each["kind"], each["first"], each["next"]) for each in found[0]["findings"]]


@pytest.fixture
async def service(embedded: Addresses, database: AsyncEngine, topic: str) -> AsyncIterator[Service]:
    made = Service(embedded, database, topic)
    yield made
    for each in made.horizons:
        await each.close()


async def commit(addresses: Addresses, topic: str, offset: int) -> None:
    """The group has heard so far, in a later life of the database."""
    part = TopicPartition(topic, 0)
    consumer = AIOKafkaConsumer(**client(addresses), group_id=GROUP, enable_auto_commit=False)
    await consumer.start()
    consumer.assign([part])
    await consumer.commit({part: offset})
    await consumer.stop()


def administered(addresses: Addresses, do: Callable[[admin.Admin], object]) -> None:
    with admin.connected(addresses.bootstrap, addresses.admin) as kafka:
        do(kafka)


def delete_before(kafka: admin.Admin, topic: str, offset: int, partition: int = 0) -> None:
    """What the topic's retention does in a month."""
    kafka._client.delete_records({TopicPartition(topic, partition): offset})


async def test_a_database_that_has_published_all_it_said_is_sound(service: Service) -> None:
    assert await service.guard().look() is Standing.SOUND
    await service.say(3)
    assert await service.guard().look() is Standing.SOUND


async def test_a_relay_that_died_before_it_could_remember_is_no_restore(service: Service) -> None:
    await service.say(3)
    again = "DELETE FROM publication WHERE number > 1 RETURNING pos"
    for row in await service.run(again):
        await service.run("INSERT INTO outbox SELECT pos, topic, key FROM event_log WHERE pos = :pos", pos=row.pos)
    assert await service.guard().look() is Standing.SOUND
    await service.publish(service.guard())
    assert len(await everything_on(service.addresses, service.topic)) == 5
    assert await service.guard().look() is Standing.SOUND


async def test_a_database_from_before_what_it_said_is_noticed_and_says_nothing_more(service: Service) -> None:
    await service.say(2)
    await service.forget(1)
    guard = service.guard()
    assert await guard.look() is Standing.RESTORED
    assert await service.findings() == [("unknown-record", 1, 2)]

    await service.run("INSERT INTO outbox SELECT pos, topic, key FROM event_log")
    await service.publish(service.guard())
    assert len(await everything_on(service.addresses, service.topic)) == 2
    assert await service.guard().look() is Standing.RESTORED, "a restart does not forget it"


async def test_a_database_exchanged_under_a_running_relay_is_noticed_when_it_leads_again(service: Service) -> None:
    guard = service.guard()
    await service.say(2)
    assert await guard.look() is Standing.SOUND
    await service.forget(1)
    await service.run("DELETE FROM judged_up_to")
    assert not await guard.may_speak()
    assert guard.standing is Standing.RESTORED


async def test_what_was_said_later_and_is_deleted_already_is_noticed(service: Service) -> None:
    await service.say(3)
    await service.forget(2)
    await service.run("DELETE FROM judged_up_to")
    await asyncio.to_thread(administered, service.addresses, lambda kafka: delete_before(kafka, service.topic, 3))
    assert await service.guard().look() is Standing.RESTORED
    assert await service.findings() == [("records-gone", 1, 3)]


async def test_a_topic_whose_records_have_all_become_too_old_is_no_other_one(service: Service) -> None:
    await service.say(2)
    await asyncio.to_thread(administered, service.addresses, lambda kafka: delete_before(kafka, service.topic, 2))
    assert await service.guard().look() is Standing.SOUND


async def test_a_topic_that_was_made_anew_is_noticed(service: Service) -> None:
    await service.say(2)
    await asyncio.to_thread(administered, service.addresses, lambda kafka: kafka.delete_topics([service.topic]))
    guard = service.guard()

    async def noticed() -> bool:
        return await guard.look() is Standing.RESTORED

    await until(noticed)
    assert await service.findings() == [("topic-shorter", 0, 2)]


async def test_a_topic_that_is_made_anew_under_a_relay_is_noticed_also_where_it_grows_longer(service: Service) -> None:
    await service.say(2)
    guard = service.guard()
    one = Relay(
        service.database, **connection(service.addresses), client_id="balls", may_speak=guard.may_speak,
        made_anew=guard.made_anew,
    )
    await one.start()
    try:
        await until(lambda: one.leading and guard.standing is Standing.SOUND)
        await asyncio.to_thread(administered, service.addresses, lambda kafka: lose(kafka, service.topic))
        await service.decide(5)
        one.wake()
        await until(lambda: guard.standing is Standing.RESTORED)
    finally:
        await one.stop()
    assert await service.findings() == [("topic-shorter", 0, 2)]
    assert len(await service.run("SELECT pos FROM outbox")) == 5, "it follows what is told again"


async def test_a_relay_that_dies_on_a_new_topic_before_it_remembers_hides_no_lost_record(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.say(3)
    await asyncio.to_thread(administered, service.addresses, lambda kafka: lose(kafka, service.topic))
    await service.decide(5)
    with monkeypatch.context() as patched:
        patched.setattr(relay, "acknowledged", Mock(side_effect=asyncio.CancelledError))
        dying = Relay(service.database, **connection(service.addresses), client_id="balls")
        await dying.start()
        assert dying._task is not None
        await asyncio.wait({dying._task})
    assert len(await everything_on(service.addresses, service.topic)) == 5, "it is longer than what was published"

    await service.publish(service.guard())
    assert await service.findings() == [("topic-shorter", 0, 3)]
    assert len(await service.run("SELECT pos FROM outbox")) == 5, "nothing was said again"


async def test_a_relay_looks_where_a_round_lies_before_it_lets_others_come(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.say(2)
    monkeypatch.setattr(relay, "BUSY_RECORDS", 1)
    monkeypatch.setattr(relay, "GATHER_SECONDS_MOST", 60.0)
    monkeypatch.setattr(relay, "monotonic", itertools.count(0.0, 60.0).__next__)
    await asyncio.to_thread(administered, service.addresses, lambda kafka: lose(kafka, service.topic))
    await service.decide(2)
    guard = service.guard()
    one = Relay(service.database, **connection(service.addresses), client_id="balls", made_anew=guard.made_anew)
    await one.start()
    try:
        await until(lambda: guard.standing is Standing.RESTORED)
    finally:
        await one.stop(0)


async def test_a_topic_made_anew_that_has_lost_nothing_remembered_shuts_nobody(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is made anew within the first round that is ever said to it: the round goes out again."""
    await service.decide(2)
    guard = service.guard()
    one = Relay(
        service.database, **connection(service.addresses), client_id="balls", may_speak=guard.may_speak,
        made_anew=guard.made_anew,
    )
    publish, rounds = one._sender.publish, 0

    async def anew_within(rows: Sequence[Row], *, singly: bool) -> list[Outcome]:
        nonlocal rounds
        rounds += 1
        return [Place(0, 7), Place(0, 0)] if rounds == 1 else await publish(rows, singly=singly)

    monkeypatch.setattr(one._sender, "publish", anew_within)
    await one.start()

    async def all_is_said() -> bool:
        return not await service.run("SELECT pos FROM outbox")

    try:
        await until(all_is_said)
    finally:
        await one.stop()
    assert rounds == 2
    assert len(await everything_on(service.addresses, service.topic)) == 2
    assert await service.run("SELECT id FROM restoration") == []
    assert await guard.look() is Standing.SOUND


async def test_what_does_not_come_for_long_is_out_of_sight(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.say(1)
    monkeypatch.setattr(horizon, "READ_SECONDS", 1.0)
    service.guard()
    coming = service.horizons[-1].records({Partition(service.topic, 0): Extent(0, 2)})
    assert [record.offset for record in await anext(coming)] == [0]
    with pytest.raises(OutOfSight):
        await asyncio.wait_for(anext(coming), 10)


def lose(kafka: admin.Admin, topic: str) -> None:
    """There is another one of its name, and it is empty."""
    kafka.delete_topics([topic])
    kafka.create_topics([admin.TopicSpec(topic, 1, 1, {})])


async def test_a_database_that_has_heard_less_than_its_group_has_committed_is_noticed(service: Service) -> None:
    await service.say(2)
    service.topic, service.heard = f"silent.{new_id()}", (service.topic,)
    await service.run("DELETE FROM judged_up_to")
    heard = "INSERT INTO heard_up_to (consumer, topic, partition, next_offset) VALUES (:group, :topic, 0, 1)"
    (topic,) = service.heard
    await service.run(heard, group=GROUP, topic=topic)
    assert await service.guard().look() is Standing.SOUND
    await commit(service.addresses, topic, 2)
    assert await service.guard().look() is Standing.RESTORED
    assert await service.findings() == [("heard-behind", 1, 2)]


async def test_what_is_heard_and_committed_while_a_guard_looks_is_no_restore(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.say(3)
    (topic,) = service.heard = (service.topic,)
    service.topic = f"silent.{new_id()}"
    heard = "INSERT INTO heard_up_to (consumer, topic, partition, next_offset) VALUES (:group, :topic, 0, 1)"
    await service.run(heard, group=GROUP, topic=topic)
    guard = service.guard()
    ask = service.horizons[-1].committed

    async def meanwhile(partitions: Collection[Partition]) -> Mapping[Partition, int]:
        await service.run("UPDATE heard_up_to SET next_offset = 3 WHERE topic = :topic", topic=topic)
        await commit(service.addresses, topic, 3)
        return await ask(partitions)

    monkeypatch.setattr(service.horizons[-1], "committed", meanwhile)
    assert await guard.look() is Standing.SOUND


async def test_what_another_look_has_judged_meanwhile_is_no_restore(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.say(1)
    guard, other = service.guard(), service.guard()
    ask, asked = service.horizons[-2].extents, 0

    async def meanwhile(topics: Collection[str]) -> Mapping[Partition, Extent]:
        nonlocal asked
        asked, found = asked + 1, await ask(topics)
        if asked == 1:
            await service.say(1)
            assert await other.look() is Standing.SOUND
        return found

    monkeypatch.setattr(service.horizons[-2], "extents", meanwhile)
    assert await guard.look() is Standing.SOUND
    assert asked


async def test_as_long_as_the_broker_cannot_be_asked_nothing_is_known(service: Service) -> None:
    blind = service.guard(bootstrap="127.0.0.1:1", ssl_context=None)
    assert await blind.look() is Standing.UNASKED
    assert not await blind.may_speak()


async def test_what_one_replica_notices_another_one_learns_and_mended_is_looked_at_again(service: Service) -> None:
    await service.say(2)
    other = service.guard()
    assert await other.look() is Standing.SOUND
    await service.run("""INSERT INTO restoration (findings) VALUES ('[]')""")
    assert await other.refresh() is Standing.RESTORED
    await service.run("UPDATE restoration SET recovered_at = clock_timestamp()")
    assert await other.refresh() is Standing.UNASKED
    assert await other.look() is Standing.SOUND
