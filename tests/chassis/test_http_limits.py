"""What a caller can make grow has an end, for each and for all."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from chassis.http import limits
from chassis.http.limits import (
    IN_LINE_SECONDS_MAX,
    TURN_SECONDS,
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


def waits(tries: Tries, place: str, often: int) -> list[float | None]:
    """In how many seconds so many who come at once may try; None: not at all."""
    turns = [tries.begin(place) for _ in range(often)]
    return [None if turn is None else turn.in_seconds for turn in turns]


def test_a_place_is_wrong_a_few_times_at_once_and_then_one_after_the_other() -> None:
    tries = Tries(Clock())
    line = [n * TURN_SECONDS for n in range(int(IN_LINE_SECONDS_MAX / TURN_SECONDS) + 1)]
    assert waits(tries, "here", WRONG_AT_ONCE + len(line) + 2) == [0.0] * WRONG_AT_ONCE + line + [None] * 2
    assert waits(tries, "there", 1) == [0.0]


def test_who_guesses_has_a_bounded_number_of_tries_an_hour_however_many_come_at_once() -> None:
    clock = Clock()
    tries = Tries(clock)
    heard = 0
    for _ in range(3600):
        heard += sum(wait is not None for wait in waits(tries, "here", 50))
        clock.now += 1.0
    again = 3600 / WRONG_AGAIN_SECONDS
    assert heard <= WRONG_AT_ONCE + again + 3600 / TURN_SECONDS + IN_LINE_SECONDS_MAX / TURN_SECONDS + 1


def test_beside_somebody_who_guesses_without_a_pause_everybody_else_has_a_turn() -> None:
    """The guesser waits for each answer before the next guess; whoever else comes waits for two turns at the most."""
    clock = Clock()
    tries = Tries(clock)
    for _ in range(100):
        guess = tries.begin("school")
        assert guess is not None
        clock.now += guess.in_seconds / 2
        mine = tries.begin("school")
        assert mine is not None
        assert mine.in_seconds <= 2 * TURN_SECONDS
        tries.right(mine)
        clock.now += mine.in_seconds


def test_a_place_that_was_wrong_is_forgotten_after_a_while() -> None:
    clock = Clock()
    tries = Tries(clock)
    waits(tries, "here", WRONG_AT_ONCE + 3)
    clock.now += WRONG_AT_ONCE * WRONG_AGAIN_SECONDS
    assert waits(tries, "here", WRONG_AT_ONCE) == [0.0] * WRONG_AT_ONCE


def test_who_is_right_is_not_counted() -> None:
    tries = Tries(Clock())
    for _ in range(1000):
        turn = tries.begin("here")
        assert turn is not None
        tries.right(turn)
    assert waits(tries, "here", WRONG_AT_ONCE + 2) == [0.0] * (WRONG_AT_ONCE + 1) + [TURN_SECONDS]


def test_who_is_right_in_line_makes_no_room_for_whoever_guesses() -> None:
    tries = Tries(Clock())
    waits(tries, "here", WRONG_AT_ONCE)
    turn = tries.begin("here")
    assert turn is not None
    tries.right(turn)
    assert waits(tries, "here", 1) == [TURN_SECONDS]


def test_when_all_are_wrong_too_often_a_place_that_was_not_is_heard_at_once_and_the_others_in_one_line() -> None:
    clock = Clock()
    tries = Tries(clock)
    for n in range(WRONG_OF_ALL):
        assert waits(tries, f"guesser {n}", 1) == [0.0]
    assert [waits(tries, f"guesser {n}", 1) for n in range(3)] == [[0.0], [TURN_SECONDS], [2 * TURN_SECONDS]]
    mine = tries.begin("somebody")
    assert mine is not None
    assert mine.in_seconds == 0.0
    tries.right(mine)
    assert waits(tries, "somebody", 2) == [0.0, 3 * TURN_SECONDS], "wrong just now"
    clock.now += WRONG_OF_ALL * WRONG_OF_ALL_AGAIN_SECONDS + WRONG_AGAIN_SECONDS
    assert waits(tries, "guesser 1", 2) == [0.0, 0.0]


def test_no_more_places_are_remembered_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PLACES_MAX", 3)
    monkeypatch.setattr(limits, "WRONG_OF_ALL", 1000)
    tries = Tries(Clock())
    for n in range(10):
        waits(tries, f"place {n}", WRONG_AT_ONCE + 1)
    assert (len(tries._wrong), len(tries._next_turn)) == (3, 3)
