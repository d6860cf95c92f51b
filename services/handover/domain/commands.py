"""Everything that can move a copy of a handover: the own desk, clocks, own consent and intake, the other side."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import ClassVar

from contracts.codes import (
    AgeBand,
    CancelReason,
    ContactChannel,
    DataCategory,
    GiveBackReason,
    HandoverState,
    Need,
    Outcome,
    PauseReason,
    Phase,
    RejectReason,
    Trigger,
    VoidReason,
)
from contracts.consent import DecidedItem
from contracts.handover import Preview
from contracts.ids import AgencyId, CaseId, ItemId, PersonId

from .subject import CaseState, Matter


class Source(StrEnum):
    """Where a command comes from."""

    DESK = "desk"
    CLOCK = "clock"
    CONSENT = "consent"
    INTAKE = "intake"
    SENDER = "sender"
    RECEIVER = "receiver"


@dataclass(frozen=True, slots=True)
class Command:
    """What a copy is asked to do, or hears."""

    source: ClassVar[Source]
    trigger: ClassVar[Trigger]


@dataclass(frozen=True, slots=True)
class Desk(Command):
    """Said by a person of this agency."""

    source: ClassVar[Source] = Source.DESK


@dataclass(frozen=True, slots=True)
class Strike(Command):
    """Said by the database's clock."""

    source: ClassVar[Source] = Source.CLOCK


@dataclass(frozen=True, slots=True)
class Heard(Command):
    """Said by the other agency; `by` owns the channel it came on, `end` is set where the fact is an end of its copy."""

    end: ClassVar[HandoverState | None] = None
    by: AgencyId


@dataclass(frozen=True, slots=True)
class FromSender(Heard):
    """Heard by the receiver."""

    source: ClassVar[Source] = Source.SENDER


@dataclass(frozen=True, slots=True)
class FromReceiver(Heard):
    """Heard by the sender."""

    source: ClassVar[Source] = Source.RECEIVER


# --- the sender's desk ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft(Desk):
    """Begin a handover of this case: to whom, for what, which items."""

    trigger: ClassVar[Trigger] = Trigger.DRAFT
    case: CaseId
    matter: Matter
    items: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Propose(Desk):
    """Ask the receiver as soon as consent permits it. The case is named because it is reserved by this."""

    trigger: ClassVar[Trigger] = Trigger.PROPOSE
    case: CaseId


@dataclass(frozen=True, slots=True)
class CutPackage(Desk):
    """Keep only these items; a package only ever shrinks."""

    trigger: ClassVar[Trigger] = Trigger.CUT
    keep: tuple[ItemId, ...]


@dataclass(frozen=True, slots=True)
class Discard(Desk):
    """Drop what was never sent."""

    trigger: ClassVar[Trigger] = Trigger.DISCARD


@dataclass(frozen=True, slots=True)
class Withdraw(Desk):
    """No longer ask."""

    trigger: ClassVar[Trigger] = Trigger.WITHDRAW


@dataclass(frozen=True, slots=True)
class Answer(Desk):
    """The receiver's question is answered."""

    trigger: ClassVar[Trigger] = Trigger.ANSWER


@dataclass(frozen=True, slots=True)
class ConfirmRedirect(Desk):
    """End here; another handover asks elsewhere."""

    trigger: ClassVar[Trigger] = Trigger.CONFIRM_REDIRECT


@dataclass(frozen=True, slots=True)
class RequestCancel(Desk):
    """Ask the receiver to undo what both have agreed."""

    trigger: ClassVar[Trigger] = Trigger.REQUEST_CANCEL
    reason: CancelReason


@dataclass(frozen=True, slots=True)
class Void(Desk):
    """Entered in error; a team lead's word."""

    trigger: ClassVar[Trigger] = Trigger.VOID
    reason: VoidReason


# --- the receiver's desk ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accept(Desk):
    """We will take it."""

    trigger: ClassVar[Trigger] = Trigger.ACCEPT


@dataclass(frozen=True, slots=True)
class Reject(Desk):
    """We do not take it, because."""

    trigger: ClassVar[Trigger] = Trigger.REJECT
    reason: RejectReason


@dataclass(frozen=True, slots=True)
class Ask(Desk):
    """Before we answer we need to know about these categories."""

    trigger: ClassVar[Trigger] = Trigger.ASK
    categories: tuple[DataCategory, ...]


@dataclass(frozen=True, slots=True)
class Waitlist(Desk):
    """Not now; we look again on that day."""

    trigger: ClassVar[Trigger] = Trigger.WAITLIST
    review_on: date


@dataclass(frozen=True, slots=True)
class ProposeRedirect(Desk):
    """Rather ask that agency."""

    trigger: ClassVar[Trigger] = Trigger.PROPOSE_REDIRECT
    to: AgencyId


