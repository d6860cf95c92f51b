"""What a caller can make grow has an end, for each and for all."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from chassis.http.limits import Room
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
