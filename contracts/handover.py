"""What handover tells: at home how its copy moved, on the channel the facts of the protocol between two agencies."""

from datetime import date
from typing import Annotated, ClassVar

from pydantic import Field

from contracts.codes import (
    AgeBand,
    CancelReason,
    CompetenceArea,
    ContactChannel,
    DataCategory,
    GiveBackReason,
    HandoverState,
    Kind,
    Outcome,
    PauseReason,
    Phase,
    Purpose,
    RejectReason,
    Service,
    Side,
    Trigger,
    Urgency,
    VoidReason,
)
from contracts.events import CODES_MAX, ITEMS_MAX, Event, Instant, Part, SubjectKind, TopicKind
from contracts.ids import AgencyId, AllianceId, CaseId, HandoverRef, ItemId, PersonId
from contracts.intake import TellableNeed

Attempts = Annotated[int, Field(ge=1, le=100)]


class Preview(Part):
    """All a receiver learns before it accepts beside kind, purpose, urgency and area: codes, and nobody's name."""

    phase: Phase
    age_band: AgeBand
    needs: tuple[TellableNeed, ...] = Field(max_length=CODES_MAX)


class HandoverEvent(Event):
    """The key is the handover reference, so everything about one handover stays in order."""

    owner: ClassVar[Service] = Service.HANDOVER
    subject_kind: ClassVar[SubjectKind] = SubjectKind.HANDOVERS
    key_field: ClassVar[str] = "handover"

    handover: HandoverRef


# --- told at home -----------------------------------------------------------------------------------------------------


class HandoverProposed(HandoverEvent):
    """Somebody wants to hand these items of a case to that agency. Consent decides on each item and answers."""

    type: ClassVar[str] = "staffel.handover.proposed.v1"
    topic: ClassVar[TopicKind] = TopicKind.OWN

    case: CaseId
    person: PersonId
    alliance: AllianceId
    recipient: AgencyId
    kind: Kind
    purpose: Purpose
    items: tuple[ItemId, ...] = Field(min_length=1, max_length=ITEMS_MAX)


class HandoverChanged(HandoverEvent):
    """The copy of this side has moved: intake opens, gives up or discards its case by it, consent closes its door.

    Told for every applied row that changes the state, the lead or the recorded end. `case` is set where it is this
    agency's own; `lead` says whether this side leads now; `recorded` is the other side's end where two ends crossed;
    `preview` is set at the receiver only.
    """

    type: ClassVar[str] = "staffel.handover.changed.v1"
    topic: ClassVar[TopicKind] = TopicKind.OWN

    case: CaseId | None
    side: Side
    alliance: AllianceId
    counterpart: AgencyId
    kind: Kind
    purpose: Purpose
    urgency: Urgency
    before: HandoverState
    state: HandoverState
    on: Trigger
    lead: bool
    recorded: HandoverState | None
    preview: Preview | None


# --- told to the other agency -----------------------------------------------------------------------------------------


class ChannelEvent(HandoverEvent):
    """Told to the other agency. From whom to whom is the topic's name, so no body can claim otherwise."""

    topic: ClassVar[TopicKind] = TopicKind.CHANNEL


class HandoverRequested(ChannelEvent):
    """Sender: will you take this case? The only way a receiver ever learns that there is a handover."""

    type: ClassVar[str] = "staffel.handover.requested.v1"

    kind: Kind
    purpose: Purpose
    urgency: Urgency
    competence_area: CompetenceArea
    preview: Preview


class HandoverInquiryMade(ChannelEvent):
    """Receiver: before we answer we need to know about these categories."""

    type: ClassVar[str] = "staffel.handover.inquiry_made.v1"

    asked: tuple[DataCategory, ...] = Field(min_length=1, max_length=CODES_MAX)


class HandoverAnswered(ChannelEvent):
    """Sender: the question is answered, it is the receiver's turn."""

    type: ClassVar[str] = "staffel.handover.answered.v1"


class HandoverWaitlisted(ChannelEvent):
    """Receiver: not now; we look at it again on that day at the latest."""

    type: ClassVar[str] = "staffel.handover.waitlisted.v1"

    review_on: date


class HandoverRedirectProposed(ChannelEvent):
    """Receiver: rather ask that agency. The sender confirms or withdraws."""

    type: ClassVar[str] = "staffel.handover.redirect_proposed.v1"

    to: AgencyId


class HandoverRedirectConfirmed(ChannelEvent):
    """Sender: we ask elsewhere. Ends this handover; the new one needs its own legal basis."""

    type: ClassVar[str] = "staffel.handover.redirect_confirmed.v1"


