"""A town under load whose services die at named points, restarted each time; what its clients saw, and what is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deploy.embedded.ports import remembered
from deploy.system import System
from tests.crash.clients import Clients
from tests.crash.door import Door
from tests.crash.gather import Eyes
from tests.crash.history import DRAIN_SECONDS_MAX, Broken, History, Outcome, Use, count, judge
from tests.crash.kills import Killer, schedule
from tests.crash.partner import Partner
from tests.crash.points import A, B, Point

OK = 200
CLIENTS = 5
LINE_BYTES_PER_SECOND = 80_000  # a dossier then takes most of a second: long enough to die or to be withdrawn in
WARM_STORIES, WARM_SECONDS_MAX = 2, 20.0  # told before anybody dies: what a service needs is measured at work
STORIES_END_SECONDS = 45.0
ROUND_ENDS_SECONDS = 180.0  # the partner's: a round that is cut short would leave a word behind that came too early
ERRANDS_SECONDS = 90.0  # longest back-off of an errand, and the time it takes: what was refused is tried again by then


@dataclass
class Proof:
    """What came out."""

    seed: int
    history: History
    broken: list[Broken]
    killer: Killer
    clients: Clients
    seconds: float

    @property
    def idle(self) -> list[str]:
        """What the proof has not even tried: then it has shown nothing about it."""
        history = self.history
        tried = {
            "no dossier came through the door": any(each.status == OK and each.read for each in history.passages),
            "no door was ever shut": bool(history.shut),
            "no word came too early": bool(history.retried),
            "nothing was parked": bool(history.parked_on_purpose),
            "nothing was acknowledged": any(each.outcome is Outcome.ACKNOWLEDGED for each in history.asked),
        }
        return [what for what, was in tried.items() if not was]

    def table(self, points: Sequence[Point]) -> str:
        """Point by point how often it was reached and how often somebody died there, and what the judge says."""
        lines = [f"{'point':<24}{'reached':>10}{'killed':>8}"]
        lines += [
            f"{point.name:<24}{self.killer.reached(point.name):>10}{self.killer.killed(point.name):>8}"
            for point in points
        ]
        commands, records = len(self.history.asked), len(self.history.said)
        lines.append(
            f"seed {self.seed} · {self.clients.begun} histories ({self.clients.ended} to their end), "
            f"{commands} commands, {records} records, {len(self.history.passages)} answers of the door, "
            f"{len(self.history.shut)} times shut · {self.seconds:.0f} s"
        )
        lines.append(
            f"lost {count(self.broken, 'I1', 'I7')} · twice {count(self.broken, 'I2', 'I3', 'I6')} · "
            f"out of order {count(self.broken, 'I4')} · bytes after the answer {count(self.broken, 'I5')} · "
            f"else {count(self.broken, 'I9', 'I10', 'I11', 'I12')} · "
            f"drained after {self.history.drained_after or float('nan'):.1f} s"
        )
        took = sorted(self.killer.took, reverse=True)
        slowest = ", ".join(f"{where} {seconds:.0f} s" for seconds, where in took[:3])
        lines.append(
            f"{len(took)} deaths, {sum(seconds for seconds, _ in took) / max(len(took), 1):.1f} s after their start; "
            f"the slowest: {slowest}"
        )
        names = [name for name in Use._fields if name != "memory"]
        uses = [(self.history.before[who], after) for who, after in self.history.after.items()]
        grown = (f"{name} {max((getattr(b, name) - getattr(a, name) for a, b in uses), default=0):+}" for name in names)
        lines.append(f"most that a process has more than before: {', '.join(grown)}")
        return "\n".join(lines)


@asynccontextmanager
async def a_town(folder: Path) -> AsyncIterator[tuple[System, Door]]:
    """Two agencies that run; the sender's door is behind a line of our own."""
    async with AsyncExitStack() as running:
        port = remembered(folder / "ports.json", ["door"])["door"]
        system = System(folder / "data", agencies=(A, B), doors={A: f"http://127.0.0.1:{port}"})
        running.callback(system.embedded.erase)
        installation = await running.enter_async_context(system)
        at = urlsplit(installation.url(A, "consent"))
        door = Door((at.hostname or "", at.port or 0), LINE_BYTES_PER_SECOND)
        await running.enter_async_context(door.running(port))
        yield system, door


async def prove(folder: Path, points: Sequence[Point], seed: int, say: Callable[[str], None]) -> Proof:
    """Kill at all these points under load, let it come to rest, judge."""
    began = time.monotonic()
    counts = folder / "points"
    counts.mkdir()
    async with a_town(folder) as (system, door), httpx.AsyncClient(timeout=10.0) as http:
        say(f"seed {seed}, the town runs after {time.monotonic() - began:.0f} s")
        history = History(passages=door.passages)
        clients = Clients(system.installation, http, door, history, seed)
        eyes = Eyes(system)
        partner = Partner(system.installation, B, eyes, history)
        killer = Killer(system, counts, seed)
        tasks: list[asyncio.Task[None]] = []
        try:
            await clients.publish_notice(A, B)
            load = [asyncio.create_task(clients.one(number, A, B)) for number in range(1, CLIENTS + 1)]
            load.append(asyncio.create_task(partner.speak()))
            tasks += load
            await clients.have_told(WARM_STORIES, WARM_SECONDS_MAX)
            history.before = await eyes.use()
            deaths = schedule(points, seed)
            tasks.append(asyncio.create_task(killer.carry_out(deaths)))
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)  # a client ends before only by a mistake
            for task in tasks:
                if task.done():
                    task.result()
            say(f"all have died as planned after {time.monotonic() - began:.0f} s; late: {killer.missed or 'none'}")
            clients.stopping = partner.stopping = True
            door.bytes_per_second = None
            *stories, speaking = load
            _, unfinished = await asyncio.wait(stories, timeout=STORIES_END_SECONDS)
            for story in unfinished:  # waits for what will not come, for example a dossier without consent
                story.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)
            await asyncio.gather(*(story for story in stories if story not in unfinished))  # raises what went wrong
            async with asyncio.timeout(ROUND_ENDS_SECONDS):
                await speaking
            history.drained_after, history.waiting = await eyes.drained(DRAIN_SECONDS_MAX)
            history.left = await eyes.errands_left(ERRANDS_SECONDS)
            await eyes.drained(DRAIN_SECONDS_MAX)  # what the last of them has led to
            history.after = await eyes.use()
            await eyes.into(history, A, B)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await eyes.close()
    return Proof(seed, history, judge(history), killer, clients, time.monotonic() - began)

