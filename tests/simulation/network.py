"""Topics and those who read them: every lane in its order, lanes among each other in any; repeats, holes, delays."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING
from uuid import UUID

from chassis.envelope import key_of
from contracts.codes import Service
from tests.simulation.laws import HEARD, Broken
from tests.simulation.town import ALLIANCE

if TYPE_CHECKING:
    from chassis.envelope import Record
    from tests.simulation.desk import Desk


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong; all nought: nothing does."""

    repeats: float = 0.0  # the relay dies before it has deleted what it sent
    rewinds: float = 0.0  # the consumer dies before its offset is kept
    holes: float = 0.0  # a record is not there and comes later, from the other side's feed
    dies: float = 0.0  # a process dies before its commit, or in the middle of what it does over the network


@dataclass
class Reader:
    """How far one consumer has read one lane; `missing` is what it has to fetch from the feed."""

    desk: Desk
    log: list[Record]
    at: int = 0
    missing: list[Record] = field(default_factory=list)

    @property
    def has_more(self) -> bool:
        return self.at < len(self.log) or bool(self.missing)


class Network:
    """Logs that only grow, and everybody's position in them."""

    def __init__(self, chance: Random, faults: Faults) -> None:
        self._chance, self.faults = chance, faults
        self._hearers: dict[str, list[Desk]] = defaultdict(list)
        self.logs: dict[tuple[str, bytes | None], list[Record]] = {}
        self._readers: dict[tuple[str, bytes | None], list[Reader]] = {}
        self.pending: list[Reader] = []

    def listen(self, desk: Desk) -> None:
        for topic in desk.wired.sources:
            self._hearers[topic].append(desk)

    def relay(self, desk: Desk) -> None:
        """The first records of the outbox go out; a relay that dies then sends the last one again."""
        for _ in range(self._chance.randint(1, len(desk.outbox))):
            if self.lost():
                desk.outbox.popleft()
                continue
            self.publish(desk.outbox[0])
            if self._chance.random() < self.faults.repeats:
                return
            desk.outbox.popleft()

    def lost(self) -> bool:
        """Never; a planted bug says otherwise."""
        return False

    def publish(self, record: Record) -> None:
        lane = (record.topic, record.key)
        if lane not in self.logs:
            self.logs[lane] = []
            self._readers[lane] = [Reader(desk, self.logs[lane]) for desk in self._hearers[record.topic]]
        self.logs[lane].append(record)
        for reader in self._readers[lane]:
            if len(reader.log) == reader.at + 1 and not reader.missing:
                self.pending.append(reader)

    def deliver(self) -> tuple[Desk, Record]:
        """Somebody reads on in some lane."""
        place = int(self._chance.random() * len(self.pending))
        reader = self.pending[place]
        record = self._next(reader)
        died = self._chance.random() < self.faults.dies
        if reader.desk.hear(record, dies=died):
            _retry(reader.desk, record)
        if died or self._chance.random() < self.faults.rewinds:
            reader.at = max(0, reader.at - self._chance.randint(1, 3))
            if died and record not in reader.log[reader.at :]:
                reader.missing.append(record)
        if not reader.has_more:
            self.pending[place] = self.pending[-1]
            self.pending.pop()
        return reader.desk, record

    def sent(self, sender: str, to: str, handover: UUID) -> list[Record]:
        """What that agency has sent to the other about a handover."""
        topic = f"{ALLIANCE.id}.{sender}.to.{to}.{Service.HANDOVER}"
        return self.logs.get((topic, key_of(handover)), [])

    def unread(self, desk: Desk, topic: str, subject: UUID) -> bool:
        """Whether something on this topic is not heard yet at this consumer, or held in this subject's lane."""
        behind = any(reader.desk is desk and reader.log[0].topic == topic for reader in self.pending)
        return behind or bool(desk.memory.waiting((topic, subject)))

    def _next(self, reader: Reader) -> Record:
        left = len(reader.log) - reader.at
        if reader.missing and (not left or self._chance.random() < 0.5):
            return reader.missing.pop(0)
        if left > 1 and self._chance.random() < self.faults.holes:
            reader.missing.append(reader.log[reader.at])
            reader.at += 1
        reader.at += 1
        return reader.log[reader.at - 1]


def _retry(desk: Desk, record: Record) -> None:
    """A held lane whose missing event has come is tried again, in order, until the first that cannot be."""
    lane = (record.topic, record.envelope.key)  # type: ignore[union-attr]  # what a desk says has an envelope
    for parked in desk.memory.waiting(lane):
        before = len(desk.memory.waiting(lane))
        desk.hear(parked, redrive=True)
        if len(desk.memory.waiting(lane)) == before:
            return


def unheard(desk: Desk) -> None:
    """Raise where something waits at this consumer for a human."""
    for waits in desk.memory.all_waiting():
        raise Broken(HEARD, f"an event of {waits.topic} waits at {desk.name}: {waits.error_class}")
