"""Events that wait: original bytes, the whole lane in order, listed, tried again by themselves or by hand.

Nothing is skipped here (see `skips`). A fork (a database was restored) and a gap (something before it is missing) are
classes of their own; `behind` waits for the event before it. The bytes themselves are shown to nobody: their writer may
have put more into them than the contract knows.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TEXT, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import telemetry
from chassis.envelope import Record, Unreadable, from_record

log = logging.getLogger(__name__)

PAGE = 100  # rows of one answer to an operator; one more is read, so that the answer can say that there are more
LANES_AT_ONCE = 200  # lanes that one call tries again
LANE_EVENTS_AT_ONCE = 500  # of each lane, read with their bytes
UNPROVEN = (
    "invalid-body",
    "unknown-type",
    "wrong-topic",
    "behind",
    "gap",
    "fork",
)  # bodies nobody has read against a contract yet

# After the first failure, the second …; then the last one again and again.
RETRY_SECONDS = (60, 300, 1800, 7200, 43_200)
SPREAD = 0.2  # of each, in both directions: a hundred lanes held at once are not tried at once
LEASE_SECONDS = 120  # a lane that one replica tries is left alone by the others that long

BUG = "bug"  # stands for every class that is the name of an exception
# What is tried again by itself, and why that may help.
RETRIED: Mapping[str, str] = MappingProxyType(
    {
        "refused": "what is not possible now may become so when something else is heard or asked",
        "unknown-type": "an update may know the type",
        BUG: "an update may have mended it, or a neighbour's row was in the way",
    }
)
# What waits for something else, and for what. No class is in both tables.
LEFT: Mapping[str, str] = MappingProxyType(
    {
        "gap": "goes on by itself when the missing event has come",
        "behind": "waits for the event before it",
        "fork": "two facts under one number: people find out which is true",
        "invalid-body": "its bytes will never fit the contract",
        "wrong-key": "its bytes will never fit the contract",
        "wrong-topic": "nobody may say this there",
        "unreadable": "its bytes are no event",
    }
)

WAITING = ("gap", "behind")  # held for what is missing only: when it has come they are tried at once

LaneKey = tuple[str, UUID]


def is_retried(error_class: str) -> bool:
    """Whether a lane that this class holds is tried again by itself."""
    return error_class not in LEFT


@dataclass(frozen=True, slots=True)
class Parked:
    """One event that waits, with the record it came in and the span of its first failure."""

    topic: str
    key: UUID
    seq: int
    event_id: UUID
    type: str
    record: Record
    failed_in: str | None = None

    @property
    def lane(self) -> LaneKey:
        """One subject on one topic."""
        return (self.topic, self.key)


class Waits(NamedTuple):
    """One event that waits, without its bytes."""

    topic: str
    key: UUID
    seq: int
    event_id: UUID
    error_class: str
    reason: str


class Trouble(NamedTuple):
    """Why an event is held: its class, a reason from a closed list, the span in which that was found."""

    error_class: str
    reason: str
    found_in: str | None


async def waiting_in(tx: AsyncConnection, consumer: str, lanes: Sequence[LaneKey]) -> list[Waits]:
    """Everything parked in these lanes, in their order, without the bytes."""
    rows = await tx.execute(_WAITING_IN, {"consumer": consumer, **_lanes(lanes)})
    return [Waits(*row) for row in rows]


async def parked_in(
    tx: AsyncConnection, consumer: str, lanes: Sequence[LaneKey], most: int = LANE_EVENTS_AT_ONCE
) -> dict[LaneKey, list[Parked]]:
    """The first events parked in each of these lanes, in their order, at most so many of each."""
    rows = await tx.execute(_IN_LANES, {"consumer": consumer, "most": most, **_lanes(lanes)})
    return {lane: list(events) for lane, events in groupby(map(_parked, rows), key=lambda parked: parked.lane)}


def _parked(row: Any) -> Parked:
    headers = tuple((name, None if value is None else value.encode("latin-1")) for name, value in row.headers)
    record = from_record(row.topic, row.partition, row.offset, str(row.key).encode(), headers, bytes(row.payload))
    return Parked(row.topic, row.key, row.seq, row.event_id, row.type, record, row.failed_in)


def _lanes(lanes: Sequence[LaneKey]) -> dict[str, list[Any]]:
    return {"topics": [topic for topic, _ in lanes], "keys": [key for _, key in lanes]}


async def park(tx: AsyncConnection, consumer: str, rows: Sequence[tuple[Parked, Trouble, str | None]]) -> None:
    """Keep these events with their trouble and the trace they came with."""
    if not rows:
        return
    columns: dict[str, list[Any]] = {
        **_named(parked for parked, _, _ in rows),
        **_troubles(trouble for _, trouble, _ in rows),
        "types": [parked.type for parked, _, _ in rows],
        "partitions": [parked.record.partition for parked, _, _ in rows],
        "offsets": [parked.record.offset for parked, _, _ in rows],
        "headers": [json.dumps(_in_latin1(parked.record)) for parked, _, _ in rows],
        "payloads": [parked.record.value or b"" for parked, _, _ in rows],
        "traceparents": [traceparent for _, _, traceparent in rows],
    }
    await tx.execute(_PARK, {"consumer": consumer, **columns, **_WHEN})


def _in_latin1(record: Record) -> list[list[str | None]]:
    """Headers as JSON can keep them, byte by byte."""
    return [[name, None if value is None else value.decode("latin-1")] for name, value in record.headers]


def _named(rows: Iterable[Parked | Waits]) -> dict[str, list[Any]]:
    listed = list(rows)
    return {
        "topics": [row.topic for row in listed],
        "keys": [row.key for row in listed],
        "seqs": [row.seq for row in listed],
        "ids": [row.event_id for row in listed],
    }


def _troubles(troubles: Iterable[Trouble]) -> dict[str, list[Any]]:
    listed = list(troubles)
    return {
        "classes": [trouble.error_class for trouble in listed],
        "reasons": [trouble.reason for trouble in listed],
        "found_in": [trouble.found_in for trouble in listed],
        "retried": [is_retried(trouble.error_class) for trouble in listed],
    }


async def tried_again(tx: AsyncConnection, consumer: str, rows: Sequence[tuple[Parked, Trouble]]) -> None:
    """A retry has failed: count it, keep the newest reason, say when the next one is due."""
    if rows:
        columns = _named(parked for parked, _ in rows) | _troubles(trouble for _, trouble in rows)
        await tx.execute(_TRIED, {"consumer": consumer, **columns, **_WHEN})


async def forget(tx: AsyncConnection, consumer: str, rows: Sequence[Parked | Waits]) -> None:
    """These have had their effect after all."""
    if rows:
        await tx.execute(_FORGET, {"consumer": consumer, **_named(rows)})


async def keep_unreadable(tx: AsyncConnection, consumer: str, records: Sequence[Record], seal: bytes) -> None:
    """Keep what is no event: nobody knows what is in it, so its bytes are sealed under the service's own key."""
    reasons = [str(r.envelope.reason) if isinstance(r.envelope, Unreadable) else "unknown-topic" for r in records]
    for record, reason in zip(records, reasons, strict=True):
        log.error("record unreadable", extra={"topic": record.topic, "reason": reason, "offset": record.offset})
    await tx.execute(
        _UNREADABLE,
        {
            "consumer": consumer,
            "topics": [record.topic for record in records],
            "partitions": [record.partition for record in records],
            "offsets": [record.offset for record in records],
            "reasons": reasons,
            "sealed": [_sealed(record, seal) for record in records],
        },
    )


