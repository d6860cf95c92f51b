"""What each service keeps, in memory: subjects loaded and saved as its `store` does it, queries, deadlines."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol
from uuid import UUID

from chassis.transitions import Context, Decided, Refused, Reservation, Step
from contracts.codes import END_STATES, Service, Side
from contracts.ids import AgencyId, CaseId, HandoverRef, OfferId
from contracts.topics import own
from services.handover import domain as handover
from services.handover.app import _strikes, _whose_silence
from services.handover.domain import commands as handover_commands
from services.handover.store import HANDOVER, KNOWN_CASE, open_handovers_of_cases
from services.handover.store.handovers import NEEDS_CASE, _channel
from services.intake.domain import commands as intake_commands
from services.intake.domain import law as intake_law
from services.intake.domain.case import Case, HeldItem, Writes
from services.intake.domain.facts import AGE_BAND, TIME_LIMIT
from services.intake.domain.items import Item
from services.intake.store import CASE
from services.offers import domain as offers
from services.offers.store import OFFER
from tests.simulation.town import ALLIANCE


class Room(Protocol):
    """One kind of subject: loaded with what the command may ask about, decided by the service, saved."""

    def load(self, subject: UUID, command: object, /) -> Any: ...
    def decide(self, subject: Any, command: Any, context: Context, /) -> Decided[Any] | Refused: ...
    def save(self, after: Any, /) -> None: ...
    def reserves(self, subject: UUID, command: object, /) -> Sequence[Reservation]: ...


@dataclass
class Rooms:
    """All a desk needs to know of its service."""

    kinds: Mapping[str, Room]
    of: Mapping[Any, Callable[[UUID], tuple[UUID, ...]]] = field(default_factory=dict)
    deadlines: Mapping[str, Callable[[UUID], Step]] = field(default_factory=dict)
    waits_for: Mapping[str, Callable[[UUID], str]] = field(default_factory=dict)  # whose topic must have been read


# --- handover ---------------------------------------------------------------------------------------------------------


class KnownCases:
    """Own copies of intake's cases."""

    def __init__(self) -> None:
        self.rows: dict[UUID, handover.KnownCase] = {}

    def load(self, subject: UUID, _command: object, /) -> handover.KnownCase:
        return self.rows.get(subject) or handover.KnownCase(CaseId(subject))

    def decide(self, subject: Any, command: Any, context: Context) -> Decided[Any] | Refused:
        return handover.learn(subject, command, context)

    def save(self, after: handover.KnownCase) -> None:
        self.rows[after.id] = after

    def reserves(self, _subject: UUID, _command: object, /) -> Sequence[Reservation]:
        return ()


ASKS_ABOUT_CASE = (handover_commands.Draft, *NEEDS_CASE)


class Handovers:
    """Copies of one agency, loaded with the agreements and the case that conditions ask about."""

    def __init__(self, home: AgencyId, cases: KnownCases) -> None:
        self._around, self._cases = handover.Around(home, ALLIANCE), cases
        self.rows: dict[UUID, handover.Handover] = {}

    def load(self, subject: UUID, command: object) -> handover.Handover:
        known = self.rows.get(subject) or handover.Handover(HandoverRef(subject), around=self._around)
        if not isinstance(command, ASKS_ABOUT_CASE):
            return known
        case = command.case if isinstance(command, handover_commands.Draft) else known.case
        asked = None if case is None else self._cases.rows.get(case)
        return replace(known, around=replace(self._around, case=asked))

    def decide(self, subject: Any, command: Any, context: Context) -> Decided[Any] | Refused:
        return handover.decide(subject, command, context)

    def save(self, after: handover.Handover) -> None:
        self.rows[after.id] = after if after.around is self._around else replace(after, around=self._around)

    def reserves(self, subject: UUID, command: object) -> Sequence[Reservation]:
        return handover.reserves(subject, command)

    def open_of(self, case: UUID) -> tuple[UUID, ...]:
        """What this agency has begun for this case and has not ended."""
        mine = (copy for copy in self.rows.values() if copy.case == case and copy.side is Side.SENDER)
        return tuple(sorted(copy.id for copy in mine if copy.state not in END_STATES))


