"""Places at which a process can be made to kill itself, for proofs that it may die there. Off, they do nothing.

    STAFFEL_CRASH_AT=relay.after_send:3     die by SIGKILL at the third pass
    STAFFEL_CRASH_FOLDER=/some/folder       one byte per pass in a file of the point's name, so that a run can show
                                            which points it reached; a death leaves a byte in <name>.killed

A point is one line, `reached("relay.after_send")`; its name stands in the code once. Nothing is cleaned up and nothing
is said at the end: what a process does when it is killed is what is to be proved.
"""

from __future__ import annotations

import logging
import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

AT, FOLDER = "STAFFEL_CRASH_AT", "STAFFEL_CRASH_FOLDER"

log = logging.getLogger(__name__)


class _Armed:
    """What the environment wants of this process."""

    def __init__(self, at: str, folder: Path | None) -> None:
        self._point, _, passes = at.partition(":")
        if at and not (passes.isascii() and passes.isdigit() and int(passes)):
            raise ValueError(f"{AT}: <point>:<pass>, the first pass is 1")
        self._passes, self._folder = int(passes or 0), folder
        self._reached: Counter[str] = Counter()

    def passed(self, point: str) -> None:
        """Count it, and die where this is the one."""
        self._reached[point] += 1
        self._note(point)
        if point == self._point and self._reached[point] == self._passes:
            self._note(f"{point}.killed")
            os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, name: str) -> None:
        if self._folder is None:
            return
        with (self._folder / name).open("ab", buffering=0) as file:  # appended: several processes count together
            file.write(b".")


_armed: _Armed | None = None


def arm(environment: Mapping[str, str]) -> None:
    """Do what this environment says; without either name in it, nothing. Called once, before the process works."""
    global _armed  # noqa: PLW0603  # one process, one death; an argument would have to go through every function
    at, folder = environment.get(AT, ""), environment.get(FOLDER)
    if not at and folder is None:
        return
    _armed = _Armed(at, None if folder is None else Path(folder))
    log.error("CRASH POINTS ARE ON: this process is for a proof and kills itself", extra={"reason": at or "counting"})


def reached(point: str) -> None:
    """The process is at this point. One comparison where nothing is armed."""
    if _armed is not None:
        _armed.passed(point)
