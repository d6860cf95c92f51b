"""The one way in: commands and heard events run together, many subjects at once, in one transaction.

    take what is waiting (never wait for more) · causes · load subjects · reserve · decide · write · answer

A refusal, or a bug in a decision, is that item's answer and never fails its neighbours. A database error fails the
batch: it is rolled back and its items run singly, so that one bad row fails alone.
"""
from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import JsonValue
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, TEXT
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from chassis import deadlines, errands, outbox, telemetry
from chassis.database import is_weather
from chassis.deadlines import Due
from chassis.envelope import Record
from chassis.errands import Returned
from chassis.inbox import Fate, Heard, Hearing, LaneKey, Lanes
from chassis.outbox import Addressing, Saying
from chassis.parking import keep_unreadable, parked_in
from chassis.transitions import Arm, Context, Decided, Disarm, Errand, Refused, Reservation, Subject, Tell

log = logging.getLogger(__name__)

BATCH_MAX = 500  # items of one transaction: half of the gain of batching is had at 50, nearly all at 100; above, only latency grows
BATCHES = 3  # transactions side by side: as many as the pool keeps connections
QUEUE_MAX = 2000  # commands that may wait; beyond that a caller is told to come back
TRIES_MAX = 5  # times an item is put back for a lock it could not get
S = TypeVar("S", bound=Subject)
SubjectKey = tuple[str, UUID]


class Trouble(StrEnum):
    """Refusals of the executor itself."""

    STALE_VERSION = "stale-version"
    KEY_REUSED = "key-reused"


class Overloaded(Exception):
    """The queue is full: nothing was done, come back later."""


class Unavailable(Exception):
    """The database is not to be had: whether something was done is unknown, the same key may be sent again."""


class Bug(Exception):
    """A decision or a statement failed in a way that trying again will not mend. Carries an error class, no content."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command on one subject. `expected_version` is the caller's If-Match."""

    kind: str
    subject: UUID
    command: object
    expected_version: int | None = None


def _reserves_nothing(subject: UUID, command: object) -> Sequence[Reservation]:
    return ()


@dataclass(frozen=True)
class Kind(Generic[S]):
    """How one kind of subject is loaded (with locks, in key order), decided (pure), saved and answered for."""

    name: str
    load: Callable[[AsyncConnection, Mapping[UUID, Sequence[object]]], Awaitable[Mapping[UUID, S]]]
    save: Callable[[AsyncConnection, Sequence[tuple[S, S]]], Awaitable[None]]
    decide: Callable[[S, Any, Context], Decided[S] | Refused]
    answer: Callable[[S], Mapping[str, JsonValue]]
    reserves: Callable[[UUID, object], Sequence[Reservation]] = _reserves_nothing


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command's caller gets; kept under its Idempotency-Key unless it says "later" (Retry-After) or is a 5xx.

    `committed_at` is a time at or after the commit that this answer speaks of.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    committed_at: datetime | None = None
    replayed: bool = False

    @property
    def kept(self) -> bool:
        return self.status < 500 and all(name.lower() != "retry-after" for name, _ in self.headers)


@dataclass(frozen=True, slots=True)
class Asked:
    """The cause of a command over HTTP: who, under which Idempotency-Key, with which body (as an HMAC)."""

    principal: str
    key: str
    fingerprint: bytes
    render: Callable[[Mapping[str, JsonValue] | Refused], Answer]


@dataclass(frozen=True, slots=True)
class Inner:
    """The cause of a command the service gives itself: no one waits for an answer, a repeat must be a row of the table."""

    name: str


Cause = Asked | Heard | Due | Returned | Inner


