"""Clients that go on whatever dies, and write down what they ask before they ask it."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from contracts.new_ids import new_id
from deploy.desk import AGAIN_SECONDS, Desk, ProblemError, read
from deploy.installation import Installation
from deploy.story import ALLIANCE, CATEGORIES, Story
from tests.crash.door import Door
from tests.crash.history import Asked, Attempt, History
from tests.journeys import canary

PATIENCE_SECONDS = 45.0  # for news; a service that is killed again and again takes its time
GIVES_UP, ASKS_AGAIN = 0.03, 0.2  # of all commands: left alone at the first cut, repeated after the answer
SHORT_CONSENT_SECONDS = (3.0, 8.0)
REPORTS = 1  # 30 KB: a dossier then comes in several pieces


class GivenUpError(Exception):
    """A client does not wait any longer; what became of its command it does not know."""


class RecordingDesk(Desk):
    """A desk that keeps the record from which the history is judged."""

    def __init__(
        self, installation: Installation, agency: str, client: httpx.AsyncClient, *, history: History,
        chance: random.Random, subject: str,
    ) -> None:
        super().__init__(installation, agency, client, subject=subject, patience_seconds=PATIENCE_SECONDS)
        self._history, self._chance = history, chance

    async def post(
        self,
        service: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        roles: tuple[str, ...] = (),
        key: str | None = None,
        if_match: int | None = None,  # noqa: ARG002  # no story of ours names a version
        method: str = "POST",
    ) -> dict[str, Any]:
        """One command, sent until it is answered; now and then given up, now and then repeated afterwards."""
        asked = Asked(self.agency, service, method, path, key or str(new_id()), _about(body or {}))
        self._history.asked.append(asked)
        patience = 0.0 if self._chance.random() < GIVES_UP else PATIENCE_SECONDS
        again = self._chance.random() < ASKS_AGAIN
        answer = await self._until_answered(asked, body, roles, patience)
        if again and answer.is_success:
            await self._until_answered(asked, body, roles, patience)
        return read(answer)

    async def get(self, service: str, path: str, *, roles: tuple[str, ...] = ()) -> dict[str, Any]:
        """One view; a service that is just dead is asked again."""
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return await super().get(service, path, roles=roles)
            except httpx.TransportError:
                if time.monotonic() > until:
                    raise
            except ProblemError as error:
                if error.status != httpx.codes.SERVICE_UNAVAILABLE or time.monotonic() > until:
                    raise
            await asyncio.sleep(AGAIN_SECONDS)

    async def _until_answered(
        self, asked: Asked, body: Mapping[str, Any] | None, roles: tuple[str, ...], patience: float
    ) -> httpx.Response:
        url = f"{self.installation.url(self.agency, asked.service)}{asked.path}"
        until = time.monotonic() + patience
        while True:
            attempt = Attempt()
            asked.attempts.append(attempt)
            headers = self.headers(asked.service, roles) | {"idempotency-key": asked.key}
            try:
                answer = await self._client.request(asked.method, url, json=body or {}, headers=headers)
            except httpx.TransportError as error:
                if time.monotonic() > until:
                    raise GivenUpError from error
            else:
                if "retry-after" not in answer.headers and not answer.is_server_error:
                    attempt.status, attempt.body = answer.status_code, answer.text
                    attempt.replayed = "idempotency-replayed" in answer.headers
                    return answer
                if time.monotonic() > until:
                    raise GivenUpError
            await asyncio.sleep(AGAIN_SECONDS)


def _about(body: Mapping[str, Any]) -> dict[str, str]:
    about = {name: body[name] for name in ("case", "person") if isinstance(body.get(name), str)}
    if isinstance(person := body.get("person"), dict):
        found = re.search(canary.STEM + "[a-z]+", person["family_name"])
        about["mark"] = found[0] if found else ""
    return about


@dataclass
class Tale(Story):
    """A story of which the judge knows when the door must be shut."""

    door: Door | None = None
    history: History = field(default_factory=History)

    def shut(self, why: str) -> None:
        """From now on no byte may come."""
        if self.door is not None and self.handover:
            self.history.shut += self.door.shut(why, [self.handover])

    async def withdraw(self) -> None:
        """The young person takes the consent back; at the answer the door is shut."""
        await self.withdraw_consent()
        self.shut('the answer "withdrawn"')

    async def consent_for(self, seconds: float) -> datetime:
        """A consent that ends by itself."""
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        grant = {"alliance": ALLIANCE, "recipient": self.receiver.agency, "purpose": self.purpose,
                 "categories": list(CATEGORIES), "valid_until": until.isoformat()}
        await self.sender.post("consent", "/consents", {
            "person": self.person, "giver": "self", "insight": True, "young_person_heard": True, "form": "written",
            "notice": await self.publish_notice(), "grants": [grant],
        })
        return until

    async def begun(self) -> None:
        """Registered, active, allowed, drafted and asked."""
        await self.register()
        await self.assign()
        await self.activate()
        await self.consent_to()
        await self.draft()
        await self.propose()


async def completed(tale: Tale, chance: random.Random) -> None:
    """From the first visit to the outcome."""
    await tale.begun()
    await tale.receiver_is("requested")
    await tale.act(tale.receiver, "acceptance")
    await tale.dossier_is("stored")
    await tale.first_contact()
    await tale.complete()


async def withdrawn_at_any_moment(tale: Tale, chance: random.Random) -> None:
    """Mostly while the dossier is on its way."""
    await tale.begun()
    await tale.receiver_is("requested")
    await tale.act(tale.receiver, "acceptance")
    await asyncio.sleep(chance.uniform(0.1, 1.5))
    await tale.withdraw()


async def withdrawn_after_storage(tale: Tale, chance: random.Random) -> None:
    """The receiver has it already and leads."""
    await tale.begun()
    await tale.receiver_is("requested")
    await tale.act(tale.receiver, "acceptance")
    await tale.dossier_is("stored")
    await tale.first_contact()
    await tale.withdraw()


async def given_back(tale: Tale, chance: random.Random) -> None:
    """The receiver has it and gives it back: what came is erased."""
    await tale.begun()
    await tale.receiver_is("requested")
    await tale.act(tale.receiver, "acceptance")
    await tale.dossier_is("stored")
    await tale.act(tale.receiver, "give-back", {"reason": "not_competent"})


async def crossed(tale: Tale, chance: random.Random) -> None:
    """The sender no longer asks while the receiver says no."""
    await tale.begun()
    await tale.receiver_is("requested")

    async def after(seconds: float, doing: Callable[[], Awaitable[object]]) -> None:
        await asyncio.sleep(seconds)
        try:
            await doing()
        except ProblemError as no:
            if no.status != 409:
                raise

    await asyncio.gather(
        after(chance.uniform(0, 0.2), lambda: tale.act(tale.sender, "withdrawal")),
        after(chance.uniform(0, 0.2), lambda: tale.act(tale.receiver, "rejection", {"reason": "no_capacity"})),
    )


async def run_out(tale: Tale, chance: random.Random) -> None:
    """The consent ends by itself, before or after the fetch."""
    await tale.register()
    await tale.assign()
    await tale.activate()
    until = await tale.consent_for(chance.uniform(*SHORT_CONSENT_SECONDS))
    await tale.draft()
    await tale.propose()
    try:
        async with asyncio.timeout((until - datetime.now(UTC)).total_seconds()):
            await tale.receiver_is("requested")
            await tale.act(tale.receiver, "acceptance")
    except TimeoutError:
        pass
    await asyncio.sleep((until - datetime.now(UTC)).total_seconds())
    tale.shut("the end of the consent")


PLOTS: Sequence[tuple[Callable[[Tale, random.Random], Awaitable[None]], int]] = (
    (completed, 3), (withdrawn_at_any_moment, 5), (withdrawn_after_storage, 2), (given_back, 2), (crossed, 2),
    (run_out, 3),
)  # fmt: skip


@dataclass
class Clients:
    """Several clients, each with one story after the other until they are told to stop."""

    installation: Installation
    http: httpx.AsyncClient
    door: Door
    history: History
    seed: int
    begun: int = 0
    ended: int = 0
    given_up: int = 0
    stopping: bool = False

    async def publish_notice(self, sender: str, receiver: str) -> None:
        """What people are told, once: two at the same time would publish two."""
        desks = [Desk(self.installation, agency, self.http) for agency in (sender, receiver)]
        await Tale(desks[0], desks[1]).publish_notice()

    async def have_told(self, stories: int, seconds_max: float) -> None:
        """Wait until so many stories are told, or so long."""
        until = time.monotonic() + seconds_max
        while self.ended < stories and time.monotonic() < until:  # noqa: ASYNC110  # any client may be the one
            await asyncio.sleep(AGAIN_SECONDS)

    async def one(self, number: int, sender: str, receiver: str) -> None:
        """One client."""
        chance = random.Random(f"{self.seed} client {number}")  # noqa: S311  # chooses stories, guards nothing
        desks = [
            RecordingDesk(self.installation, agency, self.http, history=self.history, chance=chance,
                          subject=f"caseworker-{number}")
            for agency in (sender, receiver)
        ]  # fmt: skip
        plots, weights = zip(*PLOTS, strict=True)
        while not self.stopping:
            (plot,) = chance.choices(plots, weights)
            tale = self.tale(desks)
            try:
                await plot(tale, chance)
                self.ended += 1
            except (GivenUpError, TimeoutError, httpx.TransportError):
                self.given_up += 1
            except ProblemError as no:
                if no.status not in {409, 503} and no.reason != "retroactive":
                    raise
                self.given_up += 1  # something in the story was too late, for example a short consent

    def tale(self, desks: Sequence[Desk]) -> Tale:
        """The story of somebody new, in which nothing has happened yet."""
        number = self.begun
        self.begun += 1
        word = canary.mark(number)
        return Tale(
            desks[0], desks[1], given_names=f"Zoë {word}é", family_name=f"Beispiel-{word}ß",
            birth_date=canary.birth_date(number), phone=canary.phone(number), wish=f"{word} möchte Tischlerin werden",
            reports=REPORTS, door=self.door, history=self.history,
        )