def _sealed(record: Record, seal: bytes) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + AESGCM(seal).encrypt(nonce, _evidence(record), record.topic.encode())


def _evidence(record: Record) -> bytes:
    """Key and headers as one line of JSON, then the value: whatever is wrong with the record is in one of them."""
    headers = _in_latin1(record)
    key = None if record.key is None else record.key.decode("latin-1")
    return json.dumps({"key": key, "headers": headers}).encode() + b"\n" + (record.value or b"")


async def unreadable(tx: AsyncConnection, consumer: str) -> list[dict[str, Any]]:
    """Where the records are that are no events, newest first, and why; never what is in them."""
    rows = await tx.execute(_UNREAD, {"consumer": consumer, "page": PAGE + 1})
    return [dict(row) for row in rows.mappings()]


async def lanes(tx: AsyncConnection, consumer: str, error_class: str | None = None) -> list[dict[str, Any]]:
    """The held lanes, oldest first: what an operator's list shows."""
    rows = await tx.execute(_LANES, {"consumer": consumer, "error_class": error_class, "page": PAGE + 1})
    return [dict(row) for row in rows.mappings()]


async def classes(tx: AsyncConnection, consumer: str) -> dict[str, int]:
    """How many lanes each class holds."""
    return {row.error_class: row.lanes for row in await tx.execute(_CLASSES, {"consumer": consumer})}


