"""What one consumer remembers of its lanes, in memory; what becomes of an event is judged by the chassis' own code."""

from collections.abc import Mapping
from uuid import UUID

from chassis.envelope import Record
from chassis.inbox import Heard, Lanes, Source, _Lane
from chassis.parking import LaneKey, Waits


class Memory:
    """The rows of `inbox`, `lane` and `parked` of one consumer."""

    def __init__(self, consumer: str, sources: Mapping[str, Source]) -> None:
        self._consumer, self._sources = consumer, sources
        self._lanes: dict[LaneKey, _Lane] = {}
        self._known: set[UUID] = set()
        self._records: dict[UUID, Record] = {}  # of parked events

    def opened(self, heard: Heard) -> Lanes:
        """The lane of this event as a transaction has it: nothing is changed here before `commit`."""
        kept = self._lanes.get(heard.lane) or _Lane(0, None)
        waiting = sorted(kept.waiting, key=lambda waits: waits.seq) if kept.waiting else []
        lanes = Lanes(self._consumer, self._sources)
        lanes._lanes[heard.lane] = _Lane(kept.last_seq, kept.last_id, waiting)
        lanes._known = {heard.meta.id} & self._known
        return lanes

    def commit(self, heard: Heard, lanes: Lanes) -> bool:
        """Keep what the transaction did; whether the lane's next parked event can be tried now."""
        self._lanes[heard.lane] = lanes._lanes[heard.lane]
        self._known |= lanes._known
        if lanes.parks:
            self._records[heard.meta.id] = heard.record
        return heard.lane in lanes.freed

    def waiting(self, lane: LaneKey) -> list[Record]:
        """What is parked in this lane, in its order."""
        kept = self._lanes.get(lane)
        first_to_last = [] if kept is None else sorted(kept.waiting, key=lambda waits: waits.seq)
        return [self._records[waits.event_id] for waits in first_to_last]

    def all_waiting(self) -> tuple[Waits, ...]:
        """Everything parked."""
        return tuple(waits for lane in self._lanes.values() for waits in lane.waiting)
