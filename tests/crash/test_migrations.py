"""A migration that dies in the middle has changed nothing, and the next one is whole."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.crashpoints import AT, FOLDER
from chassis.database import chassis_revisions
from deploy.embedded.cluster import Addresses
from tests.conftest import Say
from tests.crash.points import MIGRATING
from tests.every_service.anatomy import SERVICES

STEPS = len(chassis_revisions())  # a service has a revision for each of the chassis'


@asynccontextmanager
async def _an_empty_database(embedded: Addresses) -> AsyncIterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    administrator = create_async_engine(embedded.postgres.administrator(), isolation_level="AUTOCOMMIT")
    async with administrator.connect() as connection:
        await connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
        yield embedded.postgres.administrator(name)
        await connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await administrator.dispose()


async def _migrated(service: str, dsn: str, **environment: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", "migrate", service, "--database", dsn,
        env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    return await process.wait()


async def _tables(dsn: str) -> int:
    engine = create_async_engine(dsn)
    async with engine.connect() as connection:
        names = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
        found = int((await connection.execute(sa.text(names))).scalar_one())
    await engine.dispose()
    return found


async def _dies_and_is_whole_afterwards(embedded: Addresses, folder: Path, service: str, steps: Iterable[int]) -> None:
    """One database dies at each of these steps, one after the other, and is then migrated to the end."""
    async with _an_empty_database(embedded) as dsn:
        for step in steps:
            at = {AT: f"{MIGRATING}:{step}", FOLDER: str(folder)}
            assert await _migrated(service, dsn, **at) == -signal.SIGKILL
            assert await _tables(dsn) == 0
        assert await _migrated(service, dsn) == 0
        assert await _tables(dsn) > 10


async def test_a_migration_that_dies_in_the_middle_has_changed_nothing(embedded: Addresses, tmp_path: Path) -> None:
    await _dies_and_is_whole_afterwards(embedded, tmp_path, "consent", [STEPS])


@pytest.mark.prove
@pytest.mark.timeout(900)
async def test_every_services_migrations_may_die_at_every_step(embedded: Addresses, tmp_path: Path, say: Say) -> None:
    for service in SERVICES:
        await _dies_and_is_whole_afterwards(embedded, tmp_path, service, range(1, STEPS + 1))
    reached, killed = ((tmp_path / name).stat().st_size for name in (MIGRATING, f"{MIGRATING}.killed"))
    say(f"{'point':<24}{'reached':>10}{'killed':>8}\n{MIGRATING:<24}{reached:>10}{killed:>8}")
    assert killed == len(SERVICES) * STEPS >= 3
