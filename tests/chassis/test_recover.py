"""A database put back to an older copy, on real Kafka: told again what it had said, to the byte and the number."""
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from chassis.database import engine
from chassis.executor import Executor, Kind, Step
from chassis.horizon import Horizon
from chassis.inbox import Hear, Hearing, Source
from chassis.recovery import Guard, Standing
from chassis.recovery.noticing import Topics
from chassis.recovery.recovering import CannotRecover, Recollects, Report, recover
from chassis.recovery.remembering import Memory
from chassis.relay import Relay
from chassis.transitions import Arm, Fact, Remembered, Said
from contracts.new_ids import new_id
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from tests.chassis.broker import a_producer, connection, everything_on, make_topic, until
from tests.chassis.test_executor import (
    Address,
    BallsPut,
    Box,
    Put,
    State,
    answer,
    asked,
    decide,
    load,
    metadata,
    put_the_same,
    record,
    reserves,
    save,
)
from tests.chassis.test_restores_are_noticed import administered, delete_before
from tests.conftest import NewDatabase

GROUP = "a.boxes"
BOX = Kind("box", load, save, decide, answer, reserves)
SAID = "SELECT event_id, topic, key, seq, type, headers, payload FROM event_log ORDER BY topic, key, seq"
SENT = 'SELECT topic, number, partition, "offset" FROM publication WHERE "offset" >= 0 ORDER BY topic, number'
HEADS = "SELECT topic, key, last FROM stream_head ORDER BY topic, key"
# As a relay leaves it that died after it had sent the last fact.
FORGET_THE_LAST = """
    WITH gone AS (DELETE FROM publication WHERE number > 1 RETURNING pos)
    INSERT INTO outbox (pos, topic, key) SELECT pos, topic, key FROM event_log JOIN gone USING (pos) RETURNING pos
"""


def remembered(box: Box, said: Said) -> Remembered[Box]:
    """So many balls were put; what they looked like nobody knows."""
    after = replace(box, state=State.OPEN, balls=box.balls + said.fact.balls)
    return Remembered(after, (Arm("shut", said.at),), lost=("colour",))


@dataclass
class Life:
    """One life of a service's database: what runs on it, and what can be asked of it."""

    addresses: Addresses
    dsn: str
    own: str
    heard: str
    stack: AsyncExitStack
    engine: AsyncEngine = field(init=False)
    again: bool = False

    async def begin(self) -> Life:
        """Open it."""
        self.engine = await self._kept(engine(self.dsn))
        self.executor = Executor(
            self.engine, [BOX], consumer=GROUP, source="urn:staffel:a:boxes", hearing=self.hearing,
            address=self._address, new_id=new_id, seal=bytes(32),
        )
        await self.executor.start()
        self.stack.push_async_callback(self.executor.stop)
        self.horizon = Horizon(group=GROUP, **connection(self.addresses))
        self.stack.push_async_callback(self.horizon.close)
        self.guard = Guard(self.engine, self.horizon, self.topics)
        return self

    @property
    def hearing(self) -> Hearing:
        """Balls of somebody else."""
        source = {self.heard: Source("b.boxes", "own")}
        hears = [Hear(BallsPut, put_the_same, again=self.again)]
        return Hearing(
            hears, source, scope_attribute="scope", version_attribute="scopeversion"
        )

    @property
    def topics(self) -> Topics:
        """One written, one heard."""
        return Topics(GROUP, (self.own,), (self.heard,))

    async def _kept(self, made: AsyncEngine) -> AsyncEngine:
        self.stack.push_async_callback(made.dispose)
        return made

    def _address(self, fact: Fact, _to: str | None, _scope: str | None) -> Address:
        return Address(self.own, f"boxes/{fact.key}", "urn:test", {"correlationid": str(fact.key)})

    async def put(self, box: UUID, balls: int) -> None:
        """Decide it."""
        await self.executor.run(asked(str(new_id()), Step("box", box, Put(balls))))

    async def publish(self, *, forced: bool = False) -> None:
        """Until nothing waits; `forced`: whatever the guard would say."""
        may_speak = None if forced else self.guard.may_speak
        relay = Relay(self.engine, **connection(self.addresses), client_id="boxes", may_speak=may_speak)
        await relay.start()

        async def done() -> bool:
            return not await self.rows("SELECT pos FROM outbox")

        await until(done)
        await relay.stop()

    async def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """What the database says."""
        async with self.engine.begin() as tx:
            return [tuple(row) for row in await tx.execute(sa.text(statement))]

    async def balls(self, box: UUID) -> list[tuple[Any, ...]]:
        """(balls, version) of that box."""
        return await self.rows(f"SELECT balls, version FROM box WHERE id = '{box}'")  # noqa: S608  # our own id

    async def recover(self, *, apply: bool = True) -> Report | None:
        """What the operator does."""
        memories = (Memory(BallsPut, "box", remembered),)
        service = Recollects(self.topics, self.hearing, {"box": BOX}, memories, "scope", new_id)
        return await recover(self.engine, self.horizon, service, by="operator", apply=apply)


