"""Deadlines: rows armed in the transaction that decides them, fired as ordinary commands by the database's clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, TEXT, TIMESTAMP
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.transitions import Arm, Disarm

AT_ONCE = 200  # deadlines taken in one look: a backlog is worked off in rounds, commands get their turn between them
RETRY_SECONDS = 60  # a deadline whose command was refused or failed is tried again after this, and shown as overdue


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


async def still_armed(tx: AsyncConnection, causes: Sequence[Due]) -> set[UUID]:
    """Which of these are still armed and due; asked under the locks of their subjects, so the answer stays true."""
    if not causes:
        return set()
    return set((await tx.execute(_ARMED, {"ids": [cause.id for cause in causes]})).scalars())


async def change(
    tx: AsyncConnection, wanted: Mapping[tuple[str, UUID], Arm | Disarm], fired: Sequence[Due], ids: Sequence[UUID]
) -> None:
    """Forget what has fired or is disarmed, set what is armed: at most two statements. `ids`: one new id per Arm."""
    gone = {(cause.kind, cause.subject) for cause in fired} | {
        key for key, how in wanted.items() if isinstance(how, Disarm)
    }
    if gone:
        await tx.execute(_FORGET, {"kinds": [k for k, _ in sorted(gone)], "subjects": [s for _, s in sorted(gone)]})
    armed = sorted((key, how.due) for key, how in wanted.items() if isinstance(how, Arm))
    if armed:
        await tx.execute(
            _ARM,
            {
                "kinds": [kind for (kind, _), _ in armed],
                "subjects": [subject for (_, subject), _ in armed],
                "ids": list(ids)[: len(armed)],
                "dues": [due_at for _, due_at in armed],
            },
        )


async def postpone(tx: AsyncConnection, cause: Due) -> None:
    """The command was refused or failed: keep the deadline visible as overdue and try again later."""
    await tx.execute(_POSTPONE, {"id": cause.id, "seconds": RETRY_SECONDS})


_UUIDS, _TEXTS = ARRAY(PG_UUID(as_uuid=True)), ARRAY(TEXT)

_DUE = sa.text("SELECT kind, subject, id FROM deadline WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT :limit")

_ARMED = sa.text("SELECT id FROM deadline WHERE id = ANY(:ids) AND due_at <= clock_timestamp()").bindparams(
    sa.bindparam("ids", type_=_UUIDS)
)

_FORGET = sa.text("DELETE FROM deadline WHERE (kind, subject) IN (SELECT * FROM unnest(:kinds, :subjects))").bindparams(
    sa.bindparam("kinds", type_=_TEXTS), sa.bindparam("subjects", type_=_UUIDS)
)

_ARM = sa.text("""
    INSERT INTO deadline (kind, subject, id, due_at)
    SELECT kind, subject, id, due FROM unnest(:kinds, :subjects, :ids, :dues) AS new (kind, subject, id, due)
    ORDER BY kind, subject
    ON CONFLICT (kind, subject) DO UPDATE SET id = excluded.id, due_at = excluded.due_at, attempts = 0
""").bindparams(
    sa.bindparam("kinds", type_=_TEXTS),
    sa.bindparam("subjects", type_=_UUIDS),
    sa.bindparam("ids", type_=_UUIDS),
    sa.bindparam("dues", type_=ARRAY(TIMESTAMP(timezone=True))),
)

_POSTPONE = sa.text("""
    UPDATE deadline SET attempts = attempts + 1, due_at = clock_timestamp() + make_interval(secs => :seconds)
    WHERE id = :id
""")
