"""The consent service of the Jobcenter on a real database; its neighbours and Kafka are played by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
import yaml
from fastapi import FastAPI
from joserfc import jwe
from joserfc.jwk import OKPKey
from joserfc.registry import HeaderParameter
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.auth import Gate, issue_bearer, key_set, new_key, sign_party
from chassis.deadlines import due
from chassis.envelope import Envelope, from_record, key_of, to_headers
from chassis.errands import ErrandCall, Returned
from chassis.executor import Executor, Work
from chassis.http import build
from chassis.inbox import Hearing
from chassis.service import Service, Tools
from contracts.alliance import Alliance
from contracts.codes import AgeBand, HandoverState, Kind, Role, Sphere
from contracts.events import Event
from contracts.handover import HandoverProposed
from contracts.ids import CaseId, HandoverRef, ItemId, PersonId
from contracts.intake import CaseRegistered
from contracts.new_ids import new_id
from services.consent.app import service
from services.consent.door import Resources
from services.consent.errands import read_items
from services.consent.settings import Settings
from tests.conftest import NewEngine
from tests.consent.builders import ALLIANCE, JOBCENTER, JUGENDAMT, MUSTER, NOW, PURPOSE, SEALING, SIGNING, with_row

ISSUER = "urn:staffel:agency:jobcenter"
KEY = new_key("jobcenter.token")
NOWHERE = Path("nowhere")
DECLARED = {"giver": "self", "insight": True, "young_person_heard": True, "form": "written"}  # by the young person
AUDIENCE = "jobcenter.consent"
PUBLIC_URL = "https://consent.jobcenter.example"
DRIP_SECONDS = 0.01
LONG: dict[str, Any] = {"valid_from": date(2024, 1, 1), "valid_until": date(2035, 12, 31)}  # days of a row


class OneKey:
    """The issuer's only key."""

    def find(self, kid: str) -> OKPKey | None:
        """It, if it is meant."""
        return KEY if kid == KEY.kid else None


@dataclass
class Neighbours:
    """Own intake and own handover: what they would answer."""

    items: dict[UUID, dict[str, Any]] = field(default_factory=dict)
    handovers: dict[UUID, str] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    drips: bool = False
    """Whether an answer begins, goes on and never ends."""

    def put(self, content: str = "Zora Beispiel-Zimt", **changed: Any) -> UUID:
        """An item that intake has; its id."""
        item = new_id()
        self.items[item] = {
            "id": str(item), "category": "master_data", "entrusted": False, "special": False,
            "professional_secret": False, "entruster": None, "hash": "0" * 64, "content": content,
            "collected_from": "person", "received_by": None, **changed,
        }
        return item

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        request = await receive()
        status, answer = self._answer(scope["path"], request.get("body", b""))
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        while self.drips:
            await send({"type": "http.response.body", "body": b" ", "more_body": True})
            await asyncio.sleep(DRIP_SECONDS)
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    def _answer(self, path: str, body: bytes) -> tuple[int, Any]:
        service = "intake" if "items" in path else "handover"
        if service in self.down:
            return 503, {}
        if service == "intake":
            asked = [UUID(item) for item in json.loads(body)["items"]]
            return 200, [self.items[item] for item in asked if item in self.items]
        handover = UUID(path.rpartition("/")[2])
        if handover not in self.handovers:
            return 404, {}
        return 200, {
            "handover": str(handover), "state": self.handovers[handover], "side": "sender", "counterpart": "jugendamt",
            "alliance": "musterland", "purpose": PURPOSE, "kind": "transfer",
        }


