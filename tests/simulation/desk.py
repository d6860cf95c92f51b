"""One service of one agency: runs work items as the chassis' executor does, on a database that is a few dictionaries.

Decisions, reservations, tells, deadlines and errands are one transaction here as well: `run` either commits all of it
or, where the process dies before the commit, nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from chassis import outbox
from chassis.deadlines import RETRY_SECONDS, WAIT_SECONDS
from chassis.envelope import Record, key_of
from chassis.inbox import Fate, Heard, Redrive
from chassis.outbox import Saying
from chassis.parking import Trouble
from chassis.transitions import Arm, Context, Decided, Disarm, Errand, Refused, Reservation, Step, Tell
from tests.simulation.lanes import Memory
from tests.simulation.laws import HAS_A_ROW, HEARD, Broken

if TYPE_CHECKING:
    from tests.simulation.rooms import Rooms
    from tests.simulation.town import Wiring
    from tests.simulation.world import World

SubjectKey = tuple[str, UUID]


@dataclass
class Waiting:
    """An errand that has not come back yet."""

    errand: Errand
    subject: UUID
    id: UUID
    attempts: int
    next_at: datetime
    under_way: bool = False


@dataclass
class Transaction:
    """Everything one work item would write."""

    before: dict[SubjectKey, Any]
    after: dict[SubjectKey, Any]
    held: dict[Reservation, UUID | None]
    decided: list[tuple[Step, Decided[Any]]]


class Desk:
    """A service with its own database; whoever wants something of it gives it a step or a record."""

    def __init__(self, wired: Wiring, rooms: Rooms, world: World) -> None:
        self.wired, self.rooms, self.world = wired, rooms, world
        self.agency, self.service = wired.principal
        self.name = str(wired.principal)
        self.types = frozenset(hear.event.type for hear in wired.hears)
        self.memory = Memory(self.name, wired.sources)
        self.reservations: dict[Reservation, UUID] = {}
        self.deadlines: dict[tuple[str, UUID], datetime] = {}
        self.errands: dict[tuple[str, UUID, str], Waiting] = {}
        self.outbox: deque[Record] = deque()
        self._heads: dict[tuple[str, UUID], int] = {}

    # --- three ways in ------------------------------------------------------------------------------------------------

    def ask(self, *steps: Step) -> Refused | None:
        """A person asks; a no is an answer."""
        outcome = self._decide(steps)
        if isinstance(outcome, Refused):
            return outcome
        self._commit(outcome, None)
        return None

    def insist(self, step: Step, cause: str) -> None:
        """What the service tells itself (a result of an errand, an intent): no table may say no to it."""
        refused = self.ask(step)
        if refused is not None:
            raise Broken(HAS_A_ROW, f"{cause} at {self.name}: {refused.reason} in {refused.state}")

    def strike(self, kind: str, subject: UUID) -> None:
        """A deadline is due; one that rests on somebody's silence waits until what they have sent is read."""
        due = self.deadlines[kind, subject]
        silent = self.rooms.waits_for.get(kind)
        if silent is not None and self.world.network.unread(self, silent(subject), subject):
            self.world.witness.seen["deadline postponed"] += 1
            self.set_deadline(kind, subject, self.world.clock.now + timedelta(seconds=WAIT_SECONDS))
            return
        refused = self.ask(self.rooms.deadlines[kind](subject))
        if refused is not None:
            self.set_deadline(kind, subject, self.world.clock.now + timedelta(seconds=RETRY_SECONDS))
            raise Broken(HAS_A_ROW, f"deadline {kind} at {self.name}: {refused.reason}")
        if self.deadlines.get((kind, subject)) == due:
            del self.deadlines[kind, subject]

    def hear(self, record: Record, *, redrive: bool = False, dies: bool = False) -> bool:
        """A record comes; whether what waits behind it can be tried now. `dies`: before the commit."""
        heard = self.wired.hearing.read(record, redrive=Redrive() if redrive else None)
        if heard is None:
            raise Broken(HEARD, f"{record.topic} at {self.name}")
        lanes = self.memory.opened(heard)
        fate, error_class = lanes.judge(heard, self.world.clock.now)
        outcome: Transaction | Refused | None = None
        if fate is Fate.PARK:
            lanes.park(heard, Trouble(error_class, error_class, None))
        elif fate is Fate.KNOWN:
            lanes.known(heard)
        elif fate is Fate.PASSED_BY:
            lanes.passed_by(heard)
        else:
            steps = heard.steps(self._subjects(heard))
            outcome = self._decide(steps)
            if isinstance(outcome, Refused):
                lanes.park(heard, Trouble("refused", str(outcome.reason), None))
            else:
                lanes.applied(heard, (step.subject for step in steps))
        if dies:
            return False
        self.world.witness.judged(self, heard, fate, error_class, outcome)
        freed = self.memory.commit(heard, lanes)
        if isinstance(outcome, Transaction):
            self._commit(outcome, str(heard.meta.id))
        return freed

    def _subjects(self, heard: Heard) -> tuple[UUID, ...]:
        if heard.query is None:
            return ()
        return self.rooms.of[heard.query](heard.meta.subject)

    # --- one transaction ----------------------------------------------------------------------------------------------

    def _decide(self, steps: Sequence[Step]) -> Transaction | Refused:
        now = self.world.clock.now
        made = Transaction({}, {}, {}, [])
        for step in steps:
            room, key = self.rooms.kinds[step.kind], (step.kind, step.subject)
            if key not in made.after:
                made.before[key] = made.after[key] = room.load(step.subject, step.command)
            before = made.after[key]
            wanted = room.reserves(step.subject, step.command)
            granted = frozenset(r for r in wanted if self._holder(made, r) in (None, step.subject))
            outcome = room.decide(before, step.command, Context(now, granted))
            if isinstance(outcome, Refused):
                return outcome
            after = outcome.subject
            if after is not before and after != before:
                after = replace(after, version=before.version + 1)
            made.after[key] = after
            made.held.update(dict.fromkeys(granted, step.subject))
            made.held.update({r: None for r in outcome.frees if self._holder(made, r) == step.subject})
            made.decided.append((step, outcome))
        return made

    def _holder(self, made: Transaction, wanted: Reservation) -> UUID | None:
        return made.held[wanted] if wanted in made.held else self.reservations.get(wanted)

    def _commit(self, made: Transaction, cause: str | None) -> None:
        for (kind, subject), after in made.after.items():
            before = made.before[kind, subject]
            if after is not before and after != before:
                self.rooms.kinds[kind].save(after)
                self.world.witness.saved(self, kind, before, after)
        for reservation, holder in made.held.items():
            if holder is None:
                self.reservations.pop(reservation, None)
            else:
                self.reservations[reservation] = holder
        for step, outcome in made.decided:
            for tell in outcome.tells:
                self._say(tell, cause)
            for deadline in outcome.deadlines:
                self._keep(step.subject, deadline)
            for errand in outcome.errands:
                self.send(errand, step.subject)
        self.world.witness.committed(made)

    def _say(self, tell: Tell, cause: str | None) -> None:
        address = self.wired.address(tell.fact, tell.to, tell.scope)
        stream = (address.topic, tell.fact.key)
        self._heads[stream] = seq = self._heads.get(stream, 0) + 1
        clock = self.world.clock
        envelope = outbox._envelope(
            Saying(tell.fact, address, None, cause), seq,
            source=f"urn:staffel:{self.agency}:{self.service}", now=clock.now, event_id=clock.new_id(),
        )
        payload = tell.fact.model_dump_json().encode()
        record = Record(envelope, address.topic, 0, seq, key_of(tell.fact.key), (), payload)
        self.outbox.append(record)
        self.world.witness.told(tell, envelope)

    # --- deadlines and errands ----------------------------------------------------------------------------------------

    def _keep(self, subject: UUID, deadline: Arm | Disarm) -> None:
        if isinstance(deadline, Arm):
            self.set_deadline(deadline.kind, subject, deadline.due)
        else:
            self.deadlines.pop((deadline.kind, subject), None)

    def set_deadline(self, kind: str, subject: UUID, due: datetime) -> None:
        self.deadlines[kind, subject] = due
        heapq.heappush(self.world.dues, (due, self.world.next_number(), self, kind, subject))

    def send(self, errand: Errand, subject: UUID) -> None:
        """The same errand again replaces the one that waits."""
        clock = self.world.clock
        key = (errand.name, subject, errand.key)
        self.errands[key] = Waiting(errand, subject, clock.new_id(), 0, clock.now)

    def wanted(self, waiting: Waiting) -> bool:
        """Whether this very errand still waits for its result."""
        known = self.errands.get((waiting.errand.name, waiting.subject, waiting.errand.key))
        return known is not None and known.id == waiting.id

    def take_in(self, waiting: Waiting, step: Step | None) -> None:
        """The result of an errand, in the transaction that forgets the errand."""
        if self.wanted(waiting):
            del self.errands[waiting.errand.name, waiting.subject, waiting.errand.key]
            if step is not None:
                self.insist(step, f"errand {waiting.errand.name}")
