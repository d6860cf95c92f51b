"""Kafka and PostgreSQL together: started from packages, with keys, certificates and passwords made on the spot."""

import asyncio
import fcntl
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from rich.console import Console

from deploy.embedded import jars, kafka, place, postgres
from deploy.embedded.files import private_folder
from deploy.embedded.guard import Guard
from deploy.embedded.kafka import Kafka, port_names
from deploy.embedded.keys import AgencyKeys
from deploy.embedded.pki import ADMIN, Pki, Tls
from deploy.embedded.ports import listened_on, remembered
from deploy.embedded.postgres import Postgres
from deploy.embedded.processes import Server, end_leftovers
from deploy.mistakes import MistakeError

T = TypeVar("T")


class DataFolderInUseError(MistakeError):
    """Another process runs Kafka and PostgreSQL on this data folder."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is and what one needs to be let in."""

    kafka: Kafka
    postgres: Postgres
    keys_folder: Path

    @property
    def bootstrap(self) -> str:
        """Kafka: `host:port`, separated by commas."""
        return self.kafka.bootstrap

    @property
    def admin(self) -> Tls:
        """The certificate of Kafka's administrator, for topics and ACLs."""
        return self.tls(ADMIN)

    def tls(self, principal: str) -> Tls:
        """Certificate and key of `<agency>.<service>`; FileNotFoundError for one that was not asked for."""
        return self.kafka.pki.tls(principal)

    def dsn(self, agency: str, service: str) -> str:
        """postgresql+asyncpg://user:password@host:port/database; KeyError for a service that was not asked for."""
        return self.postgres.dsn(f"{agency}.{service}")

    def keys(self, agency: str) -> AgencyKeys:
        """The agency's signing, sealing and token keys and those of its services."""
        return AgencyKeys(self.keys_folder, agency)


