"""Where hearing stands: the next offset of each partition, written with what was heard before it.

The broker keeps offsets, too, but in another place than what they stand for. Restore this database to yesterday, and
the broker's word would pass over a day; the word of this table goes back with everything else, and the day is read
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.envelope import Record

Place = tuple[str, int]
"""A partition: topic and number."""


@dataclass
class Delivery:
    """The records of one batch from the broker: when all they mean is durable, their partitions stand behind them.

    `left` counts the items that are not durable yet. The transaction that holds all of them writes the positions, too.
    """

    ends: Mapping[Place, int]
    left: int
    written: bool = False

    @classmethod
    def of(cls, records: Sequence[Record], items: int) -> Delivery:
        """What these records, of which so many are items of work, come to. Without an offset nothing moves."""
        ends: dict[Place, int] = {}
        for record in records:
            if record.offset >= 0:
                place = (record.topic, record.partition)
                ends[place] = max(ends.get(place, 0), record.offset + 1)
        return cls(ends, items)


def completed(deliveries: Iterable[Delivery | None]) -> list[Delivery]:
    """Of the deliveries that these items (one entry each) belong to, those of which nothing else is left."""
    here: dict[int, tuple[Delivery, int]] = {}
    for delivery in deliveries:
        if delivery is not None:
            here[id(delivery)] = (delivery, here.get(id(delivery), (delivery, 0))[1] + 1)
    return [delivery for delivery, items in here.values() if items == delivery.left]


async def write(tx: AsyncConnection, consumer: str, deliveries: Sequence[Delivery]) -> None:
    """Everything before the ends of these deliveries is durable with this transaction: one statement."""
    ends: dict[Place, int] = {}
    for delivery in deliveries:
        for place, end in delivery.ends.items():
            ends[place] = max(ends.get(place, 0), end)
    if not ends:
        return
    rows = sorted(ends.items())
    await tx.execute(
        _WRITE,
        {
            "consumer": consumer,
            "topics": [topic for (topic, _), _ in rows],
            "partitions": [partition for (_, partition), _ in rows],
            "offsets": [end for _, end in rows],
        },
    )


async def standing(tx: AsyncConnection, consumer: str) -> dict[Place, int]:
    """The next offset of every partition this consumer has heard anything of."""
    rows = await tx.execute(_READ, {"consumer": consumer})
    return {(row.topic, row.partition): row.next_offset for row in rows}


_WRITE = sa.text("""
    INSERT INTO heard_up_to (consumer, topic, partition, next_offset)
    SELECT :consumer, topic, partition, next_offset
    FROM unnest(:topics, :partitions, :offsets) AS new (topic, partition, next_offset) ORDER BY topic, partition
    ON CONFLICT (consumer, topic, partition)
    DO UPDATE SET next_offset = excluded.next_offset, written_at = clock_timestamp()
""").bindparams(
    sa.bindparam("topics", type_=ARRAY(TEXT)),
    sa.bindparam("partitions", type_=ARRAY(sa.Integer)),
    sa.bindparam("offsets", type_=ARRAY(sa.BigInteger)),
)

_READ = sa.text("SELECT topic, partition, next_offset FROM heard_up_to WHERE consumer = :consumer")
