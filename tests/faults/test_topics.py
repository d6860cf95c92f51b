"""Topics lose what was said: records that nobody has heard yet are deleted, and a whole topic is made anew."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from deploy import topics
from deploy.embedded import admin
from deploy.embedded.processes import Server
from deploy.installation import read_alliance
from deploy.story import ALLIANCE
from tests.crash.clients import GivenUpError
from tests.crash.gather import Eyes
from tests.crash.points import A, B
from tests.faults.claim import DOOR, refused
from tests.faults.town import BROKERS, Load, Town
from tests.journeys.records import everything_said
from tests.journeys.restoring import recover
from tests.journeys.retention import trim

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

WRITER, HEARER = f"{A}.handover", f"{B}.handover"
CHANNEL = f"{ALLIANCE}.{A}.to.{B}.handover"
MISSED = "the broker no longer has what comes next"
SENT_AGAIN = re.compile(r"^sent again, with their ids: (\d+)", re.MULTILINE)
UNHEARD = 3  # records that are deleted before they are heard; more may come meanwhile
LOOK_SECONDS = 0.2
SECONDS_MAX = 60.0
MISSING_SECONDS = 5.0  # for which a topic is not there, before somebody makes it anew
HEARD = "SELECT partition, next_offset FROM heard_up_to WHERE topic = :topic"
PUBLISHED = 'SELECT partition, "offset" FROM publication WHERE topic = :topic'

Absence = Callable[[Town], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _frozen(town: Town) -> AsyncIterator[None]:
    """The hearer's process stands still; its place in the group is kept."""
    town.system.servers[HEARER].tell(signal.SIGSTOP)
    try:
        yield
    finally:
        town.system.servers[HEARER].tell(signal.SIGCONT)


@asynccontextmanager
async def _away(town: Town) -> AsyncIterator[None]:
    """The hearer is stopped, and started again."""
    await town.stop(HEARER)
    try:
        yield
    finally:
        town.system.start(*HEARER.split("."))
        await town.system.ready([HEARER])


async def test_records_that_are_deleted_before_they_are_heard_are_read_in_the_writers_feed(town: Town) -> None:
    """Under a consumer that goes on, and before one that comes back: each sees the gap and fills it by itself."""
    absences: tuple[Absence, ...] = (_frozen, _away)
    figures = []
    async with town.under_load() as load:
        for absence in absences:
            async with absence(town):
                await _unheard(town, UNHEARD)
                missed_before = town.log(HEARER).count(MISSED) if absence is _frozen else 0
                deleted = await trim(town.installation, [CHANNEL])
                town.gone += deleted
            began = time.monotonic()
            await _unheard(town, 0)
            seconds = time.monotonic() - began
            figures.append(f"{absence.__name__[1:]}: {len(deleted)} deleted, all heard {seconds:.1f} s after it")
            assert town.log(HEARER).count(MISSED) > missed_before, "nobody has missed anything: this has shown nothing"
            await load.goes_on(30)
    broken = await town.judged()
    town.tell("records deleted before they were heard", load, *figures)
    assert load.seen.bad_manners == []
    assert {each.principal for each in load.seen.errors} <= {HEARER}
    assert broken == []


async def _unheard(town: Town, wanted: int) -> None:
    """Until so many records of the channel wait to be heard, or none does."""
    eyes = Eyes(town.system)
    try:
        async with asyncio.timeout(SECONDS_MAX):
            while True:
                said = await eyes.rows(WRITER, PUBLISHED, topic=CHANNEL)
                heard = {row.partition: row.next_offset for row in await eyes.rows(HEARER, HEARD, topic=CHANNEL)}
                waiting = sum(row.offset >= heard.get(row.partition, 0) for row in said)
                if waiting >= wanted > 0 or waiting == wanted:
                    return
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await eyes.close()


