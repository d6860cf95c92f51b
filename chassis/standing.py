"""How a service stands, from one look at its database: what waits, and for how long already.

`look` is for people and metrics. `glance` is what the service itself looks at every second, so that nothing waits for
long of which nobody has told this process: what other replicas have written, and what only time makes due.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import metrics
from chassis.deadlines import OVERDUE, SINCE
from chassis.outbox import OLDEST

FAILING_ATTEMPTS = 5  # an errand that has come back so often is said to fail


Undone = Mapping[str, Callable[[AsyncConnection], Awaitable[float]]]
"""What a service has begun beside errands and must not leave so, by what it is -> the oldest one's age in seconds."""


class Standing(BaseModel):
    """What waits in one service's database, in one look; ages in seconds, 0 where nothing waits.

    `oldest_unsent_seconds` leaves held subjects out, which are counted. `unreadable` counts those of the last day: they
    are kept for good, and nobody need be called for good.
    """

    unsent: int
    oldest_unsent_seconds: float
    held_subjects: int
    lanes_retrying: int
    lanes_retrying_seconds: float
    lanes_missing: int
    lanes_missing_seconds: float
    lanes_human: int
    lanes_human_seconds: float
    unreadable: int
    brake_seconds: float
    parties_unheard: int
    party_unheard_seconds: float
    deadline_overdue_seconds: float
    deadlines_overdue: int
    errands_failing: int
    errand_failing_seconds: float


class Glance(NamedTuple):
    """What there is to do, or to stop doing.

    `seat`: the process that hears as this instance; `next_deadline`: in seconds, None where none is armed.
    """

    restored: bool
    brakes: int
    seat: str | None
    unsent: bool
    errands_due: bool
    lanes_due: bool
    deadlines_due: bool
    next_deadline: float | None


async def glance(tx: AsyncConnection, consumer: str, instance: str) -> Glance:
    """One query for everything; each part reads the first row of an index. `instance`: as which this process hears."""
    return Glance(*(await tx.execute(_GLANCE, {"consumer": consumer, "instance": instance})).one())


async def look(tx: AsyncConnection, consumer: str) -> Standing:
    """One query for everything."""
    parameters = {"consumer": consumer, "failing": FAILING_ATTEMPTS}
    row = (await tx.execute(_LOOK, parameters)).mappings().one()
    return Standing.model_validate(dict(row))


async def ages(tx: AsyncConnection, undone: Undone) -> dict[str, float]:
    """How long the oldest of each has waited; 0 where nothing waits."""
    return {what: await age(tx) for what, age in undone.items()}


def set_gauges(standing: Standing, undone: Mapping[str, float]) -> None:
    """Set every gauge that comes from the database."""
    for name, value in (
        ("outbox.backlog", standing.unsent),
        ("outbox.oldest.age", standing.oldest_unsent_seconds),
        ("outbox.hold.keys", standing.held_subjects),
        ("unreadable.records", standing.unreadable),
        ("consumer.brake.age", standing.brake_seconds),
        ("consumer.unheard.age", standing.party_unheard_seconds),
        ("deadline.overdue", standing.deadline_overdue_seconds),
        ("errand.failing", standing.errands_failing),
        ("errand.failing.age", standing.errand_failing_seconds),
    ):
        metrics.measured(name, value)
    for state in ("retrying", "missing", "human"):
        metrics.measured("lane.parked", getattr(standing, f"lanes_{state}"), {"chassis.lane.state": state})
        metrics.measured(
            "lane.parked.oldest.age", getattr(standing, f"lanes_{state}_seconds"), {"chassis.lane.state": state}
        )
    for what, seconds in undone.items():
        metrics.measured("undone.oldest.age", seconds, {"chassis.undone": what})


# The statement's own moment is one value, so that an index is entered at it; the clock would be asked row by row.
_GLANCE = sa.text("""
    SELECT EXISTS (SELECT FROM restoration WHERE recovered_at IS NULL),
           (SELECT count(*) FROM brake WHERE consumer = :consumer AND released_at IS NULL),
           (SELECT process FROM seat WHERE consumer = :consumer AND instance = :instance),
           (SELECT pos FROM outbox ORDER BY pos LIMIT 1) IS NOT NULL,
           EXISTS (SELECT FROM errand WHERE next_at <= statement_timestamp()),
           EXISTS (SELECT FROM parked WHERE consumer = :consumer AND next_attempt_at <= statement_timestamp()),
           EXISTS (SELECT FROM deadline WHERE due_at <= statement_timestamp()),
           (SELECT CAST(extract(epoch FROM due_at - statement_timestamp()) AS float) FROM deadline
            WHERE due_at > statement_timestamp() ORDER BY due_at LIMIT 1)
""")

_AGE = "coalesce(extract(epoch FROM clock_timestamp() - min({})), 0)"
_LANES = """
    count(*) FILTER (WHERE {where}) AS lanes_{state},
    coalesce(extract(epoch FROM clock_timestamp() - min(parked_at) FILTER (WHERE {where})), 0) AS lanes_{state}_seconds
"""
_STATES = {
    "retrying": "next_attempt_at IS NOT NULL",
    "missing": "next_attempt_at IS NULL AND error_class IN ('gap', 'behind')",
    "human": "next_attempt_at IS NULL AND error_class NOT IN ('gap', 'behind')",
}
_LOOK = sa.text(f"""
    SELECT unsent, oldest_unsent_seconds, held_subjects, unreadable, brake_seconds, parties_unheard,
           party_unheard_seconds, deadline_overdue_seconds, deadlines_overdue, errands_failing, errand_failing_seconds,
           lanes.*
    FROM (SELECT count(*) AS unsent FROM outbox) AS a,
         (SELECT {_AGE.format("created_at")} AS oldest_unsent_seconds FROM event_log
          WHERE pos = ({OLDEST})) AS b,
         (SELECT count(*) AS held_subjects FROM outbox_hold) AS c,
         (SELECT count(*) AS unreadable FROM unreadable
          WHERE consumer = :consumer AND found_at > clock_timestamp() - interval '1 day') AS d,
         (SELECT {_AGE.format("pulled_at")} AS brake_seconds FROM brake
          WHERE consumer = :consumer AND released_at IS NULL AND party IS NULL) AS e,
         (SELECT count(*) AS parties_unheard, {_AGE.format("pulled_at")} AS party_unheard_seconds FROM brake
          WHERE consumer = :consumer AND released_at IS NULL AND party IS NOT NULL) AS e1,
         (SELECT {_AGE.format(SINCE)} AS deadline_overdue_seconds, count(*) AS deadlines_overdue FROM deadline
          WHERE {OVERDUE}) AS f,
         (SELECT count(*) AS errands_failing, {_AGE.format("sent_at")} AS errand_failing_seconds FROM errand
          WHERE attempts >= :failing) AS g,
         (SELECT {", ".join(_LANES.format(state=state, where=where) for state, where in _STATES.items())} FROM (
              SELECT DISTINCT ON (topic, key) parked_at, next_attempt_at, error_class FROM parked
              WHERE consumer = :consumer ORDER BY topic, key, seq, parked_at
          ) AS first) AS lanes
""")  # noqa: S608  # put together from the constants above