async def lane(
    tx: AsyncConnection, consumer: str, topic: str, key: UUID, body: Callable[[str, bytes], Any]
) -> list[dict[str, Any]]:
    """Every event that waits in one lane, in order, and its body as `body` reads one of that type."""
    rows = await tx.execute(_LANE, {"consumer": consumer, "topic": topic, "key": key, "page": PAGE + 1})
    return [_shown(dict(row), body) for row in rows.mappings()]


def _shown(row: dict[str, Any], body: Callable[[str, bytes], Any]) -> dict[str, Any]:
    payload, trace = bytes(row.pop("payload")), row["traceparent"]
    row["body"] = None if row["error_class"] in UNPROVEN else body(row["type"], payload)
    row["traceparent"] = None if telemetry.parse(trace) is None else trace  # a header is what its writer puts there
    return row


async def held(tx: AsyncConnection, consumer: str, lanes: Sequence[LaneKey]) -> set[LaneKey]:
    """Those of these lanes in which anything waits."""
    return {(row.topic, row.key) for row in await tx.execute(_HELD, {"consumer": consumer, **_lanes(lanes)})}


async def ready_lanes(tx: AsyncConnection, consumer: str) -> list[LaneKey]:
    """Lanes held only for something that has come in the meantime: their first event is the next number now."""
    return [(row.topic, row.key) for row in await tx.execute(_READY, {"consumer": consumer, "page": PAGE})]


async def due_lanes(tx: AsyncConnection, consumer: str) -> list[LaneKey]:
    """Lanes whose first event is due to be tried again, the longest due first; they are this caller's for a while."""
    parameters = {"consumer": consumer, "most": LANES_AT_ONCE, "lease": LEASE_SECONDS}
    return [(row.topic, row.key) for row in await tx.execute(_DUE, parameters)]


async def lanes_of_class(
    tx: AsyncConnection, consumer: str, error_class: str, before: datetime | None
) -> tuple[list[LaneKey], datetime, bool]:
    """Lanes whose first event has this class and was not tried since `before` (default: now), by the last try.

    Gives at most `LANES_AT_ONCE` of them, that moment, and whether there are more.
    """
    parameters = {"consumer": consumer, "error_class": error_class, "before": before, "most": LANES_AT_ONCE + 1}
    moment: datetime = await tx.scalar(_MOMENT_OF, {"before": before})
    found = [(row.topic, row.key) for row in await tx.execute(_OF_CLASS, parameters | {"before": moment})]
    return found[:LANES_AT_ONCE], moment, len(found) > LANES_AT_ONCE


_TEXTS, _UUIDS, _INTS = ARRAY(TEXT), ARRAY(PG_UUID(as_uuid=True)), ARRAY(sa.Integer)
_LANE_KEYS = (sa.bindparam("topics", type_=_TEXTS), sa.bindparam("keys", type_=_UUIDS))
_NAMED = (*_LANE_KEYS, sa.bindparam("seqs", type_=_INTS), sa.bindparam("ids", type_=_UUIDS))
_TROUBLES = (
    sa.bindparam("classes", type_=_TEXTS),
    sa.bindparam("reasons", type_=_TEXTS),
    sa.bindparam("found_in", type_=_TEXTS),
    sa.bindparam("retried", type_=ARRAY(sa.Boolean)),
)
_WHEN = {"waits": list(RETRY_SECONDS), "least": 1 - SPREAD, "spread": 2 * SPREAD}
_WAITS = sa.bindparam("waits", type_=_INTS)

