"""Errands: what needs the network in the course of a flow, written with the decision, run after the commit, retried.

An errand's result comes back as a command; the transaction of that command deletes the errand. So it has its effect
once, whatever dies in between, although the function itself may run more than once.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import telemetry
from chassis.database import TEXTS, UUIDS, Statement, is_weather, name_of, transaction
from chassis.transitions import Errand, Step

log = logging.getLogger(__name__)

AT_ONCE = 16  # errands of one service under way at the same time
LEASE_SECONDS = 30  # longest an errand may run; after that another replica may take it up
BACKOFF_SECONDS_MAX = 60.0
POLL_SECONDS = 5.0  # when nobody wakes us; the service itself looks every second


class Again(Exception):
    """Not now: the errand is tried again with back-off. `reason` is a code, shown to operators.

    `seconds`: until then, where the function knows better, for example because each try costs somebody else something.
    `learned`: ids and codes, added to what the errand is about: the next try begins with them.
    """

    def __init__(
        self, reason: str, *, seconds: float | None = None, learned: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(reason)
        self.reason, self.seconds, self.learned = reason, seconds, learned


@dataclass(frozen=True, slots=True)
class ErrandCall:
    """What an errand's function gets: whose errand, what about, the how-manieth try, and the service's resources."""

    subject: UUID
    about: Mapping[str, str]
    attempt: int
    resources: Any


ErrandFunction = Callable[[ErrandCall], Awaitable[Step | None]]
Steps = Sequence[Step | None]


@dataclass(frozen=True, slots=True)
class Together:
    """An errand that asks for many at once: one call of `run` for all that wait, a step (or None) for each, in order.

    What `run` raises counts for all of them; where only one of several fails for a reason that is not `Again`, each is
    tried alone, so that it cannot hold up its neighbours.
    """

    run: Callable[[Sequence[ErrandCall]], Awaitable[Steps]]
    at_most: int


Functions = Mapping[str, ErrandFunction | Together]


@dataclass(frozen=True, slots=True)
class Returned:
    """The cause of a work item: this errand has come back with a command."""

    name: str
    subject: UUID
    key: str
    id: UUID


@dataclass(frozen=True, slots=True)
class _Taken:
    cause: Returned
    about: Mapping[str, str]
    attempts: int
    traceparent: str | None


async def change(
    tx: AsyncConnection,
    wanted: Mapping[tuple[str, UUID, str], tuple[Errand, str | None]],
    done: Sequence[Returned],
    ids: Sequence[UUID],
) -> None:
    """Forget the errands that have come back, write the new ones: at most two statements."""
    if done:
        columns = {
            "names": [cause.name for cause in done],
            "subjects": [cause.subject for cause in done],
            "keys": [cause.key for cause in done],
            "ids": [cause.id for cause in done],
        }
        await _FORGET(tx, columns)
    if wanted:
        rows = sorted(wanted.items(), key=lambda item: item[0])
        await _SEND(tx, {
            "names": [name for (name, _, _), _ in rows],
            "subjects": [subject for (_, subject, _), _ in rows],
            "keys": [key for (_, _, key), _ in rows],
            "ids": list(ids)[: len(rows)],
            "abouts": [json.dumps(dict(errand.about)) for _, (errand, _) in rows],
            "traces": [trace for _, (_, trace) in rows],
        })


class TakesIn(Protocol):
    """The executor, as far as errands need it."""

    async def take_in(self, cause: Returned, step: Step | None, traceparent: str | None) -> None:
        """Run what an errand came back with; raises Overloaded, Unavailable, Bug."""
        ...


class Errands:
    """The worker of one service: takes what is due, runs the named functions, gives their commands to the executor."""

    def __init__(
        self,
        engine: AsyncEngine,
        executor: TakesIn,
        functions: Functions,
        resources: Any,
        instance: str = "0",
    ) -> None:
        self._engine, self._executor, self._instance = engine, executor, instance
        self._resources = resources
        self._singly = {name: each for name, each in functions.items() if not isinstance(each, Together)}
        self._together = {name: each for name, each in functions.items() if isinstance(each, Together)}
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._left_over = False
        """Whether some may be due that there was no room for: then one looks when room is made, and not before."""

    def wake(self) -> None:
        """There is something to do: called after a commit that wrote an errand."""
        self._woken.set()

    async def stop(self) -> None:
        """Cancel what is under way; this instance takes it up again at its next start, another one after the lease."""
        tasks = [*self._running, *self._under_way.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def run(self) -> None:
        """Look for errands until cancelled; a service without any has nothing to look for."""
        if not (self._singly or self._together):
            return
        async with transaction(self._engine) as tx:  # what this instance had under way when it died
            await _TAKE_UP_AGAIN(tx, {"instance": self._instance})
        while True:
            try:
                await self._begin()
            except Exception as error:
                if not is_weather(error):
                    raise
                log.warning("errands wait for the database")
            try:
                await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
            except TimeoutError:
                continue
            finally:
                self._woken.clear()

    async def _begin(self) -> None:
        """Take what there is room for: single errands side by side, of those that go together one call at a time."""
        room = AT_ONCE - len(self._running)
        self._left_over = True  # while we look: what ends meanwhile makes room that is not counted here
        singles = await self._take(list(self._singly), room)
        left_over = len(singles) == room
        for taken in singles:
            task = asyncio.create_task(self._run(taken))
            self._running.add(task)
            task.add_done_callback(self._ended)
        for name, errand in self._together.items():
            if name in self._under_way:
                left_over = True
                continue
            several = await self._take([name], errand.at_most)
            left_over = left_over or len(several) == errand.at_most
            if several:
                together = asyncio.create_task(self._run_together(name, errand, several))
                self._under_way[name] = together
                together.add_done_callback(partial(self._ended_together, name))
        self._left_over = left_over

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._room_made()

    def _ended_together(self, name: str, _: asyncio.Task[None]) -> None:
        del self._under_way[name]
        self._room_made()

    def _room_made(self) -> None:
        if self._left_over:
            self._woken.set()

    async def _take(self, names: Sequence[str], room: int) -> list[_Taken]:
        if room <= 0 or not names:
            return []
        async with transaction(self._engine) as tx:
            asked = {"room": room, "lease": LEASE_SECONDS, "instance": self._instance, "names": names}
            rows = await _TAKE(tx, asked)
        return [
            _Taken(Returned(row.name, row.subject, row.key, row.id), row.about, row.attempts, row.traceparent)
            for row in rows
        ]

    async def _run(self, taken: _Taken) -> None:
        cause = taken.cause
        call = ErrandCall(cause.subject, taken.about, taken.attempts, self._resources)
        try:
            with telemetry.errand(cause.name, taken.traceparent) as traced:
                async with asyncio.timeout(LEASE_SECONDS - 5):
                    step = await self._alone(cause.name, call)
                await self._executor.take_in(cause, step, traced.traceparent)
        except Again as again:
            await self._put_off(taken, again)
        except Exception as error:  # whatever it meets must not end the worker; it is shown, tried slowly
            weather = is_weather(error)
            if not weather:
                log.exception("errand failed", extra={"errand": cause.name, "error_class": type(error).__name__})
            seconds = _backoff(taken.attempts) if weather else BACKOFF_SECONDS_MAX
            await self._postpone(taken, name_of(error), seconds)

    async def _alone(self, name: str, call: ErrandCall) -> Step | None:
        if name in self._singly:
            return await self._singly[name](call)
        (step,) = await self._together[name].run([call])
        return step

    async def _run_together(self, name: str, errand: Together, several: Sequence[_Taken]) -> None:
        calls = [ErrandCall(each.cause.subject, each.about, each.attempts, self._resources) for each in several]
        try:
            with telemetry.errand(name, several[0].traceparent):
                async with asyncio.timeout(LEASE_SECONDS - 5):
                    steps = await errand.run(calls)
        except Again as again:
            for taken in several:
                await self._put_off(taken, again)
            return
        except Exception as error:  # noqa: BLE001  # one of them is at fault, and alone we see which
            told = {"errand": name, "count": len(several), "error_class": type(error).__name__}
            log.warning("errands fail together, each is tried alone", extra=told)
            for taken in several:
                await self._run(taken)
            return
        pairs = zip(several, steps, strict=True)
        await asyncio.gather(*(self._returned(taken, step) for taken, step in pairs))

    async def _returned(self, taken: _Taken, step: Step | None) -> None:
        """Give one command of several to the executor; its trace goes on from what led to the errand."""
        cause = taken.cause
        try:
            with telemetry.errand(cause.name, taken.traceparent) as traced:
                await self._executor.take_in(cause, step, traced.traceparent)
        except Exception as error:  # as in `_run`
            if not is_weather(error):
                log.exception("errand failed", extra={"errand": cause.name, "error_class": type(error).__name__})
            await self._postpone(taken, name_of(error), _backoff(taken.attempts))

    async def _put_off(self, taken: _Taken, again: Again) -> None:
        seconds = _backoff(taken.attempts) if again.seconds is None else again.seconds
        await self._postpone(taken, again.reason, seconds, again.learned)

    async def _postpone(
        self, taken: _Taken, word: str, seconds: float, learned: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        spread = seconds * random.uniform(0.8, 1.2)  # noqa: S311  # spreads retries, keeps no secret
        try:
            async with transaction(self._engine) as tx:
                about = json.dumps(dict(learned))
                which = {"name": taken.cause.name, "subject": taken.cause.subject, "key": taken.cause.key}
                await _POSTPONE(tx, which | {"id": taken.cause.id, "word": word, "seconds": spread, "learned": about})
        except Exception as error:
            if not is_weather(error):
                raise
            log.warning("errand keeps its lease: the database is away")


def _backoff(attempts: int) -> float:
    """Seconds before the next try: 1, 2, 4 … up to a minute."""
    return min(2.0 ** min(attempts - 1, 10), BACKOFF_SECONDS_MAX)


_FORGET = Statement("""
    DELETE FROM errand USING unnest(:names, :subjects, :keys, :ids) AS done (name, subject, key, id)
    WHERE errand.name = done.name AND errand.subject = done.subject AND errand.key = done.key AND errand.id = done.id
