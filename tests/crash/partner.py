"""An agency whose own software speaks: sometimes a word too early, sometimes a word that nobody here knows yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from aiokafka import AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types

from chassis.envelope import Envelope, key_of, to_headers
from contracts.addressing import postmarks
from contracts.events import Event
from contracts.handover import HandoverRequested, HandoverWithdrawn
from contracts.ids import AgencyId
from contracts.new_ids import new_id
from deploy.installation import Installation, read_alliance
from deploy.reading import tls_of
from deploy.tokens import access_token
from tests.crash.gather import Eyes
from tests.crash.history import History, Retried

NAME, ALLIANCE = "agentur", "musterland"
EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 60.0
ROUND_SECONDS = 4.0  # far fewer lanes in a minute than a deployment that parks everything
NEWER_EVERY = 4
EFFECTS = "SELECT count(*) FROM event_log WHERE headers @> CAST(:cause AS jsonb)"


class Partner:
    """Tells `receiver` of handovers, as its channel allows."""

    def __init__(self, installation: Installation, receiver: str, eyes: Eyes, history: History) -> None:
        self._installation, self._receiver, self._eyes, self._history = installation, receiver, eyes, history
        alliances = [read_alliance(file) for file in installation.alliances]
        self._postmark = postmarks(AgencyId(NAME), alliances)
        self._principal = f"{receiver}.handover"
        self._topic = f"{ALLIANCE}.{NAME}.to.{receiver}.handover"
        self.stopping = False
        history.strangers.add(self._topic)

    @asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._installation.bootstrap, security_protocol="SSL",
            ssl_context=tls_of(self._installation, f"{NAME}.handover"),
        )
        await producer.start()
        try:
            yield producer
        finally:
            await producer.stop()

    async def speak(self) -> None:
        """Round after round until told to stop; each is whole."""
        async with self._producer() as producer:
            rounds = 0
            while not self.stopping:
                if rounds % NEWER_EVERY == 0:
                    await self._newer(producer)
                else:
                    await self._too_early(producer)
                rounds += 1
                await asyncio.sleep(ROUND_SECONDS)

    async def _newer(self, producer: AIOKafkaProducer) -> None:
        """A type of the next major version: nobody here can hear it, so it waits for a human."""
        asked = self._asked()
        told = await self._tell(producer, asked, 1, type_=HandoverRequested.type.replace(".v1", ".v2"))
        self._history.parked_on_purpose.add(str(told))

    async def _too_early(self, producer: AIOKafkaProducer) -> None:
        """The second word before the first: it is held, and heard once when the first has come."""
        asked = self._asked()
        second = HandoverWithdrawn(handover=asked.handover)
        id_ = await self._tell(producer, second, 2)
        seen = await self._is_shown(str(asked.handover))
        await asyncio.gather(self._retry(asked.handover), self._retry(asked.handover))  # nothing has come: no effect
        await self._tell(producer, asked, 1)
        await asyncio.gather(self._retry(asked.handover), self._retry(asked.handover))
        self._history.retried.append(Retried(self._principal, str(id_), seen, await self._effects(id_)))

    def _asked(self) -> HandoverRequested:
        example = json.loads((EXAMPLES / f"{HandoverRequested.type}.json").read_bytes())
        return HandoverRequested.model_validate_json(json.dumps({**example, "handover": str(new_id())}))

    async def _tell(self, producer: AIOKafkaProducer, fact: Event, number: int, type_: str = "") -> UUID:
        mark = self._postmark(fact, self._receiver, ALLIANCE)
        id_ = new_id()
        envelope = Envelope(
            id_, type_ or fact.type, f"urn:staffel:{NAME}:handover", mark.subject, datetime.now(UTC), mark.dataschema,
            number, dict(mark.extensions), None,
        )
        await producer.send_and_wait(
            mark.topic, fact.model_dump_json().encode(), key_of(fact.key), headers=to_headers(envelope)
        )
        return id_

    async def _is_shown(self, key: str) -> bool:
        """Whether an operator sees the lane with the class of its trouble, soon."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while True:
                    shown = await self._ask("GET", f"/parked/{self._topic}/{key}")
                    if shown and any(event["error_class"] == "gap" for event in shown["events"]):
                        return True
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            return False

    async def _retry(self, key: UUID) -> None:
        await self._ask("POST", f"/parked/{self._topic}/{key}/retry")

    async def _ask(self, method: str, path: str) -> Any:
        """What the service says to an operator; None while it is dead."""
        token = access_token(self._installation, self._receiver, "handover", ["operator"], "operator")
        headers = {"authorization": f"Bearer {token}", "idempotency-key": str(new_id())}
        url = f"{self._installation.url(self._receiver, 'handover')}{path}"
        try:
            async with httpx.AsyncClient(timeout=20.0) as client:
                answer = await client.request(method, url, headers=headers, json=None if method == "GET" else {})
        except httpx.TransportError:
            return None
        return answer.json() if answer.is_success else None

    async def _effects(self, id_: UUID) -> int:
        """How often it has had its effect, once it has had one."""
        cause = json.dumps([["ce_causationid", str(id_)]])
        found = 0
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not found:
                    ((found,),) = await self._eyes.rows(self._principal, EFFECTS, cause=cause)
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            pass
        return found
