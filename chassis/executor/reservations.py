"""Rules across subjects as rows that only one of them can hold, taken before the decision and kept only by a yes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import TEXTS, UUIDS, Statement
from chassis.transitions import Reservation

TRIES_MAX = 10  # a row that goes and comes so often is wanted by more than can be served now

Held = Mapping[Reservation, UUID | None]
"""Who holds what; None: nobody."""


class Contended(TimeoutError):
    """A reservation was given up and taken again and again: try the whole batch later, as after a lock not had."""


async def take(tx: AsyncConnection, wanted: Mapping[Reservation, UUID]) -> tuple[Held, Held]:
    """Lock these rows, in key order: (who is in the row now, who held it before this transaction).

    A row that nobody held is written for the first who wants it, so that nobody else can in the meantime.
    """
    inside: dict[Reservation, UUID | None] = {}
    before: dict[Reservation, UUID | None] = {}
    for _ in range(TRIES_MAX):
        missing = sorted((reservation, holder) for reservation, holder in wanted.items() if reservation not in inside)
        if not missing:
            return inside, before
        # One whose row another transaction writes or gives up at this moment is missing still, and wanted once more:
        # only a row that this transaction has written or locked may be decided on.
        for row in await _TAKE(tx, _columns(missing)):
            reservation = Reservation(row.name, row.key)
            inside[reservation] = row.holder
            before[reservation] = None if row.new else row.holder
    raise Contended


async def write(tx: AsyncConnection, inside: Held, held: Held, freed: Iterable[tuple[Reservation, UUID]]) -> None:
    """Make the rows say who holds what after all decisions; `freed` are those that were never asked for here."""
    gone = {(reservation, holder) for reservation, holder in freed if reservation not in held}
    gone |= {(r, holder) for r, holder in inside.items() if holder is not None and held[r] != holder}
    if gone:
        await _FREE(tx, _columns(sorted(gone)))
    moved = sorted((r, holder) for r, holder in held.items() if holder is not None and inside.get(r) != holder)
    if moved:
        await _RESERVE(tx, _columns(moved))


def _columns(rows: Sequence[tuple[Reservation, UUID]]) -> dict[str, list[Any]]:
    return {
        "names": [reservation.name for reservation, _ in rows],
        "keys": [reservation.key for reservation, _ in rows],
        "holders": [holder for _, holder in rows],
    }


_NAMED = {"names": TEXTS, "keys": TEXTS}
_HOLDING = {"holders": UUIDS}

# Those that are there first, in key order, then the others, in key order. Two that see one row differently, because it
# comes at this moment, may still wait for each other: the database ends one, which is tried again.
_TAKE = Statement("""
    WITH wanted AS (
        SELECT * FROM unnest(:names, :keys, :holders) AS wanted (name, key, holder)
    ), there AS (
        SELECT name, key, holder FROM reservation WHERE (name, key) IN (SELECT name, key FROM wanted)
        ORDER BY name, key FOR UPDATE
    ), written AS (
        INSERT INTO reservation (name, key, holder)
        SELECT name, key, holder FROM wanted WHERE (name, key) NOT IN (SELECT name, key FROM there) ORDER BY name, key
        ON CONFLICT DO NOTHING RETURNING name, key, holder
    )
    SELECT name, key, holder, false AS new FROM there UNION ALL SELECT name, key, holder, true FROM written
""", **_NAMED, **_HOLDING)

_RESERVE = Statement("""
    INSERT INTO reservation (name, key, holder)
    SELECT name, key, holder FROM unnest(:names, :keys, :holders) AS new (name, key, holder) ORDER BY name, key
    ON CONFLICT DO NOTHING
""", **_NAMED, **_HOLDING)

_FREE = Statement("""
    DELETE FROM reservation USING unnest(:names, :keys, :holders) AS gone (name, key, holder)
    WHERE reservation.name = gone.name AND reservation.key = gone.key AND reservation.holder = gone.holder
""", **_NAMED, **_HOLDING)
