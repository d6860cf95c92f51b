"""Who is killed where: the same seed kills the same services at the same passes in the same order."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from chassis.crashpoints import AT, FOLDER
from deploy.system import System
from tests.crash.points import Point

PATIENCE_SECONDS = 60.0  # for a process to come to its point; then it is told to die at the first pass
TRIES = 3
LOOK_SECONDS = 0.05


class Kill(NamedTuple):
    """One death."""

    point: str
    at_pass: int


def schedule(points: Sequence[Point], seed: int) -> Mapping[str, Sequence[Kill]]:
    """Per service its deaths, in order."""
    chance = random.Random(f"{seed} kills")  # noqa: S311  # chooses when to die, guards nothing
    found: dict[str, list[Kill]] = defaultdict(list)
    for point in points:
        for victim in point.victims:
            found[victim].append(Kill(point.name, chance.randint(*point.passes)))
    for kills in found.values():
        chance.shuffle(kills)
    return dict(found)


@dataclass
class Killer:
    """Starts each service so that it kills itself at its next point, and after the last so that it lives."""

    system: System
    folder: Path
    seed: int
    missed: list[str] = field(default_factory=list)
    """Deaths for which a second start was needed, because the first did not come to its pass in time."""
    took: list[tuple[float, str]] = field(default_factory=list)
    """How long each process lived until its death, in seconds, and where that was."""

    async def carry_out(self, deaths: Mapping[str, Sequence[Kill]]) -> None:
        """All of them; raises where a process does not come to its point at all.

        The one with most deaths before it dies all the time, of the others one at a time: somebody must carry the load.
        """
        most = max(deaths, key=lambda principal: len(deaths[principal]))
        turn = asyncio.Semaphore(1)
        alone = asyncio.Semaphore(1)
        await asyncio.gather(
            *(
                self._one_by_one(principal, kills, alone if principal == most else turn)
                for principal, kills in deaths.items()
            )
        )
        await self.system.ready(deaths)

    async def _one_by_one(self, principal: str, kills: Sequence[Kill], turn: asyncio.Semaphore) -> None:
        """A process that waits for its death works like any other."""
        for kill in kills:
            async with turn:
                self.system.servers[principal].kill()
                if not await self._dies(principal, kill):
                    self.missed.append(f"{principal} {kill.point}:{kill.at_pass}")
                    await self._dies_at_last(principal, kill.point)
                self._start(principal, {FOLDER: str(self.folder)})

    async def _dies_at_last(self, principal: str, point: str) -> None:
        for _ in range(TRIES):
            self.system.servers[principal].kill()
            if await self._dies(principal, Kill(point, 1)):
                return
        raise AssertionError(f"{principal} never comes to {point}")

    async def _dies(self, principal: str, kill: Kill) -> bool:
        before, began = self.killed(kill.point), time.monotonic()
        self._start(principal, {AT: f"{kill.point}:{kill.at_pass}", FOLDER: str(self.folder)})
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.system.servers[principal].runs:  # noqa: ASYNC110  # the dead tell nobody
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False
        if self.killed(kill.point) == before:
            raise AssertionError(f"{principal} ended by itself before it came to {kill.point}")
        self.took.append((time.monotonic() - began, f"{principal} {kill.point}:{kill.at_pass}"))
        return True

    def _start(self, principal: str, environment: Mapping[str, str]) -> None:
        agency, _, name = principal.partition(".")
        self.system.start(agency, name, environment=environment)

    def reached(self, point: str) -> int:
        """How often any process has passed this point."""
        return self._count(point)

    def killed(self, point: str) -> int:
        """How often one has died there."""
        return self._count(f"{point}.killed")

    def _count(self, name: str) -> int:
        file = self.folder / name
        return file.stat().st_size if file.exists() else 0
