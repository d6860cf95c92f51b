"""The ground all contestants run on, one after the other: the same Kafka, PostgreSQL, tables, topics and subjects.

What is prepared is copied from what the product itself has written for one young person, so it cannot drift from it:
every id gets another time in its first 48 bits and another end, everything else stays.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import asyncpg  # type: ignore[import-untyped]  # ships no types
import httpx
import yaml
from aiokafka import AIOKafkaConsumer, TopicPartition  # type: ignore[import-untyped]  # ships no types
from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]  # ships no types

from benchmarks.flow import PRINCIPALS, RECEIVER, SENDER
from deploy import topics
from deploy.desk import Desk
from deploy.embedded import admin
from deploy.embedded.cluster import Addresses
from deploy.installation import Installation, read_alliance
from deploy.story import Story
from deploy.system import ALLIANCES, STOP_SECONDS_MAX, System
from deploy.tokens import access_token

TIME_BITS: Final = 80  # of a UUID below its 48 bits of time
KEPT: Final = ("alembic_version", "service_secret", "notice")  # belongs to everybody
REBUILT: Final = 50_000  # for so many copies indexes are dropped before and made again after
AT_ONCE: Final = 2  # databases that are filled side by side with many rows: sorting takes memory
SORTING: Final = "256MB"
# Says where things lie in topics, which are emptied.
OF_THE_BROKER = ("publication", "heard_up_to", "judged_up_to", "outbox")
TOKEN_SECONDS: Final = 3600
GONE_SECONDS_MAX: Final = 30.0
CALLERS: Final = 64
"""Caseworkers at each agency: what one caller may ask per second is limited."""

DRAFT, HISTORY = "draft", "history"

# Where the dossier would be fetched through the door: written like every errand, and kept waiting.
HELD_ERRAND: Final = """
    CREATE FUNCTION kept_waiting() RETURNS trigger LANGUAGE plpgsql
        AS $$ BEGIN NEW.next_at := 'infinity'; RETURN NEW; END $$;
    CREATE TRIGGER door_stays_out BEFORE INSERT ON errand
        FOR EACH ROW WHEN (NEW.name = 'fetch_dossier') EXECUTE FUNCTION kept_waiting();
"""


def moved(of: UUID, milliseconds: int) -> UUID:
    """The id with another time in front and another end; `MOVED` does the same in SQL."""
    middle = of.hex[12:20]
    end = hashlib.md5(f"{of}{milliseconds}".encode(), usedforsecurity=False).hexdigest()[:12]
    return UUID(f"{milliseconds:012x}{middle}{end}")


MOVED: Final = """
    CREATE SCHEMA {schema};
    CREATE FUNCTION {schema}.moved(of uuid, milliseconds bigint) RETURNS uuid LANGUAGE sql IMMUTABLE STRICT
        RETURN (lpad(to_hex(milliseconds), 12, '0') || substr(replace(of::text, '-', ''), 13, 8)
                || left(md5(of::text || milliseconds), 12))::uuid
