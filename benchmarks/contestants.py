"""Who runs the services of the two agencies: the product, or one of its opponents on the same ground."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.ground import Ground
from deploy.embedded.guard import Guard
from deploy.embedded.processes import Program, Server
from deploy.installation import SERVICES
from deploy.system import STOP_SECONDS_MAX

ROOT: Final = Path(__file__).parent.parent

Pids = Mapping[str, int]
Runs = Callable[[Ground], AbstractAsyncContextManager[Pids]]
"""Starts all eight services, waits until they are ready, yields their processes by principal, stops them."""


@asynccontextmanager
async def ours(ground: Ground, down: str = "") -> AsyncIterator[Pids]:
    """The product as it is; `down`: without this service, which whoever asked for that starts later."""
    system = ground.system
    for agency in system.agencies:
        for name in SERVICES:
            if f"{agency}.{name}" != down:
                system.start(agency, name)
    try:
        await system.ready(system.servers)
        yield {principal: server.pid for principal, server in system.servers.items()}
    finally:
        await ground.stop_services()


@asynccontextmanager
async def opponent(module: str, ground: Ground) -> AsyncIterator[Pids]:
    """`python -m <module> <agency> <service> <data>` for each service, in the places of the product's."""
    system, guard = ground.system, Guard()
    for agency in system.agencies:
        for name in SERVICES:
            principal = f"{agency}.{name}"
            log = system.data / "logs" / f"{principal}.log"
            command = [sys.executable, "-m", module, agency, name, str(system.data)]
            program = Program(principal, command, signal.SIGTERM, log, log, {"PYTHONPATH": str(ROOT)})
            system.servers[principal] = Server(program, guard)
    try:
        await system.ready(system.servers)
        yield {principal: server.pid for principal, server in system.servers.items()}
    finally:
        for server in system.servers.values():
            server.tell_to_stop()
        await asyncio.gather(*(server.stopped(STOP_SECONDS_MAX) for server in system.servers.values()))
        system.servers.clear()
        guard.close()


CONTESTANTS: Final[Mapping[str, Runs]] = {
    "ours": ours,
    "yardstick": partial(opponent, "benchmarks.yardstick"),
    "tutorial": partial(opponent, "benchmarks.tutorial"),
}
