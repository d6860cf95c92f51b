"""What a contestant has left behind, put so that two of them can be compared: every row and every record.

Ids that were prepared keep their place in the story, others become "an id"; times become "a time". What is left must be
the same, whoever wrote it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition  # type: ignore[import-untyped]  # ships no types

from benchmarks.contestants import CONTESTANTS
from benchmarks.flow import PRINCIPALS, TOLD
from benchmarks.ground import Ground
from benchmarks.load import Load
from benchmarks.sample import LostError, heard, judged

HANDOVERS: Final = 3
# Belongs to everybody, or is written once at start, before the clock runs.
BESIDE: Final = frozenset({"alembic_version", "service_secret", "notice", "judged_up_to"})
UNCOMPARED: Final[Mapping[str, frozenset[str]]] = {
    "publication": frozenset(
        {"number", "pos", "partition", "offset"}
    ),  # in which order subjects went is nobody's promise
    "event_log": frozenset({"pos"}),
    "heard_up_to": frozenset({"next_offset", "partition"}),
    "answer": frozenset({"fingerprint", "principal"}),  # an HMAC under a random key; whichever caseworker was free
    "case": frozenset({"local_number"}),  # made from the id
    "reservation": frozenset({"key"}),
}
ONCE: Final = frozenset({"heard_up_to"})  # one row for each partition that chance has chosen
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d(:\d\d)?)?")
_TRACE: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Left = Mapping[str, Counter[str]]
"""By table or topic: how often each normalised row or record is there."""


async def left_behind(ground: Ground, contestant: str) -> Left:
    """Run the scenario and say what there is afterwards."""
    ids = await ground.fresh(HANDOVERS)
    prepared = await _prepared(ground)
    async with CONTESTANTS[contestant](ground):
        load = Load(ground, ids)
        await load.open_lines(2)
        try:
            await load.closed(range(HANDOVERS))
            await heard(ground, ids)
        finally:
            await load.close()
    await judged(ground, ids)
    found: dict[str, Counter[str]] = {}
    for principal in PRINCIPALS:
        found |= await _rows(ground, principal, prepared)
    return found | await _records(ground, prepared)


async def _prepared(ground: Ground) -> frozenset[str]:
    """Every id there is before anything happens."""
    known: set[str] = set()
    for principal in PRINCIPALS:
        async with ground.database(principal) as connection:
            for table in await _tables(connection):
                for row in await connection.fetch(f'SELECT to_jsonb(t)::text FROM public."{table}" AS t'):
                    known.update(_ID.findall(row[0]))
    return frozenset(known)


async def _tables(connection: Any) -> Sequence[str]:
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
    return [row["tablename"] for row in rows if row["tablename"] not in BESIDE]


async def _rows(ground: Ground, principal: str, prepared: frozenset[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    async with ground.database(principal) as connection:
        for table in await _tables(connection):
            beside = UNCOMPARED.get(table, frozenset())
            rows = await connection.fetch(f'SELECT to_jsonb(t)::text FROM public."{table}" AS t')  # as above
            seen = (_row(row[0], beside, prepared) for row in rows)
            counted = Counter(seen)
            found[f"{principal} {table}"] = Counter(dict.fromkeys(counted, 1)) if table in ONCE else counted
    return found


def _row(text: str, beside: frozenset[str], prepared: frozenset[str]) -> str:
    row = {name: value for name, value in json.loads(text).items() if name not in beside}
    for name in ("payload", "body"):  # bytes that hold JSON: what they say counts, not how they are spaced
        if isinstance(row.get(name), str) and row[name].startswith("\\x"):
            row[name] = json.loads(bytes.fromhex(row[name][2:]))
    if isinstance(row.get("headers"), list):
        row["headers"] = sorted(row["headers"])
    return normal(json.dumps(row, sort_keys=True), prepared)


def normal(text: str, prepared: frozenset[str]) -> str:
    """The text without what chance and the clock have put into it."""
    text = _TRACE.sub("a trace", text)
    text = _ID.sub(lambda found: "a subject" if found[0] in prepared else "an id", text)
    return _TIME.sub("a time", text)


async def _records(ground: Ground, prepared: frozenset[str]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {topic: Counter() for topic in TOLD}
    ends = await ground.ends(TOLD)
    left, wanted = sum(ends.values()), sum(TOLD.values()) * HANDOVERS
    if left != wanted:
        raise LostError(f"{left} records on the topics, not {wanted}")
    async with ground.reader() as consumer:
        consumer.assign([TopicPartition(topic, partition) for topic, partition in ends])
        while left > 0:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                for record in records:
                    left -= 1
                    said = {
                        "key": record.key.decode(),
                        "body": json.loads(record.value),
                        "headers": sorted((name, value.decode()) for name, value in record.headers),
                    }
                    found[record.topic][normal(json.dumps(said, sort_keys=True), prepared)] += 1
    return {f"topic {topic}": records for topic, records in found.items()}


def differences(ours: Left, theirs: Left) -> list[str]:
    """What one has and the other has not, one line each."""
    lines = []
    for where in sorted({*ours, *theirs}):
        mine, other = ours.get(where, Counter()), theirs.get(where, Counter())
        lines += [f"{where}: missing {n} × {row}" for row, n in sorted((mine - other).items())]
        lines += [f"{where}: too many {n} × {row}" for row, n in sorted((other - mine).items())]
    return lines
