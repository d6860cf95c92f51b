"""A service's process is told to stop under load."""

from __future__ import annotations

import time

import pytest

from deploy.system import STOP_SECONDS_MAX
from tests.crash.points import A, B
from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

STOPPED = (f"{A}.intake", f"{A}.consent", f"{A}.handover", f"{B}.handover", f"{B}.intake")


async def test_a_service_that_is_told_to_stop_ends_by_itself_and_leaves_no_half_work(town: Town) -> None:
    """SIGTERM under load, one service after the other; the platform's SIGKILL after 15 s is not needed.

    Callers of that service meet a shut port until it is back; callers of the others see nothing of it.
    """
    took: dict[str, float] = {}
    codes: dict[str, int | None] = {}
    async with town.under_load() as load:
        for principal in STOPPED:
            server, began = town.system.servers[principal], time.monotonic()
            server.tell_to_stop()
            await server.stopped(STOP_SECONDS_MAX)
            took[principal], codes[principal] = time.monotonic() - began, server.code
            town.system.start(*principal.split("."))
            await town.system.ready([principal])
            await load.goes_on(10)
    broken = await town.judged()
    figures = ", ".join(f"{principal} {seconds:.1f} s" for principal, seconds in took.items())
    town.tell("SIGTERM", load, figures)
    assert codes == dict.fromkeys(STOPPED, 0)
    assert load.seen.bad_manners == []
    assert broken == []
