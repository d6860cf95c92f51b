"""Where hearing stands: the next offset of each partition, written with what was heard before it.

The broker keeps offsets, too, but in another place than what they stand for. Restore this database to yesterday, and
the broker's word would pass over a day; the word of this table goes back with everything else, and the day is read
again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import Statement
from chassis.envelope import Record
from chassis.inbox import HEARD_UP_TO, PLACES, places

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


def ends_of(deliveries: Iterable[Delivery]) -> dict[Place, int]:
    """Where hearing stands when all of these are durable."""
    ends: dict[Place, int] = {}
    for delivery in deliveries:
        for place, end in delivery.ends.items():
            ends[place] = max(ends.get(place, 0), end)
    return ends


async def write(tx: AsyncConnection, consumer: str, delivery: Delivery) -> None:
    """Everything before the ends of this delivery is durable with this transaction or already."""
    if delivery.ends:
        await _WRITE(tx, {"consumer": consumer} | places(delivery.ends))


async def standing(tx: AsyncConnection, consumer: str) -> dict[Place, int]:
    """The next offset of every partition this consumer has heard anything of."""
    rows = await tx.execute(_READ, {"consumer": consumer})
    return {(row.topic, row.partition): row.next_offset for row in rows}


_WRITE = Statement(HEARD_UP_TO, **PLACES)

_READ = sa.text("SELECT topic, partition, next_offset FROM heard_up_to WHERE consumer = :consumer")
