"""PostgreSQL fails under load."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

import pytest

from tests.faults.town import Load, Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]
AWAY_SECONDS = (0, 0, 0, 5, 30)
SOON_SECONDS = 5.0  # what we promise: so long after PostgreSQL answers, callers may still see errors
COMMANDS = 30


class Outage(NamedTuple):
    """One stop and start: how long PostgreSQL was away, and what callers saw of it, in seconds."""

    away: float
    errors: float
    """From the first question that ended in an error to the end of the last."""
    longer: float
    """From PostgreSQL's first answer to the end of the last error."""
    again: float
    """From PostgreSQL's first answer until every service has answered well."""
    on: float
    """From PostgreSQL's first answer until so many more commands are acknowledged, most of which wait for news."""
    late: int
    """Errors of questions that were asked long after PostgreSQL answered."""
    failed: int
    """How many services callers saw an error of."""


async def _outage(town: Town, load: Load, seconds: float) -> Outage:
    """Stop PostgreSQL, leave it away for so long and start it."""
    errors_before = len(town.callers.errors)
    async with town.asked_all_the_time():
        stopped_at = time.monotonic()
        await town.system.embedded.stop_postgres_at_once()
        await asyncio.sleep(seconds)
        await town.system.embedded.start_postgres()
        answers_at = time.monotonic()
        on = await load.goes_on(COMMANDS)
    seen = town.callers.since(errors_before)
    last = max((each.ended_at for each in seen.errors), default=answers_at)
    return Outage(
        answers_at - stopped_at, seen.seconds, max(0.0, last - answers_at), town.callers.answering_after(answers_at),
        on, len(seen.later_than(answers_at + SOON_SECONDS)), len({each.principal for each in seen.errors}),
    )  # fmt: skip


async def test_postgresql_is_stopped_at_once_and_callers_are_told_to_come_back(town: Town) -> None:
    """All connections are cut in the middle of whatever they do: what was acknowledged is there afterwards.

    Meanwhile a caller gets 503 with Retry-After, never another error and never a cut connection: no service dies. Soon
    after PostgreSQL answers, every service does, however long it was away.
    """
    async with town.under_load() as load:
        pids = {principal: server.pid for principal, server in town.system.servers.items()}
        first, *more = AWAY_SECONDS
        outages = [await _outage(town, load, first)]
        await town.baseline()  # the first outage fills pools and caches; more of them must not add to them
        outages += [await _outage(town, load, seconds) for seconds in more]
    broken = await town.judged()
    seen = load.seen
    figures = [
        f"{what} {', '.join(f'{value:.1f}' for value in values)} s (at the most {max(values):.1f})"
        for what, values in (
            ("away for", [each.away for each in outages]),
            ("callers saw errors for", [each.errors for each in outages]),
            ("of that after PostgreSQL answered", [each.longer for each in outages]),
            ("every service answers after it", [each.again for each in outages]),
            (f"{COMMANDS} more commands after it", [each.on for each in outages]),
        )
    ]
    late = sum(each.late for each in outages)
    town.tell("PostgreSQL stopped immediate", load, *figures, f"errors of questions asked later than that: {late}")
    assert {each.failed for each in outages} == {len(town.system.servers)}, "somebody was not asked: this shows less"
    assert max(each.again for each in outages) <= SOON_SECONDS
    assert late == 0
    assert seen.bad_manners == []
    assert [each for each in seen.errors if not each.what.isdigit()] == []
    assert {principal: server.pid for principal, server in town.system.servers.items()} == pids
    assert [name for name, server in town.system.servers.items() if not server.runs] == []
    assert broken == []
