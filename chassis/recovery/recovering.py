"""`staffel recover`: reads what the service has said and this database does not know, and makes it known again.

Everything happens in one transaction, which a dry run rolls back: what it says is what would be. Facts come back with
their ids, numbers and bytes; nothing is said, and nothing is sent but what a topic has lost.
"""

from __future__ import annotations

import asyncio
import heapq
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TEXT, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis.database import transaction
from chassis.envelope import Envelope, Record
from chassis.executor import Kind as SubjectKind
from chassis.horizon import Extent, Horizon, Partition
from chassis.inbox import Heard, Hearing
from chassis.recovery import guard, noticing
from chassis.recovery.noticing import Finding, Kind, Topics
from chassis.recovery.remembering import Memory, Recollection, read, remember
from chassis.transitions import Said

SETTLE_SECONDS = 4.0  # longer than any replica needs to learn that the database is shut (`service.LOOK_SECONDS`)
REPUBLISHED_DAYS = 30  # a topic's retention: what is older had gone from it by itself

Stream = tuple[str, UUID]


class CannotRecover(Exception):
    """Why this database cannot be brought up to what was said: for the operator."""


@dataclass(frozen=True)
class Recollects:
    """What of a service recovery works with."""

    topics: Topics
    hearing: Hearing
    kinds: Mapping[str, SubjectKind[Any]]
    memories: Sequence[Memory]
    scope_attribute: str
    new_id: Callable[[], UUID]


@dataclass(frozen=True, slots=True)
class Spoken:
    """One subject of which facts came back, and what of it cannot be known again."""

    kind: str
    id: UUID
    facts: tuple[str, ...]
    lost: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What recovery did, or would do."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, int]
    """Topic -> facts that are known again."""
    subjects: tuple[Spoken, ...]
    nobody: Mapping[str, int]
    """Type -> facts that speak of no subject this database could still have."""
    forks: tuple[UUID, ...]
    """Facts with numbers that other facts have: said twice by two lives of this database; for people to look at."""
    renumbered: int
    """Facts decided since the restore and not sent: they follow what was said before."""
    heard: int
    """Events whose effect is known again: they are not heard a second time."""
    republished: Mapping[str, int]
    """Topic -> facts that are sent again, because the topic has lost them."""

    def as_json(self) -> str:
        """For the row that keeps it."""
        return json.dumps(asdict(self), default=str)


async def recover(
    engine: AsyncEngine, horizon: Horizon, service: Recollects, *, by: str, apply: bool
) -> Report | None:
    """Make known again what was said; None where there is nothing to mend. Raises OutOfSight, CannotRecover."""
    findings = await _findings(engine, horizon, service, apply=apply)
    if not findings:
        return None
    said, there = await noticing.said_and_there(engine, horizon, service.topics.writes)
    _must_be_whole(said, there)
    tail, ids = await _tail(engine, horizon, noticing.unread(said, there))
    heard = await _heard(engine, horizon, service, tail)
    committed = await horizon.committed([place for place in heard.extents if heard.extents[place].next])
    to_hear = {place: max(extent.next, committed.get(place, 0)) for place, extent in heard.extents.items()}
    async with engine.connect() as connection:
        tx = await connection.begin()
        await connection.execute(_ONE_AT_A_TIME)
        forks, renumbered = await _put_back(connection, tail, ids)
        facts = [one for one in tail if _id(one) not in forks]
        recollection = await _remember(connection, service, facts, heard)
        causes = await _count_as_heard(connection, service.topics.consumer, facts, recollection, heard)
        republished = await _send_again(connection, findings)
        await noticing.judge(connection, {place: extent.next for place, extent in there.items()} | to_hear)
        report = Report(
            tuple(findings),
            _count(one.topic for one in facts),
            _spoken(recollection),
            _count(one.fact.type for one in recollection.nobody),
            tuple(sorted(forks)),
            renumbered,
            causes,
            republished,
        )
        await connection.execute(_MENDED, {"by": by, "report": report.as_json()})
        await (tx.commit() if apply else tx.rollback())
    return report


async def _findings(engine: AsyncEngine, horizon: Horizon, service: Recollects, *, apply: bool) -> list[Finding]:
    """What was noticed, or is now; where it is new, every replica is given the time to shut."""
    async with engine.connect() as tx:
        present = await guard.present(tx)
    if present is not None:
        return [Finding(**{**each, "kind": Kind(each["kind"])}) for each in present["findings"]]
    findings = await noticing.notice(engine, horizon, service.topics)
    if findings and apply:
        async with transaction(engine) as tx:
            await guard.write_down(tx, findings)
        await asyncio.sleep(SETTLE_SECONDS)
    return findings


