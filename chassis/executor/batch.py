"""One transaction of many items: loads everything they need, decides in memory, writes everything set-based."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import deadlines, errands, metrics, outbox, telemetry
from chassis.brake import Pulled
from chassis.crashpoints import reached
from chassis.deadlines import Due
from chassis.errands import Returned
from chassis.executor import answers, positions, reservations
from chassis.executor.answers import CauseKey
from chassis.executor.looking import look
from chassis.executor.positions import Delivery
from chassis.executor.work import Answer, Asked, Bug, Inner, Kind, Trouble, Work
from chassis.inbox import Fate, Heard, Lanes, Source
from chassis.outbox import Addressing, Saying
from chassis.parking import LaneKey
from chassis.parking import Trouble as Parking
from chassis.telemetry import Traced
from chassis.transitions import Arm, Context, Decided, Disarm, Errand, Refused, Reservation, Step, Tell

log = logging.getLogger(__name__)

SubjectKey = tuple[str, UUID]
Result = Answer | BaseException | None
Outcome = Refused | Bug | None
"""Of one item: refused, failed, or (None) all its steps decided."""


@dataclass(frozen=True)
class Desk:
    """What every batch of a service works with."""

    kinds: Mapping[str, Kind[Any]]
    consumer: str
    source: str
    sources: Mapping[str, Source]
    address: Addressing
    new_id: Callable[[], UUID]


def stepped(heard: Heard, subjects: tuple[UUID, ...] = ()) -> Work:
    """The commands an event becomes. A bug in its handler parks this event and nothing else."""
    try:
        steps = heard.steps(subjects)
    except Exception as error:  # handlers are services' code: whatever they raise is this event's trouble
        log.exception("handler failed", extra={"event_type": heard.meta.type})
        return Work(heard.in_trouble(type(error).__name__), (), heard.meta.traceparent)
    return Work(heard, steps, heard.meta.traceparent)


class Batch:
    """Runs its items in order. `results`, `delivered` and `freed` hold when the transaction has committed."""

    def __init__(self, desk: Desk, tx: AsyncConnection) -> None:
        self._desk, self._tx = desk, tx
        self._now: datetime
        self._began = monotonic()
        self._lanes = Lanes(desk.consumer, desk.sources)
        self._loaded: dict[SubjectKey, Any] = {}
        self._current: dict[SubjectKey, Any] = {}
        self._inside: reservations.Held = {}
        self._held: dict[Reservation, UUID | None] = {}
        self._freed: list[tuple[Reservation, UUID]] = []
        self._sayings: list[Saying] = []
        self._deadlines: dict[tuple[str, UUID], Arm | Disarm] = {}
        self._errands: dict[tuple[str, UUID, str], tuple[Errand, str | None]] = {}
        self._fired: list[Due] = []
        self._postponed: dict[Due, str] = {}
        self._returned: list[Returned] = []
        self._answers: dict[CauseKey, tuple[bytes, Answer]] = {}
        self.results: dict[int, Result] = {}
        self.delivered: list[Delivery] = []
        self.found_gap = False
        self.deferred: list[Work] = []
        """Items for the next transaction: this one makes, before their turn, what they could not find yet."""

    @property
    def pulled(self) -> Pulled | None:
        """The brake, where this batch has parked one lane too many."""
        return self._lanes.pulled

    @property
    def freed(self) -> set[LaneKey]:
        """Held lanes whose next event can be tried now: what was missing before it has come."""
        return self._lanes.freed

    @property
    def parked(self) -> bool:
        """Whether an event of this batch waits for a human now."""
        return self._lanes.parks

    def measure(self) -> None:
        """Say how it went, after the commit: once for all, whatever their number."""
        if not metrics.on() or not self._lanes.tally:
            return
        group, tally = {"messaging.consumer.group.name": self._desk.consumer}, self._lanes.tally
        processed = {**metrics.MESSAGING, **group, "messaging.operation.name": "process"}
        metrics.measured("messaging.process.duration", monotonic() - self._began, processed)
        for name, what in (("inbox.duplicates", "known"), ("sequence.gaps", "gap"), ("sequence.forks", "fork")):
            if tally[what]:
                metrics.measured(name, tally[what], group)
        if self._lanes.oldest_said is not None:
            seconds = (self._now - self._lanes.oldest_said).total_seconds()
            metrics.measured("event.e2e.duration", max(0.0, seconds), group)

    @property
    def says(self) -> bool:
        """Whether there is something for the relay."""
        return bool(self._sayings)

    @property
    def sends(self) -> bool:
        """Whether there are errands to run."""
        return bool(self._errands)

    async def run(self, works: Sequence[Work]) -> None:
        """Causes, load, reserve, decide, write. Whatever the database says is raised; nothing has happened then."""
        tx = self._tx
        stored = await answers.claim(tx, [work.cause for work in works if isinstance(work.cause, Asked)])
        reached("executor.after_causes")
        await self._lanes.lock(tx, [work.cause for work in works if isinstance(work.cause, Heard)])
        works, resolved = self._without_deferred(works, await self._resolve(works))
        self.delivered = positions.completed(work.delivery for work in works)
        await self._load(resolved)
        reached("executor.after_load")
        await self._reserve(resolved)
        seen = await look(tx, self._desk.consumer, [work.cause for work in works])
        await self._lanes.know(tx, seen.known, some_wait=seen.lanes_wait)
        self._now = seen.now
        for original, work in zip(works, resolved, strict=True):
            self.results[id(original)] = self._one(work, stored, seen.live)
        await self._write()
        reached("executor.after_write")

    # --- loading ----------------------------------------------------------------------------------------------------

    async def _resolve(self, works: Sequence[Work]) -> list[Work]:
        """Find the subjects of events that do not name them: one query per kind of event."""
        asking: dict[int, list[Heard]] = defaultdict(list)
        for work in works:
            if isinstance(work.cause, Heard) and work.cause.query is not None:
                asking[id(work.cause.hear)].append(work.cause)
        found: dict[int, Mapping[UUID, Sequence[UUID]]] = {}
        for hear, group in asking.items():
            query = group[0].query
            if query is not None:
                found[hear] = await query(self._tx, [heard.meta.subject for heard in group])
        return [self._resolved(work, found) for work in works]

    @staticmethod
    def _resolved(work: Work, found: Mapping[int, Mapping[UUID, Sequence[UUID]]]) -> Work:
        heard = work.cause
        if not isinstance(heard, Heard) or id(heard.hear) not in found:
            return work
        return stepped(heard, tuple(found[id(heard.hear)].get(heard.meta.subject, ())))

    def _without_deferred(
        self, works: Sequence[Work], resolved: Sequence[Work]
    ) -> tuple[Sequence[Work], Sequence[Work]]:
        """Put off events that found no subject while an item before them works on that very key, and their lanes."""
        worked_on: set[UUID] = set()
        lanes: set[LaneKey] = set()
        now: list[tuple[Work, Work]] = []
        for original, work in zip(works, resolved, strict=True):
            heard = work.cause
            if isinstance(heard, Heard):
                found_nobody = heard.query is not None and not work.steps and heard.meta.subject in worked_on
                if found_nobody or heard.lane in lanes:
                    lanes.add(heard.lane)
                    self.deferred.append(original)
                    continue
            now.append((original, work))
            if work.steps:
                worked_on.update(step.subject for step in work.steps)
                worked_on.update([heard.meta.subject] if isinstance(heard, Heard) else ())
        return [original for original, _ in now], [work for _, work in now]

    async def _load(self, works: Iterable[Work]) -> None:
        wanted: dict[str, dict[UUID, list[object]]] = defaultdict(lambda: defaultdict(list))
        for work in works:
            for step in work.steps:
                wanted[step.kind][step.subject].append(step.command)
        for name in sorted(wanted):
            ids = dict(sorted(wanted[name].items()))
            for subject_id, subject in (await self._desk.kinds[name].load(self._tx, ids)).items():
                self._loaded[name, subject_id] = self._current[name, subject_id] = subject

    async def _reserve(self, works: Iterable[Work]) -> None:
        wanted: dict[Reservation, UUID] = {}
        for work in works:
            for step in work.steps:
                for reservation in self._desk.kinds[step.kind].reserves(step.subject, step.command):
                    wanted.setdefault(reservation, step.subject)
        self._inside, held = await reservations.take(self._tx, wanted)
        self._held = dict(held)

    # --- deciding ---------------------------------------------------------------------------------------------------

    def _one(self, work: Work, stored: Mapping[CauseKey, tuple[bytes, Answer]], live: frozenset[UUID]) -> Result:
        match work.cause:
            case Asked() as asked:
                return self._asked(work, asked, stored)
            case Heard() as heard:
                self._heard(work, heard)
            case Due() as due if due.id in live:
                outcome = self._apply(work, str(due.id))
                if outcome is None:
                    self._fired.append(due)
                else:
                    self._postponed[due] = str(outcome.reason if isinstance(outcome, Refused) else outcome)
            case Returned() as returned if returned.id in live:
                outcome = self._apply(work, str(returned.id))
                if isinstance(outcome, Bug):
                    return outcome
                self._returned.append(returned)
                self._say_if_refused(outcome, returned.name)
            case Inner() as inner:
                outcome = self._apply(work, inner.name)
                self._say_if_refused(outcome, inner.name)
                return outcome if isinstance(outcome, Bug) else None
        return None

    @staticmethod
    def _say_if_refused(outcome: Outcome, name: str) -> None:
        """A no that nobody waits for: the table has no row for something that happens."""
        if isinstance(outcome, Refused):
            log.error("inner command refused", extra={"errand": name, "reason": str(outcome.reason)})

    def _asked(
        self, work: Work, asked: Asked, stored: Mapping[CauseKey, tuple[bytes, Answer]]
    ) -> Answer | BaseException:
        key = (asked.principal, asked.key)
        known = stored.get(key) or self._answers.get(key)
        if known is not None:
            fingerprint, answer = known
            same = fingerprint == asked.fingerprint
            return replace(answer, replayed=True) if same else asked.render(Refused(Trouble.KEY_REUSED))
        outcome = self._apply(work, None)
        if isinstance(outcome, Bug):
            self._answers[key] = (asked.fingerprint, Answer(500, b""))
            return outcome
        answer = asked.render(outcome or self._answer(work))
        self._answers[key] = (asked.fingerprint, answer)
        return answer

    def _answer(self, work: Work) -> Mapping[str, Any]:
        last = work.steps[-1]
        return self._desk.kinds[last.kind].answer(self._current[last.kind, last.subject])

    def _heard(self, work: Work, heard: Heard) -> None:
        fate, error_class = self._lanes.judge(heard, self._now)
        match fate:
            case Fate.PARK:
                with self._processed(heard) as traced:
                    self._park(heard, traced, error_class, error_class)
            case Fate.KNOWN:
                self._lanes.known(heard)
            case Fate.PASSED_BY:
                self._lanes.passed_by(heard)
            case Fate.APPLIED:
                with self._processed(heard) as traced:
                    outcome = self._apply(work, str(heard.meta.id))
                    if isinstance(outcome, Refused):
                        self._park(heard, traced, "refused", str(outcome.reason))
                    elif isinstance(outcome, Bug):
                        self._park(heard, traced, str(outcome), "bug")
                    else:
                        self._lanes.applied(heard, (step.subject for step in work.steps))

    def _park(self, heard: Heard, traced: Traced, error_class: str, reason: str) -> None:
        """Nobody waits for an answer here, so somebody must be called: the first line is what alarms listen for."""
        traced.failed(error_class)
        traced.set("chassis.parked", 1)
        meta = heard.meta
        log.log(
            logging.INFO if heard.redrive else logging.ERROR,
            "event stays parked" if heard.redrive else "event parked",
            extra={
                "event_id": str(meta.id),
                "event_type": meta.type,
                "topic": meta.topic,
                "seq": meta.seq,
                "error_class": error_class,
                "reason": reason,
            },
        )
        self.found_gap = self.found_gap or error_class == "gap"
        self._lanes.park(heard, Parking(error_class, reason, traced.traceparent))

    def _apply(self, work: Work, cause: str | None) -> Outcome:
        """Decide all steps of one item on the present state; keep what they do only if all say yes."""
        after: dict[SubjectKey, Any] = {}
        held = dict(self._held)
        decided: list[tuple[Step, Decided[Any]]] = []
        try:
            for step in work.steps:
                outcome = self._decide(step, after, held)
                if isinstance(outcome, Refused):
                    return outcome
                decided.append((step, outcome))
            sayings = [self._saying(work, tell, cause) for _, outcome in decided for tell in outcome.tells]
        except Exception as error:  # a bug in a decision is that item's answer, and never its neighbours'
            log.exception("decision failed", extra={"error_class": type(error).__name__})
            return Bug(type(error).__name__)
        self._current.update(after)
        self._held = held
        self._sayings += sayings
        trace = sayings[-1].traceparent if sayings else work.traceparent
        for step, outcome in decided:
            self._keep(step.subject, outcome, trace)
        return None

    def _decide(
        self, step: Step, after: dict[SubjectKey, Any], held: dict[Reservation, UUID | None]
    ) -> Decided[Any] | Refused:
        kind, key = self._desk.kinds[step.kind], (step.kind, step.subject)
        before = after.get(key, self._current[key])
        if step.expected_version is not None and step.expected_version != before.version:
            return Refused(Trouble.STALE_VERSION, before.state)
        wanted = kind.reserves(step.subject, step.command)
        granted = frozenset(reservation for reservation in wanted if held.get(reservation) in (None, step.subject))
        outcome = kind.decide(before, step.command, Context(self._now, granted))
        if isinstance(outcome, Refused):
            return outcome
        now = outcome.subject
        after[key] = now if now is before or now == before else replace(now, version=before.version + 1)
        held.update(dict.fromkeys(granted, step.subject))
        held.update({r: None for r in outcome.frees if held.get(r) == step.subject})
        return outcome

    def _processed(self, heard: Heard) -> Traced:
        """The `process` span of a heard event, a child of the span that created it.

        A retry is linked to the first failure; one that somebody has asked for belongs to their request.
        """
        meta, redrive = heard.meta, heard.redrive
        parent, links = meta.traceparent, [] if redrive is None else [redrive.failed_in]
        if redrive is not None and redrive.asked_in is not None:
            parent, links = redrive.asked_in, [meta.traceparent, redrive.failed_in]
        return telemetry.process(meta.topic, meta.type, parent, group=self._desk.consumer, links=links)

    def _saying(self, work: Work, tell: Tell, cause: str | None) -> Saying:
        address = self._desk.address(tell.fact, tell.to, tell.scope)
        parent = None if isinstance(work.cause, Heard) else work.traceparent
        return Saying(tell.fact, address, telemetry.create(address.topic, tell.fact.type, parent), cause)

    def _keep(self, subject: UUID, outcome: Decided[Any], trace: str | None) -> None:
        self._deadlines.update({(deadline.kind, subject): deadline for deadline in outcome.deadlines})
        self._errands.update({(errand.name, subject, errand.key): (errand, trace) for errand in outcome.errands})
        self._freed += [(reservation, subject) for reservation in outcome.frees]

    # --- writing ----------------------------------------------------------------------------------------------------

    async def _write(self) -> None:
        tx, desk = self._tx, self._desk
        changed: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        for (kind, subject_id), after in sorted(self._current.items(), key=lambda item: item[0]):
            before = self._loaded[kind, subject_id]
            if after.version != before.version:  # what was decided has moved it if it is another one now
                changed[kind].append((before, after))
        for kind, pairs in changed.items():
            await desk.kinds[kind].save(tx, pairs)
        await reservations.write(tx, self._inside, self._held, self._freed)
        await outbox.say(tx, self._sayings, source=desk.source, now=self._now, new_id=desk.new_id)
        await deadlines.change(tx, self._deadlines, self._fired, [desk.new_id() for _ in self._deadlines])
        await deadlines.postpone(tx, self._postponed)
        await errands.change(tx, self._errands, self._returned, [desk.new_id() for _ in self._errands])
        await self._lanes.write(tx, self._now, positions.ends_of(self.delivered))
        await answers.keep(tx, {key: answer for key, (_, answer) in self._answers.items()})
