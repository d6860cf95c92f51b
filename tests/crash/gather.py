"""Reads a town from outside when all is over: its topics, its databases, what its processes hold."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.errands import LEASE_SECONDS
from contracts.codes import Service
from contracts.ids import AgencyId
from contracts.topics import heard_by
from deploy.installation import read_alliance
from deploy.system import System
from deploy.tokens import access_token
from tests.crash.history import Copy, Grant, History, Line, Parked, Use, Written
from tests.journeys.canary import STEM, canaries_in
from tests.journeys.records import everything_said

PEOPLES_DATA = {"person", "item"}  # the tables of intake that name people
LOOK_SECONDS = 0.25
WAITS: Mapping[str, str] = {
    "unsent": "SELECT topic FROM outbox",
    "held": "SELECT topic FROM outbox_hold",
    "unreadable": "SELECT reason FROM unreadable",
    "errand": "SELECT name FROM errand WHERE next_at <= clock_timestamp()",  # others back off, or are under way
    "overdue": "SELECT kind FROM deadline WHERE attempts > 0",
    "not carried out": "SELECT 'withdrawal' FROM withdrawal_intent",
    "open lease": "SELECT 'release' FROM release WHERE closed_at IS NULL OR NOT told",
}
ONLY_CONSENT = {"not carried out", "open lease"}
ERRAND = """
    SELECT name || ' ' || coalesce(last_word, '') AS word, extract(epoch FROM next_at - clock_timestamp()) AS due_in
    FROM errand