"""


class Ground:
    """Kafka, PostgreSQL and the tables of two agencies; `fresh` makes it new, a contestant runs on it."""

    def __init__(self, system: System, installation: Installation) -> None:
        self.system, self.installation = system, installation
        self.addresses: Addresses = system.addresses
        self._draft = Draft(UUID(int=0), UUID(int=0))
        self._chassis = frozenset(_chassis_tables())
        self.filled_at = datetime.min.replace(tzinfo=UTC)
        """By the database's clock: what has been answered since then belongs to the run."""

    @property
    def server_pids(self) -> Mapping[str, tuple[int, ...]]:
        """The processes of the two servers."""
        embedded = self.system.embedded
        return {
            "kafka": tuple(server.pid for server in embedded.kafka),
            "postgres": tuple(server.pid for server in embedded.postgres),
        }

    def tokens(self, agency: str, service: str) -> list[str]:
        """Access tokens of all caseworkers for one service."""
        return [
            access_token(self.installation, agency, service, ["caseworker"], f"caseworker-{n}", TOKEN_SECONDS)
            for n in range(CALLERS)
        ]

    @asynccontextmanager
    async def database(self, principal: str = "postgres") -> AsyncIterator[Any]:
        """A connection to the database of a service, as PostgreSQL's administrator."""
        dsn = self.addresses.postgres.administrator(principal).replace("+asyncpg", "")
        connection = await asyncpg.connect(dsn, statement_cache_size=0)
        try:
            yield connection
        finally:
            await connection.close()

    @asynccontextmanager
    async def reader(self) -> AsyncIterator[Any]:
        """A consumer without a group, as Kafka's administrator; it is told what to read."""
        tls = self.addresses.admin
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.addresses.bootstrap,
            security_protocol="SSL",
            ssl_context=create_ssl_context(cafile=tls.ca, certfile=tls.certificate, keyfile=tls.key),
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()

    async def ends(self, wanted: Iterable[str]) -> Mapping[tuple[str, int], int]:
        """How much each partition of these topics has taken so far. KeyError where there is no such topic."""
        known = await asyncio.to_thread(self._topics)
        async with self.reader() as consumer:
            parts = [TopicPartition(topic, n) for topic in wanted for n in range(known[topic].partitions)]
            found = await consumer.end_offsets(parts)
        return {(part.topic, part.partition): offset for part, offset in found.items()}

    def _topics(self) -> Mapping[str, admin.TopicSpec]:
        with admin.connected(self.addresses.bootstrap, self.addresses.admin) as kafka:
            return kafka.topics()

    # --- templates ----------------------------------------------------------------------------------------------------

    async def write_templates(self) -> None:
        """Let the product write down one young person up to the draft, and keep the rows to copy from."""
        async with httpx.AsyncClient(timeout=10.0) as client:
            story = Story(Desk(self.installation, SENDER, client), Desk(self.installation, RECEIVER, client))
            await story.register()
            await story.assign()
            await story.activate()
            await story.consent_to()
            await story.draft()
        self._draft = Draft(UUID(story.handover), UUID(story.case))
        await self.stop_services()
        await self.keep_template(DRAFT, chassis=False)
        async with self.database(f"{RECEIVER}.intake") as connection:
            await connection.execute(HELD_ERRAND)

    async def keep_template(self, schema: str, *, chassis: bool) -> None:
        """Keep what is in the tables now as the rows to copy from; `chassis`: with those of the mechanism."""
        for principal in PRINCIPALS:
            async with self.database(principal) as connection:
                await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
                await connection.execute(MOVED.format(schema=schema))
                for table in await self._tables(connection, chassis=chassis):
                    if table in OF_THE_BROKER:
                        continue
                    await connection.execute(f'CREATE TABLE {schema}."{table}" AS SELECT * FROM public."{table}"')

    async def _tables(self, connection: Any, *, chassis: bool) -> list[str]:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        names = [row["tablename"] for row in rows]
        return [name for name in names if name not in KEPT and (chassis or name not in self._chassis)]

    # --- fresh ground -------------------------------------------------------------------------------------------------

    async def fresh(self, drafts: int, history: int = 0, missed: str = "") -> Sequence[UUID]:
        """Empty topics, empty tables, so many drafts ready to be requested; returns their handover references.

        `history`: so many subjects have been through all of it before; `missed`: this service knows nothing of them.
        """
        base = time.time_ns() // 1_000_000 - drafts
        await asyncio.gather(asyncio.to_thread(self._empty_topics), self._fill(base, drafts, history, missed))
        async with self.database() as connection:
            await connection.execute("CHECKPOINT")
            self.filled_at = await connection.fetchval("SELECT clock_timestamp()")
        return [moved(self._draft.handover, base + n) for n in range(drafts)]

    async def gigabytes(self) -> float:
        """What all databases take on disk."""
        async with self.database() as connection:
            return float(await connection.fetchval("SELECT sum(pg_database_size(oid)) FROM pg_database")) / 1e9

    def _empty_topics(self) -> None:
        files = [read_alliance(file) for file in self.installation.alliances]
        with admin.connected(self.addresses.bootstrap, self.addresses.admin) as kafka:
            kafka.delete_topics(kafka.topics())
            until = time.monotonic() + GONE_SECONDS_MAX
            while not _all_gone(kafka) and time.monotonic() < until:
                time.sleep(0.05)
            topics.apply(kafka, topics.plan(kafka, files, replication=1))

    async def _fill(self, base: int, drafts: int, history: int, missed: str) -> None:
        room = asyncio.Semaphore(AT_ONCE if history >= REBUILT else len(PRINCIPALS))

        async def fill(principal: str) -> None:
            async with room:
                await self._fill_one(principal, base, drafts, 0 if principal == missed else history)

        await asyncio.gather(*map(fill, PRINCIPALS))

    async def _fill_one(self, principal: str, base: int, drafts: int, history: int) -> None:
        async with self.database(principal) as connection:
            tables = await self._tables(connection, chassis=True)
            await connection.execute("TRUNCATE " + ", ".join(f'"{table}"' for table in tables) + " RESTART IDENTITY")
            if history:
                await _copy(connection, HISTORY, base - history, history)
            if drafts:
                await _copy(connection, DRAFT, base, drafts)
            # A history has been vacuumed long ago; autovacuum shall not begin with it while we measure.
            await connection.execute("VACUUM (ANALYZE)" if history else "ANALYZE")

    # --- our services -------------------------------------------------------------------------------------------------

    async def stop_services(self) -> None:
        """End the product's services, if they run."""
        servers = self.system.servers
        for server in servers.values():
            server.tell_to_stop()
        await asyncio.gather(*(server.stopped(STOP_SECONDS_MAX) for server in servers.values()))
        servers.clear()


