"""The offers service of the Jobcenter on a real database, spoken to over HTTP; Kafka's part is played by hand."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.auth import Gate, issue_bearer, new_key
from chassis.deadlines import due
from chassis.envelope import Envelope, Record, from_record, key_of, to_headers
from chassis.executor import Executor, Work
from chassis.http import build
from chassis.inbox import Hearing
from chassis.service import Service
from contracts.codes import Role
from contracts.events import Event
from contracts.new_ids import new_id
from services.offers.app import service
from services.offers.settings import Settings
from tests.conftest import NewEngine
from tests.offers.builders import AUTHOR, NOW, content

ALLIANCES = tuple((Path(__file__).parents[2] / "deploy" / "alliances").glob("*.yaml"))
ISSUER = "urn:staffel:agency:jobcenter"
KEY = new_key("jobcenter.token")
NOWHERE = Path("nowhere")


class OneKey:
    """The issuer's only key."""

    def find(self, kid: str) -> OKPKey | None:
        """It, if it is meant."""
        return KEY if kid == KEY.kid else None


@cache
def settings() -> Settings:
    """What the Jobcenter's environment says, as far as these tests need it."""
    files = dict.fromkeys(
        ("kafka_ca", "kafka_certificate", "kafka_key", "issuer_keys", "service_keys", "service_key"), NOWHERE
    )
    said = {
        "database": "postgresql+asyncpg://", "kafka": "", "issuer": ISSUER,
        "port": 1, "agency": "jobcenter", "alliances": ALLIANCES}
    return Settings.model_validate({**files, **said})


@dataclass
class Offers:
    """The running service and who speaks to it."""

    client: httpx.AsyncClient
    executor: Executor
    engine: AsyncEngine
    service: Service

    async def command(
        self, method: str, path: str, body: object = None, *, by: str = AUTHOR, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """A command of an editor, under a key of its own."""
        said = {"Idempotency-Key": str(new_id()), **token(by), **(headers or {})}
        return await self.client.request(method, path, json=body, headers=said)

    async def drafted(self, **changed: Any) -> str:
        """The id of a new draft."""
        answer = await self.command("POST", "/offers", {"alliance": "musterland", "content": wording(**changed)})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def published(self, **changed: Any) -> str:
        """The id of a published offer."""
        offer = await self.drafted(**changed)
        await self.command("POST", f"/offers/{offer}/submission")
        answer = await self.command("POST", f"/offers/{offer}/publication", by="editor-2")
        assert answer.json()["state"] == "published", answer.text
        return offer

    async def get(self, path: str, *, by: str | None = None, **query: Any) -> Any:
        """What a view answers, to anybody or to that editor."""
        answer = await self.client.get(path, params=query, headers={} if by is None else token(by))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hear(self, topic: str, event: Event, seq: int) -> None:
        """A record with this event arrives from the broker."""
        envelope = Envelope(
            id=new_id(),
            type=event.type,
            source="urn:staffel:agentur:offers",
            subject=event.subject,
            time=NOW,
            dataschema=f"urn:staffel:schema:{event.type}",
            subjectseq=seq,
            extensions={"alliance": "musterland", "allianceversion": "1"},
            traceparent=None,
        )
        await self.executor.hear([_record(topic, event, envelope)])

    async def fire_deadlines(self) -> None:
        """Whatever is due by the database's clock is run."""
        async with self.engine.connect() as connection:
            causes = await due(connection)
        for cause in causes:
            await self.executor.run(Work(cause, (self.service.deadlines[cause.kind].step(cause.subject),)))

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """What the database says."""
        async with self.engine.begin() as tx:
            result = await tx.execute(sa.text(statement), values)
            return list(result) if result.returns_rows else []


def _record(topic: str, event: Event, envelope: Envelope) -> Record:
    body = event.model_dump_json().encode()
    return from_record(topic, 0, envelope.subjectseq, key_of(event.key), to_headers(envelope), body)


async def always() -> bool:
    """Ready."""
    return True


def token(by: str) -> dict[str, str]:
    """The header of an editor of the catalogue."""
    bearer = issue_bearer(
        KEY, issuer=ISSUER, audience="jobcenter.offers", subject=by, client="tests", roles=[Role.CATALOGUE_EDITOR]
    )
    return {"Authorization": f"Bearer {bearer}"}


def wording(**changed: Any) -> dict[str, Any]:
    """An offer as an editor sends it."""
    return content(**changed).model_dump(mode="json", exclude_none=True, exclude={"id", "status", "last_modified"})


@pytest.fixture
async def offers(new_engine: NewEngine) -> AsyncIterator[Offers]:
    running = service(settings())
    database = await new_engine("offers")
    hearing = Hearing(
        running.hears, running.sources,
        scope_attribute=running.scope_attribute, version_attribute=running.version_attribute,
    )
    executor = Executor(
        database, running.kinds, consumer=running.principal, source="urn:staffel:jobcenter:offers", hearing=hearing,
        address=running.address, new_id=running.new_id, seal=bytes(32),
    )
    gate = Gate(audience=running.principal, issuer=ISSUER, issuer_keys=OneKey(), service_keys=OneKey())
    app = build(
        running.routes, service=running.name, problems=running.problems, gate=gate, executor=executor,
        views=database, resources=None, fingerprint_key=bytes(32), version=running.version, new_id=new_id,
        ready=always,
    )
    await executor.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://offers") as client:
        yield Offers(client, executor, database, running)
    await executor.stop()
