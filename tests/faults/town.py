"""A town on three brokers whose machine room fails under load, fault after fault, and the judge of what is left.

The load, the clients' record and the laws are those of `tests/crash`; here not services die but what they stand on.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from contracts.new_ids import new_id
from deploy.desk import Desk
from deploy.embedded.ports import remembered
from deploy.installation import Installation
from deploy.system import NOTHING_MORE, STOP_SECONDS_MAX, System
from tests.crash.clients import Clients, RecordingDesk, Tale
from tests.crash.door import Door
from tests.crash.gather import Eyes
from tests.crash.history import DRAIN_SECONDS_MAX, Broken, History, Outcome, judge
from tests.crash.points import A, B
from tests.crash.town import ERRANDS_SECONDS, LINE_BYTES_PER_SECOND, STORIES_END_SECONDS
from tests.every_service.addresses import of
from tests.faults.callers import Callers, Seen
from tests.faults.line import Line
from tests.journeys.records import Said

CLIENTS = 4
BROKERS = 3
WARM_COMMANDS = 30
GOES_ON_SECONDS = 300.0  # for so many commands as a test asks for; on an idle machine a few seconds
LOOK_SECONDS = 0.05
LAST_LINES = 20
ASK_EVERY_SECONDS = 0.1
REFUSED = {"intake": "resume", "consent": "refuse", "handover": "discard", "offers": "submit"}
"""service -> a command that about somebody unknown is refused, which only its database can say"""


@dataclass
class Load:
    """Clients at work."""

    town: Town
    tasks: list[asyncio.Task[None]]
    errors_before: int

    @property
    def seen(self) -> Seen:
        """The errors that callers have seen since this load began."""
        return self.town.callers.since(self.errors_before)

    async def goes_on(self, commands: int) -> float:
        """Until that many more commands are acknowledged; how long that took."""
        began = time.monotonic()
        wanted = self.town.acknowledged + commands
        await self._goes_on_until(lambda: self.town.acknowledged >= wanted)
        return time.monotonic() - began

    async def meets(self, line: Line) -> None:
        """Until somebody has asked over this line, which is spoiled."""
        before = line.met
        await self._goes_on_until(lambda: line.met > before)

    async def _goes_on_until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(GOES_ON_SECONDS):
            while not holds():
                for task in self.tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(LOOK_SECONDS)


@dataclass
class Town:
    """Two agencies; `lines` and `door` lie between them, in this order: receiver, line, door, sender."""

    system: System
    http: httpx.AsyncClient
    callers: Callers
    door: Door
    line: Line
    clients: Clients
    seed: int
    say: Callable[[str], None]
    history: History = field(default_factory=History)
    gone: list[Said] = field(default_factory=list)
    """What topics no longer have, in the order of each partition: the judge is given it all the same."""
    drained_after: float | None = None
    _numbers: int = 0

    @property
    def installation(self) -> Installation:
        """Where everything is."""
        return self.system.installation

    @property
    def acknowledged(self) -> int:
        """Commands that got a yes so far."""
        return sum(asked.outcome is Outcome.ACKNOWLEDGED for asked in self.history.asked)

    @asynccontextmanager
    async def under_load(self) -> AsyncIterator[Load]:
        """Clients work meanwhile and have begun; afterwards their stories come to an end."""
        self.clients.stopping, self.door.bytes_per_second = False, LINE_BYTES_PER_SECOND
        first, self._numbers = self._numbers + 1, self._numbers + CLIENTS
        tasks = [asyncio.create_task(self.clients.one(number, A, B)) for number in range(first, first + CLIENTS)]
        load = Load(self, tasks, len(self.callers.errors))
        try:
            await load.goes_on(WARM_COMMANDS)
            await self.baseline()
            yield load
            self.clients.stopping, self.door.bytes_per_second = True, None
            _, unfinished = await asyncio.wait(tasks, timeout=STORIES_END_SECONDS)
            for story in unfinished:  # waits for what will not come, for example a dossier without consent
                story.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def tale(self, asked_of: Installation | None = None) -> Tale:
        """A story of its own, beside the load; `asked_of`: where the sender asks, if not where everybody does."""
        chance = random.Random(f"{self.seed} tale {self.clients.begun}")  # noqa: S311  # guards nothing
        desks = [
            RecordingDesk(each, agency, self.http, history=self.history, chance=chance, subject="caseworker-1")
            for each, agency in ((asked_of or self.installation, A), (self.installation, B))
        ]
        return self.clients.tale(desks)

    async def stop(self, principal: str) -> None:
        """Stop a service in good order."""
        server = self.system.servers[principal]
        server.tell_to_stop()
        await server.stopped(STOP_SECONDS_MAX)

    async def begin_anew(self, principal: str, environment: Mapping[str, str] = NOTHING_MORE) -> None:
        """Stop a service and start it, told this besides its settings."""
        await self.stop(principal)
        self.system.start(*principal.split("."), environment=environment)
        await self.system.ready([principal])

    @asynccontextmanager
    async def asked_all_the_time(self) -> AsyncIterator[None]:
        """Somebody asks every service for what only its database can say, and does not wait when told to."""
        tasks = [asyncio.create_task(self._ask(agency, name)) for agency in (A, B) for name in REFUSED]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                if isinstance(ended, Exception):
                    raise ended

    async def _ask(self, agency: str, name: str) -> None:
        route = of(name, REFUSED[name])
        desk = Desk(self.installation, agency, self.http, subject="impatient", roles=(min(route.allow.roles),))
        path = re.sub("{.*?}", str(new_id()), route.path)
        body = {"person": str(new_id())} if name == "consent" else {}
        while True:
            headers = desk.headers(name) | {"idempotency-key": str(new_id())}
            with suppress(httpx.TransportError):
                await self.http.post(f"{self.installation.url(agency, name)}{path}", json=body, headers=headers)
            await asyncio.sleep(ASK_EVERY_SECONDS)

    async def judged(self) -> list[Broken]:
        """Everything comes to rest; then what is wrong, since the town began; what processes need, since this load."""
        eyes = Eyes(self.system)
        try:
            self.history.drained_after, self.history.waiting = await eyes.drained(DRAIN_SECONDS_MAX)
            self.drained_after = self.history.drained_after
            self.history.left = await eyes.errands_left(ERRANDS_SECONDS)
            await eyes.drained(DRAIN_SECONDS_MAX)  # what the last of them has led to
            self.history.after = await eyes.use()
            await eyes.into(self.history, A, B)
            self.history.said = [*self.gone, *self.history.said]
        finally:
            await eyes.close()
        broken = judge(self.history)
        self.history.before = {}
        for each in broken:
            self.say(f"  {each.invariant} {each.where}")
        return broken

    async def baseline(self) -> None:
        """What the processes need now: more than that they may not need when all is over."""
        eyes = Eyes(self.system)
        try:
            self.history.before = await eyes.use()
        finally:
            await eyes.close()

    def log(self, principal: str) -> str:
        """What a service has said since it was last started."""
        return (self.system.data / "logs" / f"{principal}.log").read_text(errors="replace")

    def last_words(self, principal: str) -> str:
        """The end of that."""
        return "\n".join(self.log(principal).splitlines()[-LAST_LINES:])

    def logged(self, words: str) -> dict[str, int]:
        """How often each service has said this in its log, since it was last started."""
        found = {principal: self.log(principal).count(words) for principal in self.system.servers}
        return {principal: count for principal, count in found.items() if count}

    def tell(self, fault: str, load: Load, *figures: str) -> None:
        """One line for one fault."""
        kinds = ", ".join(f"{count} × {what}" for what, count in sorted(load.seen.kinds.items())) or "none"
        drained = "never" if self.drained_after is None else f"{self.drained_after:.1f} s"
        said = " · ".join((*figures, f"callers' errors: {kinds}", f"drained after {drained}"))
        self.say(f"  {fault}: {said} · {self.acknowledged} commands acknowledged so far · seed {self.seed}")


@asynccontextmanager
async def a_town(folder: Path, seed: int, say: Callable[[str], None], brokers: int = BROKERS) -> AsyncIterator[Town]:
    """Start everything; at the end it stops, and its data are gone."""
    async with AsyncExitStack() as running:
        ports = remembered(folder / "ports.json", ["door", "line"])
        system = System(
            folder / "data", agencies=(A, B), doors={A: f"http://127.0.0.1:{ports['line']}"}, brokers=brokers
        )
        running.callback(system.embedded.erase)
        installation = await running.enter_async_context(system)
        at = urlsplit(installation.url(A, "consent"))
        door = Door((at.hostname or "", at.port or 0), LINE_BYTES_PER_SECOND)
        await running.enter_async_context(door.running(ports["door"]))
        line = Line(("127.0.0.1", ports["door"]))
        await running.enter_async_context(line.running(ports["line"]))
        callers = Callers({port: principal for principal, port in installation.ports.items()})
        http = await running.enter_async_context(httpx.AsyncClient(timeout=10.0, transport=callers))
        history = History(passages=door.passages)
        clients = Clients(installation, http, door, history, seed)
        town = Town(system, http, callers, door, line, clients, seed, say, history)
        await clients.publish_notice(A, B)
        yield town
