"""A service whose database is put back to what it was a while ago, and the command that mends it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.system import System
from tests.chassis.broker import until


@asynccontextmanager
async def restored(system: System, principal: str) -> AsyncIterator[None]:
    """What happens inside is not in the database afterwards; the service runs again, and is not waited for.

    What it said meanwhile has left it: where nobody has heard of anything that is lost, there is nothing to notice.
    """
    await _databases(
        system,
        f'ALTER DATABASE "{principal}" ALLOW_CONNECTIONS false',  # a backup while the service runs: it waits
        _gone(principal),
        f'CREATE DATABASE "{principal}.backup" TEMPLATE "{principal}"',
        f'ALTER DATABASE "{principal}" ALLOW_CONNECTIONS true',
    )
    await system.ready([principal])
    yield
    await _everything_has_left(system, principal)
    system.servers[principal].kill()
    await _databases(
        system,
        f'DROP DATABASE "{principal}" WITH (FORCE)',
        f'CREATE DATABASE "{principal}" OWNER "{principal}" TEMPLATE "{principal}.backup"',
        f'REVOKE ALL ON DATABASE "{principal}" FROM PUBLIC',
        f'DROP DATABASE "{principal}.backup" WITH (FORCE)',
    )
    system.start(*principal.split("."))


def _gone(principal: str) -> str:
    return f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{principal}'"  # noqa: S608  # our own names


async def _databases(system: System, *statements: str) -> None:
    engine = create_async_engine(system.addresses.postgres.administrator(), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))
    await engine.dispose()


async def _everything_has_left(system: System, principal: str) -> None:
    engine = create_async_engine(system.addresses.postgres.administrator(principal), isolation_level="AUTOCOMMIT")

    async def nothing_waits() -> bool:
        async with engine.connect() as connection:
            return not (await connection.execute(sa.text("SELECT pos FROM outbox"))).all()

    try:
        await until(nothing_waits, seconds=60.0)
    finally:
        await engine.dispose()


async def stays_shut(system: System, principal: str) -> None:
    """Wait until it answers that it is not ready, and why."""
    agency, _, name = principal.partition(".")
    url = f"{system.installation.url(agency, name)}/ready"

    async def says_so() -> bool:
        try:
            answer = await client.get(url)
        except httpx.TransportError:
            return False
        return answer.status_code == 503 and answer.json().get("because") == "restored"

    async with httpx.AsyncClient(timeout=10.0) as client:
        await until(says_so, seconds=60.0)


async def recover(system: System, principal: str, *options: str) -> tuple[int, str]:
    """`staffel recover`: its exit code and what it said."""
    agency, _, name = principal.partition(".")
    command: Sequence[str] = (
        sys.executable, "-m", "deploy.cli", "recover", "--agency", agency, "--service", name, "--by", "operator-1",
        "--data", str(system.data), *options,
    )
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
