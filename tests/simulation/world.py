"""Everything there is in a history: three agencies with four services each, their doors, the network, the clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from chassis.errands import Again, _backoff
from contracts.codes import Service
from contracts.ids import AgencyId, ItemId, NoticeId
from services.consent.domain.words import Item, Notice, NoticeState
from tests.simulation.clock import BEGIN, Clock
from tests.simulation.desk import Desk, Waiting
from tests.simulation.door import ERRANDS, Door, Process
from tests.simulation.network import Faults, Network
from tests.simulation.notebook import Notebook
from tests.simulation.registers import consent_rooms
from tests.simulation.rooms import Rooms, handover_rooms, intake_rooms, offers_rooms
from tests.simulation.town import AGENCIES, wiring
from tests.simulation.withdrawals import sweep
from tests.simulation.witness import Witness

if TYPE_CHECKING:
    from services.consent.store.leases import Lease

NOTICE = Notice(
    NoticeId(UUID(int=1)), 1, NoticeState.PUBLISHED, "de", plain_language=True, text="Wir fragen dich.",
    sha256="0" * 64, valid_from=BEGIN - timedelta(days=1),
)
ROOMS: dict[Service, Callable[[AgencyId], Rooms]] = {
    Service.INTAKE: lambda agency: intake_rooms(),
    Service.CONSENT: lambda agency: consent_rooms(agency, NOTICE),
    Service.HANDOVER: handover_rooms,
    Service.OFFERS: lambda agency: offers_rooms(),
}


@dataclass
class Running:
    """A process under way; `waiting` where it is an errand."""

    process: Process
    desk: Desk
    name: str
    waiting: Waiting | None = None


class World:
    """What is under way, and the ways in which it can go on; which of them does, is chance's."""

    def __init__(self, chance: Random, faults: Faults, story: list[str] | None = None) -> None:
        self.chance, self.story = chance, story
        self.clock, self.witness, self.notebook = Clock(), Witness(), Notebook()
        self.network = Network(chance, faults)
        self.dues: list[tuple[datetime, int, Desk, str, UUID]] = []
        self.running: list[Running] = []
        self.releasing: list[tuple[AgencyId, UUID]] = []  # whose door is being asked, by which handover
        self._numbers = 0
        self._flags: dict[UUID, Item] = {}
        self.desks = {
            (agency, service): Desk(wiring(agency, service), ROOMS[service](agency), self)
            for agency in AGENCIES
            for service in Service
        }
        self.doors = {agency: Door(self, agency) for agency in AGENCIES}
        for desk in self.desks.values():
            self.network.listen(desk)
        self._all = tuple(self.desks.values())

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def say(self, who: str, what: object) -> None:
        """One line of the story, where somebody listens."""
        if self.story is not None:
            self.story.append(f"{self.clock.now:%d.%m. %H:%M:%S.%f}"[:-3] + f"  {who:<18} {what}")

    def bytes_leave(self, agency: AgencyId, lease: Lease, now: datetime) -> None:
        """A piece of a body is on the wire: the laws of the door."""
        of = lease.transmission
        self.say(f"{agency}.door", f"bytes of {short(lease.id)} leave")
        self.notebook.door_is_shut(self.witness.shut_since.get(of.handover), now)
        for line in lease.lines:
            self.notebook.writes(lease.person, self._flags[line.item], of, now)

    def opens(self, lease: Lease, items: dict[ItemId, Item]) -> None:
        """A lease is opened: something stands for each of its items."""
        self.witness.seen["release opened"] += 1
        for line in lease.lines:
            self._flags[line.item] = items[line.item]
            self.notebook.opens(lease.person, items[line.item], lease.transmission, self.clock.now)

    # --- what can happen next -----------------------------------------------------------------------------------------

    def speaking(self) -> list[Desk]:
        """Who has something to send."""
        return [desk for desk in self._all if desk.outbox]

    def due_errands(self) -> list[tuple[Desk, Waiting]]:
        """Errands that can be run now."""
        now = self.clock.now
        return [
            (desk, waiting)
            for desk in self._all
            if desk.errands
            for waiting in desk.errands.values()
            if not waiting.under_way and waiting.next_at <= now
        ]

    def is_due(self) -> bool:
        """Whether a deadline is due; those that have been moved since are forgotten."""
        while self.dues:
            due, _, desk, kind, subject = self.dues[0]
            if desk.deadlines.get((kind, subject)) == due:
                return due <= self.clock.now
            heapq.heappop(self.dues)
        return False

    # --- how it happens -----------------------------------------------------------------------------------------------

    def relay(self, desk: Desk) -> None:
        self.network.relay(desk)

    def deliver(self) -> None:
        """Somebody hears something; what a service lets pass is no step of its own."""
        while self.network.pending:
            desk, record = self.network.deliver()
            envelope: Any = record.envelope
            if envelope.type in desk.types:
                self.say(desk.name, f"hears {envelope.type} {envelope.subjectseq} of {short(envelope.key)}")
                return

    def strike(self) -> None:
        _, _, desk, kind, subject = heapq.heappop(self.dues)
        self.say(desk.name, f"deadline {kind} of {short(subject)}")
        self.witness.seen[f"deadline {kind}"] += 1
        desk.strike(kind, subject)

    def run(self, desk: Desk, waiting: Waiting) -> None:
        waiting.attempts, waiting.under_way = waiting.attempts + 1, True
        process = ERRANDS[waiting.errand.name](self, desk, waiting)
        self.running.append(Running(process, desk, waiting.errand.name, waiting))

    def start(self, process: Process, desk: Desk, name: str) -> None:
        self.running.append(Running(process, desk, name))

    def start_sweeper(self, desk: Desk) -> None:
        self.start(sweep(self, desk), desk, "sweeper")

    def go_on(self, place: int) -> None:
        """A process takes its next step, ends, or dies."""
        running = self.running[place]
        if self.chance.random() < self.network.faults.dies:
            running.process.close()
            self.witness.seen[f"{running.name} died"] += 1
            self._over(place, timedelta(seconds=1))
            return
        if running.name != "sweeper":  # mostly it only waits
            self.say(running.desk.name, f"goes on with {running.name}")
        try:
            next(running.process)
        except StopIteration:
            self._over(place, timedelta(seconds=1))
        except Again:
            attempts = 0 if running.waiting is None else running.waiting.attempts
            self._over(place, timedelta(seconds=_backoff(attempts)))

    def _over(self, place: int, later: timedelta) -> None:
        running = self.running[place]
        self.running[place] = self.running[-1]
        self.running.pop()
        if running.waiting is not None:
            running.waiting.under_way = False
            running.waiting.next_at = self.clock.now + later

    def without_faults(self) -> None:
        """From now on nothing goes wrong any more."""
        self.network.faults = Faults()


def short(id: UUID) -> str:
    """The end of an id, enough to tell two of a history apart."""
    return f"#{(id.int >> 16) & 0xFFFFFFFF}"
