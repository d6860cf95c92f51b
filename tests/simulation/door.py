"""The door and the errand to it, as processes that can be overtaken and can die at every `yield`.

The protocol is the lease's (`tests/models/Lease.tla`): Begin, Open, Write, Close. What is decided is decided by the
consent service's own functions; the network, the seal and the waiting are simulated.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from chassis.errands import Again, ErrandCall
from chassis.transitions import Refused, Step
from contracts.codes import END_STATES, Completeness, Service, Side
from contracts.dossier import Dossier
from contracts.ids import AgencyId, HandoverRef, ItemId, PersonId, ReleaseId
from services.consent.domain import Reason
from services.consent.domain.commands import TakeFlags, TellRelease
from services.consent.domain.words import Item as Flags
from services.consent.domain.words import Transmission, found
from services.consent.door import releasing
from services.consent.door.neighbours import Content, Resources
from services.consent.door.releasing import OPEN, Claim
from services.consent.door.sealing import dossier
from services.consent.problems import PROBLEMS
from services.consent.store.persons import PERSON
from services.handover.store import HANDOVER
from services.intake import errands as intake_errands
from services.intake.domain.commands import StoreDossier, StorePart
from services.intake.domain.dossiers import person_in
from services.intake.domain.items import Item
from services.intake.store import CASE
from tests.simulation.town import ALLIANCE

if TYPE_CHECKING:
    from services.consent.store.leases import Lease
    from tests.simulation.desk import Desk, Waiting
    from tests.simulation.registers import Persons
    from tests.simulation.rooms import Cases, Handovers
    from tests.simulation.world import World

PIECES = (1, 2, 2, 9)  # of one body: some recipients read slowly, and are overtaken
SPHERES = {agency.id: agency.sphere for agency in ALLIANCE.agencies}
Process = Generator[None, None, None]


def seconds(since: datetime, now: datetime) -> float:
    """A monotonic clock."""
    return (now - since).total_seconds()


def flags_of(item: Item) -> Flags:
    """What own intake says about an item without its content."""
    return Flags(
        ItemId(item.id), item.category, item.entrusted, item.special, item.professional_secret, item.entruster,
        item.hash, None if item.provenance is None else ReleaseId(item.provenance.release),
        None if item.provenance is None else ItemId(item.provenance.source_item),
    )


class Door:
    """The consent service of one agency, asked by another one."""

    def __init__(self, world: World, agency: AgencyId) -> None:
        self._world, self._agency = world, agency
        self.desk = world.desks[agency, Service.CONSENT]
        self._persons = cast("Persons", self.desk.rooms.kinds[PERSON])
        self._items = cast("Cases", world.desks[agency, Service.INTAKE].rooms.kinds[CASE]).items
        self._copies = cast("Handovers", world.desks[agency, Service.HANDOVER].rooms.kinds[HANDOVER]).rows
        self._resources = Resources(cast("Any", None), agency, {ALLIANCE.id: ALLIANCE})

    def release(self, recipient: AgencyId, handover: HandoverRef) -> Generator[None, None, Dossier | Refused | None]:
        """One request at the door; None where the body was cut."""
        under_way = (self._agency, handover)
        self._world.releasing.append(under_way)
        try:
            return (yield from self._released(recipient, handover))
        finally:
            self._world.releasing.remove(under_way)

    def _released(
        self, recipient: AgencyId, handover: HandoverRef
    ) -> Generator[None, None, Dossier | Refused | None]:
        since = self._world.clock.now  # Begin: before anything is asked
        claim = Claim(0.0, recipient, handover, None)
        known = self._claimed(handover)
        if known is None or known[1].recipient != recipient:
            return Refused(Reason.UNKNOWN_HANDOVER)
        of, transmission = known
        yield
        if closed := self.standing(claim):
            return closed
        wanted = releasing._wanted(transmission, None)
        if isinstance(wanted, Refused):
            return wanted
        yield
        contents = self._contents(wanted)
        yield
        opened = self.opened(claim, of, transmission, wanted, contents)
        if isinstance(opened, Refused):
            return opened
        lease, left = opened
        yield
        delivered = yield from self._write(lease, since, left)
        yield
        self._persons.close_lease(lease.id, delivered=delivered)
        yield
        self.desk.insist(Step(PERSON, of, TellRelease(lease.id)), "door")
        chosen = {line.item for line in lease.lines}
        return dossier(lease, [each for each in contents if each.id in chosen]) if delivered else None

    def _claimed(self, handover: UUID) -> tuple[PersonId, Transmission] | None:
        for person in self._persons.of_handover(handover):
            known = self._persons.rows[person]
            return known.id, next(t for t in known.transmissions if t.handover == handover)
        return None

    def standing(self, claim: Claim) -> Refused | None:
        """Own handover is asked each time."""
        copy = self._copies.get(claim.handover)
        if copy is None or (copy.side, copy.matter.counterpart) != (Side.SENDER, claim.recipient):
            return Refused(Reason.UNKNOWN_HANDOVER)
        return None if copy.state in OPEN else Refused(Reason.NOT_OPEN, copy.state)

    def _contents(self, wanted: Iterable[ItemId]) -> list[Content]:
        here = sorted(item for item in wanted if item in self._items)
        return [_content(self._items[item]) for item in here]

    def opened(
        self, claim: Claim, of: PersonId, transmission: Transmission, wanted: tuple[ItemId, ...],
        contents: Sequence[Content],
    ) -> tuple[Lease, float] | Refused:
        """Open: one transaction under the person's lock; decided by the service, on what is stored now."""
        now = self._world.clock.now
        if self._persons.being_withdrawn(of, claim.recipient):
            return Refused(Reason.CONSENT_WITHDRAWN)
        person = self._persons.rows[of]
        present = found(person.transmissions, transmission.id)
        if present is None or present.recipient != claim.recipient:
            return Refused(Reason.UNKNOWN_HANDOVER)
        verdicts = releasing._decided(self._resources, person, present, wanted, contents, now)
        lease = releasing._lease(self._resources, of, present, verdicts, contents, claim.bytes_at_most)
        self._persons.decisions.append(releasing._decision(self._resources, present, verdicts, now))
        if isinstance(lease, Refused):
            return lease
        lease = replace(lease, id=ReleaseId(self._world.clock.new_id()))
        self._persons.open_lease(lease)
        self._world.opens(lease, {ItemId(content.id): content.item() for content in contents})
        chosen = {line.item for line in lease.lines}
        return lease, self.deadline(claim, verdicts, chosen)

    def deadline(self, claim: Claim, verdicts: Any, chosen: set[ItemId]) -> float:
        """The lease's end, in seconds since Begin."""
        now = self._world.clock.now
        return releasing._deadline(claim, verdicts, chosen, now)

    def _write(self, lease: Lease, since: datetime, deadline: float) -> Generator[None, None, bool]:
        """Write: piece by piece while the lease lasts, then the connection is aborted."""
        for _ in range(self._world.chance.choice(PIECES)):
            now = self._world.clock.now
            if seconds(since, now) >= deadline:
                self._world.witness.seen["release cut"] += 1
                return False
            self._world.bytes_leave(self._agency, lease, now)
            yield
        return True


