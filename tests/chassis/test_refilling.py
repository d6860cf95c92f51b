"""Gaps are filled from the writer's feed: nothing is lost, nothing happens twice, and what is nowhere stays held."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.brake import LANES_MAX
from chassis.envelope import Envelope, Record
from chassis.executor import Executor
from chassis.feed import Feeds, NotHad, Page, Refill
from contracts.new_ids import new_id
from tests.chassis.test_brake import OF_B, sent
from tests.chassis.test_executor import balls, database, executor, record, rows

__all__ = ["database", "executor"]  # fixtures
TOPIC = "b.boxes.events"


def seq_of(one: Record) -> int:
    assert isinstance(one.envelope, Envelope)
    return one.envelope.subjectseq


class AFeed:
    """A writer's feed with these records, two to a page; shut as long as it is told so."""

    def __init__(self, *records: Record) -> None:
        self.records: Sequence[Record] = records
        self.asked = 0
        self.shut = False

    async def page(self, topic: str, *, after: int = 0, key: UUID) -> Page:
        """As `Feeds.page`: numbers are places in the list."""
        self.asked += 1
        if self.shut:
            raise NotHad("unreachable")
        found = [
            (number, one)
            for number, one in enumerate(self.records, 1)
            if number > after and one.topic == topic and isinstance(one.envelope, Envelope) and one.envelope.key == key
        ]
        shown = found[:2]
        return Page(tuple(one for _, one in shown), shown[-1][0] if shown else after, len(found) > 2)


async def one_look(database: AsyncEngine, executor: Executor, feed: AFeed) -> None:
    """Everything that is held for a gap now is looked at once, and what is free then goes on."""
    refill = Refill(database, "a.boxes", cast(Feeds, feed), executor.hear_aside, executor.brake.topics_unheard)
    for gap in await refill._gaps():
        await refill._fill(gap)
    while not executor.freed_lanes.empty():
        await executor.retry_lane(*executor.freed_lanes.get_nowait())


async def held(database: AsyncEngine) -> list[tuple[object, ...]]:
    return await rows(database, "SELECT seq, error_class, reason, attempts FROM parked ORDER BY seq")


async def test_gaps_of_a_party_that_is_not_heard_are_in_nobodys_way(executor: Executor, database: AsyncEngine) -> None:
    loud, box = new_id(), new_id()
    await executor.hear([sent(loud, 2, OF_B), record(box, 2)])
    for _ in range(LANES_MAX + 1):
        await executor.hear([sent(new_id(), 1, OF_B, b"{}")])
    feed = AFeed(sent(loud, 1, OF_B), record(box, 1))
    await one_look(database, executor, feed)
    assert (feed.asked, await balls(database, box), await balls(database, loud)) == (1, 2, 0)
    await executor.brake.release("person:u1")
    await one_look(database, executor, feed)
    assert await balls(database, loud) == 2


