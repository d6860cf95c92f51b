"""What is heard twice has one effect; what cannot be right waits, and holds nobody else up."""

from collections.abc import Mapping
from importlib import import_module

import pytest

from chassis.inbox import Hear
from contracts.events import TopicKind
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import Running
from tests.every_service.scenes import BEFORE_EVENT, Story

HEARD: list[tuple[str, Hear]] = [
    (name, hear) for name in SERVICES for hear in import_module(f"services.{name}.events").HEARS
]
every_event = pytest.mark.parametrize(
    ("name", "hear"), HEARD, ids=[f"{name}-{hear.event.type.removeprefix('staffel.')}" for name, hear in HEARD]
)


async def told_of(services: Mapping[str, Running], name: str, hear: Hear) -> Story:
    """Subjects of whom such an event can be heard."""
    return await Story(services[name]).play(BEFORE_EVENT[name][hear.event])


def test_every_event_that_is_heard_has_a_scene_and_no_other() -> None:
    heard = {name: {hear.event for of, hear in HEARD if of == name} for name in SERVICES}
    assert {name: set(scenes) for name, scenes in BEFORE_EVENT.items()} == heard


@every_event
async def test_an_event_that_comes_again_changes_nothing(
    services: Mapping[str, Running], name: str, hear: Hear
) -> None:
    story = await told_of(services, name, hear)
    running, before = services[name], await services[name].state()
    record = story.record(hear.event)
    await running.executor.hear([record])
    once = await running.state()
    assert (await running.parked(story.key(hear.event)), once != before) == ([], True)
    await running.executor.hear([record])
    await running.executor.hear([*story.heard, record])
    await running.executor.hear([record, record])
    assert await running.state() == once
    assert await running.parked(story.key(hear.event)) == []


@every_event
async def test_another_event_under_a_number_that_was_heard_is_a_fork(
    services: Mapping[str, Running], name: str, hear: Hear
) -> None:
    story, running = await told_of(services, name, hear), services[name]
    record = story.record(hear.event)
    await running.executor.hear([record])
    once = await running.state()
    number = record.envelope.subjectseq  # type: ignore[union-attr]  # made with an envelope
    await running.executor.hear([story.record(hear.event, seq=number)])
    assert await running.state() == once
    # On the compacted catalogue whole objects travel and the higher number wins: an old one is only late.
    forked = [] if hear.event.topic is TopicKind.CATALOGUE else [(number, "fork")]
    assert await running.parked(story.key(hear.event)) == forked


@every_event
async def test_a_body_that_breaks_its_contract_waits_and_the_next_lane_goes_on(
    services: Mapping[str, Running], name: str, hear: Hear
) -> None:
    running = services[name]
    broken, whole = await told_of(services, name, hear), await told_of(services, name, hear)
    before = await running.state()
    await running.executor.hear([broken.record(hear.event, body=b'{"handover": "Zora"}'), whole.record(hear.event)])
    assert await running.state() != before
    assert [trouble for _, trouble in await running.parked(broken.key(hear.event))] == ["invalid-body"]
    assert await running.parked(whole.key(hear.event)) == []