_READY = sa.text("""
    SELECT first.topic, first.key FROM (
        SELECT DISTINCT ON (topic, key) topic, key, seq, error_class FROM parked WHERE consumer = :consumer
        ORDER BY topic, key, seq, parked_at
    ) AS first
    JOIN lane ON lane.consumer = :consumer AND lane.topic = first.topic AND lane.key = first.key
    WHERE first.error_class IN ('gap', 'behind') AND first.seq = lane.last_seq + 1
    LIMIT :page
""")

# The lease is what keeps two replicas from trying the same lane: whoever has moved the moment on has it.
_DUE = sa.text("""
    UPDATE parked SET next_attempt_at = clock_timestamp() + make_interval(secs => :lease)
    WHERE (consumer, topic, key, seq, event_id) IN (
        SELECT consumer, topic, key, seq, event_id FROM parked AS first
        WHERE consumer = :consumer AND next_attempt_at <= statement_timestamp() AND NOT EXISTS (
            SELECT FROM parked AS before
            WHERE before.consumer = first.consumer AND before.topic = first.topic AND before.key = first.key
              AND (before.seq, before.parked_at) < (first.seq, first.parked_at)
        )
        ORDER BY next_attempt_at LIMIT :most FOR UPDATE SKIP LOCKED
    )
    RETURNING topic, key
""")

_MOMENT_OF = sa.text("SELECT coalesce(cast(:before AS timestamptz), clock_timestamp())").bindparams(
    sa.bindparam("before", type_=TIMESTAMP(timezone=True))
)

_OF_CLASS = sa.text("""
    SELECT topic, key FROM (
        SELECT DISTINCT ON (topic, key) topic, key, error_class, last_tried_at FROM parked WHERE consumer = :consumer
        ORDER BY topic, key, seq, parked_at
    ) AS first
    WHERE error_class = :error_class AND last_tried_at < :before
    ORDER BY last_tried_at LIMIT :most
""").bindparams(sa.bindparam("before", type_=TIMESTAMP(timezone=True)))

_UNREADABLE = sa.text("""
    INSERT INTO unreadable (consumer, topic, partition, "offset", reason, sealed)
    SELECT :consumer, topic, partition, "offset", reason, sealed
    FROM unnest(:topics, :partitions, :offsets, :reasons, :sealed) AS new (topic, partition, "offset", reason, sealed)
    ON CONFLICT DO NOTHING
""").bindparams(
    sa.bindparam("topics", type_=_TEXTS),
    sa.bindparam("partitions", type_=_INTS),
    sa.bindparam("offsets", type_=ARRAY(sa.BigInteger)),
    sa.bindparam("reasons", type_=_TEXTS),
    sa.bindparam("sealed", type_=ARRAY(BYTEA)),
)

_UNREAD = sa.text("""
    SELECT topic, partition, "offset", reason, length(sealed) AS bytes, found_at FROM unreadable
    WHERE consumer = :consumer ORDER BY found_at DESC LIMIT :page
""")

_WAITING_IN = sa.text("""
    SELECT topic, key, seq, event_id, error_class, reason FROM parked
    WHERE consumer = :consumer AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))
    ORDER BY topic, key, seq, parked_at
""").bindparams(*_LANE_KEYS)

_IN_LANES = sa.text("""
    SELECT found.* FROM unnest(:topics, :keys) AS wanted (topic, key), LATERAL (
        SELECT topic, key, seq, event_id, type, partition, "offset", headers, payload, failed_in FROM parked
        WHERE consumer = :consumer AND parked.topic = wanted.topic AND parked.key = wanted.key
        ORDER BY seq, parked_at LIMIT :most
    ) AS found
""").bindparams(*_LANE_KEYS)

_HELD = sa.text("""
    SELECT DISTINCT topic, key FROM parked
    WHERE consumer = :consumer AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))
""").bindparams(*_LANE_KEYS)