def _content(item: Item) -> Content:
    return Content.model_construct(
        id=item.id, category=item.category, entrusted=item.entrusted, special=item.special,
        professional_secret=item.professional_secret, entruster=item.entruster, hash=item.hash, content=item.content,
        collected_from=str(item.collected_from),
        received_by=None if item.provenance is None else item.provenance.release,
        source_item=None if item.provenance is None else item.provenance.source_item, person=None,
    )


# --- errands ----------------------------------------------------------------------------------------------------------


def read_items(world: World, desk: Desk, waiting: Waiting) -> Process:
    """Consent asks own intake what the proposed items are."""
    items = cast("Cases", world.desks[desk.agency, Service.INTAKE].rooms.kinds[CASE]).items
    about = waiting.errand.about
    wanted = [UUID(item) for item in about["items"].split(",")]
    flags = tuple(flags_of(items[item]) for item in sorted(wanted) if item in items)
    yield
    command = TakeFlags(HandoverRef(UUID(about["handover"])), UUID(about["proposal"]), flags)
    desk.take_in(waiting, Step(PERSON, waiting.subject, command))


def fetch_dossier(world: World, desk: Desk, waiting: Waiting) -> Process:
    """Intake asks the sender's door; the same questions in the same order as the service's own errand."""
    call = ErrandCall(waiting.subject, waiting.errand.about, waiting.attempts, None)
    sender = AgencyId(call.about["sender"])
    if "after" in call.about and call.attempt == 1:
        raise Again("part_stored")
    if call.attempt > 1 and _own_copy(world, desk.agency, call.subject) in END_STATES:
        desk.take_in(waiting, None)
        return
    answer = yield from world.doors[sender].release(desk.agency, HandoverRef(call.subject))
    yield
    if answer is None:
        raise Again("unreachable")
    if isinstance(answer, Refused):
        step = intake_errands._no(call, PROBLEMS[answer.reason].status, str(answer.reason).encode())
        desk.take_in(waiting, step)
        return
    state = _own_copy(world, desk.agency, call.subject)
    if state in END_STATES:
        desk.take_in(waiting, None)
        return
    if state not in intake_errands.KEEPING:
        raise Again("own_copy_behind")
    yield
    desk.take_in(waiting, Step(CASE, call.subject, _stored(world, desk.agency, sender, answer)))


def _own_copy(world: World, agency: AgencyId, handover: UUID) -> str:
    copies = cast("Handovers", world.desks[agency, Service.HANDOVER].rooms.kinds[HANDOVER]).rows
    return str(copies[handover].state)


def _stored(world: World, agency: AgencyId, sender: AgencyId, came: Dossier) -> StoreDossier:
    now = world.clock.now
    items = tuple(
        replace(intake_errands._item(one, came.release, sender, now), id=world.clock.new_id()) for one in came.items
    )
    person = person_in(((item.part, item.content) for item in items), came.handover, came.release)
    command = StorePart if came.completeness is Completeness.MORE else StoreDossier
    world.witness.seen[f"dossier {came.completeness}"] += 1
    return command(came.release, SPHERES[agency], items, person)


ERRANDS = {"read_items": read_items, "fetch_dossier": fetch_dossier}
