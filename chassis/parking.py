"""Events that wait for a human: original bytes, the whole lane in order, listed, retried by hand.

Nothing is skipped. A fork (a database was restored) and a gap (something before it is missing) are classes of their
own; `behind` waits for the event before it. Facts carry ids and codes only, so their bytes may be shown.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.envelope import Record, Unreadable, from_record

log = logging.getLogger(__name__)

PAGE = 100  # rows of one answer to an operator
UNPROVEN = (
    "invalid-body",
    "unknown-type",
    "wrong-topic",
    "behind",
    "gap",
    "fork",
)  # bodies nobody has read against a contract yet


@dataclass(frozen=True, slots=True)
class Parked:
    """One event that waits, with the record it came in."""

    topic: str
    key: UUID
    seq: int
    event_id: UUID
    type: str
    error_class: str
    record: Record

    @classmethod
    def of(cls, record: Record, key: UUID, seq: int, event_id: UUID, type_: str, error_class: str) -> Parked:
        """The event that this record carries."""
        return cls(record.topic, key, seq, event_id, type_, error_class, record)


async def parked_in(tx: AsyncConnection, consumer: str, lanes: Sequence[tuple[str, UUID]]) -> list[Parked]:
    """Everything parked in these lanes, in their order."""
    parameters = {"consumer": consumer, "topics": [t for t, _ in lanes], "keys": [k for _, k in lanes]}
    return [_parked(row) for row in await tx.execute(_IN_LANES, parameters)]


def _parked(row: Any) -> Parked:
    headers = tuple((name, None if value is None else value.encode("latin-1")) for name, value in row.headers)
    record = from_record(row.topic, row.partition, row.offset, str(row.key).encode(), headers, bytes(row.payload))
    return Parked(row.topic, row.key, row.seq, row.event_id, row.type, row.error_class, record)


async def park(tx: AsyncConnection, consumer: str, rows: Sequence[tuple[Parked, str, str | None]]) -> None:
    """Keep these events with the class and reason of their trouble, and the trace they came with."""
    for parked, reason, traceparent in rows:
        record = parked.record
        headers = json.dumps(
            [[name, None if value is None else value.decode("latin-1")] for name, value in record.headers]
        )
        await tx.execute(
            _PARK,
            {
                "consumer": consumer,
                "topic": parked.topic,
                "key": parked.key,
                "seq": parked.seq,
                "event_id": parked.event_id,
                "type": parked.type,
                "partition": record.partition,
                "offset": record.offset,
                "headers": headers,
                "payload": record.value or b"",
                "error_class": parked.error_class,
                "reason": reason,
                "traceparent": traceparent,
            },
        )


async def tried_again(tx: AsyncConnection, consumer: str, rows: Sequence[tuple[UUID, str, str]]) -> None:
    """A retry has failed: count it and keep the newest reason."""
    for event_id, error_class, reason in rows:
        await tx.execute(_TRIED, {"consumer": consumer, "id": event_id, "error_class": error_class, "reason": reason})


async def forget(tx: AsyncConnection, consumer: str, ids: Sequence[UUID]) -> None:
    """These have had their effect after all."""
    if ids:
        await tx.execute(_FORGET, {"consumer": consumer, "ids": list(ids)})


async def keep_unreadable(tx: AsyncConnection, consumer: str, records: Sequence[Record], seal: bytes) -> None:
    """Keep what is no event: nobody knows what is in it, so its bytes are sealed under the service's own key."""
    for record in records:
        reason = record.envelope.reason if isinstance(record.envelope, Unreadable) else "unknown-topic"
        nonce = secrets.token_bytes(12)
        sealed = nonce + AESGCM(seal).encrypt(nonce, _evidence(record), record.topic.encode())
        log.error("record unreadable", extra={"topic": record.topic, "reason": str(reason), "offset": record.offset})
        await tx.execute(
            _UNREADABLE,
            {
                "consumer": consumer,
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "reason": str(reason),
                "sealed": sealed,
            },
        )


def _evidence(record: Record) -> bytes:
    """Key and headers as one line of JSON, then the value: whatever is wrong with the record is in one of them."""
    headers = [[name, None if value is None else value.decode("latin-1")] for name, value in record.headers]
    key = None if record.key is None else record.key.decode("latin-1")
    return json.dumps({"key": key, "headers": headers}).encode() + b"\n" + (record.value or b"")


async def unreadable(tx: AsyncConnection, consumer: str) -> list[dict[str, Any]]:
    """Where the records are that are no events, newest first, and why; never what is in them."""
    rows = await tx.execute(_UNREAD, {"consumer": consumer, "page": PAGE})
    return [dict(row) for row in rows.mappings()]


