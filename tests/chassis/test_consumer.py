"""The consumer against real Kafka: what it has not finished it reads again, and no bytes stop it."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete  # type: ignore[import-untyped]  # ships no types
from aiokafka.record.default_records import (  # type: ignore[import-untyped]  # ships no types
    _DefaultRecordBatchBuilderPy,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import brake as brake_module
from chassis import consumer as consumer_module
from chassis.consumer import Consumer, Take
from chassis.envelope import Envelope, Reason, Record, Unreadable, from_record, key_of, to_headers
from contracts.new_ids import new_id
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from tests.chassis.broker import a_producer, client, committed, connection, make_topic, until

ATTEMPTS = 50
SOON_SECONDS = 5.0  # after what was away is back, all goes on; joining takes its part of it

Making = Callable[..., Consumer]
Stands = dict[tuple[str, int], int]


class Brake:
    """A brake that a test pulls; remembers what the consumer told it."""

    def __init__(self) -> None:
        self.on = False
        self.unheard: set[str] = set()
        self.told: list[str] = []

    def holds(self, topic: str) -> bool:
        return topic in self.unheard

    async def sit(self, instance: str) -> None:
        self.told.append(f"sit {instance}")

    async def begin(self, instance: str) -> None:
        self.told.append(f"begin {instance}")

    async def got_through(self) -> None:
        self.told.append("got through")


@pytest.fixture
async def topic(embedded: Addresses) -> str:
    return await make_topic(embedded, f"consumer.{new_id()}")


@pytest.fixture
def stands() -> Stands:
    """Where hearing stands, as the database would remember it."""
    return {}


@pytest.fixture
async def a_consumer(embedded: Addresses, topic: str, stands: Stands) -> AsyncIterator[Making]:
    """Makes consumers of one group on `topic`, with one memory of where they stand, and stops them at the end."""
    made: list[Consumer] = []

    def make(take: Take, *, topics: Sequence[str] = (topic,), instance: str = "0", **other: Any) -> Consumer:
        async def remembered(records: Sequence[Record]) -> None:
            await take(records)
            stands.update({(record.topic, record.partition): record.offset + 1 for record in records})

        async def standing() -> dict[tuple[str, int], int]:
            return stands

        arguments = connection(embedded) | {"group": f"group.{topic}", "missed": nowhere, "brake": Brake()} | other
        made.append(Consumer(take=remembered, standing=standing, topics=topics, instance=instance, **arguments))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


async def nowhere(*_: object) -> Any:
    """There is no feed."""
    raise ConnectionRefusedError


class Taker:
    """Keeps what it is given, in `durable` only what it did not fail; fails as often as it is told to."""

    def __init__(self, *, failures: int = 0) -> None:
        self.batches: list[Sequence[Record]] = []
        self.durable: list[Record] = []
        self.failures = failures
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, records: Sequence[Record]) -> None:
        """Take, wait if told so, fail if told so."""
        self.batches.append(records)
        await self.go_on.wait()
        if self.failures:
            self.failures -= 1
            raise ConnectionError
        self.durable += records

    @property
    def numbers(self) -> dict[UUID, list[int]]:
        """Per subject what was durably heard, in order."""
        found: dict[UUID, list[int]] = {}
        for record in self.durable:
            if isinstance(record.envelope, Envelope):
                found.setdefault(record.envelope.key, []).append(record.envelope.subjectseq)
        return found

    @property
    def unreadable(self) -> list[Reason]:
        """Why records were no events, in order."""
        found = (record.envelope for record in self.durable)
        return [envelope.reason for envelope in found if isinstance(envelope, Unreadable)]

    def given(self, count: int) -> Callable[[], bool]:
        """Whether that many records have come, durable or not."""
        return lambda: sum(map(len, self.batches)) >= count

    def heard(self, count: int) -> Callable[[], bool]:
        """Whether that many records are durable."""
        return lambda: len(self.durable) >= count


def headers_of(key: UUID, number: int) -> list[tuple[str, bytes]]:
    return to_headers(Envelope(
        new_id(), "test.ball.thrown.v1", "urn:test:red:balls", f"balls/{key}", datetime(2026, 11, 3, tzinfo=UTC),
        "https://example.org/ball.json", number, {}, None,
    ))


async def tell(
    embedded: Addresses, topic: str, key: UUID, numbers: Sequence[int], partition: int | None = None
) -> None:
    async with a_producer(embedded) as producer:
        for number in numbers:
            await producer.send(topic, b"{}", key_of(key), partition, headers=headers_of(key, number))


def all_committed(embedded: Addresses, topic: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return sum((await committed(embedded, f"group.{topic}", topic)).values()) == count

    return ask


async def test_everything_is_heard_in_order_and_then_committed(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    red, blue = new_id(), new_id()
    await tell(embedded, topic, red, range(1, 601))  # before anybody has read the topic: the oldest come, too
    taker = Taker()
    one = a_consumer(taker)
    await one.start()
    await tell(embedded, topic, blue, range(1, 101))
    await until(taker.heard(700))
    assert taker.numbers == {red: list(range(1, 601)), blue: list(range(1, 101))}
    assert max(map(len, taker.batches)) <= 500
    assert one.assigned
    await until(all_committed(embedded, topic, 700))


async def test_nothing_is_committed_before_it_is_durable(embedded: Addresses, topic: str, a_consumer: Making) -> None:
    await tell(embedded, topic, new_id(), range(1, 11))
    taker = Taker()
    taker.go_on.clear()
    await a_consumer(taker).start()
    await until(taker.given(1))
    await asyncio.sleep(0.3)
    assert await committed(embedded, f"group.{topic}", topic) == {}
    taker.go_on.set()
    await until(all_committed(embedded, topic, 10))


@pytest.mark.parametrize("failures", [1, 3])
async def test_a_batch_that_fails_is_read_again_and_not_passed_over(
    embedded: Addresses, topic: str, a_consumer: Making, failures: int, caplog: pytest.LogCaptureFixture
) -> None:
    key, other = new_id(), new_id()
    await tell(embedded, topic, key, range(1, 11), 0)
    await tell(embedded, topic, other, range(1, 11), 1)
    taker = Taker(failures=failures)
    await a_consumer(taker).start()
    await until(all_committed(embedded, topic, 20))
    assert taker.numbers == {key: list(range(1, 11)), other: list(range(1, 11))}
    assert sum(record.message == "batch is not durable, it will be read again" for record in caplog.records) == failures
    assert len(taker.batches) > failures


async def test_a_long_failure_makes_no_hot_loop_and_no_slow_stop(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    await tell(embedded, topic, new_id(), [1])
    taker = Taker(failures=10**6)
    one = a_consumer(taker)
    await one.start()
    await until(taker.given(1))
    await asyncio.sleep(1.5)
    began = asyncio.get_running_loop().time()
    await one.stop()
    assert asyncio.get_running_loop().time() - began < 2
    assert len(taker.batches) <= 5
    assert await committed(embedded, f"group.{topic}", topic) == {}


async def test_whoever_is_stopped_in_the_middle_leaves_the_batch_to_the_next(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    key = new_id()
    await tell(embedded, topic, key, range(1, 6))
    stuck, next_one = Taker(), Taker()
    stuck.go_on.clear()
    first = a_consumer(stuck)
    await first.start()
    await until(stuck.given(5))
    await first.stop(seconds=0.2)
    await a_consumer(next_one).start()
    await until(next_one.heard(5))
    assert next_one.numbers == {key: [1, 2, 3, 4, 5]}


async def test_a_rebalance_waits_for_the_batch_in_flight(embedded: Addresses, topic: str, a_consumer: Making) -> None:
    red, blue = new_id(), new_id()
    await tell(embedded, topic, red, range(1, 6), 0)
    await tell(embedded, topic, blue, range(1, 6), 1)
    first, second = Taker(), Taker()
    first.go_on.clear()
    one, two = a_consumer(first), a_consumer(second, instance="1")
    await one.start()
    await until(first.given(1))
    await two.start()
    await asyncio.sleep(3.5)  # longer than a heartbeat: the first one knows of the second
    assert second.batches == []
    first.go_on.set()
    await until(lambda: one.assigned and two.assigned)
    await tell(embedded, topic, red, [6], 0)
    await tell(embedded, topic, blue, [6], 1)
    await until(lambda: len(first.durable) + len(second.durable) >= 12)
    heard = [*first.numbers.items(), *second.numbers.items()]
    assert sorted(number for _, numbers in heard for number in numbers) == sorted([*range(1, 7), *range(1, 7)])
    assert first.batches
    assert second.batches


async def test_records_that_are_no_events_are_handed_over_and_stop_nobody(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    key = new_id()
    good = headers_of(key, 1)
    async with a_producer(embedded) as producer:
        await producer.send(topic, b"{}", key_of(key), 0, headers=good)
        await producer.send(topic, b"\xff\xfe", None, 0)
        await producer.send(topic, b"{}", key_of(key), 0, headers=[*good[:-1], ("ce_alliance", b"M\xfcller")])
        await producer.send(topic, None, key_of(key), 0, headers=good)
        await producer.send(topic, b"{}", key_of(key), 0, headers=[("h", b"")] * 5000)
        await producer.send(topic, b"{}", key_of(key), 0, headers=headers_of(key, 2))
    taker = Taker()
    await a_consumer(taker).start()
    await until(all_committed(embedded, topic, 6))
    assert taker.numbers == {key: [1, 2]}
    assert taker.unreadable == [Reason.MISSING, Reason.HEADER_TEXT, Reason.NO_BODY, Reason.TOO_MANY_HEADERS]
    (kept,) = (record for record in taker.durable if record.offset == 2)
    assert ("ce_alliance", b"M\xfcller") in kept.headers


async def poison(embedded: Addresses, topic: str, partition: int, headers: Sequence[list[tuple[Any, bytes]]]) -> None:
    """One record batch as a careless or hostile client can write it: the name of a header is no UTF-8."""
    async with a_producer(embedded) as producer:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, -1, 16384)
        for these in headers:
            batch.append(timestamp=None, key=b"k", value=b"{}", headers=these)
        await (await producer.send_batch(batch, topic, partition=partition))


BAD_NAME = Mock(**{"encode.return_value": b"\xff\xfe"})


async def test_a_header_name_that_is_no_utf8_costs_its_own_batch_and_nothing_of_others(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    red, blue = new_id(), new_id()
    await tell(embedded, topic, red, range(1, 51), 0)
    await tell(embedded, topic, blue, range(1, 4), 1)
    await poison(embedded, topic, 1, [[], [(BAD_NAME, b"x")], []])
    await tell(embedded, topic, blue, range(4, 7), 1)
    taker = Taker()
    await a_consumer(taker).start()
    await until(all_committed(embedded, topic, 59))
    assert taker.numbers == {red: list(range(1, 51)), blue: list(range(1, 7))}
    assert taker.unreadable == [Reason.MISSING, Reason.UNDECODABLE, Reason.UNDECODABLE]


async def test_a_library_that_has_stopped_fetching_without_a_word_is_started_over(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    key, taker = new_id(), Taker()
    one = a_consumer(taker)
    await one.start()
    await tell(embedded, topic, key, [1])
    await until(taker.heard(1))
    assert one._reading is not None
    one._reading._fetcher._fetch_task.cancel()
    await until(lambda: one._reading is None)
    assert one.deaf_seconds() > 0
    await tell(embedded, topic, key, [2])
    await until(taker.heard(2))
    assert taker.numbers == {key: [1, 2]}


async def test_a_missing_topic_is_said_and_read_when_it_is_there(
    embedded: Addresses,
    topic: str,
    a_consumer: Making,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(consumer_module, "LOOK_AGAIN_SECONDS", 0.5)
    missing, key = f"consumer.{new_id()}", new_id()
    monkeypatch.setattr(consumer_module, "WHOLE_SECONDS", 0.5)
    taker = Taker()
    one = a_consumer(taker, topics=[topic, missing])
    await one.start()
    await tell(embedded, topic, key, [1])
    await until(taker.heard(1))
    await asyncio.sleep(1)
    assert one.deaf_seconds() > 1, "it hears one of two"
    assert "topic is missing or not ours to read" in caplog.messages
    await make_topic(embedded, missing)
    await tell(embedded, missing, key, [2])
    await until(taker.heard(2))
    await until(lambda: one.deaf_seconds() == 0)
    assert taker.numbers == {key: [1, 2]}
    assert len(caplog.records) < 60  # said, not shouted


async def test_a_topic_that_is_lost_under_a_consumer_is_said_and_read_anew_when_it_is_made_again(
    embedded: Addresses,
    topic: str,
    a_consumer: Making,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The group gives out nothing of it any more, and the library would ask for it again after five minutes."""
    monkeypatch.setattr(consumer_module, "LOOK_AGAIN_SECONDS", 0.5)
    monkeypatch.setattr(consumer_module, "WHOLE_SECONDS", 0.5)
    lost, key, taker = await make_topic(embedded, f"consumer.{new_id()}"), new_id(), Taker()
    one = a_consumer(taker, topics=[topic, lost])
    await one.start()
    await tell(embedded, lost, key, [1, 2])
    await until(taker.heard(2))
    with admin.connected(embedded.bootstrap, embedded.admin) as kafka:
        await asyncio.to_thread(kafka.delete_topics, [lost])
    await until(lambda: "topic is missing or not ours to read" in caplog.messages)
    await until(lambda: one.deaf_seconds() > 1)
    await make_topic(embedded, lost)
    await tell(embedded, lost, key, [3])
    await until(taker.heard(3))
    await until(lambda: one.deaf_seconds() == 0)
    assert taker.numbers == {key: [1, 2, 3]}


