"""A read model made anew from the feeds beside the live one, compared with it, and put in its place on demand.

The service goes on meanwhile. Its own handlers and decisions run on a temporary table that hides the live one by its
name, on one connection; nothing they tell, arm or send is kept. What the live model has not heard, or what is parked or
was let go there, is left out, so that both are functions of the same events. Then the live table is locked for writing
for as long as a comparison takes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.envelope import Record
from chassis.executor import Kind, Step
from chassis.feed.reading import Feeds
from chassis.inbox import Heard, Hearing
from chassis.transitions import Context, Refused

log = logging.getLogger(__name__)

LOOKS_MAX = 100  # times both are compared while the live one is still ahead of the feed, or behind it
LOOK_SECONDS = 0.05
LOCKED = ("SET LOCAL lock_timeout = '10s'", "SET LOCAL statement_timeout = '120s'")
DIFFERING_SHOWN = 20

LaneKey = tuple[str, UUID]


@dataclass(frozen=True)
class ReadModel:
    """A table, or a part of it, that is a function of what was heard on these topics and of nothing else.

    `part`: an SQL condition on its rows. `apart`: columns that say how something was heard, not what.
    """

    kind: Kind[Any]
    table: str
    topics: Sequence[str]
    part: str = "true"
    apart: Sequence[str] = ("version",)


@dataclass(frozen=True)
class Rebuilt:
    """What came of it: rows and hash of the live model and of the new one, the subjects in which they differ (some)."""

    rows: int
    live_rows: int
    hash: str
    live_hash: str
    differing: Sequence[UUID]
    swapped: bool

    @property
    def equal(self) -> bool:
        """Whether the live model is what it should be."""
        return (self.rows, self.hash) == (self.live_rows, self.live_hash)


class NotComparable(Exception):
    """The live model has heard what no feed has, or hears more quickly than feeds can be read: try again later."""


class Rebuild:
    """Makes one read model of one consumer anew."""

    def __init__(self, engine: AsyncEngine, consumer: str, hearing: Hearing, feeds: Feeds, model: ReadModel) -> None:
        self._engine, self._consumer, self._hearing, self._feeds = engine, consumer, hearing, feeds
        self._model = model
        self._after = dict.fromkeys(model.topics, 0)
        self._ahead: list[Record] = []
        """Read already, and not heard by the live model yet."""

    async def run(self, *, swap: bool) -> Rebuilt:
        """Build, compare, and with `swap` put right what differs. Raises NotHad, NotComparable."""
        async with self._engine.connect() as connection:
            async with connection.begin():
                for statement in self._begin():
                    await connection.execute(sa.text(statement))
            for _ in range(LOOKS_MAX):
                await self._read(connection)
                async with connection.begin():
                    found = await self._compared(connection, swap=swap)
                if found is not None:
                    await connection.invalidate()  # the hiding table must not go back into the pool
                    return found
                await asyncio.sleep(LOOK_SECONDS)
            await connection.invalidate()
        raise NotComparable(self._model.table)

    def _begin(self) -> Sequence[str]:
        """The hiding table, with those rows that are no part of the model: they may stand in an event's way."""
        table, part = self._model.table, self._model.part
        return (
            f'CREATE TEMPORARY TABLE "{table}" (LIKE public."{table}" INCLUDING ALL)',
            f'INSERT INTO pg_temp."{table}" SELECT * FROM public."{table}" WHERE NOT ({part})',  # noqa: S608  # a service's own names
            "CREATE TEMPORARY TABLE rebuilt (topic text, key uuid, last_seq integer, PRIMARY KEY (topic, key))",
        )

    async def _read(self, connection: AsyncConnection) -> None:
        """Everything the feeds have by now; no transaction is open while they are asked."""
        for topic in self._model.topics:
            more = True
            while more:
                page = await self._feeds.page(topic, after=self._after[topic])
                async with connection.begin():
                    await self._apply(connection, page.records)
                self._after[topic], more = page.last, page.more

    async def _apply(self, tx: AsyncConnection, records: Sequence[Record]) -> None:
        """What the live model has heard of these; the others are kept for later."""
        heard = [one for one in map(self._hearing.read, records) if one is not None]
        live, mine = await self._lanes(tx, heard)
        without = await self._without_effect(tx, heard)
        steps: list[Step] = []
        for one in heard:
            seq, lane = one.meta.seq, one.lane
            if seq <= mine.get(lane, 0):
                continue
            if seq > live.get(lane, 0):
                self._ahead.append(one.record)
                continue
            mine[lane] = seq
            if one.meta.id not in without and one.trouble is None:
                steps += [step for step in one.steps(()) if step.kind == self._model.kind.name]
        await self._decide(tx, steps)
        rows = sorted(mine.items())
        if rows:
            await tx.execute(
                _ADVANCE,
                {
                    "topics": [topic for (topic, _), _ in rows],
                    "keys": [key for (_, key), _ in rows],
                    "seqs": [seq for _, seq in rows],
                },
            )

    async def _decide(self, tx: AsyncConnection, steps: Sequence[Step]) -> None:
        if not steps:
            return
        kind = self._model.kind
        wanted: dict[UUID, list[object]] = {}
        for step in steps:
            wanted.setdefault(step.subject, []).append(step.command)
        loaded = dict(await kind.load(tx, dict(sorted(wanted.items()))))
        current = dict(loaded)
        now = (await tx.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
        for step in steps:
            before = current[step.subject]
            outcome = kind.decide(before, step.command, Context(now, frozenset()))
            if not isinstance(outcome, Refused) and outcome.subject != before:
                current[step.subject] = replace(outcome.subject, version=before.version + 1)
        changed = [(loaded[id], after) for id, after in current.items() if after is not loaded[id]]
        if changed:
            await kind.save(tx, changed)

    async def _lanes(
        self, tx: AsyncConnection, heard: Sequence[Heard]
    ) -> tuple[dict[LaneKey, int], dict[LaneKey, int]]:
        """How far the live model and the new one are, in these lanes."""
        keys = sorted({one.lane for one in heard})
        parameters = {"topics": [topic for topic, _ in keys], "keys": [key for _, key in keys]}
        live = await tx.execute(_LIVE, parameters | {"consumer": self._consumer})
        mine = await tx.execute(_MINE, parameters)
        return (
            {(row.topic, row.key): row.last_seq for row in live},
            {(row.topic, row.key): row.last_seq for row in mine},
        )

    async def _without_effect(self, tx: AsyncConnection, heard: Sequence[Heard]) -> set[UUID]:
        """Those of these events that wait for somebody, or that somebody let go."""
        ids = {"consumer": self._consumer, "ids": [one.meta.id for one in heard]}
        return set((await tx.execute(_WITHOUT_EFFECT, ids)).scalars())

    # --- comparing --------------------------------------------------------------------------------------------------

    async def _compared(self, tx: AsyncConnection, *, swap: bool) -> Rebuilt | None:
        """Both as functions of the same events, while nobody writes; None where they are not that yet."""
        model = self._model
        for statement in (*LOCKED, f'LOCK TABLE public."{model.table}" IN SHARE ROW EXCLUSIVE MODE'):
            await tx.execute(sa.text(statement))
        ahead, self._ahead = self._ahead, []
        await self._apply(tx, ahead)
        behind = {"consumer": self._consumer, "topics": list(model.topics)}
        if (await tx.execute(_BEHIND, behind)).scalar_one():
            return None
        live_rows, live_hash = await self._summed(tx, "public")
        rows, its_hash = await self._summed(tx, "pg_temp")
        found = Rebuilt(rows, live_rows, its_hash, live_hash, (), swapped=False)
        if found.equal:
            return found
        differing = await self._differing(tx)
        if swap:
            await self._swap(tx, differing)
        return replace(found, differing=tuple(differing[:DIFFERING_SHOWN]), swapped=swap)

    def _content(self, schema: str) -> str:
        model = self._model
        apart = "".join(f" - '{column}'" for column in model.apart)
        return f"""SELECT id, (to_jsonb(one){apart})::text AS content FROM {schema}."{model.table}" AS one
                   WHERE {model.part}"""  # noqa: S608  # a service's own names

    async def _summed(self, tx: AsyncConnection, schema: str) -> tuple[int, str]:
        statement = f"""SELECT count(*), coalesce(md5(string_agg(md5(content), '' ORDER BY id)), '')
                        FROM ({self._content(schema)}) AS rows"""  # noqa: S608  # a service's own names
        row = (await tx.execute(sa.text(statement))).one()
        return row[0], row[1]

    async def _differing(self, tx: AsyncConnection) -> list[UUID]:
        statement = f"""
            SELECT coalesce(live.id, made.id) FROM ({self._content("public")}) AS live
            FULL JOIN ({self._content("pg_temp")}) AS made ON live.id = made.id
            WHERE live.content IS DISTINCT FROM made.content ORDER BY 1"""  # noqa: S608  # a service's own names
        return list((await tx.execute(sa.text(statement))).scalars())

    async def _swap(self, tx: AsyncConnection, ids: Sequence[UUID]) -> None:
        """The new rows in the place of those that differ; what should not be there goes."""
        table = f'"{self._model.table}"'
        values: Mapping[str, Any] = {"ids": list(ids)}
        for statement in (
            f"DELETE FROM public.{table} WHERE id = ANY(:ids)",  # noqa: S608  # a service's own names
            f"INSERT INTO public.{table} SELECT * FROM pg_temp.{table} WHERE id = ANY(:ids)",  # noqa: S608  # the same
        ):
            await tx.execute(sa.text(statement).bindparams(_IDS), values)
        log.warning("read model put right", extra={"table": self._model.table, "count": len(ids)})


_TOPICS, _KEYS = sa.bindparam("topics", type_=ARRAY(TEXT)), sa.bindparam("keys", type_=ARRAY(PG_UUID(as_uuid=True)))
_IDS = sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True)))

