"""What the bench concludes from its figures."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.conformance import differences, normal
from benchmarks.goals import AT_LEAST, AT_MOST, Goal, of_history, of_relay
from benchmarks.history import Grown
from benchmarks.relay import Drained

SUBJECT, OTHER = "01890000-0000-7000-8000-000000000001", "01890000-0000-7000-8000-000000000002"


@pytest.mark.parametrize(
    ("how", "found", "met"),
    [
        (AT_LEAST, [0.5, 0.9, 1.0], True),
        (AT_LEAST, [0.5, 0.8, 1.0], False),
        (AT_MOST, [0.5, 0.8, 1.0], True),
        (AT_MOST, [0.5, 0.9, 1.0], False),
    ],
)
def test_a_goal_is_met_by_the_median_of_its_rounds(how: str, found: list[float], met: bool) -> None:
    assert Goal("ratio", how, 0.85, found).met is met


def test_a_goal_is_reported_with_its_range() -> None:
    said = Goal("ratio", AT_LEAST, 0.85, [0.7, 1.1, 0.9]).as_json()
    assert (said["least"], said["found"], said["most"]) == (0.7, 0.9, 1.1)


def test_relays_are_compared_round_by_round() -> None:
    drains = [
        _drained("ours", 1000),
        _drained("peer, tuned", 100),
        _drained("peer, tuned", 500),
        _drained("ours", 1000),
    ]
    assert of_relay(drains)[0].found == [10.0, 2.0]


def test_a_history_costs_what_it_costs_more() -> None:
    goal = of_history(_grown(1000, 2.0, 2.0, 4.0), _grown(20_000, 2.2, 3.0, 4.0))[0]
    assert (goal.median, goal.met) == (1.1, True)


def test_a_row_that_an_opponent_does_not_write_is_seen() -> None:
    ours, theirs = {"inbox": Counter({"row": 3})}, {"inbox": Counter({"row": 2})}
    assert differences(ours, theirs) == ["inbox: missing 1 × row"]


def test_ids_that_were_prepared_keep_their_place_in_the_story() -> None:
    text = f"{SUBJECT} {OTHER} 2026-11-22T10:00:00Z"
    assert normal(text, frozenset({SUBJECT})) == "a subject an id a time"


def _drained(contestant: str, per_second: float) -> Drained:
    return Drained(contestant, 1000, 1.0, per_second, 0.0, 0.0, 0.0, 0.0, quiet=True)


def _grown(subjects: int, *cpu_ms: float) -> Grown:
    return Grown(subjects, 1.0, 1.0, (1.0,) * len(cpu_ms), cpu_ms, 0.0, quiet=True)
