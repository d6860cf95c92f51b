"""PostgreSQL fails under load."""

from __future__ import annotations

import time

import pytest

from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]
SOON_SECONDS = 5.0  # what we promise: so long after PostgreSQL answers, callers may still see errors


async def test_postgresql_is_stopped_at_once_and_callers_are_told_to_come_back(town: Town) -> None:
    """All connections are cut in the middle of whatever they do: what was acknowledged is there afterwards.

    Meanwhile a caller gets 503 with Retry-After, never another error and never a cut connection: no service dies.
    """
    async with town.under_load() as load:
        pids = {principal: server.pid for principal, server in town.system.servers.items()}
        stopped_at = time.monotonic()
        await town.system.embedded.stop_postgres_at_once()
        await town.system.embedded.start_postgres()
        answers_at = time.monotonic()
        await load.goes_on(60)
        late = len(load.seen.later_than(answers_at + SOON_SECONDS))
        again = town.callers.answering_after(answers_at)
        await town.baseline()  # the first outage fills pools and caches; a second one must not add to them
        await town.system.embedded.stop_postgres_at_once()
        await town.system.embedded.start_postgres()
        await load.goes_on(30)
    broken = await town.judged()
    seen = load.seen
    town.tell(
        "PostgreSQL stopped immediate", load, f"away for {answers_at - stopped_at:.1f} s",
        f"every service answers {again:.1f} s after it", f"errors of questions asked later than that: {late}",
    )
    assert seen.errors, "nobody asked meanwhile: this has shown nothing"
    assert seen.bad_manners == []
    assert [each for each in seen.errors if not each.what.isdigit()] == []
    assert {principal: server.pid for principal, server in town.system.servers.items()} == pids
    assert [name for name, server in town.system.servers.items() if not server.runs] == []
    assert broken == []
