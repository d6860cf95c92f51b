"""A service's own process is told to stop, and a second one of it comes and goes."""

from __future__ import annotations

import signal
import time

import pytest

from deploy.system import STOP_SECONDS_MAX
from tests.crash.points import A
from tests.faults.replicas import a_replica
from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]


async def test_a_service_that_is_told_to_stop_ends_by_itself_and_leaves_no_half_work(town: Town) -> None:
    """SIGTERM under load, one service after the other; the platform's SIGKILL after 15 s is not needed.

    Callers of that service meet a shut port until it is back; callers of the others see nothing of it.
    """
    took: dict[str, float] = {}
    codes: dict[str, int | None] = {}
    async with town.under_load() as load:
        for principal in list(town.system.servers):
            server, began = town.system.servers[principal], time.monotonic()
            server.tell_to_stop()
            await server.stopped(STOP_SECONDS_MAX)
            took[principal], codes[principal] = time.monotonic() - began, server.code
            if server.code:
                town.say(f"  {principal} ended with code {server.code} and said last:\n{town.last_words(principal)}")
            town.system.start(*principal.split("."))
            await town.system.ready([principal])
            await load.goes_on(10)
    broken = await town.judged()
    figures = ", ".join(f"{principal} {seconds:.1f} s" for principal, seconds in took.items())
    town.tell("SIGTERM", load, f"ended after {max(took.values()):.1f} s at the most", figures)
    assert codes == dict.fromkeys(codes, 0), codes
    assert load.seen.bad_manners == []
    assert broken == []


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["told to stop", "killed"])
async def test_a_second_process_of_a_service_comes_and_goes_and_nobody_notices(town: Town, end: signal.Signals) -> None:
    """It takes its share of the partitions and gives it back; which of the two published what, nobody can tell."""
    async with town.under_load() as load:
        began = time.monotonic()
        async with a_replica(town, A, "handover") as replica:
            joined = time.monotonic() - began
            await load.goes_on(30)
            replica.server.tell(end)
            await replica.server.stopped(STOP_SECONDS_MAX)
            code = replica.server.code
        await load.goes_on(30)
    broken = await town.judged()
    town.tell(f"a second process came and went by {end.name}", load, f"it joined within {joined:.1f} s")
    assert code == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    assert load.seen.errors == []
    assert broken == []
