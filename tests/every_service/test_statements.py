"""A batch costs as many statements as one: nothing loops over rows where the database could do it at once."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis.database import engine
from chassis.executor import Answer, Executor, Work
from chassis.service import app_of, executor_of
from contracts.handover import HandoverCompleted, HandoverResumed
from contracts.offers import OfferPublished
from tests.counted import counted
from tests.every_service import scenes
from tests.every_service.anatomy import SERVICES
from tests.every_service.running import SECRET, Running, always, over_http
from tests.every_service.scenes import Act, Asks, Hears, Scene, Story

MANY = 40  # a statement per row is then seen beyond doubt, and a test takes two seconds
STORIES: Mapping[str, Sequence[Scene]] = {
    "intake": (
        (*scenes.RESTING, Asks("resume"), Asks("close"), Asks("reopen")),
        (*scenes.REGISTERED, *map(Asks, ("record_need", "add_items", "override_phase", "record_school_facts"))),
        scenes.ANNOUNCED,
    ),
    "consent": (
        (*scenes.TRANSMISSION, Asks("withdraw")),
        (*scenes.TRANSMISSION, Asks("restrict", "restriction"), Asks("lift"), Asks("note_insight")),
        (*scenes.WAIVED, Asks("withdraw_waiver")),
        scenes.OWING,
    ),
    "handover": (
        (*scenes.MET_RESTING, Hears(HandoverResumed), Hears(HandoverCompleted)),
        (*scenes.TO_US_RESTING, Asks("resume"), Asks("complete")),
        (*scenes.INQUIRED, Asks("answer"), Asks("withdraw")),
    ),
    "offers": ((*scenes.SUSPENDED, Asks("resume"), Asks("retire")), (Hears(OfferPublished),)),
}


class Turn:
    """Stands for whichever executor has its turn, so that one application serves them all."""

    of: Executor

    async def run(self, work: Work) -> Answer | None:
        return await self.of.run(work)


@dataclass
class Counting:
    """A service of which every statement of an executor is counted."""

    running: Running
    database: AsyncEngine
    turn: Turn
    statements: list[str]


@asynccontextmanager
async def counting(running: Running) -> AsyncIterator[Counting]:
    """Beside the service itself: an application, and a way to its database, that executors take in turn."""
    turn, database = Turn(), engine(running.service.settings.database)
    app = app_of(running.service, running.engine, cast("Executor", turn), running.resources, SECRET, always)
    async with over_http(app) as client:
        yield Counting(replace(running, client=client), database, turn, counted(database))
    await database.dispose()


async def in_one_batch(counting: Counting, stories: Sequence[Story], act: Act) -> list[str]:
    """The statements of the executor when all these stories ask for the same at the same time."""
    executor = executor_of(counting.running.service, counting.database, SECRET)
    counting.turn.of = executor
    there = replace(counting.running, executor=executor)
    asked = [asyncio.ensure_future(replace(story, running=there).do(act)) for story in stories]
    waiting = (executor._commands, executor._events)
    while sum(map(len, waiting)) < len(stories) and not any(one.done() for one in asked):  # noqa: ASYNC110  # nobody tells
        await asyncio.sleep(0.005)
    counting.statements.clear()
    await executor.start()
    await asyncio.gather(*asked)
    await executor.stop()
    return list(counting.statements)


@pytest.mark.parametrize(
    ("name", "scene"),
    [pytest.param(name, scene, id=f"{name}-{n}") for name in SERVICES for n, scene in enumerate(STORIES[name])],
)
async def test_many_at_once_cost_as_many_statements_as_one(
    services: Mapping[str, Running], name: str, scene: Scene
) -> None:
    one, many = [Story(services[name])], [Story(services[name]) for _ in range(MANY)]
    async with counting(services[name]) as there:
        for act in scene:
            few = await in_one_batch(there, one, act)
            found = await in_one_batch(there, many, act)
            assert 0 < len(found) <= 1.5 * len(few), (act, Counter(found) - Counter(few))
