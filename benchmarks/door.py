"""The whole flow as people carry it out: registered, consented, handed over, the dossier fetched, met. Has no goal."""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from time import perf_counter
from typing import Any, Final

import httpx

from benchmarks import machine
from benchmarks.contestants import ours
from benchmarks.flow import RECEIVER, SENDER
from benchmarks.ground import Ground
from benchmarks.sample import groups
from deploy.desk import Desk
from deploy.story import Story

AT_ONCE: Final = 16
WARM_UP: Final = 8
FIRST_BIRTHDAY: Final = date(2008, 1, 1)
DAYS: Final = 1000
PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Whole:
    """How long whole handovers took, from the registration to the first contact; costs are per handover."""

    handovers: int
    at_once: int
    per_second: float
    p50: float
    p99: float
    cpu_ms: float
    foreign: float
    quiet: bool

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


async def whole(ground: Ground, handovers: int) -> Whole:
    """So many young people, a few at once, each carried through by two caseworkers."""
    await ground.fresh(0)
    async with ground.database(f"{RECEIVER}.intake") as connection:
        await connection.execute("ALTER TABLE errand DISABLE TRIGGER door_stays_out")
        try:
            async with ours(ground) as pids:
                await _told(ground, range(WARM_UP))
                before = machine.read(groups(ground, pids))
                began = perf_counter()
                took = sorted(await _told(ground, range(WARM_UP, WARM_UP + handovers)))
                seconds = perf_counter() - began
                cost = machine.between(before, machine.read(groups(ground, pids)))
        finally:
            await connection.execute("ALTER TABLE errand ENABLE TRIGGER door_stays_out")
    return Whole(
        handovers,
        AT_ONCE,
        handovers / seconds,
        took[len(took) // 2] * 1000,
        took[int(len(took) * 0.99)] * 1000,
        cost.total / handovers * 1000,
        cost.foreign,
        cost.quiet,
    )


async def _told(ground: Ground, numbers: range) -> list[float]:
    waiting, took = iter(numbers), []
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=30.0, limits=limits) as client:

        async def tell() -> None:
            for n in waiting:
                began = perf_counter()
                await _one(ground, client, n)
                took.append(perf_counter() - began)

        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(tell())
    return took


async def _one(ground: Ground, client: httpx.AsyncClient, n: int) -> None:
    sender, receiver = (
        Desk(ground.installation, agency, client, subject=f"caseworker-{n}", patience_seconds=PATIENCE_SECONDS)
        for agency in (SENDER, RECEIVER)
    )
    story = Story(sender, receiver, birth_date=str(FIRST_BIRTHDAY + timedelta(days=n % DAYS)))
    await story.until_stored()
    await story.first_contact()
