"""More is asked than can be done: whoever is too many is told when to come again, and what was accepted is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from chassis.http.limits import BODY_BYTES_MAX
from tests.hostile.fence import PEAK_BYTES_MAX, peak_bytes
from tests.hostile.flood import CREATED, SERVICE, Flood, Told
from tests.hostile.target import AGENCY, SERVING, Target

TOO_MANY_LINES = 1300  # of 1000: some are served before the last of them is open
TOO_MANY_OF_ONE = 300  # of 200 at once
OTHERS = 50  # with one measure for all of them, some would be among those who are too many
LARGE_BODIES = 80
COMES_AGAIN_MAX = 20
AGAIN_SECONDS = 1.0  # what Retry-After says
BUSY = {429, 503}


@pytest.fixture
async def flood(target: Target) -> AsyncIterator[Flood]:
    flood = Flood(target)
    yield flood
    flood.hang_up()


async def offers(target: Target) -> int:
    """How many there are."""
    (row,) = await target.rows(SERVICE, "SELECT count(*) AS n FROM offer")
    return int(row.n)


def bad_manners(told: Sequence[Told]) -> list[Told]:
    """What is neither a yes nor a no that says when to come again."""
    return [each for each in told if each.status != CREATED and not (each.status in BUSY and each.comes_again)]


async def test_whoever_is_too_many_is_told_when_to_come_again_and_is_served_then(target: Target, flood: Flood) -> None:
    before = await offers(target)
    told = await flood.at_once(TOO_MANY_LINES)
    assert bad_manners(told) == []
    accepted = {each.key: each.id for each in told if each.status == CREATED}
    waiting = [each.key for each in told if each.status != CREATED]
    assert waiting, "all were served at once: this has shown nothing"
    for _ in range(COMES_AGAIN_MAX):
        if not waiting:
            break
        await asyncio.sleep(AGAIN_SECONDS)
        told = await asyncio.gather(*(flood.ask(key) for key in waiting))
        assert bad_manners(told) == []
        accepted |= {each.key: each.id for each in told if each.status == CREATED}
        waiting = [each.key for each in told if each.status != CREATED]
    assert waiting == []
    assert len(set(accepted.values())) == len(accepted) == TOO_MANY_LINES
    assert await offers(target) - before == TOO_MANY_LINES


async def test_one_caller_alone_is_told_to_ask_less_and_nobody_else_is(target: Target, flood: Flood) -> None:
    before = await offers(target)
    told, others = await asyncio.gather(flood.at_once(TOO_MANY_OF_ONE, flood.a_caller()), flood.at_once(OTHERS))
    assert bad_manners(told) == []
    assert {each.status for each in told} == {CREATED, 429}
    assert {each.status for each in others} == {CREATED}
    assert await offers(target) - before == OTHERS + sum(each.status == CREATED for each in told)


async def test_many_of_the_largest_bodies_at_once_are_more_than_memory_holds_and_are_not_taken(target: Target) -> None:
    """Each becomes six megabytes of objects: without a bound eighty of them are the end of the process."""
    item = {"category": "needs", "content": {"wish": [{}] * 10_000}}
    whole = target.body("intake") | {"items": [item] * 8, "local_number": None}
    body = json.dumps(whole, separators=(",", ":")).encode()
    assert BODY_BYTES_MAX * 0.9 < len(body) < BODY_BYTES_MAX
    flood = Flood(target, "intake", body)
    pid = target.system.servers[f"{AGENCY}.intake"].pid
    try:
        told = await flood.at_once(LARGE_BODIES)
        assert bad_manners(told) == []
        assert {each.status for each in told} == {CREATED, 503}
        assert peak_bytes(pid) < PEAK_BYTES_MAX
        assert await target.serves() == SERVING
    finally:
        flood.hang_up()
