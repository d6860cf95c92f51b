"""Everything of an installation, running on this machine: Kafka, PostgreSQL, and a process per service."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import httpx

from chassis.recovery.guard import Standing
from deploy import acls, topics
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses, Embedded
from deploy.embedded.files import private_folder
from deploy.embedded.guard import Guard
from deploy.embedded.processes import Program, Server
from deploy.installation import NO_DOORS, SERVICES, Installation, install, read_alliance
from deploy.migrations import migrate
from deploy.mistakes import MistakeError

READY_SECONDS_MAX = 60  # twelve interpreters start on two cores; a service that needs longer has a reason in its log
STOP_SECONDS_MAX = 15  # what a service promises (SIGTERM to the end)
LOOK_EVERY_SECONDS = 0.1
ENDS_MAX, ENDS_SECONDS = 5, 60.0  # a service that ends so often has a reason that starting it again does not mend
NOTHING_MORE: Mapping[str, str] = {}
ALLIANCES = Path(__file__).parent / "alliances"

Say = Callable[[str], None]


class System:
    """`async with System(data, …) as installation`: all of it runs; at the end it stops and the data stays."""

    def __init__(
        self,
        data: Path,
        *,
        alliances: Sequence[Path] = (ALLIANCES / "musterland.yaml",),
        agencies: Sequence[str] = (),
        doors: Mapping[str, str] = NO_DOORS,
        brokers: int = 1,
        say: Say = lambda _: None,
    ) -> None:
        self.data = data.resolve()
        self._templates = tuple(alliances)
        found = [agency.id for file in alliances for agency in read_alliance(file).agencies]
        self._members = tuple(dict.fromkeys(found))
        self.agencies = tuple(agencies) or self._members
        self._say, self._doors = say, doors
        self._brokers = brokers
        self.embedded = Embedded(self.data, self._members, SERVICES, nodes=brokers)
        self.servers: dict[str, Server] = {}
        self._ends: dict[str, list[float]] = {}
        self._running = AsyncExitStack()
        self.addresses: Addresses
        self.installation: Installation

    async def __aenter__(self) -> Installation:
        async with AsyncExitStack() as running:
            self.addresses = await running.enter_async_context(self.embedded)
            self._say("Kafka and PostgreSQL answer")
            self.installation = install(self.data, self.addresses, self._templates, self.agencies, self._doors)
            await asyncio.gather(asyncio.to_thread(self._provide_topics), self._migrate())
            self._say("topics, access lists and tables are in place")
            private_folder(self.data / "logs")
            self._guard = Guard()
            running.callback(self._guard.close)
            running.push_async_callback(self._stop_services)
            for agency in self.agencies:
                for name in SERVICES:
                    self.start(agency, name)
            shut = await self.ready(self.servers, or_shut=True)
            for principal in shut:
                self._say(f"{principal} is shut until `staffel recover` has mended it; why: {self._log(principal)}")
            self._say(f"{len(self.servers) - len(shut)} services are ready")
            self._running = running.pop_all()
        return self.installation

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._running.aclose()

    def start(self, agency: str, name: str, *, environment: Mapping[str, str] = NOTHING_MORE) -> None:
        """Start one service; `ready` waits for it. `environment`: what it is told besides its settings."""
        principal = f"{agency}.{name}"
        self.servers[principal] = self._server(principal, principal, environment)

    def start_replica(self, agency: str, name: str, instance: str, port: int) -> Server:
        """Start one more process of a service, which listens there; whoever starts it waits for it and ends it."""
        principal = f"{agency}.{name}"
        environment = {"STAFFEL_INSTANCE": instance, "STAFFEL_PORT": str(port)}
        return self._server(principal, f"{principal}.{instance}", environment)

    def _server(self, principal: str, name: str, environment: Mapping[str, str]) -> Server:
        """The program of the images, with the settings of the installation."""
        agency, _, service = principal.partition(".")
        settings = self.installation.environment_file(agency, service)
        environment = {"STAFFEL_SERVICE": service, "STAFFEL_SETTINGS": str(settings), **environment}
        run, log = ("-m", "deploy.container", "run"), self._log(name)
        return Server(Program(name, [sys.executable, *run], signal.SIGTERM, log, log, environment), self._guard)

    async def ready(self, principals: Iterable[str], *, or_shut: bool = False) -> list[str]:
        """Wait until these services answer that they are ready. Raises ServerDiedError, TimeoutError.

        `or_shut`: or that their databases are restored ones, and returns which: what mends them needs all the others.
        """
        asked = list(principals)
        async with asyncio.timeout(READY_SECONDS_MAX), httpx.AsyncClient(timeout=2.0) as client:
            ready = await asyncio.gather(*(self._ready(client, principal, or_shut=or_shut) for principal in asked))
        return [principal for principal, is_ready in zip(asked, ready, strict=True) if not is_ready]

    async def _ready(self, client: httpx.AsyncClient, principal: str, *, or_shut: bool) -> bool:
        agency, _, name = principal.partition(".")
        while True:
            self.servers[principal].must_run()
            try:
                answer = await client.get(f"{self.installation.url(agency, name)}/ready")
            except httpx.TransportError:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
                continue
            if answer.is_success:
                return True
            if or_shut and answer.json().get("because") == Standing.RESTORED:
                return False
            await asyncio.sleep(LOOK_EVERY_SECONDS)

    def mend(self) -> None:
        """Start services again that have ended unasked. Raises MistakeError where that does not help."""
        if gone := self.embedded.exited():
            raise MistakeError(f"{', '.join(gone)} ended unasked; see the logs below {self.data}")
        for principal, server in list(self.servers.items()):
            if server.runs:
                continue
            self._ends[principal] = [*self._ends.get(principal, ()), time.monotonic()][-ENDS_MAX:]
            ends = self._ends[principal]
            log = self._log(principal)
            if len(ends) == ENDS_MAX and ends[-1] - ends[0] < ENDS_SECONDS:
                raise MistakeError(f"{principal} ends again and again; see {log}")
            self._say(f"{principal} ended unasked and is started again; what it said last is in {log}.before")
            self.start(*principal.split("."))

    def _log(self, name: str) -> Path:
        return self.data / "logs" / f"{name}.log"

    def _provide_topics(self) -> None:
        files = [read_alliance(file) for file in self.installation.alliances]
        with admin.connected(self.addresses.bootstrap, self.addresses.admin) as kafka:
            topics.apply(kafka, topics.plan(kafka, files, replication=self._brokers))
            acls.apply(kafka, acls.plan(kafka, files))

    async def _migrate(self) -> None:
        for agency in self.agencies:
            for name in SERVICES:
                await migrate(self.addresses.dsn(agency, name), name)

    async def _stop_services(self) -> None:
        for server in self.servers.values():
            server.tell_to_stop()
        await asyncio.gather(*(server.stopped(STOP_SECONDS_MAX) for server in self.servers.values()))
