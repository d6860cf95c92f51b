"""The target's services as stories know them: played over HTTP, so that what questions name is there, in some state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import httpx
from fastapi import FastAPI

from chassis.database import engine
from chassis.service import executor_of
from tests.every_service.running import HOME, OTHER, SECRET, Running, service_of
from tests.hostile.target import Target


@asynccontextmanager
async def remote(target: Target, name: str) -> AsyncIterator[Running]:
    """The running service of that name; it is its own process that answers."""
    installation, dsn = target.installation, target.addresses.dsn(HOME, name)
    service = service_of(installation, name, dsn)
    async with AsyncExitStack() as open_:
        database = engine(target.addresses.postgres.administrator(f"{HOME}.{name}"))
        open_.push_async_callback(database.dispose)
        executor = executor_of(service, database, SECRET)
        executor.hear = executor.hear_aside  # type: ignore[method-assign]  # the service's own place does not move
        await executor.start()
        open_.push_async_callback(executor.stop)
        client = await open_.enter_async_context(httpx.AsyncClient(base_url=target.url(name), timeout=30.0))
        keys = installation.keys(HOME), installation.keys(OTHER)
        nowhere = cast("FastAPI", None)  # it runs in a process of its own
        yield Running(service, database, executor, nowhere, client, *keys, cast("Any", None))
