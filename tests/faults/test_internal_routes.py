"""Lines inside an agency's node: own consent cannot ask own intake or own handover."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import product

import pytest

from deploy.embedded.ports import remembered
from services.consent.door.neighbours import ANSWER_SECONDS
from tests.crash.points import A
from tests.faults.claim import DOOR, Said, refused
from tests.faults.line import Line, Way
from tests.faults.town import Town

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

SISTERS = ("handover", "intake")  # in the order in which the door asks them
FAULT_SECONDS = 10.0
QUESTIONS = 5
LONGEST_SECONDS = len(SISTERS) * ANSWER_SECONDS  # the door asks each once, and waits no longer for it


async def test_a_door_that_cannot_ask_its_sisters_says_so_soon_and_goes_on_by_itself(town: Town) -> None:
    """Each line silent, then one-way: no caller of a command notices, whoever stands at the door is told to come back.

    Proposals and dossiers wait meanwhile as errands, and go on when the line is whole.
    """
    said: list[Said] = []
    figures = []
    async with _over_lines(town) as lines, town.under_load() as load:
        for name, way in product(SISTERS, (Way.SILENT, Way.ONE_WAY)):
            fetched, proposed = town.tale(), town.tale()
            await fetched.begun()
            await fetched.receiver_is("requested")
            lines[name].way = way
            try:
                await fetched.act(fetched.receiver, "acceptance")
                await fetched.sender_is("accepted")
                here = [await refused(town, fetched.handover) for _ in range(QUESTIONS)]
                await proposed.begun()
                await asyncio.sleep(FAULT_SECONDS)  # the length of the fault
            finally:
                lines[name].way = Way.WHOLE
            whole_at = time.monotonic()
            await asyncio.gather(fetched.dossier_is("stored"), proposed.receiver_is("requested"))
            gone_on = time.monotonic() - whole_at
            said += here
            longest = max(each.seconds for each in here)
            figures.append(f"{name} {way.name.lower()}: 503 after {longest:.1f} s, goes on {gone_on:.1f} s after it")
        await load.goes_on(20)
        met = {name: line.met for name, line in lines.items()}
    broken = await town.judged()
    town.tell("lines inside a node", load, *figures)
    assert {(each.status, each.reason, each.comes_again) for each in said} == {(503, "unreachable", True)}
    assert max(each.seconds for each in said) < LONGEST_SECONDS
    assert all(met.values()), "nobody asked over a line: this has shown nothing"
    assert load.seen.errors == []
    assert broken == []


@asynccontextmanager
async def _over_lines(town: Town) -> AsyncIterator[Mapping[str, Line]]:
    """Own consent asks its sisters over lines of ours; afterwards directly, as everybody does."""
    ports = remembered(town.system.data / "internal_lines.json", SISTERS)
    lines = {name: Line(("127.0.0.1", town.installation.ports[f"{A}.{name}"])) for name in SISTERS}
    async with AsyncExitStack() as running:
        for name, line in lines.items():
            await running.enter_async_context(line.running(ports[name]))
        await town.begin_anew(
            DOOR, {f"STAFFEL_{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()}
        )
        try:
            yield lines
        finally:
            await town.begin_anew(DOOR)
