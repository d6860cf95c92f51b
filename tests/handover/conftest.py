"""The handover services of two agencies on real databases, spoken to over HTTP; Kafka's part is played by hand."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.auth import Gate, issue_bearer, new_key, sign_internal
from chassis.deadlines import due
from chassis.envelope import Envelope, from_record, key_of, to_headers
from chassis.executor import Executor, Work
from chassis.http import build
from chassis.inbox import Hearing
from chassis.service import Service
from contracts.codes import AgeBand, Need, Phase, Role
from contracts.events import Event
from contracts.ids import CaseId, PersonId
from contracts.intake import CaseActivated
from contracts.new_ids import new_id
from services.handover.api import commands
from services.handover.app import service
from services.handover.settings import Settings
from tests.conftest import NewEngine
from tests.handover.builders import ITEMS, NOW

ALLIANCES = tuple((Path(__file__).parents[2] / "deploy" / "alliances").glob("*.yaml"))
KEY = new_key("token")
SERVICE_KEYS = {name: new_key(f"jobcenter.{name}") for name in ("consent", "intake", "offers")}
NOWHERE = Path("nowhere")


class Known:
    """The keys known to a service, by name."""

    def __init__(self, *keys: OKPKey) -> None:
        self._keys = {key.kid: key for key in keys}

    def find(self, kid: str) -> OKPKey | None:
        """The key of that name."""
        return self._keys.get(kid)


@cache
def settings(agency: str) -> Settings:
    """What the agency's environment says, as far as these tests need it."""
    files = dict.fromkeys(
        ("kafka_ca", "kafka_certificate", "kafka_key", "issuer_keys", "service_keys", "service_key"), NOWHERE
    )
    said = {
        "database": "postgresql+asyncpg://", "kafka": "", "issuer": agency,
        "port": 1, "agency": agency, "alliances": ALLIANCES}
    return Settings.model_validate({**files, **said})


