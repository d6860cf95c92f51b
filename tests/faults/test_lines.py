"""Lines between agencies that are slow, cut or half open while dossiers are fetched, and connections that rest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.consent.door.withdrawal import ANSWER_SECONDS
from tests.crash.clients import Tale
from tests.crash.points import A
from tests.faults.line import SPOILED, Way
from tests.faults.town import Load, Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

USUAL_SECONDS = 5.0  # how long pools of callers keep a resting connection when nobody says otherwise
LONG_SECONDS = 60.0
FAULT_SECONDS = 12.0  # a call that is given up, the wait after it, and another one
MORE_SECONDS = 2.0  # for a withdrawal beside the time it waits of its own: two clients on a busy machine


async def test_a_connection_that_rests_is_closed_by_the_caller_first(town: Town) -> None:
    """Where both give it up after the same time, a question may meet the close: an error that nothing has caused."""
    limits = httpx.Limits(max_connections=1, keepalive_expiry=LONG_SECONDS)
    async with httpx.AsyncClient(limits=limits) as client:
        lines = []
        for rest in (0.0, USUAL_SECONDS + 1.0):
            await asyncio.sleep(rest)
            answer = await client.get(f"{town.installation.url(A, 'intake')}/ready")
            lines.append(answer.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(set(lines)) == 1, "the service has closed a connection that its caller still kept"


async def test_whatever_the_line_does_to_a_dossier_it_arrives_once_when_the_line_is_whole(town: Town) -> None:
    """Four ways after each other under load, and in each a handover that goes on and one whose consent is withdrawn.

    The withdrawal does not wait for the line: it is answered while the line is spoiled, and nothing follows it.
    """
    withdrawals, figures = [], []
    async with town.under_load() as load:
        for way in SPOILED:
            kept, withdrawn = [await _asked(town) for _ in range(2)]
            met = town.line.met
            async with _spoiled(town, load, way):
                for tale in (kept, withdrawn):
                    await tale.act(tale.receiver, "acceptance")
                    await tale.sender_is("accepted")
                began = time.monotonic()
                await withdrawn.withdraw()
                withdrawals.append(time.monotonic() - began)
            whole_at = time.monotonic()
            await kept.dossier_is("stored")
            arrived = time.monotonic() - whole_at
            await kept.first_contact()
            await kept.complete()
            await load.goes_on(20)
            figures.append(
                f"{way.name.lower()}: met by {town.line.met - met} questions, withdrawn in {withdrawals[-1]:.1f} s, "
                f"stored {arrived:.1f} s after it"
            )
    broken = await town.judged()
    town.tell("lines between agencies", load, *figures)
    assert load.seen.errors == []
    assert max(withdrawals) < ANSWER_SECONDS + MORE_SECONDS
    assert broken == []


async def _asked(town: Town) -> Tale:
    tale = town.tale()
    await tale.begun()
    await tale.receiver_is("requested")
    return tale


@asynccontextmanager
async def _spoiled(town: Town, load: Load, way: Way) -> AsyncIterator[None]:
    """The line is so, somebody has met it, and it stays so for a while; whole afterwards."""
    town.line.way = way
    try:
        yield
        await load.meets(town.line)
        await asyncio.sleep(FAULT_SECONDS)  # the length of the fault
    finally:
        town.line.way = Way.WHOLE
