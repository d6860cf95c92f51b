"""One sample: fresh ground, one contestant, one load; judged before it is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Final
from uuid import UUID

from benchmarks import machine
from benchmarks.contestants import CONTESTANTS, Pids
from benchmarks.flow import DELIVERIES, HEARD, PRINCIPALS, RECEIVER, SENDER, TOLD
from benchmarks.ground import Ground
from benchmarks.load import Load

WARM_UP: Final = 100
WARM_UP_OF: Final = {"tutorial": 10}  # as many as the others have in a third of a second take it seconds
LAG_MS_MAX: Final = 2.0
SETTLE_SECONDS: Final = 1.0
REST_SECONDS: Final = 3.0
DRAINED_SECONDS_MAX: Final = 120.0


class LostError(RuntimeError):
    """A run lost, doubled or reordered something: it has no score."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run has shown. Times in seconds unless the name says otherwise; costs are per handover."""

    contestant: str
    clients: int
    handovers: int
    seconds: float
    per_second: float
    cpu_ms: float
    cpu_ms_of: Mapping[str, float]
    commits: float
    items_per_transaction: float
    cpu_ms_at_rest: Mapping[str, float]
    """Per second of doing nothing."""
    megabytes_at_rest: Mapping[str, float]
    megabytes_after: Mapping[str, float]
    foreign: float
    steal: float
    quiet: bool

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


async def closed(ground: Ground, contestant: str, handovers: int, clients: int) -> Sample:
    """Closed loop: as many as go, from the first request until everybody has heard everything."""
    warm_up = WARM_UP_OF.get(contestant, WARM_UP)
    ids = await ground.fresh(warm_up + handovers)
    async with CONTESTANTS[contestant](ground) as pids:
        rest, idle = megabytes(pids), await _at_rest(ground, pids)
        load = Load(ground, ids)
        await load.open_lines(clients)
        try:
            await load.closed(range(warm_up))
            await heard(ground, ids[:warm_up])
            commits = await _commits(ground)
            before = machine.read(groups(ground, pids))
            began = perf_counter()
            await load.closed(range(warm_up, warm_up + handovers))
            polls = await heard(ground, ids)
            took = perf_counter() - began
            after = machine.read(groups(ground, pids))
        finally:
            await load.close()
        full = megabytes(pids)
    commits = await _commits(ground) - commits - polls  # a server process counts what it did when it ends
    items = await judged(ground, ids)
    cost = machine.between(before, after)
    return Sample(
        contestant,
        clients,
        handovers,
        took,
        handovers / took,
        cost.total / handovers * 1000,
        {name: value / handovers * 1000 for name, value in cost.groups.items()},
        commits / handovers,
        items,
        idle,
        rest,
        full,
        cost.foreign,
        cost.steal,
        cost.quiet,
    )


async def _at_rest(ground: Ground, pids: Pids) -> dict[str, float]:
    await asyncio.sleep(SETTLE_SECONDS)
    before = machine.read(groups(ground, pids))
    await asyncio.sleep(REST_SECONDS)
    cost = machine.between(before, machine.read(groups(ground, pids)))
    return {name: value / cost.seconds * 1000 for name, value in cost.groups.items()}


@dataclass(frozen=True, slots=True)
class Latency:
    """How long handovers took at a load below what is possible, from the moment each was due. Milliseconds."""

    contestant: str
    share: float
    per_second: float
    handovers: int
    p50: float
    p99: float
    lag_p99: float
    """How late the load itself was; above 2 ms the run says more about the load than about the services."""
    foreign: float
    steal: float
    quiet: bool

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


