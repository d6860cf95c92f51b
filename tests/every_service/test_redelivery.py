"""What is heard twice has one effect; what cannot be right waits, and holds nobody else up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import pytest

from chassis.envelope import Record
from chassis.inbox import Hear
from contracts.events import TopicKind
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import Running
from tests.every_service.scenes import BEFORE_EVENT, NOTHING, Story

HEARD: list[tuple[str, Hear]] = [
    (name, hear) for name in SERVICES for hear in import_module(f"services.{name}.events").HEARS
]
State = Mapping[str, str]
Parked = list[tuple[int, str]]


@dataclass(frozen=True)
class Delivery:
    """An event that was heard where it means something, then again and again, then another one under its number."""

    hear: Hear
    number: int
    before: State
    once: tuple[State, Parked]
    again: tuple[State, Parked]
    with_another: tuple[State, Parked]


@pytest.fixture(
    scope="module", params=HEARD, ids=[f"{name}-{hear.event.type.removeprefix('staffel.')}" for name, hear in HEARD]
)
async def delivery(request: pytest.FixtureRequest, services: Mapping[str, Running]) -> Delivery:
    name, hear = request.param
    running = services[name]
    story = await Story(running).play(BEFORE_EVENT[name][hear.event])
    record, key = story.record(hear.event), story.key(hear.event)
    number = running.seqs[record.topic, key]

    async def heard(*batches: Sequence[Record]) -> tuple[State, Parked]:
        for records in batches:
            await running.executor.hear(records)
        return await running.state(), await running.parked(key)

    before = await running.state()
    once = await heard([record])
    again = await heard([record], [*story.heard, record], [record, record])
    other = await heard([story.record(hear.event, seq=number)])
    await running.executor.brake.release(by="tests")  # so many forks within a minute: an operator would be called
    return Delivery(hear, number, before, once, again, other)


def test_every_event_that_is_heard_has_a_scene_and_no_other() -> None:
    heard = {name: {hear.event for of, hear in HEARD if of == name} for name in SERVICES}
    assert {name: set(scenes) for name, scenes in BEFORE_EVENT.items()} == heard


def test_an_event_has_an_effect_when_it_is_heard_first(delivery: Delivery) -> None:
    state, parked = delivery.once
    changed = {table for table, content in state.items() if content != delivery.before[table]}
    assert parked == []
    assert changed - {"inbox"}, "remembered, and nothing else: is this a scene in which the event matters?"


def test_an_event_that_comes_again_changes_nothing_nor_does_its_whole_lane(delivery: Delivery) -> None:
    assert delivery.again == delivery.once


def test_another_event_under_a_number_that_was_heard_is_a_fork(delivery: Delivery) -> None:
    # On the compacted catalogue whole objects travel and the higher number wins: an old one is only late.
    late = delivery.hear.event.topic is TopicKind.CATALOGUE
    assert delivery.with_another == (delivery.once[0], [] if late else [(delivery.number, "fork")])


@pytest.mark.parametrize("name", SERVICES)
async def test_a_body_that_breaks_its_contract_waits_and_the_next_lane_goes_on(
    services: Mapping[str, Running], name: str
) -> None:
    running = services[name]
    wholly_new = next(event for event, scene in BEFORE_EVENT[name].items() if scene == NOTHING)
    for hear in (hear for of, hear in HEARD if of == name):
        broken, whole = Story(running), Story(running)
        before = await running.state()
        await running.executor.hear([broken.record(hear.event, body=b'{"id": 1}'), whole.record(wholly_new)])
        assert await running.state() != before
        assert await running.parked(broken.key(hear.event)) == [(1, "invalid-body")]
        assert await running.parked(whole.key(wholly_new)) == []
        await running.executor.brake.release(by="tests")  # as above