@dataclass
class Lives:
    """The life that goes on after the backup, and the one that is made from the backup."""

    first: Life
    stack: AsyncExitStack

    async def restored(self, dsn: str) -> Life:
        """Begin another life of the same service on that copy."""
        return await Life(self.first.addresses, dsn, self.first.own, self.first.heard, self.stack).begin()


@pytest.fixture
async def lives(embedded: Addresses, new_database: NewDatabase) -> AsyncIterator[Lives]:
    dsn = await new_database(None)
    made = create_async_engine(dsn)
    async with made.begin() as tx:
        await tx.run_sync(metadata.create_all)
    await made.dispose()
    own = await make_topic(embedded, f"a.boxes.{new_id()}")
    heard = await make_topic(embedded, f"b.boxes.{new_id()}", partitions=1)
    async with AsyncExitStack() as stack:
        first = await Life(embedded, dsn, own, heard, stack).begin()
        yield Lives(first, stack)


async def backup(life: Life) -> str:
    """A copy of the database as it is now: its DSN."""
    await life.engine.dispose()
    url = make_url(life.dsn)
    copy = f"{url.database}_copy"
    administrator = create_async_engine(life.addresses.postgres.administrator(), isolation_level="AUTOCOMMIT")
    async with administrator.connect() as tx:
        await tx.execute(sa.text(f'CREATE DATABASE "{copy}" TEMPLATE "{url.database}"'))
    await administrator.dispose()

    async def drop() -> None:
        async with administrator.connect() as tx:
            await tx.execute(sa.text(f'DROP DATABASE "{copy}" WITH (FORCE)'))
        await administrator.dispose()

    life.stack.push_async_callback(drop)
    return url.set(database=copy).render_as_string(hide_password=False)


async def numbers(life: Life, box: UUID) -> list[int]:
    """The numbers of that box on the topic, in the order of its partition."""
    found = await everything_on(life.addresses, life.own)
    return [int(dict(each.headers)["ce_subjectseq"]) for each in found if each.key == str(box).encode()]


async def put_by_another(life: Life, box: UUID, seqs: Sequence[int], balls: int) -> list[Any]:
    """Somebody else's facts, published and heard."""
    records = []
    async with a_producer(life.addresses) as producer:
        for seq in seqs:
            made = record(box, seq, balls, topic=life.heard)
            headers = [(name, value or b"") for name, value in made.headers]
            place = await producer.send_and_wait(life.heard, made.value, key=made.key, headers=headers)
            records.append(made._replace(offset=place.offset, partition=place.partition))
    await life.executor.hear(records)
    return records


async def heard_after_a_backup(life: Life, box: UUID) -> tuple[str, Any]:
    """A copy of the database as it was before it heard somebody else's fact, and that fact; all is published."""
    await life.put(box, 1)
    await life.publish()
    copy = await backup(life)
    (heard,) = await put_by_another(life, box, [1], 3)
    await life.publish()
    return copy, heard


