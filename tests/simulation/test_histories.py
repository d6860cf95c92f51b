"""A thousand histories in which everything goes wrong, and no law is broken; fifty thousand of them are the proof."""

import random
from collections import Counter
from collections.abc import Mapping
from os import cpu_count

import pytest

from contracts.codes import END_STATES, Side
from tests.conftest import Say
from tests.simulation.history import History
from tests.simulation.runner import Found, run

SHORT, LONG = 1_000, 50_000
LONG_FROM = random.SystemRandom().randrange(SHORT, 2**31)  # others each time; put a printed one here to see them again

# What must have happened in the short form, or it would prove nothing about it.
MUST_BE_SEEN: Mapping[str, int] = {
    "fate known": 1_000,
    "fate parked gap": 100,
    "fate parked behind": 10,
    "release opened": 100,
    "release cut": 10,
    "release swept": 5,
    "dossier complete": 100,
    "fetch_dossier died": 10,
    "withdrawal died": 10,
    "withdrawal carried out by the sweeper": 2,
    "answered: withdrawn": 100,
    "deadline respond": 10,
    "deadline look_again": 100,
    "staffel.consent.withdrawal_notified.v1": 10,
    "staffel.consent.data_answered.v1": 10,
    "staffel.handover.end_heard.v1": 10,
    "staffel.case.handed_over.v1": 50,
    "a case that came is handed on": 1,
}


@pytest.mark.timeout(600)  # some twenty seconds where nobody else computes
def test_a_thousand_histories_keep_every_law(say: Say) -> None:
    found = judged(0, SHORT, 1, say)

    missing = {what: found.seen[what] for what, times in MUST_BE_SEEN.items() if found.seen[what] < times}
    assert not missing, "seen too rarely to prove anything"
    assert not {end for end in ends() if not found.seen[end]}, "ends that were never reached"


@pytest.mark.prove
@pytest.mark.seats(2)
@pytest.mark.timeout(1800)
def test_fifty_thousand_histories_keep_every_law(say: Say) -> None:
    judged(LONG_FROM, LONG, cpu_count() or 1, say)


def test_a_seed_tells_the_same_history_again() -> None:
    first, second = [list[str](), list[str]()]
    seen = [Counter(History(7, story).run()) for story in (first, second)]

    assert first == second
    assert first
    assert seen[0] == seen[1]


def judged(first: int, count: int, processes: int, say: Say) -> Found:
    """Run them, say what was done, and fail with the commands that show what failed."""
    found = run(first, count, processes)
    print(found.summary())  # noqa: T201  # the figures belong to the proof
    say(f"{found.histories} histories, {found.steps} steps, {found.seconds:.0f} s: seeds from {first} on")
    assert not found.failures, found.failed()
    return found


def ends() -> set[str]:
    """Every end on either side, as the witness calls it."""
    return {f"{side} {end}" for side in Side for end in END_STATES}
