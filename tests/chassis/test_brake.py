"""Too much trouble of one kind stops what is heard, and nothing else; only a person lets it go on."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import brake, standing
from chassis.brake import DEATHS, DEATHS_MAX, LANES_MAX, Brake, one_too_many
from chassis.envelope import Record
from chassis.executor import Executor, Step, Unavailable
from contracts.new_ids import new_id
from tests.chassis.test_executor import BallsSent, Put, asked, balls, record, rows
from tests.chassis.test_executor import database as database  # noqa: PLC0414  # a fixture shared by its name
from tests.chassis.test_executor import executor as executor  # noqa: PLC0414  # a fixture shared by its name
from tests.chassis.test_parking import empty, full

OF_B, OF_C = "x.b.to.a.boxes", "x.c.to.a.boxes"
PARKED = "SELECT count(*) FROM parked"


def sent(box: UUID, seq: int, topic: str, body: bytes | None = None) -> Record:
    """What another party says on its channel."""
    return record(box, seq, topic=topic, type=BallsSent.type, body=body)


async def one_by_one(executor: Executor, records: Sequence[Record]) -> None:
    for each in records:
        await executor.hear([each])


def seen_anew(database: AsyncEngine) -> Brake:
    """As another replica, or this one after a restart, sees it."""
    return Brake(database, "a.boxes")


async def pulled_by(executor: Executor, boxes: Sequence[UUID]) -> None:
    with pytest.raises(Unavailable):
        await executor.hear([record(box, 1) for box in boxes])


async def test_twenty_lanes_of_one_class_are_data_and_one_more_is_a_bad_deployment(
    executor: Executor, database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    boxes = await full(executor, LANES_MAX + 1)
    await one_by_one(executor, [record(box, 1) for box in boxes[:-1]])
    await executor.hear([record(boxes[0], 2)])  # more of the same lane is no further lane
    assert not executor.brake.on
    await executor.hear([record(boxes[-1], 1)])
    assert executor.brake.pulled is not None
    assert (executor.brake.pulled.cause, executor.brake.pulled.lanes) == ("refused", LANES_MAX + 1)
    assert caplog.messages.count("brake is on: the consumer is stopped") == 1


async def test_trouble_of_many_kinds_or_of_an_earlier_minute_does_not_add_up(
    executor: Executor, database: AsyncEngine
) -> None:
    boxes = await full(executor, LANES_MAX)
    await one_by_one(executor, [record(box, 1) for box in boxes])
    await one_by_one(executor, [record(new_id(), 1, body=b"{}") for _ in range(5)])
    assert not executor.brake.on
    async with database.begin() as tx:
        await tx.execute(sa.text("UPDATE parked SET parked_at = parked_at - interval '2 minutes'"))
    await one_by_one(executor, [record(box, 1) for box in await full(executor, 5)])
    assert not executor.brake.on


async def test_gaps_do_not_pull_it_because_what_is_missing_must_come(executor: Executor) -> None:
    await executor.hear([record(new_id(), 2) for _ in range(3 * LANES_MAX)])
    assert not executor.brake.on


async def test_a_whole_batch_of_trouble_parks_no_more_than_pulls_it(executor: Executor, database: AsyncEngine) -> None:
    boxes, other = await full(executor, 100), new_id()
    await pulled_by(executor, boxes)
    ((parked,),) = await rows(database, PARKED)
    assert LANES_MAX < int(str(parked)) <= LANES_MAX + 3  # as many as run side by side
    with pytest.raises(Unavailable):
        await executor.hear([record(other, 1)])
    assert await balls(database, other) == 0


async def test_commands_go_on_and_so_does_what_people_try_again(executor: Executor, database: AsyncEngine) -> None:
    boxes, other = await full(executor, 30), new_id()
    await pulled_by(executor, boxes)
    await executor.run(asked("go on", Step("box", other, Put(2))))
    assert await balls(database, other) == 2
    await empty(executor, boxes)
    lanes, _, _ = await executor.lanes_of_class("refused", None)
    assert {one.done for one in await executor.retry_lanes(lanes)} == {1}
    assert executor.brake.on


async def test_a_restart_does_not_let_it_go_and_a_person_does(executor: Executor, database: AsyncEngine) -> None:
    boxes = await full(executor, 30)
    await pulled_by(executor, boxes)
    again = seen_anew(database)
    await again.look()
    assert again.on
    assert await again.release("person:u1")
    assert not await again.release("person:u1")
    await executor.brake.look()
    assert not executor.brake.on
    assert await rows(database, "SELECT cause, released_by FROM brake") == [("refused", "person:u1")]


async def test_lanes_parked_before_the_release_do_not_pull_it_again(executor: Executor, database: AsyncEngine) -> None:
    boxes = await full(executor, 30)
    await pulled_by(executor, boxes)
    await executor.brake.release("person:u1")
    (box,) = await full(executor, 1)
    await executor.hear([record(box, 1)])
    assert not executor.brake.on
    await pulled_by(executor, await full(executor, 30))


async def test_after_the_release_what_was_not_applied_is_read_again_and_nothing_was_lost(
    executor: Executor, database: AsyncEngine
) -> None:
    boxes = await full(executor, 30)
    records = [record(box, 1) for box in boxes]
    with pytest.raises(Unavailable):
        await executor.hear(records)
    await empty(executor, boxes)
    await executor.brake.release("person:u1")
    await executor.hear(records)
    lanes, _, _ = await executor.lanes_of_class("refused", None)
    await executor.retry_lanes(lanes)
    assert {await balls(database, box) for box in boxes} == {1}
    assert await rows(database, PARKED) == [(0,)]


@pytest.mark.parametrize(
    ("lanes", "stopped"),
    [
        ({("bug", None): 20, ("bug", "b"): 20}, None),
        ({("bug", None): 21}, ("bug", None, 21)),
        ({("bug", "b"): 21}, ("bug", "b", 21)),
        ({("bug", "b"): 90, ("bug", None): 20}, ("bug", "b", 90)),
        ({("bug", "b"): 21, ("bug", None): 21}, ("bug", None, 42)),
        ({("bug", "b"): 21, ("bug", "c"): 21}, ("bug", None, 42)),
        ({("bug", "b"): 12, ("bug", "c"): 12, ("bug", "d"): 12}, ("bug", None, 36)),
        ({("bug", "b"): 15, ("refused", "b"): 15, ("refused", None): 15}, None),
        ({("bug", "b"): 21, ("refused", None): 21}, ("refused", None, 21)),
        ({}, None),
    ],
)
def test_all_is_stopped_only_by_what_no_single_other_party_has_done(
    lanes: dict[tuple[str, str | None], int], stopped: tuple[str, str | None, int] | None
) -> None:
    assert one_too_many(lanes) == stopped


async def test_another_party_that_breaks_its_contract_is_not_heard_and_everybody_else_is(
    executor: Executor, database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    mine, of_c = new_id(), new_id()
    broken = [sent(new_id(), 1, OF_B, b"{}") for _ in range(3 * LANES_MAX)]
    with pytest.raises(Unavailable):
        await executor.hear([*broken, record(mine, 1), sent(of_c, 1, OF_C)])
    assert (executor.brake.on, set(executor.brake.unheard)) == (False, {"b"})
    assert executor.brake.holds(OF_B)
    assert not executor.brake.holds(OF_C)
    assert caplog.messages.count("brake is on: one party is not heard") == 1
    await executor.hear([record(mine, 2), sent(of_c, 2, OF_C)])
    assert (await balls(database, mine), await balls(database, of_c)) == (2, 2)
    with pytest.raises(Unavailable):
        await executor.hear([sent(new_id(), 1, OF_B)])
    ((parked,),) = await rows(database, PARKED)
    assert LANES_MAX < int(str(parked)) <= LANES_MAX + 3  # as many as run side by side


async def test_two_parties_in_trouble_within_a_minute_are_our_own_bad_deployment(executor: Executor) -> None:
    for topic in (OF_B, OF_C):
        await one_by_one(executor, [sent(new_id(), 1, topic, b"{}") for _ in range(LANES_MAX)])
    assert not executor.brake.unheard
    await one_by_one(executor, [sent(new_id(), 1, OF_B, b"{}")])
    assert set(executor.brake.unheard) == {"b"}
    await one_by_one(executor, [sent(new_id(), 1, OF_C, b"{}")])
    assert executor.brake.on


async def test_a_party_stays_unheard_over_a_restart_until_a_person_lets_go(
    executor: Executor, database: AsyncEngine
) -> None:
    await one_by_one(executor, [sent(new_id(), 1, OF_B, b"{}") for _ in range(LANES_MAX + 1)])
    again = Brake(database, "a.boxes", {OF_B: "b"})
    await again.look()
    assert (again.on, again.holds(OF_B), again.topics_unheard()) == (False, True, [OF_B])
    assert await again.release("person:u1")
    assert not again.holds(OF_B)
    await executor.brake.look()
    box = new_id()
    await executor.hear([sent(box, 1, OF_B)])
    assert await balls(database, box) == 1


async def test_an_input_that_kills_the_consumer_three_times_is_not_tried_a_fourth_time(database: AsyncEngine) -> None:
    for _ in range(DEATHS_MAX):
        process = seen_anew(database)
        await process.begin("0")
        await process.begin("0")  # another connection of the same process
        assert not process.on
    last = seen_anew(database)
    await last.begin("0")
    assert last.pulled is not None
    assert last.pulled.cause == DEATHS
    await last.release("person:u1")
    after = seen_anew(database)
    await after.begin("0")
    assert not after.on


async def test_a_start_that_got_through_is_no_death(database: AsyncEngine) -> None:
    for _ in range(DEATHS_MAX + 2):
        process = seen_anew(database)
        await process.begin("0")
        await process.got_through()
        await process.begin("0")
        assert not process.on
    assert await rows(database, "SELECT count(*) FROM consumer_start") == [(0,)]


async def test_of_two_processes_under_one_instance_the_later_one_hears_and_the_other_says_what_to_do(
    database: AsyncEngine, caplog: pytest.LogCaptureFixture
) -> None:
    elder, younger, other = seen_anew(database), seen_anew(database), seen_anew(database)
    for process, instance in ((elder, "0"), (other, "1"), (younger, "0")):
        await process.sit(instance)
    for _ in range(3):
        for process in (elder, younger, other):
            await process.look()
    assert [process.on for process in (elder, younger, other)] == [True, False, False]
    assert elder.holds(OF_B)
    assert sum("STAFFEL_INSTANCE" in message for message in caplog.messages) == 1


async def test_a_look_is_due_when_a_brake_or_a_seat_has_changed_and_now_and_then_anyway(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, other = seen_anew(database), seen_anew(database)
    await process.sit("0")

    async def outdated() -> bool:
        async with database.connect() as tx:
            seen = await standing.glance(tx, "a.boxes", "0")
        return process.outdated(seen.brakes, seen.seat)

    await process.look()
    assert not await outdated()
    await other.sit("0")
    assert await outdated()
    await process.look()
    assert not await outdated()
    async with database.begin() as tx:
        pulled = "INSERT INTO brake (consumer, cause, lanes, party) VALUES ('a.boxes', 'bug', 21, 'b')"
        await tx.execute(sa.text(pulled))
    assert await outdated()
    await process.look()
    assert not await outdated()
    monkeypatch.setattr(brake, "SEEN_SECONDS", 0.0)
    await process.look()
    assert await outdated()


async def test_a_process_that_stepped_aside_hears_again_when_the_other_one_has_gone(database: AsyncEngine) -> None:
    elder, younger = seen_anew(database), seen_anew(database)
    await elder.sit("0")
    await younger.sit("0")
    await elder.look()
    assert elder.ousted
    await younger.leave()
    await elder.look()
    assert not elder.ousted
    last = seen_anew(database)
    await last.sit("0")
    await elder.look()
    assert elder.ousted
    async with database.begin() as tx:  # it dies, and is not seen any more
        await tx.execute(sa.text("UPDATE seat SET seen_at = seen_at - interval '31 seconds'"))
    await elder.look()
    assert not elder.ousted
