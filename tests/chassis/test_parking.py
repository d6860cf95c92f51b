"""Held lanes on a real database: tried again side by side, by hand and by the clock, each in its own order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import parking, telemetry
from chassis.envelope import Record
from chassis.executor import Executor, Inner, Step, Work
from chassis.parking import LaneKey
from contracts.new_ids import new_id
from tests.chassis.test_executor import Free, Put, asked, balls, record, rows
from tests.chassis.test_executor import database as database  # noqa: PLC0414  # a fixture shared by its name
from tests.chassis.test_executor import executor as executor  # noqa: PLC0414  # a fixture shared by its name
from tests.counted import counted

CONSUMER, TOPIC = "a.boxes", "b.boxes.events"


async def full(executor: Executor, count: int) -> list[UUID]:
    """Boxes into which nothing more goes."""
    boxes = [new_id() for _ in range(count)]
    for box in boxes:
        await executor.run(asked(f"fill {box}", Step("box", box, Put(10))))
    return boxes


async def empty(executor: Executor, boxes: Sequence[UUID]) -> None:
    for box in boxes:
        await executor.run(Work(Inner("empty"), (Step("box", box, Free()),)))


async def lanes_of(database: AsyncEngine, error_class: str) -> list[LaneKey]:
    async with database.connect() as tx:
        return (await parking.lanes_of_class(tx, CONSUMER, error_class, None))[0]


async def due(database: AsyncEngine) -> list[LaneKey]:
    async with database.begin() as tx:
        return await parking.due_lanes(tx, CONSUMER)


async def an_hour_later(database: AsyncEngine) -> None:
    async with database.begin() as tx:
        await tx.execute(sa.text("UPDATE parked SET next_attempt_at = next_attempt_at - interval '1 hour'"))


async def seconds_to_wait(database: AsyncEngine, seq: int = 1) -> float | None:
    """Until the next try, as it was set with the last one."""
    statement = f"SELECT extract(epoch FROM next_attempt_at - last_tried_at) FROM parked WHERE seq = {seq}"  # noqa: S608  # a number
    ((found,),) = await rows(database, statement)
    return None if found is None else float(str(found))


@pytest.fixture
def spans() -> Iterator[Callable[[], list[ReadableSpan]]]:
    exporter = InMemorySpanExporter()
    telemetry.configure("a.boxes", "0", None, exporter=exporter)
    yield lambda: list(exporter.get_finished_spans())
    telemetry.shutdown()
    telemetry.configure("a.boxes", "0", None)


async def test_many_lanes_are_tried_again_at_once_and_each_stops_at_its_own_first_failure(
    executor: Executor, database: AsyncEngine
) -> None:
    boxes = await full(executor, 20)
    await executor.hear([record(box, seq) for box in boxes for seq in (1, 2, 3)])
    await empty(executor, boxes[:14])
    await executor.run(asked("nearly full", Step("box", boxes[0], Put(9))))
    retried = {one.key: one for one in await executor.retry_lanes(await lanes_of(database, "refused"))}
    assert {retried[box].done for box in boxes[1:14]} == {3}
    assert {retried[box].done for box in boxes[14:]} == {0}
    assert retried[boxes[0]].done == 1
    stopped = [one.stopped_by for one in retried.values() if one.stopped_by is not None]
    assert {(waits.error_class, waits.reason) for waits in stopped} == {("refused", "too-many")}
    assert len(stopped) == 7
    assert [await balls(database, box) for box in boxes[:2]] == [10, 3]
    assert set(await rows(database, "SELECT seq, error_class, attempts FROM parked WHERE seq < 3")) == {
        (1, "refused", 2),
        (2, "refused", 2),  # in the lane that came one event further
        (2, "behind", 1),  # what was not tried, because the one before it failed, has had no attempt
    }


async def test_many_held_lanes_cost_as_many_statements_as_one(executor: Executor, database: AsyncEngine) -> None:
    async def statements(boxes: Sequence[UUID]) -> int:
        found = counted(database)
        await executor.hear([record(box, seq) for box in boxes for seq in (1, 2)])
        await executor.retry_lanes([(TOPIC, box) for box in boxes])
        return len(found)

    one, many = await full(executor, 1), await full(executor, 18)  # the brake is at twenty
    few = await statements(one)
    assert await statements(many) <= 3 * few  # three workers may share them


async def test_a_lane_longer_than_one_look_goes_through_in_order(
    executor: Executor, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.executor.run.LANE_EVENTS_AT_ONCE", 3)
    (box,) = await full(executor, 1)
    await executor.hear([record(box, seq) for seq in range(1, 9)])
    await empty(executor, [box])
    (retried,) = await executor.retry_lanes([(TOPIC, box)])
    assert (retried.done, retried.stopped_by, retried.goes_on) == (8, None, False)
    assert await balls(database, box) == 8


async def test_one_call_is_bounded_and_says_what_goes_on(
    executor: Executor, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.executor.run.RETRIED_MAX", 4)
    (box,) = await full(executor, 1)
    await executor.hear([record(box, seq) for seq in range(1, 9)])
    await empty(executor, [box])
    (retried,) = await executor.retry_lanes([(TOPIC, box)])
    assert (retried.done, retried.goes_on) == (4, True)


async def test_lanes_of_a_class_come_by_their_last_try_and_none_twice_in_one_going_over(
    executor: Executor, database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parking, "LANES_AT_ONCE", 4)
    boxes = await full(executor, 10)
    await executor.hear([record(box, 1) for box in boxes])
    await executor.hear([record(new_id(), 1, body=b"{}")])
    seen: list[UUID] = []
    more, before = True, None
    while more:
        lanes, before, more = await executor.lanes_of_class("refused", before)
        await executor.retry_lanes(lanes)
        seen += [key for _, key in lanes]
    assert sorted(seen) == sorted(boxes)


async def test_a_refused_lane_goes_on_by_itself_when_it_can(executor: Executor, database: AsyncEngine) -> None:
    (box,) = await full(executor, 1)
    await executor.hear([record(box, 1), record(box, 2)])
    assert await due(database) == []
    await an_hour_later(database)
    await empty(executor, [box])
    await executor.retry_lanes(await due(database))
    assert await balls(database, box) == 2
    assert await rows(database, "SELECT count(*) FROM parked") == [(0,)]


async def test_a_lane_that_one_replica_tries_is_left_alone_by_the_others(
    executor: Executor, database: AsyncEngine
) -> None:
    (box,) = await full(executor, 1)
    await executor.hear([record(box, 1)])
    await an_hour_later(database)
    assert [await due(database), await due(database)] == [[(TOPIC, box)], []]


async def test_each_failure_makes_the_next_try_later(executor: Executor, database: AsyncEngine) -> None:
    (box,) = await full(executor, 1)
    await executor.hear([record(box, 1)])
    waited = [await seconds_to_wait(database)]
    for _ in range(6):
        await executor.retry_lane(TOPIC, box)
        waited.append(await seconds_to_wait(database))
    assert waited == [pytest.approx(seconds, rel=0.21) for seconds in (60, 300, 1800, 7200, 43_200, 43_200, 43_200)]


@pytest.mark.parametrize(
    ("records", "error_class"),
    [
        pytest.param(lambda box: [record(box, 2)], "gap", id="gap"),
        pytest.param(lambda box: [record(box, 1), record(box, 1)], "fork", id="fork"),
        pytest.param(lambda box: [record(box, 1, body=b"{}")], "invalid-body", id="body"),
        pytest.param(lambda box: [record(box, 1, body=b'{"box": "%s", "balls": 1}' % str(new_id()).encode())],
                     "wrong-key", id="key"),
    ],
)  # fmt: skip
async def test_what_only_people_or_the_missing_event_can_mend_is_never_tried_by_the_clock(
    executor: Executor, database: AsyncEngine, records: Callable[[UUID], list[Record]], error_class: str
) -> None:
    await executor.hear(records(new_id()))
    assert await rows(database, "SELECT error_class, next_attempt_at FROM parked") == [(error_class, None)]


def test_no_class_is_both_tried_again_and_left() -> None:
    assert not parking.RETRIED.keys() & parking.LEFT.keys()
    assert parking.is_retried("LookupError")


async def test_a_retry_is_linked_to_the_first_failure_and_belongs_to_who_asked(
    executor: Executor, database: AsyncEngine, spans: Callable[[], list[ReadableSpan]]
) -> None:
    (box,) = await full(executor, 1)
    await executor.stop()
    executor._stopping = False
    await executor.start()  # its workers see the telemetry of this test
    await executor.hear([record(box, 1)])
    await executor.retry_lane(TOPIC, box)
    with telemetry.request("POST", "/parked/retry", {}) as request:
        await executor.retry_lane(TOPIC, box)
    first, by_itself, by_hand = (span for span in spans() if span.name == f"process {TOPIC}")
    assert [dict(span.attributes or {}).get("error.type") for span in (first, by_itself, by_hand)] == ["refused"] * 3
    assert first.context is not None
    for again in (by_itself, by_hand):
        assert first.context.span_id in {link.context.span_id for link in again.links}
    assert by_hand.parent is not None
    assert f"{by_hand.parent.span_id:016x}" == request.traceparent.split("-")[2]
