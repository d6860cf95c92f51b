"""Whether this database still knows everything it has said: what it published against what lies on its topics.

A relay that died has sent records that `publication` does not have; their ids are in `event_log`, and their repeats are
harmless. An id that is in no `event_log`, or records beyond the last published one that are already gone, were said by
a later life of this database: it was restored from a backup, or by a standby that had not kept up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import transaction
from chassis.envelope import Envelope, Record
from chassis.horizon import Extent, Horizon, Partition

LAST_NUMBERS = 1000  # of each topic: enough to meet every partition; where it is not, more is read from the broker


class Kind(StrEnum):
    """What says that a database and its topics do not belong together."""

    UNKNOWN_RECORD = "unknown-record"  # said by a later life of this database
    RECORDS_GONE = "records-gone"  # said by a later life, and already deleted by the topic's retention
    TOPIC_SHORTER = "topic-shorter"  # the topic has lost what was published: it was made anew, or cut off
    HEARD_BEHIND = "heard-behind"  # a later life of this database has heard more than this one knows of


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign, where it is, and between which offsets."""

    kind: Kind
    topic: str
    partition: int
    first: int
    next: int


@dataclass(frozen=True, slots=True)
class Topics:
    """What a service writes and hears, and as which consumer."""

    consumer: str
    writes: Sequence[str]
    hears: Sequence[str]


async def notice(engine: AsyncEngine, horizon: Horizon, topics: Topics) -> list[Finding]:
    """Everything that says this database is older than what it has said; nothing where all is well.

    Raises OutOfSight where the broker cannot be asked.
    """
    published, extents = await said_and_there(engine, horizon, topics.writes)
    findings = [*_shorter(published, extents), *_gone(published, extents)]
    findings += await _another(engine, horizon, extents)
    findings += await _unknown(engine, horizon, unread(published, extents))
    findings += await _heard_behind(engine, horizon, topics)
    if not findings:
        async with transaction(engine) as tx:
            await judge(tx, {place: extent.next for place, extent in extents.items()})
    return findings


async def catching_up(engine: AsyncEngine, horizon: Horizon, topics: Topics) -> bool:
    """Whether there is something to hear yet that lay there when this database was mended (`judged_up_to`).

    A later life of it may have heard that already, and may have kept something back because of it. The broker is asked
    only where a database was ever mended. Raises OutOfSight.
    """
    async with engine.connect() as tx:
        rows = await tx.execute(_JUDGED, {"topics": list(topics.hears)})
        judged = {Partition(row.topic, row.partition): row.next_offset for row in rows}
    if not judged:
        return False
    there = await horizon.extents(sorted({place.topic for place in judged}))
    left = {
        place: Extent(extent.first, min(extent.next, judged[place])) for place, extent in there.items()
        if place in judged
    }
    return bool(unread(await stands(engine, topics.consumer), left))


async def stands(engine: AsyncEngine, consumer: str) -> dict[Partition, int]:
    """Per partition the next offset that is to be heard."""
    async with engine.connect() as tx:
        rows = await tx.execute(_STANDS, {"consumer": consumer})
        return {Partition(row.topic, row.partition): row.next_offset for row in rows}


async def made_anew(engine: AsyncEngine, topic: str) -> list[Finding]:
    """What a topic has lost that is another one now, or was cut off: everything that was ever published to it.

    A relay cannot tell a topic that was made anew from one whose end was cut off (an unclean election, a disk put
    back), so more is told again than is lost; who has heard it knows it.
    """
    async with engine.connect() as tx:
        rows = (await tx.execute(_ALL, {"topic": topic})).all()
    return [Finding(Kind.TOPIC_SHORTER, topic, row.partition, 0, row.next) for row in rows]


async def said_and_there(
    engine: AsyncEngine, horizon: Horizon, topics: Sequence[str]
) -> tuple[Mapping[Partition, int], Mapping[Partition, Extent]]:
    """Per partition the offset after the last one that is accounted for, and what there is at the broker.

    The broker is asked after the database: a relay may be at work, and what it publishes meanwhile only adds. So does
    what another look judges meanwhile.
    """
    async with engine.connect() as tx:
        rows = await tx.execute(_JUDGED, {"topics": list(topics)})
        judged = {Partition(row.topic, row.partition): row.next_offset for row in rows}
        values = {"topics": list(topics), "most": LAST_NUMBERS}
        said = {Partition(row.topic, row.partition): row.next for row in await tx.execute(_LATELY, values)}
    there = await horizon.extents(topics)
    quiet = [place for place in there if place not in said]
    if quiet:
        async with engine.connect() as tx:
            values = {"topics": [place.topic for place in quiet], "partitions": [place.number for place in quiet]}
            said |= {Partition(row.topic, row.partition): row.next for row in await tx.execute(_EVER, values)}
        there = await horizon.extents(topics)
    for place, next_offset in judged.items():
        said[place] = max(next_offset, said.get(place, 0))
    return said, there