def _all_gone(kafka: admin.Admin) -> bool:
    try:
        return not kafka.topics()
    except IndexError:  # one that is just going has no partitions any more
        return False


class Draft:
    """The ids of the young person whose rows are copied."""

    def __init__(self, handover: UUID, case: UUID) -> None:
        self.handover, self.case = handover, case


def case_of(ground: Ground, handover: UUID) -> UUID:
    """The case whose handover this is: both were copied with the same time."""
    return moved(ground._draft.case, handover.int >> TIME_BITS)  # noqa: SLF001


def _chassis_tables() -> Iterable[str]:
    for file in resources.files("chassis").joinpath("migrations").iterdir():
        if file.name.endswith(".sql"):
            yield from re.findall(r"CREATE TABLE (\w+)", file.read_text("utf-8"))


async def _copy(connection: Any, schema: str, base: int, times: int) -> None:
    """Copy every row of the template so often, each time with ids of its own, in one statement per table."""
    rows = await connection.fetch(
        """SELECT table_name, column_name, data_type, udt_name, is_identity FROM information_schema.columns
           WHERE table_schema = 'public' AND table_name IN (SELECT tablename FROM pg_tables WHERE schemaname = $1)
           ORDER BY table_name, ordinal_position""",
        schema,
    )
    columns: dict[str, list[Any]] = {}
    for row in rows:
        columns.setdefault(row["table_name"], []).append(row)
    for table, of in columns.items():
        names = ", ".join(f'"{column["column_name"]}"' for column in of)
        values = ", ".join(_copied(schema, table, column, base) for column in of)
        async with _without_indexes(connection, table, many=times >= REBUILT):
            await connection.execute(
                f'INSERT INTO public."{table}" ({names}) OVERRIDING SYSTEM VALUE '  # names from the catalogue
                f'SELECT {values} FROM generate_series(0, {times - 1}) AS n, {schema}."{table}" AS t'
            )
        for name in (column["column_name"] for column in of if column["is_identity"] == "YES"):
            await connection.execute(
                f"SELECT setval(pg_get_serial_sequence('public.\"{table}\"', '{name}'), "  # as above
                f'(SELECT coalesce(max("{name}"), 0) + 1 FROM public."{table}"), false)'
            )