async def test_a_gap_wider_than_memory_is_filled_part_by_part(
    executor: Executor, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.feed.refilling.FILLED_MAX", 4)
    box = new_id()
    said = [record(box, seq, balls=0) for seq in range(1, 12)]
    feed = AFeed(*said)
    await executor.hear([said[0], said[10]])
    await one_look(database, executor, feed)
    assert await held(database) == []
    assert feed.asked > 6, "it was all in hand at once: this has shown nothing"
    assert await rows(database, "SELECT seq FROM inbox ORDER BY heard_at, seq") == [(seq,) for seq in range(1, 12)]


async def test_a_feed_without_an_end_is_given_up(
    executor: Executor, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.feed.refilling.PAGES_MAX", 3)
    box = new_id()
    feed = AFeed(*(record(box, 1) for _ in range(1000)))
    await executor.hear([record(box, 1), record(box, 9)])
    await one_look(database, executor, feed)
    assert feed.asked == 3
    assert [row[2:] for row in await held(database)] == [("not-in-feed", 2)]


async def test_a_lane_with_a_gap_is_filled_in_order_and_nothing_happens_twice(
    executor: Executor, database: AsyncEngine
) -> None:
    box, other = new_id(), new_id()
    said = [record(box, seq, balls=seq % 3) for seq in range(1, 8)]
    feed = AFeed(*said, record(other, 1))
    await executor.hear([said[0], said[5], said[6]])
    assert [row[:2] for row in await held(database)] == [(6, "gap"), (7, "behind")]
    await one_look(database, executor, feed)
    await one_look(database, executor, feed)
    assert await held(database) == []
    assert await balls(database, box) == 1 + 2 + 0 + 1 + 2 + 0 + 1
    assert await rows(database, "SELECT seq FROM inbox ORDER BY heard_at, seq") == [(seq,) for seq in range(1, 8)]
    assert await balls(database, other) == 0
    assert await rows(database, "SELECT next_offset FROM heard_up_to") == [(8,)], "a gap filled moves no position"
    await executor.hear(said)
    assert await rows(database, "SELECT count(*) FROM inbox") == [(7,)]


async def test_a_subject_first_heard_of_above_one_is_heard_from_one(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    said = [record(box, seq) for seq in range(1, 4)]
    await executor.hear([said[2]])
    await one_look(database, executor, AFeed(*said))
    assert await balls(database, box) == 3
    assert await rows(database, "SELECT last_seq FROM lane") == [(3,)]


async def test_what_the_feed_has_not_got_stays_held_and_is_said(
    executor: Executor, database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    box = new_id()
    said = [record(box, seq) for seq in range(1, 6)]
    await executor.hear([said[4]])
    feed = AFeed(said[0], said[1])
    await one_look(database, executor, feed)
    assert await balls(database, box) == 2
    assert await held(database) == [(5, "gap", "not-in-feed", 2)]
    assert "the writer's feed has not got what is missing" in caplog.messages
    await one_look(database, executor, feed)
    assert feed.asked == 1, "it is not asked again at once"
    await rows(database, "SELECT 1")
    async with database.begin() as tx:
        await tx.execute(sa.text("UPDATE parked SET last_tried_at = last_tried_at - interval '2 minutes'"))
    await one_look(database, executor, AFeed(*said))
    assert await balls(database, box) == 5
    assert await held(database) == []


async def test_a_feed_that_is_shut_is_asked_again_and_others_are_not_held_up(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    said = [record(box, seq) for seq in range(1, 4)]
    feed = AFeed(*said)
    feed.shut = True
    await executor.hear([said[2]])
    await one_look(database, executor, feed)
    assert await held(database) == [(3, "gap", "unreachable", 2)]


async def test_a_gap_wakes_whoever_fills_it(executor: Executor, database: AsyncEngine) -> None:
    box = new_id()
    said = [record(box, seq) for seq in range(1, 4)]
    refill = Refill(database, "a.boxes", cast(Feeds, AFeed(*said)), executor.hear_aside, executor.brake.topics_unheard)
    executor.after_gap.append(refill.wake)
    running = asyncio.create_task(refill.run())
    await asyncio.sleep(0)
    await executor.hear([said[2]])
    async with asyncio.timeout(5):
        assert await executor.freed_lanes.get() == (TOPIC, box)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await balls(database, box) == 2


async def test_what_was_said_longer_ago_than_ids_are_remembered_is_no_fork(
    executor: Executor, database: AsyncEngine
) -> None:
    box = new_id()
    said = [record(box, seq) for seq in range(1, 4)]
    await executor.hear(said)
    async with database.begin() as tx:
        await tx.execute(sa.text("DELETE FROM inbox"))
    await executor.hear([said[0]])
    assert [row[:2] for row in await held(database)] == [(1, "fork")], "as it would be if it were said anew"
    async with database.begin() as tx:
        await tx.execute(sa.text("DELETE FROM parked"))
    await executor.hear([long_ago(one) for one in said])
    assert await held(database) == []
    assert await balls(database, box) == 3


def long_ago(one: Record) -> Record:
    """The same, said before ids are remembered."""
    envelope: Any = one.envelope
    return one._replace(envelope=envelope._replace(time=envelope.time.replace(year=envelope.time.year - 1)))
