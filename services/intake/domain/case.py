"""A case: one agency's own record about one young person, with the states it can be in."""

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from contracts.codes import (
    SENSITIVE_NEEDS,
    AgeBand,
    CompetenceArea,
    ContactChannel,
    Destination,
    Need,
    PauseReason,
    Phase,
    Place,
    Sphere,
    TargetGroup,
)
from services.intake.domain.information import GuardianInformation, Information
from services.intake.domain.items import Item, Part
from services.intake.domain.persons import Person
from services.intake.domain.phases import SchoolFacts


class State(StrEnum):
    """States of a case; `none` is a case nobody has heard of."""

    NONE = "none"
    ANNOUNCED = "announced"
    REGISTERED = "registered"
    CLARIFYING = "clarifying"
    ACTIVE = "active"
    PAUSED = "paused"
    NOT_COMPETENT = "not_competent"
    CLOSED = "closed"
    HANDED_OVER = "handed_over"
    DISCARDED = "discarded"


IN_WORK = (State.ACTIVE, State.PAUSED)  # a profile is told


class DossierState(StrEnum):
    """How far the dossier of the handover a case came by has got."""

    NONE = "none"  # the case did not come by a handover
    PENDING = "pending"
    STORED = "stored"
    REFUSED = "refused"
    ENDED = "ended"  # the handover is over: nothing more comes


class DossierReason(StrEnum):
    """Why the sender's door gave nothing, for good."""

    CONSENT_WITHDRAWN = "consent_withdrawn"
    NOTHING_PERMITTED = "nothing_permitted"
    NOT_KNOWN_THERE = "not_known_there"
    USED_UP = "used_up"
    NOT_OPEN = "not_open"
    UNREADABLE = "unreadable"
    NO_DOOR = "no_door"
    NOT_LISTED = "not_listed"  # none of what came is on the list of its basis (§ 31a SGB III)


class PhaseSource(StrEnum):
    """Where the phase of a case comes from."""

    RULE = "rule"
    HAND = "hand"
    PREVIEW = "preview"


class Warned(StrEnum):
    """What the answer to a registration draws attention to; nothing is refused or joined because of it."""

    AGE_UNEXPECTED = "age-unexpected"
    POSSIBLE_DUPLICATE = "possible-duplicate"


@dataclass(frozen=True, slots=True)
class RecordedNeed:
    """A need of this young person, severity 0 (named) to 3 (acute). One of each code: the latest word counts."""

    code: Need
    severity: int
    entrusted: bool
    recorded_at: datetime
    received: bool = False  # from the preview of the handover, not seen here yet


@dataclass(frozen=True, slots=True)
class Contact:
    """One attempt to reach the young person; `reached` says whether they were."""

    id: UUID
    at: datetime
    by: str
    channel: ContactChannel
    place: Place | None
    reached: bool


@dataclass(frozen=True, slots=True)
class PhaseChange:
    """One line of the history of the phase."""

    at: datetime
    by: str
    phase: Phase
    source: PhaseSource
    reason: str | None


@dataclass(frozen=True, slots=True)
class HeldItem:
    """An item that came with a dossier: under which id there, by which release, and which part of a person it says.

    `bases` and `received_at` are what a limit in time is counted from.
    """

    id: UUID
    source_item: UUID
    release: UUID
    bases: frozenset[str]
    received_at: datetime
    part: Part = Part.OTHER


@dataclass(frozen=True, slots=True)
class ReceivedRelease:
    """A dossier that was stored here; the line stays when its items are erased, so that it is not stored again."""

    id: UUID
    sender: str
    items: int
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class Writes:
    """What a decision adds to or takes from the records around the case; saved with it, never loaded."""

    person: Person | None = None
    erase_person: bool = False
    erase_parts: frozenset[Part] = frozenset()  # of a person who stays
    items: tuple[Item, ...] = ()
    erase_items: frozenset[UUID] = frozenset()
    contacts: tuple[Contact, ...] = ()
    phase_changes: tuple[PhaseChange, ...] = ()
    releases: tuple[ReceivedRelease, ...] = ()
    erased_releases: frozenset[UUID] = frozenset()
    erased_at: datetime | None = None
    protect_address: bool | None = None
    information: tuple[Information, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """What decisions about a case know. Names and contents are not here: no rule asks for them.

    `id` is the handover reference where the case came by a handover. `person` is the person's random id. `held` and
    `erased` (releases of which nothing may be kept) are loaded only where a command stores or erases what was received,
    `duplicates` only where one may register, `owed` (releases of which nobody was told yet) only where that is settled.
    """

    id: UUID
    version: int = 0
    state: State = State.NONE
    sphere: Sphere | None = None
    person: UUID | None = None
    birth_date: date | None = None
    known_at: datetime | None = None  # since when with this birth date; None: since `opened_at`
    person_release: UUID | None = None  # set where all that is known of the person came with that dossier
    has_address: bool = False
    address_protected: bool = False
    local_number: str | None = None
    handover: UUID | None = None
    sender: str | None = None
    alliance: str | None = None
    leads: bool = False
    phase: Phase | None = None
    phase_source: PhaseSource | None = None
    school: SchoolFacts | None = None
    age_band: AgeBand | None = None
    needs: tuple[RecordedNeed, ...] = ()
    no_needs: bool = False
    target_groups: frozenset[TargetGroup] = frozenset()
    contact_person: str | None = None
    pause_reason: PauseReason | None = None
    review_on: date | None = None
    competence_area: CompetenceArea | None = None
    destination: Destination | None = None
    reopen_reason: str | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    dossier: DossierState = DossierState.NONE
    dossier_reason: DossierReason | None = None
    has_own: bool = False
    guardian: GuardianInformation | None = None
    held: tuple[HeldItem, ...] = ()
    erased: frozenset[UUID] = frozenset()
    owed: frozenset[UUID] = frozenset()
    warned: frozenset[Warned] = frozenset()
    duplicates: bool = False
    writes: Writes = field(default_factory=Writes)

    @property
    def tellable_needs(self) -> tuple[Need, ...]:
        """Codes a preview may name: neither sensitive (they are on no topic) nor entrusted (§ 65 SGB VIII)."""
        return tuple(
            sorted(need.code for need in self.needs if need.code not in SENSITIVE_NEEDS and not need.entrusted)
        )
