"""One agency with its four services running as they do in production, and somebody who means them ill."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from chassis.auth import issue_bearer, read_key
from contracts.new_ids import new_id
from deploy.embedded.cluster import Addresses
from deploy.embedded.keys import TOKEN
from deploy.installation import SERVICES, Installation, read_alliance
from deploy.tokens import CLIENT
from tests.every_service.addresses import of
from tests.every_service.bodies import whole_body
from tests.every_service.scenes import nobody_yet
from tests.hostile.fence import Fence, FencedSystem

AGENCY = "jobcenter"
COMMANDS = {"intake": "register", "consent": "publish", "handover": "draft", "offers": "draft"}
"""service -> the command with the largest body."""

Parked = Counter[str]
"""How many, by the class of trouble."""


SERVING = {"intake": 201, "consent": 201, "handover": 409, "offers": 201}
"""What `serves` answers when all is well: handover is asked about a case that it has not heard of yet."""


@dataclass
class Target:
    """What runs, and how to reach it."""

    system: FencedSystem
    installation: Installation
    client: httpx.AsyncClient

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self._key = read_key(self.installation.keys(AGENCY).file(TOKEN))
        alliance = read_alliance(self.installation.alliances[0])
        (self._issuer,) = (agency.issuer for agency in alliance.agencies if agency.id == AGENCY)

    @property
    def addresses(self) -> Addresses:
        """Where Kafka and PostgreSQL are."""
        return self.system.addresses

    def token(self, service: str, *roles: str) -> str:
        """Of somebody who has not asked before: one caller alone would soon ask too often."""
        return issue_bearer(
            self._key, issuer=self._issuer, audience=f"{AGENCY}.{service}", subject=f"stranger-{next(self._numbers)}",
            client=CLIENT, roles=roles,
        )  # fmt: skip

    def url(self, service: str) -> str:
        """Where the service listens."""
        return self.installation.url(AGENCY, service)

    async def send(
        self, service: str, content: bytes, headers: Mapping[str, str] = MappingProxyType({})
    ) -> httpx.Response:
        """These bytes as the service's command with the largest body, from somebody who may give it."""
        route = of(service, COMMANDS[service])
        said = {
            "authorization": f"Bearer {self.token(service, min(route.allow.roles))}",
            "content-type": "application/json",
            "idempotency-key": str(new_id()),
        }
        return await self.client.post(f"{self.url(service)}{route.path}", content=content, headers={**said, **headers})

    def body(self, service: str) -> dict[str, Any]:
        """A whole body for the service's largest command."""
        route = of(service, COMMANDS[service])
        assert route.body is not None
        return whole_body(route.body, nobody_yet())

    async def rows(self, service: str, query: str, **values: object) -> Sequence[sa.Row[Any]]:
        """What a query finds in the database of a service."""
        dsn = self.addresses.postgres.administrator(f"{AGENCY}.{service}")
        engine = create_async_engine(dsn, poolclass=NullPool)
        async with engine.begin() as connection:
            return (await connection.execute(sa.text(query), values)).all()

    async def set_aside(self, service: str) -> Parked:
        """How much of what waits there, by the class of trouble; the bytes of no event by their reason."""
        parked = await self.rows(service, "SELECT error_class AS why, count(*) AS n FROM parked GROUP BY 1")
        unreadable = await self.rows(service, "SELECT reason AS why, count(*) AS n FROM unreadable GROUP BY 1")
        return Counter({str(row.why): row.n for row in (*parked, *unreadable)})

    async def serves(self) -> Mapping[str, int]:
        """The answer of each service to a command that is as it should be."""
        answers = {name: await self.send(name, whole(self.body(name))) for name in SERVICES}
        return {name: answer.status_code for name, answer in answers.items()}


def whole(body: object) -> bytes:
    """As it should be sent."""
    return httpx.Request("POST", "http://nowhere", json=body).read()


@asynccontextmanager
async def a_target(folder: Path) -> AsyncIterator[Target]:
    """Start everything; at the end it stops, and its data are gone."""
    async with AsyncExitStack() as running:
        system = FencedSystem(folder / "data", agencies=(AGENCY,))
        system.fence = Fence()
        running.callback(system.embedded.erase)
        running.callback(system.fence.open)
        installation = await running.enter_async_context(system)
        client = await running.enter_async_context(httpx.AsyncClient(timeout=30.0))
        yield Target(system, installation, client)