""", names=TEXTS, subjects=UUIDS, keys=TEXTS, ids=UUIDS)

_SEND = Statement("""
    INSERT INTO errand (name, subject, key, id, about, traceparent)
    SELECT name, subject, key, id, about::jsonb, trace
    FROM unnest(:names, :subjects, :keys, :ids, :abouts, :traces) AS new (name, subject, key, id, about, trace)
    ORDER BY name, subject, key
    ON CONFLICT (name, subject, key) DO UPDATE
    SET id = excluded.id, about = excluded.about, attempts = 0, last_word = NULL, next_at = clock_timestamp(),
        sent_at = clock_timestamp(), traceparent = excluded.traceparent
""", names=TEXTS, subjects=UUIDS, keys=TEXTS, ids=UUIDS, abouts=TEXTS, traces=TEXTS)

_TAKE = Statement("""
    UPDATE errand
    SET attempts = attempts + 1, taken_by = :instance, next_at = clock_timestamp() + make_interval(secs => :lease)
    WHERE (name, subject, key) IN (
        SELECT name, subject, key FROM errand WHERE next_at <= statement_timestamp() AND name = ANY(:names)
        ORDER BY next_at LIMIT :room FOR UPDATE SKIP LOCKED
    )
    RETURNING name, subject, key, id, about, attempts, traceparent
""", names=TEXTS)

_TAKE_UP_AGAIN = Statement("UPDATE errand SET taken_by = NULL, next_at = clock_timestamp() WHERE taken_by = :instance")

_POSTPONE = Statement("""
    UPDATE errand
    SET last_word = :word, taken_by = NULL, next_at = clock_timestamp() + make_interval(secs => :seconds),
        about = about || CAST(:learned AS jsonb)
    WHERE name = :name AND subject = :subject AND key = :key AND id = :id
""")