async def test_what_was_said_after_the_backup_is_known_again_to_the_byte_and_the_number(lives: Lives) -> None:
    first, box = lives.first, new_id()
    await first.put(box, 1)
    await first.publish()
    copy = await backup(first)
    await first.put(box, 2)
    (heard,) = await put_by_another(first, box, [1], 3)
    await first.put(new_id(), 4)
    await first.publish()

    second = await lives.restored(copy)
    assert await second.guard.look() is Standing.RESTORED
    before = await second.rows(SAID)
    report = await second.recover(apply=False)
    assert report is not None
    assert await second.rows(SAID) == before, "a dry run changes nothing"
    assert await second.recover() == report
    assert report.facts == {first.own: 3}
    assert report.heard == 1
    assert {subject.lost for subject in report.subjects} == {("colour",)}
    for what in (SAID, SENT, HEADS):
        assert await second.rows(what) == await first.rows(what)
    assert await second.balls(box) == [(6, 2)]
    assert await second.rows(f"SELECT kind FROM deadline WHERE subject = '{box}'") == [("shut",)]  # noqa: S608  # our own id
    assert await second.guard.look() is Standing.CATCHING_UP, "the other's word lies there"
    assert await second.guard.may_speak()

    await second.executor.hear([heard])
    assert await second.balls(box) == [(6, 2)], "what was answered is not heard twice"
    assert await second.guard.look() is Standing.SOUND
    await put_by_another(second, box, [2], 1)
    assert await second.rows("SELECT error_class FROM parked") == []
    await second.publish()
    assert await numbers(second, box) == [1, 2, 3, 4]


async def test_what_says_less_than_what_it_was_said_because_of_lets_that_be_heard_again(lives: Lives) -> None:
    first, box = lives.first, new_id()
    copy, heard = await heard_after_a_backup(first, box)

    second = await lives.restored(copy)
    second.again = True
    report = await second.recover()
    assert report is not None
    assert (report.facts, report.heard) == ({first.own: 1}, 0)
    assert await second.balls(box) == [(4, 2)]
    await second.executor.hear([heard])
    assert await second.balls(box) == [(7, 3)], "whoever says so of an event takes care that twice does no harm"


async def test_who_has_caught_up_once_has_caught_up_and_a_topic_that_grows_shuts_nobody(lives: Lives) -> None:
    first, box = lives.first, new_id()
    copy, heard = await heard_after_a_backup(first, box)
    second = await lives.restored(copy)
    await second.recover()
    await second.executor.hear([heard])
    await put_by_another(first, box, [2], 1)
    assert await second.guard.look() is Standing.SOUND, "that was not there when it was mended"


async def test_what_was_decided_since_the_restore_and_not_sent_follows_what_was_said_before(lives: Lives) -> None:
    first, box = lives.first, new_id()
    await first.put(box, 1)
    await first.publish()
    copy = await backup(first)
    await first.put(box, 2)
    await first.publish()

    second = await lives.restored(copy)
    await second.put(box, 4)
    report = await second.recover()
    assert report is not None
    assert report.renumbered == 1
    await second.publish()
    assert await numbers(second, box) == [1, 2, 3]
    assert await second.balls(box) == [(7, 3)]


async def test_whoever_is_forced_to_speak_without_it_is_stopped_by_its_hearers_as_a_fork(lives: Lives) -> None:
    first, box = lives.first, new_id()
    await first.put(box, 1)
    await first.publish()
    copy = await backup(first)
    await first.put(box, 2)
    await first.publish()
    second = await lives.restored(copy)
    await second.put(box, 4)
    await second.publish(forced=True)

    said = [(dict(each.headers), each.value) for each in await everything_on(first.addresses, first.own)]
    hearer = lives.first
    for headers, body in said:
        seq, event = int(headers["ce_subjectseq"]), UUID(headers["ce_id"].decode())
        await hearer.executor.hear([record(box, seq, event=event, topic=hearer.heard, body=body)])
    assert await hearer.rows("SELECT seq, error_class FROM parked") == [(2, "fork")]

    await second.rows(FORGET_THE_LAST)
    report = await second.recover()
    assert report is not None
    first_word, _ = (UUID(headers["ce_id"].decode()) for headers, _ in said if headers["ce_subjectseq"] == b"2")
    assert (report.forks, report.facts) == ((first_word,), {}), "it is said, and no word takes the other's place"
    assert await second.balls(box) == [(5, 2)]
    assert await second.guard.look() is Standing.SOUND