class HandoverAcceptanceDeclared(ChannelEvent):
    """Receiver: we will take it. A declaration, no more: no dossier and no contact until the sender confirms."""

    type: ClassVar[str] = "staffel.handover.acceptance_declared.v1"


class HandoverAcceptanceConfirmed(ChannelEvent):
    """Sender: both have said yes. From here the dossier may be fetched; the sender still leads."""

    type: ClassVar[str] = "staffel.handover.acceptance_confirmed.v1"


class HandoverRejected(ChannelEvent):
    """Receiver: we do not take it, because. The lead never left the sender."""

    type: ClassVar[str] = "staffel.handover.rejected.v1"

    reason: RejectReason


class HandoverWithdrawn(ChannelEvent):
    """Sender: we no longer ask. An acceptance on its way loses."""

    type: ClassVar[str] = "staffel.handover.withdrawn.v1"


class HandoverExpired(ChannelEvent):
    """Sender: nobody answered in time. An acceptance on its way loses."""

    type: ClassVar[str] = "staffel.handover.expired.v1"


class HandoverCancelRequested(ChannelEvent):
    """Sender: can we undo what both have agreed? The door is closed while this is open."""

    type: ClassVar[str] = "staffel.handover.cancel_requested.v1"

    reason: CancelReason


class HandoverCancelConfirmed(ChannelEvent):
    """Receiver: undone. Nobody was met, what was read is erased."""

    type: ClassVar[str] = "staffel.handover.cancel_confirmed.v1"


class HandoverCancelDenied(ChannelEvent):
    """Receiver: it is not undone (or the young person has been met already)."""

    type: ClassVar[str] = "staffel.handover.cancel_denied.v1"


class HandoverNotReached(ChannelEvent):
    """Receiver: the young person could not be reached. The lead never left the sender."""

    type: ClassVar[str] = "staffel.handover.not_reached.v1"

    attempts: Attempts


class HandoverGivenBack(ChannelEvent):
    """Receiver: we give the case back before having met anybody. The lead never left the sender."""

    type: ClassVar[str] = "staffel.handover.given_back.v1"

    reason: GiveBackReason


class HandoverFirstContactMade(ChannelEvent):
    """Receiver: we have met the young person and lead now. The sender stops leading when it hears this."""

    type: ClassVar[str] = "staffel.handover.first_contact_made.v1"

    at: Instant
    channel: ContactChannel


class HandoverPaused(ChannelEvent):
    """Receiver: our work rests until that day. The lead stays with the receiver."""

    type: ClassVar[str] = "staffel.handover.paused.v1"

    reason: PauseReason
    review_on: date


class HandoverResumed(ChannelEvent):
    """Receiver: we go on."""

    type: ClassVar[str] = "staffel.handover.resumed.v1"


class HandoverCompleted(ChannelEvent):
    """Receiver: this is what became of it."""

    type: ClassVar[str] = "staffel.handover.completed.v1"

    outcome: Outcome


class HandoverStopped(ChannelEvent):
    """Sender: the legal basis has ended, and with it the handover. What was read needs an answer."""

    type: ClassVar[str] = "staffel.handover.stopped.v1"


class HandoverVoided(ChannelEvent):
    """Sender: entered in error. Whatever came from the sender goes at once."""

    type: ClassVar[str] = "staffel.handover.voided.v1"

    reason: VoidReason


class HandoverEndHeard(ChannelEvent):
    """Receiver: we heard that it ended; nobody was met and nobody will be. Frees the case at the sender."""

    type: ClassVar[str] = "staffel.handover.end_heard.v1"


EVENTS: tuple[type[Event], ...] = (
    HandoverProposed,
    HandoverChanged,
    HandoverRequested,
    HandoverInquiryMade,
    HandoverAnswered,
    HandoverWaitlisted,
    HandoverRedirectProposed,
    HandoverRedirectConfirmed,
    HandoverAcceptanceDeclared,
    HandoverAcceptanceConfirmed,
    HandoverRejected,
    HandoverWithdrawn,
    HandoverExpired,
    HandoverCancelRequested,
    HandoverCancelConfirmed,
    HandoverCancelDenied,
    HandoverNotReached,
    HandoverGivenBack,
    HandoverFirstContactMade,
    HandoverPaused,
    HandoverResumed,
    HandoverCompleted,
    HandoverStopped,
    HandoverVoided,
    HandoverEndHeard,
)