class Embedded:
    """Starts both in a data folder, which keeps everything from one start to the next.

    `async with Embedded(folder, agencies, services) as addresses: ...`

    Agencies and services are lower-case letters, digits and hyphens; `cluster` is the organisation in the certificates;
    `nodes` is 1 or 3; downloads of a first start are shown on `console`.
    """

    def __init__(
        self,
        data: Path,
        agencies: Sequence[str],
        services: Sequence[str],
        *,
        cluster: str = "staffel",
        nodes: int = 1,
        console: Console | None = None,
    ) -> None:
        self.data = data.resolve()
        self._agencies = tuple(agencies)
        self._services = tuple(services)
        self._cluster = cluster
        self._nodes = nodes
        self._console = console
        self._running = AsyncExitStack()
        self._guard: Guard
        self._addresses: Addresses
        self.kafka: tuple[Server, ...] = ()
        self.postgres: tuple[Server, ...] = ()

    async def __aenter__(self) -> Addresses:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> Addresses:
        """Return when both have answered. Raises DataFolderInUseError and what the two say when they cannot start."""
        async with AsyncExitStack() as running:
            self._lock(running)
            addresses = await _to_its_end(self._prepare)
            self._guard = guard = Guard()
            running.push_async_callback(asyncio.to_thread, guard.close)
            await _both(
                self._start_kafka(addresses.kafka, guard, running),
                self._start_postgres(addresses.postgres, guard, running),
            )
            listened_on(addresses.kafka.ports.values())
            self._addresses, self._running = addresses, running.pop_all()
        return addresses

    async def crash_kafka(self) -> None:
        """Kill every node and start it on what its disk has; returns when they answer. Only while it runs."""
        await self.kill_kafka()
        await self.start_kafka()

    async def kill_kafka(self, *nodes: int) -> None:
        """Kill these nodes, or all of them where none is named. Only while it runs."""
        for node in nodes or range(1, self._nodes + 1):
            await asyncio.to_thread(self.kafka[node - 1].kill)

    async def start_kafka(self, *nodes: int) -> None:
        """Start these nodes, or all, on what their disks have; returns when all answer. Only after `kill_kafka`."""
        found = await asyncio.to_thread(jars.provide, self._console)
        servers = list(self.kafka)
        for node in nodes or range(1, self._nodes + 1):
            servers[node - 1] = self._addresses.kafka.start_node(node, found, self._guard)
            self.kafka = tuple(servers)
        await self._addresses.kafka.ready(self.kafka)

    async def crash_postgres(self) -> None:
        """Kill the server and start it on what its disk has; returns when it answers. Only while it runs."""
        for server in self.postgres:
            await asyncio.to_thread(postgres.crash, server)
        await self.start_postgres()

    async def stop_postgres_at_once(self) -> None:
        """As `pg_ctl stop -m immediate`: everybody is cut off, nothing is written down. Only while it runs."""
        for server in self.postgres:
            server.tell(postgres.IMMEDIATE)
            await server.stopped(postgres.STOP_SECONDS_MAX)

    async def start_postgres(self) -> None:
        """Start it on what its disk has; returns when it answers. Only after it was stopped."""
        await self._start_postgres(self._addresses.postgres, self._guard, self._running)

    async def stop(self) -> None:
        """End both in order; the data stays. Stopping twice is the same as once."""
        await self._running.aclose()

    def exited(self) -> tuple[str, ...]:
        """The names of servers that have ended although nobody asked them to."""
        return tuple(server.name for server in (*self.kafka, *self.postgres) if not server.runs)

    def erase(self) -> None:
        """Remove all data for good: topics, databases, keys, passwords. Raises DataFolderInUseError while it runs."""
        with ExitStack() as alone:
            self._lock(alone)
            place.erase(self.data)

    def _lock(self, held: ExitStack | AsyncExitStack) -> None:
        private_folder(self.data)
        file = held.enter_context((self.data / "lock").open("w"))
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            raise DataFolderInUseError(f"{self.data} is in use by another process") from taken

    def _prepare(self) -> Addresses:
        now = datetime.now(UTC)
        where, kafka_folder = place.choose(self.data), self.data / "kafka"
        end_leftovers(partial(kafka.works_on, kafka_folder), kafka.STOP)  # first: they hold the ports
        end_leftovers(partial(postgres.works_on, where), postgres.STOP)
        pki = Pki(self.data / "pki", self._cluster)
        pki.provide([f"{agency}.{service}" for agency in self._agencies for service in self._services], now)
        ports = remembered(self.data / "ports.json", (*port_names(self._nodes), "postgres"))
        addresses = Addresses(
            Kafka(kafka_folder, pki, ports, self._nodes),
            Postgres(self.data / "postgres", where, ports["postgres"]),
            self.data / "keys",
        )
        for agency in self._agencies:
            addresses.keys(agency).provide(self._services, now)
        return addresses

    async def _start_kafka(self, what: Kafka, guard: Guard, running: AsyncExitStack) -> None:
        found = await asyncio.to_thread(jars.provide, self._console)

        def start() -> None:
            self.kafka = what.start(found, guard)
            running.push_async_callback(self._stop_kafka)

        await _to_its_end(start)
        await what.ready(self.kafka)

    async def _stop_kafka(self) -> None:
        await kafka.stop(self.kafka)  # whoever runs then: a node may have been started again

    async def _start_postgres(self, what: Postgres, guard: Guard, running: AsyncExitStack) -> None:
        def start() -> None:
            self.postgres = (what.start(guard),)
            running.push_async_callback(postgres.stop, *self.postgres)

        await _to_its_end(start)
        await what.ready(*self.postgres)
        await what.provide(self._agencies, self._services)


async def _to_its_end(work: Callable[[], T]) -> T:
    """Run it in a thread, to its end even when cancelled: half a preparation must not go on beside the next start."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.gather(running, return_exceptions=True)
        raise


async def _both(one: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None]) -> None:
    """Run two side by side; when one fails the other is cancelled, and the error stays itself, no group."""
    tasks = (asyncio.create_task(one), asyncio.create_task(other))
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