@dataclass(frozen=True, slots=True)
class RecordFirstContact(Desk):
    """We have met the young person."""

    trigger: ClassVar[Trigger] = Trigger.RECORD_FIRST_CONTACT
    at: datetime
    channel: ContactChannel


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try to reach somebody."""

    at: datetime
    channel: ContactChannel


@dataclass(frozen=True, slots=True)
class RecordNotReached(Desk):
    """The young person could not be reached; these were the attempts."""

    trigger: ClassVar[Trigger] = Trigger.RECORD_NOT_REACHED
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class GiveBack(Desk):
    """Give the case back before having met anybody."""

    trigger: ClassVar[Trigger] = Trigger.GIVE_BACK
    reason: GiveBackReason


@dataclass(frozen=True, slots=True)
class ConfirmCancel(Desk):
    """Yes, undo it."""

    trigger: ClassVar[Trigger] = Trigger.CONFIRM_CANCEL


@dataclass(frozen=True, slots=True)
class DenyCancel(Desk):
    """No, we go on."""

    trigger: ClassVar[Trigger] = Trigger.DENY_CANCEL


@dataclass(frozen=True, slots=True)
class Pause(Desk):
    """Our work rests until that day."""

    trigger: ClassVar[Trigger] = Trigger.PAUSE
    reason: PauseReason
    review_on: date


@dataclass(frozen=True, slots=True)
class Resume(Desk):
    """We go on."""

    trigger: ClassVar[Trigger] = Trigger.RESUME


@dataclass(frozen=True, slots=True)
class Complete(Desk):
    """Say what became of it."""

    trigger: ClassVar[Trigger] = Trigger.COMPLETE
    outcome: Outcome


# --- the clock --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Expire(Strike):
    """Nobody answered in time."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


@dataclass(frozen=True, slots=True)
class LapseBasis(Strike):
    """No legal basis was found in time: back to the draft."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


@dataclass(frozen=True, slots=True)
class Remind(Strike):
    """Time to look at it."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


@dataclass(frozen=True, slots=True)
class Escalate(Strike):
    """Time for the team leads to look at it."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


@dataclass(frozen=True, slots=True)
class MissReview(Strike):
    """The day of review has passed."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


@dataclass(frozen=True, slots=True)
class MissConfirmation(Strike):
    """The sender has been silent since we said yes."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


@dataclass(frozen=True, slots=True)
class MissContact(Strike):
    """Nobody has been met in time."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRE


# --- facts of the own agency ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FromConsent(Command):
    """What consent decided about each item."""

    source: ClassVar[Source] = Source.CONSENT
    items: tuple[DecidedItem, ...]


@dataclass(frozen=True, slots=True)
class Request(FromConsent):
    """Every item may go: what was proposed at the desk is asked now."""

    trigger: ClassVar[Trigger] = Trigger.REQUEST


@dataclass(frozen=True, slots=True)
class AwaitBasis(FromConsent):
    """Some item may not go (partly, reduced)."""

    trigger: ClassVar[Trigger] = Trigger.BASIS_DECIDED


@dataclass(frozen=True, slots=True)
class DenyBasis(FromConsent):
    """No item may go, and by consent's reckoning none ever might (denied)."""

    trigger: ClassVar[Trigger] = Trigger.BASIS_DECIDED


@dataclass(frozen=True, slots=True)
class ConsentWithdrawn(FromConsent):
    """Nothing may go any more (`transmission.ended`)."""

    trigger: ClassVar[Trigger] = Trigger.CONSENT_WITHDRAWN


@dataclass(frozen=True, slots=True)
class CaseClosed(Command):
    """Work on the case ended here while a handover of it ran."""

    source: ClassVar[Source] = Source.INTAKE
    trigger: ClassVar[Trigger] = Trigger.CASE_CLOSED
    reason: CancelReason = CancelReason.OTHER


@dataclass(frozen=True, slots=True)
class Learn(Command):
    """What an event of intake says about a case; None and no needs: nothing said about it."""

    source: ClassVar[Source] = Source.INTAKE
    state: CaseState | None = None
    person: PersonId | None = None
    phase: Phase | None = None
    age_band: AgeBand | None = None
    needs: tuple[Need, ...] | None = None


# --- facts of the sender ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Requested(FromSender):
    """Asked to take a case."""

    trigger: ClassVar[Trigger] = Trigger.REQUESTED
    matter: Matter
    preview: Preview


@dataclass(frozen=True, slots=True)
class Answered(FromSender):
    """The question is answered."""

    trigger: ClassVar[Trigger] = Trigger.ANSWERED


@dataclass(frozen=True, slots=True)
class Withdrawn(FromSender):
    """No longer asked."""

    trigger: ClassVar[Trigger] = Trigger.WITHDRAWN
    end: ClassVar[HandoverState | None] = HandoverState.WITHDRAWN