_PARK = sa.text("""
    INSERT INTO parked (consumer, topic, key, seq, event_id, type, partition, "offset", headers, payload,
                        error_class, reason, traceparent, failed_in, next_attempt_at)
    SELECT :consumer, topic, key, seq, event_id, type, partition, "offset", cast(headers AS jsonb), payload,
           error_class, reason, traceparent, found_in,
           CASE WHEN retried
                THEN clock_timestamp() + make_interval(secs => (:waits)[1] * (:least + :spread * random())) END
    FROM unnest(:topics, :keys, :seqs, :ids, :types, :partitions, :offsets, :headers, :payloads, :traceparents,
                :classes, :reasons, :found_in, :retried)
         AS new (topic, key, seq, event_id, type, partition, "offset", headers, payload, traceparent,
                 error_class, reason, found_in, retried)
    ON CONFLICT DO NOTHING
""").bindparams(
    *_NAMED,
    *_TROUBLES,
    _WAITS,
    sa.bindparam("types", type_=_TEXTS),
    sa.bindparam("partitions", type_=_INTS),
    sa.bindparam("offsets", type_=ARRAY(sa.BigInteger)),
    sa.bindparam("headers", type_=_TEXTS),
    sa.bindparam("payloads", type_=ARRAY(BYTEA)),
    sa.bindparam("traceparents", type_=_TEXTS),
    sa.bindparam("least", type_=sa.Double),
    sa.bindparam("spread", type_=sa.Double),
)

_TRIED = sa.text("""
    UPDATE parked
    SET attempts = attempts + 1, error_class = new.error_class, reason = new.reason, last_tried_at = clock_timestamp(),
        failed_in = coalesce(parked.failed_in, new.found_in),
        next_attempt_at = CASE WHEN new.retried THEN clock_timestamp() + make_interval(
            secs => (:waits)[least(attempts + 1, cardinality(:waits))] * (:least + :spread * random())) END
    FROM unnest(:topics, :keys, :seqs, :ids, :classes, :reasons, :found_in, :retried)
         AS new (topic, key, seq, event_id, error_class, reason, found_in, retried)
    WHERE parked.consumer = :consumer AND parked.topic = new.topic AND parked.key = new.key AND parked.seq = new.seq
      AND parked.event_id = new.event_id
""").bindparams(
    *_NAMED, *_TROUBLES, _WAITS, sa.bindparam("least", type_=sa.Double), sa.bindparam("spread", type_=sa.Double)
)

_FORGET = sa.text("""
    DELETE FROM parked USING unnest(:topics, :keys, :seqs, :ids) AS gone (topic, key, seq, event_id)
    WHERE parked.consumer = :consumer AND parked.topic = gone.topic AND parked.key = gone.key
      AND parked.seq = gone.seq AND parked.event_id = gone.event_id
""").bindparams(*_NAMED)

_LANES = sa.text("""
    SELECT topic, key, count(*) AS events, (array_agg(error_class ORDER BY seq, parked_at))[1] AS error_class,
           (array_agg(reason ORDER BY seq, parked_at))[1] AS reason,
           (array_agg(type ORDER BY seq, parked_at))[1] AS type,
           min(parked_at) AS since, max(attempts) AS attempts,
           (array_agg(next_attempt_at ORDER BY seq, parked_at))[1] AS next_attempt_at
    FROM parked WHERE consumer = :consumer
    GROUP BY topic, key
    HAVING cast(:error_class AS text) IS NULL OR (array_agg(error_class ORDER BY seq, parked_at))[1] = :error_class
    ORDER BY since LIMIT :page
""")

_CLASSES = sa.text("""
    SELECT error_class, count(*) AS lanes FROM (
        SELECT DISTINCT ON (topic, key) error_class FROM parked WHERE consumer = :consumer
        ORDER BY topic, key, seq, parked_at
    ) AS first
    GROUP BY error_class ORDER BY error_class
""")

_LANE = sa.text("""
    SELECT seq, event_id, type, error_class, reason, attempts, parked_at, last_tried_at, next_attempt_at, traceparent,
           failed_in, partition, "offset", payload
    FROM parked WHERE consumer = :consumer AND topic = :topic AND key = :key ORDER BY seq, parked_at LIMIT :page
""")
