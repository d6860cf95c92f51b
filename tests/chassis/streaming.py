"""A process that serves the invented service until it is killed; says on which port, and as whom to ask."""

from __future__ import annotations

import asyncio
import socket

import uvicorn

from chassis.http.server import Server
from tests.chassis import http_service


async def _serve() -> None:
    http_service.STREAM_SECONDS = 60.0  # whoever ends it, it is not its deadline
    app = http_service.a_site().app
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], http_service.as_party(), sep="\n", flush=True)  # noqa: T201  # to whoever has started us
        await Server(uvicorn.Config(app, lifespan="off", ws="none", log_config=None), listener).serve()


if __name__ == "__main__":
    asyncio.run(_serve())
