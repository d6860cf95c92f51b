"""After all journeys, also those that crossed, were withdrawn or were killed: nothing waits, and no lane has a gap."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.journeys.journey import Journey
from tests.journeys.records import disorder
from tests.journeys.town import Town

ON_ITS_WAY_SECONDS_MAX = 30.0  # an errand that was refused a moment ago is tried again after some seconds
LOOK_EVERY_SECONDS = 0.5
WAITS = (
    "SELECT 'unsent: ' || topic FROM outbox",
    "SELECT 'held: ' || topic FROM outbox_hold",
    "SELECT 'parked: ' || topic || ' ' || type || ' ' || error_class || ' ' || reason FROM parked",
    "SELECT 'unreadable: ' || topic || ' ' || reason FROM unreadable",
    "SELECT 'errand: ' || name || ' ' || coalesce(last_word, '') FROM errand",
    "SELECT 'postponed: ' || kind FROM deadline WHERE attempts > 0",
)


@pytest.fixture(autouse=True, scope="module")
async def whole(town: Town) -> Journey:
    """One story at least, where this runs alone."""
    journey = town.journey()
    await journey.until_stored()
    return journey


async def test_nothing_waits_anywhere(town: Town) -> None:
    until = time.monotonic() + ON_ITS_WAY_SECONDS_MAX
    while waiting := await _waiting(town):
        assert time.monotonic() < until, "\n".join(waiting)
        await asyncio.sleep(LOOK_EVERY_SECONDS)


async def test_no_service_has_ended(town: Town) -> None:
    assert [name for name, server in town.system.servers.items() if not server.runs] == []


async def test_every_lane_of_every_topic_counts_without_gaps_and_forks(town: Town) -> None:
    assert disorder(await town.said()) == []


async def test_exactly_one_agency_leads_every_case_that_was_handed_over(town: Town) -> None:
    """Nothing is on its way any more, so nobody leads twice and nobody is without a lead."""
    told = [journey for journey in town.journeys if journey.handover and await _came_to_be_asked(journey)]
    assert told
    for journey in told:
        assert len(await journey.leading()) == 1, journey.handover


async def _waiting(town: Town) -> list[str]:
    found = []
    for principal in town.system.servers:
        for query in WAITS:
            found += [f"{principal} {row[0]}" for row in await town.rows(principal, query)]
    return found


async def _came_to_be_asked(journey: Journey) -> bool:
    copy = await journey.copy_of(journey.sender)
    return copy["requested_at"] is not None
