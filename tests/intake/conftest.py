"""The intake service of the Jugendamt on a real database, spoken to over HTTP; Kafka's part is played by hand."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
import yaml
from joserfc.jwk import OKPKey
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.auth import Gate, issue_bearer, key_set, new_key, sign_internal
from chassis.envelope import Envelope, Record, from_record, key_of, to_headers
from chassis.executor import Executor, Inner, Step, Work
from chassis.http import build
from chassis.inbox import Hearing
from chassis.service import Service, Tools
from contracts.codes import Role
from contracts.events import Event
from contracts.new_ids import new_id
from services.intake.app import service
from services.intake.settings import Settings
from tests.conftest import NewEngine
from tests.intake.builders import NOW

TEMPLATE = Path(__file__).parents[2] / "deploy" / "alliances" / "musterland.yaml"
ISSUER = "urn:staffel:agency:jugendamt"
KEY = new_key("jugendamt.token")
CONSENT = new_key("jugendamt.consent")
HANDOVER = new_key("jugendamt.handover")
NOWHERE = Path("nowhere")
DOOR = "http://door"


@dataclass(frozen=True)
class Known:
    """Keys by their names."""

    keys: Sequence[OKPKey]

    def find(self, kid: str) -> OKPKey | None:
        """The key of that name."""
        return next((key for key in self.keys if key.kid == kid), None)


def sealing_key(kid: str) -> OKPKey:
    """A key that others seal to."""
    return OKPKey.generate_key("X25519", {"kid": kid, "use": "enc"})


@dataclass(frozen=True)
class Keys:
    """The agency's own keys: one it signs with, two that others may seal to."""

    signing: OKPKey
    sealing: tuple[OKPKey, OKPKey]


def settings(folder: Path, keys: Keys, agency: str = "jugendamt") -> Settings:
    """What the agency's environment says, as far as these tests need it."""
    alliance = yaml.safe_load(TEMPLATE.read_text("utf-8"))
    for known in alliance["agencies"]:
        if known["id"] in {"jobcenter", "schule"}:
            known["door_url"] = DOOR
    (folder / "musterland.yaml").write_text(yaml.safe_dump(alliance), "utf-8")
    (folder / "signing.json").write_text(key_set([keys.signing], private=True), "utf-8")
    sealing = {"keys": [key.as_dict(private=True) for key in keys.sealing]}
    (folder / "sealing.json").write_text(json.dumps(sealing), "utf-8")
    files = dict.fromkeys(
        ("kafka_ca", "kafka_certificate", "kafka_key", "issuer_keys", "service_keys", "service_key"), NOWHERE
    )
    said: dict[str, Any] = {
        "database": "postgresql+asyncpg://", "kafka": "", "issuer": ISSUER, "port": 1, "agency": agency,
        "alliances": [folder / "musterland.yaml"],
        "handover_url": "http://handover",
        "party_signing_keys": folder / "signing.json",
        "party_sealing_keys": folder / "sealing.json",
    }
    return Settings.model_validate({**files, **said})


