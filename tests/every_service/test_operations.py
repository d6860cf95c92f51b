"""What an operator is shown is cut at a page, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from chassis.envelope import from_record
from chassis.http import operations
from contracts.handover import HandoverRequested
from tests.every_service.running import Running, topic_of
from tests.every_service.scenes import Story

TOPIC = topic_of(HandoverRequested)


@pytest.mark.parametrize("page", [1, 2, 100])
async def test_a_list_that_is_longer_than_a_page_says_that_there_is_more(
    services: Mapping[str, Running], page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, story, other = services["handover"], Story(services["handover"]), Story(services["handover"])
    await running.executor.hear([story.record(HandoverRequested, seq=number) for number in (2, 3)])
    await running.executor.hear([other.record(HandoverRequested, seq=2)])
    await running.executor.hear([from_record(TOPIC, 0, 900 + offset, None, (), b"") for offset in range(3)])

    async def shown(path: str) -> Any:
        return (await running.client.get(path, headers=running.person("operator"))).json()

    held = len((await shown("/parked"))["lanes"])
    monkeypatch.setattr(operations, "PAGE", page)
    lanes, lane = await shown("/parked"), await shown(f"/parked/{TOPIC}/{story.key(HandoverRequested)}")
    assert (len(lane["events"]), lane["more"]) == (min(page, 2), page < 2)
    assert (len(lanes["lanes"]), lanes["more"]) == (min(page, held), page < held)
    waiting = await shown("/waiting")
    assert (len(waiting["unreadable"]), waiting["more"]) == (min(page, 3), ["unreadable"] if page < 3 else [])