@dataclass(frozen=True, slots=True)
class Expired(FromSender):
    """Nobody answered in time."""

    trigger: ClassVar[Trigger] = Trigger.EXPIRED
    end: ClassVar[HandoverState | None] = HandoverState.EXPIRED


@dataclass(frozen=True, slots=True)
class RedirectConfirmed(FromSender):
    """Asked elsewhere."""

    trigger: ClassVar[Trigger] = Trigger.REDIRECT_CONFIRMED


@dataclass(frozen=True, slots=True)
class AcceptanceConfirmed(FromSender):
    """Both have said yes."""

    trigger: ClassVar[Trigger] = Trigger.ACCEPTANCE_CONFIRMED


@dataclass(frozen=True, slots=True)
class CancelRequested(FromSender):
    """Asked to undo it."""

    trigger: ClassVar[Trigger] = Trigger.CANCEL_REQUESTED
    reason: CancelReason


@dataclass(frozen=True, slots=True)
class Stopped(FromSender):
    """The legal basis has ended."""

    trigger: ClassVar[Trigger] = Trigger.STOPPED
    end: ClassVar[HandoverState | None] = HandoverState.STOPPED


@dataclass(frozen=True, slots=True)
class Voided(FromSender):
    """Entered in error."""

    trigger: ClassVar[Trigger] = Trigger.VOIDED
    end: ClassVar[HandoverState | None] = HandoverState.VOIDED
    reason: VoidReason


# --- facts of the receiver --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class InquiryMade(FromReceiver):
    """A question."""

    trigger: ClassVar[Trigger] = Trigger.INQUIRY_MADE
    categories: tuple[DataCategory, ...]


@dataclass(frozen=True, slots=True)
class Waitlisted(FromReceiver):
    """Not now."""

    trigger: ClassVar[Trigger] = Trigger.WAITLISTED
    review_on: date


@dataclass(frozen=True, slots=True)
class RedirectProposed(FromReceiver):
    """Rather ask that agency."""

    trigger: ClassVar[Trigger] = Trigger.REDIRECT_PROPOSED
    to: AgencyId


@dataclass(frozen=True, slots=True)
class AcceptanceDeclared(FromReceiver):
    """We will take it."""

    trigger: ClassVar[Trigger] = Trigger.ACCEPTANCE_DECLARED


@dataclass(frozen=True, slots=True)
class Rejected(FromReceiver):
    """We do not take it."""

    trigger: ClassVar[Trigger] = Trigger.REJECTED
    end: ClassVar[HandoverState | None] = HandoverState.REJECTED
    reason: RejectReason


@dataclass(frozen=True, slots=True)
class FirstContactMade(FromReceiver):
    """We have met the young person and lead now."""

    trigger: ClassVar[Trigger] = Trigger.FIRST_CONTACT_MADE
    at: datetime


@dataclass(frozen=True, slots=True)
class NotReached(FromReceiver):
    """The young person could not be reached."""

    trigger: ClassVar[Trigger] = Trigger.NOT_REACHED
    end: ClassVar[HandoverState | None] = HandoverState.NOT_REACHED


@dataclass(frozen=True, slots=True)
class GivenBack(FromReceiver):
    """Given back before anybody was met."""

    trigger: ClassVar[Trigger] = Trigger.GIVEN_BACK
    end: ClassVar[HandoverState | None] = HandoverState.GIVEN_BACK
    reason: GiveBackReason


@dataclass(frozen=True, slots=True)
class CancelConfirmed(FromReceiver):
    """Undone."""

    trigger: ClassVar[Trigger] = Trigger.CANCEL_CONFIRMED
    end: ClassVar[HandoverState | None] = HandoverState.CANCELLED


@dataclass(frozen=True, slots=True)
class CancelDenied(FromReceiver):
    """Not undone."""

    trigger: ClassVar[Trigger] = Trigger.CANCEL_DENIED


@dataclass(frozen=True, slots=True)
class Paused(FromReceiver):
    """The receiver's work rests."""

    trigger: ClassVar[Trigger] = Trigger.PAUSED
    reason: PauseReason
    review_on: date


@dataclass(frozen=True, slots=True)
class Resumed(FromReceiver):
    """The receiver goes on."""

    trigger: ClassVar[Trigger] = Trigger.RESUMED


@dataclass(frozen=True, slots=True)
class Completed(FromReceiver):
    """What became of it."""

    trigger: ClassVar[Trigger] = Trigger.COMPLETED
    end: ClassVar[HandoverState | None] = HandoverState.COMPLETED
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class EndHeard(FromReceiver):
    """We heard that it ended; nobody was met and nobody will be."""

    trigger: ClassVar[Trigger] = Trigger.END_HEARD