async def test_a_topic_that_is_made_anew_while_its_writer_speaks_shuts_it_until_it_is_mended(town: Town) -> None:
    """The topic is missing for some seconds: what is said waits. Then it is there again, and empty.

    The writer cannot go on under the numbers of what is gone: it ends, and who keeps it running starts it again.
    """
    async with town.under_load() as load:
        tale = town.tale()
        await tale.begun()
        await tale.receiver_is("requested")
        speaks = town.system.servers[WRITER]
        speaks.tell(signal.SIGSTOP)  # nothing comes between what is read and what is deleted
        try:
            lost = await _lost(town, CHANNEL)
        finally:
            speaks.tell(signal.SIGCONT)
        await asyncio.sleep(MISSING_SECONDS)
        await _made(town)
        noticed = await _shut(town, WRITER, speaks)
        said = await refused(town, tale.handover)
        mended = await _mended(town, WRITER, tale.act(tale.sender, "withdrawal"))
        await load.goes_on(30)
    await _judged(town, load, WRITER, lost, noticed, mended)
    assert said[:3] == (503, "unreachable", True), "the door believes nobody who does not know"


async def test_a_topic_of_the_door_that_is_made_anew_while_the_door_is_away_keeps_it_shut(town: Town) -> None:
    """Noticed at the start, before anything is answered."""
    async with town.under_load() as load:
        tale = town.tale()
        await tale.begun()
        await tale.receiver_is("requested")
        spoke = town.system.servers[DOOR]
        await town.stop(DOOR)
        lost = await _lost(town, f"{DOOR}.events")
        await _made(town)
        town.system.start(*DOOR.split("."))
        noticed = await _shut(town, DOOR, spoke)
        said = await refused(town, tale.handover)
        mended = await _mended(town, DOOR, tale.withdraw())
        await load.goes_on(30)
    await _judged(town, load, DOOR, lost, noticed, mended)
    assert said[:3] == (503, "restored", True)


async def _lost(town: Town, topic: str) -> int:
    """Delete it; how many records that were. The judge is given them."""
    lost = [each for each in await everything_said(town.installation) if each.topic == topic]
    town.gone += lost
    with admin.connected(town.installation.bootstrap, town.system.addresses.admin) as kafka:
        await asyncio.to_thread(kafka.delete_topics, [topic])
    return len(lost)


async def _made(town: Town) -> None:
    """As `staffel topics apply` does."""
    files = [read_alliance(file) for file in town.installation.alliances]
    with admin.connected(town.installation.bootstrap, town.system.addresses.admin) as kafka:
        await asyncio.to_thread(lambda: topics.apply(kafka, topics.plan(kafka, files, replication=BROKERS)))


async def _shut(town: Town, principal: str, before: Server) -> float:
    """Seconds until another process of it says that it is shut, and why."""
    began = time.monotonic()

    def shut(answer: httpx.Response) -> bool:
        return town.system.servers[principal] is not before and answer.json().get("because") == "restored"

    await _says(town, principal, shut)
    return time.monotonic() - began


async def _says(town: Town, principal: str, so: Callable[[httpx.Response], bool]) -> None:
    """Until its `/ready` is so; who ends meanwhile is started again, as `staffel up` does."""
    url = f"{town.installation.url(*principal.split('.'))}/ready"
    async with asyncio.timeout(SECONDS_MAX), httpx.AsyncClient(timeout=5.0) as client:
        while True:
            town.system.mend()
            with suppress(httpx.TransportError):
                if so(await client.get(url)):
                    return
            await asyncio.sleep(LOOK_SECONDS)


async def _mended(town: Town, principal: str, command: Coroutine[Any, Any, object]) -> str:
    """What `staffel recover` has done, in how many seconds. A command that is given before is answered after it."""
    asking, began = asyncio.create_task(command), time.monotonic()
    code, said = await recover(town.system, principal, "--apply")
    assert code == 0, said
    assert "found: topic-shorter" in said
    await _says(town, principal, lambda answer: answer.is_success)
    with suppress(GivenUpError):  # a client may, now and then
        await asking
    again = sum(map(int, SENT_AGAIN.findall(said)))
    return f"{again} facts sent again, ready {time.monotonic() - began:.1f} s after recover began"


async def _judged(town: Town, load: Load, principal: str, lost: int, noticed: float, mended: str) -> None:
    broken = await town.judged()
    figures = f"{lost} records lost, shut {noticed:.1f} s after it was there again", mended
    town.tell(f"a topic of {principal} made anew", load, *figures)
    seen = load.seen
    assert {each.principal for each in seen.errors if not each.what.isdigit()} <= {principal}
    assert seen.bad_manners == []
    assert "503 restored" in seen.kinds
    assert broken == []
