"""Proofs share the machine by seats: what computes on two processors takes two, what measures the machine takes all."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

LOOK_SECONDS = 0.2
ALL = 1000
"""More seats than there ever are."""


@contextmanager
def seated(folder: Path, seats: int, of: int) -> Iterator[None]:
    """Run on so many of the seats, or on all there are. Who waits for them is passed by nobody who comes later."""
    with ExitStack() as taken:
        free = [taken.enter_context((folder / f"seat-{number}").open("w")) for number in range(of)]
        with (folder / "queue").open("w") as queue:
            fcntl.flock(queue, fcntl.LOCK_EX)
            for _ in range(min(seats, of)):
                while (seat := next(filter(_sits_down, free), None)) is None:
                    time.sleep(LOOK_SECONDS)
                free.remove(seat)
        yield


def _sits_down(seat: IO[str]) -> bool:
    try:
        fcntl.flock(seat, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
