"""Errands: those that go together hold each other up in nothing, and one that failed knows the next time why."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from chassis import errands
from chassis.database import transaction
from chassis.errands import Again, ErrandCall, ErrandFunction, Errands, Returned, Together
from chassis.transitions import Errand, Step
from contracts.new_ids import new_id

NAME = "count"
LEFT = "SELECT last_word, extract(epoch FROM next_at - clock_timestamp()) AS seconds FROM errand"


@dataclass
class Executor:
    """Takes in what errands come back with, as the executor's transaction would."""

    database: AsyncEngine
    wanted: int
    done: asyncio.Event = field(default_factory=asyncio.Event)
    taken: list[UUID] = field(default_factory=list)

    async def take_in(self, cause: Returned, step: Step | None, traceparent: str | None) -> None:  # noqa: ARG002  # the executor's form
        assert step is not None
        assert step.subject == cause.subject
        async with transaction(self.database) as tx:
            await errands.change(tx, {}, [cause], [])
        self.taken.append(cause.subject)
        if len(self.taken) == self.wanted:
            self.done.set()


async def sent(database: AsyncEngine, count: int) -> list[UUID]:
    subjects = [new_id() for _ in range(count)]
    wanted = {(NAME, subject, ""): (Errand(NAME, {"a": "b"}), None) for subject in subjects}
    async with transaction(database) as tx:
        await errands.change(tx, wanted, [], [new_id() for _ in subjects])
    return subjects


@asynccontextmanager
async def worker(
    database: AsyncEngine, executor: Executor, errand: Together | ErrandFunction
) -> AsyncIterator[None]:
    running = Errands(database, executor, {NAME: errand}, None)
    task = asyncio.create_task(running.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await running.stop()


def steps(calls: Sequence[ErrandCall]) -> list[Step | None]:
    return [Step("thing", call.subject, "counted") for call in calls]


async def test_what_waits_goes_together_in_as_few_calls_as_its_limit_allows(database: AsyncEngine) -> None:
    asked: list[int] = []

    async def count(calls: Sequence[ErrandCall]) -> Sequence[Step | None]:
        asked.append(len(calls))
        return steps(calls)

    subjects = await sent(database, 25)
    executor = Executor(database, 25)
    async with worker(database, executor, Together(count, 10)):
        await executor.done.wait()
    assert asked == [10, 10, 5]
    assert sorted(executor.taken) == sorted(subjects)


async def left(database: AsyncEngine) -> list[tuple[UUID, str | None]]:
    """The errands that still wait, with the last word of each."""
    async with database.connect() as tx:
        return [tuple(row) for row in await tx.execute(sa.text("SELECT subject, last_word FROM errand"))]


async def test_one_that_is_at_fault_is_found_alone_and_holds_up_nobody(database: AsyncEngine) -> None:
    subjects = await sent(database, 5)

    async def count(calls: Sequence[ErrandCall]) -> Sequence[Step | None]:
        if any(call.subject == subjects[2] for call in calls):
            raise ZeroDivisionError
        return steps(calls)

    executor = Executor(database, 4)
    async with worker(database, executor, Together(count, 10)):
        await executor.done.wait()
        async with asyncio.timeout(10):
            while await left(database) != [(subjects[2], "ZeroDivisionError")]:  # noqa: ASYNC110  # its turn may come last
                await asyncio.sleep(0.01)
    assert sorted(executor.taken) == sorted(set(subjects) - {subjects[2]})


async def test_all_that_cannot_go_now_are_tried_again(database: AsyncEngine) -> None:
    tries: list[set[UUID]] = []

    async def count(calls: Sequence[ErrandCall]) -> Sequence[Step | None]:
        tries.append({call.subject for call in calls})
        if len(tries) == 1:
            raise Again("not_now")
        return steps(calls)

    subjects = await sent(database, 3)
    executor = Executor(database, 3)
    async with worker(database, executor, Together(count, 10)):
        await executor.done.wait()
    assert tries[0] == set(subjects)
    assert set().union(*tries[1:]) == set(subjects)


async def test_what_a_try_has_learned_is_known_to_the_next_one_and_it_says_when_that_is(database: AsyncEngine) -> None:
    about: list[dict[str, str]] = []

    async def measure(call: ErrandCall) -> Step | None:
        about.append(dict(call.about))
        if len(about) < 3:
            raise Again("too_much", seconds=0.0, learned={"most": str(8 // len(about))})
        return Step("thing", call.subject, "measured")

    await sent(database, 1)
    executor = Executor(database, 1)
    async with worker(database, executor, measure):
        await executor.done.wait()
    assert about == [{"a": "b"}, {"a": "b", "most": "8"}, {"a": "b", "most": "4"}]


async def test_an_errand_may_ask_to_be_tried_seldom(database: AsyncEngine) -> None:
    tried = asyncio.Event()

    async def hopeless(call: ErrandCall) -> Step | None:
        tried.set()
        raise Again("does_not_fit", seconds=3600.0)

    await sent(database, 1)
    async with worker(database, Executor(database, 1), hopeless):
        await tried.wait()
        last_word, seconds = None, 0
        async with asyncio.timeout(10), database.connect() as tx:
            while last_word is None:
                await asyncio.sleep(0.01)
                last_word, seconds = (await tx.execute(sa.text(LEFT))).one()
    assert (last_word, 2800 < seconds < 4400) == ("does_not_fit", True)