def unread(published: Mapping[Partition, int], extents: Mapping[Partition, Extent]) -> dict[Partition, Extent]:
    """What lies beyond the last published record of each partition."""
    begins = {place: max(extent.first, published.get(place, 0)) for place, extent in extents.items()}
    spans = {place: Extent(begins[place], extent.next) for place, extent in extents.items()}
    return {place: span for place, span in spans.items() if span.first < span.next}


async def judge(tx: AsyncConnection, up_to: Mapping[Partition, int]) -> None:
    """Up to there everything is accounted for: the next look begins there."""
    places = sorted(up_to)
    await tx.execute(
        _JUDGE,
        {
            "topics": [place.topic for place in places],
            "partitions": [place.number for place in places],
            "nexts": [up_to[place] for place in places],
        },
    )


def _shorter(published: Mapping[Partition, int], extents: Mapping[Partition, Extent]) -> list[Finding]:
    """A topic that is gone altogether counts as one that begins and ends at nothing."""
    ends = {place: extents.get(place, Extent(0, 0)).next for place in published}
    return [
        Finding(Kind.TOPIC_SHORTER, *place, ends[place], known)
        for place, known in sorted(published.items())
        if ends[place] < known
    ]


async def _another(engine: AsyncEngine, horizon: Horizon, extents: Mapping[Partition, Extent]) -> list[Finding]:
    """Partitions in which something else lies where the last published record lay: also one that has grown long again.

    What was published there stays there until it is too old. Where a relay died after it had sent to a new topic and
    before it remembered that, nothing else tells.
    """
    async with engine.connect() as tx:
        values = {"topics": [place.topic for place in extents], "partitions": [place.number for place in extents]}
        rows = (await tx.execute(_LAST, values)).all()
    last = {Partition(row.topic, row.partition): row for row in rows}
    spans = {place: Extent(row.offset, row.offset + 1) for place, row in last.items()}
    there = {place: span for place, span in spans.items() if _holds(extents[place], span)}
    found: list[Finding] = []
    async for records in horizon.records(there):
        for record in records:
            place = Partition(record.topic, record.partition)
            if isinstance(record.envelope, Envelope) and record.envelope.id != last[place].event_id:
                found.append(Finding(Kind.TOPIC_SHORTER, *place, 0, last[place].offset + 1))
    return sorted(found, key=lambda finding: (finding.topic, finding.partition))


def _holds(extent: Extent, span: Extent) -> bool:
    return extent.first <= span.first and span.next <= extent.next


def _gone(published: Mapping[Partition, int], extents: Mapping[Partition, Extent]) -> list[Finding]:
    return [
        Finding(Kind.RECORDS_GONE, *place, published.get(place, 0), extent.first)
        for place, extent in sorted(extents.items())
        if published.get(place, 0) < extent.first
    ]


async def _unknown(engine: AsyncEngine, horizon: Horizon, spans: Mapping[Partition, Extent]) -> list[Finding]:
    """For each partition the span from the first record this database does not know; one is enough to be sure."""
    found: dict[Partition, Finding] = {}
    async for records in horizon.records(spans):
        for record in await strangers(engine, records):
            place = Partition(record.topic, record.partition)
            found.setdefault(place, Finding(Kind.UNKNOWN_RECORD, *place, record.offset, spans[place].next))
    return [found[place] for place in sorted(found)]


async def strangers(engine: AsyncEngine, records: Sequence[Record]) -> list[Record]:
    """Those of these records, on our own topics, that `event_log` does not know.

    The database is asked after the broker: a relay may be at work, and what it sends was committed before.
    """
    said = {record.envelope.id: record for record in reversed(records) if isinstance(record.envelope, Envelope)}
    if not said:
        return []
    async with engine.connect() as tx:
        known = set((await tx.execute(_KNOWN, {"ids": list(said)})).scalars())
    return [record for id_, record in reversed(said.items()) if id_ not in known]