async def lanes(tx: AsyncConnection, consumer: str, error_class: str | None = None) -> list[dict[str, Any]]:
    """The held lanes, oldest first: what an operator's list shows."""
    rows = await tx.execute(_LANES, {"consumer": consumer, "error_class": error_class, "page": PAGE})
    return [dict(row) for row in rows.mappings()]


async def lane(tx: AsyncConnection, consumer: str, topic: str, key: UUID) -> list[dict[str, Any]]:
    """Every event that waits in one lane, in order; its body where that is a fact by its contract."""
    rows = await tx.execute(_LANE, {"consumer": consumer, "topic": topic, "key": key, "page": PAGE})
    return [_shown(dict(row)) for row in rows.mappings()]


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    payload = bytes(row.pop("payload"))
    row["body"] = None if row["error_class"] in UNPROVEN else json.loads(payload)
    return row


async def held(tx: AsyncConnection, consumer: str, lanes: Sequence[tuple[str, UUID]]) -> set[tuple[str, UUID]]:
    """Those of these lanes in which anything waits."""
    parameters = {"consumer": consumer, "topics": [t for t, _ in lanes], "keys": [k for _, k in lanes]}
    return {(row.topic, row.key) for row in await tx.execute(_HELD, parameters)}


async def ready_lanes(tx: AsyncConnection, consumer: str) -> list[tuple[str, UUID]]:
    """Lanes held only for something that has come in the meantime: their first event is the next number now."""
    return [(row.topic, row.key) for row in await tx.execute(_READY, {"consumer": consumer, "page": PAGE})]


_READY = sa.text("""
    SELECT first.topic, first.key FROM (
        SELECT DISTINCT ON (topic, key) topic, key, seq, error_class FROM parked WHERE consumer = :consumer
        ORDER BY topic, key, seq, parked_at
    ) AS first
    JOIN lane ON lane.consumer = :consumer AND lane.topic = first.topic AND lane.key = first.key
    WHERE first.error_class IN ('gap', 'behind') AND first.seq = lane.last_seq + 1
    LIMIT :page
""")

_UNREADABLE = sa.text("""
    INSERT INTO unreadable (consumer, topic, partition, "offset", reason, sealed)
    VALUES (:consumer, :topic, :partition, :offset, :reason, :sealed) ON CONFLICT DO NOTHING
""")

_UNREAD = sa.text("""
    SELECT topic, partition, "offset", reason, length(sealed) AS bytes, found_at FROM unreadable
    WHERE consumer = :consumer ORDER BY found_at DESC LIMIT :page
""")

_IN_LANES = sa.text("""
    SELECT topic, key, seq, event_id, type, partition, "offset", headers, payload, error_class FROM parked
    WHERE consumer = :consumer AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))
    ORDER BY topic, key, seq, parked_at
""").bindparams(sa.bindparam("topics", type_=ARRAY(TEXT)), sa.bindparam("keys", type_=ARRAY(PG_UUID(as_uuid=True))))

_HELD = sa.text("""
    SELECT DISTINCT topic, key FROM parked
    WHERE consumer = :consumer AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))
""").bindparams(sa.bindparam("topics", type_=ARRAY(TEXT)), sa.bindparam("keys", type_=ARRAY(PG_UUID(as_uuid=True))))

_PARK = sa.text("""
    INSERT INTO parked (consumer, topic, key, seq, event_id, type, partition, "offset", headers, payload,
                        error_class, reason, traceparent)
    VALUES (:consumer, :topic, :key, :seq, :event_id, :type, :partition, :offset, cast(:headers AS jsonb), :payload,
            :error_class, :reason, :traceparent)
    ON CONFLICT DO NOTHING
""")

_TRIED = sa.text("""
    UPDATE parked
    SET attempts = attempts + 1, error_class = :error_class, reason = :reason, last_tried_at = clock_timestamp()
    WHERE consumer = :consumer AND event_id = :id
""")

_FORGET = sa.text("DELETE FROM parked WHERE consumer = :consumer AND event_id = ANY(:ids)").bindparams(
    sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True)))
)

_LANES = sa.text("""
    SELECT topic, key, count(*) AS events, (array_agg(error_class ORDER BY seq, parked_at))[1] AS error_class,
           (array_agg(reason ORDER BY seq, parked_at))[1] AS reason,
           (array_agg(type ORDER BY seq, parked_at))[1] AS type,
           min(parked_at) AS since, max(attempts) AS attempts
    FROM parked WHERE consumer = :consumer
    GROUP BY topic, key
    HAVING cast(:error_class AS text) IS NULL OR (array_agg(error_class ORDER BY seq, parked_at))[1] = :error_class
    ORDER BY since LIMIT :page
""")

_LANE = sa.text("""
    SELECT seq, event_id, type, error_class, reason, attempts, parked_at, last_tried_at, traceparent,
           partition, "offset", payload
    FROM parked WHERE consumer = :consumer AND topic = :topic AND key = :key ORDER BY seq, parked_at LIMIT :page
""")