def _must_be_whole(said: Mapping[Partition, int], there: Mapping[Partition, Extent]) -> None:
    """Where records are gone that nobody here knows, no number of any subject can be sure."""
    gone = sorted({place.topic for place, extent in there.items() if said.get(place, 0) < extent.first})
    if gone:
        raise CannotRecover(
            f"the backup is older than what its topics keep: {', '.join(gone)} have lost records that this database"
            " does not know; restore a younger backup or a standby"
        )


# --- reading ----------------------------------------------------------------------------------------------------------


async def _tail(
    engine: AsyncEngine, horizon: Horizon, spans: Mapping[Partition, Extent]
) -> tuple[list[Record], set[UUID]]:
    """The records this database does not know, each once, in the order they were said; and all ids seen there."""
    unknown: dict[Partition, list[Record]] = defaultdict(list)
    taken: set[UUID] = set()
    seen: set[UUID] = set()
    async for records in horizon.records(spans):
        seen |= {record.envelope.id for record in records if isinstance(record.envelope, Envelope)}
        for record in await noticing.strangers(engine, records):
            if _id(record) not in taken:
                taken.add(_id(record))
                unknown[Partition(record.topic, record.partition)].append(record)
    return list(heapq.merge(*unknown.values(), key=lambda record: (_envelope(record).time, _id(record)))), seen


@dataclass(frozen=True)
class _Ears:
    """Events on the topics the service hears that have to do with the facts: by id, and by key."""

    by_id: Mapping[UUID, Heard]
    by_key: Mapping[UUID, Sequence[Heard]]
    extents: Mapping[Partition, Extent]


async def _heard(engine: AsyncEngine, horizon: Horizon, service: Recollects, tail: Sequence[Record]) -> _Ears:
    """Read again what was heard since the backup, and keep what the facts answer to or speak of."""
    topics = service.topics
    extents = await horizon.extents(topics.hears)
    by_id: dict[UUID, Heard] = {}
    by_key: dict[UUID, list[Heard]] = defaultdict(list)
    if tail:
        causes, keys = {_cause(record) for record in tail}, {_envelope(record).key for record in tail}
        stands = await noticing.stands(engine, topics.consumer)
        async for records in horizon.records(noticing.unread(stands, extents)):
            for record in records:
                heard = service.hearing.read(record)
                if heard is None or heard.event is None:
                    continue
                if heard.meta.id in causes:
                    by_id[heard.meta.id] = heard
                if heard.meta.subject in keys:
                    by_key[heard.meta.subject].append(heard)
    return _Ears(by_id, by_key, extents)


# --- writing ----------------------------------------------------------------------------------------------------------


async def _put_back(tx: AsyncConnection, tail: Sequence[Record], seen: set[UUID]) -> tuple[set[UUID], int]:
    """The facts as they were said, and the counters behind them; which are forks, and how many unsent ones moved."""
    if not tail:
        return set(), 0
    streams = sorted({_stream(record) for record in tail})
    rows = (await tx.execute(_IN_STREAMS, _columns(streams))).all()
    unsent = [row for row in rows if row.waits and row.event_id not in seen]
    moving = {row.event_id for row in unsent}
    last: dict[Stream, int] = defaultdict(int)
    for row in rows:
        if row.event_id not in moving:
            last[row.topic, row.key] = max(last[row.topic, row.key], row.seq)
    forks = {_id(record) for record in tail if _envelope(record).subjectseq <= last[_stream(record)]}
    back = [record for record in tail if _id(record) not in forks]
    heads = dict(last)
    for record in back:
        heads[_stream(record)] = max(heads.get(_stream(record), 0), _envelope(record).subjectseq)
    await _move(tx, unsent, {stream: heads[stream] - last[stream] for stream in streams if stream in heads})
    await tx.execute(_SAY_AGAIN, _as_columns(back))
    for row in unsent:
        heads[row.topic, row.key] += 1
    known = [stream for stream in streams if stream in heads]
    await tx.execute(_HEADS, {**_columns(known), "lasts": [heads[stream] for stream in known]})
    return forks, len(unsent)


async def _move(tx: AsyncConnection, unsent: Sequence[Any], by: Mapping[Stream, int]) -> None:
    """Facts nobody has got yet make room: their numbers follow what was said before. Last first, as keys are unique."""
    for row in sorted(unsent, key=lambda each: -each.seq):
        number = row.seq + by[row.topic, row.key]
        headers = [[name, str(number) if name == "ce_subjectseq" else value] for name, value in row.headers]
        await tx.execute(_RENUMBER, {"pos": row.pos, "seq": number, "headers": json.dumps(headers)})


async def _remember(
    tx: AsyncConnection, service: Recollects, facts: Sequence[Record], ears: _Ears
) -> Recollection:
    events = {memory.event.type: memory.event for memory in service.memories}
    said: list[Said] = []
    for record, envelope, one in read(facts, events, service.scope_attribute):
        if one is not None:
            asked_by = _cause(record)
            cause = None if asked_by is None else ears.by_id.get(asked_by)
            heard = tuple((each.meta.id, each.event) for each in ears.by_key.get(envelope.key, ()))
            said.append(replace(one, answers=None if cause is None else cause.event, heard=heard))
    return await remember(tx, said, service.memories, service.kinds, service.new_id)


