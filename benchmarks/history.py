"""What a handover costs where many subjects have been through it before, beside where few have."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Final

from benchmarks import machine
from benchmarks.contestants import ours
from benchmarks.ground import HISTORY, Ground
from benchmarks.load import Load
from benchmarks.sample import WARM_UP, groups, heard, judged

CLIENTS: Final = 64


@dataclass(frozen=True, slots=True)
class Grown:
    """What handovers have cost beside so many subjects; one figure per window of a run."""

    subjects: int
    prepared_seconds: float
    gigabytes: float
    per_second: tuple[float, ...]
    cpu_ms: tuple[float, ...]
    foreign: float
    quiet: bool

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


async def remember(ground: Ground) -> None:
    """Let the product carry one young person through all of it, and keep the rows as history to copy from."""
    ids = await ground.fresh(1)
    async with ours(ground):
        load = Load(ground, ids)
        await load.open_lines(1)
        try:
            await load.closed(range(1))
            await heard(ground, ids)
        finally:
            await load.close()
    await ground.keep_template(HISTORY, chassis=True)


async def grown(ground: Ground, subjects: int, handovers: int, windows: int) -> Grown:
    """So many handovers, so many times, beside a history of so many subjects."""
    began = perf_counter()
    ids = await ground.fresh(WARM_UP + handovers * windows, subjects)
    prepared, gigabytes = perf_counter() - began, await ground.gigabytes()
    per_second, cpu_ms, costs = [], [], []
    async with ours(ground) as pids:
        load = Load(ground, ids)
        await load.open_lines(CLIENTS)
        try:
            await load.closed(range(WARM_UP))
            await heard(ground, ids[:WARM_UP])
            for start in range(WARM_UP, len(ids), handovers):
                before = machine.read(groups(ground, pids))
                window = perf_counter()
                await load.closed(range(start, start + handovers))
                await heard(ground, ids[: start + handovers])
                per_second.append(handovers / (perf_counter() - window))
                cost = machine.between(before, machine.read(groups(ground, pids)))
                cpu_ms.append(cost.total / handovers * 1000)
                costs.append(cost)
        finally:
            await load.close()
    await judged(ground, ids)
    return Grown(
        subjects,
        prepared,
        gigabytes,
        tuple(per_second),
        tuple(cpu_ms),
        max(cost.foreign for cost in costs),
        all(cost.quiet for cost in costs),
    )
