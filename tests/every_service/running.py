"""A service of each kind in this process: its real parts, real PostgreSQL, real keys; only Kafka is played by hand."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.auth import issue_bearer, read_key, sign_internal, sign_party
from chassis.database import chassis_revisions, chassis_tables, engine
from chassis.envelope import Envelope, Record, from_record, key_of, to_headers
from chassis.executor import Executor
from chassis.http.routes import Route
from chassis.service import Service, app_of, executor_of, resources_of, routes_of
from contracts.events import Event, TopicKind
from contracts.ids import AgencyId, AllianceId
from contracts.new_ids import new_id
from contracts.topics import address_of
from deploy.embedded.keys import SIGNING, TOKEN, AgencyKeys
from deploy.embedded.keys import service as service_key
from deploy.installation import SERVICES, Installation

HOME, OTHER, THIRD = AgencyId("jobcenter"), AgencyId("jugendamt"), AgencyId("agentur")
MUSTERLAND = AllianceId("musterland")
SECRET = bytes(32)
CHASSIS_TABLES = frozenset(
    words[2]
    for revision in chassis_revisions()
    for statement in chassis_tables(revision)
    if (words := statement.split())[:2] == ["CREATE", "TABLE"]
)


@dataclass
class Running:
    """One service of the Jobcenter, and who speaks to it."""

    service: Service
    engine: AsyncEngine
    executor: Executor
    app: FastAPI
    client: httpx.AsyncClient
    keys: AgencyKeys
    other_keys: AgencyKeys
    resources: Any
    seqs: dict[tuple[str, UUID], int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Which of the four it is."""
        return self.service.name

    @property
    def routes(self) -> list[Route]:
        """All its addresses, the operators' included."""
        return routes_of(self.service, self.executor).listed

    def person(self, *roles: str, by: str | None = None, **changed: Any) -> dict[str, str]:
        """The header of somebody with these roles; everybody is somebody else unless named."""
        said: dict[str, Any] = {
            "issuer": self.service.settings.issuer,
            "audience": self.service.principal,
            "subject": by or f"person-{new_id()}",
            "client": "tests",
            "roles": roles,
        }
        key = changed.pop("key", None) or read_key(self.keys.file(TOKEN))
        return _bearer(issue_bearer(key, **said | changed))

    def admitted(self, route: Route, by: str | None = None) -> dict[str, str]:
        """The header of somebody whom the route lets in; none where everybody may ask."""
        if route.allow.roles:
            return self.person(min(route.allow.roles), by=by)
        if route.allow.service_names:
            return self.sister(min(route.allow.service_names))
        return {} if route.allow.everyone else self.party()

    def sister(self, name: str) -> dict[str, str]:
        """The header of another service of the same agency."""
        key = read_key(self.keys.file(service_key(name)))
        return _bearer(sign_internal(key, issuer=f"{HOME}.{name}", audience=self.service.principal))

    def party(self) -> dict[str, str]:
        """The header of another agency's intake."""
        key = read_key(self.other_keys.file(SIGNING))
        return _bearer(sign_party(key, party=OTHER, role="intake", audience=self.service.principal))

    def record(self, event: Event, *, seq: int | None = None, body: bytes | None = None) -> Record:
        """The event as it comes from the broker; without `seq` as the next one of its lane."""
        topic = topic_of(type(event))
        if seq is None:
            seq = self.seqs[topic, event.key] = self.seqs.get((topic, event.key), 0) + 1
        envelope = Envelope(
            id=new_id(),
            type=event.type,
            source="urn:staffel:tests:tests",
            subject=event.subject,
            time=datetime.now(UTC),
            dataschema=f"urn:staffel:schema:{event.type}",
            subjectseq=seq,
            extensions={"alliance": str(MUSTERLAND), "allianceversion": "1"},
            traceparent=None,
        )
        body = event.model_dump_json().encode() if body is None else body
        return from_record(topic, 0, seq, key_of(event.key), to_headers(envelope), body)

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """What the database says."""
        async with self.engine.begin() as tx:
            return list(await tx.execute(sa.text(statement), values))

    async def state(self) -> Mapping[str, str]:
        """A fingerprint of everything that an event or a command may change, table by table."""
        tables = await self.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        own = {row.tablename for row in tables} - CHASSIS_TABLES - {"alembic_version"}
        found: dict[str, str] = {}
        for table in sorted(own | EFFECTS):
            content = f"SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM \"{table}\" t"  # noqa: S608  # our own names
            found[table] = str((await self.rows(content))[0][0])
        return found

    async def parked(self, key: UUID) -> list[tuple[int, str]]:
        """(number, class of trouble) of what waits in the lanes of this subject."""
        found = await self.rows("SELECT seq, error_class FROM parked WHERE key = :key ORDER BY seq", key=key)
        return [(row.seq, row.error_class) for row in found]


EFFECTS = frozenset({"event_log", "outbox", "stream_head", "inbox", "deadline", "errand", "reservation"})


def topic_of(event: type[Event]) -> str:
    """Where the Jobcenter's services hear such an event: at home, or from the Youth Office."""
    if event.topic is TopicKind.OWN:
        return str(address_of(event, HOME))
    return str(address_of(event, OTHER, MUSTERLAND, HOME))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def over_http(app: FastAPI) -> httpx.AsyncClient:
    """Speaks to an application in this process."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")


async def always() -> bool:
    """Ready."""
    return True


def service_of(installation: Installation, name: str, dsn: str) -> Service:
    """The Jobcenter's service of that name, with the settings an installation writes, on that database."""
    lines = installation.environment_file(HOME, name).read_text("utf-8").splitlines()
    said = {key.removeprefix("STAFFEL_").lower(): value for key, _, value in (line.partition("=") for line in lines)}
    settings = import_module(f"services.{name}.settings").Settings
    # `alliances` and `sisters` are JSON in the environment; whatever else is said there is text.
    built: Service = import_module(f"services.{name}.app").service(
        settings.model_validate(
            said | {"database": dsn, "alliances": installation.alliances, "sisters": json.loads(said["sisters"])}
        )
    )
    return built


@asynccontextmanager
async def running(installation: Installation, name: str, dsn: str) -> AsyncIterator[Running]:
    """A service, running but for its consumer, its relay and its clocks."""
    service = service_of(installation, name, dsn)
    database = engine(dsn)
    executor = executor_of(service, database, SECRET)
    async with httpx.AsyncClient(timeout=2.0) as neighbours:
        resources = resources_of(service, database, executor, neighbours)
        app = app_of(service, database, executor, resources, SECRET, always)
        await executor.start()
        async with over_http(app) as client:
            keys, theirs = installation.keys(HOME), installation.keys(OTHER)
            yield Running(service, database, executor, app, client, keys, theirs, resources)
        await executor.stop()
    await database.dispose()


def provide_keys(data: Path, agencies: Iterable[str]) -> None:
    """Every agency's own keys, as a first start makes them."""
    for agency in agencies:
        AgencyKeys(data / "keys", agency).provide(SERVICES, datetime.now(UTC))
