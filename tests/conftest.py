"""Real PostgreSQL and real Kafka for every test that needs them, started once per session."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.database import chassis_revisions, chassis_tables
from deploy.embedded.cluster import Addresses
from deploy.migrations import migrate
from tests.embedded import embedded_for_tests

AGENCIES = ["jobcenter", "jugendamt", "agentur"]
SERVICES = ["intake", "consent", "handover", "offers"]

NewDatabase = Callable[[str | None], Awaitable[str]]
"""(service or None) -> DSN of a fresh database with that service's tables, or with the chassis' alone."""


@pytest.fixture(scope="session")
async def embedded() -> AsyncIterator[Addresses]:
    async with embedded_for_tests(AGENCIES, SERVICES) as addresses:
        yield addresses


@asynccontextmanager
async def databases(embedded: Addresses) -> AsyncIterator[NewDatabase]:
    """Makes databases, and drops them at the end."""
    made: list[str] = []
    administrator = create_async_engine(embedded.postgres.administrator(), isolation_level="AUTOCOMMIT")

    async def make(service: str | None) -> str:
        name = f"test_{uuid.uuid4().hex}"
        async with administrator.connect() as connection:
            await connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
        made.append(name)
        dsn = embedded.postgres.administrator(name)
        if service is not None:
            await migrate(dsn, service)
            return dsn
        engine = create_async_engine(dsn)
        async with engine.begin() as connection:
            for revision in chassis_revisions():
                for statement in chassis_tables(revision):
                    await connection.execute(sa.text(statement))
        await engine.dispose()
        return dsn

    yield make
    async with administrator.connect() as connection:
        for name in made:
            await connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await administrator.dispose()


@pytest.fixture
async def new_database(embedded: Addresses) -> AsyncIterator[NewDatabase]:
    async with databases(embedded) as make:
        yield make
