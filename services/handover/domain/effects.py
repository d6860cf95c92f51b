"""What a row changes in a copy besides its state."""

from dataclasses import replace

from chassis.transitions import Context
from contracts.codes import Need, Side
from contracts.handover import Preview
from contracts.ids import CaseId

from .commands import (
    Ask,
    CaseClosed,
    Complete,
    Completed,
    CutPackage,
    Draft,
    FromConsent,
    GiveBack,
    GivenBack,
    Heard,
    InquiryMade,
    Pause,
    Paused,
    ProposeRedirect,
    RedirectProposed,
    Reject,
    Rejected,
    RequestCancel,
    Requested,
    Void,
    Voided,
    Waitlist,
    Waitlisted,
)
from .subject import Handover

GivesReason = Reject | Rejected | GiveBack | GivenBack | RequestCancel | Void | Voided | Pause | Paused | CaseClosed


def begin_as_sender(handover: Handover, command: Draft, context: Context) -> Handover:
    """The sender leads, and goes on leading until it hears that somebody was met."""
    known = handover.around.case
    return replace(
        handover,
        side=Side.SENDER,
        matter=command.matter,
        case=command.case,
        person=known.person if known else None,
        items=command.items,
        lead=True,
        drafted_at=context.now,
    )


def begin_as_receiver(handover: Handover, command: Requested, context: Context) -> Handover:
    """Its own case, if there will be one, is reserved from the start for the handover that brings it."""
    return replace(
        handover,
        side=Side.RECEIVER,
        matter=command.matter,
        preview=command.preview,
        holds_baton=True,
        drafted_at=context.now,
    )


def take_preview(handover: Handover, _command: object, _context: object) -> Handover:
    """What is known of the case when it is proposed goes out, so that who proposes can see what will be said."""
    known = handover.around.case
    if known is None or known.phase is None or known.age_band is None:
        return handover
    needs: tuple[Need, ...] = tuple(sorted(known.needs))
    return replace(handover, preview=Preview(phase=known.phase, age_band=known.age_band, needs=needs))


def take_baton(handover: Handover, _command: object, _context: Context) -> Handover:
    """The case is reserved for this handover."""
    return replace(handover, holds_baton=True)


def cut(handover: Handover, command: CutPackage, _context: Context) -> Handover:
    """The order of the package stays."""
    return replace(handover, items=tuple(item for item in handover.items if item in command.keep))


def note_verdicts(handover: Handover, command: FromConsent, _context: Context) -> Handover:
    """Consent's last word on each item."""
    return replace(handover, verdicts=command.items)


def drop_lead(handover: Handover, _command: object, _context: Context) -> Handover:
    """Only when it is heard that the receiver has met the young person."""
    return replace(handover, lead=False)


def take_lead(handover: Handover, _command: object, _context: Context) -> Handover:
    """In the transaction that tells of the first contact."""
    return replace(handover, lead=True)


def await_word(handover: Handover, _command: object, _context: Context) -> Handover:
    """Both had said yes: the young person may have been met already, and the case stays reserved until we know."""
    return replace(handover, awaits_word=True)


def hear_word(handover: Handover, _command: object, _context: Context) -> Handover:
    """Whether somebody was met is known now."""
    return replace(handover, awaits_word=False)


def record_end(handover: Handover, command: Heard, _context: Context) -> Handover:
    """Two ends crossed: ours stays, the other side's is recorded."""
    return replace(handover, recorded=command.end)


def erase_preview(handover: Handover, _command: object, _context: Context) -> Handover:
    """At the receiver: what was said of the young person goes with the end; only what was completed is kept."""
    return replace(handover, preview=None)


def own_case(handover: Handover, _command: object, _context: Context) -> Handover:
    """From now on there is a case of our own; intake opens it under the handover reference."""
    return replace(handover, case=CaseId(handover.id))


def note_reason(handover: Handover, command: GivesReason, _context: Context) -> Handover:
    """The code given for this step."""
    return replace(handover, reason=str(command.reason))


def note_outcome(handover: Handover, command: Complete | Completed, _context: Context) -> Handover:
    """What became of it."""
    return replace(handover, outcome=command.outcome)


def note_question(handover: Handover, command: Ask | InquiryMade, _context: Context) -> Handover:
    """Which categories were asked about."""
    return replace(handover, asked=command.categories)


def note_review(handover: Handover, command: Waitlist | Waitlisted | Pause | Paused, _context: Context) -> Handover:
    """The day it is looked at again."""
    return replace(handover, review_on=command.review_on)


def note_redirect(handover: Handover, command: ProposeRedirect | RedirectProposed, _context: Context) -> Handover:
    """Whom to ask instead."""
    return replace(handover, redirect_to=command.to)
