"""Two agencies with all their services, running for all journeys: their desks, line, databases and clocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import count, cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from contracts.new_ids import new_id
from deploy.desk import Desk
from deploy.embedded.cluster import Addresses
from deploy.embedded.ports import remembered
from deploy.embedded.processes import ServerDiedError
from deploy.installation import Installation
from deploy.proxy import Proxy
from deploy.system import System
from tests.journeys.collector import Collector, collecting
from tests.journeys.journey import Journey, invented
from tests.journeys.records import Said, everything_said
from tests.journeys.stock import Stock

SENDER, RECEIVER = "jobcenter", "jugendamt"
PATIENCE_SECONDS = 60.0  # a service that was killed starts anew on a busy machine; whoever waits longer waits for ever
LOOK_EVERY_SECONDS = 0.1
LET_GO = """
    UPDATE brake SET released_at = clock_timestamp(), released_by = 'tests' WHERE released_at IS NULL RETURNING cause
"""
CASEWORKERS = 8  # at each agency: one alone would ask more often than one caller may


@dataclass
class Town:
    """What runs, and what was said on its lines."""

    system: System
    installation: Installation
    collector: Collector
    proxy: Proxy
    client: httpx.AsyncClient
    answers: list[bytes] = field(default_factory=list)
    """Every answer to a command and every problem document."""
    gone: list[Said] = field(default_factory=list)
    """What a test has deleted from topics, as their retention would."""
    journeys: list[Journey] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._desks = {agency: cycle(self._caseworkers(agency)) for agency in (SENDER, RECEIVER)}
        self.stock = Stock(self.journey)
        self.client.event_hooks = {"response": [self._listen]}

    def _caseworkers(self, agency: str) -> Sequence[Desk]:
        names = [f"caseworker-{number}" for number in range(1, CASEWORKERS + 1)]
        return [
            Desk(self.installation, agency, self.client, subject=name, patience_seconds=PATIENCE_SECONDS)
            for name in names
        ]

    async def _listen(self, answer: httpx.Response) -> None:
        if answer.is_error or answer.request.method != "GET":
            self.answers.append(await answer.aread())

    @property
    def addresses(self) -> Addresses:
        """Where Kafka and PostgreSQL are."""
        return self.system.addresses

    def journey(self, sender: str = SENDER, receiver: str = RECEIVER) -> Journey:
        """The story of somebody new, in which nothing has happened yet."""
        journey = invented(next(self._numbers), next(self._desks[sender]), next(self._desks[receiver]))
        self.journeys.append(journey)
        return journey

    async def ask(
        self,
        desk: Desk,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        method: str = "POST",
        **headers: str,
    ) -> httpx.Response:
        """Ask once and take the answer as it is; a key is made where `idempotency_key` gives none."""
        sent = {"idempotency-key": str(new_id())} | {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{self.installation.url(desk.agency, service)}{path}"
        json = None if method == "GET" else body or {}
        return await self.client.request(method, url, json=json, headers=desk.headers(service) | sent)

    async def contents(self, principal: str) -> dict[str, bytes]:
        """Everything in the tables of a service: text and JSON as they are written, bytes as they are."""
        names = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        found = {}
        async with self.database(principal) as connection:
            for table in (await connection.execute(sa.text(names))).scalars().all():
                rows = (await connection.execute(sa.select(sa.text("*")).select_from(sa.table(table)))).all()
                values = [each if isinstance(each, bytes) else str(each).encode() for row in rows for each in row]
                found[str(table)] = b"\n".join(values)
        return found

    @asynccontextmanager
    async def database(self, principal: str) -> AsyncIterator[AsyncConnection]:
        """A transaction in the database of a service, as PostgreSQL's administrator."""
        engine = create_async_engine(self.addresses.postgres.administrator(principal), poolclass=NullPool)
        async with engine.begin() as connection:
            yield connection

    async def rows(self, principal: str, query: str, **values: object) -> Sequence[sa.Row[Any]]:
        """What a query finds in the database of a service."""
        async with self.database(principal) as connection:
            return (await connection.execute(sa.text(query), values)).all()

    async def strike(self, principal: str, kind: str, subject: str) -> None:
        """The clock strikes: a deadline that is armed is due now."""
        query = "UPDATE deadline SET due_at = clock_timestamp() WHERE kind = :kind AND subject = CAST(:subject AS uuid)"
        async with self.database(principal) as connection:
            struck = await connection.execute(sa.text(query), {"kind": kind, "subject": subject})
        assert struck.rowcount == 1, f"{kind} is not armed"

    @asynccontextmanager
    async def held_up(self, writer: str, topic: str, key: str) -> AsyncIterator[None]:
        """What that service says of this subject on that topic stays in its outbox meanwhile."""
        values = {"topic": topic, "key": key}
        hold = "INSERT INTO outbox_hold (topic, key, reason) VALUES (:topic, CAST(:key AS uuid), 'held by a test')"
        async with self.database(writer) as connection:
            await connection.execute(sa.text(hold), values)
        try:
            yield
        finally:
            free = "DELETE FROM outbox_hold WHERE topic = :topic AND key = CAST(:key AS uuid)"
            async with self.database(writer) as connection:
                await connection.execute(sa.text(free), values)

    async def said(self) -> list[Said]:
        """Every record of every topic, those of one partition in their order, whether or not it still lies there."""
        return [*self.gone, *await everything_said(self.installation)]

    async def parked(self) -> list[str]:
        """Every event that waits for a human, anywhere."""
        found = []
        for principal in self.system.servers:
            rows = await self.rows(principal, "SELECT topic, key, type, error_class, reason FROM parked")
            found += [f"{principal}: {row}" for row in rows]
            rows = await self.rows(principal, "SELECT topic, reason FROM unreadable")
            found += [f"{principal} cannot read: {row}" for row in rows]
        return found

    async def mended(self) -> list[str]:
        """Who had ended, and what it had said last; who hears nothing, and why. All of them are at work again."""
        found = []
        for principal, server in list(self.system.servers.items()):
            try:
                server.must_run()
            except ServerDiedError as died:
                found.append(str(died))
                self.system.start(*principal.split("."))
        said = await asyncio.gather(*map(self._at_work, self.system.servers))
        return [*found, *filter(None, said)]

    async def _at_work(self, principal: str) -> str:
        """Nothing where it is, or comes to be; else why not."""
        url = f"{self.installation.url(*principal.split('.'))}/ready"
        until, said = time.monotonic() + PATIENCE_SECONDS, "no answer"
        while time.monotonic() < until:
            with suppress(httpx.TransportError):
                answer = await self.client.get(url)
                said = answer.text
                if "braked_by" in said:
                    await self.rows(principal, LET_GO)
                    return f"{principal}: {said}"
                if answer.is_success:
                    return ""
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return f"{principal}: {said}"

    def kill(self, principal: str) -> None:
        """End a service at once, as a crash would."""
        self.system.servers[principal].kill()

    async def restart(self, principal: str) -> None:
        """Start it again and wait until it is ready."""
        agency, _, name = principal.partition(".")
        self.system.start(agency, name)
        await self.system.ready([principal])


@asynccontextmanager
async def a_town(folder: Path) -> AsyncIterator[Town]:
    """Start everything; at the end it stops, and its data are gone."""
    async with AsyncExitStack() as running:
        collector = running.enter_context(collecting())
        port = remembered(folder / "ports.json", ["door"])["door"]
        system = System(folder / "data", agencies=(SENDER, RECEIVER), doors={SENDER: f"http://127.0.0.1:{port}"})
        running.callback(system.embedded.erase)
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("STAFFEL_OTLP_ENDPOINT", collector.url)
            environment.setenv("STAFFEL_OTLP_SHARE", "1")
            installation = await running.enter_async_context(system)
        door = urlsplit(installation.url(SENDER, "consent"))
        proxy = Proxy((door.hostname or "", door.port or 0))
        await running.enter_async_context(proxy.running(port))
        client = await running.enter_async_context(httpx.AsyncClient(timeout=10.0))
        town = Town(system, installation, collector, proxy, client)
        await town.journey().publish_notice()  # two at once would publish two, and one would be out of date
        await running.enter_async_context(town.stock.kept())
        yield town