@asynccontextmanager
async def _without_indexes(connection: Any, table: str, *, many: bool) -> AsyncIterator[None]:
    """Drop the indexes of a table and make the same ones again: sorting once is cheaper than a million insertions."""
    if not many:
        yield
        return
    constraints = await connection.fetch(
        """SELECT conname AS name, pg_get_constraintdef(oid) AS definition FROM pg_constraint
           WHERE conrelid = $1::text::regclass AND contype IN ('p', 'u')""",
        f'public."{table}"',
    )
    others = await connection.fetch(
        """SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS definition FROM pg_index
           WHERE indrelid = $1::text::regclass
             AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)""",
        f'public."{table}"',
    )
    for one in constraints:
        await connection.execute(f'ALTER TABLE public."{table}" DROP CONSTRAINT "{one["name"]}"')
    for one in others:
        await connection.execute(f"DROP INDEX {one['name']}")
    yield
    await connection.execute(f"SET maintenance_work_mem = '{SORTING}'")
    for one in constraints:
        await connection.execute(f'ALTER TABLE public."{table}" ADD CONSTRAINT "{one["name"]}" {one["definition"]}')
    for one in others:
        await connection.execute(one["definition"])


def _copied(schema: str, table: str, column: Mapping[str, str], base: int) -> str:
    """The expression for one column of the n-th copy."""
    name, kind = f't."{column["column_name"]}"', column["udt_name"]
    at = f"{base} + n"
    if column["is_identity"] == "YES" or (table, column["column_name"]) in NUMBERED:
        number = f'"{column["column_name"]}"'  # beyond those of this template, and of one that was copied before
        there = f'(SELECT coalesce(max({number}), 0) FROM public."{table}")'
        return f'{name} + {there} + n * (SELECT max({number}) FROM {schema}."{table}")'
    if kind == "uuid":
        return f"{schema}.moved({name}, {at})"
    if kind == "_uuid":
        return f"ARRAY(SELECT {schema}.moved(one, {at}) FROM unnest({name}) AS one)"
    if (table, column["column_name"]) in KEYS:
        return f"CASE WHEN {name} ~ '{UUID_TEXT}' THEN {schema}.moved({name}::uuid, {at})::text ELSE {name} || n END"
    return name


UUID_TEXT: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
KEYS: Final = frozenset({("reservation", "key"), ("answer", "key"), ("errand", "key"), ("case", "local_number")})
"""Texts that must differ from copy to copy."""
NUMBERED: Final = frozenset({("publication", "number"), ("publication", "pos"), ("outbox", "pos")})


@asynccontextmanager
async def ground(folder: Path) -> AsyncIterator[Ground]:
    """Start Kafka and PostgreSQL, make topics and tables, write the templates; at the end all of it is gone."""
    alliance = folder / "musterland.yaml"
    alliance.write_text(yaml.safe_dump(_two_agencies(), allow_unicode=True, sort_keys=False), "utf-8")
    system = System(folder / "data", alliances=(alliance,))
    try:
        async with system as installation:
            made = Ground(system, installation)
            await made.write_templates()
            yield made
    finally:
        system.embedded.erase()


def _two_agencies() -> dict[str, Any]:
    """The alliance of the demo without the agencies that do not run here."""
    ours = {SENDER, RECEIVER}
    alliance: dict[str, Any] = yaml.safe_load((ALLIANCES / "musterland.yaml").read_text("utf-8"))
    alliance["agencies"] = [agency for agency in alliance["agencies"] if agency["id"] in ours]
    alliance["agreements"] = [one for one in alliance["agreements"] if {one["from"], one["to"]} == ours]
    return alliance
