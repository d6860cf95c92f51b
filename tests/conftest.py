"""Real PostgreSQL and real Kafka for every test that needs them, started once per session."""

from __future__ import annotations

import os
import pickle
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from _pytest.terminal import TerminalReporter
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool
from xdist.remote import Producer  # type: ignore[import-untyped]  # ships no types
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # ships no types

from chassis.database import chassis_revisions, chassis_tables, engine
from deploy.embedded.cluster import Addresses
from deploy.migrations import migrate
from tests.embedded import embedded_for_tests
from tests.turns import ALL, seated

AGENCIES = ["jobcenter", "jugendamt", "agentur"]
SERVICES = ["intake", "consent", "handover", "offers"]
SAID = "said"
LENT = "STAFFEL_TESTS_EMBEDDED"
"""A file with the addresses of a PostgreSQL and a Kafka that somebody else has started and will stop."""

NewDatabase = Callable[[str | None], Awaitable[str]]
"""(service or None) -> DSN of an empty database with that service's tables, or with the chassis' alone."""

NewEngine = Callable[[str | None], Awaitable[AsyncEngine]]
"""The same, as the way to it: a service's engine, which is kept with the database and need not warm up again."""


# One town, and one set of services, for all tests of these folders: what is shared is started by one process only.
SHARING = ("journeys", "every_service", "hostile", "faults")
FILLS = ("test_flood_long.py",)  # so many rows that everybody after it would be slowed: it has a town of its own
ALONE = ("models", "simulation")  # these tests share nothing, and some are long
LONGEST_FIRST = (
    "faults", "journeys", "simulation/test_histories.py", "crash/test_crash.py", "mutants", "every_service", "hostile",
    "deploy", "models", "consent", "handover", "intake",
)  # fmt: skip

Say = Callable[[str], None]
"""Shows a figure at the end of the run, also where the test passes."""