@dataclass
class Consenting:
    """The running service, its neighbours, and who speaks to it."""

    app: FastAPI
    client: httpx.AsyncClient
    executor: Executor
    engine: AsyncEngine
    service: Service
    resources: Resources
    neighbours: Neighbours
    seqs: dict[tuple[str, UUID], int] = field(default_factory=dict)

    async def command(
        self, path: str, body: object, *, role: Role = Role.CASEWORKER, key: str | None = None
    ) -> httpx.Response:
        """A command of somebody with that role, under a key of its own."""
        said = {"Idempotency-Key": key or str(new_id()), **token(role)}
        return await self.client.post(path, json=body, headers=said)

    async def get(self, path: str, **query: Any) -> Any:
        """What a view answers to a caseworker."""
        answer = await self.client.get(path, params=query, headers=token(Role.CASEWORKER))
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def hear(self, topic: str, event: Event) -> None:
        """An event arrives from the broker, as the next one of its lane."""
        seq = self.seqs[topic, event.key] = self.seqs.get((topic, event.key), 0) + 1
        envelope = Envelope(
            id=new_id(), type=event.type, source="urn:staffel:tests", subject=event.subject, time=NOW,
            dataschema=f"urn:staffel:schema:{event.type}", subjectseq=seq,
            extensions={"alliance": "musterland", "allianceversion": "1"}, traceparent=None,
        )
        body = event.model_dump_json().encode()
        await self.executor.hear([from_record(topic, 0, seq, key_of(event.key), to_headers(envelope), body)])

    async def run_errands(self) -> None:
        """What was to be asked is asked, and its answer taken in."""
        for row in await self.rows("SELECT id, name, subject, key, about FROM errand"):
            (step,) = await read_items([ErrandCall(row.subject, row.about, 1, self.resources)])
            await self.executor.take_in(_returned(row), step, None)

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

    async def told(self) -> list[tuple[str, str]]:
        """(topic, short type) of everything said, in order."""
        rows = await self.rows("SELECT topic, type FROM event_log ORDER BY pos")
        return [(row.topic, row.type.removeprefix("staffel.").removesuffix(".v1")) for row in rows]

    async def parked(self) -> list[str]:
        """Why events wait."""
        return [row.reason for row in await self.rows("SELECT reason FROM parked")]

    # --- stories ---

    async def a_person(self, age_band: AgeBand = AgeBand.FROM_18_TO_20) -> UUID:
        """Somebody with a case; a young adult where nothing else is said."""
        person = PersonId(new_id())
        await self.hear("jobcenter.intake.events", CaseRegistered(
            case=CaseId(new_id()), person=person, sphere=Sphere.SGB_II, age_band=age_band, handover=None
        ))
        return person

    async def a_notice(self) -> str:
        """A notice that is valid."""
        since = "2026-01-01T00:00:00Z"
        body = {"language": "de", "plain_language": True, "text": "Wir fragen dich.", "valid_from": since}
        answer = await self.command("/notices", body, role=Role.TEAM_LEAD)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def given(self, person: UUID, **changed: Any) -> str:
        """A consent for the youth office: master data and school."""
        grant = {
            "alliance": "musterland", "recipient": "jugendamt", "purpose": PURPOSE,
            "categories": ["master_data", "school"],
        }
        body = {
            "person": str(person), **DECLARED, "notice": await self.a_notice(),
            "grants": [{**grant, **changed}],
        }
        answer = await self.command("/consents", body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def proposed(
        self, person: UUID, items: Sequence[UUID], state: HandoverState = HandoverState.ACCEPTED
    ) -> UUID:
        """A handover of these items to the youth office, decided; own handover says it is in that state."""
        handover = HandoverRef(new_id())
        await self.hear("jobcenter.handover.events", HandoverProposed(
            handover=handover, case=CaseId(new_id()), person=PersonId(person), alliance=MUSTER, recipient=JUGENDAMT,
            kind=Kind.TRANSFER, purpose=PURPOSE, items=tuple(ItemId(item) for item in items),
        ))
        await self.run_errands()
        self.neighbours.handovers[handover] = state
        return handover

    async def fetch(
        self, handover: UUID, *, agency: str = "jugendamt", items: Sequence[UUID] | None = None, **more: Any
    ) -> httpx.Response:
        """That agency's intake comes to the door."""
        body: dict[str, Any] = {"handover": str(handover), **more}
        if items is not None:
            body["items"] = [str(item) for item in items]
        return await self.client.post("/releases", json=body, headers=party_token(agency))

    async def withdraw(self, person: UUID, consent: str, **more: Any) -> httpx.Response:
        """The person takes it back."""
        return await self.command(f"/consents/{consent}/withdrawal", {"person": str(person), **more})


def _returned(row: Any) -> Returned:
    return Returned(row.name, row.subject, row.key, row.id)


def opened(body: bytes) -> dict[str, Any]:
    """What the youth office reads."""
    names = {name: HeaderParameter(name, "str") for name in ("handover", "recipient", "release")}
    registry = jwe.JWERegistry(header_registry=names, algorithms=["ECDH-ES+A256KW", "A256GCM"])
    registry.max_ciphertext_length = 400_000
    found = jwe.decrypt_compact(body, SEALING[JUGENDAMT], registry=registry)
    assert found.plaintext is not None
    dossier: dict[str, Any] = json.loads(found.plaintext)
    assert (found.protected["handover"], found.protected["recipient"]) == (dossier["handover"], "jugendamt")
    return dossier


def token(role: Role) -> dict[str, str]:
    """The header of somebody with that role."""
    bearer = issue_bearer(KEY, issuer=ISSUER, audience=AUDIENCE, subject="tests", client="tests", roles=[role])
    return {"Authorization": f"Bearer {bearer}"}


def party_token(agency: str) -> dict[str, str]:
    """The header of another agency's intake."""
    key = next(key for name, key in SIGNING.items() if name == agency)
    return {"Authorization": f"Bearer {sign_party(key, party=agency, role='intake', audience=AUDIENCE)}"}


def settings(folder: Path, alliance: Alliance) -> Settings:
    """What the Jobcenter's environment says, as far as these tests need it."""
    file = folder / "musterland.yaml"
    file.write_text(yaml.safe_dump(alliance.model_dump(mode="json", by_alias=True)), "utf-8")
    files: Mapping[str, Path] = dict.fromkeys(
        ("kafka_ca", "kafka_certificate", "kafka_key", "issuer_keys", "service_keys", "service_key"), NOWHERE
    )
    keys = folder / "signing.json"
    keys.write_text(key_set([SIGNING[JOBCENTER]], private=True), "utf-8")
    said = {
        "database": "postgresql+asyncpg://nowhere", "kafka": "", "issuer": ISSUER, "port": 1, "agency": JOBCENTER,
        "alliances": (file,), "party_signing_keys": keys, "public_url": PUBLIC_URL,
        "intake_url": "http://intake", "handover_url": "http://handover",
    }
    return Settings.model_validate({**files, **said})


async def always() -> bool:
    """Ready."""
    return True


@pytest.fixture(scope="session")
def said(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings, read once: taking alliance files apart takes longer than most of these tests."""
    return settings(tmp_path_factory.mktemp("consent"), with_row(ALLIANCE, **LONG))


@pytest.fixture
async def consenting(new_engine: NewEngine, said: Settings) -> AsyncIterator[Consenting]:
    running = service(said)
    database = await new_engine("consent")
    hearing = Hearing(
        running.hears, running.sources,
        scope_attribute=running.scope_attribute, version_attribute=running.version_attribute,
    )
    executor = Executor(
        database, running.kinds, consumer=running.principal, source="urn:staffel:jobcenter:consent", hearing=hearing,
        address=running.address, new_id=running.new_id, seal=bytes(32),
    )
    neighbours = Neighbours()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(neighbours)) as inner:
        resources = running.resources(Tools(running.settings, database, executor, inner, lambda audience: audience))
        gate = Gate(
            audience=running.principal, issuer=ISSUER, issuer_keys=OneKey(), service_keys=OneKey(),
            party_keys=running.party_keys,
        )
        app = build(
            running.routes, service=running.name, problems=running.problems, gate=gate, executor=executor,
            views=database, resources=resources, fingerprint_key=bytes(32), version=running.version, new_id=new_id,
            ready=always, requests_per_second=100_000,
        )
        await executor.start()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://consent") as client:
            yield Consenting(app, client, executor, database, running, resources, neighbours)
        await executor.stop()