@dataclass
class Node:
    """One agency's handover service and who speaks to it."""

    agency: str
    client: httpx.AsyncClient
    executor: Executor
    engine: AsyncEngine
    service: Service
    delivered: int = 0
    numbers: dict[tuple[str, object], int] = field(default_factory=dict)

    def token(self, *roles: Role) -> dict[str, str]:
        """The header of somebody of this agency."""
        bearer = issue_bearer(
            KEY, issuer=self.agency, audience=self.service.principal, subject="somebody", client="tests", roles=roles
        )
        return {"Authorization": f"Bearer {bearer}"}

    def service_token(self, name: str) -> dict[str, str]:
        """The header of another service of this agency."""
        signed = sign_internal(SERVICE_KEYS[name], issuer=f"{self.agency}.{name}", audience=self.service.principal)
        return {"Authorization": f"Bearer {signed}"}

    async def command(
        self,
        path: str,
        body: object = None,
        *,
        role: Role = Role.CASEWORKER,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """A command, under a key of its own."""
        said = {"Idempotency-Key": str(new_id()), **self.token(role), **(headers or {})}
        return await self.client.post(path, json=body, headers=said)

    async def done(self, path: str, body: object = None, *, role: Role = Role.CASEWORKER) -> dict[str, Any]:
        """What a command that must succeed answers."""
        answer = await self.command(path, body, role=role)
        assert answer.is_success, answer.text
        result: dict[str, Any] = answer.json()
        return result

    async def get(self, path: str, *, role: Role = Role.CASEWORKER, **query: Any) -> Any:
        """What a view answers."""
        answer = await self.client.get(path, params=query, headers=self.token(role))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hear(self, topic: str, event: Event) -> None:
        """An event of another service arrives, with the next number of its lane."""
        lane = (topic, event.key)
        self.numbers[lane] = self.numbers.get(lane, 0) + 1
        envelope = Envelope(
            id=new_id(),
            type=event.type,
            source="urn:staffel:tests:tests",
            subject=event.subject,
            time=NOW,
            dataschema=f"urn:staffel:schema:{event.type}",
            subjectseq=self.numbers[lane],
            extensions={"alliance": "musterland", "allianceversion": "1"},
            traceparent=None,
        )
        body = event.model_dump_json().encode()
        record = from_record(topic, 0, envelope.subjectseq, key_of(event.key), to_headers(envelope), body)
        await self.executor.hear([record])

    async def deliver_to(self, other: "Node") -> None:
        """Everything this service has told the other one since the last time arrives there, in order."""
        channel = f"musterland.{self.agency}.to.{other.agency}.handover"
        since = "SELECT * FROM event_log WHERE topic = :topic AND pos > :pos ORDER BY pos"
        rows = await self.rows(since, topic=channel, pos=self.delivered)
        for row in rows:
            headers = [(name, value.encode()) for name, value in row.headers]
            await other.executor.hear([from_record(channel, 0, row.pos, key_of(row.key), headers, bytes(row.payload))])
            self.delivered = row.pos

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """What the database says."""
        async with self.engine.begin() as tx:
            result = await tx.execute(sa.text(statement), values)
            return list(result) if result.returns_rows else []

    async def told(self, handover: str) -> list[str]:
        """Types of what was told about a handover, in order, without prefix and version."""
        rows = await self.rows("SELECT type FROM event_log WHERE key = :key ORDER BY pos", key=handover)
        return [row.type.removeprefix("staffel.").removesuffix(".v1") for row in rows]

    async def parked(self) -> list[Any]:
        """What waits for a human."""
        return await self.rows("SELECT type, error_class, reason FROM parked ORDER BY parked_at")

    async def fire_deadlines(self) -> None:
        """Whatever is due by the database's clock is run."""
        async with self.engine.connect() as connection:
            causes = await due(connection)
        for cause in causes:
            await self.executor.run(Work(cause, (self.service.deadlines[cause.kind].step(cause.subject),)))

    async def has_a_case(self) -> tuple[CaseId, PersonId]:
        """An active case, told of by own intake."""
        case, person = CaseId(new_id()), PersonId(new_id())
        await self.hear(
            f"{self.agency}.intake.events",
            CaseActivated(
                case=case, person=person, phase=Phase.TRANSITION, age_band=AgeBand.FROM_18_TO_20,
                needs=(Need.HOUSING, Need.DEBTS), target_groups=(),
            ),
        )
        return case, person

    async def drafted(self, case: CaseId) -> str:
        """The reference of a new draft to the Jugendamt."""
        answer = await self.command("/handovers", a_draft(case))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


def a_draft(case: CaseId, **changed: Any) -> dict[str, Any]:
    """The body of a draft."""
    body = {
        "case": str(case), "alliance": "musterland", "recipient": "jugendamt", "purpose": "youth_welfare_support",
        "competence_area": "youth_welfare", "items": [str(item) for item in ITEMS],
    }  # fmt: skip
    return body | changed


async def always() -> bool:
    """Ready."""
    return True


@asynccontextmanager
async def running(agency: str, database: AsyncEngine) -> AsyncIterator[Node]:
    """The handover service of this agency."""
    built = service(settings(agency))
    hearing = Hearing(
        built.hears, built.sources, scope_attribute=built.scope_attribute, version_attribute=built.version_attribute
    )
    executor = Executor(
        database, built.kinds, consumer=built.principal, source=f"urn:staffel:{agency}:handover", hearing=hearing,
        address=built.address, new_id=built.new_id, seal=bytes(32),
    )
    service_keys = Known(*SERVICE_KEYS.values())
    gate = Gate(audience=built.principal, issuer=agency, issuer_keys=Known(KEY), service_keys=service_keys)
    app = build(
        built.routes, service=built.name, problems=built.problems, gate=gate, executor=executor, views=database,
        resources=None, fingerprint_key=bytes(32), version=built.version, new_id=new_id, ready=always,
    )
    await executor.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"http://{agency}") as client:
        yield Node(agency, client, executor, database, built)
    await executor.stop()


@pytest.fixture
async def jobcenter(new_engine: NewEngine) -> AsyncIterator[Node]:
    async with running("jobcenter", await new_engine("handover")) as node:
        yield node


@pytest.fixture
async def jugendamt(new_engine: NewEngine) -> AsyncIterator[Node]:
    async with running("jugendamt", await new_engine("handover")) as node:
        yield node


@pytest.fixture(autouse=True)
def no_release_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """`void` holds its answer back for releases; here there is no door, and one test looks at the wait itself."""
    monkeypatch.setattr(commands, "RELEASE_SECONDS_MAX", 0.0)
