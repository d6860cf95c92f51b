"""What a row tells: at home on the own topic, or to the other agency on the channel."""

from typing import Any

from chassis.transitions import Context, Tell, Teller
from contracts.codes import Side
from contracts.handover import (
    ChannelEvent,
    HandoverAcceptanceConfirmed,
    HandoverAcceptanceDeclared,
    HandoverAnswered,
    HandoverCancelConfirmed,
    HandoverCancelDenied,
    HandoverCancelRequested,
    HandoverChanged,
    HandoverCompleted,
    HandoverEndHeard,
    HandoverExpired,
    HandoverFirstContactMade,
    HandoverGivenBack,
    HandoverInquiryMade,
    HandoverNotReached,
    HandoverPaused,
    HandoverProposed,
    HandoverRedirectConfirmed,
    HandoverRedirectProposed,
    HandoverRejected,
    HandoverRequested,
    HandoverResumed,
    HandoverStopped,
    HandoverVoided,
    HandoverWaitlisted,
    HandoverWithdrawn,
)

from .commands import (
    Ask,
    CaseClosed,
    Complete,
    GiveBack,
    Pause,
    ProposeRedirect,
    RecordFirstContact,
    RecordNotReached,
    Reject,
    RequestCancel,
    Void,
    Waitlist,
)
from .subject import Handover


def _across(handover: Handover, fact: ChannelEvent) -> Tell:
    return Tell(fact, to=handover.matter.counterpart, scope=handover.matter.alliance)


def _word(event: type[ChannelEvent]) -> Teller[Handover]:
    """The teller of a fact that says nothing but itself."""

    def tell(handover: Handover, _command: object, _context: Context) -> Tell:
        return _across(handover, event(handover=handover.id))

    return tell


answered = _word(HandoverAnswered)
withdrawn = _word(HandoverWithdrawn)
expired = _word(HandoverExpired)
redirect_confirmed = _word(HandoverRedirectConfirmed)
acceptance_confirmed = _word(HandoverAcceptanceConfirmed)
stopped = _word(HandoverStopped)
acceptance_declared = _word(HandoverAcceptanceDeclared)
cancel_confirmed = _word(HandoverCancelConfirmed)
cancel_denied = _word(HandoverCancelDenied)
resumed = _word(HandoverResumed)
end_heard = _word(HandoverEndHeard)


def proposed(handover: Handover, _command: object, _context: Context) -> Tell:
    """At home: consent decides on these items."""
    if handover.case is None or handover.person is None:
        raise ValueError("only a sender's copy of a registered case can be proposed")
    fact = HandoverProposed(
        handover=handover.id,
        case=handover.case,
        person=handover.person,
        alliance=handover.matter.alliance,
        recipient=handover.matter.counterpart,
        kind=handover.matter.kind,
        purpose=handover.matter.purpose,
        items=handover.items,
    )
    return Tell(fact)


def requested(handover: Handover, _command: object, _context: Context) -> Tell:
    """The preview goes along, and nothing else of the case."""
    if handover.preview is None:
        raise ValueError("a proposed handover has a preview")
    fact = HandoverRequested(
        handover=handover.id,
        kind=handover.matter.kind,
        purpose=handover.matter.purpose,
        urgency=handover.matter.urgency,
        competence_area=handover.matter.competence_area,
        preview=handover.preview,
    )
    return _across(handover, fact)


def cancel_requested(handover: Handover, command: RequestCancel | CaseClosed, _context: Context) -> Tell:
    """Asks to undo it, because."""
    return _across(handover, HandoverCancelRequested(handover=handover.id, reason=command.reason))


def voided(handover: Handover, command: Void, _context: Context) -> Tell:
    """Entered in error."""
    return _across(handover, HandoverVoided(handover=handover.id, reason=command.reason))


def rejected(handover: Handover, command: Reject, _context: Context) -> Tell:
    """We do not take it, because."""
    return _across(handover, HandoverRejected(handover=handover.id, reason=command.reason))


def inquiry_made(handover: Handover, command: Ask, _context: Context) -> Tell:
    """Which categories are asked about."""
    return _across(handover, HandoverInquiryMade(handover=handover.id, asked=command.categories))


def waitlisted(handover: Handover, command: Waitlist, _context: Context) -> Tell:
    """When we look again."""
    return _across(handover, HandoverWaitlisted(handover=handover.id, review_on=command.review_on))


def redirect_proposed(handover: Handover, command: ProposeRedirect, _context: Context) -> Tell:
    """Rather ask that agency."""
    return _across(handover, HandoverRedirectProposed(handover=handover.id, to=command.to))


def first_contact_made(handover: Handover, command: RecordFirstContact, _context: Context) -> Tell:
    """We have met the young person and lead now."""
    return _across(
        handover, HandoverFirstContactMade(handover=handover.id, at=command.at, channel=command.channel)
    )


def not_reached(handover: Handover, command: RecordNotReached, _context: Context) -> Tell:
    """After how many attempts."""
    return _across(handover, HandoverNotReached(handover=handover.id, attempts=len(command.attempts)))


def given_back(handover: Handover, command: GiveBack, _context: Context) -> Tell:
    """Given back, because."""
    return _across(handover, HandoverGivenBack(handover=handover.id, reason=command.reason))


def paused(handover: Handover, command: Pause, _context: Context) -> Tell:
    """Why, and until when."""
    return _across(
        handover, HandoverPaused(handover=handover.id, reason=command.reason, review_on=command.review_on)
    )


def completed(handover: Handover, command: Complete, _context: Context) -> Tell:
    """What became of it."""
    return _across(handover, HandoverCompleted(handover=handover.id, outcome=command.outcome))


def told_at_home(before: Handover, after: Handover, command: Any, _context: Context) -> tuple[Tell, ...]:
    """`handover.changed` for every row that changes state, lead or recorded end: own intake and consent live on it."""
    if (before.state, before.lead, before.recorded) == (after.state, after.lead, after.recorded):
        return ()
    fact = HandoverChanged(
        handover=after.id,
        case=after.case,
        side=after.side,
        alliance=after.matter.alliance,
        counterpart=after.matter.counterpart,
        kind=after.matter.kind,
        purpose=after.matter.purpose,
        urgency=after.matter.urgency,
        before=before.state,
        state=after.state,
        on=command.trigger,
        lead=after.lead,
        recorded=after.recorded,
        preview=after.preview if after.side is Side.RECEIVER else None,
    )
    return (Tell(fact),)
