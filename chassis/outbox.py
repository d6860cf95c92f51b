"""What a service says: numbered, written as final bytes in the transaction that decides it, queued for the relay.

The caller holds the lock of the subject the facts are about. That is what makes the numbers of one (topic, key)
1, 2, 3 … in the order of commits, and what makes the order of `pos` per subject the order of commits.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import BYTES, INTS, TEXTS, UUIDS, Statement
from chassis.envelope import Envelope, to_headers
from chassis.transitions import Fact

RECORD_BYTES_MAX = (
    48 * 1024
)  # below the topics' message.max.bytes of 64 KB with headers: a record that cannot be sent is never written


class Address(Protocol):
    """Where a fact goes: its topic, the CloudEvents subject (`things/<id>`), the schema's URI, extension attributes."""

    @property
    def topic(self) -> str:
        """The topic's name."""
        ...

    @property
    def subject(self) -> str:
        """`<kind in the plural>/<id>`."""
        ...

    @property
    def dataschema(self) -> str:
        """URI of the body's schema."""
        ...

    @property
    def extensions(self) -> Mapping[str, str]:
        """Other CloudEvents attributes, as text."""
        ...


Addressing = Callable[[Fact, str | None, str | None], Address]
"""(fact, to, scope) -> where it goes; the service knows its parties, the chassis does not."""


@dataclass(frozen=True, slots=True)
class Saying:
    """A fact on its way into the outbox: where to, in which trace, caused by what."""

    fact: Fact
    address: Address
    traceparent: str | None
    cause: str | None


class TooLarge(ValueError):
    """A fact whose bytes would not fit into a record: a bug of the contract, found before the commit."""


async def say(
    tx: AsyncConnection, sayings: Sequence[Saying], *, source: str, now: datetime, new_id: Callable[[], UUID]
) -> None:
    """Number all facts, write them to `event_log` and queue them in `outbox`: two statements, whatever their number."""
    if not sayings:
        return
    numbers = await _number(tx, sayings)
    columns: list[tuple[UUID, str, UUID, int, str, str, bytes]] = []
    for saying, seq in zip(sayings, numbers, strict=True):
        envelope = _envelope(saying, seq, source=source, now=now, event_id=new_id())
        payload = saying.fact.model_dump_json().encode()
        if len(payload) > RECORD_BYTES_MAX:
            raise TooLarge(saying.fact.type)
        headers = json.dumps([[name, value.decode()] for name, value in to_headers(envelope)])
        columns.append((envelope.id, saying.address.topic, saying.fact.key, seq, saying.fact.type, headers, payload))
    names = ("event_id", "topic", "key", "seq", "type", "headers", "payload")
    await _SAY(tx, dict(zip(names, map(list, zip(*columns, strict=True)), strict=True)))


async def oldest_age(tx: AsyncConnection) -> float:
    """Seconds the oldest fact has waited that is to be sent, those of held subjects apart; 0 when nothing waits."""
    age = await tx.scalar(_AGE_OF_OLDEST)
    return float(age or 0)


async def free(tx: AsyncConnection, topic: str, key: UUID) -> bool:
    """Let go of a subject that was held because its first record could not be sent; whether it was held."""
    gone = sa.text("DELETE FROM outbox_hold WHERE topic = :topic AND key = :key RETURNING key")
    return (await tx.execute(gone, {"topic": topic, "key": key})).first() is not None


async def _number(tx: AsyncConnection, sayings: Sequence[Saying]) -> list[int]:
    streams = [(saying.address.topic, saying.fact.key) for saying in sayings]
    counts = sorted(Counter(streams).items())
    parameters = {
        "topics": [topic for (topic, _), _ in counts],
        "keys": [key for (_, key), _ in counts],
        "counts": [count for _, count in counts],
    }
    last = {(row.topic, row.key): row.last for row in await _COUNT(tx, parameters)}
    following = {stream: last[stream] - count for stream, count in counts}
    numbers = []
    for stream in streams:
        following[stream] += 1
        numbers.append(following[stream])
    return numbers


def _envelope(saying: Saying, seq: int, *, source: str, now: datetime, event_id: UUID) -> Envelope:
    extensions = dict(saying.address.extensions)
    if saying.cause is not None:
        extensions["causationid"] = saying.cause
    return Envelope(
        id=event_id,
        type=saying.fact.type,
        source=source,
        subject=saying.address.subject,
        time=now,
        dataschema=saying.address.dataschema,
        subjectseq=seq,
        extensions=extensions,
        traceparent=saying.traceparent,
    )


# The oldest fact that is to be sent. One of a held subject waits for an operator, whom something else calls.
OLDEST = """
    SELECT pos FROM outbox
    WHERE NOT EXISTS (SELECT FROM outbox_hold AS held WHERE held.topic = outbox.topic AND held.key = outbox.key)
    ORDER BY pos LIMIT 1
"""
_AGE_OF_OLDEST = sa.text(f"""
    SELECT extract(epoch FROM clock_timestamp() - created_at) FROM event_log WHERE pos = ({OLDEST})
""")  # noqa: S608  # put together from constants


_COUNT = Statement("""
    INSERT INTO stream_head AS head (topic, key, last)
    SELECT topic, key, n FROM unnest(:topics, :keys, :counts) AS new (topic, key, n)
    ON CONFLICT (topic, key) DO UPDATE SET last = head.last + excluded.last
    RETURNING topic, key, last
""", topics=TEXTS, keys=UUIDS, counts=INTS)

_SAY = Statement("""
    WITH said AS (
        INSERT INTO event_log (event_id, topic, key, seq, type, headers, payload)
        SELECT event_id, topic, key, seq, type, headers::jsonb, payload
        FROM unnest(:event_id, :topic, :key, :seq, :type, :headers, :payload) WITH ORDINALITY
             AS new (event_id, topic, key, seq, type, headers, payload, place)
        ORDER BY place
        RETURNING pos, topic, key
    )
    INSERT INTO outbox (pos, topic, key) SELECT pos, topic, key FROM said
""", event_id=UUIDS, topic=TEXTS, key=UUIDS, seq=INTS, type=TEXTS, headers=TEXTS, payload=BYTES)
