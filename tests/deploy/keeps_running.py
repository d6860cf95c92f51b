"""Run one instance on the folder of the first argument until killed: for the test that kills it."""

import asyncio
import sys
from pathlib import Path

from deploy.embedded.cluster import Embedded


async def _run() -> None:
    async with Embedded(Path(sys.argv[1]), ["jugendamt"], ["intake"]):
        print("ready", flush=True)  # noqa: T201  # the test waits for this line
        await asyncio.Event().wait()


asyncio.run(_run())
