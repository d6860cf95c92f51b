"""Real PostgreSQL and real Kafka for every test that needs them, started once per session."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from _pytest.terminal import TerminalReporter
from sqlalchemy.ext.asyncio import create_async_engine
from xdist.remote import Producer  # type: ignore[import-untyped]  # ships no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # ships no types

from chassis.database import chassis_revisions, chassis_tables
from deploy.embedded.cluster import Addresses
from deploy.migrations import migrate
from tests.embedded import embedded_for_tests

AGENCIES = ["jobcenter", "jugendamt", "agentur"]
SERVICES = ["intake", "consent", "handover", "offers"]
SAID = "said"

NewDatabase = Callable[[str | None], Awaitable[str]]
"""(service or None) -> DSN of a fresh database with that service's tables, or with the chassis' alone."""


# One town, and one set of services, for all tests of these folders: what is shared is started by one process only.
SHARING = ("journeys", "every_service", "hostile")
ALONE = ("models",)  # these tests share nothing, and some are long
LONGEST_FIRST = (*SHARING, *ALONE)

Say = Callable[[str], None]
"""Shows a figure at the end of the run, also where the test passes."""


class TogetherWhatShares(LoadScopeScheduling):  # type: ignore[misc]  # ships no types
    """Gives a process whole files, or a whole folder that shares what is costly."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        folder = path.parts[1]
        if folder in ALONE:
            return nodeid
        return folder if folder in SHARING else str(path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TogetherWhatShares:
    return TogetherWhatShares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs longest begins first, so that all processes end at about the same time."""
    here = Path(__file__).parent
    places = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.relative_to(here).parts[0], len(places)))


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Say:
    def show(line: str) -> None:
        record_property(SAID, line)

    return show


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Show what tests have said; they may have run in another process."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    if lines := [str(value) for report in reports for name, value in report.user_properties if name == SAID]:
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
async def embedded() -> AsyncIterator[Addresses]:
    async with embedded_for_tests(AGENCIES, SERVICES) as addresses:
        yield addresses


@asynccontextmanager
async def databases(embedded: Addresses) -> AsyncIterator[NewDatabase]:
    """Makes databases, and drops them at the end. The first of a kind is migrated and kept; the others are copies."""
    made: list[str] = []
    administrator = create_async_engine(embedded.postgres.administrator(), isolation_level="AUTOCOMMIT")

    async def make(service: str | None) -> str:
        name, template = f"test_{uuid.uuid4().hex}", f"template_{service or 'chassis'}"
        async with administrator.connect() as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = :name"
            if not (await connection.execute(sa.text(known), {"name": template})).scalar():
                await connection.execute(sa.text(f'CREATE DATABASE "{template}"'))
                await provide_tables(embedded.postgres.administrator(template), service)
            await connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        made.append(name)
        return embedded.postgres.administrator(name)

    yield make
    async with administrator.connect() as connection:
        for name in made:
            await connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await administrator.dispose()


async def provide_tables(dsn: str, service: str | None) -> None:
    """That service's tables, or the chassis' alone."""
    if service is not None:
        await migrate(dsn, service)
        return
    engine = create_async_engine(dsn)
    async with engine.begin() as connection:
        for revision in chassis_revisions():
            for statement in chassis_tables(revision):
                await connection.execute(sa.text(statement))
    await engine.dispose()


@pytest.fixture
async def new_database(embedded: Addresses) -> AsyncIterator[NewDatabase]:
    async with databases(embedded) as make:
        yield make