@dataclass
class Work:
    """A work item: a cause and the commands it becomes; all of them happen, or none."""

    cause: Cause
    steps: Sequence[Step] = ()
    traceparent: str | None = None
    tries: int = 0
    done: asyncio.Future[Answer | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def keys(self) -> Iterable[object]:
        """What must not be in two batches at once."""
        if isinstance(self.cause, Heard):
            yield self.cause.lane
        for step in self.steps:
            yield (step.kind, step.subject)


@dataclass
class _Batch:
    """What has been decided so far, until it is written."""

    now: datetime
    lanes: Lanes
    current: dict[SubjectKey, Any] = field(default_factory=dict)
    loaded: dict[SubjectKey, Any] = field(default_factory=dict)
    held: dict[Reservation, UUID | None] = field(default_factory=dict)
    held_before: dict[Reservation, UUID | None] = field(default_factory=dict)
    freed: list[tuple[Reservation, UUID]] = field(default_factory=list)
    sayings: list[Saying] = field(default_factory=list)
    deadlines: dict[tuple[str, UUID], Arm | Disarm] = field(default_factory=dict)
    errands: dict[tuple[str, UUID, str], tuple[Errand, str | None]] = field(default_factory=dict)
    fired: list[Due] = field(default_factory=list)
    refused_due: list[Due] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[Work, Answer]] = field(default_factory=dict)
    results: dict[int, Answer | None | BaseException] = field(default_factory=dict)