class TogetherWhatShares(LoadScopeScheduling):  # type: ignore[misc]  # ships no types
    """Gives a process whole files, or a whole folder that shares what is costly."""

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        folder = path.parts[1]
        if folder in ALONE:
            return nodeid
        return folder if folder in SHARING and path.name not in FILLS else str(path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TogetherWhatShares:
    return TogetherWhatShares(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What runs longest begins first, so that all processes end at about the same time.

    What measures the machine comes before all of that: whatever was started beside it would stand there idle, and that
    takes a part of the machine, too.
    """
    items.sort(key=lambda item: (_seats(item) < ALL, _place(item.path.relative_to(Path(__file__).parent).as_posix())))


def _seats(item: pytest.Item) -> int:
    """How much of the machine it needs; most proofs a seat of those there are."""
    needs = item.get_closest_marker("seats")
    return 1 if needs is None else int(needs.args[0])


def _place(path: str) -> int:
    """Where a file stands in the order of all; those that are short come last."""
    return next((place for place, name in enumerate(LONGEST_FIRST) if path.startswith(name)), len(LONGEST_FIRST))


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before its time begins to count
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Proofs of one run go side by side; one that needs more of the machine says how many `seats`."""
    if item.get_closest_marker("prove") is None:
        return (yield)
    cache: pytest.Cache = item.config.cache
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    with seated(cache.mkdir("seats"), _seats(item), processes):
        return (yield)


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
    if lent := os.environ.get(LENT):
        yield _lent(Path(lent))
        return
    async with embedded_for_tests(AGENCIES, SERVICES) as addresses:
        yield addresses


def _lent(file: Path) -> Addresses:
    found: Addresses = pickle.loads(file.read_bytes())  # noqa: S301  # written by tests that run these (mutants)
    return found


@dataclass(frozen=True)
class Template:
    """A database as no test has seen it: its tables, and a word that is another one where they have been changed."""

    tables: frozenset[str]
    shape: str


class Databases:
    """Databases with a service's tables, or with the chassis' alone. One of a kind is migrated, the others are copies.

    One that was given back is used again, and the way to it, too: it forgets its rows faster than a copy is made, and a
    service's statements are compiled, prepared and planned already.
    """

    def __init__(self, embedded: Addresses) -> None:
        self._dsn, self._run = embedded.postgres.administrator, uuid.uuid4().hex
        self._administrator = create_async_engine(self._dsn(), isolation_level="AUTOCOMMIT")
        self._templates: dict[str | None, Template] = {}
        self._free: dict[tuple[str | None, bool], list[str]] = {}
        self._ways: dict[str, AsyncEngine] = {}

    def way_to(self, dsn: str) -> AsyncEngine:
        """The engine that is kept with this database."""
        if dsn not in self._ways:
            self._ways[dsn] = engine(dsn, size=8, overflow=4)  # some tests ask more at once than a service does
        return self._ways[dsn]

    @asynccontextmanager
    async def lent(self, *, with_a_way: bool = False) -> AsyncIterator[NewDatabase]:
        """Gives out databases; they come back at the end."""
        out: list[tuple[str | None, str]] = []

        async def lend(service: str | None) -> str:
            free = self._free.get((service, with_a_way))
            name = free.pop() if free else await self._copy(service)
            out.append((service, name))
            return self._dsn(name)

        yield lend
        for service, name in out:
            if await self._is_as_before(name, self._templates[service]):
                self._free.setdefault((service, with_a_way), []).append(name)
                continue
            if way := self._ways.pop(self._dsn(name), None):
                await way.dispose()
            await self._say(f'DROP DATABASE "{name}" WITH (FORCE)')

    async def _copy(self, service: str | None) -> str:
        name, template = f"test_{uuid.uuid4().hex}", f"template_{self._run}_{service or 'chassis'}"
        if service not in self._templates:
            await self._say(f'CREATE DATABASE "{template}"')
            self._templates[service] = await provide_tables(self._dsn(template), service)
        await self._say(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    async def _is_as_before(self, name: str, template: Template) -> bool:
        """Make it so: who is still at work is thrown out, rows and added tables go. No where a table was changed."""
        async with _once(self._dsn(name)) as tx:
            await tx.execute(sa.text(THROW_OUT), {"spared": "idle" if self._dsn(name) in self._ways else ""})
            for table in sorted(set((await tx.execute(sa.text(TABLES))).scalars()) - template.tables):
                await tx.execute(sa.text(f'DROP TABLE "{table}" CASCADE'))
            await tx.execute(sa.text(FORGET))
            return bool((await tx.execute(sa.text(SHAPE))).scalar_one() == template.shape)

    async def _say(self, statement: str) -> None:
        async with self._administrator.connect() as connection:
            await connection.execute(sa.text(statement))

    async def close(self) -> None:
        """The server goes, and its databases with it."""
        for made in (self._administrator, *self._ways.values()):
            await made.dispose()


@asynccontextmanager
async def _once(dsn: str) -> AsyncIterator[AsyncConnection]:
    """One transaction, and the connection is closed."""
    async with create_async_engine(dsn, poolclass=NullPool).begin() as tx:
        yield tx


# Where a way is kept, only who is in the middle of something: who is idle holds nothing, and may be that way.
THROW_OUT = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> :spared
"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
FORGET = """
    DO $$
    DECLARE name text;
    BEGIN
        SET LOCAL session_replication_role = replica;  -- in any order: nothing looks at references
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
        PERFORM setval(format('%I', sequencename)::regclass, start_value, false)
        FROM pg_sequences WHERE schemaname = 'public';
    END $$
"""  # TRUNCATE makes new files for every table and index, and waits for the disk
SHAPE = """
    SELECT md5(string_agg(what, ' ' ORDER BY what)) FROM (
        SELECT relname || ' ' || attname || ' ' || atttypid || attnotnull || atthasdef
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid WHERE relnamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) AS found (what)
"""


@pytest.fixture(scope="session")
async def all_databases(embedded: Addresses) -> AsyncIterator[Databases]:
    made = Databases(embedded)
    yield made
    await made.close()


async def provide_tables(dsn: str, service: str | None) -> Template:
    """Make that service's tables, or the chassis' alone."""
    if service is not None:
        await migrate(dsn, service)
    async with _once(dsn) as tx:
        for revision in chassis_revisions() if service is None else ():
            for statement in chassis_tables(revision):
                await tx.execute(sa.text(statement))
        tables = (await tx.execute(sa.text(TABLES))).scalars()
        return Template(frozenset(map(str, tables)), str((await tx.execute(sa.text(SHAPE))).scalar_one()))


@pytest.fixture
async def new_database(all_databases: Databases) -> AsyncIterator[NewDatabase]:
    async with all_databases.lent() as lend:
        yield lend


@pytest.fixture
async def new_engine(all_databases: Databases) -> AsyncIterator[NewEngine]:
    async with all_databases.lent(with_a_way=True) as lend:

        async def engine_to(service: str | None) -> AsyncEngine:
            return all_databases.way_to(await lend(service))

        yield engine_to
