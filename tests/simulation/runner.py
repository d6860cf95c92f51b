"""Many histories, one seed after the other, in one process or several; says which failed and how to see them again."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from multiprocessing import get_context
from time import perf_counter

from tests.simulation.history import History
from tests.simulation.laws import Broken

CHUNK = 25  # histories given to a process at a time
FAILURES_MAX = 20  # more say nothing new


@dataclass
class Found:
    """What many histories came to."""

    histories: int = 0
    steps: int = 0
    seconds: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.histories += other.histories
        self.steps += other.steps
        self.seen += other.seen
        self.failures = (self.failures + other.failures)[:FAILURES_MAX]

    def summary(self) -> str:
        """For people: figures, what was seen, failures with the command that shows them."""
        each = self.steps / max(self.histories, 1)
        lines = [f"{self.histories} histories, {self.steps} steps ({each:.0f} each), {self.seconds:.1f} s"]
        lines += [f"  {times:>9}  {what}" for what, times in sorted(self.seen.items())]
        return "\n".join([*lines, self.failed()] if self.failures else lines)

    def failed(self) -> str:
        """Every failure, and how to see it again."""
        return "\n".join(f"{what}\n    python -m tests.simulation --seed {seed}" for seed, what in self.failures)


def run(first: int, count: int, processes: int = 1) -> Found:
    """So many histories from this seed on."""
    begun, found = perf_counter(), Found()
    chunks = [range(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    if processes == 1:
        for chunk in chunks:
            found.add(some(chunk))
    else:
        with get_context("spawn").Pool(processes, gc.freeze) as pool:  # what is imported is there for good
            for part in pool.imap_unordered(some, chunks):
                found.add(part)
    found.seconds = perf_counter() - begun
    return found


def some(seeds: Iterable[int]) -> Found:
    """These histories."""
    found = Found()
    gc.disable()  # a history is a circle of objects: collected with the others of its chunk, not a thousand times
    for seed in seeds:
        history = History(seed)
        try:
            history.run()
        except Broken as broken:
            found.failures.append((seed, str(broken)))
        except Exception as error:  # noqa: BLE001  # a bug in a service fails its history and no other
            found.failures.append((seed, f"{type(error).__name__}: {error}"))
        found.histories += 1
        found.steps += history.steps
        found.seen += history.world.witness.seen
    gc.enable()
    gc.collect()
    found.failures = found.failures[:FAILURES_MAX]
    return found
