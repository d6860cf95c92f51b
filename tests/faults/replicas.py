"""One more process of a service, beside the one that runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import httpx

from deploy.embedded.ports import remembered
from deploy.embedded.processes import Server
from deploy.system import LOOK_EVERY_SECONDS, READY_SECONDS_MAX
from tests.faults.town import Town

INSTANCE = "1"


class Replica(NamedTuple):
    """A process and where it listens."""

    server: Server
    url: str


@asynccontextmanager
async def a_replica(town: Town, agency: str, name: str) -> AsyncIterator[Replica]:
    """It is ready; whatever becomes of it, it is gone afterwards."""
    port = remembered(town.system.data / "replica.json", ["replica"])["replica"]
    server = town.system.start_replica(agency, name, INSTANCE, port)
    town.callers.principals[port] = f"{agency}.{name}.{INSTANCE}"
    replica = Replica(server, f"http://127.0.0.1:{port}")
    try:
        async with asyncio.timeout(READY_SECONDS_MAX), httpx.AsyncClient(timeout=2.0) as client:
            while not await _is_ready(client, replica):
                server.must_run()
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        yield replica
    finally:
        server.kill()


async def _is_ready(client: httpx.AsyncClient, replica: Replica) -> bool:
    try:
        return (await client.get(f"{replica.url}/ready")).is_success
    except httpx.TransportError:
        return False