class Executor:
    """Runs work items. One per service process; more processes of a service agree through the database's locks."""

    def __init__(
        self,
        engine: AsyncEngine,
        kinds: Iterable[Kind[Any]],
        *,
        consumer: str,
        source: str,
        hearing: Hearing,
        address: Addressing,
        new_id: Callable[[], UUID],
        seal: bytes,
    ) -> None:
        self._seal = seal  # key under which records that are no events are kept
        self._engine, self._consumer, self._source = engine, consumer, source
        self._kinds = {kind.name: kind for kind in kinds}
        self._hearing, self._address, self._new_id = hearing, address, new_id
        self._commands: deque[Work] = deque()
        self._events: deque[Work] = deque()
        self._busy: set[object] = set()
        self._something = asyncio.Condition()
        self._workers: list[asyncio.Task[None]] = []
        self._stopping = False
        self.after_commit: list[Callable[[], None]] = []
        self.freed_lanes: asyncio.Queue[LaneKey] = asyncio.Queue()

    async def start(self) -> None:
        self._workers = [asyncio.create_task(self._work(), name=f"executor-{n}") for n in range(BATCHES)]

    async def stop(self) -> None:
        """Finish what is waiting, then stop; new work is told to come back."""
        self._stopping = True
        async with self._something:
            self._something.notify_all()
        await asyncio.gather(*self._workers, return_exceptions=True)

    async def run(self, work: Work) -> Answer | None:
        """Run one work item; returns the answer to a command. Raises Overloaded, Unavailable, Bug."""
        heard = isinstance(work.cause, Heard)
        if self._stopping or (not heard and len(self._commands) >= QUEUE_MAX):
            raise Overloaded
        async with self._something:
            (self._events if heard else self._commands).append(work)
            self._something.notify()
        return await work.done

    async def hear(self, records: Sequence[Record]) -> None:
        """Take a batch of records from the broker; returns when what they mean, or that they mean nothing, is durable.

        Raises Unavailable when the database is away: the same records must be given again.
        """
        read = [(record, self._read(record)) for record in records]
        await self._keep_unreadable([record for record, heard in read if heard is None])
        works = [self._heard(heard) for _, heard in read if heard is not None]
        results = await asyncio.gather(*(self.run(work) for work in works), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise Unavailable from result

    def _read(self, record: Record) -> Heard | None:
        try:
            return self._hearing.read(record)
        except Exception as error:  # whatever somebody's bytes do to a parser, they must not stop the records beside them
            log.error("record cannot be read", extra={"topic": record.topic, "error_class": type(error).__name__})
            return None

    def _heard(self, heard: Heard) -> Work:
        if heard.hear is not None and heard.hear.of is not None:
            return Work(heard, (), heard.meta.traceparent)
        return self._stepped(heard, ())

    @staticmethod
    def _stepped(heard: Heard, subjects: tuple[UUID, ...]) -> Work:
        try:
            steps = heard.steps(subjects)
        except Exception as error:  # a bug in a handler parks its event and nothing else
            log.exception("handler failed", extra={"event_type": heard.meta.type})
            return Work(replace(heard, hear=None, event=None, trouble=type(error).__name__), (), heard.meta.traceparent)
        return Work(heard, steps, heard.meta.traceparent)

    async def take_in(self, cause: Returned, step: Step | None, traceparent: str | None) -> None:
        """The result of an errand; without a step the errand is only forgotten."""
        await self.run(Work(cause, () if step is None else (step,), traceparent))

    async def retry_lane(self, topic: str, key: UUID) -> tuple[int, str | None]:
        """Try a held lane again, in order, until the first failure: how many went through, and what stopped it."""
        done = 0
        async with self._engine.connect() as tx:
            waiting = await parked_in(tx, self._consumer, [(topic, key)])
        for parked in waiting:
            heard = self._hearing.read(parked.record, redrive=True)
            if heard is None:
                return done, "unreadable"
            work = self._heard(heard)
            await self.run(work)
            async with self._engine.connect() as tx:
                left = await parked_in(tx, self._consumer, [(topic, key)])
            still = next((row for row in left if row.event_id == parked.event_id), None)
            if still is not None:
                return done, still.error_class
            done += 1
        return done, None

    # --- taking -----------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            async with self._something:
                batch = self._take()
                while not batch:
                    if self._stopping and not self._commands and not self._events:
                        return
                    await self._something.wait()
                    batch = self._take()
            try:
                await self._run_batch(batch)
            finally:
                async with self._something:
                    for work in batch:
                        self._busy.difference_update(work.keys)
                    self._something.notify_all()

    def _take(self) -> list[Work]:
        """Commands first; events get at most half of a batch while commands wait. What is in flight stays where it is."""
        blocked = set(self._busy)
        batch = self._from(self._commands, BATCH_MAX, blocked)
        room = BATCH_MAX - len(batch) if not self._commands else BATCH_MAX // 2
        batch += self._from(self._events, room, blocked)
        for work in batch:
            self._busy.update(work.keys)
        return batch

    @staticmethod
    def _from(queue: deque[Work], room: int, blocked: set[object]) -> list[Work]:
        taken: list[Work] = []
        passed: list[Work] = []
        while queue and len(taken) < room and len(passed) < BATCH_MAX:
            work = queue.popleft()
            keys = set(work.keys)
            if keys & blocked:
                blocked |= keys  # nothing may overtake it
                passed.append(work)
            else:
                taken.append(work)
        queue.extendleft(reversed(passed))
        return taken

    # --- running ----------------------------------------------------------------------------------------------------

    async def _run_batch(self, batch: list[Work]) -> None:
        try:
            results, freed = await self._transaction(batch)
        except Exception as error:  # rolled back: whatever it was, its neighbours get their own transaction
            await self._after_failure(batch, error)
            return
        for hook in self.after_commit:
            hook()
        for lane in freed:
            self.freed_lanes.put_nowait(lane)
        for work in batch:
            _settle(work, results.get(id(work)))

    async def _after_failure(self, batch: list[Work], error: Exception) -> None:
        if len(batch) > 1:
            for work in batch:
                await self._run_batch([work])
            return
        work = batch[0]
        if is_weather(error):
            work.tries += 1
            if getattr(getattr(error, "orig", None), "sqlstate", None) == "55P03" and work.tries < TRIES_MAX:
                await asyncio.sleep(0.05 * work.tries)
                await self._run_batch([work])
                return
            _settle(work, Unavailable())
            return
        log.error("work item failed", exc_info=error, extra={"error_class": type(error).__name__})
        if isinstance(work.cause, Heard) and work.cause.trouble is None:
            trouble = replace(work.cause, hear=None, event=None, trouble=type(error).__name__)
            await self._run_batch([again := Work(trouble, (), work.traceparent)])
            _settle(work, again.done.exception() or again.done.result())
            return
        _settle(work, Bug(type(error).__name__))

    async def _transaction(self, works: list[Work]) -> tuple[dict[int, Answer | None | BaseException], set[LaneKey]]:
        async with self._engine.begin() as tx:
            now: datetime = (await tx.execute(sa.text("SELECT clock_timestamp()"))).scalar_one()
            batch = _Batch(now, Lanes(self._consumer, self._hearing.sources))
            stored = await self._causes(tx, works)
            heard = [work.cause for work in works if isinstance(work.cause, Heard)]
            await batch.lanes.load(tx, heard)
            works_with_steps = await self._resolve(tx, works)
            await self._load(tx, batch, works_with_steps.values())
            await self._reserve(tx, batch, works_with_steps.values())
            live = await deadlines.still_armed(tx, [w.cause for w in works if isinstance(w.cause, Due)])
            live |= await errands.still_wanted(tx, [w.cause for w in works if isinstance(w.cause, Returned)])
            for work in works:
                self._one(batch, work, works_with_steps[id(work)], stored, live)
            await self._write(tx, batch)
        return batch.results, batch.lanes.freed

    async def _resolve(self, tx: AsyncConnection, works: Sequence[Work]) -> dict[int, Work]:
        """Find the subjects of events that do not name them: one query per kind of event."""
        resolved = {id(work): work for work in works}
        asking: dict[int, list[Work]] = defaultdict(list)
        for work in works:
            if isinstance(work.cause, Heard) and work.cause.hear is not None and work.cause.hear.of is not None:
                asking[id(work.cause.hear)].append(work)
        for group in asking.values():
            hear = group[0].cause.hear  # type: ignore[union-attr]  # grouped by being Heard with a hear
            found = await hear.of(tx, [work.cause.meta.subject for work in group])  # type: ignore[union-attr,misc]  # as above
            for work in group:
                cause = work.cause
                assert isinstance(cause, Heard)
                stepped = self._stepped(cause, tuple(found.get(cause.meta.subject, ())))
                resolved[id(work)] = stepped
        return resolved

    async def _causes(self, tx: AsyncConnection, works: Sequence[Work]) -> dict[tuple[str, str], tuple[bytes, Answer]]:
        """Claim the Idempotency-Keys, sorted; what is known comes back with its answer."""
        asked = {(w.cause.principal, w.cause.key): w.cause for w in works if isinstance(w.cause, Asked)}
        if not asked:
            return {}
        causes = sorted(asked)
        parameters = {
            "principals": [principal for principal, _ in causes],
            "keys": [key for _, key in causes],
            "fingerprints": [asked[cause].fingerprint for cause in causes],
        }
        new = {(row.principal, row.key) for row in await tx.execute(_CLAIM, parameters)}
        known = [cause for cause in causes if cause not in new]
        if not known:
            return {}
        rows = await tx.execute(_STORED, {"principals": [p for p, _ in known], "keys": [k for _, k in known]})
        return {(row.principal, row.key): (bytes(row.fingerprint), _stored_answer(row)) for row in rows}

    async def _load(self, tx: AsyncConnection, batch: _Batch, works: Iterable[Work]) -> None:
        wanted: dict[str, dict[UUID, list[object]]] = defaultdict(lambda: defaultdict(list))
        for work in works:
            for step in work.steps:
                wanted[step.kind][step.subject].append(step.command)
        for name in sorted(wanted):
            ids = dict(sorted(wanted[name].items()))
            for subject_id, subject in (await self._kinds[name].load(tx, ids)).items():
                batch.loaded[name, subject_id] = batch.current[name, subject_id] = subject

    async def _reserve(self, tx: AsyncConnection, batch: _Batch, works: Iterable[Work]) -> None:
        wanted: dict[Reservation, UUID] = {}
        for work in works:
            for step in work.steps:
                for reservation in self._kinds[step.kind].reserves(step.subject, step.command):
                    wanted.setdefault(reservation, step.subject)
        if not wanted:
            return
        rows = sorted(wanted.items())
        parameters = {
            "names": [r.name for r, _ in rows], "keys": [r.key for r, _ in rows], "holders": [h for _, h in rows],
        }
        got = {Reservation(row.name, row.key) for row in await tx.execute(_RESERVE, parameters)}
        for row in await tx.execute(_HOLDERS, {"names": parameters["names"], "keys": parameters["keys"]}):
            reservation = Reservation(row.name, row.key)
            batch.held_before[reservation] = row.holder
            batch.held[reservation] = None if reservation in got else row.holder

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _one(
        self,
        batch: _Batch,
        original: Work,
        work: Work,
        stored: Mapping[tuple[str, str], tuple[bytes, Answer]],
        live: set[UUID],
    ) -> None:
        match work.cause:
            case Asked() as cause:
                batch.results[id(original)] = self._one_asked(batch, work, cause, stored)
            case Heard() as cause:
                self._one_heard(batch, work, cause)
            case Due() as cause if cause.id in live:
                fired = self._apply(batch, work, str(cause.id))
                (batch.fired if not isinstance(fired, Refused | Bug) else batch.refused_due).append(cause)
            case Returned() as cause if cause.id in live:
                outcome = self._apply(batch, work, str(cause.id))
                if isinstance(outcome, Bug):
                    batch.results[id(original)] = outcome
                else:
                    batch.returned.append(cause)
            case Inner() as cause:
                outcome = self._apply(batch, work, cause.name)
                if isinstance(outcome, Bug):
                    batch.results[id(original)] = outcome

    def _one_asked(
        self, batch: _Batch, work: Work, cause: Asked, stored: Mapping[tuple[str, str], tuple[bytes, Answer]]
    ) -> Answer | BaseException:
        known = stored.get((cause.principal, cause.key))
        if known is None and (cause.principal, cause.key) in batch.answers:
            first, answer = batch.answers[cause.principal, cause.key]
            assert isinstance(first.cause, Asked)
            known = (first.cause.fingerprint, replace(answer, replayed=True))
        if known is not None:
            fingerprint, answer = known
            return answer if fingerprint == cause.fingerprint else cause.render(Refused(Trouble.KEY_REUSED))
        outcome = self._apply(batch, work, None)
        if isinstance(outcome, Bug):
            batch.answers[cause.principal, cause.key] = (work, Answer(500, b""))
            return outcome
        if isinstance(outcome, Refused):
            answer = cause.render(outcome)
        else:
            last = work.steps[-1]
            answer = cause.render(self._kinds[last.kind].answer(batch.current[last.kind, last.subject]))
        answer = replace(answer, committed_at=batch.now)
        batch.answers[cause.principal, cause.key] = (work, answer)
        return answer

    def _one_heard(self, batch: _Batch, work: Work, heard: Heard) -> None:
        fate, error_class = batch.lanes.judge(heard)
        if fate is Fate.PARK:
            _alarm(heard, error_class, error_class)
            batch.lanes.park(heard, error_class, error_class)
        elif fate is Fate.KNOWN:
            batch.lanes.known(heard)
        elif fate is Fate.PASS_BY:
            batch.lanes.passed_by(heard)
        else:
            outcome = self._apply(batch, work, str(heard.meta.id))
            if isinstance(outcome, Refused):
                _alarm(heard, "refused", outcome.reason)
                batch.lanes.park(heard, "refused", str(outcome.reason))
            elif isinstance(outcome, Bug):
                _alarm(heard, str(outcome), "bug")
                batch.lanes.park(heard, str(outcome), "bug")
            else:
                batch.lanes.applied(heard, (step.subject for step in work.steps))

    def _apply(self, batch: _Batch, work: Work, cause: str | None) -> Refused | Bug | None:
        """Decide all steps of one item on the batch's present state; keep what they do only if all say yes."""
        after: dict[SubjectKey, Any] = {}
        held = dict(batch.held)
        decided: list[tuple[Step, Decided[Any]]] = []
        try:
            with self._processed(work):
                for step in work.steps:
                    outcome = self._decide(batch, step, after, held)
                    if isinstance(outcome, Refused):
                        return outcome
                    decided.append((step, outcome))
                sayings = [self._saying(work, tell, cause) for _, outcome in decided for tell in outcome.tells]
        except Exception as error:  # a bug in a decision is that item's answer, and never its neighbours'
            log.exception("decision failed", extra={"error_class": type(error).__name__})
            return Bug(type(error).__name__)
        batch.current.update(after)
        batch.held = held
        batch.sayings += sayings
        trace = sayings[-1].traceparent if sayings else work.traceparent
        for step, outcome in decided:
            self._keep(batch, step.subject, outcome, trace)
        return None

    def _decide(
        self, batch: _Batch, step: Step, after: dict[SubjectKey, Any], held: dict[Reservation, UUID | None]
    ) -> Decided[Any] | Refused:
        kind, key = self._kinds[step.kind], (step.kind, step.subject)
        before = after.get(key, batch.current[key])
        if step.expected_version is not None and step.expected_version != before.version:
            return Refused(Trouble.STALE_VERSION, before.state)
        wanted = kind.reserves(step.subject, step.command)
        granted = frozenset(r for r in wanted if held.get(r) in (None, step.subject))
        outcome = kind.decide(before, step.command, Context(batch.now, granted))
        if isinstance(outcome, Refused):
            return outcome
        if outcome.subject is not before and outcome.subject != before:
            outcome = replace(outcome, subject=replace(outcome.subject, version=before.version + 1))
        after[key] = outcome.subject
        held.update(dict.fromkeys(granted, step.subject))
        for reservation in outcome.frees:
            if held.get(reservation) == step.subject:
                held[reservation] = None
        return outcome

    def _processed(self, work: Work) -> AbstractContextManager[object]:
        """The `process` span of a heard event, a child of the span that created it; other causes have their own span."""
        if not isinstance(work.cause, Heard):
            return nullcontext()
        meta = work.cause.meta
        return telemetry.process(meta.topic, meta.type, meta.traceparent, group=self._consumer)

    def _saying(self, work: Work, tell: Tell, cause: str | None) -> Saying:
        address = self._address(tell.fact, tell.to, tell.scope)
        parent = None if isinstance(work.cause, Heard) else work.traceparent
        return Saying(tell.fact, address, telemetry.create(address.topic, tell.fact.type, parent), cause)

    @staticmethod
    def _keep(batch: _Batch, subject: UUID, outcome: Decided[Any], trace: str | None) -> None:
        for deadline in outcome.deadlines:
            batch.deadlines[deadline.kind, subject] = deadline
        for errand in outcome.errands:
            batch.errands[errand.name, subject, errand.key] = (errand, trace)
        batch.freed += [(reservation, subject) for reservation in outcome.frees]

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _write(self, tx: AsyncConnection, batch: _Batch) -> None:
        changed: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        for (kind, subject_id), after in sorted(batch.current.items(), key=lambda item: item[0]):
            before = batch.loaded[kind, subject_id]
            if after is not before and after != before:
                changed[kind].append((before, after))
        for kind, pairs in changed.items():
            await self._kinds[kind].save(tx, pairs)
        await self._write_reservations(tx, batch)
        await outbox.say(tx, batch.sayings, source=self._source, now=batch.now, new_id=self._new_id)
        ids = [self._new_id() for _ in range(len(batch.deadlines) + len(batch.errands))]
        await deadlines.change(tx, batch.deadlines, batch.fired, ids[: len(batch.deadlines)])
        for cause in batch.refused_due:
            await deadlines.postpone(tx, cause)
        await errands.change(tx, batch.errands, batch.returned, ids[len(batch.deadlines) :])
        await batch.lanes.write(tx, batch.now)
        await self._write_answers(tx, batch)

    @staticmethod
    async def _write_reservations(tx: AsyncConnection, batch: _Batch) -> None:
        gone = {(r, h) for r, h in batch.freed if r not in batch.held}
        gone |= {(r, h) for r, h in batch.held_before.items() if h is not None and batch.held[r] != h}
        if gone:
            rows = sorted(gone)
            await tx.execute(_FREE, {
                "names": [r.name for r, _ in rows], "keys": [r.key for r, _ in rows], "holders": [h for _, h in rows],
            })
        moved = sorted((r, h) for r, h in batch.held.items() if h is not None and batch.held_before.get(r) != h)
        if moved:
            await tx.execute(_RESERVE, {
                "names": [r.name for r, _ in moved], "keys": [r.key for r, _ in moved], "holders": [h for _, h in moved],
            })

    @staticmethod
    async def _write_answers(tx: AsyncConnection, batch: _Batch) -> None:
        if not batch.answers:
            return
        kept = sorted((cause, answer) for cause, (_, answer) in batch.answers.items() if answer.kept)
        dropped = sorted(cause for cause, (_, answer) in batch.answers.items() if not answer.kept)
        if kept:
            await tx.execute(_KEEP, {
                "principals": [p for (p, _), _ in kept],
                "keys": [k for (_, k), _ in kept],
                "statuses": [answer.status for _, answer in kept],
                "headers": [json.dumps(answer.headers) for _, answer in kept],
                "bodies": [answer.body for _, answer in kept],
            })
        if dropped:
            await tx.execute(_DROP, {"principals": [p for p, _ in dropped], "keys": [k for _, k in dropped]})

    async def _keep_unreadable(self, records: Sequence[Record]) -> None:
        if not records:
            return
        try:
            async with self._engine.begin() as tx:
                await keep_unreadable(tx, self._consumer, records, self._seal)
        except Exception as error:
            if is_weather(error):
                raise Unavailable from error
            raise


def _settle(work: Work, result: Answer | None | BaseException) -> None:
    if work.done.done():
        return  # its caller has gone
    if isinstance(result, BaseException):
        work.done.set_exception(result)
    else:
        work.done.set_result(result)


def _alarm(heard: Heard, error_class: str, reason: str) -> None:
    log.error("event parked", extra={
        "event_id": str(heard.meta.id), "event_type": heard.meta.type, "topic": heard.meta.topic,
        "seq": heard.meta.seq, "error_class": error_class, "reason": str(reason),
    })


def _stored_answer(row: Any) -> Answer:
    headers = tuple((name, value) for name, value in row.headers)
    return Answer(row.status, bytes(row.body), headers, datetime.now(UTC), replayed=True)


_TEXTS, _UUIDS, _BYTES = ARRAY(TEXT), ARRAY(PG_UUID(as_uuid=True)), ARRAY(BYTEA)

_CLAIM = sa.text("""
    INSERT INTO answer (principal, key, fingerprint)
    SELECT principal, key, fingerprint FROM unnest(:principals, :keys, :fingerprints) AS new (principal, key, fingerprint)
    ORDER BY principal, key
    ON CONFLICT DO NOTHING RETURNING principal, key
""").bindparams(
    sa.bindparam("principals", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS), sa.bindparam("fingerprints", type_=_BYTES)
)

_STORED = sa.text("""
    SELECT principal, key, fingerprint, status, headers, body FROM answer
    WHERE (principal, key) IN (SELECT * FROM unnest(:principals, :keys))
""").bindparams(sa.bindparam("principals", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS))

_KEEP = sa.text("""
    UPDATE answer SET status = new.status, headers = new.headers::jsonb, body = new.body, answered_at = clock_timestamp()
    FROM unnest(:principals, :keys, :statuses, :headers, :bodies) AS new (principal, key, status, headers, body)
    WHERE answer.principal = new.principal AND answer.key = new.key
""").bindparams(
    sa.bindparam("principals", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS),
    sa.bindparam("statuses", type_=ARRAY(sa.Integer)), sa.bindparam("headers", type_=_TEXTS),
    sa.bindparam("bodies", type_=_BYTES),
)

_DROP = sa.text(
    "DELETE FROM answer WHERE (principal, key) IN (SELECT * FROM unnest(:principals, :keys))"
).bindparams(sa.bindparam("principals", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS))

_RESERVE = sa.text("""
    INSERT INTO reservation (name, key, holder)
    SELECT name, key, holder FROM unnest(:names, :keys, :holders) AS new (name, key, holder) ORDER BY name, key
    ON CONFLICT DO NOTHING RETURNING name, key
""").bindparams(
    sa.bindparam("names", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS), sa.bindparam("holders", type_=_UUIDS)
)

_HOLDERS = sa.text("""
    SELECT name, key, holder FROM reservation WHERE (name, key) IN (SELECT * FROM unnest(:names, :keys))
    ORDER BY name, key FOR UPDATE
""").bindparams(sa.bindparam("names", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS))

_FREE = sa.text("""
    DELETE FROM reservation USING unnest(:names, :keys, :holders) AS gone (name, key, holder)
    WHERE reservation.name = gone.name AND reservation.key = gone.key AND reservation.holder = gone.holder
""").bindparams(
    sa.bindparam("names", type_=_TEXTS), sa.bindparam("keys", type_=_TEXTS), sa.bindparam("holders", type_=_UUIDS)
)