def handover_rooms(agency: AgencyId) -> Rooms:
    cases = KnownCases()
    copies = Handovers(agency, cases)
    of = {open_handovers_of_cases: copies.open_of}
    strikes = {str(clock): _strikes(command) for clock, command in handover.STRIKES.items()}
    waits_for = {
        str(handover.Clock.RESPOND): lambda id: _channel(ALLIANCE.id, copies.rows[id].matter.counterpart, agency),
        str(handover.Clock.BASIS): lambda id: str(own(agency, Service.CONSENT)),
    }
    assert waits_for.keys() == {clock for clock in handover.STRIKES if _whose_silence(agency, clock) is not None}
    return Rooms({HANDOVER: copies, KNOWN_CASE: cases}, of, strikes, waits_for)


# --- intake -----------------------------------------------------------------------------------------------------------

ASKS_WHAT_IS_HELD = (
    intake_commands.EndDossier, intake_commands.EraseOutlived, intake_commands.EraseReleases,
    intake_commands.StoreDossier,
)  # fmt: skip


class Cases:
    """Cases, and beside them the items and the lines of received releases that decisions add and take away."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Case] = {}
        self.items: dict[UUID, Item] = {}
        self._erased: dict[UUID, set[UUID]] = defaultdict(set)
        self._released: set[tuple[UUID, UUID]] = set()

    def load(self, subject: UUID, command: object) -> Case:
        known = self.rows.get(subject)
        if known is None or not isinstance(command, ASKS_WHAT_IS_HELD):
            return known or Case(subject)
        held = tuple(
            HeldItem(
                item.id, item.provenance.source_item, item.provenance.release, frozenset(item.provenance.bases),
                item.provenance.received_at, item.part,
            )
            for item in self.received(subject)
            if item.provenance is not None
        )
        return replace(known, held=held, erased=frozenset(self._erased[subject]))

    def decide(self, subject: Any, command: Any, context: Context) -> Decided[Any] | Refused:
        return intake_law.decide(subject, command, context)

    def save(self, after: Case) -> None:
        writes = after.writes
        for item in writes.items:
            self.items[item.id] = item if item.case or item.handover else replace(item, case=after.id)
        for gone in writes.erase_items:
            self.items.pop(gone, None)
        for release in writes.releases:
            if (after.id, release.id) in self._released:
                raise ValueError("a release is stored twice: the table's key refuses it")
            self._released.add((after.id, release.id))
        self._erased[after.id] |= writes.erased_releases
        self.rows[after.id] = replace(after, writes=Writes(), held=(), erased=frozenset())

    def reserves(self, subject: UUID, command: object) -> Sequence[Reservation]:
        return intake_law.reserves(subject, command)

    def received(self, case: UUID) -> list[Item]:
        """What is held here of what came by a handover."""
        return [item for item in self.items.values() if item.case == case and item.provenance is not None]

    def of_case(self, case: UUID) -> list[Item]:
        """All that is held of a case."""
        return [item for item in self.items.values() if item.case == case]


def intake_rooms() -> Rooms:
    reach = {
        AGE_BAND: lambda case: Step(CASE, case, intake_commands.ReachAgeBand()),
        TIME_LIMIT: lambda case: Step(CASE, case, intake_commands.EraseOutlived()),
    }
    return Rooms({CASE: Cases()}, deadlines=reach)


# --- offers -----------------------------------------------------------------------------------------------------------


class Offers:
    """Own offers, and copies of the other agencies'."""

    def __init__(self) -> None:
        self.rows: dict[UUID, offers.Offer] = {}

    def load(self, subject: UUID, _command: object, /) -> offers.Offer:
        return self.rows.get(subject) or offers.Offer(OfferId(subject), frozenset({ALLIANCE.id}))

    def decide(self, subject: Any, command: Any, context: Context) -> Decided[Any] | Refused:
        return offers.decide(subject, command, context)

    def save(self, after: offers.Offer) -> None:
        self.rows[after.id] = after

    def reserves(self, _subject: UUID, _command: object, /) -> Sequence[Reservation]:
        return ()


def offers_rooms() -> Rooms:
    end = {offers.FUNDING: lambda offer: Step(OFFER, offer, offers.EndFunding())}
    return Rooms({OFFER: Offers()}, deadlines=end)