async def test_a_topic_that_was_lost_is_told_again_with_the_same_ids(lives: Lives) -> None:
    life, box = lives.first, new_id()
    await life.put(box, 1)
    await life.put(box, 2)
    await life.publish()
    ids = [dict(each.headers)["ce_id"] for each in await everything_on(life.addresses, life.own)]
    await made_anew(life)
    assert await life.guard.look() is Standing.RESTORED

    report = await life.recover()
    assert report is not None
    assert report.republished == {life.own: 2}
    assert await life.guard.look() is Standing.SOUND
    await life.publish()
    assert [dict(each.headers)["ce_id"] for each in await everything_on(life.addresses, life.own)] == ids
    assert await life.guard.look() is Standing.SOUND


async def test_what_was_said_to_the_new_topic_before_anybody_noticed_hides_no_lost_record(lives: Lives) -> None:
    life, box = lives.first, new_id()
    for _ in range(3):
        await life.put(box, 1)
    await life.publish()
    await made_anew(life)
    await life.put(box, 1)
    await life.publish(forced=True)
    assert await numbers(life, box) == [4], "it has the offset that the first one had"
    assert await life.guard.look() is Standing.RESTORED

    report = await life.recover()
    assert report is not None
    assert report.republished == {life.own: 3}
    await life.publish()
    assert await numbers(life, box) == [4, 1, 2, 3]
    assert await life.guard.look() is Standing.SOUND


async def test_a_topic_that_has_grown_longer_than_the_lost_one_is_told_everything_again(lives: Lives) -> None:
    life, box = lives.first, new_id()
    await life.put(box, 1)
    await life.publish()
    await made_anew(life)
    for _ in range(2):
        await life.put(box, 1)
    await life.publish(forced=True)
    assert await life.guard.look() is Standing.SOUND, "it is as long as what was published"
    await life.guard.made_anew(life.own)

    report = await life.recover()
    assert report is not None
    assert report.republished == {life.own: 3}
    await life.publish()
    assert await numbers(life, box) == [2, 3, 1, 2, 3]
    assert await life.guard.look() is Standing.SOUND


async def made_anew(life: Life) -> None:
    """The topic is lost, and there is an empty one of its name."""
    spec = admin.TopicSpec(life.own, 2, 1, {})

    def lose(kafka: admin.Admin) -> None:
        kafka.delete_topics([life.own])
        kafka.create_topics([spec])

    await asyncio.to_thread(administered, life.addresses, lose)


async def test_a_backup_older_than_what_topics_keep_is_not_recovered(lives: Lives) -> None:
    first = lives.first
    copy = await backup(first)
    for _ in range(4):
        await first.put(new_id(), 1)
    await first.publish()
    (partition, end), *_ = await first.rows('SELECT partition, max("offset") + 1 FROM publication GROUP BY 1')
    await asyncio.to_thread(
        administered, first.addresses, lambda kafka: delete_before(kafka, first.own, end, partition)
    )
    second = await lives.restored(copy)
    assert await second.guard.look() is Standing.RESTORED
    with pytest.raises(CannotRecover):
        await second.recover()
    assert await second.guard.look() is Standing.RESTORED


async def test_a_database_that_knows_everything_has_nothing_to_recover(lives: Lives) -> None:
    await lives.first.put(new_id(), 1)
    await lives.first.publish()
    assert await lives.first.recover() is None
