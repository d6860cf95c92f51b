"""The bench is worth something only while everybody in it does the same and nothing is lost in it."""

from __future__ import annotations

import pytest

from benchmarks.backlog import backlog
from benchmarks.conformance import Left, differences, left_behind
from benchmarks.contestants import CONTESTANTS
from benchmarks.ground import Ground
from benchmarks.history import remember
from benchmarks.relay import RELAYS, drained
from tests.conftest import Say

pytestmark = pytest.mark.timeout(300)
OURS, OPPONENTS = "ours", sorted(set(CONTESTANTS) - {"ours"})
EVENTS, ROWS, SEED = 2000, 2000, 20261122


@pytest.fixture(scope="module")
async def left_by_ours(bench: Ground) -> Left:
    return await left_behind(bench, OURS)


@pytest.mark.parametrize("opponent", OPPONENTS)
async def test_an_opponent_leaves_the_same_rows_and_records_behind(
    opponent: str, bench: Ground, left_by_ours: Left
) -> None:
    assert differences(left_by_ours, await left_behind(bench, opponent)) == []


@pytest.mark.prove
@pytest.mark.parametrize("relay", RELAYS)
async def test_a_relay_alone_carries_every_row_to_the_topic(relay: str, bench: Ground, say: Say) -> None:
    found = await drained(bench, relay, ROWS)
    say(f"relay alone: {relay} {found.per_second:.0f} records/s")
    assert found.rows == ROWS


@pytest.mark.prove
async def test_a_service_that_was_down_works_off_what_it_missed_while_new_handovers_come(
    bench: Ground, say: Say
) -> None:
    await remember(bench)
    found = await backlog(bench, EVENTS, SEED)
    say(
        f"backlog of {found.events} events: {found.per_second:.0f}/s, new handovers p99 {found.p99:.0f} ms meanwhile, "
        f"{found.p99_after:.0f} ms after; {found.megabytes_most:.0f} MB; seed {SEED}"
    )
    assert found.events == EVENTS
