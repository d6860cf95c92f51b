"""What a handover is to one of its two agencies: this side's copy, and what its rules need to know around it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum

from chassis.transitions import Reservation
from contracts.alliance import Agreement, Alliance, Deadlines
from contracts.calendar import day_of
from contracts.codes import (
    END_STATES,
    AgeBand,
    CompetenceArea,
    DataCategory,
    Kind,
    Need,
    Outcome,
    Phase,
    Purpose,
    Side,
    Urgency,
    Verdict,
)
from contracts.codes import HandoverState as State
from contracts.consent import DecidedItem
from contracts.handover import Preview
from contracts.ids import AgencyId, AllianceId, CaseId, HandoverRef, ItemId, PersonId


class Reason(StrEnum):
    """Every reason this service gives for a no."""

    NOT_NOW = "not-now"
    HANDOVER_NOT_KNOWN = "handover-not-known"
    CASE_NOT_KNOWN = "case-not-known"
    CASE_NOT_ACTIVE = "case-not-active"
    CASE_RESERVED = "case-reserved"
    ANOTHER_CASE = "another-case"
    SAME_AGENCY = "same-agency"
    KIND_NOT_SUPPORTED = "kind-not-supported"
    NO_AGREEMENT = "no-agreement"
    NOT_THE_COUNTERPART = "not-the-counterpart"
    NO_BASIS = "no-basis"
    NOT_A_CUT = "not-a-cut"
    REVIEW_OUT_OF_RANGE = "review-out-of-range"
    NOT_TRIED_ENOUGH = "not-tried-enough"
    NOT_YET = "not-yet"
    REDIRECT_NOT_ELIGIBLE = "redirect-not-eligible"


class Clock(StrEnum):
    """Kinds of deadline; a name in `Handover.struck` says that this one has run out."""

    RESPOND = "respond"
    REMIND = "remind"
    ESCALATE = "escalate"
    REVIEW = "review"
    CONFIRM = "confirm"
    CONTACT = "contact"
    BASIS = "basis"


class CaseState(StrEnum):
    """What this service knows of a case of its own agency."""

    NONE = "none"
    ANNOUNCED = "announced"
    REGISTERED = "registered"
    CLARIFYING = "clarifying"
    NOT_COMPETENT = "not_competent"
    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED = "closed"
    HANDED_OVER = "handed_over"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class KnownCase:
    """Own copy of one of intake's cases, as its events tell it; all a preview may be made of."""

    id: CaseId
    version: int = 0
    state: CaseState = CaseState.NONE
    person: PersonId | None = None
    phase: Phase | None = None
    age_band: AgeBand | None = None
    needs: tuple[Need, ...] = ()


@dataclass(frozen=True, slots=True)
class Around:
    """What conditions ask beside the handover itself: loaded with it, never saved with it."""

    home: AgencyId
    alliance: Alliance | None = None
    case: KnownCase | None = None


@dataclass(frozen=True, slots=True)
class Matter:
    """What is handed over to or by whom, and why; fixed from the draft on."""

    alliance: AllianceId
    counterpart: AgencyId
    kind: Kind
    purpose: Purpose
    urgency: Urgency
    competence_area: CompetenceArea


NOWHERE = AgencyId("nowhere")
# A copy that does not exist yet has no matter; Draft or Requested brings it.
NO_MATTER = Matter(
    AllianceId("nowhere"), NOWHERE, Kind.TRANSFER, Purpose.ANSWER_TO_HANDOVER, Urgency.NORMAL, CompetenceArea.OTHER
)


@dataclass(frozen=True, slots=True)
class Handover:
    """One agency's copy. The other agency keeps its own, and the two agree by facts only.

    `id` is the handover reference, the one id both sides know. `version` counts changes. `lead` says whether this side
    leads the case; `recorded` is the other side's end where two ends crossed. `awaits_word`: the sender has stopped or
    voided after both had said yes and does not know yet whether the young person was met. `due` are the clocks that
    run, `struck` those that ran out; `verdicts` is consent's last word; `reason` the code last given for a step.
    """

    id: HandoverRef
    side: Side = Side.RECEIVER
    version: int = 0
    state: State = State.NONE
    matter: Matter = NO_MATTER
    case: CaseId | None = None
    person: PersonId | None = None
    items: tuple[ItemId, ...] = ()
    verdicts: tuple[DecidedItem, ...] = ()
    preview: Preview | None = None
    lead: bool = False
    recorded: State | None = None
    awaits_word: bool = False
    holds_baton: bool = False
    asked: tuple[DataCategory, ...] = ()
    review_on: date | None = None
    redirect_to: AgencyId | None = None
    reason: str | None = None
    outcome: Outcome | None = None
    due: Mapping[Clock, datetime] = field(default_factory=dict)
    struck: frozenset[Clock] = frozenset()
    drafted_at: datetime | None = None
    changed_at: datetime | None = None
    requested_at: datetime | None = None
    accepted_at: datetime | None = None
    met_at: datetime | None = None
    ended_at: datetime | None = None
    around: Around = field(default_factory=lambda: Around(NOWHERE), compare=False)

    def agreement(self, on: datetime) -> Agreement | None:
        """The interface agreement by which the sender may hand over to the receiver on that day."""
        ends = (self.around.home, self.matter.counterpart)
        giving, taking = ends if self.side is Side.SENDER else ends[::-1]
        return self.around.alliance.agreement(giving, taking, day_of(on)) if self.around.alliance else None

    def deadlines(self, now: datetime) -> Deadlines:
        """How long each side waits: as agreed when this copy began, or the usual where that agreement is gone."""
        agreed = self.agreement(self.drafted_at or now)
        return agreed.deadlines if agreed else Deadlines()

    @property
    def baton(self) -> Reservation:
        """The right to move the lead of this side's case: only one open handover may hold it."""
        return baton(self.case if self.side is Side.SENDER and self.case else self.id)

    @property
    def ended(self) -> bool:
        """Whether this copy stands still for ever."""
        return self.state in END_STATES

    @property
    def needs_baton(self) -> bool:
        """Whether the case must stay reserved for this handover (the rule of the model's two receivers).

        Sender: from proposing until an end after which the lead can no longer move, and for good once the lead has
        gone. Receiver: until it leads itself, or has ended.
        """
        if not self.holds_baton:
            return False
        if self.side is Side.RECEIVER:
            return not self.lead and not self.ended
        return not self.lead or self.awaits_word or not (self.ended or self.state is State.DRAFT)

    @property
    def basis(self) -> bool:
        """Whether consent's last word permits every item of the package."""
        return permits_all(self.verdicts, self.items)


def baton(case: CaseId | HandoverRef) -> Reservation:
    """One per case: at a receiver the case has the id of the handover that brings it."""
    return Reservation("baton", str(case))


def permits_all(verdicts: tuple[DecidedItem, ...], items: tuple[ItemId, ...]) -> bool:
    """Whether these verdicts permit every one of these items; nothing at all is never permitted."""
    permitted = {item.id for item in verdicts if item.verdict is Verdict.PERMIT}
    return bool(items) and permitted.issuperset(items)