async def test_one_answer_without_a_topic_costs_no_connection(
    embedded: Addresses,
    topic: str,
    a_consumer: Making,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(consumer_module, "LOOK_AGAIN_SECONDS", 1.0)
    monkeypatch.setattr(consumer_module, "WHOLE_SECONDS", 0.5)
    key, taker = new_id(), Taker()
    one = a_consumer(taker)
    await one.start()
    await tell(embedded, topic, key, [1])
    await until(taker.heard(1))
    await until(lambda: one.deaf_seconds() == 0)
    reading = one._reading
    with monkeypatch.context() as patched:
        patched.setattr(reading, "partitions_for_topic", lambda _: None)
        await until(lambda: "topic is missing or not ours to read" in caplog.messages)
    await asyncio.sleep(2)  # longer than until it would be looked for
    await until(lambda: one.deaf_seconds() == 0)
    assert one._reading is reading
    await tell(embedded, topic, key, [2])
    await until(taker.heard(2))
    assert taker.numbers == {key: [1, 2]}


async def test_a_topic_that_is_not_ours_is_said_without_a_hot_loop_and_read_once_we_may(
    embedded: Addresses, topic: str, a_consumer: Making, caplog: pytest.LogCaptureFixture
) -> None:
    principal = "jobcenter.consent"
    key, taker = new_id(), Taker()
    await tell(embedded, topic, key, [1])
    one = a_consumer(taker, group=principal, **connection(embedded, principal))
    await one.start()
    said = "topic is missing or not ours to read"
    await until(lambda: said in caplog.messages)
    await asyncio.sleep(1)
    assert not one.assigned
    assert one.deaf_seconds() > 1
    assert caplog.messages.count(said) <= 4

    def allow() -> None:
        with admin.connected(embedded.bootstrap, embedded.admin) as kafka:
            kafka.create_acls([
                admin.Acl(principal, "READ", "TOPIC", topic), admin.Acl(principal, "READ", "GROUP", principal),
            ])

    await asyncio.to_thread(allow)
    await until(taker.heard(1))
    assert taker.numbers == {key: [1]}


async def test_a_broker_that_is_away_makes_no_hot_loop_and_no_slow_stop(
    a_consumer: Making, caplog: pytest.LogCaptureFixture
) -> None:
    one = a_consumer(Taker(), bootstrap="127.0.0.1:9")
    await one.start()
    await asyncio.sleep(1.5)
    began = asyncio.get_running_loop().time()
    await one.stop()
    assert asyncio.get_running_loop().time() - began < 1
    assert 1 <= caplog.messages.count("consumer cannot read its topics") <= 5


async def test_what_was_away_for_long_is_asked_again_within_seconds(
    a_consumer: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, paused = a_consumer(Taker()), list[float]()

    async def fail() -> None:
        pass

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        if len(paused) == ATTEMPTS:
            one._stopping.set()

    monkeypatch.setattr(one, "_once", fail)
    monkeypatch.setattr(one, "_pause", pause)
    await one._run()
    assert max(paused) < SOON_SECONDS / 2


async def test_before_a_start_counts_it_is_said_where_reading_begins(
    embedded: Addresses, a_consumer: Making, stands: Stands, caplog: pytest.LogCaptureFixture
) -> None:
    topics = [await make_topic(embedded, f"consumer.{new_id()}", partitions=1) for _ in range(3)]
    for topic, count in zip(topics, (3, 2, 0), strict=True):
        await tell(embedded, topic, new_id(), range(1, count + 1))
    stands.update({(topics[0], 0): 1, (topics[1], 0): 2})
    caplog.set_level("INFO", "chassis.consumer")
    seen: list[tuple[object, ...]] = []

    class Looking(Brake):
        async def begin(self, instance: str) -> None:
            await super().begin(instance)
            said = [record.__dict__ for record in caplog.records if record.message == "reading begins here"]
            seen.extend((each["topic"], each["partition"], each["offset"]) for each in said)

    taker = Taker()
    await a_consumer(taker, topics=topics, brake=Looking()).start()
    await until(taker.heard(2))
    assert set(seen) == {(topics[0], 0, 1)}


async def test_reading_begins_where_the_database_says_whatever_the_broker_remembers(
    embedded: Addresses, topic: str, a_consumer: Making, stands: Stands
) -> None:
    key, taker = new_id(), Taker()
    await tell(embedded, topic, key, range(1, 11), 0)
    first = a_consumer(taker)
    await first.start()
    await until(all_committed(embedded, topic, 10))
    await first.stop()
    stands[topic, 0] = 4  # the database was restored to an older state; the broker's offsets were not
    restored = Taker()
    second = a_consumer(restored)
    await second.start()
    await until(restored.heard(6))
    assert restored.numbers == {key: [5, 6, 7, 8, 9, 10]}
    await second.stop()
    stands[topic, 0] = 9  # and what it knows it does not read again, whatever the broker forgot
    third = Taker()
    await a_consumer(third, group=f"other.{topic}").start()
    await until(third.heard(1))
    assert third.numbers == {key: [10]}


async def test_while_the_brake_is_on_nothing_is_fetched_and_afterwards_nothing_is_missing(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    key, brake = new_id(), Brake()
    taker = Taker()
    one = a_consumer(taker, brake=brake)
    await tell(embedded, topic, key, [1])
    await one.start()
    await until(taker.heard(1))
    brake.on = True
    await until(lambda: not one.assigned)
    await tell(embedded, topic, key, [2, 3])
    await asyncio.sleep(0.5)
    assert taker.numbers == {key: [1]}
    brake.on = False
    await until(taker.heard(3))
    assert taker.numbers == {key: [1, 2, 3]}


async def test_of_a_topic_that_is_held_nothing_is_fetched_and_of_the_others_everything(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    loud, other, brake, taker = new_id(), new_id(), Brake(), Taker()
    second = await make_topic(embedded, f"second.{topic}")
    await tell(embedded, topic, loud, [1])
    await tell(embedded, second, other, [1])
    await a_consumer(taker, topics=(topic, second), brake=brake).start()
    await until(taker.heard(2))
    brake.unheard.add(topic)
    await asyncio.sleep(0.3)  # the look that is under way when it is pulled
    await tell(embedded, topic, loud, [2, 3])
    await tell(embedded, second, other, [2, 3])
    await until(taker.heard(4))
    await asyncio.sleep(0.5)
    assert taker.numbers == {loud: [1], other: [1, 2, 3]}
    brake.unheard.clear()
    await until(taker.heard(6))
    await tell(embedded, topic, loud, [4])
    await tell(embedded, second, other, [4])
    await until(taker.heard(8))
    assert taker.numbers == {loud: [1, 2, 3, 4], other: [1, 2, 3, 4]}


async def test_a_batch_that_fails_because_one_topic_is_held_from_now_on_is_read_again_without_it(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    loud, other, brake, taker = new_id(), new_id(), Brake(), Taker()
    second = await make_topic(embedded, f"second.{topic}")

    async def take(records: Sequence[Record]) -> None:
        if any(record.topic == topic for record in records):
            brake.unheard.add(topic)
            raise ConnectionError
        await taker(records)

    await tell(embedded, topic, loud, [1, 2])
    await tell(embedded, second, other, [1, 2])
    await a_consumer(take, topics=(topic, second), brake=brake).start()
    await until(taker.heard(2))
    assert taker.numbers == {other: [1, 2]}


async def test_a_start_is_counted_before_the_first_fetch_and_forgotten_with_the_first_batch(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    await tell(embedded, topic, new_id(), [1])
    brake, taker = Brake(), Taker()
    taker.go_on.clear()
    await a_consumer(taker, brake=brake).start()
    await until(taker.given(1))
    assert brake.told == ["sit 0", "begin 0"]
    taker.go_on.set()
    await until(lambda: "got through" in brake.told)


async def test_whoever_finds_nothing_to_read_has_got_through_and_was_never_in_danger(
    embedded: Addresses, topic: str, a_consumer: Making, stands: Stands
) -> None:
    await tell(embedded, topic, new_id(), [1], 0)
    stands[topic, 0] = 1  # heard before
    brake = Brake()
    await a_consumer(Taker(), brake=brake).start()
    await until(lambda: "got through" in brake.told)
    assert "begin 0" not in brake.told


async def test_whoever_has_died_of_what_lies_before_it_too_often_does_not_take_it_again(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    class Pulled(Brake):
        async def begin(self, instance: str) -> None:
            await super().begin(instance)
            self.on = True

    await tell(embedded, topic, new_id(), [1])
    brake, taker = Pulled(), Taker()
    one = a_consumer(taker, brake=brake)
    await one.start()
    await until(lambda: "begin 0" in brake.told)
    await until(lambda: not one.assigned)
    assert (brake.told, taker.batches) == (["sit 0", "begin 0"], [])


async def test_two_processes_under_one_instance_do_not_put_each_other_out_for_ever(
    embedded: Addresses, database: AsyncEngine, topic: str, a_consumer: Making, caplog: pytest.LogCaptureFixture
) -> None:
    key, takers = new_id(), (Taker(), Taker())
    brakes = [brake_module.Brake(database, f"group.{topic}") for _ in takers]

    async def watch(brake: brake_module.Brake) -> None:
        while True:
            await brake.look()
            await asyncio.sleep(1.0)

    watching = [asyncio.create_task(watch(brake)) for brake in brakes]
    try:
        elder, younger = (a_consumer(taker, brake=brake) for taker, brake in zip(takers, brakes, strict=True))
        await tell(embedded, topic, key, [1])
        await elder.start()
        await until(takers[0].heard(1))
        await younger.start()
        await until(lambda: brakes[0].ousted and not elder.assigned and younger.assigned)
        caplog.clear()
        await asyncio.sleep(8.0)  # more than two heartbeats: that is how soon the library would notice, and answer
        assert [message for message in caplog.messages if "oining" in message or "Heartbeat failed" in message] == []
        await tell(embedded, topic, key, [2, 3])
        await until(takers[1].heard(2))
        assert takers[0].numbers == {key: [1]}
        await younger.stop()
        await brakes[1].leave()
        await until(lambda: elder.assigned)
        await tell(embedded, topic, key, [4])
        await until(takers[0].heard(2))
    finally:
        for task in watching:
            task.cancel()


class AFeed:
    """What a writer says it has published on one topic, page by page; shut while it is not open."""

    def __init__(self, topic: str, key: UUID, numbers: Sequence[int], partition: int, *, size: int = 2) -> None:
        self.size = size
        self.records = [
            from_record(topic, partition, number - 1, key_of(key), headers_of(key, number), b"{}") for number in numbers
        ]
        self.open = True
        self.pages: list[tuple[int, int]] = []

    async def __call__(self, topic: str, partition: int, offset: int, after: int) -> tuple[list[Record], int, bool]:
        if not self.open:
            raise ConnectionRefusedError
        found = [
            (number, record)
            for number, record in enumerate(self.records, 1)
            if number > after and record.topic == topic and (record.partition, record.offset) >= (partition, offset)
        ]
        self.pages.append((offset, after))
        page = found[: self.size]
        return [record for _, record in page], max([after, *(n for n, _ in page)]), len(found) > self.size


async def trim(embedded: Addresses, topic: str, partition: int, first: int) -> None:
    """The broker forgets everything before that offset."""
    administrator = AIOKafkaAdminClient(**client(embedded))
    await administrator.start()
    try:
        await administrator.delete_records({TopicPartition(topic, partition): RecordsToDelete(before_offset=first)})
    finally:
        await administrator.close()


async def test_a_newcomer_on_a_trimmed_topic_begins_at_one(
    embedded: Addresses, topic: str, a_consumer: Making, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer_module, "MISSED_SECONDS_FIRST", 0.05)
    key, other, taker = new_id(), new_id(), Taker()
    await tell(embedded, topic, key, range(1, 11), 0)
    await tell(embedded, topic, other, [1], 1)
    await trim(embedded, topic, 0, 7)
    feed = AFeed(topic, key, range(1, 11), 0)
    feed.open = False
    monkeypatch.setattr(consumer_module, "WHOLE_SECONDS", 0.1)
    one = a_consumer(taker, missed=feed)
    await one.start()
    await until(taker.heard(1))
    await asyncio.sleep(0.3)
    assert one.deaf_seconds() > 0.3
    assert taker.numbers == {other: [1]}, "a partition that misses something waits, the others go on"
    feed.open = True
    await until(taker.heard(11))
    await until(lambda: one.deaf_seconds() == 0)
    assert taker.numbers == {key: list(range(1, 11)), other: [1]}
    assert feed.pages == [(0, 0), (0, 2), (0, 4), (0, 6)]


async def test_whoever_was_away_longer_than_the_topic_remembers_reads_what_it_missed_first(
    embedded: Addresses, topic: str, a_consumer: Making, stands: Stands, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="chassis.consumer")
    key, taker = new_id(), Taker()
    await tell(embedded, topic, key, range(1, 9), 0)
    await trim(embedded, topic, 0, 8)  # nothing is left, and nothing new has come
    stands[topic, 0] = 3
    feed = AFeed(topic, key, range(1, 9), 0)
    one = a_consumer(taker, missed=feed)
    await one.start()
    await until(taker.heard(5))
    assert taker.numbers == {key: [4, 5, 6, 7, 8]}
    await tell(embedded, topic, key, [9], 0)
    await until(taker.heard(6))
    await one.stop()
    assert stands[topic, 0] == 9
    caught_up = "what the broker no longer has is heard, the partition is read on"
    assert caplog.messages.count(caught_up) == 1, "operators see that it has caught up"


async def test_a_topic_trimmed_while_it_is_read_loses_nothing(
    embedded: Addresses, topic: str, a_consumer: Making
) -> None:
    key, taker = new_id(), Taker()
    await tell(embedded, topic, key, range(1, 3), 0)
    feed = AFeed(topic, key, range(1, 2001), 0, size=500)
    await a_consumer(taker, missed=feed).start()
    await until(taker.heard(2))
    taker.go_on.clear()
    await tell(embedded, topic, key, range(3, 1501), 0)  # more than the client has fetched by the time it waits
    await until(taker.given(3))
    await tell(embedded, topic, key, range(1501, 2001), 0)
    await trim(embedded, topic, 0, 1995)
    taker.go_on.set()
    await until(taker.heard(2000))
    assert taker.numbers == {key: list(range(1, 2001))}
