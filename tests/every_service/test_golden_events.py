"""Every event of every release is replayed through everybody who hears it: read, in its scene, and with an effect.

What an event looks like today is replayed in `test_redelivery`; here are those that once looked otherwise.
"""

import json
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path

import pytest

from chassis.inbox import Hear
from contracts.events import Event
from contracts.registry import EVENTS
from docs.release import freeze, goldens
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import Running
from tests.every_service.scenes import BEFORE_EVENT, EXAMPLES, Story

Golden = tuple[str, str, Hear, bytes]


def _otherwise(bodies: Iterable[tuple[str, type[Event], bytes]]) -> list[Golden]:
    """Bodies that differ from the example of today, for every service that hears the event."""
    found = {}
    for version, event, body in bodies:
        if json.loads(body) != json.loads((EXAMPLES / f"{event.type}.json").read_text("utf-8")):
            for service in SERVICES:
                for hear in import_module(f"services.{service}.events").HEARS:
                    if hear.event is event:
                        found[service, body] = (service, version, hear, body)
    return list(found.values())


async def _replay(services: Mapping[str, Running], golden: Golden) -> None:
    service, version, hear, body = golden
    running = services[service]
    story = await Story(running).play(BEFORE_EVENT[service][hear.event])
    before = await running.state()
    record = story.record(hear.event, body=json.dumps(story.about_ours(json.loads(body))).encode())
    await running.executor.hear([record])
    assert await running.parked(story.key(hear.event)) == [], f"{service} cannot hear {hear.event.type} of {version}"
    after = await running.state()
    assert {table for table, content in after.items() if content != before[table]} - {"inbox"}


async def test_what_an_older_release_told_is_heard_by_everybody_who_hears_it_today(
    services: Mapping[str, Running],
) -> None:
    for golden in _otherwise(goldens()):
        await _replay(services, golden)


async def test_an_event_of_a_release_that_nobody_could_hear_any_more_would_be_noticed(
    services: Mapping[str, Running], tmp_path: Path
) -> None:
    """A release in which a closed case said nothing of where the young person went."""
    folder = freeze("2026.11.0", tmp_path) / "examples" / "staffel.case.closed.v1.json"
    said = json.loads(folder.read_text("utf-8"))
    del said["destination"]
    older: list[tuple[str, type[Event], bytes]] = [
        ("2026.11.0", EVENTS["staffel.case.closed.v1"], json.dumps(said).encode())
    ]
    (golden,) = _otherwise(older)
    with pytest.raises(AssertionError, match=r"handover cannot hear staffel\.case\.closed\.v1 of 2026\.11\.0"):
        await _replay(services, golden)


async def test_an_event_of_a_release_that_said_more_is_heard(services: Mapping[str, Running]) -> None:
    name = "staffel.case.closed.v1"
    said = {**json.loads((EXAMPLES / f"{name}.json").read_text("utf-8")), "more": 1}
    (golden,) = _otherwise([("2026.11.0", EVENTS[name], json.dumps(said).encode())])
    await _replay(services, golden)