"""


class Eyes:
    """Looks at one town."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._principals = list(system.servers)
        self._engines = {
            principal: create_async_engine(
                system.addresses.postgres.administrator(principal), isolation_level="AUTOCOMMIT", pool_size=1,
                max_overflow=0,
            )
            for principal in self._principals
        }

    async def close(self) -> None:
        """Look no more."""
        for engine in self._engines.values():
            await engine.dispose()

    async def rows(self, principal: str, query: str, **values: object) -> Sequence[sa.Row[Any]]:
        """What a query finds in the database of a service, asked as PostgreSQL's administrator."""
        async with self._engines[principal].connect() as connection:
            return (await connection.execute(sa.text(query), values)).all()

    async def drained(self, seconds_max: float) -> tuple[float | None, list[str]]:
        """Seconds until nothing waited any more and everything was heard; None and what waits where it takes longer."""
        began = time.monotonic()
        while True:
            waiting = await self._waiting() or await self._behind()
            after = time.monotonic() - began
            if not waiting:
                return after, []
            if after > seconds_max:
                return None, waiting
            await asyncio.sleep(LOOK_SECONDS)

    async def errands_left(self, seconds_max: float) -> list[str]:
        """Errands that have not come back after that long; each has been tried again by then.

        What got no answer waits as long as it was tried in vain, which may be longer: then until that try is over.
        """
        left = await self._errands()
        until = time.monotonic() + max([seconds_max, *(float(row.due_in) + LEASE_SECONDS for _, row in left)])
        while left and time.monotonic() < until:
            await asyncio.sleep(LOOK_SECONDS)
            left = await self._errands()
        return [f"{principal} errand {row.word}" for principal, row in left]

    async def _errands(self) -> list[tuple[str, sa.Row[Any]]]:
        return [(principal, row) for principal in self._principals for row in await self.rows(principal, ERRAND)]

    async def _waiting(self) -> list[str]:
        found = []
        for principal in self._principals:
            for what, query in WAITS.items():
                if what not in ONLY_CONSENT or principal.endswith(".consent"):
                    found += [f"{principal} {what} {row[0]}" for row in await self.rows(principal, query)]
        return found

    async def _behind(self) -> list[str]:
        """Services that have not heard the last of what others of this town have said."""
        said: dict[str, dict[tuple[str, str], int]] = defaultdict(dict)
        for principal in self._principals:
            for row in await self.rows(principal, "SELECT topic, key::text AS key, last FROM stream_head"):
                said[row.topic][row.topic, row.key] = row.last
        found = []
        lanes, parked = await self._lanes(), await self._parked()
        for topic, principals in self._heard_by().items():
            for principal in principals:
                held = {(row.topic, row.key) for row in parked[principal]}
                behind = [place for place, last in said[topic].items()
                          if lanes[principal].get(place, 0) < last and place not in held]  # fmt: skip
                found += [f"{principal} is behind on {topic}"] if behind else []
        return found

    def _heard_by(self) -> dict[str, list[str]]:
        """Catalogues are heard as whole objects, where a later one makes the earlier superfluous."""
        files = [read_alliance(file) for file in self._system.installation.alliances]
        found: dict[str, list[str]] = defaultdict(list)
        for principal in self._principals:
            agency, _, name = principal.partition(".")
            for topic in heard_by(AgencyId(agency), Service(name), *files):
                if not topic.endswith(".catalogue"):
                    found[topic].append(principal)
        return found

    async def _lanes(self) -> dict[str, dict[tuple[str, str], int]]:
        query = "SELECT topic, key::text AS key, last_seq FROM lane"
        return {
            principal: {(row.topic, row.key): row.last_seq for row in await self.rows(principal, query)}
            for principal in self._principals
        }

    async def _parked(self) -> dict[str, list[Parked]]:
        query = "SELECT topic, key::text, event_id::text, error_class, reason FROM parked"
        return {p: [Parked(*map(str, row)) for row in await self.rows(p, query)] for p in self._principals}

    async def into(self, history: History, sender: str, receiver: str) -> None:
        """Everything the judge wants to know and the clients do not."""
        history.said = await everything_said(self._system.installation)
        query = "SELECT event_id::text AS id, topic, key::text AS key, seq FROM event_log ORDER BY pos"
        history.written = {
            principal: [Written(row.id, row.topic, row.key, row.seq) for row in await self.rows(principal, query)]
            for principal in self._principals
        }
        history.lanes, history.heard_by = await self._lanes(), self._heard_by()
        history.parked = await self._parked()
        history.listed = {principal: await self._listed(principal) for principal in self._principals}
        names = await self.rows(f"{sender}.intake", "SELECT family_name FROM person")
        history.marks = [found[0] for row in names if (found := re.search(STEM + "[a-z]+", row.family_name))]
        query = """SELECT "case"::text AS of FROM handover WHERE side = 'sender'"""
        history.drafted = [row.of for row in await self.rows(f"{sender}.handover", query)]
        query = """SELECT "case"::text AS of, source_item::text AS item FROM item WHERE source_item IS NOT NULL"""
        history.received = [(row.of, row.item) for row in await self.rows(f"{receiver}.intake", query)]
        await self._handovers(history, (sender, receiver))
        await self._ledger(history, f"{sender}.consent")
        history.named = [where async for where in self._named(history)]

    async def _listed(self, principal: str) -> list[tuple[str, str]]:
        agency, _, name = principal.partition(".")
        installation = self._system.installation
        token = access_token(installation, agency, name, ["operator"], "operator")
        async with httpx.AsyncClient(timeout=10.0) as client:
            answer = await client.get(
                f"{installation.url(agency, name)}/parked", headers={"authorization": f"Bearer {token}"}
            )
        return [(lane["topic"], lane["key"]) for lane in answer.raise_for_status().json()["lanes"]]

    async def _handovers(self, history: History, agencies: Sequence[str]) -> None:
        copies: dict[str, list[Copy]] = defaultdict(list)
        told: dict[tuple[str, str], list[str]] = {}
        for agency in agencies:
            query = "SELECT id::text AS id, counterpart, state, recorded, lead FROM handover"
            for row in await self.rows(f"{agency}.handover", query):
                if row.counterpart in agencies:
                    copies[row.id].append(Copy(agency, row.state, row.recorded, row.lead))
            query = """SELECT key::text AS key, convert_from(payload, 'UTF8')::jsonb ->> 'state' AS state
                       FROM event_log WHERE type = 'staffel.handover.changed.v1' ORDER BY pos"""
            for row in await self.rows(f"{agency}.handover", query):
                told.setdefault((agency, row.key), []).append(row.state)
        history.copies, history.ends_told = copies, told

    async def _ledger(self, history: History, principal: str) -> None:
        grants = {
            row.id: Grant(
                row.recipient, row.purpose, frozenset(row.categories), row.valid_from, row.valid_until,
                row.withdrawn_at or (row.ended_at if row.state in {"withdrawn", "invalidated"} else None),
            )
            for row in await self.rows(principal, """
                SELECT consent_grant.id::text AS id, recipient, purpose, categories, valid_from, valid_until,
                       withdrawn_at, consent.state, consent.ended_at
                FROM consent_grant JOIN consent ON consent.id = consent_grant.consent""")
        }
        history.lines = [
            Line(
                row.release, row.item, row.category, row.recipient, row.purpose, row.opened_at,
                tuple(grants[basis["grant"]] for basis in row.bases if basis["grant"] in grants),
            )
            for row in await self.rows(principal, """
                SELECT release.id::text AS release, item::text AS item, category, recipient, purpose, opened_at, bases
                FROM ledger JOIN release ON release.id = ledger.release""")
        ]

    async def _named(self, history: History) -> AsyncIterator[str]:
        for each in history.said:
            if canaries_in(each.bytes):
                yield f"{each.type} on {each.topic}"
        for principal in self._principals:
            tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
            for table in [row.table_name for row in await self.rows(principal, tables)]:
                if principal.endswith(".intake") and table in PEOPLES_DATA:
                    continue
                rows = await self.rows(principal, f'SELECT * FROM "{table}"')  # noqa: S608  # its own catalogue names it
                values = (each if isinstance(each, bytes) else str(each).encode() for row in rows for each in row)
                if canaries_in(b"\n".join(values)):
                    yield f"table {table} of {principal}"
        for file in _logs(self._system.data):
            if canaries_in(file.read_bytes()):
                yield f"log {file.name}"
        if not any(canaries_in(json.dumps(mark).encode()) for mark in history.marks):
            yield "nobody, anywhere: the search itself is broken"

    async def use(self) -> dict[str, Use]:
        """What each service needs now."""
        found = {}
        brokers = {int(each.rpartition(":")[2]) for each in self._system.addresses.bootstrap.split(",")}
        database = self._system.addresses.postgres.port
        for principal, server in self._system.servers.items():
            process = psutil.Process(server.pid)
            memory, files = process.memory_info().rss, process.num_fds()
            lines = (each for each in process.net_connections("tcp") if each.status != psutil.CONN_LISTEN)
            ends = [line.raddr.port for line in lines]
            to_brokers, to_database = sum(end in brokers for end in ends), ends.count(database)
            calls = len(ends) - to_brokers - to_database
            found[principal] = Use(memory, files - len(ends), to_brokers, calls, to_database)
        return found


def _logs(data: Path) -> Iterator[Path]:
    yield from (file for file in (data / "logs").iterdir() if file.is_file())
