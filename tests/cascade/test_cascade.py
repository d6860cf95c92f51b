"""A withdrawal along a chain of three agencies, the last of which is away longer than topics keep what was said.

The Jobcenter's dossier went to the youth office, which passed it on to a free provider. The young person takes the
consent back at the Jobcenter and nowhere else.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from contracts.codes import Service
from contracts.ids import AgencyId
from contracts.topics import heard_by
from deploy.desk import Desk
from deploy.installation import read_alliance
from deploy.story import Story
from deploy.system import System
from tests.chassis.broker import until
from tests.journeys.records import everything_said
from tests.journeys.retention import trim

A, B, C = "jobcenter", "jugendamt", "bruecke"
TO_C = "musterland.jugendamt.to.bruecke.consent"
PATIENCE_SECONDS = 60.0
ANSWERED_SECONDS_MAX = 5.0  # the promise to the young person, with or without anybody else

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]


@dataclass
class Chain:
    """Three agencies with all their services, and one desk at each."""

    system: System
    desks: dict[str, Desk]

    async def duties(self, agency: str, handover: str) -> list[dict[str, Any]]:
        """What that agency awaits or owes about this handover."""
        found = await self.desks[agency].get("consent", "/duties")
        return [duty for duty in found["duties"] if duty["handover"] == handover]

    async def duty_is(self, agency: str, handover: str, state: str) -> dict[str, Any]:
        """Wait for it."""
        found: list[dict[str, Any]] = []

        async def there() -> bool:
            found[:] = [duty for duty in await self.duties(agency, handover) if duty["state"] == state]
            return bool(found)

        await until(there, seconds=PATIENCE_SECONDS)
        return found[0]

    async def answers(self, agency: str, duty: dict[str, Any], **answer: str) -> None:
        """A caseworker says what becomes of the data."""
        body = {"handover": duty["handover"], **answer}
        await self.desks[agency].post("consent", f"/duties/{duty['id']}/answer", body)

    async def contents(self, agency: str, handover: str) -> list[dict[str, Any]]:
        """What that agency holds in the case that came by this handover."""
        found = await self.desks[agency].get("intake", f"/cases/{handover}/items")
        items: list[dict[str, Any]] = found["items"]
        return items

    def kill(self, agency: str) -> list[str]:
        """All its services end at once."""
        gone = [principal for principal in self.system.servers if principal.startswith(f"{agency}.")]
        for principal in gone:
            self.system.servers[principal].kill()
        return gone

    async def comes_back(self, principals: list[str]) -> None:
        """They start again."""
        for principal in principals:
            self.system.start(*principal.split("."))
        await self.system.ready(principals)


@pytest.fixture(scope="module")
async def chain(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chain]:
    async with AsyncExitStack() as running:
        system = System(tmp_path_factory.mktemp("chain") / "data", agencies=(A, B, C))
        running.callback(system.embedded.erase)
        installation = await running.enter_async_context(system)
        client = await running.enter_async_context(httpx.AsyncClient(timeout=10.0))
        desks = {
            agency: Desk(installation, agency, client, subject="caseworker-1", patience_seconds=PATIENCE_SECONDS)
            for agency in (A, B, C)
        }
        yield Chain(system, desks)


async def passed_on(chain: Chain) -> tuple[Story, Story]:
    """A young person's dossier goes from A to B, and from B to C; everybody has met the young person."""
    first = Story(chain.desks[A], chain.desks[B], given_names="Zora", family_name="Beispiel-Kette")
    await first.until_stored()
    await first.first_contact()
    await first.receiver_is("active")
    second = Story(chain.desks[B], chain.desks[C], case=first.handover, person=first.handover)
    await second.assign()
    await second.activate()
    second.items = [item["id"] for item in await chain.contents(B, first.handover)]
    steps: tuple[Callable[[], Awaitable[Any]], ...] = (second.consent_to, second.draft, second.propose)
    for step in steps:
        await step()
    await second.receiver_is("requested")
    await second.act(second.receiver, "acceptance")
    await second.dossier_is("stored")
    await second.first_contact()
    await second.sender_is("active")
    return first, second


async def forget(chain: Chain, agency: str) -> None:
    """What a month does: nothing of what this agency would hear lies on a topic any more, but for catalogues."""
    installation = chain.system.installation
    files = [read_alliance(file) for file in installation.alliances]
    heard = {topic for name in Service for topic in heard_by(AgencyId(agency), name, *files)}
    await trim(installation, {topic for topic in heard if not topic.endswith(".catalogue")})


async def test_everybody_along_the_chain_is_told_and_the_answer_comes_back_from_its_end(chain: Chain) -> None:
    first, second = await passed_on(chain)
    assert len(await chain.contents(C, second.handover)) == len(first.items)
    away = chain.kill(C)

    begun = time.monotonic()
    await first.withdraw_consent()
    answered_after = time.monotonic() - begun
    assert answered_after < ANSWERED_SECONDS_MAX

    owed = await chain.duty_is(B, first.handover, "owes")
    await chain.duty_is(B, second.handover, "awaits")
    await chain.answers(B, owed, answer="erased")
    await chain.duty_is(B, first.handover, "waits")
    assert await chain.contents(B, first.handover) == []
    assert [duty["state"] for duty in await chain.duties(A, first.handover)] == ["awaits"]
    await until(lambda: _told_to_the_last(chain), seconds=PATIENCE_SECONDS)
    await forget(chain, C)

    await chain.comes_back(away)
    theirs = await chain.duty_is(C, second.handover, "owes")
    await chain.answers(C, theirs, answer="erased")
    heard = await chain.duty_is(A, first.handover, "answered")
    assert (heard["answer"], heard["passed_on"]) == ("erased", [{"answer": "erased", "norm": None}])
    assert await chain.contents(C, second.handover) == []


async def _told_to_the_last(chain: Chain) -> bool:
    """Whether the word to C lies on its channel."""
    said = await everything_said(chain.system.installation)
    return any(each.topic == TO_C and each.type == "consent.withdrawal_notified" for each in said)
