"""The relay against real Kafka and PostgreSQL: nothing lost, order kept, whoever is at fault stands alone."""
from __future__ import annotations

import asyncio
import json
import secrets
import signal
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import psutil
import pytest
import sqlalchemy as sa
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # ships no types
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import outbox, relay
from chassis.relay import Outcome, Place, Relay, Row, acknowledged
from contracts.new_ids import new_id
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from tests.chassis.broker import connection, everything_on, make_topic, until

ATTEMPTS = 50
SOON_SECONDS = 5.0  # after what was away is back, all goes on; leading takes its part of it

LEADERS = (
    "FROM pg_locks WHERE locktype = 'advisory'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

Said = tuple[str, UUID, int, bytes]  # topic, key, number, body


async def oldest_unsent(database: AsyncEngine) -> float:
    async with database.connect() as connection:
        return await outbox.oldest_age(connection)


@pytest.fixture
async def topic(embedded: Addresses) -> str:
    return await make_topic(embedded, f"relay.{new_id()}")


@pytest.fixture
async def a_relay(embedded: Addresses, database: AsyncEngine) -> AsyncIterator[Callable[[], Relay]]:
    made: list[Relay] = []

    def make() -> Relay:
        made.append(Relay(database, **connection(embedded), client_id="red.balls"))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


async def say(database: AsyncEngine, said: Sequence[Said]) -> None:
    """What the outbox does, without the subjects."""
    async with database.begin() as tx:
        for topic, key, number, body in said:
            headers = json.dumps([["ce_subjectseq", str(number)]])
            pos = await tx.scalar(
                sa.text(
                    "INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload) VALUES"
                    " (:id, :topic, :key, :seq, 'test.ball.thrown.v1', CAST(:headers AS jsonb), :body) RETURNING pos"
                ),
                {"id": new_id(), "topic": topic, "key": key, "seq": number, "headers": headers, "body": body},
            )
            await tx.execute(
                sa.text("INSERT INTO outbox (pos, topic, key) VALUES (:pos, :topic, :key)"),
                {"pos": pos, "topic": topic, "key": key},
            )


async def count(database: AsyncEngine, table: str) -> int:
    async with database.connect() as connection_:
        return int(await connection_.scalar(sa.text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608  # own names


def empty(database: AsyncEngine) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await count(database, "outbox") == 0

    return ask


def published(database: AsyncEngine, least: int) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return await count(database, "publication") >= least

    return ask


async def numbers_on(embedded: Addresses, topic: str) -> dict[bytes, list[int]]:
    """Per key the numbers in the order in which they lie on the topic."""
    found: dict[bytes, list[int]] = defaultdict(list)
    for record in await everything_on(embedded, topic):
        found[record.key].append(int(dict(record.headers)["ce_subjectseq"]))
    return found


def first_times(numbers: Sequence[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


async def test_what_was_said_is_published_in_order_and_remembered(
    embedded: Addresses, database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]
) -> None:
    keys = [new_id() for _ in range(7)]
    await say(database, [(topic, key, number, b"{}") for number in range(1, 101) for key in keys])
    await a_relay().start()
    await until(empty(database))
    found = await numbers_on(embedded, topic)
    assert found == {str(key).encode(): list(range(1, 101)) for key in keys}
    async with database.connect() as connection_:
        rows = (await connection_.execute(sa.text("SELECT * FROM publication ORDER BY number"))).all()
    assert [row.number for row in rows] == list(range(1, 701))
    assert [row.pos for row in rows] == sorted(row.pos for row in rows)
    assert len({(row.partition, row.offset) for row in rows}) == 700


async def test_of_a_long_log_only_what_is_sent_is_read(database: AsyncEngine, topic: str) -> None:
    """A prepared statement keeps the plan it was given when the tables were small; it must be a good one for ever."""
    async with database.begin() as tx:
        await tx.execute(sa.text("ANALYZE outbox, event_log"))
        await tx.execute(sa.text("SET LOCAL plan_cache_mode = force_generic_plan"))
        await tx.execute(relay._BY_INDEX)
        for name, statement in (("first", relay._READ), ("next", relay._REMEMBER_AND_READ)):
            compiled: Any = statement.written.compile(dialect=database.dialect)
            await tx.exec_driver_sql(f"PREPARE {name} AS {compiled}")
            given = {"aside": "'{}'", "most": "500", "topics": "'{t}'", "positions": "'{1}'"}
            given |= {"partitions": "'{0}'", "offsets": "'{0}'"}
            values = ", ".join(given[parameter] for parameter in compiled.positiontup or ())
            await tx.exec_driver_sql(f"EXECUTE {name} ({values})")
            plan = "\n".join((await tx.exec_driver_sql(f"EXPLAIN EXECUTE {name} ({values})")).scalars())
            assert "event_log_pkey" in plan
            assert "Seq Scan on event_log" not in plan


async def test_a_wake_publishes_at_once(database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]) -> None:
    one = a_relay()
    await one.start()
    await say(database, [(topic, new_id(), 1, b"{}")])
    await until(empty(database))
    await asyncio.sleep(2.0)  # its polls are now a second apart
    began = asyncio.get_running_loop().time()
    for _ in range(5):
        await say(database, [(topic, new_id(), 1, b"{}")])
        one.wake()
        await until(empty(database))
    assert asyncio.get_running_loop().time() - began < 1.0
    assert await oldest_unsent(database) == 0


async def test_a_relay_that_dies_before_it_remembers_repeats_in_order_and_skips_nothing(
    embedded: Addresses,
    database: AsyncEngine,
    topic: str,
    a_relay: Callable[[], Relay],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [new_id() for _ in range(5)]
    await say(database, [(topic, key, number, b"{}") for number in range(1, 21) for key in keys])

    with monkeypatch.context() as patched:
        patched.setattr(relay, "acknowledged", Mock(side_effect=asyncio.CancelledError))
        dying = a_relay()
        await dying.start()
        assert dying._task is not None
        await asyncio.wait({dying._task})
    assert await count(database, "outbox") == 100
    await a_relay().start()
    await until(empty(database))
    found = await numbers_on(embedded, topic)
    assert found == {str(key).encode(): [*range(1, 21), *range(1, 21)] for key in keys}


async def test_relays_that_are_killed_lose_nothing_and_keep_the_order(
    embedded: Addresses, database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]
) -> None:
    keys = [new_id() for _ in range(10)]
    dsn = database.url.render_as_string(hide_password=False)

    async def write() -> None:
        for number in range(1, 81):
            await say(database, [(topic, key, number, b"{}") for key in keys])

    writing = asyncio.create_task(write())
    for alive_until in (50, 150):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", VICTIM, dsn, *_connection_words(embedded))
        await until(published(database, alive_until))
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await writing
    await a_relay().start()
    await until(empty(database))
    found = await numbers_on(embedded, topic)
    assert set(found) == {str(key).encode() for key in keys}
    for numbers in found.values():
        assert first_times(numbers) == list(range(1, 81))
    async with database.connect() as connection_:
        positions = list(await connection_.scalars(sa.text("SELECT pos FROM publication ORDER BY number")))
    assert len(positions) == len(set(positions)) == 800


VICTIM = """
import asyncio, ssl, sys
from chassis.database import engine
from chassis.relay import Relay

async def main(dsn, bootstrap, ca, certificate, key):
    context = ssl.create_default_context(cafile=ca)
    context.load_cert_chain(certificate, key)
    await Relay(engine(dsn), bootstrap=bootstrap, ssl_context=context, client_id="victim").start()
    await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


def _connection_words(embedded: Addresses) -> tuple[str, ...]:
    tls = embedded.admin
    return (embedded.bootstrap, str(tls.ca), str(tls.certificate), str(tls.key))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_SECONDS", "CONNECT_SECONDS", "ASIDE_SECONDS"):
        monkeypatch.setattr(relay, name, 0.7)


@pytest.mark.usefixtures("impatient")
async def test_a_broker_that_hangs_delays_and_loses_nothing(
    embedded: Addresses,
    database: AsyncEngine,
    topic: str,
    a_relay: Callable[[], Relay],
    caplog: pytest.LogCaptureFixture,
) -> None:
    key = new_id()
    one = a_relay()
    await one.start()
    await say(database, [(topic, key, 1, b"{}")])
    await until(empty(database))
    broker = _process_on(embedded.bootstrap)
    broker.send_signal(signal.SIGSTOP)
    try:
        await say(database, [(topic, key, number, b"{}") for number in range(2, 30)])
        one.wake()
        await asyncio.sleep(2.5)
        assert await count(database, "outbox") == 28
        assert await oldest_unsent(database) > 2
        assert 1 <= sum(r.message == "broker did not take a round" for r in caplog.records) <= 4
    finally:
        broker.send_signal(signal.SIGCONT)
    await until(empty(database))
    assert first_times((await numbers_on(embedded, topic))[str(key).encode()]) == list(range(1, 30))


def _process_on(bootstrap: str) -> psutil.Process:
    port = int(bootstrap.partition(",")[0].rpartition(":")[2])
    listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr]
    pids = [c.pid for c in listening if c.laddr and c.laddr.port == port and c.pid is not None]
    return psutil.Process(pids[0])


async def test_a_broker_that_is_away_makes_no_hot_loop_and_no_slow_stop(
    embedded: Addresses, database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    await say(database, [("anywhere", new_id(), 1, b"{}")])
    one = Relay(database, **(connection(embedded) | {"bootstrap": "127.0.0.1:9"}), client_id="red.balls")
    await one.start()
    await asyncio.sleep(1.5)
    one.wake()
    began = asyncio.get_running_loop().time()
    await one.stop()
    assert asyncio.get_running_loop().time() - began < 1
    assert 1 <= sum(r.message == "broker did not take a round" for r in caplog.records) <= 4
    assert await count(database, "outbox") == 1


async def test_a_record_that_can_never_be_sent_holds_its_own_subject_only(
    embedded: Addresses, database: AsyncEngine, a_relay: Callable[[], Relay], caplog: pytest.LogCaptureFixture
) -> None:
    narrow = await make_topic(embedded, f"relay.{new_id()}", partitions=1, max_message_bytes="3000")
    good, bad = new_id(), new_id()
    await say(database, [
        (narrow, good, 1, b"{}"), (narrow, bad, 1, b"{}"), (narrow, bad, 2, secrets.token_bytes(9000)),
        (narrow, bad, 3, b"{}"), (narrow, good, 2, b"{}"),
    ])
    one = a_relay()
    await one.start()

    async def only_the_held_are_left() -> bool:
        return await count(database, "outbox") == 2

    await until(only_the_held_are_left)
    await say(database, [(narrow, good, 3, b"{}"), (narrow, bad, 4, b"{}")])
    one.wake()

    async def the_other_subject_went_on() -> bool:
        return await count(database, "outbox") == 3 and await count(database, "publication") == 4

    await until(the_other_subject_went_on)
    found = await numbers_on(embedded, narrow)
    assert first_times(found[str(good).encode()]) == [1, 2, 3]
    assert first_times(found[str(bad).encode()]) == [1]
    async with database.connect() as connection_:
        held = (await connection_.execute(sa.text("SELECT topic, key, reason FROM outbox_hold"))).all()
    assert [tuple(row) for row in held] == [(narrow, bad, "MessageSizeTooLargeError")]
    assert "record can never be sent, its subject is held" in caplog.messages
    assert await oldest_unsent(database) == 0, "what is held has an alarm of its own, and calls nobody at night"


@pytest.mark.usefixtures("impatient")
async def test_a_missing_topic_waits_for_itself_alone(
    embedded: Addresses, database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]
) -> None:
    missing = f"relay.{new_id()}"
    await say(database, [(missing, new_id(), 1, b"{}"), (topic, new_id(), 1, b"{}")])
    await a_relay().start()

    async def one_is_left() -> bool:
        return await count(database, "outbox") == 1

    await until(one_is_left)
    await make_topic(embedded, missing)
    await until(empty(database))
    assert len(await everything_on(embedded, missing)) == 1


async def test_a_topic_that_is_not_ours_to_write_stops_nobody_else(
    embedded: Addresses, database: AsyncEngine, topic: str
) -> None:
    def allow() -> None:
        with admin.connected(embedded.bootstrap, embedded.admin) as kafka:
            kafka.create_acls([admin.Acl("jobcenter.handover", "WRITE", "TOPIC", topic)])

    await asyncio.to_thread(allow)
    foreign = await make_topic(embedded, f"relay.{new_id()}")
    await say(database, [(foreign, new_id(), 1, b"{}"), (topic, new_id(), 1, b"{}")])
    one = Relay(database, **connection(embedded, "jobcenter.handover"), client_id="jobcenter.handover")
    await one.start()

    async def one_is_left() -> bool:
        return await count(database, "outbox") == 1

    await until(one_is_left)
    await one.stop()
    assert len(await everything_on(embedded, topic)) == 1
    assert await everything_on(embedded, foreign) == []


async def test_a_hole_in_the_producers_numbers_is_healed_by_a_new_producer(
    embedded: Addresses, database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]
) -> None:
    key = new_id()
    one = a_relay()
    await one.start()
    await say(database, [(topic, key, 1, b"{}")])
    one.wake()
    await until(empty(database))
    producer: Any = one._sender._producer
    for partition in range(2):
        producer._txn_manager.increment_sequence_number(TopicPartition(topic, partition), 5)
    await say(database, [(topic, key, 2, b"{}"), (topic, key, 3, b"{}")])
    one.wake()
    await until(empty(database))
    assert one._sender._producer is not producer
    assert (await numbers_on(embedded, topic))[str(key).encode()] == [1, 2, 3]


async def test_a_lost_database_connection_costs_the_lead_and_nothing_else(
    embedded: Addresses, database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]
) -> None:
    key = new_id()
    one = a_relay()
    await one.start()
    await until(lambda: one.leading)
    async with database.connect() as connection_:
        ended = await connection_.scalar(sa.text(f"SELECT count(pg_terminate_backend(pid)) {LEADERS}"))
    assert ended == 1
    await say(database, [(topic, key, number, b"{}") for number in range(1, 11)])
    await until(empty(database))
    assert one.leading
    assert (await numbers_on(embedded, topic))[str(key).encode()] == list(range(1, 11))


async def test_a_database_that_was_away_for_long_is_asked_again_within_seconds(
    embedded: Addresses, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, paused = Relay(database, **connection(embedded), client_id="red.balls"), list[float]()

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        one._stopping = len(paused) == ATTEMPTS

    monkeypatch.setattr(one, "_lead", Mock(side_effect=ConnectionRefusedError))
    monkeypatch.setattr(one, "_pause", pause)
    await one._run()
    assert max(paused) < SOON_SECONDS / 2


async def test_one_leads_and_the_next_takes_over(
    embedded: Addresses, database: AsyncEngine, topic: str, a_relay: Callable[[], Relay]
) -> None:
    first, second = a_relay(), a_relay()
    await first.start()
    await until(lambda: first.leading)
    await second.start()
    await asyncio.sleep(0.3)
    assert not second.leading
    await first.stop()
    await until(lambda: second.leading)
    await say(database, [(topic, new_id(), 1, b"{}")])
    await until(empty(database))
    assert len(await everything_on(embedded, topic)) == 1


@pytest.mark.parametrize("during", ["a doubt", "the end of its lead"])
async def test_who_is_stopped_while_a_producer_is_given_up_keeps_neither_it_nor_the_lead(
    database: AsyncEngine, topic: str, a_relay: Callable[[], Relay], monkeypatch: pytest.MonkeyPatch, during: str
) -> None:
    one, given_up = a_relay(), asyncio.Event()
    await one.start()
    await say(database, [(topic, new_id(), 1, b"{}")])
    one.wake()
    await until(empty(database))
    producer: Any = one._sender._producer
    close = producer.client.close

    async def slowly() -> None:
        given_up.set()
        await asyncio.sleep(0.1)
        await close()

    async def goes_wrong(rows: Sequence[Row], *, singly: bool) -> list[Outcome]:
        if during == "a doubt":
            return [TimeoutError()] * len(rows)
        raise ZeroDivisionError

    monkeypatch.setattr(producer.client, "close", slowly)
    monkeypatch.setattr(one._sender, "publish", goes_wrong)
    await say(database, [(topic, new_id(), 2, b"{}")])
    one.wake()
    await given_up.wait()
    await one.stop(0)
    assert producer._closed
    assert producer._sender.sender_task is None or producer._sender.sender_task.done()
    async with database.connect() as connection_:
        assert await connection_.scalar(sa.text(f"SELECT count(*) {LEADERS}")) == 0


def test_nothing_behind_a_failure_of_its_own_stream_counts_as_published() -> None:
    red, blue = new_id(), new_id()
    rows = [Row(pos, topic, key, [], b"") for pos, (topic, key) in enumerate([
        ("a", red), ("a", blue), ("a", red), ("a", red), ("b", red), ("a", blue),
    ])]
    outcomes: list[Outcome] = [Place(0, 1), Place(1, 1), TimeoutError(), Place(0, 3), Place(0, 9), None]
    columns = acknowledged(rows, outcomes)
    assert columns == {
        "topics": ["a", "a", "b"], "positions": [0, 1, 4], "partitions": [0, 1, 0], "offsets": [1, 1, 9],
    }
    assert acknowledged(rows[2:3], [None]) is None
