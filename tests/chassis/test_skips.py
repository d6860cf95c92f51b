"""Letting go of an event: own facts only, some by two people, for good, and never without a trace of who and why."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import skips
from chassis.executor import Executor, Kind, Step
from chassis.inbox import Hear, Hearing, Source
from chassis.skips import No, Skipping
from contracts.new_ids import new_id
from tests.chassis.test_executor import (
    BallsPut,
    Put,
    address,
    answer,
    asked,
    balls,
    decide,
    load,
    put_the_same,
    record,
    reserves,
    rows,
    save,
)
from tests.chassis.test_executor import database as database  # noqa: PLC0414  # a fixture shared by its name

OWN, BY_TWO, CHANNEL = "b.boxes.events", "b.locks.events", "x.b.to.a.boxes"
SOURCES = {
    OWN: Source("b.boxes", "own"),
    BY_TWO: Source("b.locks", "own", persons_to_skip=2),
    CHANNEL: Source("b.boxes", "channel", "x"),
}
WHY = "said twice by version 3, see the note of Zora Beispiel-Zimt"


@pytest.fixture
async def executor(database: AsyncEngine) -> AsyncIterator[Executor]:
    hears = [Hear(BallsPut, put_the_same)]
    made = Executor(
        database, [Kind("box", load, save, decide, answer, reserves)], consumer="a.boxes", source="urn:staffel:a:boxes",
        hearing=Hearing(hears, SOURCES, scope_attribute="scope", version_attribute="scopeversion"),
        address=address, new_id=new_id, seal=bytes(32),
    )  # fmt: skip
    await made.start()
    yield made
    await made.stop()


async def held(executor: Executor, topic: str = OWN, numbers: tuple[int, ...] = (1, 2)) -> tuple[UUID, list[UUID]]:
    """A box whose lane is held at its first event; the ids of what waits."""
    box = new_id()
    await executor.run(asked(f"fill {box}", Step("box", box, Put(10 if numbers[0] == 1 else 1))))
    events = [new_id() for _ in numbers]
    sizes = [1] * len(numbers)
    pairs = zip(events, numbers, sizes, strict=True)
    await executor.hear([record(box, seq, size, event=event, topic=topic) for event, seq, size in pairs])
    return box, events


def skipping(box: UUID, event: UUID, by: str = "person:u1", topic: str = OWN) -> Skipping:
    return Skipping(topic, box, event, by, WHY)


async def test_a_skipped_event_counts_as_passed_by_and_is_known_for_good(
    executor: Executor, database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    box, events = await held(executor)
    assert await executor.skip(skipping(box, events[0])) is True
    assert executor.freed_lanes.get_nowait() == (OWN, box)
    assert await rows(database, "SELECT last_seq FROM lane") == [(1,)]
    assert await rows(database, "SELECT seq FROM parked") == [(2,)]
    await executor.hear([record(box, 1, event=events[0])])  # the broker says it once more
    assert await rows(database, "SELECT seq FROM parked") == [(2,)]
    assert await balls(database, box) == 10
    assert WHY not in caplog.text
    assert "u1" not in caplog.text


async def test_who_skipped_what_and_why_is_kept_and_cannot_be_changed(
    executor: Executor, database: AsyncEngine
) -> None:
    box, events = await held(executor)
    await executor.skip(skipping(box, events[0]))
    async with database.connect() as tx:
        (said,) = await skips.skips(tx, "a.boxes")
    assert (said["said_by"], said["word"], said["reason"]) == ("person:u1", "skipped", WHY)
    assert (said["seq"], said["event_id"], said["error_class"]) == (1, events[0], "refused")
    for statement in ("UPDATE skip SET said_by = 'nobody'", "DELETE FROM skip"):
        with pytest.raises(DBAPIError, match="is kept"):
            async with database.begin() as tx:
                await tx.execute(sa.text(statement))


async def test_what_takes_two_people_is_not_skipped_by_one_however_often(
    executor: Executor, database: AsyncEngine
) -> None:
    box, events = await held(executor, BY_TWO)
    assert await executor.skip(skipping(box, events[0], topic=BY_TWO)) is False
    assert await executor.skip(skipping(box, events[0], topic=BY_TWO)) is No.SAME_PERSON
    assert await rows(database, "SELECT seq FROM parked ORDER BY seq") == [(1,), (2,)]
    assert await executor.skip(skipping(box, events[0], "person:u2", BY_TWO)) is True
    assert await rows(database, "SELECT said_by, word FROM skip ORDER BY id") == [
        ("person:u1", "asked"),
        ("person:u2", "skipped"),
    ]
    assert await rows(database, "SELECT seq FROM parked") == [(2,)]


async def test_the_first_persons_word_holds_for_that_event_only(executor: Executor, database: AsyncEngine) -> None:
    box, events = await held(executor, BY_TWO)
    await executor.skip(skipping(box, events[0], "person:u1", BY_TWO))
    await executor.skip(skipping(box, events[0], "person:u2", BY_TWO))
    assert await executor.skip(skipping(box, events[1], "person:u2", BY_TWO)) is False


@pytest.mark.parametrize("topic", [CHANNEL, "nobody.knows.it"])
async def test_what_another_party_has_said_is_never_skipped(
    executor: Executor, database: AsyncEngine, topic: str
) -> None:
    box, events = await held(executor, CHANNEL)
    assert await executor.skip(skipping(box, events[0], topic=topic)) is No.FOREIGN
    assert await rows(database, "SELECT count(*) FROM skip") == [(0,)]


async def test_only_the_first_event_of_a_lane_is_skipped_and_none_before_which_one_is_missing(
    executor: Executor,
) -> None:
    box, events = await held(executor)
    assert await executor.skip(skipping(box, events[1])) is No.NOT_FIRST
    assert await executor.skip(skipping(box, new_id())) is No.NOT_FIRST
    box, events = await held(executor, numbers=(2, 3))
    assert await executor.skip(skipping(box, events[0])) is No.MISSING_BEFORE


async def test_asking_again_after_a_lost_answer_does_nothing_and_says_the_same(
    executor: Executor, database: AsyncEngine
) -> None:
    box, events = await held(executor)
    assert [await executor.skip(skipping(box, events[0])) for _ in range(2)] == [True, True]
    assert await rows(database, "SELECT count(*) FROM skip") == [(1,)]
    assert await executor.skip(skipping(box, events[0], "person:u2")) is No.NOT_FIRST


async def test_skipping_a_fork_keeps_what_was_heard_first(executor: Executor, database: AsyncEngine) -> None:
    box, fork = new_id(), new_id()
    await executor.hear([record(box, 1, 3), record(box, 1, 5, event=fork), record(box, 2, 1)])
    assert await executor.skip(skipping(box, fork)) is True
    assert await executor.retry_lane(OWN, box) == (1, None)
    assert await balls(database, box) == 4