@dataclass
class Intake:
    """The running service and who speaks to it."""

    client: httpx.AsyncClient
    executor: Executor
    engine: AsyncEngine
    service: Service
    tools: Tools

    async def command(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """A command of a caseworker, under a key of its own."""
        said = {"Idempotency-Key": str(new_id()), **token(Role.CASEWORKER), **headers}
        return await self.client.request(method, path, json=body, headers=said)

    async def registered(self, **changed: Any) -> dict[str, Any]:
        """The answer to a new registration."""
        answer = await self.command("POST", "/cases", {"person": somebody(), **changed})
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    async def get(self, path: str, role: Role = Role.CASEWORKER, **query: Any) -> httpx.Response:
        """What a view answers to somebody with that role."""
        return await self.client.get(path, params=query, headers=token(role))

    async def items(self, path: str, *wanted: object) -> httpx.Response:
        """What own consent is told about items."""
        bearer = sign_internal(CONSENT, issuer="jugendamt.consent", audience="jugendamt.intake")
        body = {"items": [str(item) for item in wanted]}
        return await self.client.post(
            f"/internal/items/{path}", json=body, headers={"Authorization": f"Bearer {bearer}"}
        )

    async def run(self, step: Step) -> None:
        """A command the service gives itself, as an errand does."""
        await self.executor.run(Work(Inner("test"), (step,)))

    async def hear(self, event: Event, seq: int, event_id: UUID | None = None) -> None:
        """A record of own handover or own consent arrives from the broker."""
        envelope = Envelope(
            id=event_id or new_id(),
            type=event.type,
            source=f"urn:staffel:jugendamt:{event.owner}",
            subject=event.subject,
            time=NOW,
            dataschema=f"urn:staffel:schema:{event.type}",
            subjectseq=seq,
            extensions={},
            traceparent=None,
        )
        await self.executor.hear([_record(f"jugendamt.{event.owner}.events", event, envelope)])

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        """What the database says."""
        async with self.engine.begin() as tx:
            result = await tx.execute(sa.text(statement), values)
            return list(result) if result.returns_rows else []

    async def told(self) -> list[str]:
        """Types of all facts told so far."""
        return [row.type for row in await self.rows("SELECT type FROM event_log ORDER BY pos")]


def _record(topic: str, event: Event, envelope: Envelope) -> Record:
    body = event.model_dump_json().encode()
    return from_record(topic, 0, envelope.subjectseq, key_of(event.key), to_headers(envelope), body)


def somebody(**changed: Any) -> Mapping[str, Any]:
    """A person as a caseworker sends them."""
    return {
        "given_names": "Zora",
        "family_name": "Beispiel-Zimt",
        "birth_date": "2009-05-04",
        "address": {"street": "Erfundene Gasse 7", "postcode": "99999", "place": "Musterhausen"},
        "phone": "+49 000 112233",
        **changed,
    }


def token(*roles: Role) -> dict[str, str]:
    """The header of somebody with these roles."""
    bearer = issue_bearer(
        KEY, issuer=ISSUER, audience="jugendamt.intake", subject="worker-1", client="tests", roles=list(roles)
    )
    return {"Authorization": f"Bearer {bearer}"}


async def always() -> bool:
    """Ready."""
    return True


@pytest.fixture(scope="session")
def keys() -> Keys:
    sealing = (sealing_key("jugendamt.sealing#2"), sealing_key("jugendamt.sealing#1"))
    return Keys(new_key("jugendamt.signing#1"), sealing)


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> Settings:
    """The settings, read once: taking alliance files apart takes longer than most of these tests."""
    return settings(tmp_path_factory.mktemp("intake"), keys)


@pytest.fixture
async def tools(said: Settings) -> AsyncIterator[Tools]:
    """What errands work with, without a database: they have none of their own."""
    nothing: Any = None
    async with httpx.AsyncClient() as outside:
        yield Tools(said, nothing, nothing, outside, lambda audience: f"signed for {audience}")


@pytest.fixture
async def intake(new_engine: NewEngine, tools: Tools) -> AsyncIterator[Intake]:
    running = service(tools.settings)
    database = await new_engine("intake")
    hearing = Hearing(
        running.hears, running.sources,
        scope_attribute=running.scope_attribute, version_attribute=running.version_attribute,
    )
    executor = Executor(
        database, running.kinds, consumer=running.principal, source="urn:staffel:jugendamt:intake", hearing=hearing,
        address=running.address, new_id=running.new_id, seal=bytes(32),
    )
    gate = Gate(
        audience=running.principal, issuer=ISSUER, issuer_keys=Known((KEY,)), service_keys=Known((CONSENT, HANDOVER))
    )
    tools = replace(tools, engine=database, executor=executor)
    app = build(
        running.routes, service=running.name, problems=running.problems, gate=gate, executor=executor,
        views=database, resources=tools, fingerprint_key=bytes(32), version=running.version, new_id=new_id,
        ready=always,
    )
    await executor.start()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://intake") as client:
        yield Intake(client, executor, database, running, tools)
    await executor.stop()
