"""Deadlines: rows armed in the transaction that decides them, fired as ordinary commands by the database's clock.

The clock is fair: a deadline that ends something because somebody else was silent fires only when what they have sent
has been read. Which topics a kind of deadline waits for is data of the service (`Deadline.waits_for`).
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import parking
from chassis.database import MOMENTS, TEXTS, UUIDS, Statement, transaction
from chassis.horizon import Extent, OutOfSight, Partition
from chassis.transitions import Arm, Disarm, Step

AT_ONCE = 200  # deadlines taken in one look: a backlog is worked off in rounds, commands get their turn between them
RETRY_SECONDS = 60  # a deadline whose command was refused or failed is tried again after this, and shown as overdue
WAIT_SECONDS = 5  # for what lies on a topic unread, or for the broker: mostly it is read long before
BROKER_AWAY, MISSING = "broker-unreachable", "channel-missing"  # reasons for waiting, as operators see them
UNREAD, LANE_HELD = "channel-unread", "lane-held"
LATE_SECONDS = 5.0  # a deadline that fires within this is not overdue
SINCE = "coalesce(postponed_from, due_at)"  # since when one is due: `due_at` of a postponed one is its next try
OVERDUE = f"{SINCE} < clock_timestamp() - interval '{LATE_SECONDS} seconds'"  # what a human sees and an alarm counts

log = logging.getLogger(__name__)

WaitsFor = Callable[[AsyncConnection, Sequence[UUID]], Awaitable[Mapping[UUID, Sequence[str]]]]
"""One query: subjects -> the topics that must have been read past the due time before anything ends for them."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """What a kind of deadline does to its subject, and whose silence it rests on (None: nobody's)."""

    step: Callable[[UUID], Step]
    waits_for: WaitsFor | None = None


class Looks(Protocol):
    """The horizon, as far as fairness needs it."""

    async def extents(self, topics: Collection[str]) -> Mapping[Partition, Extent]:
        """Every partition of these topics, and how far it reaches; raises OutOfSight."""
        ...


@dataclass(frozen=True, slots=True)
class Due:
    """The cause of a work item: this deadline is due. It fires once: its row goes in the transaction that fires it."""

    kind: str
    subject: UUID
    id: UUID


async def due(tx: AsyncConnection) -> list[Due]:
    """The deadlines that are due now, oldest first, by the database's clock."""
    rows = await tx.execute(_DUE, {"limit": AT_ONCE})
    return [Due(row.kind, row.subject, row.id) for row in rows]


async def change(
    tx: AsyncConnection, wanted: Mapping[tuple[str, UUID], Arm | Disarm], fired: Sequence[Due], ids: Sequence[UUID]
) -> None:
    """Forget what has fired or is disarmed, set what is armed: one statement. `ids`: one new id per Arm."""
    armed = sorted((key, how.due) for key, how in wanted.items() if isinstance(how, Arm))
    moved = {key for key, _ in armed}
    gone = sorted(({(cause.kind, cause.subject) for cause in fired} | set(wanted)) - moved)
    if gone or armed:
        await _CHANGE(tx, {
            "gone_kinds": [kind for kind, _ in gone],
            "gone_subjects": [subject for _, subject in gone],
            "kinds": [kind for (kind, _), _ in armed],
            "subjects": [subject for (_, subject), _ in armed],
            "ids": list(ids)[: len(armed)],
            "dues": [due_at for _, due_at in armed],
        })


async def postpone(tx: AsyncConnection, why: Mapping[Due, str], seconds: float = RETRY_SECONDS) -> None:
    """Keep these deadlines visible as overdue, each with its reason, and try again later."""
    if why:
        rows = sorted(why.items(), key=lambda row: (row[0].kind, row[0].subject))
        columns = {
            "kinds": [cause.kind for cause, _ in rows],
            "subjects": [cause.subject for cause, _ in rows],
            "ids": [cause.id for cause, _ in rows],
            "reasons": [reason for _, reason in rows],
        }
        await _POSTPONE(tx, columns | {"seconds": seconds})


async def fair(
    engine: AsyncEngine, consumer: str, kinds: Mapping[str, Deadline], causes: Sequence[Due], horizon: Looks
) -> list[Due]:
    """Those of these due deadlines that may fire now; the others are postponed with what they wait for.

    One look for all of them. The ends of the topics are read after the deadlines were found due, and what is heard and
    held after that: whatever had been sent when they fell due is then either heard, or unread, or held.
    """
    waiting = await _waiting_for(engine, kinds, causes)
    topics = sorted({topic for several in waiting.values() for topic in several})
    if not topics:
        return list(causes)
    try:
        ends: Mapping[Partition, Extent] | None = await horizon.extents(topics)
    except OutOfSight as error:
        log.warning("deadlines wait for the broker", extra={"count": len(waiting), "error_class": str(error)})
        ends = None
    async with transaction(engine) as tx:
        unread = dict.fromkeys(topics, BROKER_AWAY) if ends is None else await _unread(tx, consumer, topics, ends)
        lanes = [(topic, cause.subject) for cause, several in waiting.items() for topic in several]
        held = await parking.held(tx, consumer, lanes)
        why: dict[Due, str] = {}
        for cause, several in waiting.items():
            for topic in several:
                reason = LANE_HELD if (topic, cause.subject) in held else unread.get(topic)
                if reason is not None:
                    why[cause] = reason
        await postpone(tx, why, WAIT_SECONDS)
    return [cause for cause in causes if cause not in why]


async def _unread(
    tx: AsyncConnection, consumer: str, topics: Sequence[str], ends: Mapping[Partition, Extent]
) -> dict[str, str]:
    """Which of these topics hold something that is not heard durably, and why one says so."""
    rows = await tx.execute(_HEARD, {"consumer": consumer, "topics": list(topics)})
    heard = {Partition(row.topic, row.partition): row.next_offset for row in rows}
    seen = {place.topic for place in ends}
    late = {place.topic for place, extent in ends.items() if extent.next > heard.get(place, 0)}
    return dict.fromkeys(set(topics) - seen, MISSING) | dict.fromkeys(late, UNREAD)


async def _waiting_for(
    engine: AsyncEngine, kinds: Mapping[str, Deadline], causes: Sequence[Due]
) -> Mapping[Due, Sequence[str]]:
    asking: dict[str, list[Due]] = defaultdict(list)
    for cause in causes:
        asking[cause.kind].append(cause)
    found: dict[Due, Sequence[str]] = {}
    async with engine.connect() as tx:
        for kind, group in asking.items():
            waits_for = kinds[kind].waits_for
            if waits_for is not None:
                topics = await waits_for(tx, [cause.subject for cause in group])
                found |= {cause: topics.get(cause.subject, ()) for cause in group}
    return found


# The statement's own moment is one value, so that the index ends there; the clock would be asked row by row.
_DUE = sa.text("""
    SELECT kind, subject, id FROM deadline WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT :limit
""")

_HEARD = sa.text("""
    SELECT topic, partition, next_offset FROM heard_up_to WHERE consumer = :consumer AND topic = ANY (:topics)
""").bindparams(sa.bindparam("topics", type_=TEXTS))

_CHANGE = Statement("""
    WITH gone AS (
        DELETE FROM deadline WHERE (kind, subject) IN (SELECT * FROM unnest(:gone_kinds, :gone_subjects))
    )
    INSERT INTO deadline (kind, subject, id, due_at)
    SELECT kind, subject, id, due FROM unnest(:kinds, :subjects, :ids, :dues) AS new (kind, subject, id, due)
    ORDER BY kind, subject
    ON CONFLICT (kind, subject) DO UPDATE
    SET id = excluded.id, due_at = excluded.due_at, postponed_from = NULL, attempts = 0, reason = NULL
""", gone_kinds=TEXTS, gone_subjects=UUIDS, kinds=TEXTS, subjects=UUIDS, ids=UUIDS, dues=MOMENTS)

_POSTPONE = Statement("""
    UPDATE deadline SET attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => :seconds),
                        postponed_from = coalesce(postponed_from, due_at), reason = why.reason
    FROM unnest(:kinds, :subjects, :ids, :reasons) AS why (kind, subject, id, reason)
    WHERE deadline.kind = why.kind AND deadline.subject = why.subject AND deadline.id = why.id
""", kinds=TEXTS, subjects=UUIDS, ids=UUIDS, reasons=TEXTS)
