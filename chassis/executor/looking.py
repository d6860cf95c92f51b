"""What a batch decides on besides its subjects, looked at once for all items, when every lock it needs is had.

One statement: at rest a transaction of one item costs what its statements cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.deadlines import Due
from chassis.errands import Returned
from chassis.executor.work import Cause
from chassis.inbox import Heard


class Look(NamedTuple):
    """The answers stay true: whoever would change them waits for the locks of these lanes and subjects."""

    now: datetime
    """Later than whatever these subjects were locked for before."""
    known: frozenset[UUID]
    """Of the heard events those that have had their effect."""
    lanes_wait: bool
    """Whether anything is parked in the lanes of the heard events."""
    live: frozenset[UUID]
    """Of the deadlines those that are still armed and due, of the errands those that still wait for their result."""


async def look(tx: AsyncConnection, consumer: str, causes: Sequence[Cause]) -> Look:
    """Look at what these causes ask about."""
    heard = [cause for cause in causes if isinstance(cause, Heard)]
    lanes = sorted({each.lane for each in heard})
    row = (
        await tx.execute(
            _LOOK,
            {
                "consumer": consumer,
                "events": [each.meta.id for each in heard],
                "topics": [topic for topic, _ in lanes],
                "keys": [key for _, key in lanes],
                "deadlines": [cause.id for cause in causes if isinstance(cause, Due)],
                "errands": [cause.id for cause in causes if isinstance(cause, Returned)],
            },
        )
    ).one()
    return Look(row.now, frozenset(row.known), row.lanes_wait, frozenset(row.armed) | frozenset(row.wanted))


_UUIDS, _TEXTS = ARRAY(PG_UUID(as_uuid=True)), ARRAY(TEXT)

_LOOK = sa.text("""
    SELECT clock_timestamp() AS now,
           ARRAY(SELECT event_id FROM inbox WHERE consumer = :consumer AND event_id = ANY(:events)) AS known,
           EXISTS (SELECT FROM parked WHERE consumer = :consumer
                   AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))) AS lanes_wait,
           ARRAY(SELECT id FROM deadline WHERE id = ANY(:deadlines) AND due_at <= clock_timestamp()) AS armed,
           ARRAY(SELECT id FROM errand WHERE id = ANY(:errands)) AS wanted
""").bindparams(
    sa.bindparam("consumer", type_=sa.Text),
    sa.bindparam("events", type_=_UUIDS),
    sa.bindparam("topics", type_=_TEXTS),
    sa.bindparam("keys", type_=_UUIDS),
    sa.bindparam("deadlines", type_=_UUIDS),
    sa.bindparam("errands", type_=_UUIDS),
)