async def _count_as_heard(
    tx: AsyncConnection, consumer: str, facts: Sequence[Record], found: Recollection, ears: _Ears
) -> int:
    """What a fact was said because of has had its effect: when it is read again it is known.

    Not so where that effect is more than the fact says (`Hear.again`).
    """
    every = {heard.meta.id: heard for several in ears.by_key.values() for heard in several} | dict(ears.by_id)
    told = (heard for heard in ears.by_id.values() if heard.hear is None or not heard.hear.again)
    rows = {(heard.meta.id, heard.meta.subject): heard for heard in told}
    for id_, subjects in found.heard.items():
        rows |= {(id_, subject): every[id_] for subject in subjects if id_ in every}
    answered = {_cause(record) for record in facts}
    kept = {key: heard for key, heard in rows.items() if key[0] in answered or key[0] in found.heard}
    if kept:
        await tx.execute(
            _HEARD,
            {
                "consumer": consumer,
                "ids": [id_ for id_, _ in kept],
                "subjects": [subject for _, subject in kept],
                "topics": [heard.meta.topic for heard in kept.values()],
                "keys": [heard.meta.subject for heard in kept.values()],
                "seqs": [heard.meta.seq for heard in kept.values()],
                "types": [heard.meta.type for heard in kept.values()],
                "said": [heard.meta.time for heard in kept.values()],
            },
        )
    return len({id_ for id_, _ in kept})


async def _send_again(tx: AsyncConnection, findings: Iterable[Finding]) -> dict[str, int]:
    """What a topic has lost goes out once more, with its ids; who has heard it knows them."""
    lost = sorted({(f.topic, f.partition, f.first) for f in findings if f.kind is Kind.TOPIC_SHORTER})
    if not lost:
        return {}
    topics, partitions, nexts = zip(*lost, strict=True)
    values = {"topics": topics, "partitions": partitions, "nexts": nexts, "days": REPUBLISHED_DAYS}
    return {row.topic: row.facts for row in await tx.execute(_SEND_AGAIN, values)}


# --- words ------------------------------------------------------------------------------------------------------------


def _envelope(record: Record) -> Envelope:
    if not isinstance(record.envelope, Envelope):
        raise TypeError("only events are put back")
    return record.envelope


def _id(record: Record) -> UUID:
    return _envelope(record).id


def _cause(record: Record) -> UUID | None:
    cause = _envelope(record).extensions.get("causationid")
    return None if cause is None else UUID(cause)


def _stream(record: Record) -> Stream:
    return (record.topic, _envelope(record).key)


def _count(words: Iterable[str]) -> dict[str, int]:
    counted: dict[str, int] = defaultdict(int)
    for word in words:
        counted[word] += 1
    return dict(sorted(counted.items()))


def _spoken(found: Recollection) -> tuple[Spoken, ...]:
    return tuple(
        Spoken(kind, id_, tuple(one.fact.type for one in facts), tuple(found.lost.get((kind, id_), ())))
        for (kind, id_), facts in sorted(found.facts.items())
    )


def _columns(streams: Sequence[Stream]) -> dict[str, list[Any]]:
    return {"topics": [topic for topic, _ in streams], "keys": [key for _, key in streams]}


def _as_columns(records: Sequence[Record]) -> dict[str, list[Any]]:
    envelopes = [_envelope(record) for record in records]
    headers = [[[name, (value or b"").decode()] for name, value in record.headers] for record in records]
    return {
        "ids": [envelope.id for envelope in envelopes],
        "topics": [record.topic for record in records],
        "keys": [envelope.key for envelope in envelopes],
        "seqs": [envelope.subjectseq for envelope in envelopes],
        "types": [envelope.type for envelope in envelopes],
        "headers": [json.dumps(each) for each in headers],
        "payloads": [record.value or b"" for record in records],
        "times": [envelope.time for envelope in envelopes],
        "partitions": [record.partition for record in records],
        "offsets": [record.offset for record in records],
    }


_TOPICS, _KEYS = sa.bindparam("topics", type_=ARRAY(TEXT)), sa.bindparam("keys", type_=ARRAY(PG_UUID(as_uuid=True)))
_INTS, _LONGS, _IDS = ARRAY(sa.Integer), ARRAY(sa.BigInteger), ARRAY(PG_UUID(as_uuid=True))

_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(hashtext('recover'))")

