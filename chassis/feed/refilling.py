"""What the broker has not got is fetched from the writer's feed and heard like everything else.

A lane held for a gap asks for the numbers it misses; a subject first heard of above 1 is such a lane. Same inbox, same
lanes, same fates: whatever comes twice is known. What the feed has not got either stays held, and is said.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import transaction
from chassis.envelope import Envelope, Record
from chassis.feed.reading import Feeds, NotHad

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0  # how late a gap is looked at whose process died, or whose time to be tried again has come
AGAIN_SECONDS_FIRST, AGAIN_SECONDS_MOST = 60, 3600
LANES = 100  # of one look; those tried longest ago come first
NOT_IN_FEED = "not-in-feed"
FILLED_MAX = 1000  # events of one gap in hand at once; a wider one is filled part by part
PAGES_MAX = 100  # read for one part: a hundred times what a subject ever says, and an end to a feed that has none

Hear = Callable[[Sequence[Record]], Awaitable[None]]
"""Have records heard that did not come from the broker: no position moves. Raises to get them again."""


@dataclass(frozen=True, slots=True)
class Gap:
    """A held lane: the last number heard, the first one that waits, and that event's id."""

    topic: str
    key: UUID
    last_seq: int
    waiting_seq: int
    event_id: UUID


class Refill:
    """Fills the gaps of one consumer."""

    def __init__(
        self, engine: AsyncEngine, consumer: str, feeds: Feeds, hear: Hear, unheard: Callable[[], Collection[str]]
    ) -> None:
        """`unheard`: topics of which nothing is to be heard now: their gaps wait, and those of others do not."""
        self._engine, self._consumer, self._feeds, self._hear = engine, consumer, feeds, hear
        self._unheard = unheard
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A lane was held for a gap."""
        self._woken.set()

    async def run(self) -> None:
        """Look for gaps until cancelled."""
        while True:
            self._woken.clear()
            for gap in await self._gaps():
                await self._fill(gap)
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _gaps(self) -> list[Gap]:
        parameters = {
            "consumer": self._consumer,
            "first": AGAIN_SECONDS_FIRST,
            "most": AGAIN_SECONDS_MOST,
            "lanes": LANES,
            "unheard": list(self._unheard()),
        }
        async with self._engine.connect() as tx:
            return [Gap(*row) for row in await tx.execute(_GAPS, parameters)]

    async def _fill(self, gap: Gap) -> None:
        """Have heard what the feed has of it; where that is not all, say so on the event that waits."""
        told = {"topic": gap.topic, "seq": gap.last_seq + 1}
        count, part = 0, gap
        while True:
            try:
                found = await self._missing(part)
            except NotHad as error:
                log.error("gap cannot be filled now", extra={**told, "reason": str(error)})  # noqa: TRY400  # the reason is all there is
                await self._tried(gap, str(error))
                return
            await self._hear([found[seq] for seq in sorted(found)])
            count += len(found)
            if len(found) < FILLED_MAX:
                break
            part = replace(part, last_seq=max(found))
        if count < gap.waiting_seq - gap.last_seq - 1:
            log.error("the writer's feed has not got what is missing", extra=told)
            await self._tried(gap, NOT_IN_FEED)
        else:
            log.info("gap filled", extra={**told, "count": count})

    async def _missing(self, gap: Gap) -> dict[int, Record]:
        """By number, not more than memory should hold."""
        found: dict[int, Record] = {}
        after = 0
        for _ in range(PAGES_MAX):
            page = await self._feeds.page(gap.topic, after=after, key=gap.key)
            for record in page.records:
                envelope = record.envelope
                if not isinstance(envelope, Envelope) or envelope.key != gap.key:
                    raise NotHad("not-a-feed")
                if gap.last_seq < envelope.subjectseq < gap.waiting_seq:
                    found[envelope.subjectseq] = record
            after = page.last
            if not page.more or len(found) >= FILLED_MAX:
                break
        return found

    async def _tried(self, gap: Gap, reason: str) -> None:
        async with transaction(self._engine) as tx:
            await tx.execute(_TRIED, {"consumer": self._consumer, "id": gap.event_id, "reason": reason})


_GAPS = sa.text("""
    SELECT first.topic, first.key, lane.last_seq, first.seq, first.event_id FROM (
        SELECT DISTINCT ON (topic, key) topic, key, seq, event_id, error_class, attempts, last_tried_at
        FROM parked WHERE consumer = :consumer ORDER BY topic, key, seq, parked_at
    ) AS first
    JOIN lane ON lane.consumer = :consumer AND lane.topic = first.topic AND lane.key = first.key
    WHERE first.error_class IN ('gap', 'behind') AND first.seq > lane.last_seq + 1 AND first.topic <> ALL (:unheard)
      AND (first.attempts = 1 OR first.last_tried_at < clock_timestamp()
           - make_interval(secs => least(:first * 2 ^ least(first.attempts - 2, 16), :most)))
    ORDER BY first.last_tried_at LIMIT :lanes
""").bindparams(
    sa.bindparam("first", type_=sa.Float),
    sa.bindparam("most", type_=sa.Float),
    sa.bindparam("unheard", type_=ARRAY(TEXT)),
)

_TRIED = sa.text("""
    UPDATE parked SET attempts = attempts + 1, reason = :reason, last_tried_at = clock_timestamp()
    WHERE consumer = :consumer AND event_id = :id
""")
