"""What is measured: listed instruments with listed attributes, ages from one look at a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import deadlines, metrics, standing
from chassis.database import transaction
from chassis.executor import Executor, Step
from chassis.http import operations
from chassis.metrics import INSTRUMENTS
from chassis.parking import PAGE
from chassis.standing import Standing
from chassis.telemetry import ATTRIBUTES
from chassis.transitions import Arm
from contracts.new_ids import new_id
from tests.chassis.test_executor import Put, asked, record
from tests.chassis.test_executor import database as database  # noqa: PLC0414  # a fixture shared by its name
from tests.chassis.test_executor import executor as executor  # noqa: PLC0414  # a fixture shared by its name

CONSUMER = "a.boxes"
RUNBOOK = Path(__file__).parents[2] / "docs/how-to/answer-an-alarm.md"
FAILING = """
    INSERT INTO errand (name, subject, key, id, about, attempts, sent_at) VALUES
    ('fetch', gen_random_uuid(), '', gen_random_uuid(), '{{}}', {attempts}, now() - interval '{seconds} seconds')
"""

Points = Callable[[], dict[tuple[str, str], Any]]


@pytest.fixture
def points() -> Iterator[Points]:
    """(metric, last attribute's value) -> data point of what has been measured so far."""
    reader = InMemoryMetricReader()
    metrics.configure(CONSUMER, "0", None, reader=reader)

    def found() -> dict[tuple[str, str], Any]:
        data = reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {
            (metric.name, str(next(reversed(dict(point.attributes or {"": ""}).values())))): point
            for scope in scopes
            for metric in scope.metrics
            for point in metric.data.data_points
        }

    yield found
    metrics.shutdown()
    metrics.configure(CONSUMER, "0", None)


async def look(database: AsyncEngine) -> Standing:
    async with database.connect() as tx:
        return await standing.look(tx, CONSUMER)


async def test_where_nothing_waits_every_age_is_zero(database: AsyncEngine) -> None:
    assert set((await look(database)).model_dump().values()) == {0}


async def test_ages_grow_with_what_waits_longest(executor: Executor, database: AsyncEngine) -> None:
    full, gap, torn = new_id(), new_id(), new_id()
    await executor.run(asked("fill", Step("box", full, Put(10))))
    await executor.hear([record(full, 1), record(full, 2), record(gap, 2), record(torn, 1, body=b"{}")])
    async with transaction(database) as tx:
        for statement in (
            "UPDATE event_log SET created_at = created_at - interval '100 seconds'",
            "UPDATE parked SET parked_at = parked_at - interval '200 seconds'",
            "UPDATE deadline SET due_at = due_at - interval '300 seconds'",
            "INSERT INTO brake (consumer, cause, lanes) VALUES ('a.boxes', 'refused', 21)",
            "UPDATE brake SET pulled_at = pulled_at - interval '400 seconds'",
            FAILING.format(attempts=4, seconds=100_000),
            FAILING.format(attempts=5, seconds=500),
        ):
            await tx.execute(sa.text(statement))
    found = await look(database)
    lanes = (found.lanes_retrying, found.lanes_missing, found.lanes_human)
    assert (found.unsent, lanes, found.deadlines_overdue) == (1, (1, 1, 1), 1)
    ages = (found.oldest_unsent_seconds, found.lanes_human_seconds, found.deadline_overdue_seconds, found.brake_seconds)
    assert [int(age) // 100 for age in ages] == [1, 2, 3, 4]
    assert (found.errands_failing, int(found.errand_failing_seconds) // 100) == (1, 5)


async def test_what_is_held_does_not_age_what_is_to_be_sent(executor: Executor, database: AsyncEngine) -> None:
    held, free = new_id(), new_id()
    await executor.run(asked("fill", Step("box", held, Put(10))))
    async with transaction(database) as tx:
        await tx.execute(sa.text("UPDATE event_log SET created_at = created_at - interval '100 seconds'"))
        hold = "INSERT INTO outbox_hold (topic, key, reason) SELECT topic, key, 'a test' FROM outbox"
        await tx.execute(sa.text(hold))
    found = await look(database)
    assert (found.unsent, found.held_subjects, found.oldest_unsent_seconds) == (1, 1, 0)
    await executor.run(asked("fill another", Step("box", free, Put(10))))
    found = await look(database)
    assert (found.unsent, found.held_subjects) == (2, 1)
    assert 0 < found.oldest_unsent_seconds < 100


async def test_a_deadline_is_late_since_it_fell_due_however_often_it_was_tried(database: AsyncEngine) -> None:
    subject, first = new_id(), new_id()
    due = "INSERT INTO deadline (kind, subject, id, due_at) VALUES ('shut', :subject, :id, now() - interval '20 s')"
    async with transaction(database) as tx:
        await tx.execute(sa.text(due), {"subject": subject, "id": first})
        for _ in range(12):
            cause = deadlines.Due("shut", subject, first)
            await deadlines.postpone(tx, {cause: deadlines.UNREAD}, deadlines.WAIT_SECONDS)
    found = await look(database)
    assert found.deadlines_overdue == 1
    assert 20 <= found.deadline_overdue_seconds < 300, "and not a minute for each of its twelve tries"
    assert await waiting(database) == [(subject, deadlines.UNREAD, 12)]
    async with transaction(database) as tx:
        at = datetime.now(UTC) - timedelta(seconds=1)
        await deadlines.change(tx, {("shut", subject): Arm("shut", at)}, (), [new_id()])
    assert ((await look(database)).deadlines_overdue, await waiting(database)) == (0, [])


async def waiting(database: AsyncEngine) -> list[tuple[UUID, str | None, int]]:
    """The overdue deadlines that operators see."""
    async with database.connect() as tx:
        rows = await tx.execute(operations._OVERDUE, {"page": PAGE})
        return [(row.subject, row.reason, row.attempts) for row in rows]


async def test_what_a_batch_has_heard_is_counted_once_for_the_batch(
    executor: Executor, database: AsyncEngine, points: Points
) -> None:
    await executor.stop()
    executor._stopping = False
    await executor.start()  # its workers see the metrics of this test
    events = [record(new_id(), 1) for _ in range(5)]
    await executor.hear([*events, record(new_id(), 2)])
    await executor.hear(events)
    metrics.count_by_topic("messaging.client.consumed.messages", ["a.t", "a.t", "b.t"], {})
    found = points()
    assert found["inbox.duplicates", CONSUMER].value == 5
    assert found["sequence.gaps", CONSUMER].value == 1
    assert ("sequence.forks", CONSUMER) not in found
    assert found["event.e2e.duration", CONSUMER].count == 1
    assert found["messaging.process.duration", "process"].count == 2
    assert {topic: found["messaging.client.consumed.messages", topic].value for topic in ("a.t", "b.t")} == {
        "a.t": 2,
        "b.t": 1,
    }


async def test_every_gauge_of_the_database_is_set(database: AsyncEngine, points: Points) -> None:
    standing.set_gauges(await look(database), {"box": 61.0})
    assert points()["undone.oldest.age", "box"].value == 61
    of_the_process = {
        "consumer.deaf.age", "consumer.lag.records", "consumer.lag.seconds", "executor.queue", "service.shut.age",
        "standing.age",
    }  # fmt: skip
    gauges = {each.name for each in INSTRUMENTS if each.kind == "gauge"}
    assert {name for name, _ in points()} == gauges - of_the_process


def test_a_gauge_that_nobody_sets_any_more_falls_silent(points: Points, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics.measured("outbox.oldest.age", 3)
    metrics.measured("lane.parked", 1, {"chassis.lane.state": "human"})
    assert points()["outbox.oldest.age", ""].value == 3
    assert points()["lane.parked", "human"].value == 1, "as often as somebody looks"
    monkeypatch.setattr(metrics, "STALE_SECONDS", 0)
    assert points() == {}
    monkeypatch.undo()
    metrics.measured("outbox.oldest.age", 4)
    assert points()["outbox.oldest.age", ""].value == 4


async def test_nothing_but_listed_attributes_and_codes_passes(points: Points) -> None:
    with pytest.raises(KeyError):
        metrics.measured("inbox.duplicates", 1, {"subject": "x"})
    with pytest.raises(ValueError, match="free text"):
        metrics.measured("inbox.duplicates", 1, {"messaging.consumer.group.name": "Zora Beispiel-Zimt"})


def test_every_attribute_is_one_that_may_be_seen() -> None:
    assert {name for each in INSTRUMENTS for name in each.attributes} <= ATTRIBUTES


def test_every_alarm_has_its_line_in_the_runbook_and_no_other_metric_has_one() -> None:
    lines = [line for line in RUNBOOK.read_text("utf-8").splitlines() if line.startswith("| `")]
    assert {line.split("`")[1] for line in lines} == {each.name for each in INSTRUMENTS if each.alarm}
