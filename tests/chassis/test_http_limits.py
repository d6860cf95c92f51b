"""What a caller can make grow has an end, for each and for all."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from chassis.http import limits
from chassis.http.limits import (
    WRONG_AGAIN_SECONDS,
    WRONG_AT_ONCE,
    WRONG_OF_ALL,
    WRONG_OF_ALL_AGAIN_SECONDS,
    Room,
    Tries,
)
from chassis.http.problems import Trouble, Turned


def test_one_caller_gets_a_part_of_the_room_and_all_together_get_all_of_it() -> None:
    room = Room(10, 4)
    with room.held("anna") as anna, room.held("ben") as ben, room.held("cem") as cem:
        anna(4)
        with pytest.raises(Turned) as mine:
            anna(1)
        ben(4)
        with pytest.raises(Turned) as ours:
            cem(3)
        cem(2)
    assert (mine.value.reason, ours.value.reason) == (Trouble.TOO_MANY_REQUESTS, Trouble.OVERLOADED)


def test_room_that_was_held_is_there_again_whatever_has_happened_meanwhile() -> None:
    room = Room(10, 10)
    for _ in range(3):
        with pytest.raises(Turned):
            _take(room, 10, 1)
    with ExitStack() as all_of_them:
        for _ in range(5):
            all_of_them.enter_context(room.held("anna"))(2)
    assert (room._all, room._held) == (0, {})


def _take(room: Room, *sizes: int) -> None:
    with room.held("anna") as take:
        for size in sizes:
            take(size)


# --- who is wrong about a secret --------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_place_is_wrong_a_few_times_at_once_and_then_once_in_a_while() -> None:
    clock = Clock()
    tries = Tries(clock)
    assert [tries.begin("here") for _ in range(7)] == [True] * WRONG_AT_ONCE + [False] * 2
    clock.now += WRONG_AGAIN_SECONDS
    assert [tries.begin("here") for _ in range(2)] == [True, False]
    assert tries.begin("there")


def test_who_is_right_is_not_counted() -> None:
    tries = Tries(Clock())
    for _ in range(1000):
        assert tries.begin("here")
        tries.right("here")
    assert [tries.begin("here") for _ in range(6)] == [True] * WRONG_AT_ONCE + [False]


def test_when_all_are_wrong_too_often_a_place_that_was_not_is_heard_once() -> None:
    clock = Clock()
    tries = Tries(clock)
    for n in range(WRONG_OF_ALL):
        assert tries.begin(f"guesser {n}")
    assert not tries.begin("guesser 1"), "wrong lately"
    assert tries.begin("somebody")
    tries.right("somebody")
    assert tries.begin("somebody")
    assert not tries.begin("somebody"), "wrong just now"
    clock.now += WRONG_OF_ALL * WRONG_OF_ALL_AGAIN_SECONDS
    assert tries.begin("guesser 1")


def test_no_more_places_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PLACES_MAX", 3)
    monkeypatch.setattr(limits, "WRONG_OF_ALL", 1000)
    tries = Tries(Clock())
    for n in range(10):
        tries.begin(f"place {n}")
    assert len(tries._wrong) == 3
