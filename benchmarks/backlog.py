"""A service comes back to everything that was said while it was down, and meanwhile new commands arrive.

The receiver's consent service is the one: it hears four facts of each handover, and no handover waits for it. What it
has missed are copies of what the product once said for one young person, published by the product's own relays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Final
from uuid import UUID

from benchmarks import machine
from benchmarks.contestants import ours
from benchmarks.flow import DELIVERIES, HEARD, PRINCIPALS, RECEIVER
from benchmarks.ground import HISTORY, TIME_BITS, Ground
from benchmarks.load import Load
from benchmarks.sample import LostError, groups, heard, judged

DOWN: Final = f"{RECEIVER}.consent"
TELLERS: Final = (f"{RECEIVER}.handover", f"{RECEIVER}.intake")
CLIENTS: Final = 32
PER_SECOND: Final = 20.0
"""New handovers while it drains."""
NEW_SECONDS: Final = 60.0  # longer than the backlog of the full size takes, so that there is an afterwards
LOOK_SECONDS: Final = 0.1
SECONDS_MAX: Final = 300.0
LISTEN_SECONDS: Final = 3.0  # the load hears the receiver's topic from its beginning, and that is long
TIME_DIGITS: Final = (128 - TIME_BITS) // 4  # of a UUID
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@dataclass(frozen=True, slots=True)
class Backlog:
    """How a backlog was worked off. Milliseconds are those of new handovers, from the moment each was due."""

    events: int
    seconds: float
    per_second: float
    new: int
    """New handovers that fell due before it was through."""
    p50: float
    p99: float
    p50_after: float
    p99_after: float
    megabytes_most: float
    foreign: float
    quiet: bool

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


async def backlog(ground: Ground, events: int, seed: int) -> Backlog:
    """Prepare it, start the service, let new handovers come; judged at the end as every run."""
    subjects = events // DELIVERIES[DOWN]
    new = int(PER_SECOND * NEW_SECONDS)
    ids = await ground.fresh(new, subjects, missed=DOWN)
    for principal in TELLERS:
        await _say_again(ground, principal, ids[0])
    async with ours(ground, down=DOWN) as pids:
        await _passed_by_others(ground, ids[0])
        wanted = await ground.ends(HEARD[DOWN])
        load = Load(ground, ids)
        await load.open_lines(CLIENTS)
        try:
            await asyncio.sleep(LISTEN_SECONDS)
            ground.system.start(*DOWN.split("."))
            everybody = groups(ground, {**pids, DOWN: ground.system.servers[DOWN].pid})
            before = machine.read(everybody)
            async with asyncio.TaskGroup() as group:
                group.create_task(load.open(range(new), PER_SECOND, seed))
                began, ended, most = await _drained(ground, wanted)
            await heard(ground, ids)
            cost = machine.between(before, machine.read(everybody))
        finally:
            await load.close()
    await judged(ground, ids)
    await _nothing_missed(ground, subjects + new)
    took = [(load.due[n] <= ended, (load.done[n] - load.due[n]) * 1000) for n in range(new)]
    meanwhile, after = (sorted(each for so, each in took if so == early) for early in (True, False))
    told = sum(wanted.values())
    return Backlog(
        told,
        ended - began,
        told / (ended - began),
        len(meanwhile),
        *_points(meanwhile),
        *_points(after),
        most,
        cost.foreign,
        cost.quiet,
    )


def _points(took: list[float]) -> tuple[float, float]:
    return (took[len(took) // 2], took[int(len(took) * 0.99)]) if took else (0.0, 0.0)


async def _say_again(ground: Ground, principal: str, since: UUID) -> None:
    """Put what the service has missed into the outbox; copies get the ids of their own subject inside, too."""
    async with ground.database(principal) as connection:
        texts = await connection.fetch(
            f"""SELECT DISTINCT (regexp_matches(headers::text || convert_from(payload, 'UTF8'), '{_UUID}', 'g'))[1]
                FROM {HISTORY}.event_log WHERE topic = ANY($1)""",
            list(HEARD[DOWN]),
        )
        moment = f"('x' || left(replace(key::text, '-', ''), {TIME_DIGITS}))::bit({TIME_DIGITS * 4})::bigint"
        headers, payload = "headers::text", "convert_from(payload, 'UTF8')"
        for (id,) in texts:
            new = f"{HISTORY}.moved('{id}'::uuid, {moment})::text"
            headers, payload = (f"replace({text}, '{id}', {new})" for text in (headers, payload))
        await connection.execute(
            f"""UPDATE event_log SET headers = ({headers})::jsonb, payload = convert_to({payload}, 'UTF8')
                WHERE topic = ANY($1) AND key < $2""",
            list(HEARD[DOWN]),
            since,
        )
        await connection.execute(
            """INSERT INTO outbox (pos, topic, key)
               SELECT pos, topic, key FROM event_log WHERE topic = ANY($1) AND key < $2 ORDER BY pos""",
            list(HEARD[DOWN]),
            since,
        )


async def _passed_by_others(ground: Ground, since: UUID) -> None:
    """Wait until all of it is published, and those who know it already have let it pass."""
    async with asyncio.timeout(SECONDS_MAX):
        for principal in TELLERS:
            async with ground.database(principal) as connection:
                while await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)"):  # noqa: ASYNC110  # as below
                    await asyncio.sleep(LOOK_SECONDS)
        for principal in PRINCIPALS:
            common = set(HEARD[principal]) & set(HEARD[DOWN])
            if principal != DOWN and common:
                await _has_heard(ground, principal, await ground.ends(common))


async def _has_heard(ground: Ground, principal: str, wanted: Mapping[tuple[str, int], int]) -> None:
    async with ground.database(principal) as connection:
        while not await _there(connection, wanted):  # noqa: ASYNC110  # another process's database, not an event
            await asyncio.sleep(LOOK_SECONDS)


async def _there(connection: Any, wanted: Mapping[tuple[str, int], int]) -> bool:
    rows = await connection.fetch("SELECT topic, partition, next_offset FROM heard_up_to")
    found = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
    return all(found.get(part, 0) >= offset for part, offset in wanted.items())


async def _drained(ground: Ground, wanted: Mapping[tuple[str, int], int]) -> tuple[float, float, float]:
    """When it began to hear, when it was through with what had waited, and the most memory it took."""
    pid, most, began = ground.system.servers[DOWN].pid, 0.0, 0.0
    async with ground.database(DOWN) as connection, asyncio.timeout(SECONDS_MAX):
        while not await _there(connection, wanted):
            if not began and await connection.fetchval("SELECT EXISTS (SELECT FROM heard_up_to)"):
                began = perf_counter()
            most = max(most, machine.resident_megabytes(pid))
            await asyncio.sleep(LOOK_SECONDS if began else LOOK_SECONDS / 10)
    ended = perf_counter()
    return began or ended - LOOK_SECONDS, ended, max(most, machine.resident_megabytes(pid))


async def _nothing_missed(ground: Ground, subjects: int) -> None:
    async with ground.database(DOWN) as connection:
        found = await connection.fetchval("SELECT sum(last_seq) FROM lane")
    if found != subjects * DELIVERIES[DOWN]:
        raise LostError(f"{DOWN}: {found} events heard, not {subjects * DELIVERIES[DOWN]}")
