"""What a run costs and what else the machine did meanwhile: processor time per group of processes, memory, noise."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import psutil

LOAD: Final = "load"
"""The group of this process itself."""
TICKS: Final = os.sysconf("SC_CLK_TCK")
FOREIGN_MAX: Final = 0.15  # share of the machine that others may take before a sample is taken again
STEAL_MAX: Final = 0.05


def _own_seconds(pid: int, *, children: bool) -> float:
    """Processor time of a process so far; with that of children that have ended and been waited for."""
    with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  # a thousand times per run
        fields = file.read().rpartition(b")")[2].split()
    return sum(map(int, fields[11 : 15 if children else 13])) / TICKS


def seconds(pids: Iterable[int]) -> float:
    """Processor time of these processes and all they have started, ended ones included."""
    total = 0.0
    for pid in pids:
        try:
            total += _own_seconds(pid, children=True)
            total += seconds(child.pid for child in psutil.Process(pid).children())
        except (FileNotFoundError, ProcessLookupError, psutil.NoSuchProcess):  # it has just ended: waited for next time
            continue
    return total


def resident_megabytes(pid: int) -> float:
    """Memory of one process."""
    return float(psutil.Process(pid).memory_info().rss) / 1e6


@dataclass(frozen=True, slots=True)
class Reading:
    """The counters of the machine at one moment."""

    at: float
    busy: float
    steal: float
    groups: Mapping[str, float]


def read(groups: Mapping[str, Iterable[int]]) -> Reading:
    """Read them now."""
    times = psutil.cpu_times()
    busy = sum(times) - times.idle - times.iowait - getattr(times, "guest", 0.0)
    taken = {name: seconds(pids) for name, pids in groups.items()}
    return Reading(time.monotonic(), busy, times.steal, taken | {LOAD: _own_seconds(os.getpid(), children=False)})


@dataclass(frozen=True, slots=True)
class Cost:
    """What happened between two readings."""

    seconds: float
    groups: Mapping[str, float]
    foreign: float
    """Share of the machine's processors that was taken by others."""
    steal: float
    processors: int = field(default_factory=lambda: os.cpu_count() or 1)

    @property
    def total(self) -> float:
        """Processor seconds of all groups but the generator of the load."""
        return sum(value for name, value in self.groups.items() if name != LOAD)

    @property
    def quiet(self) -> bool:
        """Whether the machine was ours."""
        return self.foreign <= FOREIGN_MAX and self.steal <= STEAL_MAX


def between(before: Reading, after: Reading) -> Cost:
    """The cost of what was done between."""
    wall = after.at - before.at
    groups = {name: after.groups[name] - before.groups[name] for name in after.groups}
    room = wall * (os.cpu_count() or 1)
    busy, steal = after.busy - before.busy, after.steal - before.steal
    return Cost(wall, groups, max(0.0, (busy - steal - sum(groups.values())) / room), steal / room)