async def open_loop(
    ground: Ground, contestant: str, handovers: int, per_second: float, share: float, seed: int
) -> Latency:
    """Open loop: arrivals as of a Poisson process, whatever becomes of those before; `share` of what is possible."""
    ids = await ground.fresh(WARM_UP + handovers)
    async with CONTESTANTS[contestant](ground) as pids:
        load = Load(ground, ids)
        await load.open_lines(32)
        try:
            await load.closed(range(WARM_UP))
            await heard(ground, ids[:WARM_UP])
            before = machine.read(groups(ground, pids))
            await load.open(range(WARM_UP, WARM_UP + handovers), per_second, seed)
            cost = machine.between(before, machine.read(groups(ground, pids)))
            await heard(ground, ids)
        finally:
            await load.close()
    await judged(ground, ids)
    took = sorted((load.done[n] - load.due[n]) * 1000 for n in range(WARM_UP, WARM_UP + handovers))
    lag = sorted(load.lag)[int(len(load.lag) * 0.99)] * 1000
    return Latency(
        contestant,
        share,
        per_second,
        handovers,
        took[len(took) // 2],
        took[int(len(took) * 0.99)],
        lag,
        cost.foreign,
        cost.steal,
        cost.quiet and lag <= LAG_MS_MAX,
    )


def groups(ground: Ground, pids: Pids) -> dict[str, Sequence[int]]:
    """Whose processor time is read: every service and the two servers."""
    by_principal = {principal: [pid] for principal, pid in pids.items()}
    return {**by_principal, **ground.server_pids}


def megabytes(pids: Pids) -> dict[str, float]:
    """What each service has in memory."""
    return {principal: machine.resident_megabytes(pid) for principal, pid in pids.items()}


async def _commits(ground: Ground) -> int:
    async with ground.database() as connection:
        names = [f"{principal}" for principal in PRINCIPALS]
        return int(
            await connection.fetchval(
                "SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database WHERE datname = ANY($1)", names
            )
        )


async def heard(ground: Ground, ids: Sequence[UUID]) -> int:
    """Wait until every event of these handovers has been published and heard by everybody; how often was asked."""
    async with asyncio.timeout(DRAINED_SECONDS_MAX):
        asked = await asyncio.gather(*(_heard(ground, principal, ids) for principal in PRINCIPALS))
    return sum(asked)


async def _heard(ground: Ground, principal: str, ids: Sequence[UUID]) -> int:
    asked, wanted = 0, DELIVERIES[principal] * len(ids)
    async with ground.database(principal) as connection:
        while True:
            asked += 1
            row = await connection.fetchrow(
                """SELECT (SELECT count(*) FROM outbox) AS waiting,
                          (SELECT coalesce(sum(last_seq), 0) FROM lane
                           WHERE consumer = $1 AND topic = ANY($2) AND key >= $3) AS heard,
                          (SELECT count(*) FROM errand WHERE next_at < 'infinity') AS errands""",
                principal,
                list(HEARD[principal]),
                ids[0],
            )
            if row["waiting"] == 0 and row["errands"] == 0 and row["heard"] >= wanted:
                return asked
            await asyncio.sleep(0.05)


async def judged(ground: Ground, ids: Sequence[UUID]) -> float:
    """Everything that was asked has happened exactly once, in order. Returns the items of one transaction.

    Ids begin with their time, so what has been there before the run has smaller ones.
    """
    handovers, since = len(ids), ids[0]
    items = transactions = 0
    for principal in PRINCIPALS:
        async with ground.database(principal) as connection:
            said = dict(
                await connection.fetch("SELECT topic, count(*) FROM event_log WHERE key >= $1 GROUP BY topic", since)
            )
            _same(principal, "told", said, {topic: n * handovers for topic, n in TOLD.items() if topic in said})
            published = await connection.fetchrow(
                """SELECT count(*) AS n, count(DISTINCT pos) AS positions, (SELECT count(*) FROM outbox) AS waiting
                   FROM publication JOIN event_log USING (pos) WHERE key >= $1""",
                since,
            )
            new = sum(said.values())
            _same(principal, "published", tuple(published), (new, new, 0))
            gaps = await connection.fetchval(
                """SELECT count(*) FROM (SELECT count(*) AS n, max(seq) AS last, min(seq) AS first
                   FROM event_log WHERE key >= $1 GROUP BY topic, key) AS stream WHERE n <> last OR first <> 1""",
                since,
            )
            _same(principal, "gaps", gaps, 0)
            lanes = await connection.fetchval("SELECT coalesce(sum(last_seq), 0) FROM lane WHERE key >= $1", since)
            _same(principal, "heard", lanes, DELIVERIES[principal] * handovers)
            held = await connection.fetchval("SELECT (SELECT count(*) FROM parked) + (SELECT count(*) FROM unreadable)")
            _same(principal, "held", held, 0)
            # What was written in one transaction has one number.
            row = await connection.fetchrow(
                """SELECT count(*) AS items, count(DISTINCT number) AS transactions FROM (
                   SELECT xmin::text AS number FROM inbox WHERE key >= $1
                   UNION ALL SELECT xmin::text FROM answer WHERE answered_at >= $2) AS work""",
                since,
                ground.filled_at,
            )
            items, transactions = items + row["items"], transactions + row["transactions"]
    for agency in (SENDER, RECEIVER):
        async with ground.database(f"{agency}.handover") as connection:
            accepted = await connection.fetchval(
                "SELECT count(*) FROM handover WHERE state = 'accepted' AND id = ANY($1)", list(ids)
            )
            _same(agency, "accepted", accepted, len(ids))
            answers = await connection.fetchval(
                "SELECT count(*) FROM answer WHERE status = 200 AND answered_at >= $1", ground.filled_at
            )
            _same(agency, "answers", answers, handovers)
    async with ground.database(f"{RECEIVER}.intake") as connection:
        announced = await connection.fetchval(
            "SELECT count(*) FROM \"case\" WHERE state = 'announced' AND id >= $1", since
        )
        _same(RECEIVER, "cases", announced, handovers)
    return float(items / max(transactions, 1))


def _same(where: str, what: str, found: object, expected: object) -> None:
    if found != expected:
        raise LostError(f"{where}: {what} is {found}, not {expected}")