_IN_STREAMS = sa.text("""
    SELECT pos, event_id, said.topic, said.key, seq, headers, outbox.pos IS NOT NULL AS waits
    FROM event_log AS said LEFT JOIN outbox USING (pos)
    WHERE (said.topic, said.key) IN (SELECT * FROM unnest(:topics, :keys))
""").bindparams(_TOPICS, _KEYS)

_RENUMBER = sa.text("UPDATE event_log SET seq = :seq, headers = CAST(:headers AS jsonb) WHERE pos = :pos")

_SAY_AGAIN = sa.text("""
    WITH new AS (
        SELECT * FROM unnest(:ids, :topics, :keys, :seqs, :types, :headers, :payloads, :times, :partitions, :offsets)
            WITH ORDINALITY
            AS new (event_id, topic, key, seq, type, headers, payload, said_at, partition, "offset", place)
    ), said AS (
        INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload, created_at)
        SELECT event_id, topic, key, seq, type, headers::jsonb, payload, said_at FROM new ORDER BY place
        RETURNING pos, event_id
    ), heads AS (
        SELECT topic, coalesce((SELECT max(number) FROM publication WHERE publication.topic = topics.topic), 0) AS last
        FROM (SELECT DISTINCT topic FROM new) AS topics
    )
    INSERT INTO publication (topic, number, pos, partition, "offset", published_at)
    SELECT new.topic, heads.last + row_number() OVER (PARTITION BY new.topic ORDER BY new.place),
           said.pos, new.partition, new."offset", new.said_at
    FROM new JOIN said USING (event_id) JOIN heads ON heads.topic = new.topic
""").bindparams(
    _TOPICS,
    _KEYS,
    sa.bindparam("ids", type_=_IDS),
    sa.bindparam("seqs", type_=_INTS),
    sa.bindparam("types", type_=ARRAY(TEXT)),
    sa.bindparam("headers", type_=ARRAY(TEXT)),
    sa.bindparam("payloads", type_=ARRAY(BYTEA)),
    sa.bindparam("times", type_=ARRAY(TIMESTAMP(timezone=True))),
    sa.bindparam("partitions", type_=_INTS),
    sa.bindparam("offsets", type_=_LONGS),
)

_HEADS = sa.text("""
    INSERT INTO stream_head AS head (topic, key, last)
    SELECT topic, key, last FROM unnest(:topics, :keys, :lasts) AS new (topic, key, last)
    ON CONFLICT (topic, key) DO UPDATE SET last = greatest(head.last, excluded.last)
""").bindparams(_TOPICS, _KEYS, sa.bindparam("lasts", type_=_INTS))

_HEARD = sa.text("""
    INSERT INTO inbox (consumer, event_id, subject, topic, key, seq, type, said_at)
    SELECT :consumer, id, subject, topic, key, seq, type, said
    FROM unnest(:ids, :subjects, :topics, :keys, :seqs, :types, :said)
         AS new (id, subject, topic, key, seq, type, said)
    ON CONFLICT DO NOTHING
""").bindparams(
    _TOPICS,
    _KEYS,
    sa.bindparam("ids", type_=_IDS),
    sa.bindparam("subjects", type_=_IDS),
    sa.bindparam("seqs", type_=_INTS),
    sa.bindparam("types", type_=ARRAY(TEXT)),
    sa.bindparam("said", type_=ARRAY(TIMESTAMP(timezone=True))),
)

# A lost record's place is no place any more. Lost is what was published up to the last record that cannot be there:
# where a relay went on speaking to the new topic, earlier ones seem to be there, at offsets that others have now.
# Younger facts go out again, and the last word on every subject.
_SEND_AGAIN = sa.text("""
    WITH until AS (
        SELECT topic, partition, max(number) AS number
        FROM publication JOIN unnest(:topics, :partitions, :nexts) AS place (topic, partition, next)
             USING (topic, partition)
        WHERE "offset" >= next GROUP BY topic, partition
    ), lost AS (
        UPDATE publication SET "offset" = -1
        FROM until
        WHERE publication.topic = until.topic AND publication.partition = until.partition
          AND publication.number <= until.number AND publication."offset" >= 0
        RETURNING publication.pos
    ), again AS (
        INSERT INTO outbox (pos, topic, key)
        SELECT pos, said.topic, said.key
        FROM lost JOIN event_log AS said USING (pos) JOIN stream_head AS head USING (topic, key)
        WHERE said.created_at > clock_timestamp() - make_interval(days => :days) OR said.seq = head.last
        ON CONFLICT DO NOTHING
        RETURNING topic
    )
    SELECT topic, count(*) AS facts FROM again GROUP BY topic
""").bindparams(_TOPICS, sa.bindparam("partitions", type_=_INTS), sa.bindparam("nexts", type_=_LONGS))

_MENDED = sa.text("""
    UPDATE restoration SET recovered_at = clock_timestamp(), recovered_by = :by, report = CAST(:report AS jsonb)
    WHERE recovered_at IS NULL
""")
