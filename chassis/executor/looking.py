"""What a batch decides on besides its subjects, looked at once for all items, when every lock it needs is had.

One statement: at rest a transaction of one item costs what its statements cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import TEXTS, UUIDS, Statement
from chassis.deadlines import Due
from chassis.errands import Returned
from chassis.executor.work import Cause
from chassis.inbox import Heard


class Look(NamedTuple):
    """The answers stay true: whoever gives them an effect waits for the locks of these lanes and subjects."""

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
    due = [cause for cause in causes if isinstance(cause, Due)]
    back = [cause for cause in causes if isinstance(cause, Returned)]
    lanes = sorted({each.lane for each in heard})
    (row,) = await _LOOK(tx, {
        "consumer": consumer,
        "events": [each.meta.id for each in heard],
        "topics": [topic for topic, _ in lanes],
        "keys": [key for _, key in lanes],
        "due_kinds": [each.kind for each in due],
        "due_subjects": [each.subject for each in due],
        "deadlines": [each.id for each in due],
        "errand_names": [each.name for each in back],
        "errand_subjects": [each.subject for each in back],
        "errand_keys": [each.key for each in back],
        "errands": [each.id for each in back],
    })
    return Look(row.now, frozenset(row.known), row.lanes_wait, frozenset(row.armed) | frozenset(row.wanted))


# By keys, and not at all where nobody asks: a table of a million rows must cost nothing.
_LOOK = Statement("""
    SELECT clock_timestamp() AS now,
           ARRAY(SELECT event_id FROM inbox WHERE consumer = :consumer AND event_id = ANY(:events)) AS known,
           EXISTS (SELECT FROM parked WHERE consumer = :consumer
                   AND (topic, key) IN (SELECT * FROM unnest(:topics, :keys))) AS lanes_wait,
           ARRAY(SELECT id FROM deadline WHERE cardinality(:deadlines) > 0
                 AND (kind, subject) IN (SELECT * FROM unnest(:due_kinds, :due_subjects))
                 AND id = ANY(:deadlines) AND due_at <= clock_timestamp()) AS armed,
           ARRAY(SELECT id FROM errand WHERE cardinality(:errands) > 0
                 AND (name, subject, key) IN (SELECT * FROM unnest(:errand_names, :errand_subjects, :errand_keys))
                 AND id = ANY(:errands)) AS wanted
""", consumer=sa.Text(), events=UUIDS, topics=TEXTS, keys=UUIDS, due_kinds=TEXTS, due_subjects=UUIDS, deadlines=UUIDS,
    errand_names=TEXTS, errand_subjects=UUIDS, errand_keys=TEXTS, errands=UUIDS)
