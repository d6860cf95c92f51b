"""A process that serves the invented service until it is killed; says on which port, and as whom to ask."""

from __future__ import annotations

import asyncio

import uvicorn

from chassis.http.line import LineProtocol
from tests.chassis import http_service


async def _serve() -> None:
    http_service.STREAM_SECONDS = 60.0  # whoever ends it, it is not its deadline
    app = http_service.a_site().app
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=LineProtocol, lifespan="off", ws="none", log_config=None))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    print(port, http_service.as_party(), sep="\n", flush=True)  # noqa: T201  # to whoever has started us
    await serving


if __name__ == "__main__":
    asyncio.run(_serve())
