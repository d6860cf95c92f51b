"""Idempotency-Keys and their answers: claimed first, kept last, in the transaction of the command."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis.database import BYTES, INTS, TEXTS, Statement
from chassis.executor.work import Answer, Asked

CauseKey = tuple[str, str]
"""Who asks, and under which key."""


async def claim(tx: AsyncConnection, asked: Sequence[Asked]) -> dict[CauseKey, tuple[bytes, Answer]]:
    """Claim the keys, sorted; those that are known come back with fingerprint and answer.

    The same key in another transaction waits here until that one is over.
    """
    wanted: dict[CauseKey, Asked] = {}
    for cause in asked:
        wanted.setdefault((cause.principal, cause.key), cause)  # of two in one batch the first is the one that is run
    if not wanted:
        return {}
    keys = sorted(wanted)
    parameters = _columns(keys) | {"fingerprints": [wanted[key].fingerprint for key in keys]}
    new = {(row.principal, row.key) for row in await _CLAIM(tx, parameters)}
    known = [key for key in keys if key not in new]
    if not known:
        return {}
    rows = await _STORED(tx, _columns(known))
    return {(row.principal, row.key): (bytes(row.fingerprint), _stored(row)) for row in rows}


async def keep(tx: AsyncConnection, answers: Mapping[CauseKey, Answer]) -> None:
    """Keep what may be said again, give the other keys back."""
    kept = sorted((cause, answer) for cause, answer in answers.items() if answer.kept)
    dropped = sorted(cause for cause, answer in answers.items() if not answer.kept)
    if kept:
        said = [answer for _, answer in kept]
        content = {
            "statuses": [answer.status for answer in said],
            "headers": [json.dumps(answer.headers) for answer in said],
            "bodies": [answer.body for answer in said],
        }
        await _KEEP(tx, _columns([cause for cause, _ in kept]) | content)
    if dropped:
        await _DROP(tx, _columns(dropped))


def _columns(causes: Sequence[CauseKey]) -> dict[str, list[Any]]:
    return {"principals": [principal for principal, _ in causes], "keys": [key for _, key in causes]}


def _stored(row: Any) -> Answer:
    headers = tuple((name, value) for name, value in row.headers)
    return Answer(row.status, bytes(row.body), headers, replayed=True)


_KEYS = {"principals": TEXTS, "keys": TEXTS}

_CLAIM = Statement("""
    INSERT INTO answer (principal, key, fingerprint)
    SELECT principal, key, fingerprint
    FROM unnest(:principals, :keys, :fingerprints) AS new (principal, key, fingerprint)
    ORDER BY principal, key
    ON CONFLICT DO NOTHING RETURNING principal, key
""", **_KEYS, fingerprints=BYTES)

_STORED = Statement("""
    SELECT principal, key, fingerprint, status, headers, body FROM answer
    WHERE (principal, key) IN (SELECT * FROM unnest(:principals, :keys))
""", **_KEYS)

_KEEP = Statement("""
    UPDATE answer
    SET status = new.status, headers = new.headers::jsonb, body = new.body, answered_at = clock_timestamp()
    FROM unnest(:principals, :keys, :statuses, :headers, :bodies) AS new (principal, key, status, headers, body)
    WHERE answer.principal = new.principal AND answer.key = new.key
""", **_KEYS, statuses=INTS, headers=TEXTS, bodies=BYTES)

_DROP = Statement("DELETE FROM answer WHERE (principal, key) IN (SELECT * FROM unnest(:principals, :keys))", **_KEYS)
