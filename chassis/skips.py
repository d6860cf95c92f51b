"""What an operator lets go of: the first event of a held lane, a fact of the own party, with a reason and for good.

A fact of another party is never skipped: whoever said it counts on it. Who asked, who agreed, when and why is kept in
a table to which rows are only added. The reason is what somebody writes, so it is in that table and nowhere else.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.inbox import Source
from chassis.parking import PAGE, LaneKey, Waits, forget, waiting_in

log = logging.getLogger(__name__)

REASON_CHARACTERS_MAX = 500
NOBODY = UUID(int=0)  # the subject on which a skipped event had its effect


class No(StrEnum):
    """Why an event is not skipped."""

    FOREIGN = "skip-foreign"
    MISSING_BEFORE = "skip-missing-before"
    NOT_FIRST = "skip-not-first"
    SAME_PERSON = "skip-same-person"


@dataclass(frozen=True, slots=True)
class Skipping:
    """Somebody wants the first event of a lane skipped."""

    topic: str
    key: UUID
    event_id: UUID
    by: str
    reason: str

    @property
    def lane(self) -> LaneKey:
        """One subject on one topic."""
        return (self.topic, self.key)


async def skip(tx: AsyncConnection, consumer: str, sources: Mapping[str, Source], wanted: Skipping) -> No | bool:
    """Let go of that event: True; False where a second person must agree first. Its number counts as passed by."""
    source = sources.get(wanted.topic)
    if source is None or source.origin != "own":
        return No.FOREIGN
    named = {"consumer": consumer, "topic": wanted.topic, "key": wanted.key}
    last = (await tx.execute(_LOCK, named)).scalar()
    waiting = await waiting_in(tx, consumer, [wanted.lane])
    said = {row.said_by: row.word for row in await tx.execute(_SAID, {"consumer": consumer, "id": wanted.event_id})}
    if last is None or not waiting or waiting[0].event_id != wanted.event_id:
        return said.get(wanted.by) == "skipped" or No.NOT_FIRST  # the same person may say it again
    first = waiting[0]
    if first.seq > last + 1:
        return No.MISSING_BEFORE
    if wanted.by in said:
        return No.SAME_PERSON
    enough = len(said) + 1 >= source.persons_to_skip
    await tx.execute(_SAY, _row(consumer, first, wanted, "skipped" if enough else "asked"))
    if enough:
        await tx.execute(_PASS_BY, named | {"seq": first.seq, "id": first.event_id})
        await tx.execute(_KNOW, named | {"seq": first.seq, "id": first.event_id, "nobody": NOBODY})
        await forget(tx, consumer, [first])
    told = {"event_id": str(first.event_id), "topic": first.topic, "seq": first.seq, "error_class": first.error_class}
    log.warning("event skipped" if enough else "event is to be skipped, a second person must agree", extra=told)
    return enough


def _row(consumer: str, first: Waits, wanted: Skipping, word: str) -> dict[str, Any]:
    of_event = {name: value for name, value in first._asdict().items() if name != "reason"}
    return {"consumer": consumer, **of_event, "word": word, "by": wanted.by, "reason": wanted.reason}


async def skips(tx: AsyncConnection, consumer: str) -> list[dict[str, Any]]:
    """Who let go of what and why, newest first; who asked and was not agreed with is there, too."""
    return [dict(row) for row in (await tx.execute(_SKIPS, {"consumer": consumer, "page": PAGE + 1})).mappings()]


# Whatever is decided about a lane is decided under this lock, by the executor too.
_LOCK = sa.text("SELECT last_seq FROM lane WHERE consumer = :consumer AND topic = :topic AND key = :key FOR UPDATE")

_SAID = sa.text("SELECT said_by, word FROM skip WHERE consumer = :consumer AND event_id = :id")

_SAY = sa.text("""
    INSERT INTO skip (consumer, topic, key, seq, event_id, type, error_class, word, said_by, reason)
    SELECT consumer, topic, key, seq, event_id, type, :error_class, :word, :by, :reason FROM parked
    WHERE consumer = :consumer AND topic = :topic AND key = :key AND seq = :seq AND event_id = :event_id
""")

_PASS_BY = sa.text("""
    UPDATE lane SET last_seq = :seq, last_id = :id, updated_at = clock_timestamp()
    WHERE consumer = :consumer AND topic = :topic AND key = :key AND last_seq < :seq
""")

# Known from now on: read once more, it is neither applied nor taken for a second fact under its number.
_KNOW = sa.text("""
    INSERT INTO inbox (consumer, event_id, subject, topic, key, seq, type, traceparent)
    SELECT consumer, event_id, :nobody, topic, key, seq, type, traceparent FROM parked
    WHERE consumer = :consumer AND topic = :topic AND key = :key AND seq = :seq AND event_id = :id
    ON CONFLICT DO NOTHING
""")

_SKIPS = sa.text("""
    SELECT topic, key, seq, event_id, type, error_class, word, said_by, reason, said_at FROM skip
    WHERE consumer = :consumer ORDER BY id DESC LIMIT :page
""")