_LIVE = sa.text("""
    SELECT topic, key, last_seq FROM lane
    WHERE consumer = :consumer AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))
""").bindparams(_TOPICS, _KEYS)

_MINE = sa.text("""
    SELECT topic, key, last_seq FROM rebuilt WHERE (topic, key) IN (SELECT * FROM unnest(:topics, :keys))
""").bindparams(_TOPICS, _KEYS)

_ADVANCE = sa.text("""
    INSERT INTO rebuilt (topic, key, last_seq)
    SELECT topic, key, last_seq FROM unnest(:topics, :keys, :seqs) AS new (topic, key, last_seq)
    ON CONFLICT (topic, key) DO UPDATE SET last_seq = excluded.last_seq
""").bindparams(_TOPICS, _KEYS, sa.bindparam("seqs", type_=ARRAY(sa.Integer)))

_WITHOUT_EFFECT = sa.text("""
    SELECT event_id FROM parked WHERE consumer = :consumer AND event_id = ANY(:ids)
    UNION ALL
    SELECT event_id FROM skip WHERE consumer = :consumer AND word = 'skipped' AND event_id = ANY(:ids)
""").bindparams(_IDS)

_BEHIND = sa.text("""
    SELECT EXISTS (
        SELECT FROM lane LEFT JOIN rebuilt USING (topic, key)
        WHERE lane.consumer = :consumer AND lane.topic = ANY(:topics)
          AND lane.last_seq > coalesce(rebuilt.last_seq, 0)
    )
""").bindparams(_TOPICS)