async def _heard_behind(engine: AsyncEngine, horizon: Horizon, topics: Topics) -> list[Finding]:
    """Offsets are committed after the database has them: more committed than known was heard by a later life.

    The database is asked again after the broker: a consumer may be at work, and what it hears meanwhile it commits.
    """
    committed = await horizon.committed(await _heard(engine, topics))
    known = await _heard(engine, topics) if committed else {}
    return [
        Finding(Kind.HEARD_BEHIND, *place, known[place], next_offset)
        for place, next_offset in sorted(committed.items())
        if next_offset > known[place]
    ]


async def _heard(engine: AsyncEngine, topics: Topics) -> dict[Partition, int]:
    """Per partition the next offset this database has not heard."""
    async with engine.connect() as tx:
        values = {"consumer": topics.consumer, "topics": list(topics.hears)}
        return {Partition(row.topic, row.partition): row.next for row in await tx.execute(_HEARD, values)}


_TOPICS = sa.bindparam("topics", type_=ARRAY(TEXT))

_LATELY = sa.text("""
    SELECT topic, partition, max("offset") + 1 AS next
    FROM unnest(:topics) AS wanted (name) CROSS JOIN LATERAL (
        SELECT topic, partition, "offset" FROM publication
        WHERE publication.topic = wanted.name ORDER BY number DESC LIMIT :most
    ) AS last
    WHERE "offset" >= 0 GROUP BY topic, partition
""").bindparams(_TOPICS)

# Of a partition in which nothing was published for long.
_EVER = sa.text("""
    SELECT wanted.topic, wanted.partition, last."offset" + 1 AS next
    FROM unnest(:topics, :partitions) AS wanted (topic, partition) CROSS JOIN LATERAL (
        SELECT "offset" FROM publication
        WHERE publication.topic = wanted.topic AND publication.partition = wanted.partition AND "offset" >= 0
        ORDER BY "offset" DESC LIMIT 1
    ) AS last
""").bindparams(_TOPICS, sa.bindparam("partitions", type_=ARRAY(sa.Integer)))

_LAST = sa.text("""
    SELECT wanted.topic, wanted.partition, last."offset", said.event_id
    FROM unnest(:topics, :partitions) AS wanted (topic, partition) CROSS JOIN LATERAL (
        SELECT pos, "offset" FROM publication
        WHERE publication.topic = wanted.topic AND publication.partition = wanted.partition AND "offset" >= 0
        ORDER BY "offset" DESC LIMIT 1
    ) AS last JOIN event_log AS said USING (pos)
""").bindparams(_TOPICS, sa.bindparam("partitions", type_=ARRAY(sa.Integer)))

_ALL = sa.text("""
    SELECT partition, max("offset") + 1 AS next FROM publication
    WHERE topic = :topic AND "offset" >= 0 GROUP BY partition ORDER BY partition
""")

_JUDGED = sa.text("""
    SELECT topic, partition, next_offset FROM judged_up_to WHERE topic = ANY (:topics)
""").bindparams(_TOPICS)

_STANDS = sa.text("SELECT topic, partition, next_offset FROM heard_up_to WHERE consumer = :consumer")

_HEARD = sa.text("""
    SELECT topic, partition, greatest(heard.next_offset, coalesce(judged.next_offset, 0)) AS next
    FROM heard_up_to AS heard LEFT JOIN judged_up_to AS judged USING (topic, partition)
    WHERE heard.consumer = :consumer AND topic = ANY (:topics)
""").bindparams(_TOPICS)

_KNOWN = sa.text("SELECT event_id FROM event_log WHERE event_id = ANY (:ids)").bindparams(
    sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True)))
)

_JUDGE = sa.text("""
    INSERT INTO judged_up_to (topic, partition, next_offset)
    SELECT topic, partition, next FROM unnest(:topics, :partitions, :nexts) AS new (topic, partition, next)
    ORDER BY topic, partition
    ON CONFLICT (topic, partition) DO UPDATE
    SET next_offset = excluded.next_offset, judged_at = clock_timestamp()
""").bindparams(
    sa.bindparam("topics", type_=ARRAY(TEXT)),
    sa.bindparam("partitions", type_=ARRAY(sa.Integer)),
    sa.bindparam("nexts", type_=ARRAY(sa.BigInteger)),
)
