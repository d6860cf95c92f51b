"""What the views of handovers read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.codes import END_STATES, HandoverState, Side
from contracts.ids import AgencyId
from services.handover.domain import Around, Handover
from services.handover.store.handovers import as_handover
from services.handover.store.tables import handovers

NOTHING_AROUND: Final = Around(AgencyId(""))  # a view decides nothing

# The chassis' own tables, as far as a timeline reads them.
_log = sa.table(
    "event_log",
    *(sa.column(name) for name in ("topic", "key", "seq", "type", "created_at", "pos")),
    sa.column("headers", JSONB),
)
_inbox = sa.table(
    "inbox",
    *(sa.column(name) for name in ("subject", "topic", "key", "seq", "type", "traceparent", "heard_at")),
)


async def find(tx: AsyncConnection, handover: UUID) -> Handover | None:
    """One handover as it is now; None where there is none here."""
    row = (await tx.execute(sa.select(handovers).where(handovers.c.id == handover))).one_or_none()
    return None if row is None else as_handover(row, NOTHING_AROUND)


async def listed(
    tx: AsyncConnection, side: Side, states: Sequence[HandoverState], before: UUID | None, limit: int
) -> Sequence[Handover]:
    """Handovers of one side, the youngest first; `before` is the last one of the page before."""
    statement = sa.select(handovers).where(handovers.c.side == str(side))
    if states:
        statement = statement.where(handovers.c.state.in_([str(state) for state in states]))
    if before is not None:
        statement = statement.where(handovers.c.id < before)
    rows = await tx.execute(statement.order_by(handovers.c.id.desc()).limit(limit))
    return [as_handover(row, NOTHING_AROUND) for row in rows]


async def stuck(tx: AsyncConnection, after: UUID | None, limit: int) -> Sequence[Handover]:
    """Handovers a clock of which has struck, or which await a word, and which have not been settled: oldest first."""
    open_ones = handovers.c.state.not_in([str(end) for end in END_STATES])
    statement = sa.select(handovers).where(
        sa.text("(struck <> '{}' OR awaits_word)"),  # as in the index
        sa.or_(open_ones, handovers.c.awaits_word),
    )
    if after is not None:
        statement = statement.where(handovers.c.id > after)
    rows = await tx.execute(statement.order_by(handovers.c.id).limit(limit))
    return [as_handover(row, NOTHING_AROUND) for row in rows]


class TimelineLine(NamedTuple):
    """One event of a handover, told or heard by this service."""

    at: datetime
    way: Literal["told", "heard"]
    type: str
    topic: str
    seq: int
    traceparent: str | None


async def told(tx: AsyncConnection, handover: UUID, limit: int) -> list[TimelineLine]:
    """What this service said about a handover, at home and across, the latest first."""
    columns = (_log.c.created_at, _log.c.type, _log.c.topic, _log.c.seq, _log.c.headers)
    statement = sa.select(*columns).where(_log.c.key == handover).order_by(_log.c.pos.desc()).limit(limit)
    return [
        TimelineLine(row.created_at, "told", row.type, row.topic, row.seq, dict(row.headers).get("traceparent"))
        for row in await tx.execute(statement)
    ]


async def heard(tx: AsyncConnection, handover: UUID, case: UUID | None, limit: int) -> list[TimelineLine]:
    """What this service heard that concerned a handover, from its own agency and from the other, the latest first."""
    keys = [handover] if case is None else [handover, case]
    statement = sa.select(_inbox).where(_inbox.c.key.in_(keys), _inbox.c.subject == handover)
    return [
        TimelineLine(row.heard_at, "heard", row.type, row.topic, row.seq, row.traceparent)
        for row in await tx.execute(statement.order_by(_inbox.c.heard_at.desc()).limit(limit))
    ]
